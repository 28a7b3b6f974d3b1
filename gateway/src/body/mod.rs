//! Reading bodies: never more than [`MAX_LENGTH`] bytes, never longer than [`TIMEOUT`].
//!
//! - [`json`]: from bytes to an object, strictly
//! - [`fields`]: from an object to values, with all that is wrong reported at once
//! - [`form`]: the forms of login and refresh
//! - [`recovery`]: the bodies of the recovery routes
//! - [`invalid`]: FastAPI's 422

pub mod fields;
pub mod form;
pub mod invalid;
pub mod json;
pub mod recovery;

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;

use crate::failure::Failure;

/// The longest body, in bytes: the longest legal request is far shorter.
pub const MAX_LENGTH: usize = 16 * 1024;
/// How long a body may take: with the head's 5 s a slow client is cut off after 10 s in all.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// A body that is read to its end.
pub struct Body {
    /// The content type in lower case, without its parameters; empty if there is none.
    pub essence: String,
    /// The content type as it was sent.
    pub content_type: Vec<u8>,
    /// The bytes.
    pub bytes: Bytes,
}

impl Body {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// If it is too long, too slow or broken.
    pub async fn read(request: &HttpRequest, payload: Payload) -> Result<Self, Failure> {
        let header = |name| request.headers().get(name).map(|value| value.as_bytes());
        let declared =
            header(CONTENT_LENGTH).and_then(|value| std::str::from_utf8(value).ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > MAX_LENGTH) {
            return Err(Failure::BodyTooLarge);
        }
        let content_type = header(CONTENT_TYPE).unwrap_or_default().to_vec();
        let bytes = tokio::time::timeout(TIMEOUT, collect(payload)).await;
        Ok(Self {
            essence: essence(&content_type),
            content_type,
            bytes: bytes.map_err(|_| Failure::BodyTooSlow)??,
        })
    }
}

async fn collect(mut payload: Payload) -> Result<Bytes, Failure> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Failure::BrokenBody)?;
        if bytes.len() + chunk.len() > MAX_LENGTH {
            return Err(Failure::BodyTooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// The value of a parameter or cookie, without the quotes around it.
pub(crate) fn unquote(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

fn essence(content_type: &[u8]) -> String {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    String::from_utf8_lossy(essence.trim_ascii()).to_ascii_lowercase()
}
