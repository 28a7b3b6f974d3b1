//! What is logged. That no log has a secret, every test shows when it ends (`Process::assert_no_secret_is_logged`); here
//! the libraries tell all they have to tell, too.

use std::time::Duration;

use portcullis_proto::v1::{CreateSessionRequest, GetUserRequest, RequestPasswordResetRequest};
use serde_json::{Value, json};

use crate::harness::{Forge, PASSWORD, Stack, Wire, exchange, framed};
use crate::recovery::{Purpose, reset, verify};
use crate::refresh::offline;

#[tokio::test]
async fn no_secret_is_logged_even_when_everything_is() {
    let everything = [("LOG", "trace")];
    let stack = Stack::with(&everything, &everything).await;
    let (_, token) = stack.user("king.arthur@camelot.bt").await;
    let http = stack.http();
    assert_eq!(http.log_in_for_cookie("king.arthur@camelot.bt", PASSWORD).await.status, 204);
    let first = offline(&http, "king.arthur@camelot.bt", PASSWORD).await.refresh;
    let refresh = async |token: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        http.send(http.request("POST", "/auth/jwt/refresh").form(&form)).await
    };
    let second = refresh(&first).await.text("refresh_token");
    let cookie = format!("fastapiusersrefresh={second}; fastapiusersoffline=1");
    let by_cookie = http.send(http.request("POST", "/auth/cookie/refresh").header("cookie", cookie)).await;
    assert_eq!(by_cookie.status, 204);
    let form = [("username", "king.arthur@camelot.bt"), ("password", PASSWORD), ("scope", "offline_access")];
    let marked = http.send(http.request("POST", "/auth/cookie/login").form(&form)).await;
    let marks = marked.headers.get_all("set-cookie").iter().filter_map(|cookie| cookie.to_str().ok());
    let mark = marks.filter_map(|cookie| cookie.split(';').next()).find(|pair| pair.contains("offline="));
    for mark in [mark.unwrap(), &mark.unwrap().replace("offline=A", "offline=B")] {
        let by_mark = http.send(http.request("POST", "/auth/cookie/logout").header("cookie", mark)).await;
        assert_eq!(by_mark.status, 204);
    }
    let sql = "UPDATE sessions SET refresh_uses = '{2000-01-01,2000-01-01}' WHERE refresh_digest IS NOT NULL";
    stack.database.rows(sql, &[]).await;
    assert_eq!(refresh(&first).await.status, 401);
    let changes = json!({"email": "arthur@camelot.bt", "password": "lancelot"});
    assert_eq!(http.json("PATCH", "/users/me", &token, changes).await.status, 200);
    assert_eq!(http.log_in("arthur@camelot.bt", PASSWORD).await.status, 400);
    assert_eq!(http.bare("POST", "/auth/jwt/logout", &token).await.status, 204);
    let for_password = Purpose::Reset.token(&stack, "arthur@camelot.bt").await;
    let for_address = Purpose::Verify.token(&stack, "arthur@camelot.bt").await;
    assert_eq!(reset(&http, &for_password, "lancelot du lac").await.status, 200);
    assert_eq!(reset(&http, &for_password, "lancelot du lac").await.status, 400);
    assert_eq!(verify(&http, &for_address).await.status, 200);
    let notified = async || stack.mailbox().to("arthur@camelot.bt").len() == 3;
    stack.identity.until("done with mailing", Duration::from_secs(20), notified).await;
    for process in [&stack.gateway, &stack.identity] {
        assert!(process.log().contains("TRACE"), "it tells less than all: {}", process.log());
        process.assert_no_secret_is_logged();
        for token in [&for_password, &for_address] {
            assert!(!process.log().contains(token.as_str()), "the token of a mail is logged");
        }
    }
}

/// Whatever ends a line for somebody, or commands a terminal; and a line as a forger would like to see it.
fn payloads() -> [String; 6] {
    let forged = "2026-01-01T00:00:00.000000Z  INFO forged: {\"level\":\"INFO\"}";
    ["\r\n", "\n", "\u{1b}[2J\u{1b}[31m", "\u{2028}", "\u{85}\u{2029}", "\u{9b}31m"]
        .map(|end| format!("arthur{end}{forged}{end}"))
}

