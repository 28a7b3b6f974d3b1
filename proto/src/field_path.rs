//! Where in a request a value stands, as the `field` of a `google.rpc.BadRequest.FieldViolation` says it: `email`,
//! `profile.address.street`, `profile.tags[0]`, and `profile["a.b"]` for a name that is no plain word.

use std::fmt;

/// The field of the messages that holds the operator's own fields.
pub const PROFILE: &str = "profile";

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into the member of an object.
    Name(String),
    /// Into the member of a list.
    Index(usize),
}

/// The way to a value: the first step is the field of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(pub Vec<Step>);

impl FieldPath {
    /// The way that a text tells; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('[') {
                Some(inner) => parse_bracket(inner)?,
                None if steps.is_empty() => parse_name(rest)?,
                None => parse_name(rest.strip_prefix('.')?)?,
            };
            steps.push(step);
            rest = after;
        }
        (!steps.is_empty()).then_some(Self(steps))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if !is_plain(name) => {
                    write!(f, "[{}]", serde_json::Value::from(name.as_str()))?;
                }
                Step::Name(name) if place == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['.', '[', ']', '"'])
}

/// The name at the beginning of a text, and what follows.
fn parse_name(text: &str) -> Option<(Step, &str)> {
    let (name, rest) = text.split_at(text.find(['.', '[']).unwrap_or(text.len()));
    is_plain(name).then(|| (Step::Name(name.to_owned()), rest))
}

/// The number, or the name as a JSON string, at the beginning of a text, and what follows the bracket behind it.
fn parse_bracket(text: &str) -> Option<(Step, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    let step = match values.next()?.ok()? {
        serde_json::Value::String(name) => Step::Name(name),
        serde_json::Value::Number(index) => Step::Index(usize::try_from(index.as_u64()?).ok()?),
        _ => return None,
    };
    let rest = text.get(values.byte_offset()..)?.strip_prefix(']')?;
    Some((step, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_way_is_written_in_the_words_of_google_rpc() {
        let name = |name: &str| Step::Name(name.to_owned());
        for (steps, text) in [
            (vec![name("email")], "email"),
            (vec![name("profile"), name("address"), name("street")], "profile.address.street"),
            (vec![name("profile"), name("tags"), Step::Index(0), name("0")], "profile.tags[0].0"),
            (vec![name("profile"), name("a.b"), name("")], r#"profile["a.b"][""]"#),
        ] {
            assert_eq!(FieldPath(steps.clone()).to_string(), text);
            assert_eq!(FieldPath::parse(text), Some(FieldPath(steps)));
        }
        for text in ["", ".", "a.", "a..b", "a[", "a[-1]", "a[x]", "a[0", "a[true]", "a]", "a[0]b"] {
            assert_eq!(FieldPath::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_way_is_read_back(names in proptest::collection::vec(any::<String>(), 1..5), index in any::<u32>()) {
            let names = names.into_iter().map(Step::Name);
            let path = FieldPath(names.chain([Step::Index(index as usize)]).collect());
            prop_assert_eq!(FieldPath::parse(&path.to_string()), Some(path));
        }
    }
}
