//! The trust feed as a stream of news: `TrustService.Watch`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use futures_util::Stream;
use portcullis_proto::v1;
use portcullis_proto::v1::trust_service_client::TrustServiceClient;
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use super::message::to_keys;
use super::replicas::Replica;
use super::{Identity, Keys};

/// How many probes may wait to be sent.
const BACKLOG: usize = 8;

/// A replica that tells what has changed.
pub struct Watch {
    requests: mpsc::Sender<v1::WatchRequest>,
    answers: Streaming<v1::WatchResponse>,
}

/// What a replica tells at once.
pub struct News {
    /// The keys, if they are not those that it has told before.
    pub keys: Option<Keys>,
    /// What has ended.
    pub revocations: Vec<Revocation>,
    /// Until where everything is known with this; nothing while more follows.
    pub position: Option<String>,
    /// The latest probe that this answers.
    pub probe: Option<u64>,
    /// What the clock of the database said, between a probe and its answer.
    pub time: Option<SystemTime>,
}

/// That tokens have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Which.
    pub tokens: Tokens,
    /// For how long one can still come that has not expired.
    pub remaining: Duration,
}

/// Which tokens have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// Those of this session.
    OfSession(Uuid),
    /// Those of this user with an epoch below this one.
    OfUser(Uuid, i64),
}

/// Why a replica tells no more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// It says nothing, or takes nothing.
    #[error("the replica says nothing")]
    Late,
    /// It has ended the stream.
    #[error("the replica has ended the stream")]
    Ended,
    /// It does not take the position from which it was to go on.
    #[error("the replica does not take the position")]
    Position,
    /// It cannot be reached, or fails.
    #[error("the replica cannot be followed: {code:?}: {message}")]
    Failed {
        /// The status, as gRPC names it.
        code: Code,
        /// In whose words whatever is said, for the log.
        message: String,
    },
    /// It says what nobody understands.
    #[error("the replica says what is not in the contract")]
    Malformed,
}

impl Identity {
    /// The replica to follow, if one is known: another than `last`, if there is one that is well.
    #[must_use]
    pub fn pick_to_follow(&self, last: Option<&Replica>) -> Option<Arc<Replica>> {
        self.channels.replicas().pick(last)
    }

    /// Begins to follow a replica, from a position on.
    ///
    /// # Errors
    /// Why it cannot be followed.
    pub async fn watch(&self, replica: &Arc<Replica>, from: Option<String>) -> Result<Watch, Lost> {
        let channel = self.channels.channel(replica);
        let (requests, receiver) = mpsc::channel(BACKLOG);
        let start = v1::WatchStart { position: from.unwrap_or_default() };
        let start = v1::WatchRequest { request: Some(v1::watch_request::Request::Start(start)) };
        requests.try_send(start).expect("there is room");
        let answers = TrustServiceClient::new(channel).watch(Requests(receiver)).await;
        let answers = answers.map_err(|status| to_lost(&status))?.into_inner();
        Ok(Watch { requests, answers })
    }
}

impl Watch {
    /// Sends a probe; whether that was possible.
    pub fn probe(&self, number: u64) -> bool {
        let probe = v1::watch_request::Request::Probe(v1::WatchProbe { number });
        self.requests.try_send(v1::WatchRequest { request: Some(probe) }).is_ok()
    }

    /// What the replica says next. Nothing is lost when this is not waited for to the end.
    ///
    /// # Errors
    /// Why it says no more.
    pub async fn next(&mut self) -> Result<News, Lost> {
        let message = self.answers.message().await.map_err(|status| to_lost(&status))?;
        to_news(message.ok_or(Lost::Ended)?).ok_or(Lost::Malformed)
    }
}

/// What is sent to a replica, as it comes.
struct Requests(mpsc::Receiver<v1::WatchRequest>);

impl Stream for Requests {
    type Item = v1::WatchRequest;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

fn to_lost(status: &Status) -> Lost {
    match status.code() {
        Code::InvalidArgument => Lost::Position,
        code => Lost::Failed { code, message: status.message().to_owned() },
    }
}

fn to_news(message: v1::WatchResponse) -> Option<News> {
    Some(News {
        keys: match message.keys {
            Some(keys) => Some(to_keys(keys)?),
            None => None,
        },
        revocations: message.revocations.into_iter().map(to_revocation).collect::<Option<_>>()?,
        position: Some(message.position).filter(|position| !position.is_empty()),
        probe: Some(message.probe).filter(|probe| *probe > 0),
        time: message.time.and_then(|time| time.try_into().ok()),
    })
}

fn to_revocation(revocation: v1::Revocation) -> Option<Revocation> {
    let tokens = match revocation.tokens? {
        v1::revocation::Tokens::SessionId(id) => Tokens::OfSession(Uuid::try_parse(&id).ok()?),
        v1::revocation::Tokens::User(user) => {
            Tokens::OfUser(Uuid::try_parse(&user.user_id).ok()?, user.epoch)
        }
    };
    let remaining: Duration = revocation.remaining?.try_into().ok()?;
    Some(Revocation { tokens, remaining })
}
