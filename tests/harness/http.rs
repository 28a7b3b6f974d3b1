//! An HTTP client of the gateway, and what it answers.

use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

/// A client of one gateway. It keeps no cookies and follows no redirects.
#[derive(Clone)]
pub struct Http {
    client: Client,
    base: String,
}

/// How a token is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Transport {
    Bearer,
    Cookie,
}

impl Transport {
    /// The request with this token; an empty one is not sent at all.
    pub fn send(self, request: RequestBuilder, token: &str) -> RequestBuilder {
        match self {
            _ if token.is_empty() => request,
            Self::Bearer => request.bearer_auth(token),
            Self::Cookie => request.header("cookie", format!("fastapiusersauth={token}")),
        }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
    pub took: Duration,
}

impl Http {
    pub fn new(port: u16) -> Self {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .build()
            .expect("a client");
        Self { client, base: format!("http://127.0.0.1:{port}") }
    }

    /// A request that is not sent yet.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("is a method");
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// Sends a request.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.expect("the gateway answers")
    }

    /// Sends a request; `None` when there is no answer.
    pub async fn try_send(&self, request: RequestBuilder) -> Option<Answer> {
        let started = Instant::now();
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.text().await.ok()?;
        Some(Answer { status, headers, body, took: started.elapsed() })
    }

    /// GET without a credential.
    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        self.try_send(self.request("GET", path)).await
    }

    /// Registers a user.
    pub async fn register(&self, email: &str, password: &str) -> Answer {
        self.json("POST", "/auth/register", "", json!({"email": email, "password": password})).await
    }

    /// Logs in for a bearer token, with a form of the documented kind.
    pub async fn log_in(&self, email: &str, password: &str) -> Answer {
        self.log_in_at("/auth/jwt/login", email, password).await
    }

    /// Logs in for a cookie.
    pub async fn log_in_for_cookie(&self, email: &str, password: &str) -> Answer {
        self.log_in_at("/auth/cookie/login", email, password).await
    }

    async fn log_in_at(&self, path: &str, email: &str, password: &str) -> Answer {
        let form = reqwest::multipart::Form::new()
            .text("username", email.to_owned())
            .text("password", password.to_owned());
        self.send(self.request("POST", path).multipart(form)).await
    }

    /// The token of a login that must succeed.
    pub async fn token(&self, email: &str, password: &str) -> String {
        let answer = self.log_in(email, password).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text("access_token")
    }

    /// A request with a bearer token (none if empty) and no body.
    pub async fn bare(&self, method: &str, path: &str, token: &str) -> Answer {
        self.send(Transport::Bearer.send(self.request(method, path), token)).await
    }

    /// A request with a bearer token (none if empty) and a JSON body.
    pub async fn json(&self, method: &str, path: &str, token: &str, body: Value) -> Answer {
        self.send(Transport::Bearer.send(self.request(method, path), token).json(&body)).await
    }
}

impl Answer {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("is ASCII"))
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A text in the body's object.
    pub fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no {field}: {self:?}")).to_owned()
    }

    /// Status and body, for a snapshot or a table.
    pub fn short(&self) -> String {
        format!("{} {}", self.status, self.body)
    }
}
