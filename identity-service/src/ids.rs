//! The ids of the entities: one type each, so that none is taken for another.

use std::time::SystemTime;

use uuid::{NoContext, Timestamp, Uuid};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub struct $name(Uuid);

            impl $name {
                /// A new id, in the order of time: a UUIDv7 (RFC 9562 section 5.7).
                #[expect(clippy::new_without_default, reason = "a default that is never the same twice would mislead")]
                #[must_use]
                pub fn new() -> Self {
                    Self(Uuid::now_v7())
                }

                /// A new id of this time.
                #[must_use]
                pub fn at(now: SystemTime) -> Self {
                    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                    Self(Uuid::new_v7(Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos())))
                }

                /// The id as the database and the wire have it.
                #[must_use]
                pub fn as_uuid(self) -> Uuid {
                    self.0
                }
            }

            impl From<Uuid> for $name {
                fn from(id: Uuid) -> Self {
                    Self(id)
                }
            }
        )*
    };
}

ids! {
    /// The id of a user.
    UserId;
    /// The id of a session.
    SessionId;
    /// The id of a mail.
    MailId;
}

/// Reads an id in the one form that is accepted: 8-4-4-4-12, in any case. Another spelling names nobody.
#[must_use]
pub fn parse_uuid(id: &str) -> Option<Uuid> {
    (id.len() == uuid::fmt::Hyphenated::LENGTH).then(|| Uuid::try_parse(id).ok())?
}
