//! Whether an access token is genuine and in time, decided here with the issuer's public keys.
//!
//! The keys are read at the start, every minute, and when a token names one that is not known, as after an
//! early rotation. When identity-service is away the last good ones are kept: keys change seldom, and which
//! sessions have ended and which rights a user has is asked with every call anyway.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use portcullis_proto::access_token::{Claims, Memory, Refusal};
use tokio::sync::Mutex;

use crate::failure::Failure;
use crate::identity::{Identity, Keys};

/// How often the keys are read.
const REFRESH: Duration = Duration::from_secs(60);
/// How often an unknown key may make us read them: whoever sends such tokens must not make work.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(30);
/// For how long the last good keys are believed.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The first and the longest pause before another try to read the keys.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The issuer's keys, shared by all workers.
pub struct Verifier {
    identity: Identity,
    trusted: RwLock<Option<Arc<Trusted>>>,
    /// Who holds the lock is reading the keys: so an older answer never replaces a newer one.
    reads: Arc<Mutex<Reads>>,
}

#[derive(Default)]
struct Reads {
    /// When an unknown key last made us read the keys.
    for_unknown_key: Option<Instant>,
    /// Whether the last read failed: then nobody knows what an unknown key is.
    failed: bool,
}

struct Trusted {
    keys: Keys,
    /// Outlives the keys that it was made with.
    checked: Arc<Memory>,
    read_at: Instant,
}

