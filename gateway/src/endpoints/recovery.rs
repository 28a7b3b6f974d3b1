//! `POST /auth/forgot-password`, `/auth/reset-password`, `/auth/request-verify-token` and `/auth/verify`. No credential of
//! the request is looked at: the token from a mail is the only one that counts. And nothing of its headers but the
//! languages that are liked goes on: where the links lead is configured at identity-service.

use actix_web::http::header::{AcceptLanguage, Header as _, Quality};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use super::private;
use crate::body::{Body, recovery};
use crate::failure::Failure;
use crate::identity::Identity;

/// How many languages are passed on: whoever reads more is not found by more.
const LANGUAGES: usize = 8;
/// The longest language tag that is passed on (RFC 5646 section 4.4.1).
const LONGEST_TAG: usize = 35;

/// Has a user mailed a token for a new password, if there is such a user. Nobody learns whether.
///
/// # Errors
/// [`Failure`]
pub async fn forgot_password(
    identity: Identity,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let email = recovery::email(&Body::read(&request, payload).await?)?;
    identity.request_password_reset(&email, languages(&request)).await?;
    Ok(private(HttpResponse::Accepted(), &Value::Null))
}

/// Sets a new password by such a token.
///
/// # Errors
/// [`Failure`]
pub async fn reset_password(
    identity: Identity,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let reset = recovery::reset(&Body::read(&request, payload).await?)?;
    identity.reset_password(&reset).await?;
    Ok(private(HttpResponse::Ok(), &Value::Null))
}

/// Has a user mailed a token for his address, if there is such a user and he is not verified.
///
/// # Errors
/// [`Failure`]
pub async fn request_verify_token(
    identity: Identity,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let email = recovery::email(&Body::read(&request, payload).await?)?;
    identity.request_verification(&email, languages(&request)).await?;
    Ok(private(HttpResponse::Accepted(), &Value::Null))
}

/// Verifies an address by such a token; answers with its user.
///
/// # Errors
/// [`Failure`]
pub async fn verify(
    identity: Identity,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let token = recovery::token(&Body::read(&request, payload).await?)?;
    let user = identity.verify_email(&token).await?;
    Ok(private(HttpResponse::Ok(), &user))
}

/// The languages that the client likes, the dearest first (RFC 9110 section 12.5.4). A header that is none says nothing.
fn languages(request: &HttpRequest) -> Vec<String> {
    let Ok(accepted) = AcceptLanguage::parse(request) else { return Vec::new() };
    let mut ranges: Vec<_> = accepted.0.iter().filter(|range| range.quality > Quality::ZERO).collect();
    ranges.sort_by_key(|range| std::cmp::Reverse(range.quality));
    let tags = ranges.into_iter().filter_map(|range| range.item.item()).map(ToString::to_string);
    tags.filter(|tag| tag.len() <= LONGEST_TAG).take(LANGUAGES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_languages_are_passed_on_by_how_much_they_are_liked() {
        for (header, expected) in [
            ("ru-RU,ru;q=0.9,en;q=0.5", &["ru-RU", "ru", "en"][..]),
            ("de;q=0.1, ru;q=0.3", &["ru", "de"]),
            ("en, ru", &["en", "ru"]),
            ("ru;q=0, en", &["en"]),
            ("ru;q=0", &[]),
            ("*", &[]),
            ("", &[]),
            (";;;, -", &[]),
            ("a\u{e9}", &[]),
        ] {
            let request = TestRequest::default().insert_header(("accept-language", header)).to_http_request();
            assert_eq!(languages(&request), expected, "{header}");
        }
        let many = ('a'..='z').map(|letter| format!("a{letter}")).collect::<Vec<_>>().join(",");
        let request = TestRequest::default().insert_header(("accept-language", many)).to_http_request();
        assert_eq!(languages(&request).len(), LANGUAGES);
        assert!(languages(&TestRequest::default().to_http_request()).is_empty());
    }
}
