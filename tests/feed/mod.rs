//! Ended means ended: whatever happens, no gateway believes an ended token for two seconds, nor ever again (entries F of
//! the catalogue). All is decided on `GET /auth/check`, which a gateway answers from what it has been told.

mod clocks;
mod contract;
mod cut_off;
mod endings;
mod follower;
mod keys;
mod logout;
mod order;
mod restart;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::harness::{Client, Process, request};

const EMAIL: &str = "king.arthur@camelot.bt";
/// How long an ended token may still be believed: law 3 of the design.
const LAW: Duration = Duration::from_secs(2);

/// A gateway that is asked about tokens.
#[derive(Clone)]
struct Door {
    client: Client,
}

/// What a gateway says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Good,
    Refused,
    /// It cannot know.
    Unknown,
}

impl Door {
    fn of(gateway: &Process) -> Self {
        Self { client: Client::new(&[gateway.port]) }
    }

    /// What it says of a token; `None` if it does not answer, as when it has been killed.
    async fn try_check(&self, check: &[u8]) -> Option<Said> {
        let heard =
            tokio::time::timeout(Duration::from_secs(10), self.client.send(check)).await.ok()?.ok()?;
        match heard.status {
            204 => Some(Said::Good),
            401 => Some(Said::Refused),
            503 => Some(Said::Unknown),
            other => panic!("GET /auth/check answers {other}: {}", heard.body),
        }
    }

    async fn check(&self, token: &str) -> Said {
        self.try_check(&check(token)).await.expect("the gateway lives")
    }
}

/// The request that asks about a token.
fn check(token: &str) -> Arc<[u8]> {
    request("GET", "/auth/check", token, "")
}

/// Waits until a gateway judges tokens by itself.
async fn until_fresh(gateway: &Process) {
    let is_fresh = async || gateway.log().contains("the trust feed is fresh");
    gateway.until("fresh", Duration::from_secs(5), is_fresh).await;
}

/// How an ended token fared at one gateway.
#[derive(Debug, Clone)]
struct Fate {
    /// How long after its end it was believed last; nothing if never.
    believed: Option<Duration>,
    /// How long after its end it was first refused; nothing if never.
    refused: Option<Duration>,
    /// Whether it was believed after it had been refused.
    came_back: bool,
}

impl Fate {
    /// What is wrong with it, in words.
    fn complaint(&self) -> Option<String> {
        let is_late = self.believed.is_some_and(|after| after > LAW) || self.refused.is_none();
        (is_late || self.came_back).then(|| format!("{self:?}"))
    }
}

/// Asks a gateway about a token that ended just now, every `pause`, for so long.
async fn watch(door: &Door, token: &str, ended: Instant, pause: Duration, lasting: Duration) -> Fate {
    let check = check(token);
    let mut fate = Fate { believed: None, refused: None, came_back: false };
    while ended.elapsed() < lasting {
        let asked = ended.elapsed();
        match door.try_check(&check).await {
            Some(Said::Good) => {
                fate.believed = Some(asked);
                fate.came_back |= fate.refused.is_some();
            }
            Some(Said::Refused) => {
                fate.refused.get_or_insert_with(|| ended.elapsed());
            }
            Some(Said::Unknown) | None => {}
        }
        // Once it is refused, it would have to come back: that is looked at now and then.
        let pause = if fate.refused.is_some() { pause.max(Duration::from_millis(250)) } else { pause };
        tokio::time::sleep(pause).await;
    }
    fate
}
