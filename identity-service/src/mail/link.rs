//! The links in mails: to the operator's own pages, and nowhere else.

use url::Url;

/// Where the token goes.
const PLACE: &str = "{token}";

/// A URL with a place for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    before: String,
    after: String,
}

impl Link {
    /// Reads a URL that has `{token}` in it once.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (before, after) = text.split_once(PLACE).ok_or("has no {token} in it, where the token goes")?;
        if after.contains(PLACE) {
            return Err("has {token} in it more than once");
        }
        if [before, after].iter().any(|part| part.contains(['{', '}'])) {
            return Err("has something else than {token} in braces");
        }
        const FORM: &str = "is not a URL like https://www.example.com/reset?token={token}";
        let is_visible = |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_visible(before) || !is_visible(after) {
            return Err(FORM);
        }
        // A token in the name of the host would be told to the whole network.
        let of = |token: &str| Url::parse(&format!("{before}{token}{after}")).ok();
        let (one, other) = of("a").zip(of("b")).ok_or(FORM)?;
        let server = |url: &Url| (url.origin(), url.username().to_owned(), url.password().map(str::to_owned));
        if !matches!(one.scheme(), "http" | "https") || server(&one) != server(&other) {
            return Err(FORM);
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }

    /// The link with this token, which needs no escape: it is base64url.
    #[must_use]
    pub fn with(&self, token: &str) -> String {
        format!("{}{token}{}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_one_place_for_the_token_behind_the_name_of_a_web_server() {
        for (text, link) in [
            ("https://a.example/reset?token={token}", "https://a.example/reset?token=x-_"),
            ("http://localhost:3000/#/reset/{token}/now", "http://localhost:3000/#/reset/x-_/now"),
        ] {
            assert_eq!(Link::parse(text).unwrap().with("x-_"), link);
        }
        for text in [
            "",
            "https://a.example/reset",
            "https://a.example/{token}/{token}",
            "https://a.example/{token}/{user}",
            "https://a.example/{token}}",
            "https://{token}.example/reset",
            "https://{token}@a.example/reset",
            "{token}://a.example/reset",
            "javascript:alert({token})",
            "ftp://a.example/{token}",
            "/reset?token={token}",
            "https://a.example/re set?token={token}",
            "https://a.example/\nreset?token={token}",
        ] {
            assert!(Link::parse(text).is_err(), "{text}");
        }
    }
}
