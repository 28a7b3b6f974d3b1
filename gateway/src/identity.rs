//! The typed client of identity-service. Nothing but this module knows gRPC.
//!
//! [`discovery`] finds the replicas, [`replicas`] says which of them is asked, `call` makes one call, [`watch`] follows the
//! trust feed.
//!
//! Every call has a deadline. A call is made again, once, if it never reached identity-service, or if its answer was
//! lost and twice is the same as once: a read, a refresh, the use of an end token, and a registration, whose id is chosen
//! here. Any other write whose answer was lost may have happened, and is not repeated.

mod call;
pub mod discovery;
mod message;
mod recovery;
pub mod replicas;
mod sessions;
pub mod watch;

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use portcullis_proto::v1;
use portcullis_proto::v1::users_service_client::UsersServiceClient;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::body::fields::{Changes, Registration};
use crate::failure::{Failure, Operation};
use call::{Call, Context};
use message::{to_id, to_profile, to_update, to_user};
use replicas::{Channels, Replicas};

pub use sessions::{RefreshToken, Session, Tokens, Which};

/// For calls that hash a password.
const HASHING_TIMEOUT: Duration = Duration::from_secs(5);
/// For all other calls.
const TIMEOUT: Duration = Duration::from_secs(2);
/// No call of a request goes on for longer than this after the request came.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);

/// A user, as everybody may see him who may see him at all. The order of the fields is that of the answers. No `Debug`:
/// his address must not reach a log.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "users.proto says what they mean")]
pub struct User {
    pub id: String,
    pub email: String,
    pub is_active: bool,
    pub is_superuser: bool,
    pub is_verified: bool,
    /// The operator's own fields.
    #[serde(flatten)]
    pub own: Map<String, Value>,
}

/// Whom a call is about.
#[derive(Debug, Clone, Copy)]
pub enum Who<'a> {
    /// The caller himself.
    Caller,
    /// The user with this id, in whatever spelling the client sent it.
    Id(&'a str),
}

/// The issuer of access tokens and its public keys: `kid` and 32 bytes of Ed25519.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "said above")]
pub struct Keys {
    pub issuer: String,
    pub keys: Vec<(String, [u8; 32])>,
}

/// The client, with what the calls of one request have in common.
#[derive(Clone)]
pub struct Identity {
    channels: Channels,
    context: Context,
}

impl Identity {
    /// A client with connections of its own to these replicas.
    #[must_use]
    pub fn connect(replicas: Arc<Replicas>) -> Self {
        Self { channels: Channels::new(replicas), context: Context::default() }
    }

    /// Registers a user with this id. Repeated with the same id, address and password, it is the same registration.
    ///
    /// # Errors
    /// Why not.
    pub async fn create_user(&self, id: Uuid, user: &Registration) -> Result<User, Failure> {
        let message = v1::CreateUserRequest {
            user_id: id.to_string(),
            email: user.email.clone(),
            password: user.password.expose_secret().to_owned(),
            profile: to_profile(&user.others),
        };
        let call = self.call(Operation::Register, HASHING_TIMEOUT).repeatable();
        let create = async |channel, request| UsersServiceClient::new(channel).create_user(request).await;
        call.run(message, create).await.map(to_user)
    }

    /// Reads a user. `operation` says for what: a PATCH with a bad body reads first, to refuse in the right order.
    ///
    /// # Errors
    /// Why not.
    pub async fn get_user(
        &self,
        token: &SecretString,
        who: Who<'_>,
        operation: Operation,
    ) -> Result<User, Failure> {
        let message = v1::GetUserRequest { id: to_id(who) };
        let call = self.call(operation, TIMEOUT).with(token).repeatable();
        let get = async |channel, request| UsersServiceClient::new(channel).get_user(request).await;
        call.run(message, get).await.map(to_user)
    }

    /// Changes a user; of himself a user changes the e-mail address, the password and his own fields only.
    ///
    /// # Errors
    /// Why not.
    pub async fn update_user(
        &self,
        token: &SecretString,
        who: Who<'_>,
        changes: &Changes,
    ) -> Result<User, Failure> {
        let timeout = if changes.password.is_some() { HASHING_TIMEOUT } else { TIMEOUT };
        let call = self.call(Operation::Update, timeout).with(token);
        let update = async |channel, request| UsersServiceClient::new(channel).update_user(request).await;
        call.run(to_update(who, changes), update).await.map(to_user)
    }

    /// Deletes a user.
    ///
    /// # Errors
    /// Why not.
    pub async fn delete_user(&self, token: &SecretString, id: &str) -> Result<(), Failure> {
        let message = v1::DeleteUserRequest { id: id.to_owned() };
        let call = self.call(Operation::Delete, TIMEOUT).with(token);
        let delete = async |channel, request| UsersServiceClient::new(channel).delete_user(request).await;
        call.run(message, delete).await
    }

    /// Whether identity-service has said just now that it serves.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.channels.replicas().any_is_well()
    }

    fn call(&self, operation: Operation, timeout: Duration) -> Call<'_> {
        self.context.call(&self.channels, operation, timeout)
    }
}

/// A handler gets the client of its worker, with the id and the deadline of its request.
impl FromRequest for Identity {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let client = request.app_data::<Identity>().ok_or(Failure::Internal);
        ready(
            client
                .map(|client| Identity { channels: client.channels.clone(), context: Context::of(request) }),
        )
    }
}

#[cfg(test)]
mod tests;
