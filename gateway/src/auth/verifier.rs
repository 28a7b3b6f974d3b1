//! Whether an access token is to be believed, decided here: with the issuer's public keys, and with what the trust feed
//! has said about tokens that have ended.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use portcullis_proto::access_token::{Claims, Memory, Refusal};

use super::trust::{Standing, Trust};
use crate::identity::Keys;

/// What is known of the issuer, shared by all workers.
pub struct Verifier {
    /// What the feed has said of tokens that have ended.
    pub trust: Trust,
    /// How many checked tokens are remembered.
    memory: usize,
    trusted: RwLock<Option<Arc<Trusted>>>,
}

struct Trusted {
    keys: Keys,
    /// Outlives the keys that it was made with.
    checked: Arc<Memory>,
}

/// What is to be thought of an access token.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Judgement {
    /// It is genuine, in time, and goes on.
    Good(Claims),
    /// It is not, for good; why, for the log.
    Refused(Refusal),
    /// Nobody here knows: identity-service must be asked.
    Unknown,
}

impl Verifier {
    /// A verifier that knows nothing yet, and will remember so many tokens that it has checked.
    #[must_use]
    pub fn new(now: Instant, memory: usize) -> Self {
        Self { trust: Trust::new(now), memory, trusted: RwLock::new(None) }
    }

    /// The keys, once there are any.
    #[must_use]
    pub fn keys(&self) -> Option<Keys> {
        self.trusted().map(|trusted| trusted.keys.clone())
    }

    /// Puts these keys in the place of those that are known.
    pub fn set_keys(&self, keys: Keys) {
        let mut trusted = self.trusted.write().unwrap_or_else(PoisonError::into_inner);
        let earlier = trusted.as_ref().map(|earlier| Arc::clone(&earlier.checked));
        let checked = earlier.filter(|checked| checked.issuer() == keys.issuer);
        let checked = checked.unwrap_or_else(|| Arc::new(Memory::of(&keys.issuer, self.memory)));
        *trusted = Some(Arc::new(Trusted { keys, checked }));
    }

    /// Judges a token.
    pub fn judge(&self, token: &str) -> Judgement {
        let now = Instant::now();
        // Before the keys: these are then at least as new as what has been proved.
        let is_fresh = self.trust.is_fresh(now);
        let (Some(trusted), Some(time)) = (self.trusted(), self.trust.time(now)) else {
            return Judgement::Unknown;
        };
        let key_of =
            |kid: &str| trusted.keys.keys.iter().find(|(known, _)| known == kid).map(|(_, key)| *key);
        match trusted.checked.verify(time, token, key_of) {
            Ok(claims) => match self.trust.standing(now, is_fresh, &claims) {
                Standing::Live => Judgement::Good(claims),
                Standing::Ended(refusal) => {
                    trusted.checked.forget(token);
                    Judgement::Refused(refusal)
                }
                Standing::Unknown => Judgement::Unknown,
            },
            // Perhaps what is known is too old to judge by: the keys, and the time.
            Err(Refusal::UnknownKey | Refusal::Expired) if !is_fresh => Judgement::Unknown,
            Err(Refusal::IssuedInFuture | Refusal::NotYet) => Judgement::Unknown,
            Err(refusal) => Judgement::Refused(refusal),
        }
    }

    /// Whether the keys are those that there are now.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.trust.is_fresh(Instant::now())
    }

    /// What time it is: by the clock of the database, as soon as that is known.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        self.trust.time(Instant::now()).unwrap_or_else(SystemTime::now)
    }

    fn trusted(&self) -> Option<Arc<Trusted>> {
        self.trusted.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    use portcullis_proto::access_token;
    use std::time::{Duration, UNIX_EPOCH};
    use uuid::Uuid;

    use crate::auth::trust::FRESH;
    use crate::identity::watch::{Revocation, Tokens};

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

    /// A verifier that knows keys with these ids, and has heard nothing of what has ended.
    pub(crate) fn knowing(kids: &[&str]) -> Arc<Verifier> {
        let verifier = Verifier::new(Instant::now(), 10);
        let public: [u8; 32] = STANDARD.decode(PUBLIC).unwrap().try_into().unwrap();
        let keys = kids.iter().map(|kid| ((*kid).to_owned(), public)).collect();
        verifier.set_keys(Keys { issuer: "https://id.example".to_owned(), keys });
        let _ = verifier.trust.note_time(Instant::now(), SystemTime::now(), SystemTime::now());
        Arc::new(verifier)
    }

    /// The same, and nothing has ended.
    pub(crate) fn fresh(kids: &[&str]) -> Arc<Verifier> {
        let verifier = knowing(kids);
        verifier.trust.note(Instant::now(), &[], Some("here".to_owned()));
        verifier.trust.prove(Instant::now());
        verifier
    }

    /// The same, some time ago.
    pub(crate) fn stale(kids: &[&str]) -> Arc<Verifier> {
        let verifier = knowing(kids);
        verifier.trust.note(Instant::now(), &[], Some("here".to_owned()));
        verifier.trust.prove(Instant::now().checked_sub(FRESH).unwrap());
        verifier
    }

    #[test]
    fn a_token_is_good_if_the_issuer_signed_it_and_nothing_can_be_missing() {
        assert!(matches!(fresh(&["k"]).judge(&token("k")), Judgement::Good(_)));
        let (signed, signature) =
            token("k").rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let forged = format!("{signed}.{}{}", &signature[1..], &signature[..1]);
        for verifier in [fresh(&["k"]), stale(&["k"])] {
            assert_eq!(verifier.judge(&forged), Judgement::Refused(Refusal::Signature));
        }
        assert_eq!(stale(&["k"]).judge(&token("k")), Judgement::Unknown);
    }

    #[test]
    fn j07_an_unknown_key_is_nobodys_while_all_keys_are_known() {
        let unknown = Judgement::Refused(Refusal::UnknownKey);
        assert_eq!(fresh(&["k"]).judge(&token("new")), unknown);
        assert_eq!(stale(&["k"]).judge(&token("new")), Judgement::Unknown);
        assert_eq!(Verifier::new(Instant::now(), 10).judge(&token("k")), Judgement::Unknown);
        let verifier = fresh(&["k"]);
        verifier.set_keys(knowing(&["new"]).keys().unwrap());
        assert!(matches!(verifier.judge(&token("new")), Judgement::Good(_)));
        assert_eq!(verifier.judge(&token("k")), unknown);
    }

    #[test]
    fn what_has_ended_is_refused_also_when_something_may_be_missing() {
        for verifier in [fresh(&["k"]), stale(&["k"])] {
            let _ = verifier.judge(&token("k"));
            let tokens = Tokens::OfSession(Uuid::nil());
            let ended = Revocation { tokens, remaining: Duration::from_secs(60) };
            verifier.trust.note(Instant::now(), &[ended], None);
            assert_eq!(verifier.judge(&token("k")), Judgement::Refused(Refusal::SessionEnded));
        }
    }
}
