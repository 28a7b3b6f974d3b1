//! The life of the signing keys: nobody notices that they turn over, and a stolen one is worth nothing (F23 of the
//! catalogue).

mod emergency;
mod operator;
mod reseal;
mod rotation;
mod watch;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::harness::{Database, PASSWORD, Process};

const EMAIL: &str = "king.arthur@camelot.bt";

/// A line of `key list`.
#[derive(Debug, Clone, PartialEq)]
struct Listed {
    kid: String,
    state: String,
    line: String,
}

/// What `key list`, or another command that ends with the list, says.
fn parse(said: &str) -> Vec<Listed> {
    let parse = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut word = || words.next().expect("a line begins with the id and the state of a key");
        Listed { kid: word(), state: word(), line: line.to_owned() }
    };
    said.lines().filter(|line| line.contains("since")).map(parse).collect()
}

fn list(identity: &Process) -> Vec<Listed> {
    parse(&identity.command(&["key", "list"]).expect("the keys can be listed"))
}

/// The key in a state of which there is one.
fn the(state: &str, keys: &[Listed]) -> String {
    let found: Vec<_> = keys.iter().filter(|key| key.state == state).collect();
    assert_eq!(found.len(), 1, "not one key is {state}: {keys:#?}");
    found[0].kid.clone()
}

/// Time passes: the key in this state came into it so much earlier.
async fn age(database: &Database, state: &str, interval: &str) {
    let sql = format!(
        "UPDATE signing_keys SET state_since = state_since - interval '{interval}' WHERE state = '{state}'"
    );
    let changed = database.connect().await.execute(&sql, &[]).await.expect("the statement is right");
    assert!(changed > 0, "no key is {state}");
}

/// Which key has signed a token.
fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

/// A token of somebody who has just logged in at this gateway.
async fn log_in(gateway: &Process) -> String {
    crate::harness::Http::new(gateway.port).token(EMAIL, PASSWORD).await
}