/// Says every payload in every place in which a client can say anything; most of it is refused.
async fn say_everything(stack: &Stack) {
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let (gateway, wire) = (stack.gateway.port, Wire::connect(stack.identity.port).await);
    let forge = Forge::with_the_real_key(&stack.database).await;
    let login = |text: &str| {
        framed(&CreateSessionRequest {
            email: text.into(),
            password: text.into(),
            user_agent: text.into(),
            client_address: text.into(),
            ..Default::default()
        })
    };
    for text in payloads().into_iter().chain(["x".repeat(8 * 1024)]) {
        let send = |head: String| exchange(gateway, format!("{head}\r\nConnection: close\r\n\r\n"));
        for target in [text.clone(), escaped(&text)] {
            send(format!("GET /users/{target} HTTP/1.1\r\nHost: x"));
            send(format!("GET /users/me?{target}={target} HTTP/1.1\r\nHost: x"));
        }
        send(format!("{text} /users/me HTTP/1.1\r\nHost: x"));
        send(format!("GET /users/me HTTP/1.1\r\nHost: {text}"));
        send(format!("GET /users/me {text}\r\nHost: x"));
        for name in [
            "User-Agent",
            "X-Request-Id",
            "Traceparent",
            "Origin",
            "Referer",
            "Content-Type",
            "Authorization",
            "X-Forwarded-For",
            "Access-Control-Request-Method",
            "Accept-Language",
        ] {
            send(format!("POST /auth/register HTTP/1.1\r\nHost: x\r\n{name}: {text}"));
            send(format!(
                "OPTIONS /auth/register HTTP/1.1\r\nHost: x\r\nOrigin: http://localhost:8000\r\n{name}: {text}"
            ));
        }
        send(format!("GET /users/me HTTP/1.1\r\nHost: x\r\nCookie: fastapiusersauth={text}; {text}={text}"));
        let http = stack.http();
        http.register(&format!("{text}@camelot.bt"), &text).await;
        http.json(
            "POST",
            "/auth/register",
            "",
            json!({"email": "a@camelot.bt", "password": "guinevere", "is_active": text, &text: text}),
        )
        .await;
        http.log_in(&format!("{text}@camelot.bt"), &text).await;
        for (name, body) in [
            ("forgot-password", json!({"email": text, &text: text})),
            ("request-verify-token", json!({"email": format!("{text}@camelot.bt")})),
            ("reset-password", json!({"token": text, "password": text})),
            ("verify", json!({"token": text})),
        ] {
            http.json("POST", &format!("/auth/{name}"), "", body).await;
        }
        let body = r#"{"email":"a@camelot.bt"}"#;
        let head = "POST /auth/forgot-password HTTP/1.1\r\nHost: x\r\nConnection: close";
        let about = format!("Content-Type: application/json\r\nContent-Length: {}", body.len());
        exchange(gateway, format!("{head}\r\n{about}\r\nAccept-Language: {text}\r\n\r\n{body}"));
        let ask = RequestPasswordResetRequest {
            email: "a@camelot.bt".into(),
            language_codes: vec![text.clone(), format!("{text:.8}")],
        };
        wire.call("/portcullis.identity.v1.RecoveryService/RequestPasswordReset", &[], &framed(&ask)).await;
        // An unknown `kid` is shown, escaped and cut, for whoever rotates keys.
        let kid: String = text.replace("forged", "key").chars().take(200).collect();
        let claims = json!({"sub": kid, "sid": kid, "iss": kid, "aud": [kid], "exp": kid});
        for header in [
            json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid}),
            json!({"alg": kid, "typ": kid, "kid": kid, "jku": kid}),
        ] {
            let token = forge.sign(&header, &claims);
            http.bare("GET", "/users/me", &token).await;
            let bearer = format!("Bearer {token}");
            wire.call(
                "/portcullis.identity.v1.UsersService/GetUser",
                &[("authorization", bearer.as_bytes())],
                &framed(&GetUserRequest { id: text.clone() }),
            )
            .await;
        }
        // Metadata and paths of HTTP/2 may not have what ends a line in ASCII.
        let legal: String = text.chars().filter(|c| !c.is_ascii_control()).collect();
        for name in [
            "x-request-id",
            "user-agent",
            "authorization",
            "grpc-timeout",
            "grpc-encoding",
            "content-type",
            "traceparent",
        ] {
            wire.call(
                "/portcullis.identity.v1.SessionsService/CreateSession",
                &[(name, legal.as_bytes())],
                &login(&text),
            )
            .await;
        }
        for path in [legal.replace(' ', "+"), escaped(&text)] {
            wire.call(&format!("/{path:.8000}"), &[], &login(&text)).await;
        }
        wire.call("/portcullis.identity.v1.SessionsService/CreateSession", &[], &login(&text)).await;
    }
    let long = "x".repeat(1024 * 1024);
    exchange(
        gateway,
        format!("GET /users/me HTTP/1.1\r\nHost: x\r\nUser-Agent: {long}\r\nConnection: close\r\n\r\n"),
    );
}

#[tokio::test]
async fn h29_what_a_client_says_begins_no_line_and_commands_no_terminal() {
    for format in ["json", "text"] {
        let variables = [("LOG", "trace"), ("LOG_FORMAT", format)];
        let stack = Stack::with(&variables, &variables).await;
        say_everything(&stack).await;
        for process in [&stack.gateway, &stack.identity] {
            let log = process.log();
            assert!(log.contains("TRACE"), "it tells less than all");
            let forbidden = |c: char| (c.is_control() && c != '\n') || ['\u{2028}', '\u{2029}'].contains(&c);
            for line in log.lines() {
                assert!(!line.contains(forbidden), "{line:?}");
                // Only a library repeats what a client says, escaped, and only when it is to tell everything.
                assert!(!line.contains("forged") || line.contains("TRACE"), "{line:?}");
                let is_event = match format {
                    "json" => serde_json::from_str::<Value>(line).is_ok_and(|event| event.is_object()),
                    _ => {
                        line.starts_with("20")
                            && !line.starts_with("2026-01-01")
                            && line.as_bytes().get(10) == Some(&b'T')
                    }
                };
                assert!(is_event, "{line:?}");
            }
        }
    }
}
