//! A token that comes again: soon, because an answer was lost, and later, because it was copied.

use std::time::{Duration, Instant};

use super::{EMAIL, REFUSED, an_hour_later, chain, digest, offline, parts, refresh, refreshed, session};
use super::{stack_and_tokens, works};
use crate::harness::{Fleet, Http, PASSWORD, Plan, Rpc, Stack, claims};
use portcullis_proto::v1::RefreshSessionRequest;

/// How long an ended token may still be believed: law 3 of the design.
const LAW: Duration = Duration::from_secs(2);

/// Fails unless all gateways refuse an access token within the time of the law.
async fn assert_is_ended_everywhere(gateways: &[Http], access: &str) {
    let ended = Instant::now();
    for http in gateways {
        loop {
            let asked = ended.elapsed();
            match http.bare("GET", "/auth/check", access).await.status {
                401 => break,
                204 => assert!(asked < LAW, "believed after {asked:?}"),
                other => panic!("{other}"),
            }
        }
    }
}

#[tokio::test]
async fn a_lost_answer_is_given_again_by_any_replica() {
    let fleet = Fleet::start(Plan { gateways: 1, ..Plan::default() }).await;
    let http = fleet.clients().remove(0);
    assert_eq!(http.register(EMAIL, PASSWORD).await.status, 201);
    let first = offline(&http, EMAIL, PASSWORD).await;
    let mut answers = Vec::new();
    for identity in fleet.identities.iter().cycle().take(9) {
        let mut rpc = Rpc::connect(identity.port).await;
        let message = RefreshSessionRequest { refresh_token: first.refresh.clone() };
        answers.push(rpc.sessions.refresh_session(message).await.unwrap().into_inner());
    }
    let next = &answers[0].refresh_token;
    assert!(answers.iter().all(|answer| answer.refresh_token == *next));
    assert_eq!(chain(&fleet.database, next).await, Some((digest(&parts(next)[1]), 1)));
    for answer in &answers {
        assert!(works(&http, &answer.access_token).await);
        // None is good for longer than the first, so that nothing need be written.
        assert_eq!(claims(&answer.access_token)["exp"], claims(&answers[0].access_token)["exp"]);
        assert!((3595..=3600).contains(&answer.expires_in.unwrap().seconds), "{:?}", answer.expires_in);
    }
    refreshed(&http, next).await;
}

#[tokio::test]
async fn a_token_that_comes_again_after_the_window_ends_its_session_everywhere_and_is_logged() {
    let plan = Plan { identity: &[("REFRESH_GRACE_SECONDS", "1")], ..Plan::default() };
    let fleet = Fleet::start(plan).await;
    let gateways = fleet.clients();
    let http = &gateways[0];
    let registered = http.register(EMAIL, PASSWORD).await;
    let stolen = offline(http, EMAIL, PASSWORD).await;
    let other = offline(http, EMAIL, PASSWORD).await;
    let second = refreshed(http, &stolen.refresh).await;
    let third = refreshed(http, &second.refresh).await;
    for gateway in &gateways {
        assert_eq!(gateway.bare("GET", "/auth/check", &third.access).await.status, 204);
    }
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    // Who has copied it gets nothing, and its owner has to log in again.
    assert_eq!(refresh(http, &stolen.refresh).await.short(), REFUSED);
    for access in [&stolen.access, &second.access, &third.access] {
        assert_is_ended_everywhere(&gateways, access).await;
    }
    for token in [&stolen, &second, &third] {
        assert_eq!(refresh(http, &token.refresh).await.short(), REFUSED);
    }
    assert_eq!(chain(&fleet.database, &stolen.refresh).await, None);
    assert!(works(http, &other.access).await);
    refreshed(http, &other.refresh).await;
    let logs: String = fleet.identities.iter().map(|identity| identity.log()).collect();
    let warnings: Vec<_> = logs.lines().filter(|line| line.contains("came again")).collect();
    let [warning] = warnings[..] else { panic!("not one warning: {warnings:#?}") };
    assert!(warning.contains("WARN") && warning.contains(&session(&stolen.refresh)), "{warning}");
    assert!(warning.contains(&registered.text("id")), "{warning}");
    for token in [&stolen, &second, &third] {
        assert!(!logs.contains(&token.refresh) && !logs.contains(&token.access));
    }
}

