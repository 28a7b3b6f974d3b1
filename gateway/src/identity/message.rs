//! From our words to the messages of the contract, and back.

use portcullis_proto::own_fields::{self, BUILT_IN};
use portcullis_proto::v1;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Keys, RefreshToken, Session, Tokens, User, Which, Who};
use crate::body::fields::Changes;

/// How the gRPC API names the session that the token of the call belongs to.
const CURRENT: &str = "current";

pub(super) fn to_id(who: Who<'_>) -> String {
    match who {
        Who::Caller => "me".to_owned(),
        Who::Id(id) => id.to_owned(),
    }
}

/// `current` is a word of the gRPC API alone: a client of ours who names a session so names none.
pub(super) fn to_session_id(which: Which<'_>) -> String {
    match which {
        Which::Current => CURRENT.to_owned(),
        Which::Id(CURRENT) => String::new(),
        Which::Id(id) => id.to_owned(),
    }
}

/// `None` if a session lacks a time.
pub(super) fn to_sessions(answer: v1::ListSessionsResponse) -> Option<Vec<Session>> {
    answer.sessions.into_iter().map(to_session).collect()
}

fn to_session(session: v1::Session) -> Option<Session> {
    let told = |text: String| (!text.is_empty()).then_some(text);
    Some(Session {
        id: session.id,
        // Written as RFC 3339 has it.
        created_at: session.create_time?.to_string(),
        last_seen_at: session.last_seen_time?.to_string(),
        expires_at: session.expire_time?.to_string(),
        user_agent: told(session.user_agent),
        address_prefix: told(session.address_prefix),
        is_current: session.is_current,
    })
}

/// `None` if it is not said for how long a token is good.
pub(super) fn to_tokens(answer: v1::CreateSessionResponse) -> Option<Tokens> {
    let expires_in = seconds(answer.expires_in)?;
    let refresh = to_refresh(answer.refresh_token, answer.end_token, answer.refresh_expires_in)?;
    Some(Tokens { access_token: answer.access_token.into(), expires_in, refresh })
}

/// `None` if it is not said for how long a token is good.
pub(super) fn to_refreshed_tokens(answer: v1::RefreshSessionResponse) -> Option<Tokens> {
    let expires_in = seconds(answer.expires_in)?;
    let refresh = to_refresh(answer.refresh_token, answer.end_token, answer.refresh_expires_in)?;
    Some(Tokens { access_token: answer.access_token.into(), expires_in, refresh })
}

/// A refresh token, if there is one; with it there is an end token.
fn to_refresh(
    token: String,
    end_token: String,
    expires_in: Option<prost_types::Duration>,
) -> Option<Option<RefreshToken>> {
    if token.is_empty() {
        return Some(None);
    }
    let (token, end_token) = (token.into(), Some(end_token).filter(|end| !end.is_empty())?.into());
    Some(Some(RefreshToken { token, end_token, expires_in: seconds(expires_in)? }))
}

/// Whole seconds, of which there is at least one.
fn seconds(duration: Option<prost_types::Duration>) -> Option<i64> {
    duration.map(|duration| duration.seconds).filter(|seconds| *seconds > 0)
}

pub(super) fn to_user(user: v1::User) -> User {
    User {
        id: user.id,
        email: user.email,
        is_active: user.is_active,
        is_superuser: user.is_superuser,
        is_verified: user.is_verified,
        own: user.profile.map(to_own).unwrap_or_default(),
    }
}

/// The operator's own fields. None takes the place of one that every user has.
fn to_own(profile: prost_types::Struct) -> Map<String, Value> {
    let mut own = own_fields::from_struct(profile);
    own.retain(|name, _| !BUILT_IN.contains(&name.as_str()));
    own
}

/// What may be own fields; `None` if there is nothing.
pub(super) fn to_profile(others: &Map<String, Value>) -> Option<prost_types::Struct> {
    (!others.is_empty()).then(|| own_fields::to_struct(others))
}

pub(super) fn to_update(who: Who<'_>, changes: &Changes) -> v1::UpdateUserRequest {
    let mut user = v1::User::default();
    let mut paths = Vec::new();
    if let Some(email) = &changes.email {
        user.email.clone_from(email);
        paths.push("email".to_owned());
    }
    if let Who::Id(_) = who {
        for (name, flag, field) in [
            ("is_active", changes.is_active, &mut user.is_active),
            ("is_superuser", changes.is_superuser, &mut user.is_superuser),
            ("is_verified", changes.is_verified, &mut user.is_verified),
        ] {
            if let Some(flag) = flag {
                *field = flag;
                paths.push(name.to_owned());
            }
        }
    }
    v1::UpdateUserRequest {
        id: to_id(who),
        user: Some(user),
        update_mask: Some(prost_types::FieldMask { paths }),
        password: changes.password.as_ref().map(|password| password.expose_secret().to_owned()),
        profile_patch: to_profile(&changes.others),
    }
}

