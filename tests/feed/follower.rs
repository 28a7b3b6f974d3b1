//! Somebody who follows the feed of a replica, as any service may.

use std::time::Duration;

use portcullis_proto::v1::{
    PublicKey, Revocation, WatchProbe, WatchRequest, WatchResponse, WatchStart, revocation, watch_request,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::LAW;
use crate::harness::{Process, Rpc, outcome};

/// How long a replica may take to say what it has to.
const SOON: Duration = Duration::from_secs(2);

/// Somebody who follows a replica.
pub struct Follower {
    pub requests: mpsc::UnboundedSender<WatchRequest>,
    pub answers: Streaming<WatchResponse>,
}

/// What a follower has been told until something was so.
#[derive(Default, Debug)]
pub struct Told {
    pub keys: Option<Vec<PublicKey>>,
    pub revocations: Vec<Revocation>,
    pub position: String,
    pub probe: u64,
    pub has_time: bool,
}

pub fn start(position: &str) -> WatchRequest {
    let start = WatchStart { position: position.to_owned() };
    WatchRequest { request: Some(watch_request::Request::Start(start)) }
}

pub fn probe(number: u64) -> WatchRequest {
    WatchRequest { request: Some(watch_request::Request::Probe(WatchProbe { number })) }
}

impl Follower {
    /// Begins with these requests.
    pub async fn with(port: u16, first: Vec<WatchRequest>) -> Result<Self, Status> {
        let (requests, mut receiver) = mpsc::unbounded_channel();
        first.into_iter().for_each(|request| requests.send(request).unwrap());
        let stream = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
        let answers = Rpc::connect(port).await.trust.watch(stream).await?.into_inner();
        Ok(Self { requests, answers })
    }

    pub async fn from(identity: &Process, position: &str) -> Self {
        Self::with(identity.port, vec![start(position)]).await.unwrap()
    }

    /// Listens until something is so.
    pub async fn until(&mut self, is_so: impl Fn(&Told) -> bool) -> Told {
        let mut told = Told::default();
        let listen = async {
            while !is_so(&told) {
                let message = self.answers.message().await.expect("tells").expect("goes on");
                told.keys = message.keys.map(|keys| keys.keys).or(told.keys.take());
                told.revocations.extend(message.revocations);
                told.has_time |= message.time.is_some();
                (told.position, told.probe) = (message.position, told.probe.max(message.probe));
            }
        };
        timeout(SOON + LAW, listen).await.unwrap_or_else(|_| panic!("it is not told"));
        told
    }

    /// What is told until there is a position.
    pub async fn until_complete(&mut self) -> Told {
        self.until(|told| !told.position.is_empty()).await
    }

    /// What is told until the end of this session is.
    pub async fn until_ended(&mut self, session: &str) -> Told {
        self.until(|told| sessions(told).iter().any(|id| id == session)).await
    }

    /// Sends a probe, and listens until it is answered.
    pub async fn probe(&mut self, number: u64) -> Told {
        self.requests.send(probe(number)).unwrap();
        self.until(|told| told.probe >= number).await
    }

    /// How the stream ends: without a word, or with a failure.
    pub async fn end(mut self) -> String {
        let ended = timeout(Duration::from_secs(8), async {
            loop {
                match self.answers.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return "OK".to_owned(),
                    Err(status) => return outcome::<()>(&Err(status)),
                }
            }
        });
        ended.await.expect("it ends")
    }
}

/// The sessions that revocations name.
pub fn sessions(told: &Told) -> Vec<String> {
    let session = |revocation: &Revocation| match revocation.tokens.clone()? {
        revocation::Tokens::SessionId(id) => Some(id),
        revocation::Tokens::User(_) => None,
    };
    told.revocations.iter().filter_map(session).collect()
}
