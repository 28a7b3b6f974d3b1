//! The client against a server that is away, slow or back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use portcullis_proto::reason::{DOMAIN, Reason};
use portcullis_proto::v1;
use portcullis_proto::v1::sessions_service_server::{SessionsService, SessionsServiceServer};
use portcullis_proto::v1::users_service_server::{UsersService, UsersServiceServer};
use portcullis_proto::v1::{
    CreateUserRequest, DeleteUserRequest, GetUserRequest, ListUsersRequest, ListUsersResponse,
    UpdateUserRequest, User,
};
use secrecy::SecretString;
use tokio::runtime::Runtime;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use url::Url;
use uuid::Uuid;

use super::replicas::Replicas;
use super::{Identity, Who};
use crate::client::Client;
use crate::failure::{Failure, Operation};

/// An identity-service that can do nothing but show a user.
#[derive(Clone, Default)]
struct Users {
    delay: Duration,
    /// Whether it says that the caller's time is up, as it does a moment before the caller sees it.
    is_late: bool,
    /// How often it was asked.
    calls: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl UsersService for Users {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        assert!(request.metadata().contains_key("grpc-timeout"));
        self.calls.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.delay).await;
        if self.is_late {
            let (reason, nothing) = (Reason::DeadlineExceeded.as_str(), HashMap::new());
            let details = ErrorDetails::with_error_info(reason, DOMAIN, nothing);
            return Err(Status::with_error_details(Code::DeadlineExceeded, "", details));
        }
        Ok(Response::new(User::default()))
    }

    async fn create_user(&self, _: Request<CreateUserRequest>) -> Result<Response<User>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }

    async fn update_user(&self, _: Request<UpdateUserRequest>) -> Result<Response<User>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }

    async fn delete_user(&self, _: Request<DeleteUserRequest>) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }

    async fn list_users(&self, _: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }
}

/// One that is older than refresh tokens: it knows fewer calls, and fewer fields.
struct Old;

#[tonic::async_trait]
impl SessionsService for Old {
    async fn create_session(
        &self,
        _: Request<v1::CreateSessionRequest>,
    ) -> Result<Response<v1::CreateSessionResponse>, Status> {
        Ok(Response::new(v1::CreateSessionResponse {
            session: Some(v1::Session { id: Uuid::now_v7().to_string(), ..Default::default() }),
            access_token: "token".to_owned(),
            expires_in: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
            ..Default::default()
        }))
    }

    async fn refresh_session(
        &self,
        _: Request<v1::RefreshSessionRequest>,
    ) -> Result<Response<v1::RefreshSessionResponse>, Status> {
        Err(Status::unimplemented("There is no such method, or no such compression."))
    }

    async fn end_session(&self, _: Request<v1::EndSessionRequest>) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("There is no such method, or no such compression."))
    }

    async fn get_session(&self, _: Request<v1::GetSessionRequest>) -> Result<Response<v1::Session>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }

    async fn delete_session(&self, _: Request<v1::DeleteSessionRequest>) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }

    async fn delete_sessions(&self, _: Request<v1::DeleteSessionsRequest>) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }

    async fn list_sessions(
        &self,
        _: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }
}

