//! What a user sees of his sessions, and how he and superusers end them. What is refused ends nothing.

use std::time::Duration;

use portcullis_proto::v1::{
    CreateSessionRequest, DeleteSessionsRequest, ListSessionsRequest, ListSessionsResponse, Session,
};
use serde_json::{Value, json};
use tokio::time::sleep;
use tonic::{Response, Status};
use tonic_types::StatusExt as _;
use uuid::{NoContext, Timestamp, Uuid};

use crate::harness::{
    Answer, Doors, Forge, Http, PASSWORD, Process, Rpc, Stack, claims, outcome, with_token,
};

const EMAIL: &str = "king.arthur@camelot.bt";
const OWN: &str = "/users/me/sessions";
/// For a gateway behind one proxy.
const ONE_PROXY: [(&str, &str); 1] = [("TRUSTED_PROXIES", "1")];
const NOT_FOUND: &str = r#"404 {"detail":"Not Found"}"#;

/// The id of the session that a token belongs to.
fn sid(token: &str) -> String {
    claims(token)["sid"].as_str().unwrap().to_owned()
}

/// The token of a login with these headers.
async fn log_in_with(http: &Http, headers: &[(&str, &str)]) -> String {
    let form = [("username", EMAIL), ("password", PASSWORD)];
    let request = http.request("POST", "/auth/jwt/login").form(&form);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    http.send(request).await.text("access_token")
}

/// The sessions that a list shows.
async fn listed(http: &Http, path: &str, token: &str) -> Vec<Value> {
    let answer = http.bare("GET", path, token).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
    answer.json().as_array().expect("is an array").clone()
}

/// The ids of the sessions that a list shows.
async fn ids(http: &Http, path: &str, token: &str) -> Vec<String> {
    let sessions = listed(http, path, token).await;
    sessions.iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect()
}

async fn works(stack: &Stack, token: &str) -> bool {
    Doors::of(stack).await.believe(token).await
}

async fn delete(stack: &Stack, path: &str, token: &str) -> Answer {
    let answer = stack.http().bare("DELETE", path, token).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    answer
}

#[tokio::test]
async fn the_list_shows_each_session_with_its_times_and_its_client_newest_first() {
    let stack = Stack::with(&[], &ONE_PROXY).await;
    let http = stack.http();
    stack.register(EMAIL).await;
    let forged = "192.0.2.1, 203.0.113.77";
    let browser = log_in_with(&http, &[("user-agent", "Mozilla/5.0"), ("x-forwarded-for", forged)]).await;
    let phone = [("user-agent", "O'Hara \u{e9}"), ("x-forwarded-for", "[2001:db8:1:2:3:4:5:6]:50000")];
    let phone = log_in_with(&http, &phone).await;
    let silent = log_in_with(&http, &[]).await;
    let sessions = listed(&http, OWN, &phone).await;
    let shown = |session: &Value| {
        let names: Vec<_> = session.as_object().unwrap().keys().cloned().collect();
        let expected =
            ["id", "created_at", "last_seen_at", "expires_at", "user_agent", "address_prefix", "is_current"];
        assert_eq!(names, expected);
        json!([session["id"], session["user_agent"], session["address_prefix"], session["is_current"]])
    };
    let expected = [
        json!([sid(&silent), null, null, false]),
        json!([sid(&phone), "O'Hara \u{e9}", "2001:db8:1:2::/64", true]),
        json!([sid(&browser), "Mozilla/5.0", "203.0.113.0/24", false]),
    ];
    assert_eq!(sessions.iter().map(shown).collect::<Vec<_>>(), expected);
    for (session, token) in sessions.iter().zip([&silent, &phone, &browser]) {
        let time = |name: &str| session[name].as_str().unwrap().to_owned();
        assert!(time("created_at").ends_with('Z') && time("created_at").as_bytes()[10] == b'T', "{session}");
        assert_eq!(time("created_at"), time("last_seen_at"));
        let sql = "SELECT floor(extract(epoch FROM $1::text::timestamptz))::int8";
        let rows = stack.database.rows(sql, &[&time("expires_at")]).await;
        assert_eq!(json!(rows[0].get::<_, i64>(0)), claims(token)["exp"]);
    }
    // Nobody keeps more of an address than its network.
    let stored = stack.database.contents().await.join("\n");
    for whole in ["203.0.113.77", "2001:db8:1:2:3"] {
        assert!(!stored.contains(whole), "{stored}");
    }
}

