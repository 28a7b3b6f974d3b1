//! The mark: what a browser that has a refresh token shows to login and logout, which do not see that one. It names the
//! session, and can end it, and nothing else.

use actix_web::http::header::HeaderMap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::cookie::OFFLINE;
use crate::failure::Failure;

/// An end token, as identity-service gives it: base64url(session id ‖ tag). Whether it is genuine, only that one knows.
pub struct Mark {
    /// The token.
    pub end_token: SecretString,
    /// The session that it says it ends.
    pub session: Uuid,
}

impl Mark {
    /// The mark of a request; `None` if there is none, or one that is no token.
    ///
    /// # Errors
    /// If it is there twice, or in a disguise.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, Failure> {
        let end_token = OFFLINE.read(headers)?;
        Ok(end_token.and_then(|end_token| {
            let session = session_of(&end_token, END_TOKEN)?;
            Some(Self { end_token, session })
        }))
    }

    /// Whether a request has a mark, good or not: then the browser is rid of it once too often rather than never.
    #[must_use]
    pub fn is_there(headers: &HeaderMap) -> bool {
        !matches!(OFFLINE.read(headers), Ok(None))
    }
}

/// How many bytes an end token and a refresh token have.
const END_TOKEN: usize = 32;
const REFRESH_TOKEN: usize = 64;

/// The session that a refresh token says it belongs to; `None` for what is none. Whether it is genuine, only
/// identity-service knows.
#[must_use]
pub fn session_of_refresh_token(token: &SecretString) -> Option<Uuid> {
    session_of(token, REFRESH_TOKEN)
}

/// Both begin with the id of their session.
fn session_of(token: &SecretString, length: usize) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(token.expose_secret()).ok().filter(|bytes| bytes.len() == length)?;
    Uuid::from_slice(bytes.get(..16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{COOKIE, HeaderValue};

    fn headers(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_str(cookie).unwrap());
        headers
    }

    #[test]
    fn a_mark_is_32_bytes_of_which_the_first_16_are_its_session() {
        let token = URL_SAFE_NO_PAD.encode([[1; 16], [2; 16]].concat());
        let mark = Mark::read(&headers(&format!("a=b; fastapiusersoffline={token}"))).unwrap().unwrap();
        assert_eq!((mark.end_token.expose_secret(), mark.session), (&*token, Uuid::from_bytes([1; 16])));
        for other in ["1", "=", &token[1..], &format!("{token}A"), &token.replace('A', "+")] {
            let headers = headers(&format!("fastapiusersoffline={other}"));
            assert!(Mark::read(&headers).is_ok_and(|mark| mark.is_none()), "{other}");
            assert!(Mark::is_there(&headers), "{other}");
        }
    }

    #[test]
    fn a_mark_that_is_ambiguous_is_there_and_not_read() {
        for cookies in ["fastapiusersoffline=1; fastapiusersoffline=2", "%66astapiusersoffline=1"] {
            assert_eq!(Mark::read(&headers(cookies)).err(), Some(Failure::AmbiguousCredential), "{cookies}");
            assert!(Mark::is_there(&headers(cookies)), "{cookies}");
        }
        assert!(!Mark::is_there(&headers("fastapiusersauth=x; fastapiusersoffline=")));
    }
}
