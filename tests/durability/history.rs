//! Whether a history of operations on one e-mail address is linearizable: whether there is an order of them that keeps
//! the order of those that did not overlap, and in which each answer is right (Herlihy and Wing 1990). A pure function.

use std::collections::HashSet;

use Operation::{Deleted, LoggedIn, MayHaveRegistered, NotDeleted, NotLoggedIn, Refused, Registered};

/// Whose the address is: the number of the client who has registered it, if anybody has.
pub type Owner = Option<usize>;

/// What a client did, and what he was told. Every client has a password of his own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// He registered the address: 201.
    Registered(usize),
    /// He tried to: the address is taken.
    Refused,
    /// He tried to, and was not told what came of it: it may happen later, or never.
    MayHaveRegistered(usize),
    /// He logged in with his password.
    LoggedIn(usize),
    /// He tried to: bad credentials.
    NotLoggedIn(usize),
    /// The user of this client was deleted.
    Deleted(usize),
    /// There was no such user to delete.
    NotDeleted(usize),
}

/// An operation with the moments between which it took effect.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    pub operation: Operation,
    pub start: u64,
    pub end: u64,
}

/// Whose the address is afterwards; `Err` if the answer would have been wrong.
fn apply(owner: Owner, operation: Operation) -> Result<Owner, ()> {
    match (operation, owner) {
        (Registered(client) | MayHaveRegistered(client), None) => Ok(Some(client)),
        // What was asked again with the same id is answered again.
        (Registered(client), Some(other)) if client == other => Ok(owner),
        (Refused, Some(_)) => Ok(owner),
        (LoggedIn(client), Some(other)) if client == other => Ok(owner),
        (NotLoggedIn(client), other) if other != Some(client) => Ok(owner),
        (Deleted(client), Some(other)) if client == other => Ok(None),
        (NotDeleted(client), other) if other != Some(client) => Ok(owner),
        _ => Err(()),
    }
}

/// Whether an operation that changes nothing cannot but change nothing: a registration that is answered again might
/// have been needed later.
fn only_reads(operation: Operation) -> bool {
    matches!(operation, Refused | LoggedIn(_) | NotLoggedIn(_) | NotDeleted(_))
}

/// A set of operations, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Set([u128; 8]);

impl Set {
    /// How many there may be.
    const MOST: usize = 8 * 128;

    fn has(&self, number: usize) -> bool {
        self.0[number / 128] & (1 << (number % 128)) != 0
    }

    fn with(mut self, number: usize) -> Self {
        self.0[number / 128] |= 1 << (number % 128);
        self
    }
}

