//! Why a token is refused: the operator finds out, the client does not.

use serde_json::json;

use crate::harness::{Doors, Stack, claims};

/// Why `identity-service token explain` says that a token is refused.
fn explained(stack: &Stack, token: &str) -> String {
    let said = stack.identity.command_with_input(&["token", "explain"], token).unwrap_err();
    let (_, why) = said.trim_end().split_once("refused: ").unwrap_or_else(|| panic!("{said}"));
    why.split("; ").next().unwrap_or_default().to_owned()
}

/// The lines of both logs about the request with this id, in which the names of fields are not told from values.
fn logged(stack: &Stack, request: &str) -> Vec<String> {
    let logs = [stack.gateway.log(), stack.identity.log()];
    let of_request = |line: &&str| line.contains(request);
    logs.iter().flat_map(|log| log.lines().filter(of_request).map(|line| line.replace('\\', ""))).collect()
}

/// Fails unless a token is refused without a word to the client, and the logs and the command line say why.
async fn is_refused_for(stack: &Stack, token: &str, why: &str) {
    assert_eq!(explained(stack, token), why);
    for path in ["/users/me", "/auth/check"] {
        let answer = stack.http().bare("GET", path, token).await;
        assert_eq!(answer.short(), r#"401 {"detail":"Unauthorized"}"#, "{path}, {why}");
        let logged = logged(stack, answer.header("x-request-id"));
        assert!(logged.iter().any(|line| line.contains(why)), "{path} does not say {why}: {logged:#?}");
    }
}

#[tokio::test]
async fn every_401_has_an_id_by_which_the_logs_say_what_token_explain_says() {
    let (stack, _, token, forge) = Doors::with_forge().await;
    let issued = claims(&token)["iat"].as_u64().unwrap();
    let other = forge.with_another_key();
    for (refused, why) in [
        (format!("{token}{}", "x".repeat(4_096)), "the token is longer than 4096 bytes"),
        ("not.a.token".into(), "the header is not that of an access token"),
        (forge.with_header(&token, json!({"crit": ["exp"]})), "the header is not that of an access token"),
        (forge.with_header(&token, json!({"kid": "other"})), "the key is not known"),
        (other.with_claims(&token, json!({})), "the signature is wrong"),
        (
            forge.with_claims(&token, json!({"iss": "https://evil.example"})),
            "the issuer is not the one expected",
        ),
        (
            forge.with_claims(&token, json!({"sid": "king.arthur@camelot.bt"})),
            "a claim is missing or malformed",
        ),
        (
            forge.with_claims(&token, json!({"aud": ["other"]})),
            "the audience is not exactly the one expected",
        ),
        (forge.with_claims(&token, json!({"iat": issued - 60, "exp": issued - 6})), "the token has expired"),
        (forge.with_claims(&token, json!({"iat": issued + 600})), "the token was issued in the future"),
        (forge.with_claims(&token, json!({"nbf": issued + 600})), "the token is not good yet"),
        (
            forge.with_claims(&token, json!({"exp": issued + 90_000})),
            "the token's lifetime is longer than any that is issued",
        ),
    ] {
        is_refused_for(&stack, &refused, why).await;
    }
    let answer = stack.http().bare("GET", "/users/me", "").await;
    let logged = logged(&stack, answer.header("x-request-id"));
    assert!(logged.iter().any(|line| line.contains("there is no access token")), "{logged:#?}");
}

#[tokio::test]
async fn a_genuine_token_that_names_nobody_is_explained_by_what_ended_it() {
    let (stack, mut doors, token, forge) = Doors::with_forge().await;
    let said =
        stack.identity.command_with_input(&["token", "explain"], &format!("Bearer {token}\n")).unwrap();
    for name in ["sub", "sid"] {
        assert!(said.contains(claims(&token)[name].as_str().unwrap()), "{said}");
    }
    assert!(said.ends_with("good: every check passes\n"), "{said}");

    let ended = doors.http.token(Doors::EMAIL, crate::harness::PASSWORD).await;
    assert_eq!(doors.http.bare("POST", "/auth/jwt/logout", &ended).await.status, 204);
    assert!(!doors.believe(&ended).await);
    is_refused_for(&stack, &ended, "the session has ended").await;
    // He may be told of it later than identity-service, which then says why.
    for (verb, why) in [
        ("deactivate", "the user is inactive"),
        ("activate", "all tokens that the user had were revoked"),
        ("delete", "the user is gone"),
    ] {
        stack.identity.command(&["user", verb, Doors::EMAIL]).unwrap();
        assert_eq!(explained(&stack, &token), why);
        assert!(!doors.believe(&token).await);
    }
    let nobodys = forge.with_claims(&token, json!({"sub": uuid::Uuid::now_v7()}));
    let answer = stack.http().bare("GET", "/users/me", &nobodys).await;
    let logged = logged(&stack, answer.header("x-request-id"));
    assert!(logged.iter().any(|line| line.contains("the user is gone")), "{logged:#?}");
}

#[tokio::test]
async fn an_explanation_needs_a_token() {
    let stack = Stack::start().await;
    for nothing in ["", " \n", "Bearer \n"] {
        let said = stack.identity.command_with_input(&["token", "explain"], nothing).unwrap_err();
        assert_eq!(said, "identity-service: there is no token on standard input\n");
    }
}
