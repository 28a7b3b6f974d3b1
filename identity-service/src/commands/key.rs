//! `identity-service key`.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{DATABASE_HELP, Failure};
use crate::config::Vars;
use crate::trust;

/// What can be done about keys.
#[derive(clap::Subcommand)]
pub enum Command {
    /// List the signing keys: id, state, and when each was made
    #[command(after_help = DATABASE_HELP)]
    List,
}

impl Command {
    pub(super) async fn run(self, vars: &Vars<'_>) -> Result<(), Failure> {
        let Self::List = self;
        for key in trust::list_keys(&super::database(vars)?).await? {
            let made = OffsetDateTime::from(key.public.created_at).format(&Rfc3339).unwrap_or_default();
            println!("{}  {:<7}  {made}", key.public.kid, key.public.state.as_str());
        }
        Ok(())
    }
}
