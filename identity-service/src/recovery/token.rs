//! What a token in a mail is: base64url of a secret, and nothing else. Whose it is stands in the database.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::secret::{self, Secret};

/// The length of a token in characters.
const LENGTH: usize = (secret::LENGTH * 4).div_ceil(3);

/// The token with this secret.
#[must_use]
pub fn write(secret: &Secret) -> SecretString {
    URL_SAFE_NO_PAD.encode(secret.as_bytes()).into()
}

/// The secret of a token; `None` for text that is none.
#[must_use]
pub fn read(token: &str) -> Option<Secret> {
    if token.len() != LENGTH {
        return None;
    }
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(token).ok()?);
    Some(Secret::new(bytes.as_slice().try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_token_is_43_characters_that_any_url_can_hold() {
        let token = write(&Secret::new([255; 32]));
        let text = token.expose_secret();
        assert_eq!(text.len(), 43);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
    }

    proptest! {
        #[test]
        fn every_token_is_read_as_it_was_made(bytes in any::<[u8; 32]>()) {
            let token = write(&Secret::new(bytes));
            prop_assert!(read(token.expose_secret()) == Some(Secret::new(bytes)));
        }

        #[test]
        fn text_is_a_token_only_if_it_is_written_so(text in ".{0,60}|[-_A-Za-z0-9=+/]{42,44}") {
            if let Some(secret) = read(&text) {
                let token = write(&secret);
                prop_assert_eq!(token.expose_secret(), text);
            }
        }
    }
}
