//! The forms of login and refresh (RFC 6749 sections 4.3.2 and 6), as `multipart/form-data` or
//! `application/x-www-form-urlencoded`.
//!
//! Both are read as bytes: a decoder that replaces what is not UTF-8 would make two passwords equal.

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use actix_web::web::Bytes;
use futures_util::{StreamExt as _, stream};
use percent_encoding::percent_decode;
use secrecy::SecretString;
use serde_json::Value;

use super::invalid::{self, Item};
use super::{Body, MAX_LENGTH, unquote};
use crate::failure::Failure;

/// Who wants to log in.
pub struct Credentials {
    /// The e-mail address.
    pub username: String,
    /// The password.
    pub password: SecretString,
    /// Whether he asks for a refresh token.
    pub offline_access: bool,
}

/// The value of a form's field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Text(Vec<u8>),
    File,
}

/// The fields of a form, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Form(Vec<(Vec<u8>, Entry)>);

/// Reads a login form.
///
/// # Errors
/// FastAPI's 422 with everything that is wrong, or 400 for a broken multipart body and for bytes that cannot be
/// a credential.
pub async fn credentials(body: &Body) -> Result<Credentials, Failure> {
    to_credentials(Form::read(body).await?)
}

/// Reads the form that a refresh token comes in (RFC 6749 section 6).
///
/// # Errors
/// FastAPI's 422 with everything that is wrong, 400 for a broken multipart body, and 401 for bytes that cannot be a token.
pub async fn refresh_token(body: &Body) -> Result<SecretString, Failure> {
    to_refresh_token(Form::read(body).await?)
}

fn to_credentials(mut form: Form) -> Result<Credentials, Failure> {
    // Whether something is not UTF-8, or a NUL stands in a user name.
    let is_impossible = !form.is_utf8() || form.any(|name, value| name == b"username" && has_nul(value));
    let has_stray_nul = form.has_nul_beside(&["grant_type", "username", "password"]);
    let mut wrong = Vec::new();
    match form.take("grant_type") {
        Some(Entry::File) => wrong.push(invalid::not_a_string("grant_type", &Value::Null)),
        Some(Entry::Text(grant))
            if !grant.is_empty() && grant != b"password" && str::from_utf8(&grant).is_ok() =>
        {
            wrong.push(invalid::unknown_grant("password"));
        }
        Some(Entry::Text(_)) | None => {}
    }
    let username = required("username", form.take("username")).map_err(|item| wrong.push(item));
    let password = required("password", form.take("password")).map_err(|item| wrong.push(item));
    if has_stray_nul {
        wrong.push(invalid::stray_nul());
    }
    let (Ok(username), Ok(password), true) = (username, password, wrong.is_empty()) else {
        return Err(Failure::Invalid(wrong));
    };
    if is_impossible {
        return Err(Failure::ImpossibleCredential);
    }
    let text = |bytes| String::from_utf8(bytes).map_err(|_| Failure::ImpossibleCredential);
    let offline_access = form.take("scope").is_some_and(|scope| asks_for_offline_access(&scope));
    Ok(Credentials { username: text(username)?, password: text(password)?.into(), offline_access })
}

/// Whether one of the values of a scope is exactly this one (RFC 6749 section 3.3). Others are ignored.
fn asks_for_offline_access(scope: &Entry) -> bool {
    let values = |scope: &[u8]| scope.split(|byte| *byte == b' ').any(|value| value == b"offline_access");
    matches!(scope, Entry::Text(scope) if values(scope))
}

fn to_refresh_token(mut form: Form) -> Result<SecretString, Failure> {
    let is_impossible = !form.is_utf8();
    let has_stray_nul = form.has_nul_beside(&["grant_type", "refresh_token"]);
    let mut wrong = Vec::new();
    match required("grant_type", form.take("grant_type")) {
        Ok(grant) if grant == b"refresh_token" => {}
        Ok(_) => wrong.push(invalid::unknown_grant("refresh_token")),
        Err(item) => wrong.push(item),
    }
    let token = required("refresh_token", form.take("refresh_token")).map_err(|item| wrong.push(item));
    if has_stray_nul {
        wrong.push(invalid::stray_nul());
    }
    let (Ok(token), true) = (token, wrong.is_empty()) else {
        return Err(Failure::Invalid(wrong));
    };
    match String::from_utf8(token) {
        Ok(token) if !is_impossible => Ok(token.into()),
        Ok(_) | Err(_) => Err(Failure::BadRefreshToken),
    }
}

