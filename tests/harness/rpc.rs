//! A gRPC client of identity-service, as another service would be.

use portcullis_proto::v1::recovery_service_client::RecoveryServiceClient;
use portcullis_proto::v1::sessions_service_client::SessionsServiceClient;
use portcullis_proto::v1::trust_service_client::TrustServiceClient;
use portcullis_proto::v1::users_service_client::UsersServiceClient;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

/// Clients of the four services over one connection.
#[derive(Clone)]
pub struct Rpc {
    pub users: UsersServiceClient<Channel>,
    pub sessions: SessionsServiceClient<Channel>,
    pub recovery: RecoveryServiceClient<Channel>,
    pub trust: TrustServiceClient<Channel>,
}

impl Rpc {
    pub async fn connect(port: u16) -> Self {
        let channel = channel(port).await.expect("identity-service listens");
        Self {
            users: UsersServiceClient::new(channel.clone()),
            sessions: SessionsServiceClient::new(channel.clone()),
            recovery: RecoveryServiceClient::new(channel.clone()),
            trust: TrustServiceClient::new(channel),
        }
    }

    /// Whether the process at this port says SERVING.
    pub async fn is_serving(port: u16) -> bool {
        let Ok(channel) = channel(port).await else { return false };
        let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
        answer.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving)
    }
}

async fn channel(port: u16) -> Result<Channel, tonic::transport::Error> {
    Channel::from_shared(format!("http://127.0.0.1:{port}")).expect("is a URL").connect().await
}

/// A message with a bearer token (none if empty).
pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        let value = format!("Bearer {token}").parse().expect("is ASCII");
        request.metadata_mut().insert("authorization", value);
    }
    request
}

/// Code and reason of a failure, or `OK`.
pub fn outcome<T>(result: &Result<T, Status>) -> String {
    match result {
        Ok(_) => "OK".to_owned(),
        Err(status) => {
            let details = status.get_error_details();
            let info = details.error_info().unwrap_or_else(|| panic!("without ErrorInfo: {status:?}"));
            assert_eq!(info.domain, portcullis_proto::reason::DOMAIN);
            format!("{:?} {}", status.code(), info.reason)
        }
    }
}
