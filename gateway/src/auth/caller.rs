//! The user that a request's credentials name.
//!
//! A bearer token is tried first, then the cookie; the first that names a user decides. A token that is not
//! genuine names nobody and costs no call; one whose session has ended or whose user is inactive also names
//! nobody, which identity-service says.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{FromRequest, HttpRequest, web};
use secrecy::{ExposeSecret as _, SecretString};

use super::cookie;
use super::verifier::Verifier;
use crate::failure::Failure;

/// The genuine access tokens of a request, in the order in which they are tried. There may be none.
pub struct Credentials(Vec<SecretString>);

/// The genuine access tokens of a request, of which there is at least one.
pub struct Caller(Credentials);

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

    /// Those of the cookie alone.
    ///
    /// # Errors
    /// If the cookie is ambiguous, or nobody can say whether it is genuine.
    pub async fn of_cookie(request: &HttpRequest) -> Result<Self, Failure> {
        Self::genuine(request, [None, cookie::read(request.headers())?]).await
    }

    async fn read(request: HttpRequest) -> Result<Self, Failure> {
        let sent = [bearer(request.headers())?, cookie::read(request.headers())?];
        Self::genuine(&request, sent).await
    }

    async fn genuine(request: &HttpRequest, sent: [Option<SecretString>; 2]) -> Result<Self, Failure> {
        let verifier = request.app_data::<web::Data<Verifier>>().ok_or(Failure::Internal)?;
        let mut genuine: Vec<SecretString> = Vec::new();
        for token in sent.into_iter().flatten() {
            let again = genuine.iter().any(|known| known.expose_secret() == token.expose_secret());
            if !again && verifier.verify(token.expose_secret()).await?.is_some() {
                genuine.push(token);
            }
        }
        Ok(Self(genuine))
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
            if credentials.0.is_empty() { Err(Failure::Unauthenticated) } else { Ok(Self(credentials)) }
        })
    }
}

/// The token of an `Authorization: Bearer T` (RFC 6750 section 2.1), the scheme in any case; `None` if there is none.
///
/// # Errors
/// If there are two such headers, of whatever scheme.
pub fn bearer(headers: &HeaderMap) -> Result<Option<SecretString>, Failure> {
    let mut values = headers.get_all(AUTHORIZATION);
    let first = values.next();
    if values.next().is_some() {
        return Err(Failure::AmbiguousCredential);
    }
    let text = first.and_then(|value| value.to_str().ok());
    Ok(text.and_then(bearer_token).map(|token| token.to_owned().into()))
}

fn bearer_token(text: &str) -> Option<&str> {
    let (scheme, token) = text.trim_matches(' ').split_once(' ')?;
    let token = token.trim_matches(' ');
    let is_one_word = !token.is_empty() && !token.contains([' ', '\t']);
    (scheme.eq_ignore_ascii_case("bearer") && is_one_word).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        for text in ["Bearer T", "bearer T", "BEARER T", "Bearer  T", "Bearer T "] {
            assert_eq!(bearer_token(text), Some("T"), "{text:?}");
        }
    }

    #[test]
    fn another_scheme_or_spelling_has_no_token() {
        for text in [
            "",
            "Bearer",
            "Bearer ",
            "BearerT",
            "Bearer\tT",
            "Bearer: T",
            "Bearer T x",
            "Basic T",
            "JWT T",
            "T",
        ] {
            let token = bearer_token(text);
            assert_eq!(token, None, "{text:?}");
        }
    }

    #[test]
    fn two_authorization_headers_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        assert!(bearer(&headers).is_ok());
        headers.append(AUTHORIZATION, HeaderValue::from_static("Basic b"));
        assert_eq!(bearer(&headers).err(), Some(Failure::AmbiguousCredential));
    }

    #[actix_web::test]
    async fn the_next_token_is_tried_when_one_names_nobody() {
        let credentials = Credentials(vec!["ended".to_owned().into(), "good".to_owned().into()]);
        let call = async |token: &SecretString| match token.expose_secret() {
            "good" => Ok("good"),
            _ => Err(Failure::Unauthenticated),
        };
        assert_eq!(credentials.call(call).await, Ok("good"));
        let refuse = async |_: &SecretString| Err::<(), _>(Failure::Unauthenticated);
        assert_eq!(credentials.call(refuse).await, Err(Failure::Unauthenticated));
    }

    #[actix_web::test]
    async fn the_next_token_is_not_tried_when_the_first_names_a_user_or_nothing_is_known() {
        let credentials = Credentials(vec!["first".to_owned().into(), "second".to_owned().into()]);
        let call = async |token: &SecretString| match token.expose_secret() {
            "first" => Err(Failure::Unreachable),
            _ => Ok(()),
        };
        assert_eq!(credentials.call(call).await, Err(Failure::Unreachable));
    }
}
