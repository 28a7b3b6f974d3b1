//! `identity-service key`, as an operator uses it.

use std::time::Duration;

use super::{age, kid, list, parse, the};
use crate::harness::{PASSWORD, Stack};

#[tokio::test]
async fn there_is_always_a_key_that_signs_and_one_that_will() {
    let stack = Stack::start().await;
    let keys = list(&stack.identity);
    assert_eq!(keys.iter().map(|key| key.state.as_str()).collect::<Vec<_>>(), ["current", "next"]);
    let jwks = stack.http().bare("GET", "/.well-known/jwks.json", "").await;
    let shown: Vec<_> =
        jwks.json()["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
    assert_eq!(shown, [keys[0].kid.as_str(), keys[1].kid.as_str()]);
    // Verifiers may keep the keys for a third of the time that passes before the next one signs.
    assert_eq!(jwks.header("cache-control"), "public, max-age=300");
    assert!(keys[0].line.ends_with("signs") && keys[1].line.contains("may sign from"), "{keys:#?}");
}

#[tokio::test]
async fn a_rotation_waits_until_verifiers_know_the_next_key_unless_it_must_not() {
    let stack = Stack::start().await;
    let before = stack.database.contents().await;
    let said = stack.identity.command(&["key", "rotate"]).unwrap_err();
    assert!(said.contains("may not know the next one yet: try again in") && said.contains("--now"), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1);
    assert_eq!(stack.database.contents().await, before);
    let keys = list(&stack.identity);
    let after = parse(&stack.identity.command(&["key", "rotate", "--now"]).unwrap());
    assert_eq!(the("current", &after), the("next", &keys));
    assert_eq!(the("retired", &after), the("current", &keys));
    age(&stack.database, "next", "15 minutes").await;
    let last = parse(&stack.identity.command(&["key", "rotate"]).unwrap());
    assert_eq!(the("current", &last), the("next", &after));
    assert_eq!(last.iter().filter(|key| key.state == "retired").count(), 2);
}

#[tokio::test]
async fn a_key_that_is_retired_signs_no_more_and_its_tokens_stay_good() {
    let stack = Stack::start().await;
    let (_, token) = stack.user(super::EMAIL).await;
    let old = kid(&token);
    // As with a rotation, verifiers must know the one that is to sign.
    let said = stack.identity.command(&["key", "retire", &old]).unwrap_err();
    assert!(said.contains("may not know the next one yet: try again in"), "{said}");
    age(&stack.database, "next", "15 minutes").await;
    for words in ["done", "there is nothing to do"] {
        let said = stack.identity.command(&["key", "retire", &old]).unwrap();
        assert_eq!((said.lines().next(), the("retired", &parse(&said))), (Some(words), old.clone()));
    }
    assert_eq!(stack.http().bare("GET", "/users/me", &token).await.status, 200);
    let signs_anew = async || kid(&stack.http().token(super::EMAIL, PASSWORD).await) != old;
    stack.identity.until("told", Duration::from_secs(2), signs_anew).await;
    // A key that never signed has no tokens, and goes at once.
    let next = the("next", &list(&stack.identity));
    let after = parse(&stack.identity.command(&["key", "retire", &next]).unwrap());
    assert!(after.iter().all(|key| key.kid != next) && the("next", &after) != next);
    // And a retired one goes with its tokens when it turns out to be compromised.
    let after = parse(&stack.identity.command(&["key", "retire", &old, "--compromised"]).unwrap());
    assert!(after.iter().all(|key| key.kid != old));
    let is_refused = async || stack.http().bare("GET", "/users/me", &token).await.status == 401;
    stack.gateway.until("told", Duration::from_secs(2), is_refused).await;
}

#[tokio::test]
async fn a_command_about_keys_that_cannot_be_carried_out_says_why_and_changes_nothing() {
    let stack = Stack::start().await;
    let before = stack.database.contents().await;
    let said = stack.identity.command(&["key", "retire", "nobody"]).unwrap_err();
    assert!(said.contains("there is no signing key nobody: `identity-service key list` shows"), "{said}");
    // An id may begin like an option, and an option may stand before it.
    for arguments in
        [&["-fKo", "--compromised"][..], &["--compromised", "-fKo"], &["-fKo"], &["--compromised", "--fKo"]]
    {
        let said = stack.identity.command(&[&["key", "retire"][..], arguments].concat()).unwrap_err();
        assert!(said.contains("there is no signing key -"), "{said}");
    }
    // With another key-encryption key it would lock all replicas out.
    let wrong = [("KEY_ENCRYPTION_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")];
    let current = the("current", &list(&stack.identity));
    for arguments in [
        &["key", "rotate", "--now"][..],
        &["key", "retire", current.as_str(), "--compromised"],
        &["key", "reseal"],
    ] {
        let said = stack.identity.command_with(arguments, &wrong).unwrap_err();
        assert!(said.contains("KEY_ENCRYPTION_KEY is not the key that the signing key"), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
    assert_eq!(stack.database.contents().await, before);
}
