//! What a torn change may leave behind: all of it or nothing, and all of it if somebody was told so.

use crate::harness::Database;

/// All that is kept of a user, but for what he is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    pub user: Option<Credential>,
    pub sessions: Vec<String>,
    /// What his mailed tokens are for, those that are not used.
    pub tokens: Vec<String>,
    /// How many mails there are for him.
    pub mails: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub version: i32,
    pub epoch: i64,
    pub hash: String,
    pub email: String,
    pub is_active: bool,
}

/// What was to be done.
#[derive(Debug)]
pub enum Change {
    Registration,
    /// His password by himself, in this session.
    OwnPassword(String),
    PasswordBySuperuser,
    /// His password by a mailed token.
    Reset,
    /// His address by himself, in this session.
    OwnEmail(String),
    Deactivation,
    Deletion,
}

impl Left {
    pub async fn of(database: &Database, id: &str) -> Self {
        let user = "SELECT password_version, epoch, password_hash, email, is_active
                    FROM users WHERE id::text = $1";
        let users = database.rows(user, &[&id]).await;
        let user = users.first().map(|row| Credential {
            version: row.get(0),
            epoch: row.get(1),
            hash: row.get(2),
            email: row.get(3),
            is_active: row.get(4),
        });
        let texts = async |sql| {
            let rows = database.rows(sql, &[&id]).await;
            rows.iter().map(|row| row.get(0)).collect()
        };
        let sessions = texts("SELECT id::text FROM sessions WHERE user_id::text = $1 ORDER BY 1").await;
        let tokens = texts("SELECT purpose FROM recovery_tokens WHERE user_id::text = $1 ORDER BY 1").await;
        let mails =
            database.rows("SELECT count(*) FROM mails WHERE user_id::text = $1", &[&id]).await[0].get(0);
        Self { user, sessions, tokens, mails }
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
    let (Some(new), Some(old)) = (&after.user, &before.user) else {
        let created = after.user.as_ref().is_some_and(|new| new.version == 1);
        let nothing_else = after.sessions.is_empty() && after.tokens.is_empty();
        let rightly = if before.user.is_none() { created } else { matches!(change, Change::Deletion) };
        return rightly && nothing_else;
    };
    let has_new_password = new.version == old.version + 1 && new.hash != old.hash;
    let kept_password = new.version == old.version && new.hash == old.hash;
    let has_ended = new.epoch > old.epoch && after.sessions.is_empty();
    let kept = |session: &String| new.epoch == old.epoch && after.sessions == [session.as_str()];
    let lost = |purpose: &str| {
        let left: Vec<_> = before.tokens.iter().filter(|token| *token != purpose).collect();
        after.tokens.iter().collect::<Vec<_>>() == left
    };
    let kept_tokens = after.tokens == before.tokens;
    let kept_address = new.email == old.email;
    let (kept_state, kept_mails) = (new.is_active == old.is_active, after.mails == before.mails);
    match change {
        Change::OwnPassword(session) => {
            has_new_password && kept(session) && kept_tokens && kept_address && kept_state && kept_mails
        }
        Change::PasswordBySuperuser => {
            has_new_password && has_ended && kept_tokens && kept_address && kept_state && kept_mails
        }
        Change::Reset => {
            let is_told = after.mails == before.mails + 1;
            has_new_password && has_ended && lost("reset") && kept_address && kept_state && is_told
        }
        Change::OwnEmail(session) => {
            kept_password && kept(session) && lost("verify") && !kept_address && kept_state && kept_mails
        }
        Change::Deactivation => {
            kept_password && has_ended && kept_tokens && kept_address && !kept_state && kept_mails
        }
        Change::Registration | Change::Deletion => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type User<'a> = (i32, i64, &'a str);

    const NOBODY: Option<User<'_>> = None;

    fn left(user: Option<User<'_>>, sessions: &[&str], tokens: &[&str]) -> Left {
        let user = user.map(|(version, epoch, hash)| Credential {
            version,
            epoch,
            hash: hash.to_owned(),
            email: "a@b.com".to_owned(),
            is_active: true,
        });
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        Left { user, sessions: texts(sessions), tokens: texts(tokens), mails: 1 }
    }

    fn changed(left: Left, change: impl Fn(&mut Credential)) -> Left {
        let mut user = left.user.clone().unwrap();
        change(&mut user);
        Left { user: Some(user), ..left }
    }

    fn moved(left: Left) -> Left {
        changed(left, |user| "c@d.com".clone_into(&mut user.email))
    }

    fn inactive(left: Left) -> Left {
        changed(left, |user| user.is_active = false)
    }

    #[test]
    fn all_or_nothing_is_right_and_half_of_anything_is_not() {
        const BOTH: [&str; 2] = ["reset", "verify"];
        let old = left(Some((1, 7, "old")), &["own", "other"], &BOTH);
        let own = Change::OwnPassword("own".to_owned());
        let email = Change::OwnEmail("own".to_owned());
        let told = |left| Left { mails: 2, ..left };
        let right = [
            (&Change::Registration, left(NOBODY, &[], &[]), left(Some((1, 7, "new")), &[], &[])),
            (&own, old.clone(), left(Some((2, 7, "new")), &["own"], &BOTH)),
            (&Change::PasswordBySuperuser, old.clone(), left(Some((2, 8, "new")), &[], &BOTH)),
            (&Change::Reset, old.clone(), told(left(Some((2, 8, "new")), &[], &["verify"]))),
            (&email, old.clone(), moved(left(Some((1, 7, "old")), &["own"], &["reset"]))),
            (&Change::Deactivation, old.clone(), inactive(left(Some((1, 8, "old")), &[], &BOTH))),
            (&Change::Deletion, old.clone(), Left { mails: 0, ..left(NOBODY, &[], &[]) }),
        ];
        for (change, before, after) in &right {
            assert_eq!(judge(change, before, after, 200), Ok(true));
            assert_eq!(judge(change, before, after, 503), Ok(true));
            assert_eq!(judge(change, before, before, 503), Ok(false));
            assert!(judge(change, before, before, 204).is_err(), "acknowledged and not there");
        }
        let used = &["verify"];
        for (change, after) in [
            (&own, left(Some((2, 7, "new")), &["other", "own"], &BOTH)),
            (&own, left(Some((1, 7, "new")), &["own"], &BOTH)),
            (&own, left(Some((2, 7, "old")), &["own"], &BOTH)),
            (&own, left(Some((1, 7, "old")), &["own"], &BOTH)),
            (&own, left(Some((2, 7, "new")), &[], &BOTH)),
            (&Change::PasswordBySuperuser, left(Some((2, 7, "new")), &[], &BOTH)),
            (&Change::PasswordBySuperuser, left(Some((2, 8, "new")), &["own"], &BOTH)),
            (&Change::PasswordBySuperuser, left(Some((1, 8, "old")), &[], &BOTH)),
            (&Change::Reset, left(Some((2, 8, "new")), &[], used)),
            (&Change::Reset, told(left(Some((2, 8, "new")), &[], &BOTH))),
            (&Change::Reset, told(left(Some((2, 7, "new")), &[], used))),
            (&Change::Reset, told(left(Some((2, 8, "new")), &["own"], used))),
            (&Change::Reset, left(Some((1, 7, "old")), &["own", "other"], used)),
            (&email, moved(left(Some((1, 7, "old")), &["own"], &BOTH))),
            (&email, moved(left(Some((1, 7, "old")), &["own", "other"], &["reset"]))),
            (&email, left(Some((1, 7, "old")), &["own"], &["reset"])),
            (&Change::Deactivation, inactive(left(Some((1, 7, "old")), &[], &BOTH))),
            (&Change::Deactivation, inactive(left(Some((1, 8, "old")), &["own"], &BOTH))),
            (&Change::Deactivation, left(Some((1, 8, "old")), &[], &BOTH)),
            (&Change::Deletion, left(NOBODY, &["own"], &[])),
            (&Change::Deletion, left(NOBODY, &[], used)),
            (&Change::Deletion, left(Some((1, 7, "old")), &[], &BOTH)),
        ] {
            assert!(judge(change, &old, &after, 503).is_err(), "{change:?} {after:?}");
        }
    }
}