#[tokio::test]
async fn no_address_of_a_client_is_logged_even_when_everything_is() {
    let everything = ("LOG", "trace");
    let stack = Stack::with(&[everything], &[everything, ONE_PROXY[0]]).await;
    stack.register(EMAIL).await;
    let token = log_in_with(&stack.http(), &[("x-forwarded-for", "203.0.113.77")]).await;
    assert_eq!(listed(&stack.http(), OWN, &token).await[0]["address_prefix"], "203.0.113.0/24");
    for process in [&stack.gateway, &stack.identity] {
        assert!(!process.log().contains("203.0.113"), "{}", process.log());
    }
}

#[tokio::test]
async fn without_a_trusted_proxy_the_address_is_that_of_the_socket() {
    let stack = Stack::start().await;
    stack.register(EMAIL).await;
    let token =
        log_in_with(&stack.http(), &[("x-forwarded-for", "203.0.113.77"), ("forwarded", "for=203.0.113.77")])
            .await;
    assert_eq!(listed(&stack.http(), OWN, &token).await[0]["address_prefix"], "127.0.0.0/24");
}

#[tokio::test]
async fn a_client_that_tells_too_much_or_nonsense_can_log_in_all_the_same() {
    let stack = Stack::with(&[], &ONE_PROXY).await;
    stack.register(EMAIL).await;
    let long = "x".repeat(80_000);
    let token = log_in_with(&stack.http(), &[("user-agent", &long), ("x-forwarded-for", "nonsense")]).await;
    let mut rpc = stack.rpc().await;
    let direct = CreateSessionRequest {
        email: EMAIL.into(),
        password: PASSWORD.into(),
        user_agent: format!("\0\u{1b}[2J{}", "🏰".repeat(1000)),
        client_address: "::ffff:203.0.113.77".into(),
        ..Default::default()
    };
    let session = rpc.sessions.create_session(direct).await.unwrap().into_inner().session.unwrap();
    assert!(!session.is_current && session.last_seen_time == session.create_time);
    let agents: Vec<_> =
        listed(&stack.http(), OWN, &token).await.iter().map(|shown| shown["user_agent"].clone()).collect();
    let cut = format!("\u{fffd}\u{fffd}[2J{}", "🏰".repeat(251));
    assert_eq!(agents, [json!(cut), json!("x".repeat(256))]);
    assert_eq!((session.user_agent, session.address_prefix.as_str()), (cut, "203.0.113.0/24"));
}

#[tokio::test]
async fn a_user_ends_one_of_his_sessions_by_its_id_and_no_other() {
    let stack = Stack::start().await;
    let (_, token) = stack.user(EMAIL).await;
    let (_, foreign) = stack.user("lancelot@camelot.bt").await;
    let [ended, kept] =
        [stack.http().token(EMAIL, PASSWORD).await, stack.http().token(EMAIL, PASSWORD).await];
    assert_eq!(delete(&stack, &format!("{OWN}/{}", sid(&ended)), &token).await.short(), "204 ");
    assert!(!works(&stack, &ended).await);
    assert_eq!(ids(&stack.http(), OWN, &token).await, [sid(&kept), sid(&token)]);
    // In any case, and his own: that is a log-out.
    assert_eq!(
        delete(&stack, &format!("{OWN}/{}", sid(&token).to_uppercase()), &token).await.short(),
        "204 "
    );
    assert!(!works(&stack, &token).await);
    assert_eq!(ids(&stack.http(), OWN, &kept).await, [sid(&kept)]);
    assert!(works(&stack, &foreign).await);
}

