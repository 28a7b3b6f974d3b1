//! What has been said decides, in whatever order and however often it came.

use super::*;
use portcullis_proto::access_token::AUDIENCE;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

/// So few that everything meets everything.
const SESSIONS: u128 = 6;
const USERS: u128 = 3;
const EPOCHS: i64 = 4;

fn token(user: u128, session: u128, epoch: i64) -> Claims {
    Claims {
        iss: "https://id.example".into(),
        aud: vec![AUDIENCE.into()],
        sub: Uuid::from_u128(user),
        sid: Uuid::from_u128(100 + session),
        epoch,
        iat: 0,
        exp: 4_000_000_000,
        jti: Uuid::nil(),
    }
}

fn all_tokens() -> impl Iterator<Item = Claims> {
    (0..USERS).flat_map(|user| {
        (0..SESSIONS).flat_map(move |session| (0..EPOCHS).map(move |epoch| token(user, session, epoch)))
    })
}

/// A trust that knows what time it is.
fn trust(now: Instant, capacity: usize) -> Trust {
    let trust = Trust::with_capacity(now, capacity);
    let _ = trust.note_time(now, SystemTime::now(), SystemTime::now());
    trust
}

/// The truth, kept in the simplest way: everything that was ever written, in its order.
#[derive(Default)]
struct Truth(Vec<Tokens>);

impl Truth {
    /// Whether the first so many of what was written end a token.
    fn ends(&self, written: usize, claims: &Claims) -> bool {
        self.0[..written].iter().any(|tokens| match *tokens {
            Tokens::OfSession(id) => claims.sid == id,
            Tokens::OfUser(id, epoch) => claims.sub == id && claims.epoch < epoch,
        })
    }
}

/// What may happen, in any order.
#[derive(Debug, Clone)]
enum Step {
    /// Tokens end.
    Write(Tokens),
    /// A probe is sent, and arrives.
    Probe,
    /// The replica reads all that there is, and sends what it has not told yet.
    Read,
    /// So many more messages arrive.
    Hear(usize),
    /// One that arrived earlier comes again, as when another replica is asked.
    HearAgain(prop::sample::Index),
    /// The stream is lost with what is on its way. It begins again from the position that is known, or with a snapshot, of
    /// which perhaps only a part arrives before the next loss.
    Reconnect { with_position: bool },
    /// What concerns no token any more is forgotten.
    Forget,
    /// So many milliseconds go by.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let session = (0..SESSIONS).prop_map(|id| Tokens::OfSession(Uuid::from_u128(100 + id)));
    let user = (0..USERS, 1..EPOCHS).prop_map(|(id, epoch)| Tokens::OfUser(Uuid::from_u128(id), epoch));
    prop_oneof![
        2 => prop_oneof![session, user].prop_map(Step::Write),
        3 => Just(Step::Probe),
        3 => Just(Step::Read),
        4 => (1..4_usize).prop_map(Step::Hear),
        2 => any::<prop::sample::Index>().prop_map(Step::HearAgain),
        1 => any::<bool>().prop_map(|with_position| Step::Reconnect { with_position }),
        1 => Just(Step::Forget),
        2 => (0..900_u64).prop_map(Step::Wait),
    ]
}

/// What a replica sends: what was written after the first `from` and up to the first `until`.
#[derive(Debug, Clone)]
struct Message {
    from: usize,
    until: usize,
    /// Whether more of a snapshot follows.
    is_part: bool,
    /// When the probe was sent that it answers.
    answers: Option<Instant>,
}

/// How a message is noted: as it is, or as it must not be.
type Note = fn(&Trust, Instant, &[Revocation], &Message);

fn note_well(trust: &Trust, now: Instant, revocations: &[Revocation], message: &Message) {
    let position = (!message.is_part).then(|| message.until.to_string());
    trust.note(now, revocations, position);
    if let Some(sent) = message.answers {
        trust.prove(sent);
    }
}

/// A world in which things end, a replica reads, and one verifier listens.
struct World {
    now: Instant,
    truth: Truth,
    /// When each was written.
    written_at: Vec<Instant>,
    trust: Trust,
    note: Note,
    /// The latest probe that has arrived and is not answered.
    probe: Option<Instant>,
    /// Until where the replica has told this stream.
    told: usize,
    sent: Vec<Message>,
    /// How many of these have arrived.
    heard: usize,
    /// When the latest probe was sent whose answer has arrived.
    answered: Option<Instant>,
    /// Whether there is room for all that can end.
    has_room: bool,
}

