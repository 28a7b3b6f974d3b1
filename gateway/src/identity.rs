//! The typed client of identity-service. Nothing but this module knows gRPC.
//!
//! Every call has a deadline. No call is repeated: a write whose answer was lost may have happened.

mod call;
mod message;

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use portcullis_proto::v1;
use portcullis_proto::v1::sessions_service_client::SessionsServiceClient;
use portcullis_proto::v1::trust_service_client::TrustServiceClient;
use portcullis_proto::v1::users_service_client::UsersServiceClient;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use url::Url;
use uuid::Uuid;

use crate::body::fields::{Changes, Registration};
use crate::failure::{Failure, Operation};
use call::{Call, Context};
use message::{to_id, to_keys, to_update, to_user};

/// For calls that hash a password.
const HASHING_TIMEOUT: Duration = Duration::from_secs(5);
/// For all other calls.
const TIMEOUT: Duration = Duration::from_secs(2);
/// For the question whether identity-service is well.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);
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
}

/// Whom a call is about.
#[derive(Debug, Clone, Copy)]
pub enum Who<'a> {
    /// The caller himself.
    Caller,
    /// The user with this id, in whatever spelling the client sent it.
    Id(&'a str),
}

/// What a login gives.
pub struct Session {
    /// The access token.
    pub access_token: SecretString,
    /// For how many seconds it is good.
    pub expires_in: i64,
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
    channel: Channel,
    context: Context,
}

impl Identity {
    /// A client that connects when it is first used, and again whenever the connection was lost.
    #[must_use]
    pub fn connect(url: &Url) -> Self {
        let endpoint = Endpoint::from_shared(url.to_string()).expect("the configuration has checked the URL");
        let channel = endpoint
            .connect_timeout(Duration::from_secs(2))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .connect_lazy();
        Self { channel, context: Context::default() }
    }

    /// Registers a user with this id.
    ///
    /// # Errors
    /// Why not.
    pub async fn create_user(&self, id: Uuid, user: &Registration) -> Result<User, Failure> {
        let message = v1::CreateUserRequest {
            user_id: id.to_string(),
            email: user.email.clone(),
            password: user.password.expose_secret().to_owned(),
        };
        let call = self.call(Operation::Register, HASHING_TIMEOUT);
        call.run(message, async |request| self.users().create_user(request).await).await.map(to_user)
    }

    /// Logs a user in.
    ///
    /// # Errors
    /// Why not.
    pub async fn create_session(&self, email: String, password: &SecretString) -> Result<Session, Failure> {
        let password = password.expose_secret().to_owned();
        let message = v1::CreateSessionRequest { email, password };
        let call = self.call(Operation::LogIn, HASHING_TIMEOUT);
        let session =
            call.run(message, async |request| self.sessions().create_session(request).await).await?;
        let seconds = session.expires_in.map(|duration| duration.seconds);
        let Some(expires_in) = seconds.filter(|seconds| *seconds > 0) else {
            tracing::error!(?seconds, "identity-service does not say for how long the token is good");
            return Err(Failure::Internal);
        };
        Ok(Session { access_token: session.access_token.into(), expires_in })
    }

    /// Ends the session that the token belongs to.
    ///
    /// # Errors
    /// Why not.
    pub async fn end_session(&self, token: &SecretString) -> Result<(), Failure> {
        let message = v1::DeleteSessionRequest { id: "current".to_owned() };
        let call = self.call(Operation::LogOut, TIMEOUT).with(token);
        call.run(message, async |request| self.sessions().delete_session(request).await).await
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
        let call = self.call(operation, TIMEOUT).with(token);
        call.run(message, async |request| self.users().get_user(request).await).await.map(to_user)
    }

    /// Changes a user; of himself a user changes the e-mail address and the password only.
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
        call.run(to_update(who, changes), async |request| self.users().update_user(request).await)
            .await
            .map(to_user)
    }

    /// Deletes a user.
    ///
    /// # Errors
    /// Why not.
    pub async fn delete_user(&self, token: &SecretString, id: &str) -> Result<(), Failure> {
        let message = v1::DeleteUserRequest { id: id.to_owned() };
        let call = self.call(Operation::Delete, TIMEOUT).with(token);
        call.run(message, async |request| self.users().delete_user(request).await).await
    }

    /// Reads the issuer and its public keys.
    ///
    /// # Errors
    /// Why not; also if a key is not 32 bytes long.
    pub async fn keys(&self) -> Result<Keys, Failure> {
        let call = self.call(Operation::Read, TIMEOUT);
        let mut trust = TrustServiceClient::new(self.channel.clone());
        let answer = call.run(v1::GetKeysRequest {}, async |request| trust.get_keys(request).await).await?;
        to_keys(answer).ok_or(Failure::Internal)
    }

    /// Whether identity-service says that it serves.
    pub async fn is_serving(&self) -> bool {
        let call = self.call(Operation::Read, HEALTH_TIMEOUT);
        let mut health = HealthClient::new(self.channel.clone());
        let answer =
            call.run(HealthCheckRequest::default(), async |request| health.check(request).await).await;
        answer.is_ok_and(|answer| answer.status() == ServingStatus::Serving)
    }

    fn call(&self, operation: Operation, timeout: Duration) -> Call<'_> {
        self.context.call(operation, timeout)
    }

    fn users(&self) -> UsersServiceClient<Channel> {
        UsersServiceClient::new(self.channel.clone())
    }

    fn sessions(&self) -> SessionsServiceClient<Channel> {
        SessionsServiceClient::new(self.channel.clone())
    }
}

/// A handler gets the client of its worker, with the id and the deadline of its request.
impl FromRequest for Identity {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let client = request.app_data::<Identity>().ok_or(Failure::Internal);
        ready(
            client.map(|client| Identity { channel: client.channel.clone(), context: Context::of(request) }),
        )
    }
}

#[cfg(test)]
pub(crate) mod tests;
