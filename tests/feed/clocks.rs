//! F36: a wrong clock refuses tokens at the worst, and never lengthens the life of one.

use std::time::Duration;

use portcullis_proto::v1::GetSessionRequest;
use serde_json::json;

use super::{Door, EMAIL, LAW, Said, until_fresh};
use crate::harness::{
    Clock, Database, Flaw, Forge, Http, NaiveReplica, PASSWORD, Process, Rpc, Stack, claims,
    further_sessions, outcome, with_token,
};

/// How far clocks may be apart, in seconds.
const LEEWAY: u64 = 5;
const WARNING: &str = "this clock and that of the database are far apart";

/// A replica and a gateway whose clocks are right, and one of both whose clocks are `clock`.
struct Scene {
    clock: Clock,
    right: (Process, Process),
    wrong: (Process, Process),
    database: Database,
}

impl Scene {
    async fn set(seconds: i64) -> Self {
        let (database, clock) = (Database::create().await, Clock::ahead_by(seconds));
        let right = Process::identity(&database.url, &[]);
        right.until_serving().await;
        let wrong = Process::identity(&database.url, &clock.variables());
        wrong.until_serving().await;
        // Each gateway asks the replica of the other kind, so that only one clock at a time is wrong.
        let right_gateway = Process::gateway(&wrong, &[]);
        let wrong_gateway = Process::gateway(&right, &clock.variables());
        right_gateway.until_ready().await;
        wrong_gateway.until_ready().await;
        assert_eq!(Http::new(right_gateway.port).register(EMAIL, PASSWORD).await.status, 201);
        Self { clock, right: (right, right_gateway), wrong: (wrong, wrong_gateway), database }
    }

    /// What the gateways say of a token: first that with the right clock.
    async fn check(&self, token: &str) -> [Said; 2] {
        [Door::of(&self.right.1).check(token).await, Door::of(&self.wrong.1).check(token).await]
    }

    /// What a replica says of a token.
    async fn ask(identity: &Process, token: &str) -> String {
        let mut rpc = Rpc::connect(identity.port).await;
        let message = GetSessionRequest { id: "current".into() };
        outcome(&rpc.sessions.get_session(with_token(message, token)).await)
    }

    async fn warns(&self) {
        for process in [&self.wrong.0, &self.wrong.1] {
            let has_warned = async || process.log().contains(WARNING);
            process.until("warning of its clock", Duration::from_secs(3), has_warned).await;
        }
    }
}

const GOOD: &str = "OK";
const REFUSED: &str = "Unauthenticated UNAUTHENTICATED";

#[tokio::test]
async fn f36_within_the_leeway_a_wrong_clock_has_no_effect() {
    for seconds in [3, -3] {
        let scene = Scene::set(seconds).await;
        for http in [Http::new(scene.right.1.port), Http::new(scene.wrong.1.port)] {
            let token = http.token(EMAIL, PASSWORD).await;
            assert_eq!(scene.check(&token).await, [Said::Good; 2], "{seconds} s");
            for identity in [&scene.right.0, &scene.wrong.0] {
                assert_eq!(Scene::ask(identity, &token).await, GOOD, "{seconds} s");
            }
            assert_eq!(http.bare("POST", "/auth/jwt/logout", &token).await.status, 204);
            tokio::time::sleep(LAW).await;
            assert_eq!(scene.check(&token).await, [Said::Refused; 2], "{seconds} s");
        }
        for process in [&scene.wrong.0, &scene.wrong.1, &scene.right.0, &scene.right.1] {
            assert!(!process.log().contains(WARNING));
        }
    }
}

#[tokio::test]
async fn f36_beyond_it_that_of_the_database_is_used_and_the_log_warns() {
    for seconds in [30, -30, 3_700, -3_700] {
        let scene = Scene::set(seconds).await;
        scene.warns().await;
        // The token is made by the replica with the wrong clock, and yet in time.
        let token = Http::new(scene.right.1.port).token(EMAIL, PASSWORD).await;
        assert_eq!(scene.check(&token).await, [Said::Good; 2], "{seconds} s");
        for identity in [&scene.right.0, &scene.wrong.0] {
            assert_eq!(Scene::ask(identity, &token).await, GOOD, "{seconds} s");
        }
        let life = claims(&token)["exp"].as_u64().unwrap() - claims(&token)["iat"].as_u64().unwrap();
        assert_eq!(life, 3_600);
        // Who registers where the clock is wrong gets an id of the right time.
        for http in [Http::new(scene.right.1.port), Http::new(scene.wrong.1.port)] {
            let email = format!("{}@camelot.bt", uuid::Uuid::new_v4());
            assert_eq!(http.register(&email, PASSWORD).await.status, 201, "{seconds} s");
        }
        for gateway in [&scene.wrong.1, &scene.right.1] {
            let cookie = format!("fastapiusersauth={token}");
            let http = Http::new(gateway.port);
            let answer =
                http.send(http.request("POST", "/auth/cookie/logout").header("cookie", cookie)).await;
            assert_eq!(answer.status, 204);
            let ended = Scene::ask(&scene.right.0, &token).await;
            assert_eq!(ended, REFUSED, "a logout that ends nothing, {seconds} s");
        }
    }
}