impl World {
    fn new(note: Note, capacity: usize) -> Self {
        let now = Instant::now();
        let (trust, truth) = (trust(now, capacity), Truth::default());
        let (written_at, sent) = (Vec::new(), Vec::new());
        Self {
            now,
            truth,
            written_at,
            trust,
            note,
            probe: None,
            told: 0,
            sent,
            heard: 0,
            answered: None,
            has_room: capacity > 100,
        }
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Write(tokens) => {
                self.truth.0.push(*tokens);
                self.written_at.push(self.now);
            }
            Step::Probe => self.probe = Some(self.now),
            Step::Read => {
                let until = self.truth.0.len();
                let (from, answers) = (self.told, self.probe.take());
                self.sent.push(Message { from, until, is_part: false, answers });
                self.told = until;
            }
            Step::Hear(count) => {
                let until = self.sent.len().min(self.heard + count);
                for index in self.heard..until {
                    self.hear(index);
                    self.answered = self.answered.max(self.sent[index].answers);
                }
                self.heard = until;
            }
            Step::HearAgain(index) if self.heard > 0 => self.hear(index.index(self.heard)),
            Step::HearAgain(_) => {}
            Step::Reconnect { with_position } => {
                self.sent.clear();
                let position = self.trust.position().and_then(|position| position.parse().ok());
                let from = position.filter(|_| *with_position);
                (self.probe, self.told, self.heard) = (None, from.unwrap_or(0), 0);
                let until = self.truth.0.len();
                if from.is_none() && until > 1 {
                    let half = until / 2;
                    self.sent.push(Message { from: 0, until: half, is_part: true, answers: None });
                    self.told = half;
                }
            }
            Step::Forget => self.trust.forget(self.now),
            Step::Wait(milliseconds) => self.now += Duration::from_millis(*milliseconds),
        }
    }

    fn hear(&self, index: usize) {
        let message = &self.sent[index];
        let ended = self.truth.0[message.from..message.until].iter();
        let remaining = Duration::from_secs(3_600);
        let revocations: Vec<_> = ended.map(|tokens| Revocation { tokens: *tokens, remaining }).collect();
        (self.note)(&self.trust, self.now, &revocations, message);
    }

    /// What is wrong with what is decided now, in words.
    fn complaint(&self) -> Option<String> {
        let is_old = |written: &&Instant| self.now.duration_since(**written) >= FRESH;
        let old = self.written_at.iter().filter(is_old).count();
        all_tokens().find_map(|claims| {
            let standing = self.trust.standing(self.now, self.trust.is_fresh(self.now), &claims);
            let is_wrong = match &standing {
                Standing::Live => self.truth.ends(old, &claims),
                Standing::Ended(_) => !self.truth.ends(self.truth.0.len(), &claims),
                // Whoever knows nothing is never wrong, so he must know what was proved.
                Standing::Unknown => {
                    let is_fresh = |sent: Instant| self.now.duration_since(sent) < FRESH;
                    self.has_room && self.answered.is_some_and(is_fresh)
                }
            };
            is_wrong.then(|| format!("{standing:?} is said of {claims:?}"))
        })
    }
}