/// What the client says when it reads a user.
async fn read(client: &Identity) -> Result<(), Failure> {
    client.get_user(&SecretString::from("token"), Who::Caller, Operation::Read).await.map(drop)
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server in a runtime of its own, with which its connections go too. It waits until the address is free.
fn serve(address: SocketAddr, users: Users) -> Runtime {
    let runtime = Runtime::new().unwrap();
    runtime.spawn(async move {
        let incoming = loop {
            match TcpIncoming::bind(address) {
                Ok(incoming) => break incoming,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        // Of the whole server the health service says by itself that it serves.
        let (_, health) = tonic_health::server::health_reporter();
        let server = Server::builder()
            .add_service(health)
            .add_service(UsersServiceServer::new(users))
            .add_service(SessionsServiceServer::new(Old));
        server.serve_with_incoming(incoming).await
    });
    runtime
}

fn client(address: SocketAddr) -> Identity {
    Identity::connect(Arc::new(Replicas::new(&[Url::parse(&format!("http://{address}")).unwrap()])))
}

/// A client of several replicas that watches them.
fn watching(addresses: &[SocketAddr]) -> Identity {
    let urls: Vec<_> =
        addresses.iter().map(|address| Url::parse(&format!("http://{address}")).unwrap()).collect();
    let replicas = Arc::new(Replicas::new(&urls));
    tokio::spawn(super::discovery::watch(Arc::clone(&replicas)));
    Identity::connect(replicas)
}

async fn eventually_works(client: &Identity) {
    let start = Instant::now();
    while let Err(failure) = read(client).await {
        assert!(start.elapsed() < Duration::from_secs(5), "{failure:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn calls_fail_fast_while_nobody_listens_and_work_again_by_themselves() {
    let address = free_address();
    let client = client(address);
    for _ in 0..2 {
        for _ in 0..5 {
            let start = Instant::now();
            assert_eq!(read(&client).await, Err(Failure::Unreachable));
            assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
        }
        let server = serve(address, Users::default());
        eventually_works(&client).await;
        server.shutdown_background();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn what_an_older_identity_service_does_not_know_is_away_and_what_it_does_not_give_is_not_given() {
    let address = free_address();
    let server = serve(address, Users::default());
    let client = client(address);
    eventually_works(&client).await;
    let token = SecretString::from("token");
    assert_eq!(client.refresh_session(&token).await.err(), Some(Failure::Unreachable));
    assert_eq!(client.end_by_token(&token).await, Err(Failure::Unreachable));
    for offline_access in [false, true] {
        let from = Client::default();
        let tokens = client.create_session("a@b.com".to_owned(), &token, from, offline_access).await;
        assert!(tokens.is_ok_and(|tokens| tokens.refresh.is_none()), "{offline_access}");
    }
    server.shutdown_background();
}

#[tokio::test]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let address = free_address();
    let server = serve(address, Users { delay: Duration::from_secs(60), ..Users::default() });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    assert_eq!(read(&client(address)).await, Err(Failure::TooLate));
    server.shutdown_background();
    assert!((Duration::from_millis(1900)..Duration::from_millis(2600)).contains(&start.elapsed()));
}

#[tokio::test]
async fn a_listener_that_never_answers_is_given_up_at_the_deadline() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap());
    let start = Instant::now();
    assert_eq!(read(&client).await, Err(Failure::TooLate));
    assert!(start.elapsed() < Duration::from_millis(2600), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_call_that_reached_nobody_is_made_elsewhere() {
    let (away, there) = (free_address(), free_address());
    let server = serve(there, Users::default());
    let client = watching(&[away, there]);
    while !client.is_serving() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..20 {
        assert!(read(&client).await.is_ok());
    }
    server.shutdown_background();
}

#[tokio::test]
async fn a_read_does_not_wait_for_a_replica_that_stalls_while_another_is_well() {
    let (slow, quick) = (free_address(), free_address());
    let calls = Arc::default();
    let stalling = Users { delay: Duration::from_secs(60), calls: Arc::clone(&calls), ..Users::default() };
    let servers = [serve(slow, stalling), serve(quick, Users::default())];
    let client = watching(&[slow, quick]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..5 {
        let start = Instant::now();
        assert!(read(&client).await.is_ok());
        assert!(start.elapsed() < Duration::from_millis(1_500), "{:?}", start.elapsed());
    }
    assert!(calls.load(Ordering::SeqCst) > 0, "the one that stalls was never asked");
    servers.into_iter().for_each(Runtime::shutdown_background);
}

#[tokio::test]
async fn a_read_that_a_replica_itself_says_is_late_is_made_elsewhere() {
    let (slow, quick) = (free_address(), free_address());
    let calls = Arc::default();
    let late = Users { is_late: true, calls: Arc::clone(&calls), ..Users::default() };
    let servers = [serve(slow, late), serve(quick, Users::default())];
    let client = watching(&[slow, quick]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..20 {
        assert!(read(&client).await.is_ok());
    }
    assert!(calls.load(Ordering::SeqCst) > 0, "the one that is late was never asked");
    servers.into_iter().for_each(Runtime::shutdown_background);
}
