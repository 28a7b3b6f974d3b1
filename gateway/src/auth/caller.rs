//! The user that a request's credentials name.
//!
//! A bearer token is tried first, then the cookie; the first that names a user decides. A token that is not
//! genuine names nobody and costs no call; one whose session has ended or whose user is inactive also names
//! nobody, which identity-service says.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use actix_web::{FromRequest, HttpRequest, web};
use secrecy::{ExposeSecret as _, SecretString};

use super::cookie;
use super::verifier::Verifier;
use crate::failure::Failure;

/// The access tokens of a request, in the order in which they are tried. There may be none.
pub struct Credentials {
    verifier: web::Data<Verifier>,
    /// The first is genuine. Whether another is, is found out when it is needed: when nobody can say what it is, that
    /// harms nobody whose first decides.
    tokens: Vec<SecretString>,
}

/// The access tokens of a request, of which at least one is genuine.
pub struct Caller(Credentials);

impl Credentials {
    /// Makes a call in the name of the first token that names a user.
    ///
    /// # Errors
    /// That of the call, that no token names a user, or that nobody can say whether one is genuine.
    pub async fn call<T>(
        &self,
        call: impl AsyncFn(&SecretString) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        for (index, token) in self.tokens.iter().enumerate() {
            if index > 0 && !self.is_genuine(token).await? {
                continue;
            }
            match call(token).await {
                Err(failure) if failure.is_unauthenticated() => {}
                result => return result,
            }
        }
        Err(Failure::Unauthenticated)
    }

    /// Those of the cookie alone.
    ///
    /// # Errors
    /// If the cookie is ambiguous, or nobody can say whether it is genuine.
    pub async fn of_cookie(request: &HttpRequest) -> Result<Self, Failure> {
        Self::of(request, [None, cookie::read(request.headers())?]).await
    }

    async fn read(request: HttpRequest) -> Result<Self, Failure> {
        let sent = [bearer(request.headers())?, cookie::read(request.headers())?];
        Self::of(&request, sent).await
    }

    /// Those that were sent, from the first genuine one on.
    async fn of(request: &HttpRequest, sent: [Option<SecretString>; 2]) -> Result<Self, Failure> {
        let verifier = request.app_data::<web::Data<Verifier>>().ok_or(Failure::Internal)?.clone();
        let mut credentials = Self { verifier, tokens: sent.into_iter().flatten().collect() };
        credentials.tokens.dedup_by(|a, b| a.expose_secret() == b.expose_secret());
        while let Some(first) = credentials.tokens.first()
            && !credentials.is_genuine(first).await?
        {
            credentials.tokens.remove(0);
        }
        Ok(credentials)
    }

    async fn is_genuine(&self, token: &SecretString) -> Result<bool, Failure> {
        Ok(self.verifier.verify(token.expose_secret()).await?.is_some())
    }
}

impl Deref for Caller {
    type Target = Credentials;

    fn deref(&self) -> &Credentials {
        &self.0
    }
}

impl FromRequest for Credentials {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Failure>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Box::pin(Self::read(request.clone()))
    }
}

impl FromRequest for Caller {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Failure>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let credentials = Credentials::read(request).await?;
            if credentials.tokens.is_empty() { Err(Failure::Unauthenticated) } else { Ok(Self(credentials)) }
        })
    }
}

/// The token of `Authorization: Bearer T`; `None` if there is none.
///
/// # Errors
/// If there are two such headers, of whatever scheme.
fn bearer(headers: &HeaderMap) -> Result<Option<SecretString>, Failure> {
    let values = headers.get_all(AUTHORIZATION).map(HeaderValue::as_bytes);
    let token = portcullis_proto::bearer::token(values).map_err(|_| Failure::AmbiguousCredential)?;
    Ok(token.map(SecretString::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::verifier::tests::{key, ready, token, trust};
    use crate::identity::tests::{client, free_address, serve};
    use actix_web::test::TestRequest;
    use std::cell::Cell;
    use std::sync::Arc;
    use tokio::runtime::Runtime;

    /// A verifier that knows the keys `k` and `l`, and who has told it.
    async fn with_keys() -> (Arc<Verifier>, Runtime) {
        let (address, trust) = (free_address(), trust());
        trust.keys.lock().unwrap().push(key("l"));
        let server = serve(address, trust);
        let verifier = Arc::new(Verifier::new(client(address)));
        ready(&verifier).await;
        (verifier, server)
    }

    async fn caller(verifier: Arc<Verifier>, bearer: &str, cookie: &str) -> Result<Caller, Failure> {
        let request = TestRequest::default()
            .app_data(web::Data::from(verifier))
            .insert_header((AUTHORIZATION, format!("Bearer {bearer}")))
            .insert_header(("cookie", format!("{}={cookie}", cookie::NAME)));
        Caller::extract(&request.to_http_request()).await
    }

    #[test]
    fn two_authorization_headers_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        assert!(bearer(&headers).is_ok_and(|token| token.is_some()));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Basic b"));
        assert_eq!(bearer(&headers).err(), Some(Failure::AmbiguousCredential));
    }

    #[actix_web::test]
    async fn the_next_token_is_tried_when_one_names_nobody_and_only_then() {
        let (verifier, server) = with_keys().await;
        let (first, second) = (token("k"), token("l"));
        let caller = caller(verifier, &first, &second).await.unwrap();
        let named = async |tried: &SecretString| match tried.expose_secret() {
            token if token == second => Ok(()),
            _ => Err(Failure::Unauthenticated),
        };
        assert_eq!(caller.call(named).await, Ok(()));
        let refuse = async |_: &SecretString| Err::<(), _>(Failure::Unauthenticated);
        assert_eq!(caller.call(refuse).await, Err(Failure::Unauthenticated));
        let unknown = async |tried: &SecretString| match tried.expose_secret() {
            token if token == first => Err(Failure::Unreachable),
            _ => Ok(()),
        };
        assert_eq!(caller.call(unknown).await, Err(Failure::Unreachable));
        server.shutdown_background();
    }

    #[actix_web::test]
    async fn a_token_that_is_not_genuine_or_is_there_already_is_not_tried() {
        let (verifier, server) = with_keys().await;
        let good = token("k");
        for (bearer, cookie, calls) in
            [(&*good, "x.y.z", 1), (&good, &good, 1), ("x.y.z", &good, 1), (&good, &token("l"), 2)]
        {
            let caller = caller(Arc::clone(&verifier), bearer, cookie).await.unwrap();
            let called = Cell::new(0);
            let refuse = async |_: &SecretString| {
                called.set(called.get() + 1);
                Err::<(), _>(Failure::Unauthenticated)
            };
            assert_eq!(caller.call(refuse).await, Err(Failure::Unauthenticated));
            assert_eq!(called.get(), calls, "{bearer} {cookie}");
        }
        assert_eq!(caller(verifier, "x.y.z", "x").await.err(), Some(Failure::Unauthenticated));
        server.shutdown_background();
    }

    #[actix_web::test]
    async fn a_cookie_that_nobody_can_judge_harms_nobody_whose_bearer_decides() {
        let (verifier, server) = with_keys().await;
        server.shutdown_background();
        let caller = caller(verifier, &token("k"), &token("new")).await.unwrap();
        assert_eq!(caller.call(async |_| Ok(())).await, Ok(()));
        // Had that bearer ended, the cookie would decide.
        let refuse = async |_: &SecretString| Err::<(), _>(Failure::Unauthenticated);
        assert_eq!(caller.call(refuse).await, Err(Failure::Unreachable));
    }
}
