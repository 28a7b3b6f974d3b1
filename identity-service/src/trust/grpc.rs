//! `TrustService`, and who the caller of any other service is.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::stream::{Stream, unfold};
use portcullis_proto::v1::trust_service_server::{TrustService, TrustServiceServer};
use portcullis_proto::{bearer, v1};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use super::keys::model::{KeyState, PublicKey};
use super::model::{Position, Read, Revocation, Revoked};
use super::{Feed, Trust};
use crate::error::{Error, Result, Violation};
use crate::sessions::last_seen::LastSeen;
use crate::sessions::model::Caller;

/// How many revocations one message has at the most: some 70 KiB.
const PIECE: usize = 1_000;
/// How long a follower may send no probe: he should every 500 ms.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a follower may take in nothing at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// The service over these keys and this feed.
pub fn service(trust: Arc<Trust>, feed: Feed) -> TrustServiceServer<impl TrustService> {
    TrustServiceServer::new(Service { trust, feed })
}

struct Service {
    trust: Arc<Trust>,
    feed: Feed,
}

type Answers = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

#[tonic::async_trait]
impl TrustService for Service {
    async fn get_keys(
        &self,
        _request: Request<v1::GetKeysRequest>,
    ) -> Result<Response<v1::GetKeysResponse>, Status> {
        let keys = self.trust.keyring.fresh().await?;
        Ok(Response::new(to_keys(self.trust.issuer(), &keys.public())))
    }

    type WatchStream = Answers;

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let place = self.feed.place()?;
        let mut requests = request.into_inner();
        let from = parse_start(requests.message().await?)?;
        let (sender, receiver) = mpsc::channel(1);
        let (trust, feed) = (Arc::clone(&self.trust), self.feed.clone());
        tokio::spawn(async move {
            let mut closed = feed.closed();
            let told = tokio::select! {
                told = tell(requests, &trust, feed, from, &sender) => told,
                _ = closed.wait_for(|is_closed| *is_closed) => Ok(()),
            };
            if let Err(Ended::Failed(error)) = told {
                // Nobody is there to hear it if he has gone.
                let _ = timeout(PATIENCE, sender.send(Err(error.into()))).await;
            }
            drop(place);
        });
        let answers =
            unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Why somebody is told no more.
enum Ended {
    /// He has gone, or takes in nothing.
    Gone,
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

type Sender = mpsc::Sender<Result<v1::WatchResponse, Status>>;

/// Sends messages to somebody who takes them in.
async fn send(sender: &Sender, messages: impl IntoIterator<Item = v1::WatchResponse>) -> Result<(), Ended> {
    for message in messages {
        match timeout(PATIENCE, sender.send(Ok(message))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(Ended::Gone),
        }
    }
    Ok(())
}

/// Tells a follower everything, until he or the replica goes.
async fn tell(
    mut requests: Streaming<v1::WatchRequest>,
    trust: &Trust,
    feed: Feed,
    from: Option<Position>,
    sender: &Sender,
) -> Result<(), Ended> {
    // Perhaps he has heard of a change from another replica already: older keys than these would bring one back.
    let mut known = feed.keys().await?;
    let keys = Some(to_keys(trust.issuer(), &known));
    send(sender, [v1::WatchResponse { keys, ..Default::default() }]).await?;
    let mut follower = feed.follow(from).await?;
    let mut probes = Probes::default();
    // He is not listened to meanwhile: so his probes are answered by reads that begin later still.
    while let Some(missed) = follower.catch_up().await? {
        send(sender, to_messages(&missed, None, 0)).await?;
    }
    let mut heard = Instant::now();
    loop {
        let read = tokio::select! {
            () = sleep_until((heard + SILENCE).into()) => return Ok(()),
            request = requests.message() => match request {
                Ok(Some(request)) => {
                    heard = Instant::now();
                    probes.wait(parse_probe(&request)?, feed.ask());
                    continue;
                }
                Ok(None) | Err(_) => return Ok(()),
            },
            read = follower.next() => match read {
                Some(read) => read,
                None => return Ok(()),
            },
        };
        let answered = probes.answered_by(&read);
        let changed = read.keys.as_ref().filter(|keys| !Arc::ptr_eq(keys, &known));
        if answered == 0 && read.revocations.is_empty() && changed.is_none() {
            continue;
        }
        let keys = changed.map(|keys| to_keys(trust.issuer(), keys));
        send(sender, to_messages(&read, keys, answered)).await?;
        known = changed.map_or(known, Arc::clone);
    }
}

/// The probes that are not answered yet, each with the number that the read which answers it exceeds.
#[derive(Default)]
struct Probes(VecDeque<(u64, u64)>);

impl Probes {
    fn wait(&mut self, probe: u64, begun: u64) {
        // Of those that one read answers, the latest is answered.
        self.0.retain(|(_, earlier)| *earlier != begun);
        self.0.push_back((probe, begun));
    }