#[tokio::test]
async fn an_id_that_names_none_of_his_sessions_is_unknown_and_ends_nothing() {
    let stack = Stack::start().await;
    let (id, token) = stack.user(EMAIL).await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let ended = stack.http().token(EMAIL, PASSWORD).await;
    assert_eq!(stack.http().bare("POST", "/auth/jwt/logout", &ended).await.status, 204);
    let before = stack.database.contents().await;
    let own = sid(&token);
    for unknown in [
        sid(&superuser),
        sid(&ended),
        Uuid::now_v7().to_string(),
        id.clone(),
        "current".into(),
        "%63urrent".into(),
        "me".into(),
        "7".into(),
        "%00".into(),
        own.replace('-', ""),
        format!("{own}%20"),
        format!("%7B{own}%7D"),
        "x".repeat(4000),
    ] {
        assert_eq!(delete(&stack, &format!("{OWN}/{unknown}"), &token).await.short(), NOT_FOUND, "{unknown}");
    }
    // A superuser, too, ends by this route only what is his own.
    assert_eq!(delete(&stack, &format!("{OWN}/{own}"), &superuser).await.short(), NOT_FOUND);
    for unknown in ["ME", "7", "current", &own, &Uuid::now_v7().to_string(), &format!("%7B{id}%7D")] {
        let path = format!("/users/{unknown}/sessions");
        assert_eq!(delete(&stack, &path, &superuser).await.short(), NOT_FOUND, "{unknown}");
        assert_eq!(stack.http().bare("GET", &path, &superuser).await.short(), NOT_FOUND, "{unknown}");
        // Who may not know whether there is such a user does not learn it.
        assert_eq!(delete(&stack, &path, &token).await.status, 403, "{unknown}");
        assert_eq!(delete(&stack, &path, "").await.status, 401, "{unknown}");
    }
    assert_eq!(stack.database.contents().await, before);
    assert!(works(&stack, &token).await && works(&stack, &superuser).await);
}

#[tokio::test]
async fn a_user_ends_all_his_other_sessions_and_keeps_the_one_he_does_it_in() {
    let stack = Stack::start().await;
    let (_, token) = stack.user(EMAIL).await;
    let (_, foreign) = stack.user("lancelot@camelot.bt").await;
    let others = [stack.http().token(EMAIL, PASSWORD).await, stack.http().token(EMAIL, PASSWORD).await];
    assert_eq!(delete(&stack, OWN, &token).await.short(), "204 ");
    assert_eq!(ids(&stack.http(), OWN, &token).await, [sid(&token)]);
    for other in others {
        assert!(!works(&stack, &other).await);
        assert_eq!(delete(&stack, OWN, &other).await.status, 401);
    }
    assert_eq!(delete(&stack, OWN, &token).await.short(), "204 ");
    assert!(works(&stack, &token).await && works(&stack, &foreign).await);
}

