//! From a JSON object to values. All that is wrong is reported at once, in the order of the schema.

use portcullis_proto::email::Email;
use portcullis_proto::own_fields::BUILT_IN;
use secrecy::SecretString;
use serde_json::{Map, Number, Value};

use super::invalid::{self, Item};
use crate::failure::Failure;

/// A registration that may be sent to identity-service.
pub struct Registration {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: SecretString,
    /// All else: the operator's own fields are among it. Which these are, identity-service knows, and ignores the rest.
    pub others: Map<String, Value>,
}

/// What a PATCH wants to change; `None`: as it is.
#[derive(Default)]
pub struct Changes {
    /// The e-mail address.
    pub email: Option<String>,
    /// The password.
    pub password: Option<SecretString>,
    /// Whether the user may log in.
    pub is_active: Option<bool>,
    /// Whether the user may act on other users.
    pub is_superuser: Option<bool>,
    /// Whether the e-mail address is known to be the user's.
    pub is_verified: Option<bool>,
    /// All else, as in [`Registration`].
    pub others: Map<String, Value>,
}

/// Reads a registration. The flags must be flags, and are then ignored: only a superuser sets them, by PATCH.
///
/// # Errors
/// FastAPI's 422 with everything that is wrong.
pub fn registration(object: Map<String, Value>) -> Result<Registration, Failure> {
    let mut fields = Fields::new(object);
    let email = fields.required("email", Fields::email);
    let password = fields.required("password", Fields::string);
    fields.flags();
    let others = fields.others();
    let (email, password) = fields.finish(email.zip(password))?;
    Ok(Registration { email, password: password.into(), others })
}

/// Reads a PATCH. `null` means not given.
///
/// # Errors
/// FastAPI's 422 with everything that is wrong.
pub fn changes(object: Map<String, Value>) -> Result<Changes, Failure> {
    let mut fields = Fields::new(object);
    let password = fields.optional("password", Fields::string);
    let email = fields.optional("email", Fields::email);
    let [is_active, is_superuser, is_verified] = fields.flags();
    let others = fields.others();
    if !fields.wrong.is_empty() {
        return Err(Failure::Invalid(fields.wrong));
    }
    let password = password.map(SecretString::from);
    Ok(Changes { email, password, is_active, is_superuser, is_verified, others })
}

/// Whether this is an e-mail address; the error says why not. identity-service decides it again, and normalises.
fn check_email(text: &str) -> Result<(), String> {
    Email::parse(text).map(|_| ()).map_err(|error| error.to_string())
}

/// An object whose fields are taken out, and what was wrong with them.
pub(super) struct Fields {
    object: Map<String, Value>,
    wrong: Vec<Item>,
}

impl Fields {
    pub(super) fn new(object: Map<String, Value>) -> Self {
        Self { object, wrong: Vec::new() }
    }

    pub(super) fn required<T>(&mut self, name: &str, read: fn(&str, Value) -> Result<T, Item>) -> Option<T> {
        let value = self.object.swap_remove(name);
        self.keep(value.map_or_else(|| Err(invalid::missing(name)), |value| read(name, value)))
    }

    fn optional<T>(&mut self, name: &str, read: fn(&str, Value) -> Result<T, Item>) -> Option<T> {
        let value = self.object.swap_remove(name).filter(|value| !value.is_null())?;
        self.keep(read(name, value))
    }

    fn flags(&mut self) -> [Option<bool>; 3] {
        ["is_active", "is_superuser", "is_verified"].map(|name| self.optional(name, Self::flag))
    }

    /// All other fields, but for those that users have anyway. What no field may hold is refused also where it is ignored.
    pub(super) fn others(&mut self) -> Map<String, Value> {
        if self.object.iter().any(|(name, value)| name.contains('\0') || has_nul(value)) {
            self.wrong.push(invalid::stray_nul());
        }
        self.object.retain(|name, _| !BUILT_IN.contains(&name.as_str()));
        std::mem::take(&mut self.object)
    }

    /// What was read, if nothing is wrong.
    pub(super) fn finish<T>(self, read: Option<T>) -> Result<T, Failure> {
        match read {
            Some(read) if self.wrong.is_empty() => Ok(read),
            _ => Err(Failure::Invalid(self.wrong)),
        }
    }

    fn keep<T>(&mut self, result: Result<T, Item>) -> Option<T> {
        result.map_err(|item| self.wrong.push(item)).ok()
    }

    pub(super) fn string(name: &str, value: Value) -> Result<String, Item> {
        match value {
            Value::String(text) => Ok(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                Err(invalid::not_a_string(name, &value))
            }
        }
    }

    pub(super) fn email(name: &str, value: Value) -> Result<String, Item> {
        let text = Self::string(name, value)?;
        match check_email(&text) {
            Ok(()) => Ok(text),
            Err(reason) => Err(invalid::value_error(name, &reason)),
        }
    }

