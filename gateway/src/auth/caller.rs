//! The user that a request's credentials name.
//!
//! A bearer token is tried first, then the cookie; the first that names a user decides. A token that is not genuine, or is
//! known to have ended, names nobody and costs no call; that another one names nobody, identity-service says.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, web};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::cookie;
use super::verifier::{Judgement, Verifier};
use crate::failure::Failure;
use crate::telemetry::Refused;

/// The access tokens of a request that may be good, in the order in which they are tried. There may be none.
pub struct Credentials(Vec<SecretString>);

/// The access tokens of a request, of which at least one may be good.
pub struct Caller(Credentials);

/// The access tokens of a request, good or not, in the order in which they are tried.
///
/// # Errors
/// If a credential is ambiguous.
pub fn sent(request: &HttpRequest) -> Result<Vec<SecretString>, Failure> {
    let mut sent = [bearer(request.headers())?, cookie::ACCESS.read(request.headers())?];
    if let [Some(bearer), Some(cookie)] = &sent
        && bearer.expose_secret() == cookie.expose_secret()
    {
        sent[1] = None;
    }
    if sent.iter().all(Option::is_none) {
        note_refusal(request, "there is no access token");
    }
    Ok(sent.into_iter().flatten().collect())
}

/// The session of the access token in the cookie; `None` if there is none that is known to be good.
///
/// # Errors
/// If the cookie is ambiguous.
pub fn session_of_cookie(request: &HttpRequest) -> Result<Option<Uuid>, Failure> {
    let Some(token) = cookie::ACCESS.read(request.headers())? else { return Ok(None) };
    let verifier = request.app_data::<web::Data<Verifier>>().ok_or(Failure::Internal)?;
    Ok(match verifier.judge(token.expose_secret()) {
        Judgement::Good(claims) => Some(claims.sid),
        Judgement::Refused(_) | Judgement::Unknown => None,
    })
}

/// Notes why a credential names nobody. The log has the reason of the first at the end of a request that is refused.
pub fn note_refusal(request: &HttpRequest, why: impl ToString) {
    let mut extensions = request.extensions_mut();
    if !extensions.contains::<Refused>() {
        extensions.insert(Refused(why.to_string()));
    }
}

impl Credentials {
    /// Makes a call in the name of the first token that names a user.
    ///
    /// # Errors
    /// That of the call, or that no token names a user.
    pub async fn call<T>(
        &self,
        call: impl AsyncFn(&SecretString) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        for token in &self.0 {
            match call(token).await {
                Err(failure) if failure.is_unauthenticated() => {}
                result => return result,
            }
        }
        Err(Failure::Unauthenticated)
    }

    /// That of the cookie alone.
    ///
    /// # Errors
    /// If the cookie is ambiguous.
    pub fn of_cookie(request: &HttpRequest) -> Result<Self, Failure> {
        Self::of(request, cookie::ACCESS.read(request.headers())?.into_iter().collect())
    }

    /// Those that were sent and may be good.
    fn of(request: &HttpRequest, sent: Vec<SecretString>) -> Result<Self, Failure> {
        let verifier = request.app_data::<web::Data<Verifier>>().ok_or(Failure::Internal)?;
        let may_be_good = |token: &SecretString| match verifier.judge(token.expose_secret()) {
            Judgement::Good(_) | Judgement::Unknown => true,
            Judgement::Refused(refusal) => {
                note_refusal(request, refusal);
                false
            }
        };
        Ok(Self(sent.into_iter().filter(may_be_good).collect()))
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
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(sent(request).and_then(|sent| Self::of(request, sent)))
    }
}

impl FromRequest for Caller {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let credentials = sent(request).and_then(|sent| Credentials::of(request, sent));
        ready(credentials.and_then(|credentials| match credentials.0.as_slice() {
            [] => Err(Failure::Unauthenticated),
            [_, ..] => Ok(Self(credentials)),
        }))
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
    use crate::auth::verifier::tests::{fresh, knowing, stale, token};
    use actix_web::test::TestRequest;
    use std::cell::Cell;
    use std::sync::Arc;

    async fn caller(verifier: Arc<Verifier>, bearer: &str, cookie: &str) -> Result<Caller, Failure> {
        let request = TestRequest::default()
            .app_data(web::Data::from(verifier))
            .insert_header((AUTHORIZATION, format!("Bearer {bearer}")))
            .insert_header(("cookie", format!("{}={cookie}", cookie::ACCESS.name)));
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
        let (first, second) = (token("k"), token("l"));
        let caller = caller(fresh(&["k", "l"]), &first, &second).await.unwrap();
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
    }

    #[actix_web::test]
    async fn a_token_that_is_not_genuine_or_is_there_already_is_not_tried() {
        let verifier = fresh(&["k", "l"]);
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
    }

    #[actix_web::test]
    async fn a_token_that_nobody_here_can_judge_is_tried() {
        for verifier in [fresh(&["k"]), stale(&["k"]), knowing(&[])] {
            assert!(caller(verifier, &token("k"), "").await.is_ok());
        }
    }
}
