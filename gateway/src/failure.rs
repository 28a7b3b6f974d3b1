//! THE table: why a request failed → HTTP status and FastAPI-shaped body. Failures get a status nowhere else.
//!
//! | status | means here |
//! | --- | --- |
//! | 400 | the request cannot be carried out as it stands: a code of the contract, or a malformed header |
//! | 401 | no credential of the request names a user who may log in, or its refresh token is not good |
//! | 403 | the caller is known and lacks the right, or a foreign site makes his browser call |
//! | 404 | no such path, no such user, or no such session of his |
//! | 405 | the path has other methods: `Allow` names them |
//! | 408 | the body came too slowly |
//! | 413 | the body is too long |
//! | 414 | the URL is too long |
//! | 415 | the body is compressed |
//! | 422 | the body is not what the schema says |
//! | 500 | a fault of ours |
//! | 503 | identity-service or its database is away or has too much to do: try again later; a change may have been made |
//! | 504 | no answer in time: a change may have been made |

mod operation;

use std::fmt;

use actix_web::http::header::{ALLOW, CACHE_CONTROL, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, ResponseError};
use portcullis_proto::reason::Reason;
use serde_json::{Value, json};

pub use operation::{Details, Operation, Violation};

use crate::body::invalid::{self, Item};

/// Why a request failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// identity-service refused.
    Refused {
        /// Why.
        reason: Reason,
        /// What it was asked for.
        operation: Operation,
        /// What it added.
        details: Details,
    },
    /// identity-service cannot be reached, or there are no keys of it yet.
    Unreachable,
    /// identity-service, or the gateway itself, did not finish in time.
    TooLate,
    /// A fault, of identity-service or of the gateway.
    Internal,
    /// The body is not what the schema says.
    Invalid(Vec<Item>),
    /// No credential of the request names a user.
    Unauthenticated,
    /// A foreign site makes the user's browser send the request.
    ForeignOrigin,
    /// There is no such path.
    UnknownPath,
    /// The path has only these methods.
    UnknownMethod(Vec<Method>),
    /// A credential is given twice, or in a disguise.
    AmbiguousCredential,
    /// A login form cannot be a credential: it is not UTF-8, or the e-mail has a NUL.
    ImpossibleCredential,
    /// There is no refresh token where one is needed, or bytes that cannot be one.
    BadRefreshToken,
    /// A multipart body does not say what separates its parts.
    MissingBoundary,
    /// A multipart body has no parts.
    InvalidMultipart,
    /// The connection broke inside the body, or its framing is wrong.
    BrokenBody,
    /// The body is longer than the gateway reads.
    BodyTooLarge,
    /// The body came too slowly.
    BodyTooSlow,
    /// The body is compressed.
    EncodedBody,
    /// The URL is longer than the gateway reads.
    UrlTooLong,
    /// A library of ours refused with this status, in its own words.
    Foreign(StatusCode),
}

impl Failure {
    /// Whether identity-service says that the access token names nobody: then the next credential is tried.
    #[must_use]
    pub fn is_unauthenticated(&self) -> bool {
        let refused = matches!(self, Failure::Refused { reason: Reason::Unauthenticated, .. });
        refused || *self == Failure::Unauthenticated
    }