#[tokio::test]
async fn f36_no_wrong_clock_lengthens_the_life_of_a_token() {
    for seconds in [-30, -3_700] {
        let scene = Scene::set(seconds).await;
        scene.warns().await;
        let token = Http::new(scene.right.1.port).token(EMAIL, PASSWORD).await;
        // At its end now, as the right clock says.
        let issued = claims(&token)["iat"].as_u64().unwrap();
        let (earlier, end) = (issued - 3_800, issued + 2);
        let forge = Forge::with_the_real_key(&scene.database).await;
        let token = further_sessions(&scene.database, &forge.with_claims(&token, json!({"exp": end})), 1)
            .await
            .remove(0);
        let token = forge.with_claims(&token, json!({"iat": earlier, "exp": end}));
        assert_eq!(scene.check(&token).await, [Said::Good; 2], "{seconds} s");
        for identity in [&scene.right.0, &scene.wrong.0] {
            assert_eq!(Scene::ask(identity, &token).await, GOOD, "{seconds} s");
        }
        tokio::time::sleep(Duration::from_secs(2 + LEEWAY + 1)).await;
        assert_eq!(scene.check(&token).await, [Said::Refused; 2], "{seconds} s");
        for identity in [&scene.right.0, &scene.wrong.0] {
            assert_eq!(Scene::ask(identity, &token).await, REFUSED, "{seconds} s");
        }
    }
}

#[tokio::test]
async fn f36_control_a_replica_that_tells_a_wrong_time_is_found_out() {
    let stack = Stack::start().await;
    let (_, token) = stack.user(EMAIL).await;
    let naive = NaiveReplica::start(Flaw::TellsWrongTime, &stack.database, stack.identity.port).await;
    let gateway = Process::gateway_to(naive.port, &[]);
    until_fresh(&gateway).await;
    let forge = Forge::with_the_real_key(&stack.database).await;
    let issued = claims(&token)["iat"].as_u64().unwrap();
    let expired = forge.with_claims(&token, json!({"iat": issued - 3_700, "exp": issued - LEEWAY - 1}));
    assert_eq!(Door::of(&stack.gateway).check(&expired).await, Said::Refused);
    assert_eq!(Door::of(&gateway).check(&expired).await, Said::Good, "nobody notices");
}

#[tokio::test]
async fn f36_a_clock_that_steps_back_brings_nothing_back() {
    let scene = Scene::set(0).await;
    let http = Http::new(scene.right.1.port);
    let kept = http.token(EMAIL, PASSWORD).await;
    let forge = Forge::with_the_real_key(&scene.database).await;
    let issued = claims(&kept)["iat"].as_u64().unwrap();
    let of_long_ago = |token: &str| forge.with_claims(token, json!({"iat": issued - 600}));
    let mut ended: Vec<_> =
        further_sessions(&scene.database, &kept, 20).await.iter().map(|token| of_long_ago(token)).collect();
    let kept = of_long_ago(&kept);
    // After some have logged out, and while others do, the clock steps back, and later forth.
    let late = ended.split_off(10);
    for (steps_back, ending) in [(true, &ended), (false, &late)] {
        for token in ending {
            assert_eq!(http.bare("POST", "/auth/jwt/logout", token).await.status, 204);
        }
        scene.clock.turn(if steps_back { -300 } else { 0 });
        tokio::time::sleep(LAW).await;
        for token in &ended {
            assert_eq!(scene.check(token).await, [Said::Refused; 2]);
        }
        assert_eq!(scene.check(&kept).await, [Said::Good; 2]);
        if steps_back {
            scene.warns().await;
        }
    }
    for token in &late {
        assert_eq!(scene.check(token).await, [Said::Refused; 2]);
    }
    let agrees = async || scene.wrong.1.log().contains("agrees with that of the database again");
    scene.wrong.1.until("right again", Duration::from_secs(3), agrees).await;
    // What is measured by durations did not notice.
    assert_eq!(scene.wrong.1.log().matches("the trust feed is unknown").count(), 0);
    // A session that is logged out of where the clock is wrong has ended everywhere.
    let last = http.token(EMAIL, PASSWORD).await;
    scene.clock.turn(-300);
    assert_eq!(
        Http::new(scene.right.1.port).bare("POST", "/auth/jwt/logout", &of_long_ago(&last)).await.status,
        204
    );
    tokio::time::sleep(LAW).await;
    assert_eq!(scene.check(&of_long_ago(&last)).await, [Said::Refused; 2]);
}
