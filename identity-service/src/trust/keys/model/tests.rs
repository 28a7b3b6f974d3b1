use super::*;
use proptest::prelude::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ROTATION: Duration = Duration::from_secs(90 * 24 * 60 * 60);

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn key(number: u64, state: KeyState, since: SystemTime) -> PublicKey {
    PublicKey { kid: number.to_string(), public_key: [0; 32], state, created_at: since, since }
}

/// Keys that live, by a clock that only goes on.
struct Life {
    now: SystemTime,
    keys: Vec<PublicKey>,
    made: u64,
}

impl Life {
    fn begin() -> Self {
        let mut life = Self { now: at(1_800_000_000), keys: Vec::new(), made: 0 };
        life.go_on(Duration::ZERO);
        life
    }

    /// Time passes, and every step that is due is done.
    fn go_on(&mut self, passes: Duration) {
        self.now += passes;
        while let Some(step) = due(Some(self.now), &self.keys, Some(ROTATION)) {
            self.take(step);
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Begin => self.make(KeyState::Current),
            Step::Publish => self.make(KeyState::Next),
            Step::Promote => {
                self.change(KeyState::Current, KeyState::Retired);
                self.change(KeyState::Next, KeyState::Current);
            }
            Step::Remove(kid) => self.keys.retain(|key| key.kid != kid),
        }
    }

    fn make(&mut self, state: KeyState) {
        self.made += 1;
        self.keys.push(key(self.made, state, self.now));
    }

    fn change(&mut self, from: KeyState, to: KeyState) {
        for key in self.keys.iter_mut().filter(|key| key.state == from) {
            (key.state, key.since) = (to, self.now);
        }
    }

    fn kid(&self, state: KeyState) -> &str {
        &the(state, &self.keys).unwrap().kid
    }
}

#[test]
fn the_thumbprint_is_that_of_rfc_8037_appendix_a_3() {
    let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    let thumbprint = thumbprint(&x.try_into().unwrap());
    assert_eq!(thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn every_state_is_read_back_from_its_name() {
    for state in [KeyState::Next, KeyState::Current, KeyState::Retired] {
        assert_eq!(KeyState::parse(state.as_str()), Some(state));
    }
    assert_eq!(KeyState::parse("gone"), None);
}

#[test]
fn a_key_is_published_then_signs_then_is_kept_until_its_last_token_has_expired() {
    let mut life = Life::begin();
    assert_eq!((life.kid(KeyState::Current), life.kid(KeyState::Next)), ("1", "2"));
    life.go_on(ROTATION - Duration::from_secs(1));
    assert_eq!((life.kid(KeyState::Current), life.keys.len()), ("1", 2));
    life.go_on(Duration::from_secs(1));
    assert_eq!((life.kid(KeyState::Current), life.kid(KeyState::Next), life.keys.len()), ("2", "3", 3));
    life.go_on(KEPT - Duration::from_secs(1));
    assert_eq!(life.kid(KeyState::Retired), "1");
    assert_eq!(due(None, &life.keys, Some(ROTATION)), None);
    life.go_on(Duration::from_secs(1));
    assert_eq!(the(KeyState::Retired, &life.keys), None);
}

#[test]
fn a_key_that_verifiers_may_not_know_yet_is_waited_for() {
    let old = key(1, KeyState::Current, at(0));
    let now = at(0) + 2 * ROTATION;
    let published = |ago: Duration| vec![old.clone(), key(2, KeyState::Next, now - ago)];
    assert_eq!(due(Some(now), &published(PUBLISHED - Duration::from_secs(1)), Some(ROTATION)), None);
    assert_eq!(due(Some(now), &published(PUBLISHED), Some(ROTATION)), Some(Step::Promote));
    assert_eq!(due(Some(now), &published(PUBLISHED), None), None);
    // When nobody knows what time it is.
    assert_eq!(due(None, &published(PUBLISHED), Some(ROTATION)), None);
    // By a clock that was set back.
    assert_eq!(due(Some(at(0)), &published(PUBLISHED), Some(Duration::ZERO)), None);
}

proptest! {
    #[test]
    fn there_is_always_one_key_that_signs_and_one_that_is_known_to_come(
        passings in prop::collection::vec((0..100 * 24 * 3600_u64, any::<Option<bool>>()), 1..60)
    ) {
        let mut life = Life::begin();
        for (seconds, removes_current) in passings {
            // Somebody takes a key away; or a token is signed now, and looked at when it is nearly over.
            if let Some(removes_current) = removes_current {
                let state = if removes_current { KeyState::Current } else { KeyState::Next };
                life.keys.retain(|key| key.state != state);
            }
            life.go_on(Duration::ZERO);
            let signed_with = life.kid(KeyState::Current).to_owned();
            for _ in 0..seconds / DAY.as_secs() {
                life.go_on(Duration::ZERO);
                life.now += DAY;
            }
            life.go_on(Duration::from_secs(seconds % DAY.as_secs()));
            let count = |state| life.keys.iter().filter(|key| key.state == state).count();
            prop_assert_eq!((count(KeyState::Current), count(KeyState::Next)), (1, 1));
            if seconds < MAX_LIFETIME.as_secs() {
                prop_assert!(life.keys.iter().any(|key| key.kid == signed_with));
            }
        }
    }
}
