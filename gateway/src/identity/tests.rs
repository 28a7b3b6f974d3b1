//! The client against a server that is away, slow or back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portcullis_proto::reason::{DOMAIN, Reason};
use portcullis_proto::v1::trust_service_server::{TrustService, TrustServiceServer};
use portcullis_proto::v1::{GetKeysRequest, GetKeysResponse, PublicKey};
use tokio::runtime::Runtime;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use url::Url;

use super::Identity;
use super::replicas::Replicas;
use crate::failure::Failure;

/// An identity-service that can do nothing but show its keys.
#[derive(Clone, Default)]
pub(crate) struct Trust {
    pub(crate) keys: Arc<Mutex<Vec<PublicKey>>>,
    pub(crate) delay: Duration,
    /// Whether it says that the caller's time is up, as it does a moment before the caller sees it.
    pub(crate) is_late: bool,
    /// How often it was asked.
    pub(crate) calls: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl TrustService for Trust {
    async fn get_keys(&self, request: Request<GetKeysRequest>) -> Result<Response<GetKeysResponse>, Status> {
        assert!(request.metadata().contains_key("grpc-timeout"));
        self.calls.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.delay).await;
        if self.is_late {
            let (reason, nothing) = (Reason::DeadlineExceeded.as_str(), HashMap::new());
            let details = ErrorDetails::with_error_info(reason, DOMAIN, nothing);
            return Err(Status::with_error_details(Code::DeadlineExceeded, "", details));
        }
        let issuer = "https://id.example".to_owned();
        Ok(Response::new(GetKeysResponse { issuer, keys: self.keys.lock().unwrap().clone() }))
    }
}

pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server in a runtime of its own, with which its connections go too. It waits until the address is free.
pub(crate) fn serve(address: SocketAddr, trust: Trust) -> Runtime {
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
        let server = Server::builder().add_service(health).add_service(TrustServiceServer::new(trust));
        server.serve_with_incoming(incoming).await
    });
    runtime
}

pub(crate) fn client(address: SocketAddr) -> Identity {
    Identity::connect(Arc::new(Replicas::new(&[Url::parse(&format!("http://{address}")).unwrap()])))
}

/// A client of several replicas that watches them.
fn watching(addresses: &[SocketAddr]) -> Identity {
    let urls: Vec<_> =
        addresses.iter().map(|address| Url::parse(&format!("http://{address}")).unwrap()).collect();
    let replicas = Arc::new(Replicas::new(&urls));
    let watched = Arc::clone(&replicas);
    tokio::spawn(async move { watched.watch().await });
    Identity::connect(replicas)
}

async fn eventually_works(client: &Identity) {
    let start = Instant::now();
    while let Err(failure) = client.keys().await {
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
            assert_eq!(client.keys().await, Err(Failure::Unreachable));
            assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
        }
        let server = serve(address, Trust::default());
        eventually_works(&client).await;
        server.shutdown_background();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let address = free_address();
    let server = serve(address, Trust { delay: Duration::from_secs(60), ..Trust::default() });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    assert_eq!(client(address).keys().await, Err(Failure::TooLate));
    server.shutdown_background();
    assert!((Duration::from_millis(1900)..Duration::from_millis(2600)).contains(&start.elapsed()));
}

#[tokio::test]
async fn a_listener_that_never_answers_is_given_up_at_the_deadline() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap());
    let start = Instant::now();
    assert_eq!(client.keys().await, Err(Failure::TooLate));
    assert!(start.elapsed() < Duration::from_millis(2600), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_call_that_reached_nobody_is_made_elsewhere() {
    let (away, there) = (free_address(), free_address());
    let server = serve(there, Trust::default());
    let client = watching(&[away, there]);
    while !client.is_serving() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..20 {
        assert!(client.keys().await.is_ok());
    }
    server.shutdown_background();
}

#[tokio::test]
async fn a_read_does_not_wait_for_a_replica_that_stalls_while_another_is_well() {
    let (slow, quick) = (free_address(), free_address());
    let calls = Arc::default();
    let stalling = Trust { delay: Duration::from_secs(60), calls: Arc::clone(&calls), ..Trust::default() };
    let servers = [serve(slow, stalling), serve(quick, Trust::default())];
    let client = watching(&[slow, quick]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..5 {
        let start = Instant::now();
        assert!(client.keys().await.is_ok());
        assert!(start.elapsed() < Duration::from_millis(1_500), "{:?}", start.elapsed());
    }
    assert!(calls.load(Ordering::SeqCst) > 0, "the one that stalls was never asked");
    servers.into_iter().for_each(Runtime::shutdown_background);
}

#[tokio::test]
async fn a_read_that_a_replica_itself_says_is_late_is_made_elsewhere() {
    let (slow, quick) = (free_address(), free_address());
    let calls = Arc::default();
    let late = Trust { is_late: true, calls: Arc::clone(&calls), ..Trust::default() };
    let servers = [serve(slow, late), serve(quick, Trust::default())];
    let client = watching(&[slow, quick]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..20 {
        assert!(client.keys().await.is_ok());
    }
    assert!(calls.load(Ordering::SeqCst) > 0, "the one that is late was never asked");
    servers.into_iter().for_each(Runtime::shutdown_background);
}
