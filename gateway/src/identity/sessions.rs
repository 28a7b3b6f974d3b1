//! The calls about sessions.

use portcullis_proto::reason::Reason;
use portcullis_proto::v1;
use portcullis_proto::v1::sessions_service_client::SessionsServiceClient;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use uuid::Uuid;

use super::message::{to_id, to_refreshed_tokens, to_session_id, to_session_ids, to_sessions, to_tokens};
use super::{HASHING_TIMEOUT, Identity, TIMEOUT, Who};
use crate::client::Client;
use crate::failure::{Failure, Operation};

/// The most sessions that are listed at once: the largest page of identity-service.
const PAGE: i32 = 200;

/// What a login or a refresh gives.
pub struct Tokens {
    /// The access token.
    pub access_token: SecretString,
    /// For how many seconds it is good.
    pub expires_in: i64,
    /// The refresh token, if one was asked for.
    pub refresh: Option<RefreshToken>,
}

/// A refresh token that was given.
pub struct RefreshToken {
    /// The token.
    pub token: SecretString,
    /// What ends its session, and can do nothing else.
    pub end_token: SecretString,
    /// For how many seconds it is good, unless it is used before.
    pub expires_in: i64,
}

/// A session, as its owner sees it. The order of the fields is that of the answers, the times are those of RFC 3339. No
/// `Debug`: whence somebody logged in must not reach a log.
#[derive(PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "sessions.proto says what they mean; what was not told is `None`")]
pub struct Session {
    pub id: String,
    pub created_at: String,
    pub last_seen_at: String,
    pub expires_at: String,
    pub user_agent: Option<String>,
    pub address_prefix: Option<String>,
    pub is_current: bool,
}

/// A session that a caller names.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// The one that his token belongs to.
    Current,
    /// The one with this id, in whatever spelling the client sent it.
    Id(&'a str),
}

impl Identity {
    /// Logs a user in. An identity-service that knows no refresh tokens yet gives none to who asks for one: less than was
    /// asked for may be given (RFC 6749 section 3.3).
    ///
    /// # Errors
    /// Why not.
    pub async fn create_session(
        &self,
        email: String,
        password: &SecretString,
        client: Client,
        offline_access: bool,
    ) -> Result<Tokens, Failure> {
        let message = v1::CreateSessionRequest {
            email,
            password: password.expose_secret().to_owned(),
            user_agent: client.user_agent,
            client_address: client.address.map(|address| address.to_string()).unwrap_or_default(),
            offline_access,
        };
        let call = self.call(Operation::LogIn, HASHING_TIMEOUT);
        let create =
            async |channel, request| SessionsServiceClient::new(channel).create_session(request).await;
        let tokens = to_tokens(call.run(message, create).await?);
        tokens.filter(|tokens| offline_access || tokens.refresh.is_none()).ok_or_else(untold)
    }

    /// Gives new tokens for a refresh token. Whoever uses one twice at once gets the same, so that it is made again when
    /// the answer was lost.
    ///
    /// # Errors
    /// Why not.
    pub async fn refresh_session(&self, token: &SecretString) -> Result<Tokens, Failure> {
        let message = v1::RefreshSessionRequest { refresh_token: token.expose_secret().to_owned() };
        let call = self.call(Operation::Refresh, TIMEOUT).repeatable();
        let refresh =
            async |channel, request| SessionsServiceClient::new(channel).refresh_session(request).await;
        let tokens = to_refreshed_tokens(call.run(message, refresh).await?);
        tokens.filter(|tokens| tokens.refresh.is_some()).ok_or_else(untold)
    }

    /// Ends the session that an end token names. What is none ends nothing, and is no failure; nor is it one that the
    /// session is over already, so that it is tried again when the answer was lost.
    ///
    /// # Errors
    /// Why nobody can say whether it has ended.
    pub async fn end_by_token(&self, end_token: &SecretString) -> Result<(), Failure> {
        let message = v1::EndSessionRequest { end_token: end_token.expose_secret().to_owned() };
        let call = self.call(Operation::LogOut, TIMEOUT).repeatable();
        let end = async |channel, request| SessionsServiceClient::new(channel).end_session(request).await;
        match call.run(message, end).await {
            Err(Failure::Refused { reason: Reason::InvalidRequest, .. }) => Ok(()),
            ended => ended,
        }
    }

    /// The user and the session that the token belongs to, if it names a user.
    ///
    /// # Errors
    /// Why not; also if identity-service names neither.
    pub async fn get_session(&self, token: &SecretString) -> Result<(Uuid, Uuid), Failure> {
        let message = v1::GetSessionRequest { id: to_session_id(Which::Current) };
        let call = self.call(Operation::Read, TIMEOUT).with(token).repeatable();
        let get = async |channel, request| SessionsServiceClient::new(channel).get_session(request).await;
        to_session_ids(&call.run(message, get).await?).ok_or(Failure::Internal)
    }

    /// Ends a session of the caller.
    ///
    /// # Errors
    /// Why not.
    pub async fn end_session(&self, token: &SecretString, which: Which<'_>) -> Result<(), Failure> {
        let operation = match which {
            Which::Current => Operation::LogOut,
            Which::Id(_) => Operation::EndSessions,
        };
        let message = v1::DeleteSessionRequest { id: to_session_id(which) };
        let call = self.call(operation, TIMEOUT).with(token);
        let delete =
            async |channel, request| SessionsServiceClient::new(channel).delete_session(request).await;
        call.run(message, delete).await
    }

    /// Ends all sessions of a user; of the caller, all but the one that the token belongs to.
    ///
    /// # Errors
    /// Why not.
    pub async fn end_sessions(&self, token: &SecretString, who: Who<'_>) -> Result<(), Failure> {
        let message = v1::DeleteSessionsRequest { user_id: to_id(who) };
        let call = self.call(Operation::EndSessions, TIMEOUT).with(token);
        let delete =
            async |channel, request| SessionsServiceClient::new(channel).delete_sessions(request).await;
        call.run(message, delete).await
    }

    /// Lists the newest sessions of a user, 200 at most.
    ///
    /// # Errors
    /// Why not.
    pub async fn list_sessions(&self, token: &SecretString, who: Who<'_>) -> Result<Vec<Session>, Failure> {
        let message =
            v1::ListSessionsRequest { user_id: to_id(who), page_size: PAGE, page_token: String::new() };
        let call = self.call(Operation::Read, TIMEOUT).with(token).repeatable();
        let list = async |channel, request| SessionsServiceClient::new(channel).list_sessions(request).await;
        let answer = call.run(message, list).await?;
        to_sessions(answer).ok_or_else(|| {
            tracing::error!("identity-service does not say all times of a session");
            Failure::Internal
        })
    }
}

fn untold() -> Failure {
    tracing::error!("identity-service does not say for how long a token is good, or lacks one");
    Failure::Internal
}
