//! Whether a browser sends a request because a page of ours wants it, or because a foreign one does (CSRF).
//!
//! Browsers send cookies along whoever asks. So a request that changes something and carries our cookie, and
//! every cookie login, refresh or logout (else a foreign page could log the user in as somebody else, or out), must come
//! from a page that is ours. `SameSite` is depth, not the control: sibling subdomains are the same site and are not trusted.

use std::future::{Ready, ready};

use actix_cors::Cors;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpRequest, web};
use url::Url;

use super::cookie;
use crate::endpoints::register::IDEMPOTENCY_KEY;
use crate::failure::Failure;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// An origin as browsers write it: scheme, host, and the port where it is not the usual one (RFC 6454).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// The text is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin such as https://app.example or http://localhost:8000, without a path")]
pub struct NotAnOrigin(String);

impl Origin {
    /// Reads an origin; only the spelling that browsers use is one.
    ///
    /// # Errors
    /// If it is anything else, such as `*` or `null`.
    pub fn parse(text: &str) -> Result<Self, NotAnOrigin> {
        let url = Url::parse(text).map_err(|_| NotAnOrigin(text.to_owned()))?;
        let is_web = matches!(url.scheme(), "http" | "https");
        if is_web && url.origin().ascii_serialization() == text {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnOrigin(text.to_owned()))
        }
    }
}

/// Where the pages come from that may call.
#[derive(Debug)]
pub struct Origins {
    public: Origin,
    allowed: Vec<Origin>,
}

/// What is decided about a request.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It comes from a page of ours, or from no browser.
    Pass,
    /// It comes from a foreign page, or may.
    Refuse,
}

impl Origins {
    /// The gateway's own origin, and the others that may call it.
    #[must_use]
    pub fn new(public: Origin, allowed: Vec<Origin>) -> Self {
        Self { public, allowed }
    }

    /// Whether pages of any other origin may call.
    #[must_use]
    pub fn any_cors(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// The answers to browsers that ask whether a page of another origin may call (CORS).
    pub fn cors(&self) -> Cors {
        let cors = self.allowed.iter().fold(Cors::default(), |cors, origin| cors.allowed_origin(&origin.0));
        cors.allowed_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
            .allowed_headers([header::AUTHORIZATION, header::CONTENT_TYPE, IDEMPOTENCY_KEY])
            .expose_headers([
                header::RETRY_AFTER,
                header::WWW_AUTHENTICATE,
                HeaderName::from_static("x-request-id"),
            ])
            .supports_credentials()
            .max_age(600)
    }

    /// The rule: a listed `Origin` passes; else `Sec-Fetch-Site` says where the request comes from; a request with
    /// neither is no browser's.
    pub fn decide(&self, origin: Option<&[u8]>, sec_fetch_site: Option<&[u8]>) -> Decision {
        let is_listed = |text: &[u8]| {
            let mut listed = std::iter::once(&self.public).chain(&self.allowed);
            listed.any(|origin| origin.0.as_bytes() == text)
        };
        match (origin, sec_fetch_site) {
            (Some(origin), _) if is_listed(origin) => Decision::Pass,
            (_, Some(b"same-origin" | b"none")) | (None, None) => Decision::Pass,
            (_, Some(_)) | (Some(_), None) => Decision::Refuse,
        }
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Failure> {
        match self.decide(only(headers, header::ORIGIN), only(headers, SEC_FETCH_SITE)) {
            Decision::Pass => Ok(()),
            Decision::Refuse => Err(Failure::ForeignOrigin),
        }
    }
}

/// The value of a header; of several, one that matches nothing.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(name);
    let first = values.next()?;
    Some(if values.next().is_some() { b"" } else { first.as_bytes() })
}

/// Proof, for handlers that always need it, that the request comes from no foreign page.
#[derive(Debug)]
pub struct FromOurPages(());

impl FromRequest for FromOurPages {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let origins = request.app_data::<web::Data<Origins>>().ok_or(Failure::Internal);
        ready(origins.and_then(|origins| origins.check(request.headers())).map(FromOurPages))
    }
}

/// Refuses what a foreign page makes a browser send: a request that may change something, with our cookie.
///
/// # Errors
/// Those of the request.
pub async fn guard<B: MessageBody + 'static>(
    origins: web::Data<Origins>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if request.method().is_safe() {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    }
    let checked = match cookie::ACCESS.read(request.headers()) {
        Ok(Some(_)) => origins.check(request.headers()),
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    let mut response = match checked {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(failure) => request.error_response(failure),
    };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Sec-Fetch-Site, Origin"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "https://id.example";

    fn origins() -> Origins {
        Origins::new(Origin::parse(PUBLIC).unwrap(), vec![])
    }

    #[test]
    fn of_two_headers_neither_counts() {
        let mut headers = HeaderMap::new();
        headers.append(header::ORIGIN, HeaderValue::from_static(PUBLIC));
        headers.append(header::ORIGIN, HeaderValue::from_static(PUBLIC));
        assert_eq!(origins().check(&headers), Err(Failure::ForeignOrigin));
    }

    #[test]
    fn only_the_spelling_of_browsers_is_an_origin() {
        for text in [
            "https://app.example",
            "http://localhost:8000",
            "http://[::1]:8000",
            "https://xn--bcher-kva.example",
        ] {
            assert!(Origin::parse(text).is_ok(), "{text}");
        }
        for text in [
            "*",
            "null",
            "app.example",
            "https://app.example/",
            "https://app.example:443",
            "https://APP.example",
            "https://u@app.example",
            "ftp://app.example",
            "https://bücher.example",
            "https://app.example?",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }
}