    /// A flag as pydantic reads it: `true`, `1`, `1.0`, `"yes"` and the like.
    fn flag(name: &str, value: Value) -> Result<bool, Item> {
        match &value {
            Value::Bool(flag) => Ok(*flag),
            Value::Number(number) => flag_of_number(number).map_err(|whole| match whole {
                true => invalid::unknown_flag(name),
                false => invalid::not_a_flag(name),
            }),
            Value::String(text) => flag_of_text(text).ok_or_else(|| invalid::unknown_flag(name)),
            Value::Null | Value::Array(_) | Value::Object(_) => Err(invalid::not_a_flag(name)),
        }
    }
}

/// Whether there is a NUL anywhere in a value.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The flag; the error is whether the number is at least a whole one.
fn flag_of_number(number: &Number) -> Result<bool, bool> {
    match number.as_f64() {
        Some(1.0) => Ok(true),
        Some(0.0) => Ok(false),
        Some(other) => Err(other.fract() == 0.0),
        None => Err(true),
    }
}

fn flag_of_text(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "t" | "true" | "y" | "yes" => Some(true),
        "0" | "off" | "f" | "false" | "n" | "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn wrong(result: Result<impl Sized, Failure>) -> Vec<(String, String)> {
        let (_, body) = result.err().unwrap().answer();
        let items = body["detail"].as_array().unwrap();
        assert!(!body.to_string().contains("guinevere"), "{body}");
        let name = |item: &Value| item["loc"][1].as_str().unwrap().to_owned();
        items.iter().map(|item| (name(item), item["type"].as_str().unwrap().to_owned())).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn everything_wrong_with_a_registration_is_reported_at_once_in_order() {
        let body =
            json!({"is_verified": [], "is_active": "banana", "password": ["guinevere"], "is_superuser": 2});
        assert_eq!(
            wrong(registration(object(body))),
            pairs(&[
                ("email", "missing"),
                ("password", "string_type"),
                ("is_active", "bool_parsing"),
                ("is_superuser", "bool_parsing"),
                ("is_verified", "bool_type"),
            ])
        );
    }

    #[test]
    fn everything_wrong_with_a_patch_is_reported_password_first() {
        let body = json!({"email": 1, "password": {"guinevere": 1}, "is_active": 0.5});
        let expected = [("password", "string_type"), ("email", "string_type"), ("is_active", "bool_type")];
        assert_eq!(wrong(changes(object(body))), pairs(&expected));
    }

    #[test]
    fn a_missing_field_does_not_show_the_object_with_the_password() {
        assert_eq!(
            wrong(registration(object(json!({"password": "guinevere"})))),
            pairs(&[("email", "missing")])
        );
    }

    #[test]
    fn null_is_not_given_in_a_patch_and_wrong_in_a_registration() {
        let body = json!({"email": null, "password": null, "is_active": null, "x": 1});
        let changes = changes(object(body.clone())).ok().unwrap();
        assert!(changes.email.is_none() && changes.password.is_none() && changes.is_active.is_none());
        let expected = [("email", "string_type"), ("password", "string_type")];
        assert_eq!(wrong(registration(object(body))), pairs(&expected));
    }

    #[test]
    fn all_else_is_passed_on_but_for_what_users_have_anyway() {
        let body = json!({"email": "a@b.com", "password": "x", "is_active": true, "id": 1, "hashed_password": "x", "b": null, "a": [1]});
        let registration = registration(object(body.clone())).ok().unwrap();
        assert_eq!(Value::from(registration.others), json!({"b": null, "a": [1]}));
        assert_eq!(changes(object(body)).ok().unwrap().others.len(), 2);
    }

    #[test]
    fn a_password_is_taken_exactly_as_sent() {
        let body = json!({"email": "a@b.com", "password": " \u{0}\n"});
        assert_eq!(registration(object(body)).ok().unwrap().password.expose_secret(), " \u{0}\n");
    }

    #[test]
    fn a_nul_is_legal_in_a_password_only() {
        for field in [json!({"x\0": 1}), json!({"x": ["\0"]}), json!({"x": {"y": [{"\0": 1}]}})] {
            let result = changes(object(field)).err().unwrap().answer().1;
            assert_eq!(result["detail"][0]["loc"], json!(["body"]));
        }
        let body = json!({"password": "\0", "email": "a\0@b.com", "is_active": "\0"});
        let expected = [("email", "value_error"), ("is_active", "bool_parsing")];
        assert_eq!(wrong(changes(object(body))), pairs(&expected));
    }

    #[test]
    fn flags_are_read_as_pydantic_reads_them() {
        for (value, flag) in [
            (json!(true), true),
            (json!(0), false),
            (json!(1.0), true),
            (json!(-0.0), false),
            (json!("YES"), true),
            (json!("off"), false),
            (json!("t"), true),
        ] {
            assert_eq!(changes(object(json!({"is_verified": value}))).ok().unwrap().is_verified, Some(flag));
        }
        for value in [json!(" yes"), json!(""), json!(2), json!(1e300), json!(-1)] {
            let result = changes(object(json!({"is_verified": value})));
            assert_eq!(wrong(result), pairs(&[("is_verified", "bool_parsing")]));
        }
    }
}