/// The user and the session; `None` if an id is none.
pub(super) fn to_session_ids(session: &v1::Session) -> Option<(Uuid, Uuid)> {
    Some((Uuid::try_parse(&session.user_id).ok()?, Uuid::try_parse(&session.id).ok()?))
}

/// `None` if a key is not 32 bytes long.
pub(super) fn to_keys(answer: v1::GetKeysResponse) -> Option<Keys> {
    let to_key = |key: v1::PublicKey| Some((key.kid, key.ed25519_public_key.try_into().ok()?));
    Some(Keys { issuer: answer.issuer, keys: answer.keys.into_iter().map(to_key).collect::<Option<_>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Changes {
        Changes {
            email: Some("a@b.com".to_owned()),
            password: Some("guinevere".to_owned().into()),
            is_active: Some(false),
            is_superuser: Some(true),
            is_verified: None,
            others: Map::new(),
        }
    }

    fn paths(request: &v1::UpdateUserRequest) -> &[String] {
        &request.update_mask.as_ref().unwrap().paths
    }

    #[test]
    fn of_himself_a_user_changes_no_flag() {
        let request = to_update(Who::Caller, &everything());
        assert_eq!((request.id.as_str(), paths(&request)), ("me", &["email".to_owned()][..]));
        assert_eq!(request.password.as_deref(), Some("guinevere"));
        let user = request.user.unwrap();
        assert_eq!((user.email.as_str(), user.is_superuser), ("a@b.com", false));
    }

    #[test]
    fn of_others_the_flags_that_are_given_are_changed_too() {
        let request = to_update(Who::Id("x"), &everything());
        assert_eq!(paths(&request), ["email", "is_active", "is_superuser"]);
        assert!(request.user.unwrap().is_superuser);
    }

    #[test]
    fn nothing_given_changes_nothing() {
        let request = to_update(Who::Id("x"), &Changes::default());
        assert!(paths(&request).is_empty() && request.password.is_none());
    }

    #[test]
    fn own_fields_stand_behind_those_that_every_user_has_and_take_the_place_of_none() {
        let profile = serde_json::json!({"b": 1.0, "a": {"c": null}, "is_superuser": true});
        let profile = to_profile(profile.as_object().unwrap());
        let user = to_user(v1::User { id: "i".to_owned(), profile, ..v1::User::default() });
        assert_eq!(
            serde_json::to_string(&user).unwrap(),
            r#"{"id":"i","email":"","is_active":false,"is_superuser":false,"is_verified":false,"a":{"c":null},"b":1}"#
        );
        assert!(to_profile(&Map::new()).is_none());
    }

    #[test]
    fn the_word_for_the_current_session_is_no_id_of_one() {
        assert_eq!(to_session_id(Which::Current), "current");
        assert_eq!(to_session_id(Which::Id("current")), "");
        assert_eq!(to_session_id(Which::Id("Current")), "Current");
    }

    #[test]
    fn a_session_is_shown_with_all_its_times_and_what_was_told() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 1_000 });
        let session = v1::Session {
            create_time: at(1),
            last_seen_time: at(2),
            expire_time: at(1_700_000_000),
            address_prefix: "203.0.113.0/24".to_owned(),
            ..v1::Session::default()
        };
        let shown = to_session(session.clone()).unwrap();
        assert_eq!(shown.created_at, "1970-01-01T00:00:01.000001Z");
        assert_eq!(shown.expires_at, "2023-11-14T22:13:20.000001Z");
        assert_eq!((shown.user_agent, shown.address_prefix.as_deref()), (None, Some("203.0.113.0/24")));
        let timeless = v1::Session { last_seen_time: None, ..session.clone() };
        assert!(
            to_sessions(v1::ListSessionsResponse { sessions: vec![session, timeless], ..Default::default() })
                .is_none()
        );
    }

    #[test]
    fn keys_of_another_length_are_none() {
        let key = |length| v1::PublicKey { ed25519_public_key: vec![1; length], ..v1::PublicKey::default() };
        let answer =
            |length| v1::GetKeysResponse { issuer: "i".to_owned(), keys: vec![key(32), key(length)] };
        assert_eq!(to_keys(answer(32)).unwrap().keys.len(), 2);
        assert_eq!(to_keys(answer(31)), None);
    }
}
