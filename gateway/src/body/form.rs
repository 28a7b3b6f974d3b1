//! The login form (RFC 6749 section 4.3.2), as `multipart/form-data` or `application/x-www-form-urlencoded`.
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
}

/// The value of a form's field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Text(Vec<u8>),
    File,
}

/// The fields of a login form; of a repeated one the last.
#[derive(Debug, Default, PartialEq, Eq)]
struct Form {
    grant_type: Option<Entry>,
    username: Option<Entry>,
    password: Option<Entry>,
    /// Whether a NUL stands in a field that is otherwise ignored.
    has_stray_nul: bool,
    /// Whether something is not UTF-8, or a NUL stands in a user name.
    is_impossible: bool,
}

/// Reads a login form.
///
/// # Errors
/// FastAPI's 422 with everything that is wrong, or 400 for a broken multipart body and for bytes that cannot be
/// a credential.
pub async fn credentials(body: &Body) -> Result<Credentials, Failure> {
    let form = match body.essence.as_str() {
        "application/x-www-form-urlencoded" => urlencoded(&body.bytes),
        "multipart/form-data" => multipart(&body.content_type, body.bytes.clone()).await?,
        _ => Form::default(),
    };
    validate(form)
}

fn validate(form: Form) -> Result<Credentials, Failure> {
    let mut wrong = Vec::new();
    match &form.grant_type {
        Some(Entry::File) => wrong.push(invalid::not_a_string("grant_type", &Value::Null)),
        Some(Entry::Text(grant))
            if !grant.is_empty() && grant != b"password" && str::from_utf8(grant).is_ok() =>
        {
            wrong.push(invalid::unknown_grant());
        }
        Some(Entry::Text(_)) | None => {}
    }
    let username = required("username", form.username).map_err(|item| wrong.push(item));
    let password = required("password", form.password).map_err(|item| wrong.push(item));
    if form.has_stray_nul {
        wrong.push(invalid::stray_nul());
    }
    let (Ok(username), Ok(password), true) = (username, password, wrong.is_empty()) else {
        return Err(Failure::Invalid(wrong));
    };
    if form.is_impossible {
        return Err(Failure::ImpossibleCredential);
    }
    let text = |bytes| String::from_utf8(bytes).map_err(|_| Failure::ImpossibleCredential);
    Ok(Credentials { username: text(username)?, password: text(password)?.into() })
}

/// The bytes of a field; an empty one counts as missing.
fn required(name: &str, entry: Option<Entry>) -> Result<Vec<u8>, Item> {
    match entry {
        Some(Entry::Text(bytes)) if !bytes.is_empty() => Ok(bytes),
        Some(Entry::Text(_)) | None => Err(invalid::missing(name)),
        Some(Entry::File) => Err(invalid::not_a_string(name, &Value::Null)),
    }
}

impl Form {
    fn set(&mut self, name: &[u8], entry: Entry) {
        let value = match &entry {
            Entry::Text(value) => value.as_slice(),
            Entry::File => &[],
        };
        let has_nul = name.contains(&b'\0') || value.contains(&b'\0');
        self.is_impossible |= str::from_utf8(name).is_err() || str::from_utf8(value).is_err();
        match name {
            b"grant_type" => self.grant_type = Some(entry),
            b"username" => {
                self.is_impossible |= has_nul;
                self.username = Some(entry);
            }
            b"password" => self.password = Some(entry),
            _ => self.has_stray_nul |= has_nul,
        }
    }
}

/// Reads `name=value&name=value`, with `+` for a space and `%` codes (WHATWG URL, section 5.1, but for bytes).
fn urlencoded(bytes: &[u8]) -> Form {
    let mut form = Form::default();
    for pair in bytes.split(|byte| *byte == b'&') {
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        form.set(&decode(name), Entry::Text(decode(value)));
    }
    form
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
    let mut form = Form::default();
    while let Some(part) = parts.next().await {
        match part {
            Ok(mut part) => match read_part(&mut part).await {
                Ok(entry) => form.set(part.name().unwrap_or_default().as_bytes(), entry),
                Err(MultipartError::Incomplete) => break, // what was cut off counts as missing
                Err(_) => return Err(Failure::InvalidMultipart),
            },
            Err(MultipartError::Incomplete) => break,
            Err(_) => return Err(Failure::InvalidMultipart),
        }
    }
    Ok(form)
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
