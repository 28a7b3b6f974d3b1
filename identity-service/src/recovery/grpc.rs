//! `RecoveryService`: parse, call, render.

use portcullis_proto::v1;
use portcullis_proto::v1::recovery_service_server::{RecoveryService, RecoveryServiceServer};
use tonic::{Request, Response, Status};

use super::Recovery;
use super::model::Purpose;
use crate::error::Error;
use crate::users::Users;
use crate::users::grpc::{parse_email, to_user};

/// The service of this recovery, for these users.
pub fn service(recovery: Recovery, users: Users) -> RecoveryServiceServer<impl RecoveryService> {
    RecoveryServiceServer::new(Service { recovery, users })
}

struct Service {
    recovery: Recovery,
    users: Users,
}

impl Service {
    async fn ask(&self, purpose: Purpose, email: &str, languages: &[String]) -> Result<Response<()>, Status> {
        let email = parse_email(email).map_err(|violation| Error::InvalidRequest(vec![violation]))?;
        self.recovery.request(purpose, &email, languages).await?;
        Ok(Response::new(()))
    }
}

#[tonic::async_trait]
impl RecoveryService for Service {
    async fn request_password_reset(
        &self,
        request: Request<v1::RequestPasswordResetRequest>,
    ) -> Result<Response<()>, Status> {
        let request = request.into_inner();
        self.ask(Purpose::Reset, &request.email, &request.language_codes).await
    }

    async fn reset_password(
        &self,
        request: Request<v1::ResetPasswordRequest>,
    ) -> Result<Response<()>, Status> {
        let v1::ResetPasswordRequest { token, password } = request.into_inner();
        self.recovery.reset_password(&token, password).await?;
        Ok(Response::new(()))
    }

    async fn request_verification(
        &self,
        request: Request<v1::RequestVerificationRequest>,
    ) -> Result<Response<()>, Status> {
        let request = request.into_inner();
        self.ask(Purpose::Verify, &request.email, &request.language_codes).await
    }

    async fn verify_email(
        &self,
        request: Request<v1::VerifyEmailRequest>,
    ) -> Result<Response<v1::User>, Status> {
        let user = self.recovery.verify_email(&request.into_inner().token).await?;
        Ok(Response::new(to_user(self.users.own_fields(), &user)))
    }
}
