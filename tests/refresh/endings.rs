//! What ends a session ends its refresh token, and what leaves it leaves that.

use serde_json::{Value, json};

use super::{EMAIL, REFUSED, Tokens, an_hour_later, offline, refresh, refreshed, session, works};
use crate::harness::{PASSWORD, Stack};

/// A system with a superuser, and a user with two sessions that can be refreshed.
struct Scene {
    stack: Stack,
    superuser: String,
    id: String,
    own: Tokens,
    other: Tokens,
}

impl Scene {
    async fn set() -> Self {
        let stack = Stack::start().await;
        let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
        let id = stack.register(EMAIL).await;
        let http = stack.http();
        let own = offline(&http, EMAIL, PASSWORD).await;
        let other = offline(&http, EMAIL, PASSWORD).await;
        Self { stack, superuser, id, own, other }
    }

    /// A call that must succeed.
    async fn call(&self, method: &str, path: &str, token: &str, body: Option<Value>) {
        let request = self.stack.http().request(method, &path.replace("{id}", &self.id)).bearer_auth(token);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let answer = self.stack.http().send(request).await;
        assert!([200, 204].contains(&answer.status), "{answer:?}");
    }

    async fn assert_is_over(&self, tokens: &Tokens) {
        let http = self.stack.http();
        assert_eq!(refresh(&http, &tokens.refresh).await.short(), REFUSED);
        assert!(!works(&http, &tokens.access).await);
    }
}

#[tokio::test]
async fn a_user_who_changes_his_password_goes_on_in_this_session_and_in_no_other() {
    let scene = Scene::set().await;
    let http = scene.stack.http();
    let mut own = scene.own.clone();
    for password in ["lancelot", "galahad-galahad"] {
        scene.call("PATCH", "/users/me", &own.access, Some(json!({"password": password}))).await;
        // Twice: what follows is as good as what was there.
        for _ in 0..2 {
            own = refreshed(&http, &own.refresh).await;
        }
        assert!(works(&http, &own.access).await);
    }
    scene.assert_is_over(&scene.other).await;
}

#[tokio::test]
async fn a_user_who_changes_his_address_goes_on_in_this_session_and_in_no_other() {
    let scene = Scene::set().await;
    scene.call("PATCH", "/users/me", &scene.own.access, Some(json!({"email": "a@camelot.bt"}))).await;
    refreshed(&scene.stack.http(), &scene.own.refresh).await;
    scene.assert_is_over(&scene.other).await;
}

#[tokio::test]
async fn a_new_spelling_and_what_a_superuser_changes_else_end_nothing() {
    let scene = Scene::set().await;
    let superuser = &scene.superuser;
    scene.call("PATCH", "/users/{id}", superuser, Some(json!({"email": "King.Arthur@camelot.bt"}))).await;
    scene.call("PATCH", "/users/{id}", superuser, Some(json!({"is_superuser": true}))).await;
    scene.call("PATCH", "/users/{id}", superuser, Some(json!({"is_superuser": false}))).await;
    for tokens in [&scene.own, &scene.other] {
        refreshed(&scene.stack.http(), &tokens.refresh).await;
    }
}

#[tokio::test]
async fn what_a_superuser_does_to_a_user_ends_all_his_sessions() {
    for (method, path, body) in [
        ("PATCH", "/users/{id}", Some(json!({"is_active": false}))),
        ("PATCH", "/users/{id}", Some(json!({"password": "lancelot"}))),
        ("DELETE", "/users/{id}/sessions", None),
        ("DELETE", "/users/{id}", None),
    ] {
        let scene = Scene::set().await;
        // One that has been refreshed is no other.
        let own = refreshed(&scene.stack.http(), &scene.own.refresh).await;
        scene.call(method, path, &scene.superuser, body.clone()).await;
        for tokens in [&own, &scene.own, &scene.other] {
            scene.assert_is_over(tokens).await;
        }
        if body == Some(json!({"is_active": false})) {
            // Activation brings none back.
            scene.call("PATCH", path, &scene.superuser, Some(json!({"is_active": true}))).await;
            scene.assert_is_over(&own).await;
        }
    }
}

#[tokio::test]
async fn a_logout_ends_its_session_and_logging_out_elsewhere_the_others() {
    let scene = Scene::set().await;
    scene.call("DELETE", "/users/me/sessions", &scene.own.access, None).await;
    scene.assert_is_over(&scene.other).await;
    let own = refreshed(&scene.stack.http(), &scene.own.refresh).await;
    // With any access token of it, the first too.
    scene.call("POST", "/auth/jwt/logout", &scene.own.access, None).await;
    scene.assert_is_over(&own).await;
}

