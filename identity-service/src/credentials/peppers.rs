//! The peppers that a process was given, and which of them the database knows as what.

use std::iter;

use super::Pepper;

/// The peppers that a process was given; no two are the same.
#[derive(Clone)]
pub struct Peppers {
    primary: Pepper,
    others: Vec<Pepper>,
}

impl Peppers {
    /// The one that new passwords are hashed with, alone.
    #[must_use]
    pub fn of(primary: Pepper) -> Self {
        Self { primary, others: Vec::new() }
    }

    /// Adds one that stored passwords may have been hashed with, unless it is there already; whether it was added.
    #[must_use]
    pub fn add(&mut self, other: Pepper) -> bool {
        let is_new = !self.has(&other.fingerprint());
        if is_new {
            self.others.push(other);
        }
        is_new
    }

    /// Finds each among those that the database knows. `None` if passwords were hashed, and with none of these.
    pub(super) fn recognise(&self, known: &[Registered]) -> Option<Recognised> {
        let used = || known.iter().filter(|registered| registered.is_used);
        let missing = used().filter(|registered| !self.has(&registered.fingerprint)).count();
        if missing > 0 && missing == used().count() {
            return None;
        }
        let mut highest = known.iter().map(|registered| registered.version).max().unwrap_or(0);
        let mut new = Vec::new();
        let mut with_version = |pepper: &Pepper| {
            let fingerprint = pepper.fingerprint();
            if let Some(registered) = known.iter().find(|known| known.fingerprint == fingerprint) {
                return (registered.version, pepper.clone());
            }
            // The table refuses a version that is there already, as that of a planted row could be.
            highest = highest.saturating_add(1);
            new.push((highest, fingerprint));
            (highest, pepper.clone())
        };
        let primary = with_version(&self.primary);
        let others = self.others.iter().map(with_version).collect();
        Some(Recognised { peppers: VersionedPeppers { primary, others }, new, missing })
    }

    /// Whether there are others than the one for new passwords.
    pub(super) fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    fn has(&self, fingerprint: &[u8]) -> bool {
        iter::once(&self.primary).chain(&self.others).any(|pepper| pepper.fingerprint() == fingerprint)
    }
}

/// A pepper that the database knows.
pub(super) struct Registered {
    /// Its version.
    pub(super) version: i32,
    /// By what it is known again.
    pub(super) fingerprint: Vec<u8>,
    /// Whether new passwords were ever hashed with it.
    pub(super) is_used: bool,
}

/// What became of looking for peppers among those that the database knows.
pub(super) struct Recognised {
    /// The peppers, each with its version.
    pub(super) peppers: VersionedPeppers,
    /// The versions and fingerprints that the database does not know yet.
    pub(super) new: Vec<(i32, Vec<u8>)>,
    /// How many others new passwords were ever hashed with.
    pub(super) missing: usize,
}

/// The peppers of a process, each with the version by which a stored password says what it was hashed with.
pub struct VersionedPeppers {
    primary: (i32, Pepper),
    others: Vec<(i32, Pepper)>,
}

impl VersionedPeppers {
    /// The one that new passwords are hashed with.
    pub(super) fn primary(&self) -> (i32, &Pepper) {
        (self.primary.0, &self.primary.1)
    }

    /// The one with this version.
    pub(super) fn find(&self, version: i32) -> Option<&Pepper> {
        let mut all = iter::once(&self.primary).chain(&self.others);
        all.find(|(known, _)| *known == version).map(|(_, pepper)| pepper)
    }

    /// All versions, that of the primary pepper first.
    pub(super) fn versions(&self) -> Vec<i32> {
        iter::once(&self.primary).chain(&self.others).map(|(version, _)| *version).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pepper(key: u8) -> Pepper {
        Pepper::new(&[key; 32])
    }

    /// The pepper with the first key for new passwords, and the others.
    fn peppers(keys: &[u8]) -> Peppers {
        let mut peppers = Peppers::of(pepper(keys[0]));
        for &key in &keys[1..] {
            assert!(peppers.add(pepper(key)));
        }
        peppers
    }

    fn registered(version: i32, key: u8, is_used: bool) -> Registered {
        Registered { version, fingerprint: pepper(key).fingerprint(), is_used }
    }

    /// The versions that these peppers get, those of them that are new, and how many others are missing.
    fn recognise(keys: &[u8], known: &[Registered]) -> Option<(Vec<i32>, Vec<i32>, usize)> {
        let Recognised { peppers, new, missing } = peppers(keys).recognise(known)?;
        for (version, key) in peppers.versions().into_iter().zip(keys) {
            let found = peppers.find(version).unwrap();
            assert_eq!(found.fingerprint(), pepper(*key).fingerprint());
        }
        Some((peppers.versions(), new.into_iter().map(|(version, _)| version).collect(), missing))
    }

    #[test]
    fn no_pepper_is_there_twice() {
        let mut peppers = peppers(&[1, 2]);
        assert!(!peppers.add(pepper(1)));
        assert!(!peppers.add(pepper(2)));
        assert!(peppers.add(pepper(3)));
    }

    #[test]
    fn the_first_pepper_of_all_is_version_1() {
        assert_eq!(recognise(&[7], &[]), Some((vec![1], vec![1], 0)));
        assert_eq!(recognise(&[7, 8], &[]), Some((vec![1, 2], vec![1, 2], 0)));
    }

    #[test]
    fn a_pepper_keeps_its_version_whatever_place_it_has() {
        let known = || [registered(1, 7, true), registered(2, 8, false)];
        assert_eq!(recognise(&[7, 8], &known()), Some((vec![1, 2], vec![], 0)));
        assert_eq!(recognise(&[8, 7], &known()), Some((vec![2, 1], vec![], 0)));
        assert_eq!(recognise(&[9, 7], &known()), Some((vec![3, 1], vec![3], 0)));
    }

    #[test]
    fn peppers_of_which_none_was_ever_used_are_refused_once_one_was() {
        let known = || [registered(1, 7, true), registered(2, 8, false)];
        assert_eq!(recognise(&[8], &known()), None);
        assert_eq!(recognise(&[9, 8], &known()), None);
        assert_eq!(recognise(&[9], &[registered(1, 7, false)]), Some((vec![2], vec![2], 0)));
    }

    #[test]
    fn used_peppers_that_are_missing_are_counted_when_another_used_one_is_there() {
        let known = || [registered(1, 7, true), registered(2, 8, true), registered(3, 9, true)];
        assert_eq!(recognise(&[9], &known()), Some((vec![3], vec![], 2)));
        assert_eq!(recognise(&[9, 7], &known()), Some((vec![3, 1], vec![], 1)));
        assert_eq!(recognise(&[9, 7, 8], &known()), Some((vec![3, 1, 2], vec![], 0)));
    }

    #[test]
    fn a_version_that_no_pepper_has_finds_none() {
        let peppers = peppers(&[7, 8]).recognise(&[]).unwrap().peppers;
        for version in [0, 3, -1, i32::MAX, i32::MIN] {
            assert!(peppers.find(version).is_none());
        }
    }
}
