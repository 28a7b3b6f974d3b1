//! The id that whoever registers a user may choose, so that a repeated registration asks for the same user.

use std::time::{Duration, SystemTime};

use uuid::{NoContext, Timestamp, Uuid};

/// How far the time in the id may be from now. Who has seen an old id cannot ask about its user by registering him.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Why an id cannot be that of a new user. The message is for whoever chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NewUserIdError {
    /// It is no UUIDv7 (RFC 9562 section 5.7) in the form 8-4-4-4-12.
    #[error("Input should be a UUIDv7")]
    Form,
    /// Its time is too far from now.
    #[error("The time of the UUIDv7 should be within 5 minutes from now")]
    Time,
}

/// Reads the id of a new user: a UUIDv7 in the form 8-4-4-4-12, in any case, whose time is within [`TOLERANCE`].
///
/// # Errors
/// [`NewUserIdError`]
pub fn parse(now: SystemTime, text: &str) -> Result<Uuid, NewUserIdError> {
    let has_form = text.len() == uuid::fmt::Hyphenated::LENGTH;
    let id = Uuid::try_parse(text).ok().filter(|id| has_form && id.get_version_num() == 7);
    let id = id.ok_or(NewUserIdError::Form)?;
    let (seconds, nanos) = id.get_timestamp().map(|time| time.to_unix()).unwrap_or_default();
    let made = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    let apart = now.duration_since(made).or_else(|_| made.duration_since(now)).unwrap_or_default();
    if apart <= TOLERANCE { Ok(id) } else { Err(NewUserIdError::Time) }
}

/// A new id of this time.
#[must_use]
pub fn at(now: SystemTime) -> Uuid {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn read(made_at: Duration) -> Result<Uuid, NewUserIdError> {
        let time = Timestamp::from_unix(NoContext, made_at.as_secs(), made_at.subsec_nanos());
        parse(SystemTime::UNIX_EPOCH + NOW, &Uuid::new_v7(time).to_string())
    }

    #[test]
    fn an_id_is_good_for_five_minutes_before_and_after_its_time() {
        for seconds in [0, 1, 299, 300] {
            assert!(read(NOW - Duration::from_secs(seconds)).is_ok());
            assert!(read(NOW + Duration::from_secs(seconds)).is_ok());
        }
        assert_eq!(read(NOW - Duration::from_secs(301)), Err(NewUserIdError::Time));
        assert_eq!(read(NOW + Duration::from_secs(301)), Err(NewUserIdError::Time));
    }

    #[test]
    fn only_a_uuidv7_in_its_usual_form_is_an_id() {
        let good = Uuid::now_v7();
        assert_eq!(parse(SystemTime::now(), &good.to_string().to_uppercase()), Ok(good));
        for text in
            ["", "x", &good.simple().to_string(), &good.braced().to_string(), &Uuid::new_v4().to_string()]
        {
            assert_eq!(parse(SystemTime::now(), text), Err(NewUserIdError::Form), "{text}");
        }
    }
}