    /// The status and the body of the answer.
    #[must_use]
    pub fn answer(&self) -> (StatusCode, Value) {
        match self {
            Failure::Refused { reason, operation, details } => refusal(*reason, *operation, details),
            Failure::Unreachable => phrase(StatusCode::SERVICE_UNAVAILABLE),
            Failure::TooLate => phrase(StatusCode::GATEWAY_TIMEOUT),
            Failure::Internal => phrase(StatusCode::INTERNAL_SERVER_ERROR),
            Failure::Invalid(items) => (StatusCode::UNPROCESSABLE_ENTITY, invalid::body(items)),
            Failure::Unauthenticated => phrase(StatusCode::UNAUTHORIZED),
            Failure::ForeignOrigin => phrase(StatusCode::FORBIDDEN),
            Failure::UnknownPath => phrase(StatusCode::NOT_FOUND),
            Failure::UnknownMethod(_) => phrase(StatusCode::METHOD_NOT_ALLOWED),
            Failure::AmbiguousCredential | Failure::BrokenBody => phrase(StatusCode::BAD_REQUEST),
            Failure::ImpossibleCredential => bad_request("LOGIN_BAD_CREDENTIALS"),
            Failure::BadRefreshToken => bad_refresh_token(),
            Failure::MissingBoundary => bad_request("Missing boundary in multipart."),
            Failure::InvalidMultipart => bad_request("Invalid multipart data."),
            Failure::BodyTooLarge => phrase(StatusCode::PAYLOAD_TOO_LARGE),
            Failure::BodyTooSlow => phrase(StatusCode::REQUEST_TIMEOUT),
            Failure::EncodedBody => phrase(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Failure::UrlTooLong => phrase(StatusCode::URI_TOO_LONG),
            Failure::Foreign(status) => phrase(*status),
        }
    }

    /// The headers that the answer has for this failure. None may be kept: a moment later another may be right.
    #[must_use]
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![(CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        if self.answer().0 == StatusCode::UNAUTHORIZED {
            headers.push((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        if let Failure::UnknownMethod(methods) = self {
            let allowed = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            let value = HeaderValue::from_str(&allowed).expect("names of methods are legal in a header");
            headers.push((ALLOW, value));
        }
        if let Some(seconds) = self.retry_after_seconds() {
            headers.push((RETRY_AFTER, seconds.into()));
        }
        headers
    }

    /// After how many seconds to try again, where identity-service says so.
    fn retry_after_seconds(&self) -> Option<u64> {
        let Failure::Refused { reason: Reason::Overloaded, details, .. } = self else { return None };
        let wait = details.retry_after.unwrap_or_default();
        Some(wait.as_millis().div_ceil(1000).clamp(1, 3600) as u64)
    }
}

/// The status and the body for a refusal of identity-service. Reasons that an operation cannot have are faults.
#[must_use]
pub fn refusal(reason: Reason, operation: Operation, details: &Details) -> (StatusCode, Value) {
    use Operation::{
        Delete, EndSessions, LogIn, LogOut, Read, Refresh, Register, RequestReset, RequestVerification,
        Reset, Update, Verify,
    };
    let fault = || phrase(StatusCode::INTERNAL_SERVER_ERROR);
    match reason {
        Reason::InvalidRequest => match operation {
            Register | Update | RequestReset | RequestVerification => {
                match invalid::refused(&details.violations) {
                    Some(body) => (StatusCode::UNPROCESSABLE_ENTITY, body),
                    None => fault(), // it refused what the gateway chose
                }
            }
            LogIn => bad_request("LOGIN_BAD_CREDENTIALS"), // what is no e-mail address is nobody's
            Refresh | Reset | Verify | LogOut | EndSessions | Read | Delete => fault(),
        },
        Reason::PasswordRefused => match operation {
            Register => bad_password("REGISTER_INVALID_PASSWORD", details),
            Update => bad_password("UPDATE_USER_INVALID_PASSWORD", details),
            Reset => bad_password("RESET_PASSWORD_INVALID_PASSWORD", details),
            LogIn | Refresh | RequestReset | RequestVerification | Verify | LogOut | EndSessions | Read
            | Delete => fault(),
        },
        Reason::EmailTaken => match operation {
            Register => bad_request("REGISTER_USER_ALREADY_EXISTS"),
            Update => bad_request("UPDATE_USER_EMAIL_ALREADY_EXISTS"),
            LogIn | Refresh | RequestReset | Reset | RequestVerification | Verify | LogOut | EndSessions
            | Read | Delete => fault(),
        },
        Reason::UserIdTaken => match operation {
            Register => bad_request("REGISTER_USER_ALREADY_EXISTS"), // by an Idempotency-Key that was used before
            LogIn | Refresh | RequestReset | Reset | RequestVerification | Verify | LogOut | EndSessions
            | Read | Update | Delete => fault(),
        },
        Reason::BadCredentials => match operation {
            LogIn => bad_request("LOGIN_BAD_CREDENTIALS"),
            Register | Refresh | RequestReset | Reset | RequestVerification | Verify | LogOut
            | EndSessions | Read | Update | Delete => fault(),
        },
        Reason::RefreshTokenRefused => match operation {
            Refresh => bad_refresh_token(),
            Register | LogIn | RequestReset | Reset | RequestVerification | Verify | LogOut | EndSessions
            | Read | Update | Delete => fault(),
        },
        Reason::RecoveryTokenRefused => match operation {
            Reset => bad_request("RESET_PASSWORD_BAD_TOKEN"),
            Verify => bad_request("VERIFY_USER_BAD_TOKEN"),
            Register | LogIn | Refresh | RequestReset | RequestVerification | LogOut | EndSessions | Read
            | Update | Delete => fault(),
        },
        Reason::AlreadyVerified => match operation {
            Verify => bad_request("VERIFY_USER_ALREADY_VERIFIED"),
            Register | LogIn | Refresh | RequestReset | Reset | RequestVerification | LogOut
            | EndSessions | Read | Update | Delete => fault(),
        },
        Reason::EmailNotVerified => match operation {
            LogIn => bad_request("LOGIN_USER_NOT_VERIFIED"),
            Refresh | EndSessions | Read | Update | Delete => phrase(StatusCode::FORBIDDEN),
            Register | RequestReset | Reset | RequestVerification | Verify | LogOut => fault(),
        },
        Reason::Unauthenticated => match operation {
            LogOut | EndSessions | Read | Update | Delete => phrase(StatusCode::UNAUTHORIZED),
            // They carry no token.
            Register | LogIn | Refresh | RequestReset | Reset | RequestVerification | Verify => fault(),
        },
        Reason::SuperuserRequired => match operation {
            EndSessions | Read | Update | Delete => phrase(StatusCode::FORBIDDEN),
            Register | LogIn | Refresh | RequestReset | Reset | RequestVerification | Verify | LogOut => {
                fault()
            }
        },
        Reason::UserNotFound => match operation {
            EndSessions | Read | Update | Delete => phrase(StatusCode::NOT_FOUND),
            Register | LogIn | Refresh | RequestReset | Reset | RequestVerification | Verify | LogOut => {
                fault()
            }
        },
        Reason::SessionNotFound => match operation {
            LogOut => phrase(StatusCode::UNAUTHORIZED), // the session of the caller's own token: it has ended
            EndSessions => phrase(StatusCode::NOT_FOUND),
            Register | LogIn | Refresh | RequestReset | Reset | RequestVerification | Verify | Read
            | Update | Delete => fault(),
        },
        Reason::Overloaded | Reason::DatabaseUnavailable | Reason::OutcomeUnknown => {
            phrase(StatusCode::SERVICE_UNAVAILABLE)
        }
        Reason::DeadlineExceeded => phrase(StatusCode::GATEWAY_TIMEOUT),
        Reason::Internal => fault(),
    }
}

/// `{"detail": the phrase of the status}`.
fn phrase(status: StatusCode) -> (StatusCode, Value) {
    let phrase = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large", // as Python's http.HTTPStatus has it
        other => other.canonical_reason().unwrap_or("Bad Request"),
    };
    (status, json!({ "detail": phrase }))
}

fn bad_request(code: &str) -> (StatusCode, Value) {
    (StatusCode::BAD_REQUEST, json!({ "detail": code }))
}

fn bad_refresh_token() -> (StatusCode, Value) {
    (StatusCode::UNAUTHORIZED, json!({ "detail": "REFRESH_BAD_TOKEN" }))
}

fn bad_password(code: &str, details: &Details) -> (StatusCode, Value) {
    let password = details.violations.iter().find(|violation| violation.field == "password");
    let reason = password.map(|violation| violation.description.as_str());
    let detail = json!({ "code": code, "reason": reason.unwrap_or("Password is not accepted") });
    (StatusCode::BAD_REQUEST, json!({ "detail": detail }))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered with {}", self.answer().0)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        self.answer().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, body) = self.answer();
        let mut response = HttpResponse::build(status).json(body);
        for (name, value) in self.headers() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests;
