//! A replica that tells a gateway what is not so, in the ways in which one could be built wrongly: what the tests of the
//! trust feed must find out.

use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{Stream, unfold};
use portcullis_proto::v1::trust_service_client::TrustServiceClient;
use portcullis_proto::v1::trust_service_server::{TrustService, TrustServiceServer};
use portcullis_proto::v1::{
    GetKeysRequest, GetKeysResponse, Revocation, UserRevocation, WatchRequest, WatchResponse, revocation,
    watch_request,
};
use tokio::sync::mpsc;
use tokio_postgres::Client;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};

use super::{Database, free_port};

/// How often it reads.
const READ_EVERY: Duration = Duration::from_millis(20);

/// In which way it is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Flaw {
    /// It tells nothing.
    IgnoresRevocations,
    /// It reads what comes after the last number that it has seen, by a sequence which is not that of the commits.
    ReadsBySequence,
    /// It tells of every user an epoch that ends nothing.
    IgnoresEpochs,
    /// It takes its own clock, which is five minutes behind, for that of the database.
    TellsWrongTime,
    /// It answers a probe at once, from what it has read before; and what it reads, it tells later.
    AnswersUnread,
}

/// A replica with a flaw, which listens at a port. It goes with the runtime of its test.
pub struct NaiveReplica {
    pub port: u16,
}

impl NaiveReplica {
    /// In front of this database, with the keys of a real replica at this port.
    pub async fn start(flaw: Flaw, database: &Database, real: u16) -> Self {
        let port = free_port();
        let channel =
            Channel::from_shared(format!("http://127.0.0.1:{real}")).unwrap().connect().await.unwrap();
        let keys = TrustServiceClient::new(channel).get_keys(GetKeysRequest {}).await.unwrap().into_inner();
        let service = Service { flaw, url: database.url.clone(), keys };
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], port).into()).unwrap();
        // Of the whole server the health service says by itself that it serves.
        let (_, health) = tonic_health::server::health_reporter();
        let server = Server::builder().add_service(health).add_service(TrustServiceServer::new(service));
        tokio::spawn(server.serve_with_incoming(incoming));
        Self { port }
    }
}

struct Service {
    flaw: Flaw,
    url: String,
    keys: GetKeysResponse,
}

type Answers = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

#[tonic::async_trait]
impl TrustService for Service {
    async fn get_keys(&self, _: Request<GetKeysRequest>) -> Result<Response<GetKeysResponse>, Status> {
        Ok(Response::new(self.keys.clone()))
    }

    type WatchStream = Answers;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Answers>, Status> {
        let (sender, receiver) = mpsc::channel(1);
        let keys = WatchResponse { keys: Some(self.keys.clone()), ..Default::default() };
        let client = super::database::connect(&self.url).await;
        tokio::spawn(tell(self.flaw, client, request.into_inner(), keys, sender));
        let answers =
            unfold(receiver, |mut receiver| async move { Some((Ok(receiver.recv().await?), receiver)) });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Tells what it reads, until nobody listens.
async fn tell(
    flaw: Flaw,
    client: Client,
    mut requests: Streaming<WatchRequest>,
    keys: WatchResponse,
    sender: mpsc::Sender<WatchResponse>,
) {
    let _ = sender.send(keys).await;
    let mut last = 0;
    let mut ticks = tokio::time::interval(READ_EVERY);
    loop {
        let mut message = WatchResponse { position: "naive".into(), ..Default::default() };
        tokio::select! {
            request = requests.message() => match request {
                Ok(Some(WatchRequest { request: Some(watch_request::Request::Probe(probe)) })) => {
                    message.probe = probe.number;
                    let behind = Duration::from_secs(if flaw == Flaw::TellsWrongTime { 300 } else { 0 });
                    message.time = Some((std::time::SystemTime::now() - behind).into());
                }
                Ok(Some(_)) => continue,
                Ok(None) | Err(_) => return,
            },
            _ = ticks.tick() => {}
        }
        let must_read = flaw != Flaw::AnswersUnread || message.probe == 0;
        if must_read
            && let Ok(Ok(read)) = tokio::time::timeout(READ_EVERY, read(flaw, &client, &mut last)).await
        {
            message.revocations = read;
        }
        if sender.send(message).await.is_err() {
            return;
        }
    }
}

async fn read(flaw: Flaw, client: &Client, last: &mut i64) -> Result<Vec<Revocation>, tokio_postgres::Error> {
    let sql = "SELECT id, session_id::text, user_id::text, epoch FROM revocations WHERE id > $1 ORDER BY id";
    let rows = client.query(sql, &[&*last]).await?;
    *last = rows.last().map_or(*last, |row| row.get(0));
    let revocations = rows.iter().map(|row| {
        let tokens = match (row.get::<_, Option<String>>(1), row.get(2)) {
            (_, Some(user_id)) => {
                let epoch = if flaw == Flaw::IgnoresEpochs { 0 } else { row.get(3) };
                revocation::Tokens::User(UserRevocation { user_id, epoch })
            }
            (session, None) => revocation::Tokens::SessionId(session.unwrap_or_default()),
        };
        Revocation {
            tokens: Some(tokens),
            remaining: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
        }
    });
    Ok(if flaw == Flaw::IgnoresRevocations { Vec::new() } else { revocations.collect() })
}
