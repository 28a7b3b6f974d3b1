//! Hashing is the scarcest resource: it is refused early when too much waits, and what needs no hash does not wait.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Http, PASSWORD, Process, Stack};
use crate::recovery::{Purpose, reset};

/// The dearest hash on one thread: a core is busy for about a second with each.
const SLOW: [(&str, &str); 2] = [("BCRYPT_COST", "14"), ("HASH_THREADS", "1")];

#[tokio::test]
async fn when_the_queue_is_full_logins_are_refused_at_once_and_the_rest_goes_on() {
    let stack = Stack::with(&SLOW, &[]).await;
    let (id, token) = stack.user("king.arthur@camelot.bt").await;
    let http = stack.http();
    let for_password = stack.recovery_token(&id, "reset").await;
    let flood: Vec<_> = (0..20)
        .map(|_| {
            let http = http.clone();
            tokio::spawn(async move { http.log_in("king.arthur@camelot.bt", PASSWORD).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;

    // What needs no hash is answered, and in words of its own, though no hash could be had.
    assert_eq!(http.bare("GET", "/users/me", &token).await.status, 200);
    // Another spelling only: under another address the logins of the flood would be for nothing.
    let free = json!({"email": "King.Arthur@camelot.bt"});
    assert_eq!(http.json("PATCH", "/users/me", &token, free).await.status, 200);
    for (body, status) in [
        (json!({"email": "nobody", "password": PASSWORD}), 422),
        (json!({"email": "lancelot@camelot.bt", "password": "short"}), 400),
    ] {
        assert_eq!(http.json("POST", "/auth/register", "", body).await.status, status);
    }
    for (email, password) in [("no address", PASSWORD), ("a@camelot.bt", &"x".repeat(2000))] {
        assert_eq!(http.log_in(email, password).await.short(), r#"400 {"detail":"LOGIN_BAD_CREDENTIALS"}"#);
    }
    let weak = http.json("PATCH", "/users/me", &token, json!({"password": "short"})).await;
    assert_eq!(weak.status, 400);
    assert_eq!(http.json("PATCH", "/users/me", "nonsense", json!({"password": PASSWORD})).await.status, 401);

    Purpose::Verify.ask(&http, "king.arthur@camelot.bt").await;
    for (token, password, detail) in [
        ("nonsense", PASSWORD, json!("RESET_PASSWORD_BAD_TOKEN")),
        (
            &for_password,
            "short",
            json!({"code": "RESET_PASSWORD_INVALID_PASSWORD", "reason": "Password should be at least 8 characters"}),
        ),
    ] {
        assert_eq!(reset(&http, token, password).await.json(), json!({ "detail": detail }));
    }

    // What needs one is refused without being waited for.
    let refused =
        [http.register("lancelot@camelot.bt", PASSWORD).await, reset(&http, &for_password, PASSWORD).await];
    for refused in refused {
        assert_eq!(refused.short(), r#"503 {"detail":"Service Unavailable"}"#);
        let seconds: u64 = refused.header("retry-after").parse().expect("says when to come back");
        assert!((1..=10).contains(&seconds), "{seconds}");
    }

    let mut statuses = Vec::new();
    for login in flood {
        statuses.push(login.await.unwrap().status);
    }
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    assert_eq!(stack.database.number("SELECT count(*) FROM users").await, 1);
    assert_eq!(
        reset(&http, &for_password, PASSWORD).await.short(),
        "200 null",
        "what was refused used no token up"
    );
}

#[tokio::test]
async fn callers_who_hang_up_leave_the_queue() {
    let stack = Stack::with(&SLOW, &[]).await;
    stack.register("king.arthur@camelot.bt").await;
    let http = stack.http();
    for _ in 0..5 {
        let flood = (0..10).map(|_| {
            let http = http.clone();
            tokio::spawn(async move { http.log_in("king.arthur@camelot.bt", PASSWORD).await })
        });
        let flood: Vec<_> = flood.collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let refused = http.log_in("king.arthur@camelot.bt", PASSWORD).await;
        assert_eq!(refused.status, 503, "the queue is not full: {refused:?}");
        flood.iter().for_each(tokio::task::JoinHandle::abort);
    }
    // Fifty logins were begun. Had those who left stayed in the queue, there would be no room for seconds.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let answer = http.log_in("king.arthur@camelot.bt", PASSWORD).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_password_hashed_at_a_lower_cost_is_rehashed_at_the_next_login_and_still_is_the_password() {
    let mut stack = Stack::with(&[("BCRYPT_COST", "10")], &[]).await;
    stack.register("king.arthur@camelot.bt").await;
    let hash = async |stack: &Stack| -> String {
        stack.database.rows("SELECT password_hash FROM users", &[]).await[0].get(0)
    };
    assert!(hash(&stack).await.contains("$10$"));
    let dearer = Process::identity(&stack.database.url, &[("BCRYPT_COST", "11")]);
    dearer.until_serving().await;
    let gateway = Process::gateway(&dearer, &[]);
    gateway.until_ready().await;
    let token = Http::new(gateway.port).token("king.arthur@camelot.bt", PASSWORD).await;
    dearer
        .until("done rehashing", Duration::from_secs(5), async || hash(&stack).await.contains("$11$"))
        .await;
    // The session that began meanwhile goes on, and the old replica knows the new hash.
    assert_eq!(stack.http().bare("GET", "/users/me", &token).await.status, 200);
    assert_eq!(stack.http().log_in("king.arthur@camelot.bt", PASSWORD).await.status, 200);
    assert_eq!(stack.http().log_in("king.arthur@camelot.bt", "lancelot").await.status, 400);
    stack.identity.kill();
}
