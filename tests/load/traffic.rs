//! What the clients of these tests ask for.

use std::sync::Arc;

use crate::harness::{Client, PASSWORD, request, urlencoded};

/// Who it is that they log in as, with the usual password.
pub const EMAIL: &str = "king.arthur@camelot.bt";

/// A client, and the requests of a user.
pub struct Traffic {
    pub client: Client,
    pub login: [Arc<[u8]>; 1],
    /// `GET /users/me`
    pub read: [Arc<[u8]>; 1],
    /// `PATCH /users/me`, which changes no more than the spelling of the address.
    pub write: [Arc<[u8]>; 2],
}

impl Traffic {
    /// To the gateways at these ports, each of which is asked when those before it do not listen, with this token.
    pub fn to(ports: &[u16], token: &str) -> Self {
        let fields = [("username", EMAIL.as_bytes()), ("password", PASSWORD.as_bytes())];
        let write = |email: &str| request("PATCH", "/users/me", token, &format!(r#"{{"email":"{email}"}}"#));
        Self {
            client: Client::new(ports),
            login: [request("POST", "/auth/jwt/login", "", &urlencoded(&fields))],
            read: [request("GET", "/users/me", token, "")],
            write: [write(EMAIL), write("King.Arthur@camelot.bt")],
        }
    }
}