/// The bytes of a field; an empty one counts as missing.
fn required(name: &str, entry: Option<Entry>) -> Result<Vec<u8>, Item> {
    match entry {
        Some(Entry::Text(bytes)) if !bytes.is_empty() => Ok(bytes),
        Some(Entry::Text(_)) | None => Err(invalid::missing(name)),
        Some(Entry::File) => Err(invalid::not_a_string(name, &Value::Null)),
    }
}

fn has_nul(bytes: &[u8]) -> bool {
    bytes.contains(&b'\0')
}

impl Form {
    async fn read(body: &Body) -> Result<Self, Failure> {
        match body.essence.as_str() {
            "application/x-www-form-urlencoded" => Ok(urlencoded(&body.bytes)),
            "multipart/form-data" => multipart(&body.content_type, body.bytes.clone()).await,
            _ => Ok(Self::default()),
        }
    }

    /// Takes a field out; of a repeated one the last.
    fn take(&mut self, name: &str) -> Option<Entry> {
        let at = self.0.iter().rposition(|(other, _)| other == name.as_bytes())?;
        Some(self.0.remove(at).1)
    }

    /// Whether something is so of any field's name and value.
    fn any(&self, is_so: impl Fn(&[u8], &[u8]) -> bool) -> bool {
        self.0.iter().any(|(name, entry)| match entry {
            Entry::Text(value) => is_so(name, value),
            Entry::File => is_so(name, &[]),
        })
    }

    fn is_utf8(&self) -> bool {
        !self.any(|name, value| str::from_utf8(name).is_err() || str::from_utf8(value).is_err())
    }

    /// Whether a NUL stands in a field that is none of these.
    fn has_nul_beside(&self, known: &[&str]) -> bool {
        let is_known = |name: &[u8]| known.iter().any(|known| known.as_bytes() == name);
        self.any(|name, value| !is_known(name) && (has_nul(name) || has_nul(value)))
    }
}

/// Reads `name=value&name=value`, with `+` for a space and `%` codes (WHATWG URL, section 5.1, but for bytes).
fn urlencoded(bytes: &[u8]) -> Form {
    let fields = bytes.split(|byte| *byte == b'&').map(|pair| {
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        (decode(name), Entry::Text(decode(value)))
    });
    Form(fields.collect())
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}

async fn multipart(content_type: &[u8], bytes: Bytes) -> Result<Form, Failure> {
    let boundary = boundary(content_type).ok_or(Failure::MissingBoundary)?;
    let delimiter = [b"--", boundary].concat();
    if !bytes.windows(delimiter.len()).any(|window| window == delimiter) {
        return Err(Failure::InvalidMultipart);
    }
    let mut parts = Multipart::new(&header(boundary)?, stream::iter([Ok(bytes)]));
    let mut fields = Vec::new();
    while let Some(part) = parts.next().await {
        match part {
            Ok(mut part) => match read_part(&mut part).await {
                Ok(entry) => fields.push((part.name().unwrap_or_default().as_bytes().to_vec(), entry)),
                Err(MultipartError::Incomplete) => break, // what was cut off counts as missing
                Err(_) => return Err(Failure::InvalidMultipart),
            },
            Err(MultipartError::Incomplete) => break,
            Err(_) => return Err(Failure::InvalidMultipart),
        }
    }
    Ok(Form(fields))
}

async fn read_part(part: &mut Field) -> Result<Entry, MultipartError> {
    let is_file = part.content_disposition().is_some_and(|disposition| disposition.get_filename().is_some());
    let bytes = match part.bytes(MAX_LENGTH).await {
        Ok(bytes) => bytes?,
        Err(_) => return Err(MultipartError::Incomplete), // no part is longer than the body
    };
    Ok(if is_file { Entry::File } else { Entry::Text(bytes.to_vec()) })
}

/// The parameter `boundary` of a content type, whatever bytes its other parameters have.
fn boundary(content_type: &[u8]) -> Option<&[u8]> {
    let value = content_type.split(|byte| *byte == b';').skip(1).find_map(|parameter| {
        let at = parameter.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (parameter[..at].trim_ascii(), parameter[at + 1..].trim_ascii());
        name.eq_ignore_ascii_case(b"boundary").then_some(value)
    })?;
    let unquoted = unquote(value);
    (!unquoted.is_empty()).then_some(unquoted)
}

/// A content type that the library reads as we do.
fn header(boundary: &[u8]) -> Result<HeaderMap, Failure> {
    let text = [b"multipart/form-data; boundary=\"", boundary, b"\""].concat();
    let value = HeaderValue::from_bytes(&text).map_err(|_| Failure::InvalidMultipart)?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, value);
    Ok(headers)
}

#[cfg(test)]
mod tests;
