//! The bodies of the recovery routes. In FastAPI Users each names its fields one by one, so that a body that is no object
//! has none of them, where other routes say what is wrong with the body.

use secrecy::SecretString;

use super::fields::Fields;
use super::{Body, json};
use crate::failure::Failure;

/// A new password, and the token that allows to set it.
pub struct Reset {
    /// The token.
    pub token: SecretString,
    /// The password.
    pub password: SecretString,
}

/// Reads whose token is asked for.
///
/// # Errors
/// FastAPI's 422 with what is wrong.
pub fn email(body: &Body) -> Result<String, Failure> {
    let mut fields = Fields::new(json::embedded(body)?);
    let email = fields.required("email", Fields::email);
    fields.others();
    fields.finish(email)
}

/// Reads a new password.
///
/// # Errors
/// FastAPI's 422 with everything that is wrong.
pub fn reset(body: &Body) -> Result<Reset, Failure> {
    let mut fields = Fields::new(json::embedded(body)?);
    let token = fields.required("token", Fields::string);
    let password = fields.required("password", Fields::string);
    fields.others();
    let (token, password) = fields.finish(token.zip(password))?;
    Ok(Reset { token: token.into(), password: password.into() })
}

/// Reads a token.
///
/// # Errors
/// FastAPI's 422 with what is wrong.
pub fn token(body: &Body) -> Result<SecretString, Failure> {
    let mut fields = Fields::new(json::embedded(body)?);
    let token = fields.required("token", Fields::string);
    fields.others();
    Ok(fields.finish(token)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;
    use serde_json::{Value, json};

    fn body(content_type: &str, text: &str) -> Body {
        let essence = content_type.split(';').next().unwrap().to_owned();
        Body { essence, content_type: content_type.into(), bytes: text.to_owned().into() }
    }

    fn wrong(result: Result<impl Sized, Failure>) -> Vec<Value> {
        let (status, answer) = result.err().unwrap().answer();
        assert_eq!(status, 422);
        let items = answer["detail"].as_array().unwrap().iter();
        items.map(|item| json!([item["type"], item["loc"]])).collect()
    }

    #[test]
    fn a_body_that_is_no_object_lacks_each_field() {
        for (content_type, text) in [
            ("application/json", ""),
            ("", ""),
            ("application/json", "[\"a@b.com\"]"),
            ("application/json", "\"a@b.com\""),
            ("application/json", "null"),
            ("application/x-www-form-urlencoded", "email=a%40b.com"),
            ("text/plain", "{\"email\":\"a@b.com\",\"token\":\"t\",\"password\":\"p\"}"),
            ("", "{\"email\":\"a@b.com\",\"token\":\"t\",\"password\":\"p\"}"),
        ] {
            let body = body(content_type, text);
            let missing = |field: &str| json!(["missing", ["body", field]]);
            assert_eq!(wrong(email(&body)), [missing("email")], "{content_type} {text}");
            assert_eq!(wrong(token(&body)), [missing("token")]);
            assert_eq!(wrong(reset(&body)), [missing("token"), missing("password")]);
        }
    }

    #[test]
    fn what_is_wrong_with_a_field_or_with_the_json_is_said() {
        let sent = |text| body("application/json; charset=utf-8", text);
        assert_eq!(wrong(email(&sent("{\"email\" 1}"))), [json!(["json_invalid", ["body", 9]])]);
        assert_eq!(wrong(email(&sent("{\"email\":1}"))), [json!(["string_type", ["body", "email"]])]);
        assert_eq!(wrong(email(&sent("{\"email\":\"a\"}"))), [json!(["value_error", ["body", "email"]])]);
        assert_eq!(wrong(token(&sent("{\"token\":null}"))), [json!(["string_type", ["body", "token"]])]);
        let good = reset(&sent("{\"token\":\"t\\u0000\",\"password\":\" \",\"x\":1}")).ok().unwrap();
        assert_eq!((good.token.expose_secret(), good.password.expose_secret()), ("t\0", " "));
    }
}
