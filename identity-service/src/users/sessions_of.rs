//! The sessions of a user, for himself and for superusers.

use futures_util::FutureExt as _;

use super::access::authorise;
use super::model::{Changes, Target};
use super::{Users, store};
use crate::database::Transaction;
use crate::error::Result;
use crate::ids::SessionId;
use crate::page::Page;
use crate::sessions::{self, model::Caller, model::Listed};

impl Users {
    /// Lists a page of the sessions of a user, newest first. `page` is read only once the caller may.
    ///
    /// # Errors
    /// Those of [`Users::get`], and those of `page`.
    pub async fn list_sessions(
        &self,
        caller: &Caller,
        target: Target,
        page: impl FnOnce() -> Result<Page<SessionId>> + Send,
    ) -> Result<Listed> {
        let action = async |connection: &mut Transaction| {
            let list = async |connection: &mut Transaction| -> Result<Listed> {
                let found = store::find(connection, caller, target).await?;
                let owner = authorise(self.verification, caller, target, found)?.user.id;
                let page = page()?;
                let found = sessions::list(connection, owner, page.after, page.enough()).await?;
                let (sessions, next) = page.cut(found, |session| session.id);
                Ok(Listed { sessions, next })
            };
            connection.build_transaction().repeatable_read().read_only().run(list).await
        };
        self.database.read(action).await
    }

    /// Ends all other sessions of the caller, or all sessions of a user and every token ever issued to him. The latter is
    /// for superusers.
    ///
    /// # Errors
    /// Those of [`Users::get`], [`crate::error::Error::OutcomeUnknown`].
    pub async fn end_sessions(&self, caller: Caller, target: Target) -> Result<()> {
        let verification = self.verification;
        self.feed
            .end(move |connection| {
                async move {
                    let found = store::lock(connection, &caller, target).await?;
                    let user = authorise(verification, &caller, target, found)?;
                    if target == Target::Me {
                        return sessions::end_others(connection, caller.user, caller.session).await;
                    }
                    let epoch = sessions::end_everything(connection, user.user.id).await?;
                    store::update(connection, &user, &Changes::default(), None, Some(epoch)).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}
