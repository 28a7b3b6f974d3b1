//! `SessionsService`: parse, call, render.

use std::time::Duration;

use portcullis_proto::v1;
use portcullis_proto::v1::sessions_service_server::{SessionsService, SessionsServiceServer};
use tonic::{Request, Response, Status};

use super::Sessions;
use super::client::Client;
use super::model::{Caller, Listed, NewSession, RefreshToken, Session, Target, Tokens};
use crate::credentials::Password;
use crate::error::{Error, Result, Violation};
use crate::ids::parse_uuid;
use crate::page::Page;
use crate::trust::grpc::Callers;
use crate::users::Users;
use crate::users::grpc::parse_target as parse_owner;

/// The service over these sessions, whose owners are these users.
pub fn service(
    sessions: Sessions,
    users: Users,
    callers: Callers,
) -> SessionsServiceServer<impl SessionsService> {
    SessionsServiceServer::new(Service { sessions, users, callers })
}

struct Service {
    sessions: Sessions,
    users: Users,
    callers: Callers,
}

#[tonic::async_trait]
impl SessionsService for Service {
    async fn create_session(
        &self,
        request: Request<v1::CreateSessionRequest>,
    ) -> Result<Response<v1::CreateSessionResponse>, Status> {
        let request = request.into_inner();
        require(&[("email", &request.email), ("password", &request.password)])?;
        // A password that is longer than any that can be set is nobody's.
        let password = Password::new(request.password).map_err(|_| Error::BadCredentials)?;
        let client = Client::told(&request.user_agent, &request.client_address);
        let log_in = self.sessions.log_in(&request.email, password, client, request.offline_access).await?;
        Ok(Response::new(to_response(log_in)))
    }

    async fn refresh_session(
        &self,
        request: Request<v1::RefreshSessionRequest>,
    ) -> Result<Response<v1::RefreshSessionResponse>, Status> {
        let token = request.into_inner().refresh_token;
        require(&[("refresh_token", &token)])?;
        let tokens = self.sessions.refresh(&token).await?;
        Ok(Response::new(to_refreshed(tokens)))
    }

    async fn end_session(&self, request: Request<v1::EndSessionRequest>) -> Result<Response<()>, Status> {
        let token = request.into_inner().end_token;
        require(&[("end_token", &token)])?;
        self.sessions.end_by_token(&token).await?;
        Ok(Response::new(()))
    }

    async fn get_session(
        &self,
        request: Request<v1::GetSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        let caller = self.callers.of(&request).await?;
        let session = self.sessions.get(&caller, parse_target(&request.get_ref().id)).await?;
        Ok(Response::new(to_session(&session, Some(&caller))))
    }

    async fn delete_session(
        &self,
        request: Request<v1::DeleteSessionRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = self.callers.of(&request).await?;
        let target = parse_target(&request.get_ref().id);
        self.sessions.log_out(caller, target).await?;
        Ok(Response::new(()))
    }

    async fn delete_sessions(
        &self,
        request: Request<v1::DeleteSessionsRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = self.callers.of(&request).await?;
        let owner = parse_owner(&request.get_ref().user_id);
        self.users.end_sessions(caller, owner).await?;
        Ok(Response::new(()))
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let caller = self.callers.of(&request).await?;
        let v1::ListSessionsRequest { user_id, page_size, page_token } = request.get_ref();
        let owner = parse_owner(user_id);
        let page = || Page::parse(*page_size, page_token);
        let Listed { sessions, next } = self.users.list_sessions(&caller, owner, page).await?;
        Ok(Response::new(v1::ListSessionsResponse {
            sessions: sessions.iter().map(|session| to_session(session, Some(&caller))).collect(),
            next_page_token: next.map(|after| after.as_uuid().to_string()).unwrap_or_default(),
        }))
    }
}

/// Refuses a request that lacks a field, as the gateway does a form: an empty one is a missing one.
fn require(fields: &[(&'static str, &str)]) -> Result<()> {
    let missing = fields.iter().filter(|(_, value)| value.is_empty());
    let violations: Vec<_> = missing.map(|&(field, _)| Violation::new(field, "Field required")).collect();
    if violations.is_empty() { Ok(()) } else { Err(Error::InvalidRequest(violations)) }
}

fn parse_target(id: &str) -> Target {
    match id {
        "current" => Target::Current,
        id => Target::Id(parse_uuid(id).map(Into::into)),
    }
}

fn to_response(NewSession { session, tokens }: NewSession) -> v1::CreateSessionResponse {
    let (refresh_token, end_token, refresh_expires_in) = to_refresh(tokens.refresh);
    v1::CreateSessionResponse {
        session: Some(to_session(&session, None)),
        access_token: tokens.access_token,
        expires_in: tokens.expires_in.try_into().ok(),
        refresh_token,
        end_token,
        refresh_expires_in: refresh_expires_in.and_then(|left| left.try_into().ok()),
    }
}

fn to_refreshed(tokens: Tokens) -> v1::RefreshSessionResponse {
    let (refresh_token, end_token, refresh_expires_in) = to_refresh(tokens.refresh);
    v1::RefreshSessionResponse {
        session_id: tokens.session.as_uuid().to_string(),
        access_token: tokens.access_token,
        expires_in: tokens.expires_in.try_into().ok(),
        refresh_token,
        end_token,
        refresh_expires_in: refresh_expires_in.and_then(|left| left.try_into().ok()),
    }
}

/// A refresh token, its end token and for how long it is good, as the answers have them.
fn to_refresh(refresh: Option<RefreshToken>) -> (String, String, Option<Duration>) {
    refresh
        .map_or_else(Default::default, |refresh| (refresh.token, refresh.end_token, Some(refresh.expires_in)))
}

fn to_session(session: &Session, caller: Option<&Caller>) -> v1::Session {
    v1::Session {
        id: session.id.as_uuid().to_string(),
        user_id: session.user.as_uuid().to_string(),
        create_time: Some(session.created_at.into()),
        expire_time: Some(session.expires_at.into()),
        last_seen_time: Some(session.last_seen_at.into()),
        user_agent: session.client.user_agent.clone().unwrap_or_default(),
        address_prefix: session.client.address_prefix.clone().unwrap_or_default(),
        is_current: caller.is_some_and(|caller| caller.session == session.id),
    }
}
