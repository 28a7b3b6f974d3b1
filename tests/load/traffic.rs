//! What the clients of these tests ask for.

use std::sync::Arc;

use crate::harness::{Client, Http, PASSWORD, request, urlencoded};

/// Who logs in, and who reads and writes: two users, so that neither waits for the other's row.
const LOGS_IN: &str = "king.arthur@camelot.bt";
const IS_IN: &str = "merlin@camelot.bt";

/// A client, and the requests of two users.
pub struct Traffic {
    pub client: Client,
    pub login: [Arc<[u8]>; 1],
    /// `GET /users/me`
    pub read: [Arc<[u8]>; 1],
    /// `PATCH /users/me`, which changes no more than the spelling of the address.
    pub write: [Arc<[u8]>; 2],
}

impl Traffic {
    /// To the gateways at these ports, each of which is asked when those before it do not listen. Registers the users.
    pub async fn to(ports: &[u16]) -> Self {
        let http = Http::new(ports[0]);
        for email in [LOGS_IN, IS_IN] {
            let registered = http.register(email, PASSWORD).await;
            assert_eq!(registered.status, 201, "{registered:?}");
        }
        Self::with(ports, &http.token(IS_IN, PASSWORD).await)
    }

    /// The same with this token, where nobody need be registered.
    pub fn with(ports: &[u16], token: &str) -> Self {
        let fields = [("username", LOGS_IN.as_bytes()), ("password", PASSWORD.as_bytes())];
        let write = |email: &str| request("PATCH", "/users/me", token, &format!(r#"{{"email":"{email}"}}"#));
        Self {
            client: Client::new(ports),
            login: [request("POST", "/auth/jwt/login", "", &urlencoded(&fields))],
            read: [request("GET", "/users/me", token, "")],
            write: [write(IS_IN), write("Merlin@camelot.bt")],
        }
    }
}
