use super::*;
use proptest::prelude::*;
use uuid::Uuid;

const LIFETIMES: Lifetimes = Lifetimes {
    access: Duration::from_secs(100),
    longest: Duration::from_secs(5_000),
    idle: Duration::from_secs(1_000),
    grace: Duration::from_secs(10),
};

fn key() -> RefreshKey {
    RefreshKey::new(&[7; 32])
}

fn session() -> SessionId {
    Uuid::from_bytes([1; 16]).into()
}

fn at(seconds: u64) -> SystemTime {
    at_millis(seconds * 1000)
}

fn at_millis(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) + Duration::from_millis(millis)
}

/// A chain that began at 0, and the secrets of its tokens as they are given out.
struct Life {
    chain: Chain,
    secrets: Vec<Secret>,
}

impl Life {
    fn begin() -> Self {
        let first = Secret::random().unwrap();
        Self { chain: Chain::begin(first.digest(), at(0), &LIFETIMES), secrets: vec![first] }
    }

    fn take(&self, index: usize, now: SystemTime) -> Use {
        self.chain.clone().take(&key(), session(), &self.secrets[index], now, &LIFETIMES)
    }

    /// Uses the newest token.
    fn advance(&mut self, now: SystemTime) {
        match self.take(self.secrets.len() - 1, now) {
            Use::Advance(next, chain) => {
                self.chain = chain;
                self.secrets.push(next);
            }
            other => panic!("{}", self.word(&other)),
        }
    }

    /// What a use leads to, in words: which token follows, by its number.
    fn word(&self, outcome: &Use) -> String {
        let number = |next: &Secret| self.secrets.iter().position(|secret| secret == next);
        match outcome {
            Use::Advance(..) => "advance".to_owned(),
            Use::Repeat(next, _) => format!("repeat {}", number(next).unwrap()),
            Use::Reuse => "reuse".to_owned(),
            Use::Expired => "expired".to_owned(),
        }
    }

    fn says(&self, index: usize, now: SystemTime) -> String {
        self.word(&self.take(index, now))
    }
}

#[test]
fn the_newest_token_is_followed_by_another_and_puts_the_end_off() {
    let mut life = Life::begin();
    assert_eq!((life.chain.expires_at, life.chain.access_expires_at), (at(1_000), at(100)));
    life.advance(at(500));
    assert_eq!(life.chain.digest, life.secrets[1].digest());
    assert!(life.secrets[0] != life.secrets[1]);
    assert_eq!(life.chain.uses, [at(500)]);
    assert_eq!((life.chain.expires_at, life.chain.access_expires_at), (at(1_500), at(600)));
}

#[test]
fn a_token_that_was_used_a_moment_ago_gets_the_same_successor_and_writes_nothing() {
    let mut life = Life::begin();
    life.advance(at(500));
    for now in [at(500), at_millis(509_999), at(490)] {
        assert_eq!(life.says(0, now), "repeat 1");
    }
    let Use::Repeat(_, until) = life.take(0, at(505)) else { panic!("no repeat") };
    assert_eq!(until, at(600), "the access token lasts as long as the one that was given first");
    let Use::Repeat(_, until) = life.take(0, at(490)) else { panic!("no repeat") };
    assert_eq!(until, at(590), "and no longer than any");
}

#[test]
fn a_token_that_comes_again_later_is_reuse() {
    let mut life = Life::begin();
    life.advance(at(500));
    for now in [at(510), at(511), at(1_400)] {
        assert_eq!(life.says(0, now), "reuse");
    }
}

#[test]
fn each_of_the_last_sixteen_has_a_window_of_its_own() {
    let mut life = Life::begin();
    for number in 0..20 {
        life.advance(at(500 + number));
    }
    assert_eq!(life.chain.uses.len(), REMEMBERED);
    let now = at(519);
    for index in 0..20 {
        // Used at 500 + index.
        let expected = if index > 9 { format!("repeat {}", index + 1) } else { "reuse".to_owned() };
        assert_eq!(life.says(index, now), expected, "{index}");
    }
    assert_eq!(life.says(20, now), "advance");
    let mut quick = Life::begin();
    for _ in 0..20 {
        quick.advance(at(500));
    }
    assert_eq!((quick.says(4, at(500)), quick.says(3, at(500))), ("repeat 5".to_owned(), "reuse".to_owned()));
}

#[test]
fn a_session_ends_when_it_is_idle_and_when_it_is_old() {
    let mut life = Life::begin();
    assert_eq!(life.says(0, at(999)), "advance");
    for now in [at_millis(999_001), at(1_000), at(2_000)] {
        assert_eq!(life.says(0, now), "expired");
    }
    for now in [900, 1_800, 2_700, 3_600, 4_500, 4_950] {
        life.advance(at(now));
    }
    assert_eq!((life.chain.expires_at, life.chain.access_expires_at), (at(5_000), at(5_000)));
    // One second is the least that a token is given for.
    assert_eq!(life.says(6, at(4_999)), "advance");
    assert_eq!(life.says(6, at_millis(4_999_001)), "expired");
    assert_eq!(life.says(6, at(5_001)), "expired");
}

#[test]
fn shorter_lifetimes_than_before_do_not_shorten_what_was_given() {
    let life = Life::begin();
    let shorter = Lifetimes {
        access: Duration::from_secs(60),
        idle: Duration::from_secs(60),
        longest: Duration::from_secs(80),
        ..LIFETIMES
    };
    let take = |now| life.chain.clone().take(&key(), session(), &life.secrets[0], now, &shorter);
    let Use::Advance(_, chain) = take(at(1)) else { panic!("it is refreshed") };
    assert_eq!((chain.access_expires_at, chain.expires_at), (at(100), at(100)));
    assert!(matches!(take(at(79)), Use::Advance(..)));
    assert!(matches!(take(at(80)), Use::Expired));
}

proptest! {
    /// Whatever comes when: what happens is what somebody would say who remembers every token with its first use.
    #[test]
    fn a_chain_remembers_what_it_needs(
        steps in proptest::collection::vec((0u64..4_000, 0usize..24), 0..60),
    ) {
        let (mut life, mut used, mut now) = (Life::begin(), Vec::new(), 0);
        for (pause, back) in steps {
            now += pause;
            let Some(index) = (life.secrets.len() - 1).checked_sub(back) else { continue };
            let said = life.says(index, at_millis(now));
            let expected = match used.get(index) {
                _ if at_millis(now) > life.chain.expires_at - SHORTEST => "expired".to_owned(),
                None => "advance".to_owned(),
                Some(first) if back <= REMEMBERED && now - first < 10_000 => format!("repeat {}", index + 1),
                Some(_) => "reuse".to_owned(),
            };
            prop_assert_eq!(&said, &expected);
            if said == "advance" {
                life.advance(at_millis(now));
                used.push(now);
            }
        }
    }
}