#[tokio::test]
async fn a_superuser_sees_and_ends_all_sessions_and_tokens_of_a_user() {
    let stack = Stack::start().await;
    let (id, token) = stack.user(EMAIL).await;
    let other = stack.http().token(EMAIL, PASSWORD).await;
    let (own, superuser) = stack.superuser("merlin@camelot.bt").await;
    let path = format!("/users/{id}/sessions");
    let sessions = listed(&stack.http(), &path, &superuser).await;
    let shown: Vec<_> =
        sessions.iter().map(|shown| (shown["id"].clone(), shown["is_current"].clone())).collect();
    assert_eq!(shown, [(json!(sid(&other)), json!(false)), (json!(sid(&token)), json!(false))]);
    for method in ["GET", "DELETE"] {
        assert_eq!(stack.http().bare(method, &path, &token).await.short(), r#"403 {"detail":"Forbidden"}"#);
    }
    assert!(works(&stack, &token).await);

    assert_eq!(delete(&stack, &path, &superuser).await.short(), "204 ");
    assert!(!works(&stack, &token).await && !works(&stack, &other).await);
    assert_eq!(listed(&stack.http(), &path, &superuser).await, [] as [Value; 0]);
    // Every token, even if its session were there; and a new login works.
    let sql =
        format!("INSERT INTO sessions VALUES ('{}', '{id}', now(), now() + interval '1 hour')", sid(&token));
    stack.database.connect().await.batch_execute(&sql).await.unwrap();
    assert!(!works(&stack, &token).await);
    assert!(works(&stack, &stack.http().token(EMAIL, PASSWORD).await).await);

    // By his own id he ends his own, the current one too.
    assert!(works(&stack, &superuser).await);
    assert_eq!(delete(&stack, &format!("/users/{own}/sessions"), &superuser).await.short(), "204 ");
    assert!(!works(&stack, &superuser).await);
}

#[tokio::test]
async fn who_is_deleted_or_deactivated_has_no_sessions_to_see() {
    let stack = Stack::start().await;
    let (id, token) = stack.user(EMAIL).await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let path = format!("/users/{id}/sessions");
    stack.identity.command(&["user", "deactivate", EMAIL]).unwrap();
    for (method, path) in [("GET", OWN), ("DELETE", OWN), ("DELETE", &format!("{OWN}/{}", sid(&token)))] {
        let answer = stack.http().bare(method, path, &token).await;
        assert_eq!(answer.short(), r#"401 {"detail":"Unauthorized"}"#, "{method} {path}");
    }
    assert_eq!(listed(&stack.http(), &path, &superuser).await, [] as [Value; 0]);
    assert_eq!(delete(&stack, &path, &superuser).await.short(), "204 ");
    stack.identity.command(&["user", "delete", EMAIL]).unwrap();
    for method in ["GET", "DELETE"] {
        assert_eq!(stack.http().bare(method, &path, &superuser).await.short(), NOT_FOUND);
    }
    assert_eq!(stack.http().bare("GET", OWN, &token).await.status, 401);
}

#[tokio::test]
async fn an_expired_session_is_not_listed() {
    let stack = Stack::start().await;
    let (_, token) = stack.user(EMAIL).await;
    let expired = stack.http().token(EMAIL, PASSWORD).await;
    let sql = format!(
        "UPDATE sessions SET expires_at = now() - interval '1 minute' WHERE id = '{}'",
        sid(&expired)
    );
    stack.database.connect().await.batch_execute(&sql).await.unwrap();
    assert_eq!(ids(&stack.http(), OWN, &token).await, [sid(&token)]);
}

/// A page of a user's sessions over gRPC.
async fn page(
    rpc: &Rpc,
    token: &str,
    user_id: &str,
    page_size: i32,
    page_token: &str,
) -> Result<Response<ListSessionsResponse>, Status> {
    let request = ListSessionsRequest { user_id: user_id.into(), page_size, page_token: page_token.into() };
    rpc.sessions.clone().list_sessions(with_token(request, token)).await
}

#[tokio::test]
async fn over_grpc_the_list_comes_in_pages_and_http_shows_the_newest_two_hundred() {
    let stack = Stack::start().await;
    let (id, token) = stack.user(EMAIL).await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let rpc = stack.rpc().await;
    let older: Vec<_> = (0..204).map(|age| old_id(1_000 + age)).collect();
    for older in &older {
        let sql = "INSERT INTO sessions (id, user_id, created_at, expires_at)
                   VALUES ($1::text::uuid, $2::text::uuid, now(), now() + interval '1 hour')";
        stack.database.connect().await.execute(sql, &[older, &id]).await.unwrap();
    }
    let all: Vec<_> = std::iter::once(sid(&token)).chain(older).collect();
    for (user, caller, size, pages) in [
        ("me", &token, 100, 3),
        (id.as_str(), &superuser, 50, 5),
        ("me", &token, 0, 5),
        ("me", &token, 1000, 2),
        ("me", &token, 41, 5),
    ] {
        let (mut seen, mut next, mut count) = (Vec::<Session>::new(), String::new(), 0);
        while count == 0 || !next.is_empty() {
            let answer = page(&rpc, caller, user, size, &next).await.unwrap().into_inner();
            (seen, next, count) = ([seen, answer.sessions].concat(), answer.next_page_token, count + 1);
        }
        let ids: Vec<_> = seen.iter().map(|session| session.id.clone()).collect();
        assert_eq!((ids, count), (all.clone(), pages), "{size}");
        assert_eq!(seen.iter().filter(|session| session.is_current).count(), usize::from(user == "me"));
        assert!(seen.iter().all(|session| session.user_id == id));
    }
    assert_eq!(ids(&stack.http(), OWN, &token).await, all[..200]);
}

#[tokio::test]
async fn over_grpc_a_page_that_cannot_be_is_refused_after_the_caller_and_the_user() {
    let stack = Stack::start().await;
    let (id, token) = stack.user(EMAIL).await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let rpc = stack.rpc().await;
    let unknown = Uuid::now_v7().to_string();
    for (token, user, expected) in [
        ("", "me", "Unauthenticated UNAUTHENTICATED"),
        (&*token, &*id, "PermissionDenied SUPERUSER_REQUIRED"),
        (&*token, "nonsense", "PermissionDenied SUPERUSER_REQUIRED"),
        (&*superuser, &*unknown, "NotFound USER_NOT_FOUND"),
        (&*superuser, "nonsense", "NotFound USER_NOT_FOUND"),
        (&*superuser, "", "NotFound USER_NOT_FOUND"),
        (&*superuser, &*id, "InvalidArgument INVALID_REQUEST"),
        (&*token, "me", "InvalidArgument INVALID_REQUEST"),
    ] {
        let refused = page(&rpc, token, user, -1, "x").await;
        assert_eq!(outcome(&refused), expected, "{user}");
        if expected.starts_with("InvalidArgument") {
            let details = refused.unwrap_err().get_details_bad_request().unwrap();
            let fields: Vec<_> =
                details.field_violations.iter().map(|violation| violation.field.as_str()).collect();
            assert_eq!(fields, ["page_size", "page_token"]);
        }
    }
}

#[tokio::test]
async fn over_grpc_a_user_ends_his_other_sessions_and_a_superuser_all_of_anybody() {
    let stack = Stack::start().await;
    let (id, token) = stack.user(EMAIL).await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let other = stack.http().token(EMAIL, PASSWORD).await;
    let rpc = stack.rpc().await;
    let end = async |token: &str, user_id: &str| {
        let request = DeleteSessionsRequest { user_id: user_id.into() };
        outcome(&rpc.sessions.clone().delete_sessions(with_token(request, token)).await)
    };
    let before = stack.database.contents().await;
    assert_eq!(end("", "me").await, "Unauthenticated UNAUTHENTICATED");
    // His own id is an id like any other: for superusers.
    assert_eq!(end(&token, &id).await, "PermissionDenied SUPERUSER_REQUIRED");
    for nobody in ["", "Me", "current", &sid(&token), &Uuid::now_v7().to_string(), &id.replace('-', "")] {
        assert_eq!(end(&superuser, nobody).await, "NotFound USER_NOT_FOUND", "{nobody}");
    }
    assert_eq!(stack.database.contents().await, before);
    assert_eq!(end(&token, "me").await, "OK");
    assert!(works(&stack, &token).await && !works(&stack, &other).await);
    assert_eq!(end(&superuser, &id).await, "OK");
    assert!(!works(&stack, &token).await && works(&stack, &superuser).await);
}

/// The id of a session that began so many seconds ago.
fn old_id(seconds: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    Uuid::new_v7(Timestamp::from_unix(NoContext, now - seconds, 0)).to_string()
}

/// A session that began an hour ago, and was last seen then: it and its token.
async fn old_session(stack: &Stack) -> (String, String) {
    let (_, token) = stack.user(EMAIL).await;
    let old = old_id(3_600);
    let sql = format!(
        "UPDATE sessions SET id = '{old}', created_at = now() - interval '1 hour', last_seen_at = now() - interval '1 hour'"
    );
    stack.database.connect().await.batch_execute(&sql).await.unwrap();
    let forge = Forge::with_the_real_key(&stack.database).await;
    (old.clone(), forge.with_claims(&token, json!({"sid": old})))
}

/// How long ago a session was last seen, in seconds, and which transaction wrote its row last.
async fn seen(stack: &Stack, session: &str) -> (i64, String) {
    let sql =
        "SELECT extract(epoch FROM now() - last_seen_at)::int8, xmin::text FROM sessions WHERE id::text = $1";
    let rows = stack.database.rows(sql, &[&session]).await;
    (rows[0].get(0), rows[0].get(1))
}

/// Waits for longer than notes wait to be written.
async fn until_written() {
    sleep(Duration::from_millis(1_500)).await;
}

#[tokio::test]
async fn a_session_is_seen_when_it_is_used_and_that_is_written_at_most_once_a_minute() {
    let mut stack = Stack::start().await;
    let (session, token) = old_session(&stack).await;
    let (age, _) = seen(&stack, &session).await;
    assert!(age >= 3_600, "{age}");
    for _ in 0..20 {
        assert!(works(&stack, &token).await);
    }
    until_written().await;
    let (age, written) = seen(&stack, &session).await;
    assert!(age < 10, "{age}");
    let shown = listed(&stack.http(), OWN, &token).await;
    assert!(shown[0]["last_seen_at"].as_str() > shown[0]["created_at"].as_str(), "{shown:?}");
    // Neither this process nor another, which knows of no note, writes again within the minute.
    for _ in 0..2 {
        assert!(works(&stack, &token).await);
        until_written().await;
        assert_eq!(seen(&stack, &session).await.1, written);
        stack.identity.kill();
        stack.identity.restart();
        stack.identity.until_serving().await;
        stack.gateway.until_ready().await;
    }
    // After the minute one does, and a process that has noted it within the minute does not ask.
    let sql = "UPDATE sessions SET last_seen_at = now() - interval '61 seconds'";
    for moves in [true, false] {
        stack.database.connect().await.batch_execute(sql).await.unwrap();
        assert!(works(&stack, &token).await);
        until_written().await;
        assert_eq!(seen(&stack, &session).await.0 < 10, moves);
    }
}

#[tokio::test]
async fn a_session_whose_row_is_held_is_not_waited_for_and_the_others_are_written() {
    let stack = Stack::start().await;
    let (held, first) = old_session(&stack).await;
    let holder = stack.database.connect().await;
    holder.batch_execute("BEGIN; SELECT FROM sessions FOR UPDATE").await.unwrap();
    let other = stack.http().token(EMAIL, PASSWORD).await;
    let old = old_id(3_600);
    let sql = format!(
        "UPDATE sessions SET id = '{old}', last_seen_at = now() - interval '1 hour' WHERE id = '{}'",
        sid(&other)
    );
    stack.database.connect().await.batch_execute(&sql).await.unwrap();
    let forge = Forge::with_the_real_key(&stack.database).await;
    let second = forge.with_claims(&other, json!({"sid": old}));
    assert!(works(&stack, &first).await && works(&stack, &second).await);
    until_written().await;
    until_written().await;
    assert!(seen(&stack, &held).await.0 >= 3_600);
    assert!(seen(&stack, &old).await.0 < 10);
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert!(!stack.identity.log().contains("is not written"), "{}", stack.identity.log());
}

#[tokio::test]
async fn that_nothing_can_be_written_harms_nobody() {
    let stack = Stack::start().await;
    let (session, token) = old_session(&stack).await;
    let fault = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
                 CREATE TRIGGER fail BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION fail()";
    stack.database.connect().await.batch_execute(fault).await.unwrap();
    for _ in 0..3 {
        assert!(works(&stack, &token).await);
    }
    until_written().await;
    assert!(seen(&stack, &session).await.0 >= 3_600);
    let said = |process: &Process| process.log().matches("is not written").count();
    assert_eq!(said(&stack.identity), 1, "{}", stack.identity.log());
}