#[tokio::test]
async fn the_newest_token_is_good_however_late_and_each_older_one_has_a_window_of_its_own() {
    let (stack, first) = stack_and_tokens().await;
    let http = stack.http();
    let second = refreshed(&http, &first.refresh).await;
    an_hour_later(&stack.database, &first.refresh).await;
    let third = refreshed(&http, &second.refresh).await;
    let fourth = refreshed(&http, &third.refresh).await;
    // They were used a moment ago, and each gets what followed it, again and again.
    for _ in 0..2 {
        assert_eq!(refreshed(&http, &second.refresh).await.refresh, third.refresh);
        assert_eq!(refreshed(&http, &third.refresh).await.refresh, fourth.refresh);
    }
    let after = chain(&stack.database, &first.refresh).await;
    assert_eq!(after, Some((digest(&parts(&fourth.refresh)[1]), 3)));
    // The first was used an hour ago.
    assert_eq!(refresh(&http, &first.refresh).await.short(), REFUSED);
    assert_eq!(refresh(&http, &fourth.refresh).await.short(), REFUSED);
    assert!(!works(&http, &fourth.access).await);
}

#[tokio::test]
async fn a_token_that_more_than_sixteen_have_followed_is_not_forgiven() {
    let (stack, first) = stack_and_tokens().await;
    let http = stack.http();
    let mut all = vec![first];
    for _ in 0..20 {
        all.push(refreshed(&http, &all[all.len() - 1].refresh).await);
    }
    assert_eq!(chain(&stack.database, &all[0].refresh).await.unwrap().1, 16);
    assert_eq!(refreshed(&http, &all[4].refresh).await.refresh, all[5].refresh);
    assert_eq!(refresh(&http, &all[3].refresh).await.short(), REFUSED);
    assert!(!works(&http, &all[20].access).await);
}

#[tokio::test]
async fn an_answer_that_the_gateway_does_not_get_is_asked_for_again() {
    let plan = Plan { identities: 2, gateways: 1, grpc_links: true, ..Plan::default() };
    let fleet = Fleet::start(plan).await;
    let http = fleet.clients().remove(0);
    assert_eq!(http.register(EMAIL, PASSWORD).await.status, 201);
    let mut newest = offline(&http, EMAIL, PASSWORD).await;
    for links in fleet.grpc_links.iter().cycle().take(6) {
        // Whoever is asked first does what he is asked for, and cannot say so.
        let lost = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        for link in links {
            let (lost, wanted) = (lost.clone(), newest.refresh.clone().into_bytes());
            link.watch(move |piece| {
                let is_asked = piece.windows(wanted.len()).any(|window| window == wanted);
                if is_asked && !lost.swap(true, std::sync::atomic::Ordering::SeqCst) {
                    crate::harness::Verdict::CutAfter(Duration::from_millis(200))
                } else {
                    crate::harness::Verdict::Pass
                }
            });
        }
        let next = refreshed(&http, &newest.refresh).await;
        assert!(lost.load(std::sync::atomic::Ordering::SeqCst), "no answer was lost");
        assert_eq!(chain(&fleet.database, &next.refresh).await.unwrap().0, digest(&parts(&next.refresh)[1]));
        newest = next;
        fleet.until_ready().await;
    }
}

#[tokio::test]
async fn a_session_of_an_older_version_goes_on_and_is_not_refreshed() {
    let stack = Stack::start().await;
    let (_, access) = stack.user(EMAIL).await;
    let sql = "SELECT count(*) FROM sessions WHERE refresh_digest IS NULL AND refresh_uses = '{}'
               AND access_expires_at IS NULL AND password_version IS NULL AND epoch IS NULL";
    assert_eq!(stack.database.number(sql).await, 1);
    let http = stack.http();
    let tokens = offline(&http, EMAIL, PASSWORD).await;
    // As if it had lost its chain.
    let sql = "UPDATE sessions SET refresh_digest = NULL WHERE id::text = $1";
    stack.database.rows(sql, &[&session(&tokens.refresh)]).await;
    assert_eq!(refresh(&http, &tokens.refresh).await.short(), REFUSED);
    assert!(works(&http, &access).await && works(&http, &tokens.access).await);
}
