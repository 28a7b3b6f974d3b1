//! What a torn change may leave behind: all of it or nothing, and all of it if somebody was told so.

use crate::harness::Database;

/// All that is kept of a user, but for what he is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    pub user: Option<Credential>,
    pub sessions: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub version: i32,
    pub epoch: i64,
    pub hash: String,
}

/// What was to be done.
#[derive(Debug)]
pub enum Change {
    Registration,
    /// His password by himself, in this session.
    OwnPassword(String),
    PasswordBySuperuser,
    Deletion,
}

impl Left {
    pub async fn of(database: &Database, id: &str) -> Self {
        let user = "SELECT password_version, epoch, password_hash FROM users WHERE id::text = $1";
        let users = database.rows(user, &[&id]).await;
        let user =
            users.first().map(|row| Credential { version: row.get(0), epoch: row.get(1), hash: row.get(2) });
        let sessions = "SELECT id::text FROM sessions WHERE user_id::text = $1 ORDER BY 1";
        let sessions = database.rows(sessions, &[&id]).await;
        Self { user, sessions: sessions.iter().map(|row| row.get(0)).collect() }
    }
}

/// Whether the change has happened. The error says what was done by halves, or was acknowledged and is not there.
pub fn judge(change: &Change, before: &Left, after: &Left, status: u16) -> Result<bool, String> {
    let happened = after != before;
    if happened && !is_whole(change, before, after) {
        return Err(format!("{change:?} by halves: {before:?} became {after:?}"));
    }
    if [200, 201, 204].contains(&status) && !happened {
        return Err(format!("{change:?} was acknowledged with {status} and has not happened"));
    }
    Ok(happened)
}

fn is_whole(change: &Change, before: &Left, after: &Left) -> bool {
    let is_new = |old: &Credential, new: &Credential| new.version == old.version + 1 && new.hash != old.hash;
    match (change, &before.user, &after.user) {
        (Change::Registration, None, Some(new)) => new.version == 1 && after.sessions.is_empty(),
        (Change::OwnPassword(session), Some(old), Some(new)) => {
            is_new(old, new) && new.epoch == old.epoch && after.sessions == [session.as_str()]
        }
        (Change::PasswordBySuperuser, Some(old), Some(new)) => {
            is_new(old, new) && new.epoch > old.epoch && after.sessions.is_empty()
        }
        (Change::Deletion, Some(_), None) => after.sessions.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(user: Option<(i32, i64, &str)>, sessions: &[&str]) -> Left {
        let user = user.map(|(version, epoch, hash)| Credential { version, epoch, hash: hash.to_owned() });
        Left { user, sessions: sessions.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn all_or_nothing_is_right_and_half_of_anything_is_not() {
        let old = left(Some((1, 7, "old")), &["own", "other"]);
        let own = Change::OwnPassword("own".to_owned());
        let right = [
            (&Change::Registration, left(None, &[]), left(Some((1, 7, "new")), &[])),
            (&own, old.clone(), left(Some((2, 7, "new")), &["own"])),
            (&Change::PasswordBySuperuser, old.clone(), left(Some((2, 8, "new")), &[])),
            (&Change::Deletion, old.clone(), left(None, &[])),
        ];
        for (change, before, after) in &right {
            assert_eq!(judge(change, before, after, 200), Ok(true));
            assert_eq!(judge(change, before, after, 503), Ok(true));
            assert_eq!(judge(change, before, before, 503), Ok(false));
            assert!(judge(change, before, before, 204).is_err(), "acknowledged and not there");
        }
        for (change, after) in [
            (&own, left(Some((2, 7, "new")), &["other", "own"])),
            (&own, left(Some((1, 7, "new")), &["own"])),
            (&own, left(Some((2, 7, "old")), &["own"])),
            (&own, left(Some((1, 7, "old")), &["own"])),
            (&own, left(Some((2, 7, "new")), &[])),
            (&Change::PasswordBySuperuser, left(Some((2, 7, "new")), &[])),
            (&Change::PasswordBySuperuser, left(Some((2, 8, "new")), &["own"])),
            (&Change::PasswordBySuperuser, left(Some((1, 8, "old")), &[])),
            (&Change::Deletion, left(None, &["own"])),
            (&Change::Deletion, left(Some((1, 7, "old")), &[])),
        ] {
            assert!(judge(change, &old, &after, 503).is_err(), "{change:?} {after:?}");
        }
    }
}
