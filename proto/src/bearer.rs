//! How an access token is sent: as `Bearer T` in `authorization`, a header of HTTP and metadata of gRPC (RFC 6750 section
//! 2.1). Both are read here, so that no request names one caller to the gateway and another to identity-service.

/// There are several values: two readers could take different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is more than one authorization")]
pub struct Ambiguous;

/// The token in all values of `authorization`: two words of which the first is `Bearer`, in any case; `None` if there is
/// none.
///
/// # Errors
/// [`Ambiguous`], of whatever scheme the values are.
pub fn token<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<&'a str>, Ambiguous> {
    let mut values = values.into_iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Ambiguous);
    }
    Ok(first.and_then(read))
}

fn read(value: &[u8]) -> Option<&str> {
    let text = str::from_utf8(value).ok()?.trim_matches(' ');
    let (scheme, token) = text.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let is_bearer =
        scheme.eq_ignore_ascii_case("bearer") && token.bytes().all(|byte| byte.is_ascii_graphic());
    is_bearer.then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_whatever_the_case_of_its_scheme() {
        for text in ["Bearer T", "bearer T", "BEARER T", "Bearer  T", "Bearer T ", " Bearer T"] {
            assert_eq!(token([text.as_bytes()]), Ok(Some("T")), "{text:?}");
        }
    }

    #[test]
    fn another_scheme_or_spelling_has_no_token() {
        for text in [
            "",
            " ",
            "Bearer",
            "Bearer ",
            "BearerT",
            "Bearer\tT",
            "Bearer T\t",
            "Bearer: T",
            "Bearer T x",
            "Bearer é",
            "Basic T",
            "JWT T",
            "T",
        ] {
            assert_eq!(token([text.as_bytes()]), Ok(None), "{text:?}");
        }
        assert_eq!(token([&b"Bearer \xff"[..]]), Ok(None));
        assert_eq!(token([]), Ok(None));
    }

    #[test]
    fn two_values_are_refused_of_whatever_scheme() {
        assert_eq!(token([&b"Bearer T"[..], b"Bearer T"]), Err(Ambiguous));
        assert_eq!(token([&b"Bearer T"[..], b"Basic T"]), Err(Ambiguous));
        assert_eq!(token([&b""[..], b""]), Err(Ambiguous));
    }
}