    /// The latest probe that a read answers; 0 if it answers none.
    fn answered_by(&mut self, read: &Read) -> u64 {
        let mut answered = 0;
        while let Some((probe, _)) = self.0.pop_front_if(|(_, begun)| *begun < read.number) {
            answered = probe;
        }
        answered
    }
}

fn parse_start(request: Option<v1::WatchRequest>) -> Result<Option<Position>> {
    let refuse =
        |field, description: &str| Err(Error::InvalidRequest(vec![Violation::new(field, description)]));
    match request.and_then(|request| request.request) {
        Some(v1::watch_request::Request::Start(start)) if start.position.is_empty() => Ok(None),
        Some(v1::watch_request::Request::Start(start)) => match Position::parse(&start.position) {
            Some(position) => Ok(Some(position)),
            None => refuse("position", "No position that was sent"),
        },
        Some(v1::watch_request::Request::Probe(_)) | None => refuse("start", "Must come first"),
    }
}

fn parse_probe(request: &v1::WatchRequest) -> Result<u64> {
    match &request.request {
        Some(v1::watch_request::Request::Probe(probe)) if probe.number > 0 => Ok(probe.number),
        _ => Err(Error::InvalidRequest(vec![Violation::new("probe", "Must be sent, with a number from 1")])),
    }
}

/// A read in messages that are not too long; the first has the keys if they have changed, the last one makes it complete.
fn to_messages(read: &Read, keys: Option<v1::GetKeysResponse>, answered: u64) -> Vec<v1::WatchResponse> {
    let revocations: Vec<_> = read.revocations.iter().map(to_revocation).collect();
    let mut messages: Vec<_> = revocations
        .chunks(PIECE)
        .map(|piece| v1::WatchResponse { revocations: piece.to_vec(), ..Default::default() })
        .collect();
    if messages.is_empty() {
        messages.push(v1::WatchResponse::default());
    }
    if let Some(first) = messages.first_mut() {
        first.keys = keys;
    }
    if let Some(last) = messages.last_mut() {
        last.position = read.position.as_ref().map(Position::to_text).unwrap_or_default();
        last.probe = answered;
        last.time = (answered > 0).then(|| read.time.into());
    }
    messages
}

fn to_revocation(revocation: &Revocation) -> v1::Revocation {
    let tokens = match revocation.revoked {
        Revoked::Session(session) => v1::revocation::Tokens::SessionId(session.as_uuid().to_string()),
        Revoked::User { user, epoch } => {
            v1::revocation::Tokens::User(v1::UserRevocation { user_id: user.as_uuid().to_string(), epoch })
        }
    };
    v1::Revocation { tokens: Some(tokens), remaining: revocation.remaining.try_into().ok() }
}

/// Who calls, by the access token in the `authorization` metadata: what the other services share.
#[derive(Clone)]
pub struct Callers {
    trust: Arc<Trust>,
    feed: Feed,
    last_seen: LastSeen,
}

impl Callers {
    /// Callers who are believed by these keys; when each was last seen is noted.
    #[must_use]
    pub fn new(trust: Arc<Trust>, feed: Feed, last_seen: LastSeen) -> Self {
        Self { trust, feed, last_seen }
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.feed.now()
    }

    /// The caller of this request.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]: no token, two, or one that is not believed. [`Error::DatabaseUnavailable`] when nobody can
    /// say which keys there are.
    pub async fn of<T: Sync>(&self, request: &Request<T>) -> Result<Caller> {
        let values = request.metadata().get_all("authorization").iter().map(MetadataValue::as_encoded_bytes);
        let token = bearer::token(values).map_err(Error::unauthenticated)?;
        let token = token
            .ok_or_else(|| Error::unauthenticated("there is no authorization of the form Bearer TOKEN"))?;
        let now = self.now();
        let caller = self.trust.verify(now, token).await?;
        self.last_seen.note(now, caller.session);
        Ok(caller)
    }
}

fn to_keys(issuer: &str, keys: &[PublicKey]) -> v1::GetKeysResponse {
    let keys = keys.iter().map(to_public_key).collect();
    v1::GetKeysResponse { issuer: issuer.to_owned(), keys }
}

fn to_public_key(key: &PublicKey) -> v1::PublicKey {
    v1::PublicKey {
        kid: key.kid.clone(),
        ed25519_public_key: key.public_key.to_vec(),
        state: to_key_state(key.state).into(),
        create_time: Some(key.created_at.into()),
    }
}

fn to_key_state(state: KeyState) -> v1::KeyState {
    match state {
        KeyState::Next => v1::KeyState::Next,
        KeyState::Current => v1::KeyState::Current,
        KeyState::Retired => v1::KeyState::Retired,
    }
}
