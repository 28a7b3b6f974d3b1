//! The cookie that holds an access token.
//!
//! The `Cookie` header is read here, byte by byte, and not by a library: libraries trim names of Unicode spaces
//! and decode `%` codes in them, which browsers do not. So a sibling domain can set a cookie that the browser
//! thinks of as another and the library as ours.

use actix_web::http::header::{COOKIE, HeaderMap, HeaderValue};
use percent_encoding::percent_decode;
use secrecy::{ExposeSecret as _, SecretString};

use crate::body::unquote;
use crate::failure::Failure;

/// The cookie's name.
pub const NAME: &str = "fastapiusersauth";

/// The value of our cookie; `None` if there is none, or an empty one.
///
/// # Errors
/// If it is there twice, or a cookie is there that a careless reader would take for it.
pub fn read(headers: &HeaderMap) -> Result<Option<SecretString>, Failure> {
    let mut found = None;
    for header in headers.get_all(COOKIE) {
        for pair in header.as_bytes().split(|byte| *byte == b';') {
            let at = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = at.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]));
            match meaning_of(trim(name)) {
                Meaning::Ours if found.is_none() && at.is_some() => found = Some(unquote(trim(value))),
                Meaning::Ours if at.is_none() => {} // a name without a value, as browsers send nameless cookies
                Meaning::Ours | Meaning::Disguised => return Err(Failure::AmbiguousCredential),
                Meaning::Other => {}
            }
        }
    }
    // A token is ASCII; what is not names nobody.
    let text =
        found.filter(|value| !value.is_empty()).map(|value| String::from_utf8_lossy(value).into_owned());
    Ok(text.map(SecretString::from))
}

/// The `Set-Cookie` that gives the cookie to a browser for this many seconds.
#[must_use]
pub fn set(token: &SecretString, max_age: i64) -> HeaderValue {
    let token = token.expose_secret();
    let text = format!("{NAME}={token}; HttpOnly; Max-Age={max_age}; Path=/; SameSite=lax; Secure");
    HeaderValue::from_str(&text).expect("an access token has only characters of base64url and dots")
}

/// The `Set-Cookie` that takes the cookie away.
#[must_use]
pub fn clear() -> HeaderValue {
    HeaderValue::from_static(r#"fastapiusersauth=""; HttpOnly; Max-Age=0; Path=/; SameSite=lax; Secure"#)
}

/// How often a name is decoded: each time costs its length, and a `%` in it may be encoded thousands of times over. The
/// last time must change nothing: no careless reader decodes so often, and no honest name is encoded so often.
const ROUNDS: usize = 4;

enum Meaning {
    Ours,
    Disguised,
    Other,
}

fn meaning_of(name: &[u8]) -> Meaning {
    if name == NAME.as_bytes() {
        return Meaning::Ours;
    }
    let mut decoded = name.to_vec();
    for _ in 0..ROUNDS {
        let next: Vec<u8> = percent_decode(&decoded).collect();
        if String::from_utf8_lossy(&next).trim_matches(is_space_or_control) == NAME {
            return Meaning::Disguised;
        }
        if next == decoded {
            return Meaning::Other;
        }
        decoded = next;
    }
    Meaning::Disguised // what is under so many layers, nobody needs to know
}

fn is_space_or_control(character: char) -> bool {
    character.is_whitespace() || character.is_control()
}

fn trim(bytes: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(start, |at| at + 1);
    &bytes[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(headers: &[&[u8]]) -> Result<Option<String>, Failure> {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(COOKIE, HeaderValue::from_bytes(header).unwrap());
        }
        Ok(read(&map)?.map(|value| value.expose_secret().to_owned()))
    }

    fn read_one(header: &str) -> Result<Option<String>, Failure> {
        read_all(&[header.as_bytes()])
    }

    #[test]
    fn our_cookie_is_found_among_others() {
        for header in [
            "fastapiusersauth=T",
            "a=b; fastapiusersauth=T; c",
            "a=b;fastapiusersauth=T;",
            "fastapiusersauth = T ",
            "\tfastapiusersauth=\"T\"",
            "=; ; =x; $Version=1; %ff=1; fastapiusersauth=T",
        ] {
            assert_eq!(read_one(header), Ok(Some("T".to_owned())), "{header:?}");
        }
        assert_eq!(read_all(&[b"a=b", b"fastapiusersauth=T"]), Ok(Some("T".to_owned())));
    }

    #[test]
    fn another_name_or_an_empty_value_is_no_cookie() {
        for header in [
            "",
            "fastapiusersauth=",
            "fastapiusersauth=\"\"",
            "fastapiusersauth",
            "FastAPIUsersAuth=T",
            "xfastapiusersauth=T",
            "fastapiusersauth2=T",
            "a=fastapiusersauth=T",
        ] {
            assert_eq!(read_one(header), Ok(None), "{header:?}");
        }
    }

    #[test]
    fn our_cookie_twice_is_refused() {
        let refused = Err(Failure::AmbiguousCredential);
        assert_eq!(read_one("fastapiusersauth=T; fastapiusersauth=T"), refused);
        assert_eq!(read_one("fastapiusersauth=; fastapiusersauth=T"), refused);
        assert_eq!(read_all(&[b"fastapiusersauth=T", b"fastapiusersauth=T"]), refused);
    }

    #[test]
    fn a_cookie_that_a_careless_reader_takes_for_ours_is_refused() {
        for name in [
            "\u{2000}fastapiusersauth",
            "\u{a0}fastapiusersauth",
            "fastapiusersauth\u{85}",
            "%66astapiusersauth",
            "%2566astapiusersauth",
            "%20fastapiusersauth",
            "%E2%80%80fastapiusersauth",
        ] {
            for header in [format!("{name}=evil; fastapiusersauth=good"), format!("{name}=evil")] {
                assert_eq!(read_one(&header), Err(Failure::AmbiguousCredential), "{header:?}");
            }
        }
    }

    #[test]
    fn a_name_that_is_encoded_deeper_than_it_is_decoded_is_refused_whatever_it_is() {
        let encoded = |depth: usize| format!("%{}61=x; fastapiusersauth=good", "25".repeat(depth - 1));
        for depth in 1..ROUNDS {
            assert_eq!(read_one(&encoded(depth)), Ok(Some("good".to_owned())), "{depth}");
        }
        for depth in [ROUNDS, ROUNDS + 1, 50_000] {
            assert_eq!(read_one(&encoded(depth)), Err(Failure::AmbiguousCredential), "{depth}");
        }
    }

    #[test]
    fn the_cookie_is_set_and_cleared_as_fastapi_users_does() {
        let set = set(&"T".to_owned().into(), 3600);
        assert_eq!(set, "fastapiusersauth=T; HttpOnly; Max-Age=3600; Path=/; SameSite=lax; Secure");
        assert_eq!(clear(), r#"fastapiusersauth=""; HttpOnly; Max-Age=0; Path=/; SameSite=lax; Secure"#);
    }

    proptest! {
        #[test]
        fn no_other_cookie_ever_becomes_ours(bytes in proptest::collection::vec(32u8..=255, 0..60)) {
            prop_assume!(!bytes.contains(&127));
            let good = b"fastapiusersauth=good; ";
            match read_all(&[&[&good[..], &bytes].concat()]) {
                Ok(found) => prop_assert_eq!(found.as_deref(), Some("good")),
                Err(failure) => prop_assert_eq!(failure, Failure::AmbiguousCredential),
            }
        }
    }
}