#[tokio::test]
async fn no_row_that_is_left_over_is_refreshed() {
    // As if an older version had changed the user, which knows nothing of refresh tokens.
    for change in
        ["is_active = false", "password_version = password_version + 1", "epoch = nextval('epochs')"]
    {
        let scene = Scene::set().await;
        let sql = format!("UPDATE users SET {change} WHERE id::text = $1");
        scene.stack.database.rows(&sql, &[&scene.id]).await;
        assert_eq!(refresh(&scene.stack.http(), &scene.own.refresh).await.short(), REFUSED, "{change}");
        let kept = "SELECT count(*) FROM sessions WHERE refresh_uses = '{}' AND refresh_digest IS NOT NULL";
        assert_eq!(
            scene.stack.database.number(kept).await,
            2,
            "{change}: nothing is used, and nothing ended"
        );
    }
}

#[tokio::test]
async fn that_a_session_has_ended_is_remembered_as_long_as_its_last_access_token_lasts() {
    let scene = Scene::set().await;
    let (http, database) = (scene.stack.http(), &scene.stack.database);
    let second = refreshed(&http, &scene.own.refresh).await;
    let plain = http.token(EMAIL, PASSWORD).await;
    scene.call("POST", "/auth/jwt/logout", &plain, None).await;
    scene.call("POST", "/auth/jwt/logout", &second.access, None).await;
    // By its own reuse.
    refreshed(&http, &scene.other.refresh).await;
    an_hour_later(database, &scene.other.refresh).await;
    assert_eq!(refresh(&http, &scene.other.refresh).await.short(), REFUSED);
    let third = offline(&http, EMAIL, PASSWORD).await;
    let fourth = offline(&http, EMAIL, PASSWORD).await;
    scene.call("DELETE", "/users/me/sessions", &fourth.access, None).await;
    let sql = "SELECT count(*), count(*) FILTER (
                   WHERE expires_at BETWEEN now() + interval '1 hour' AND now() + interval '80 minutes'
               ) FROM revocations WHERE session_id IS NOT NULL";
    let row = &database.rows(sql, &[]).await[0];
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (4, 4));
    let sql = "SELECT count(*) FROM revocations WHERE session_id::text = $1";
    let of_third = database.rows(sql, &[&session(&third.refresh)]).await[0].get::<_, i64>(0);
    assert_eq!(of_third, 1);
}

#[tokio::test]
async fn a_session_that_was_refreshed_long_after_its_login_ends_everywhere_too() {
    let scene = Scene::set().await;
    let (http, database) = (scene.stack.http(), &scene.stack.database);
    // All of it was a day ago: the first access token is long over.
    let sql = "UPDATE sessions SET created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day',
                   access_expires_at = access_expires_at - interval '1 day' WHERE refresh_digest IS NOT NULL";
    database.rows(sql, &[]).await;
    for (tokens, call) in
        [(&scene.own, ("POST", "/auth/jwt/logout")), (&scene.other, ("DELETE", "/users/me/sessions"))]
    {
        let tokens = refreshed(&http, &tokens.refresh).await;
        let by = if call.0 == "DELETE" { offline(&http, EMAIL, PASSWORD).await } else { tokens.clone() };
        scene.call(call.0, call.1, &by.access, None).await;
        scene.assert_is_over(&tokens).await;
        let sql =
            "SELECT expires_at > now() + interval '1 hour' FROM revocations WHERE session_id::text = $1";
        let is_kept: bool = database.rows(sql, &[&session(&tokens.refresh)]).await[0].get(0);
        assert!(is_kept, "{call:?}: its access token is good for an hour");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_refreshes_all_the_time_keeps_nobody_from_ending_it() {
    let scene = Scene::set().await;
    let form = format!("grant_type=refresh_token&refresh_token={}", scene.own.refresh);
    let asks = [crate::harness::request("POST", "/auth/jwt/refresh", "", &form)];
    let client = crate::harness::Client::new(&[scene.stack.gateway.port]);
    let lasting = std::time::Duration::from_secs(3);
    let crowd = crate::harness::repeat(&client, &asks, 32, lasting);
    let ended = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let began = std::time::Instant::now();
        scene.call("POST", "/auth/jwt/logout", &scene.other.access, None).await;
        let logout = began.elapsed();
        let identity = &scene.stack.identity;
        tokio::task::block_in_place(|| identity.command(&["user", "deactivate", EMAIL]).expect("is ended"));
        (logout, began.elapsed())
    };
    let (samples, (logout, all)) = tokio::join!(crowd, ended);
    assert!(samples.iter().filter(|sample| sample.is(200)).count() > 32, "nobody refreshed");
    assert!(
        logout < std::time::Duration::from_secs(1) && all < std::time::Duration::from_secs(2),
        "{logout:?} {all:?}"
    );
    scene.assert_is_over(&scene.own).await;
}