/// Plays the steps; the first complaint.
fn play(steps: &[Step], note: Note, capacity: usize) -> Option<String> {
    let mut world = World::new(note, capacity);
    steps.iter().find_map(|step| {
        world.play(step);
        world.complaint()
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_ended_token_is_let_through_for_long_and_no_good_one_is_refused(
        steps in steps(),
        capacity in prop_oneof![Just(3_usize), Just(1_000)],
    ) {
        prop_assert_eq!(play(&steps, note_well, capacity), None);
    }
}

#[test]
fn control_the_world_finds_out_who_notes_wrongly() {
    let wrong: [(&str, Note); 5] = [
        ("nothing is ever proved", |trust, now, revocations, message| {
            note_well(trust, now, revocations, &Message { answers: None, ..message.clone() });
        }),
        ("the feed is ignored", |trust, now, _, message| note_well(trust, now, &[], message)),
        ("freshness is counted from the arrival of an answer", |trust, now, revocations, message| {
            trust.note(now, revocations, Some(String::new()));
            if message.answers.is_some() {
                trust.prove(now);
            }
        }),
        ("the last epoch counts, and not the highest", |trust, now, revocations, message| {
            for revocation in revocations {
                if let Tokens::OfUser(id, _) = revocation.tokens {
                    trust.known.write().unwrap().users.remove(&id);
                }
                note_well(trust, now, &[*revocation], message);
            }
            note_well(trust, now, &[], message);
        }),
        ("every user of a session is ended with it", |trust, now, revocations, message| {
            let as_users = (0..USERS).map(|id| Tokens::OfUser(Uuid::from_u128(id), EPOCHS));
            let all: Vec<_> = as_users.map(|tokens| Revocation { tokens, remaining: FRESH }).collect();
            let ended = if revocations.is_empty() { &[][..] } else { &all[..1] };
            note_well(trust, now, ended, message);
        }),
    ];
    for (what, note) in wrong {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let is_found = (0..2_000).any(|_| {
            let steps = steps().new_tree(&mut runner).unwrap().current();
            play(&steps, note, 1_000).is_some()
        });
        assert!(is_found, "nobody notices that {what}");
    }
}

#[test]
fn nothing_is_believed_before_the_first_snapshot_is_complete() {
    let now = Instant::now();
    let trust = trust(now, 10);
    trust.note(now, &[], None);
    trust.prove(now);
    assert_eq!(trust.standing(now, trust.is_fresh(now), &token(1, 1, 1)), Standing::Unknown);
    trust.note(now, &[], Some("here".into()));
    trust.prove(now);
    assert_eq!(trust.standing(now, trust.is_fresh(now), &token(1, 1, 1)), Standing::Live);
    assert_eq!(trust.standing(now + FRESH, trust.is_fresh(now + FRESH), &token(1, 1, 1)), Standing::Unknown);
}

#[test]
fn the_last_moments_of_a_token_are_not_judged_here() {
    let (now, time) = (Instant::now(), SystemTime::now());
    let trust = Trust::new(now);
    trust.note(now, &[], Some("here".into()));
    trust.prove(now);
    let expiring = Claims { exp: time.duration_since(UNIX_EPOCH).unwrap().as_secs() + 1, ..token(1, 1, 1) };
    assert_eq!(
        trust.standing(now, trust.is_fresh(now), &expiring),
        Standing::Unknown,
        "nobody has said what time it is"
    );
    // Whose clock is wrong, nobody knows when they are far apart.
    for (apart, standing) in
        [(2 * FAR, Standing::Unknown), (FAR, Standing::Live), (Duration::ZERO, Standing::Live)]
    {
        let _ = trust.note_time(now, time, time - apart);
        assert_eq!(trust.standing(now, trust.is_fresh(now), &expiring), standing, "{apart:?}");
    }
    assert_eq!(
        trust.standing(now + Duration::from_secs(1), trust.is_fresh(now + Duration::from_secs(1)), &expiring),
        Standing::Unknown
    );
}

#[test]
fn what_can_concern_no_token_any_more_is_forgotten_and_not_before() {
    let now = Instant::now();
    let trust = Trust::new(now);
    let tokens = [Tokens::OfSession(Uuid::from_u128(1)), Tokens::OfUser(Uuid::from_u128(1), 1)];
    for (number, tokens) in (1..).zip(tokens) {
        trust.note(now, &[Revocation { tokens, remaining: Duration::from_secs(number * 60) }], None);
    }
    for (seconds, left) in [(0, 2), (60, 2), (64, 1), (120, 1), (124, 0)] {
        trust.forget(now + Duration::from_secs(seconds));
        assert_eq!(trust.len(), left, "after {seconds} s");
    }
    assert!(trust.is_empty());
}

#[test]
fn when_there_is_no_room_nobody_is_believed_unasked_until_the_rest_would_have_been_forgotten() {
    let now = Instant::now();
    let trust = trust(now, 1);
    let end = |session: u128| Revocation {
        tokens: Tokens::OfSession(Uuid::from_u128(100 + session)),
        remaining: Duration::from_secs(60),
    };
    trust.note(now, &[end(1), end(1), end(2)], Some("here".into()));
    trust.prove(now);
    assert_eq!(trust.len(), 1);
    assert_eq!(
        trust.standing(now, trust.is_fresh(now), &token(0, 1, 1)),
        Standing::Ended(Refusal::SessionEnded)
    );
    for session in [2, 3] {
        assert_eq!(trust.standing(now, trust.is_fresh(now), &token(0, session, 1)), Standing::Unknown);
    }
    let later = now + Duration::from_secs(64);
    trust.forget(later);
    trust.prove(later);
    assert_eq!(trust.standing(later, trust.is_fresh(later), &token(0, 3, 1)), Standing::Live);
}
