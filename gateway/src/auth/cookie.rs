//! Our cookies: the one that holds an access token, the one that holds a refresh token, and one that says that the browser
//! has the latter, where it does not show it, and holds what ends its session.
//!
//! The `Cookie` header is read here, byte by byte, and not by a library: libraries trim names of Unicode spaces
//! and decode `%` codes in them, which browsers do not. So a sibling domain can set a cookie that the browser
//! thinks of as another and the library as ours.

use actix_web::http::header::{COOKIE, HeaderMap, HeaderValue};
use percent_encoding::percent_decode;
use secrecy::{ExposeSecret as _, SecretString};

use crate::body::unquote;
use crate::failure::Failure;

/// A cookie of ours.
#[derive(Debug)]
pub struct Cookie {
    /// Its name.
    pub name: &'static str,
    path: &'static str,
    same_site: &'static str,
}

/// That of the access token. A browser shows it everywhere.
pub const ACCESS: Cookie = Cookie { name: "fastapiusersauth", path: "/", same_site: "lax" };

/// That of the refresh token. A browser shows it where it is used, and nowhere else.
pub const REFRESH: Cookie =
    Cookie { name: "fastapiusersrefresh", path: "/auth/cookie/refresh", same_site: "strict" };

/// That which says to login and logout that the browser has a refresh token, which it does not show them: the mark. It
/// holds what ends the session.
pub const OFFLINE: Cookie = Cookie { name: "fastapiusersoffline", path: "/auth/cookie", same_site: "strict" };

impl Cookie {
    /// The value of the cookie; `None` if there is none, or an empty one.
    ///
    /// # Errors
    /// If it is there twice, or a cookie is there that a careless reader would take for it.
    pub fn read(&self, headers: &HeaderMap) -> Result<Option<SecretString>, Failure> {
        let mut found = None;
        for header in headers.get_all(COOKIE) {
            for pair in header.as_bytes().split(|byte| *byte == b';') {
                let at = pair.iter().position(|byte| *byte == b'=');
                let (name, value) = at.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]));
                match self.meaning_of(trim(name)) {
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
    pub fn set(&self, value: &SecretString, max_age: i64) -> HeaderValue {
        let text = self.header(value.expose_secret(), max_age);
        HeaderValue::from_str(&text).expect("a token has only characters of base64url and dots")
    }

    /// The `Set-Cookie` that takes the cookie away.
    #[must_use]
    pub fn clear(&self) -> HeaderValue {
        HeaderValue::from_str(&self.header(r#""""#, 0)).expect("all of it is written here")
    }

    fn header(&self, value: &str, max_age: i64) -> String {
        let Self { name, path, same_site } = self;
        format!("{name}={value}; HttpOnly; Max-Age={max_age}; Path={path}; SameSite={same_site}; Secure")
    }

    fn meaning_of(&self, name: &[u8]) -> Meaning {
        if name == self.name.as_bytes() {
            return Meaning::Ours;
        }
        let mut decoded = name.to_vec();
        for _ in 0..ROUNDS {
            let next: Vec<u8> = percent_decode(&decoded).collect();
            if String::from_utf8_lossy(&next).trim_matches(is_space_or_control) == self.name {
                return Meaning::Disguised;
            }
            if next == decoded {
                return Meaning::Other;
            }
            decoded = next;
        }
        Meaning::Disguised // what is under so many layers, nobody needs to know
    }
}

/// How often a name is decoded: each time costs its length, and a `%` in it may be encoded thousands of times over. The
/// last time must change nothing: no careless reader decodes so often, and no honest name is encoded so often.
const ROUNDS: usize = 4;

enum Meaning {
    Ours,
    Disguised,
    Other,
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
        Ok(ACCESS.read(&map)?.map(|value| value.expose_secret().to_owned()))
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
    fn each_of_our_cookies_is_another() {
        let mut map = HeaderMap::new();
        let all = "fastapiusersauth=A; fastapiusersrefresh=R; fastapiusersoffline=1";
        map.append(COOKIE, HeaderValue::from_static(all));
        for (cookie, value) in [(ACCESS, "A"), (REFRESH, "R"), (OFFLINE, "1")] {
            let read = cookie.read(&map).unwrap().unwrap();
            assert_eq!(read.expose_secret(), value);
            let mut twice = map.clone();
            twice.append(COOKIE, HeaderValue::from_str(&format!("%66{}=x", &cookie.name[1..])).unwrap());
            assert_eq!(cookie.read(&twice).err(), Some(Failure::AmbiguousCredential));
        }
    }

    #[test]
    fn the_cookies_are_set_and_cleared_with_the_same_attributes() {
        for (cookie, attributes) in [
            (ACCESS, "Path=/; SameSite=lax; Secure"), // as FastAPI Users does
            (REFRESH, "Path=/auth/cookie/refresh; SameSite=strict; Secure"),
            (OFFLINE, "Path=/auth/cookie; SameSite=strict; Secure"),
        ] {
            let (name, set) = (cookie.name, cookie.set(&"T".to_owned().into(), 3600));
            assert_eq!(set, format!("{name}=T; HttpOnly; Max-Age=3600; {attributes}"));
            assert_eq!(cookie.clear(), format!("{name}=\"\"; HttpOnly; Max-Age=0; {attributes}"));
        }
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