/// Whether the operations can have happened one after the other on an address that at first is nobody's. At most
/// [`Set::MOST`]: a machine that is busy answers 503 again and again.
pub fn is_linearizable(history: &[Event]) -> bool {
    assert!(history.len() <= Set::MOST, "there are more operations than fit into a set");
    // What nobody was told may happen at any time, so it holds up nobody.
    let must = |event: &Event| !matches!(event.operation, MayHaveRegistered(_));
    let all: Vec<usize> = (0..history.len()).filter(|&index| must(&history[index])).collect();
    let mut seen = HashSet::new();
    let mut open = vec![(Set::default(), None)];
    while let Some((mut done, owner)) = open.pop() {
        // Those before whose beginning nothing has ended that is not done yet.
        let may_be_next = |done: Set| {
            let is_left = move |index: &usize| !done.has(*index);
            let ends = (0..history.len()).filter(is_left).filter(|&index| must(&history[index]));
            let horizon = ends.map(|index| history[index].end).min().unwrap_or(u64::MAX);
            (0..history.len()).filter(is_left).filter(move |&index| history[index].start <= horizon)
        };
        // What changes nothing and is right now may as well be now.
        let is_now = |operation| only_reads(operation) && apply(owner, operation).is_ok();
        while let Some(index) = may_be_next(done).find(|&index| is_now(history[index].operation)) {
            done = done.with(index);
        }
        if all.iter().all(|&index| done.has(index)) {
            return true;
        }
        if seen.insert((done, owner)) {
            let next = may_be_next(done)
                .filter_map(|index| Some((done.with(index), apply(owner, history[index].operation).ok()?)));
            open.extend(next);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event((operation, start, end): (Operation, u64, u64)) -> Event {
        Event { operation, start, end }
    }

    fn history(events: &[(Operation, u64, u64)]) -> bool {
        is_linearizable(&events.iter().copied().map(event).collect::<Vec<_>>())
    }

    #[test]
    fn good_histories_are_accepted() {
        assert!(history(&[]));
        assert!(history(&[(Registered(0), 0, 9), (Refused, 0, 9), (LoggedIn(0), 5, 6)]));
        assert!(history(&[(NotLoggedIn(0), 0, 9), (Registered(0), 1, 2)]));
        assert!(history(&[
            (Registered(0), 0, 1),
            (Deleted(0), 2, 3),
            (Registered(1), 4, 5),
            (LoggedIn(1), 6, 7)
        ]));
        assert!(history(&[
            (Registered(0), 0, 9),
            (Deleted(0), 1, 8),
            (Registered(1), 2, 7),
            (NotLoggedIn(0), 8, 9)
        ]));
        assert!(history(&[(Registered(0), 0, 1), (Registered(0), 2, 3)]), "asked again with the same id");
        assert!(history(&[
            (Registered(0), 0, 9),
            (Deleted(0), 0, 5),
            (Registered(0), 0, 9),
            (Refused, 6, 9)
        ]));
        // Nobody was told, and it happened at once, later, or never.
        assert!(history(&[(MayHaveRegistered(0), 0, 1), (Refused, 2, 3)]));
        assert!(history(&[(MayHaveRegistered(0), 0, 1), (NotLoggedIn(0), 2, 3), (LoggedIn(0), 4, 5)]));
        assert!(history(&[(MayHaveRegistered(0), 0, 1), (Registered(1), 2, 3)]));
    }

    #[test]
    fn bad_histories_are_rejected() {
        assert!(!history(&[(Registered(0), 0, 9), (Registered(1), 0, 9)]), "two of one live period");
        assert!(!history(&[(Registered(0), 0, 1), (NotLoggedIn(0), 2, 3)]), "its own write is not read");
        assert!(!history(&[(Refused, 0, 9)]), "taken by nobody");
        assert!(!history(&[(Refused, 0, 1), (Registered(0), 2, 3)]), "refused before anybody had it");
        assert!(
            !history(&[(Registered(0), 0, 1), (Deleted(0), 2, 3), (LoggedIn(0), 4, 5)]),
            "deleted and there"
        );
        assert!(!history(&[(Registered(0), 0, 1), (Deleted(0), 2, 3), (Refused, 4, 5)]), "still taken");
        assert!(!history(&[(Registered(0), 0, 1), (Deleted(0), 2, 9), (Deleted(0), 2, 9)]), "deleted twice");
        assert!(!history(&[(Registered(0), 0, 1), (NotDeleted(0), 2, 3)]), "not found though it was there");
        assert!(
            !history(&[(MayHaveRegistered(0), 2, 3), (LoggedIn(0), 0, 1)]),
            "nothing happens before it was asked for"
        );
        assert!(
            !history(&[(MayHaveRegistered(0), 0, 1), (LoggedIn(0), 2, 3), (NotLoggedIn(0), 4, 5)]),
            "lost again"
        );
    }

    /// The same by trying every order of every subset that leaves out only what nobody was told.
    fn is_linearizable_naively(left: &[Event], owner: Owner) -> bool {
        let must = |event: &&Event| !matches!(event.operation, MayHaveRegistered(_));
        let Some(horizon) = left.iter().filter(must).map(|event| event.end).min() else { return true };
        (0..left.len()).filter(|&index| left[index].start <= horizon).any(|index| {
            let mut rest = left.to_vec();
            let event = rest.remove(index);
            apply(owner, event.operation).is_ok_and(|owner| is_linearizable_naively(&rest, owner))
        })
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let kinds = [Registered, MayHaveRegistered, LoggedIn, NotLoggedIn, Deleted, NotDeleted, |_| Refused];
        (0..kinds.len(), 0..3_usize).prop_map(move |(kind, client)| kinds[kind](client))
    }

    fn events(most: usize) -> impl Strategy<Value = Vec<Event>> {
        let one = (operation(), 0..12_u64, 0..8_u64);
        prop::collection::vec(
            one.prop_map(|(what, start, length)| event((what, start, start + length))),
            0..most,
        )
    }

    /// A history that did happen: operations one after the other, of which those are kept that are right, each then
    /// stretched to both sides.
    fn true_history() -> impl Strategy<Value = Vec<Event>> {
        prop::collection::vec((operation(), 0..30_u64, 0..30_u64), 0..60).prop_map(|wanted| {
            let (mut owner, mut events) = (None, Vec::new());
            for (moment, (operation, before, after)) in wanted.into_iter().enumerate() {
                let Ok(then) = apply(owner, operation) else { continue };
                owner = then;
                let moment = 10 * moment as u64 + 30;
                events.push(event((operation, moment - before, moment + after)));
            }
            events
        })
    }

    proptest! {
        #[test]
        fn what_did_happen_is_accepted(history in true_history()) {
            prop_assert!(is_linearizable(&history));
        }

        #[test]
        fn a_login_that_fails_after_all_of_a_true_history_in_which_its_user_is_left_is_rejected(
            mut history in true_history(),
        ) {
            history.retain(|event| !matches!(event.operation, MayHaveRegistered(_)));
            prop_assume!(is_linearizable(&history));
            let end = history.iter().map(|event| event.end).max().unwrap_or(0);
            // Two clients cannot both be logged in at the end, and one alone cannot be both in and out.
            history.push(event((LoggedIn(0), end + 1, end + 2)));
            history.push(event((NotLoggedIn(0), end + 3, end + 4)));
            prop_assert!(!is_linearizable(&history));
        }

        #[test]
        fn the_quick_search_and_the_naive_one_agree(history in events(7)) {
            prop_assert_eq!(is_linearizable(&history), is_linearizable_naively(&history, None));
        }
    }
}
