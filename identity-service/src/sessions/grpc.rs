//! `SessionsService`: parse, call, render.

use std::sync::Arc;

use portcullis_proto::v1;
use portcullis_proto::v1::sessions_service_server::{SessionsService, SessionsServiceServer};
use tonic::{Request, Response, Status};

use super::Sessions;
use super::model::{NewSession, Session, Target};
use crate::credentials::Password;
use crate::error::{Error, Result, Violation};
use crate::ids::parse_uuid;
use crate::trust::{self, Trust};

/// The service over these sessions.
pub fn service(sessions: Sessions, trust: Arc<Trust>) -> SessionsServiceServer<impl SessionsService> {
    SessionsServiceServer::new(Service { sessions, trust })
}

struct Service {
    sessions: Sessions,
    trust: Arc<Trust>,
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
        let log_in = self.sessions.log_in(&request.email, password).await?;
        Ok(Response::new(to_response(log_in)))
    }

    async fn get_session(
        &self,
        request: Request<v1::GetSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        let caller = trust::grpc::caller(&self.trust, &request)?;
        let session = self.sessions.get(&caller, parse_target(&request.get_ref().id)).await?;
        Ok(Response::new(to_session(&session)))
    }

    async fn delete_session(
        &self,
        request: Request<v1::DeleteSessionRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = trust::grpc::caller(&self.trust, &request)?;
        let target = parse_target(&request.get_ref().id);
        self.sessions.log_out(caller, target).await?;
        Ok(Response::new(()))
    }
}

/// Refuses a login that lacks a field, as the gateway does a form: an empty one is a missing one.
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

fn to_response(log_in: NewSession) -> v1::CreateSessionResponse {
    v1::CreateSessionResponse {
        session: Some(to_session(&log_in.session)),
        access_token: log_in.access_token,
        expires_in: log_in.expires_in.try_into().ok(),
    }
}

fn to_session(session: &Session) -> v1::Session {
    v1::Session {
        id: session.id.as_uuid().to_string(),
        user_id: session.user.as_uuid().to_string(),
        create_time: Some(session.created_at.into()),
        expire_time: Some(session.expires_at.into()),
    }
}
