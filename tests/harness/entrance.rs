//! The places where what a user types comes in.

use reqwest::RequestBuilder;

use super::{Answer, Http, Stack, Transport};

/// The paths of the two logins.
pub const LOGINS: [&str; 2] = ["/auth/jwt/login", "/auth/cookie/login"];
/// The content types of a form: what [`urlencoded`] and what [`multipart`] makes.
pub const URLENCODED: &str = "application/x-www-form-urlencoded";
pub const MULTIPART: &str = "multipart/form-data; boundary=XX";

/// A place where a user's address and password come in as JSON.
#[derive(Debug)]
pub struct Entrance {
    pub method: &'static str,
    pub path: String,
    pub token: String,
}

impl Stack {
    /// All such places: a registration, a user's PATCH of himself, a superuser's PATCH of another user.
    pub async fn entrances(&self) -> [Entrance; 3] {
        let (_, user) = self.user("entrance-me@camelot.bt").await;
        let other = self.register("entrance-other@camelot.bt").await;
        let (_, superuser) = self.superuser("entrance-superuser@camelot.bt").await;
        [
            Entrance::for_anybody("/auth/register"),
            Entrance { method: "PATCH", path: "/users/me".to_owned(), token: user },
            Entrance { method: "PATCH", path: format!("/users/{other}"), token: superuser },
        ]
    }
}

/// The places where an address alone comes in as JSON: what is asked for is mailed there.
pub fn mail_entrances() -> [Entrance; 2] {
    ["/auth/forgot-password", "/auth/request-verify-token"].map(Entrance::for_anybody)
}

/// The places where the token from a mail comes in as JSON, the first with a password.
pub fn token_entrances() -> [Entrance; 2] {
    ["/auth/reset-password", "/auth/verify"].map(Entrance::for_anybody)
}

impl Entrance {
    fn for_anybody(path: &str) -> Self {
        Self { method: "POST", path: path.to_owned(), token: String::new() }
    }

    /// A request that has no body yet, and no content type.
    pub fn request(&self, http: &Http) -> RequestBuilder {
        Transport::Bearer.send(http.request(self.method, &self.path), &self.token)
    }

    /// Sends a body that is said to be JSON.
    pub async fn send(&self, http: &Http, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.request(http).header("content-type", "application/json");
        http.send(request.body(body.into())).await
    }
}

/// A form as [`URLENCODED`], every byte of each value as a `%` code.
pub fn urlencoded(fields: &[(&str, &[u8])]) -> String {
    let encode = |value: &[u8]| value.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    pairs.join("&")
}

/// A form as [`MULTIPART`]. A name may say more, as `password"; filename="p`.
pub fn multipart(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let head = format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend([head.as_bytes(), value, b"\r\n"].concat());
    }
    body.extend(b"--XX--\r\n");
    body
}

impl Http {
    /// Sends a form to a login, in both encodings.
    pub async fn log_in_with(&self, path: &str, fields: &[(&str, &[u8])]) -> [Answer; 2] {
        [
            self.send_form(path, URLENCODED, urlencoded(fields)).await,
            self.send_form(path, MULTIPART, multipart(fields)).await,
        ]
    }

    /// Sends a body that is said to be this.
    pub async fn send_form(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.send(self.request("POST", path).header("content-type", content_type).body(body.into())).await
    }
}
