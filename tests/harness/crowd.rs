//! Many clients at once, and what each of their requests came to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::RequestBuilder;
use serde_json::json;
use tokio::task::JoinHandle;

use super::{Http, PASSWORD};

/// How long a client rests after an answer, so that quick refusals do not use up the machine.
const REST: Duration = Duration::from_millis(50);

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ask {
    /// Who he is: a read.
    Me,
    /// Another spelling of his address: a write.
    Change,
    /// A login: a read, a hash, a write.
    LogIn,
    /// A registration of somebody new: a read, a hash, a write.
    Register,
    /// Who he is, with a token of a thief: nothing but its signature is looked at.
    Forged,
}

impl Ask {
    /// When the gateway gives up waiting for identity-service.
    pub fn deadline(self) -> Duration {
        match self {
            Self::Forged => Duration::ZERO,
            Self::Me | Self::Change => Duration::from_secs(2),
            Self::LogIn => Duration::from_secs(5),
            // Its answer is asked for a second time when it was lost, as long as its client may wait.
            Self::Register => Duration::from_secs(8),
        }
    }

    /// Whether it cannot be answered without the database.
    pub fn needs_the_database(self) -> bool {
        self != Self::Forged
    }
}

/// In whose name a crowd asks.
#[derive(Clone)]
pub struct Persona {
    pub email: String,
    pub token: String,
    pub forged: String,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Seen {
    pub ask: Ask,
    pub began: Instant,
    pub took: Duration,
    /// 0 when there was no answer.
    pub status: u16,
    /// Who was registered, or should have been.
    pub email: String,
}

impl Seen {
    /// Whether it was answered as it should be when all is well.
    pub fn succeeded(&self) -> bool {
        self.status
            == match self.ask {
                Ask::Me | Ask::Change | Ask::LogIn => 200,
                Ask::Register => 201,
                Ask::Forged => 401,
            }
    }

    /// Whether it began after `from` and was answered before `to`.
    pub fn is_within(&self, from: Instant, to: Instant) -> bool {
        self.began >= from && self.began + self.took <= to
    }
}

impl Persona {
    /// Asks once.
    pub async fn ask(&self, http: &Http, ask: Ask) -> Seen {
        let email = format!("{}@camelot.bt", uuid::Uuid::new_v4());
        let request = self.request(http, ask, &email);
        let began = Instant::now();
        let status = http.try_send(request).await.map_or(0, |answer| answer.status);
        Seen { ask, began, took: began.elapsed(), status, email }
    }

    fn request(&self, http: &Http, ask: Ask, new: &str) -> RequestBuilder {
        match ask {
            Ask::Me => http.request("GET", "/users/me").bearer_auth(&self.token),
            Ask::Forged => http.request("GET", "/users/me").bearer_auth(&self.forged),
            Ask::Change => {
                let body = json!({"email": self.email});
                http.request("PATCH", "/users/me").bearer_auth(&self.token).json(&body)
            }
            Ask::LogIn => {
                let form = [("username", self.email.as_str()), ("password", PASSWORD)];
                http.request("POST", "/auth/jwt/login").form(&form)
            }
            Ask::Register => {
                let body = json!({"email": new, "password": PASSWORD});
                http.request("POST", "/auth/register").json(&body)
            }
        }
    }
}

/// Clients that ask until they are told to end, each over a connection of its own.
pub struct Crowd {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Seen>>>,
}

impl Crowd {
    /// One client for each of `asks` at each of these gateways.
    pub fn at(gateways: &[u16], persona: &Persona, asks: &[Ask]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let clients = gateways.iter().flat_map(|port| asks.iter().map(|ask| (*port, *ask)));
        let clients = clients.map(|(port, ask)| {
            let (persona, over) = (persona.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let (http, mut seen) = (Http::new(port), Vec::new());
                while !over.load(Ordering::Relaxed) {
                    seen.push(persona.ask(&http, ask).await);
                    tokio::time::sleep(REST).await;
                }
                seen
            })
        });
        let clients = clients.collect();
        Self { over, clients }
    }

    /// Ends, and waits for the last answers. All that was seen.
    pub async fn end(self) -> Vec<Seen> {
        self.over.store(true, Ordering::Relaxed);
        let mut seen = Vec::new();
        for client in self.clients {
            seen.extend(client.await.expect("a client does not fail"));
        }
        seen
    }
}
