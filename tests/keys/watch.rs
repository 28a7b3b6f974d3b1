//! Who shows good tokens again and again, at every gateway, and judges what is said of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::kid;
use crate::harness::{Client, Process, request};

/// How many requests a second there are at one gateway: a hundred at two.
const PER_SECOND: u32 = 50;
/// How long a key that was removed may still be believed.
pub const LAW: Duration = Duration::from_secs(2);

/// What was said of a token.
#[derive(Debug, Clone)]
pub struct Heard {
    pub kid: String,
    pub asked: Instant,
    pub answered: Instant,
    /// 0 if there was no answer.
    pub status: u16,
}

/// The tokens that are shown, and all that was said of them.
pub struct Watch {
    tokens: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Heard>>>,
}

impl Watch {
    /// Begins to show tokens, to the gateways and through them to identity-service.
    pub fn begin(gateways: &[Process], tokens: &[String]) -> Self {
        let tokens = Arc::new(Mutex::new(tokens.to_vec()));
        let over = Arc::new(AtomicBool::new(false));
        let clients = gateways.iter().map(|gateway| {
            let client = Client::new(&[gateway.port]);
            tokio::spawn(show(client, Arc::clone(&tokens), Arc::clone(&over)))
        });
        let clients = clients.collect();
        Self { tokens, over, clients }
    }

    /// Shows one more.
    pub fn add(&self, token: &str) {
        self.tokens.lock().unwrap().push(token.to_owned());
    }

    /// All that was said.
    pub async fn end(self) -> Vec<Heard> {
        self.over.store(true, Ordering::Relaxed);
        let mut heard = Vec::new();
        for client in self.clients {
            heard.extend(client.await.expect("a client does not fail"));
        }
        heard
    }
}

async fn show(client: Client, tokens: Arc<Mutex<Vec<String>>>, over: Arc<AtomicBool>) -> Vec<Heard> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let (mut heard, mut number) = (Vec::new(), 0);
    while !over.load(Ordering::Relaxed) {
        ticks.tick().await;
        // The newest every other time: nobody has met it before.
        let token = {
            let tokens = tokens.lock().unwrap();
            let place = if number % 2 == 0 { tokens.len() - 1 } else { number / 2 % tokens.len() };
            tokens[place].clone()
        };
        let path = if number % 4 < 2 { "/auth/check" } else { "/users/me" };
        number += 1;
        let asked = Instant::now();
        let answer = client.send(&request("GET", path, &token, "")).await;
        let status = answer.map_or(0, |answer| answer.status);
        heard.push(Heard { kid: kid(&token), asked, answered: Instant::now(), status });
    }
    heard
}

/// When keys were removed: before which moment nobody may refuse, and from which on he must.
pub type Removed = HashMap<String, (Instant, Instant)>;

/// What is wrong with what was heard, in words: a token was refused before its key was removed, or believed later than
/// the law allows.
pub fn judge(heard: &[Heard], removed: &Removed) -> Vec<String> {
    let complaint = |heard: &Heard| {
        let removed = removed.get(&heard.kid);
        let is_good = heard.status == 200 || heard.status == 204;
        let is_early = heard.status == 401 && removed.is_none_or(|(begun, _)| heard.answered < *begun);
        let is_late = is_good && removed.is_some_and(|(_, done)| heard.asked > *done + LAW);
        (is_early || is_late).then(|| format!("{} of a token of {}", heard.status, heard.kid))
    };
    heard.iter().filter_map(complaint).collect()
}

/// How much of it was answered with success.
pub fn share_of_success(heard: &[Heard]) -> f64 {
    heard.iter().filter(|heard| heard.status == 200 || heard.status == 204).count() as f64
        / heard.len() as f64
}