impl Verifier {
    /// A verifier that has no keys yet.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self { identity, trusted: RwLock::new(None), reads: Arc::default() }
    }

    /// Keeps the keys fresh, for ever.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut pause = BACKOFF.0;
        loop {
            if self.read_keys(&mut *self.reads.lock().await).await {
                pause = BACKOFF.0;
                tokio::time::sleep(REFRESH).await;
            } else {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(BACKOFF.1);
            }
        }
    }

    /// The keys, if there are any that can still be believed.
    #[must_use]
    pub fn keys(&self) -> Option<Keys> {
        self.trusted().map(|trusted| trusted.keys.clone())
    }

    /// What a token says; `None` if it is not to be believed.
    ///
    /// # Errors
    /// If there are no keys to check it with, or it names one that is not known and the keys cannot be read.
    pub async fn verify(self: &Arc<Self>, token: &str) -> Result<Option<Claims>, Failure> {
        match self.check(token)? {
            Ok(claims) => Ok(Some(claims)),
            Err(Refusal::UnknownKey { .. }) => {
                let are_fresh = self.read_keys_for_unknown_key().await;
                match self.check(token)? {
                    Err(Refusal::UnknownKey { .. }) if !are_fresh => Err(Failure::Unreachable),
                    result => Ok(result.ok()),
                }
            }
            Err(refusal) => {
                tracing::debug!(%refusal, "an access token is not believed");
                Ok(None)
            }
        }
    }

    fn check(&self, token: &str) -> Result<Result<Claims, Refusal>, Failure> {
        let trusted = self.trusted().ok_or(Failure::Unreachable)?;
        let key_of =
            |kid: &str| trusted.keys.keys.iter().find(|(known, _)| known == kid).map(|(_, key)| *key);
        Ok(trusted.checked.verify(SystemTime::now(), token, key_of))
    }

    fn trusted(&self) -> Option<Arc<Trusted>> {
        let trusted = self.trusted.read().unwrap_or_else(PoisonError::into_inner).clone();
        trusted.filter(|trusted| trusted.read_at.elapsed() < MAX_AGE)
    }

    /// Whether the last read succeeded: then a key that is still unknown is nobody's, but for a pause.
    async fn read_keys_for_unknown_key(self: &Arc<Self>) -> bool {
        let mut reads = Arc::clone(&self.reads).lock_owned().await;
        if reads.for_unknown_key.is_some_and(|last| last.elapsed() < UNKNOWN_KEY_PAUSE) {
            return !reads.failed;
        }
        reads.for_unknown_key = Some(Instant::now());
        // A task of its own: who hangs up must not cut off the one read that there is for everybody in this pause.
        let verifier = Arc::clone(self);
        let read = tokio::spawn(async move { verifier.read_keys(&mut reads).await });
        read.await.unwrap_or(false)
    }

    /// Whether the keys could be read. The identity client has logged why not.
    async fn read_keys(&self, reads: &mut Reads) -> bool {
        let read = match self.identity.keys().await {
            Ok(keys) if !keys.keys.is_empty() => {
                let mut trusted = self.trusted.write().unwrap_or_else(PoisonError::into_inner);
                let earlier = trusted.as_ref().map(|earlier| Arc::clone(&earlier.checked));
                let checked = earlier.filter(|checked| checked.issuer() == keys.issuer);
                let checked = checked.unwrap_or_else(|| Arc::new(Memory::of(&keys.issuer)));
                *trusted = Some(Arc::new(Trusted { keys, checked, read_at: Instant::now() }));
                true
            }
            Ok(_) | Err(_) => false,
        };
        reads.failed = !read;
        read
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::identity::tests::{Trust, client, free_address, serve};
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    use portcullis_proto::access_token;
    use portcullis_proto::v1::PublicKey;
    use std::sync::atomic::Ordering;
    use std::time::UNIX_EPOCH;
    use uuid::Uuid;

    /// The key pair that RFC 8410 section 10 shows to the world.
    const PRIVATE: &str = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";
    const PUBLIC: &str = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";

    pub(crate) fn token(kid: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = Claims {
            iss: "https://id.example".to_owned(),
            aud: vec![access_token::AUDIENCE.to_owned()],
            sub: Uuid::nil(),
            sid: Uuid::nil(),
            epoch: 1,
            iat: now,
            exp: now + 60,
            jti: Uuid::nil(),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(access_token::TYPE.to_owned());
        header.kid = Some(kid.to_owned());
        let key = EncodingKey::from_ed_der(&STANDARD.decode(PRIVATE).unwrap());
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }

    pub(crate) fn key(kid: &str) -> PublicKey {
        let ed25519_public_key = STANDARD.decode(PUBLIC).unwrap();
        PublicKey { kid: kid.to_owned(), ed25519_public_key, ..PublicKey::default() }
    }

    pub(crate) fn trust() -> Trust {
        let trust = Trust::default();
        trust.keys.lock().unwrap().push(key("k"));
        trust
    }

    async fn read(verifier: &Verifier) -> bool {
        verifier.read_keys(&mut *verifier.reads.lock().await).await
    }

    pub(crate) async fn ready(verifier: &Verifier) {
        while !read(verifier).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_token_is_believed_if_the_issuer_signed_it_also_when_the_issuer_is_away() {
        let address = free_address();
        let verifier = Arc::new(Verifier::new(client(address)));
        assert_eq!(verifier.verify(&token("k")).await, Err(Failure::Unreachable));
        let server = serve(address, trust());
        ready(&verifier).await;
        server.shutdown_background();
        while read(&verifier).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(verifier.verify(&token("k")).await.unwrap().is_some());
        let (signed, signature) =
            token("k").rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let forged = format!("{signed}.{}{}", &signature[1..], &signature[..1]);
        assert_eq!(verifier.verify(&forged).await, Ok(None));
        // What an unknown key is, nobody can say; within the pause neither.
        for _ in 0..3 {
            assert_eq!(verifier.verify(&token("new")).await, Err(Failure::Unreachable));
        }
        let server = serve(address, trust());
        ready(&verifier).await;
        assert_eq!(verifier.verify(&token("new")).await, Ok(None));
        server.shutdown_background();
    }

    #[tokio::test]
    async fn a_new_key_is_believed_at_once() {
        let address = free_address();
        let verifier = Arc::new(Verifier::new(client(address)));
        let trust = trust();
        let server = serve(address, trust.clone());
        ready(&verifier).await;
        trust.keys.lock().unwrap().push(key("new"));
        assert!(verifier.verify(&token("new")).await.unwrap().is_some());
        server.shutdown_background();
    }

    #[tokio::test]
    async fn who_hangs_up_does_not_cut_off_the_read_that_his_token_began() {
        let address = free_address();
        let trust = Trust { delay: Duration::from_millis(300), ..trust() };
        let server = serve(address, trust.clone());
        let verifier = Arc::new(Verifier::new(client(address)));
        ready(&verifier).await;
        trust.keys.lock().unwrap().push(key("new"));
        let new = token("new");
        let hung_up = tokio::time::timeout(Duration::from_millis(100), verifier.verify(&new)).await;
        assert!(hung_up.is_err(), "the read was over already");
        // The others are not worse off for him: the read that he began is the one of these thirty seconds.
        assert!(verifier.verify(&token("new")).await.unwrap().is_some());
        assert_eq!(verifier.verify(&token("other")).await, Ok(None));
        server.shutdown_background();
    }

    #[tokio::test]
    async fn j07_tokens_with_unknown_keys_make_one_call_in_thirty_seconds() {
        let address = free_address();
        let trust = trust();
        let calls = Arc::clone(&trust.calls);
        let server = serve(address, trust);
        let verifier = Arc::new(Verifier::new(client(address)));
        ready(&verifier).await;
        let before = calls.load(Ordering::SeqCst);
        let tokens: Vec<_> = (0..100).map(|n| token(&n.to_string())).collect();
        let refused = futures_util::future::join_all(tokens.iter().map(|token| verifier.verify(token))).await;
        assert!(refused.iter().all(|result| *result == Ok(None)));
        assert_eq!(calls.load(Ordering::SeqCst), before + 1);
        server.shutdown_background();
    }
}
