//! Why a value is refused: what the schema says of it, in the words of pydantic. The value itself is never repeated, and
//! the words are few enough for the header of an answer.

use jsonschema::JsonType;
use jsonschema::error::{TypeKind, ValidationError, ValidationErrorKind as Fault};
use portcullis_proto::field_path::{FieldPath, PROFILE, Step};
use portcullis_proto::violation::Kind;
use serde_json::Value;

use crate::error::Violation;

/// The longest description, in characters: a pattern or a list of values can be as long as the operator likes.
const MAX_DESCRIPTION: usize = 200;
/// The longest way to a value, in bytes: of a longer one, the beginning is told.
const MAX_WAY: usize = 128;

/// One thing that is wrong with own fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The way down to it, from the own field on; empty if it is about all of them.
    way: Vec<Step>,
    kind: Kind,
    description: String,
}

impl Refusal {
    pub(super) fn new(way: Vec<Step>, kind: Kind, description: String) -> Self {
        Self { way, kind, description }
    }

    /// The same, one step further down.
    pub(super) fn below(mut self, step: Step) -> Self {
        self.way.insert(0, step);
        self
    }

    /// The own field that it is about.
    pub(super) fn field(&self) -> Option<&str> {
        match self.way.first()? {
            Step::Name(name) => Some(name),
            Step::Index(_) => None,
        }
    }

    /// As the caller is told.
    pub(super) fn into_violation(self) -> Violation {
        let mut path = FieldPath([vec![Step::Name(PROFILE.to_owned())], self.way].concat());
        while path.0.len() > 2 && path.to_string().len() > MAX_WAY {
            path.0.pop();
        }
        let mut description = self.description;
        if let Some((cut, _)) = description.char_indices().nth(MAX_DESCRIPTION) {
            description.truncate(cut);
            description.push('…');
        }
        Violation { kind: self.kind, ..Violation::new(path.to_string(), description) }
    }
}

/// What one error of the validator says of an object.
pub(super) fn refusals(error: &ValidationError<'_>, object: &Value) -> Vec<Refusal> {
    let way = way(error.instance_path().as_str(), object);
    let with = |name: &str| [way.clone(), vec![Step::Name(name.to_owned())]].concat();
    match error.kind() {
        Fault::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![Refusal::new(with(name), Kind::Missing, "Field required".to_owned())]
        }
        Fault::AdditionalProperties { unexpected } | Fault::UnevaluatedProperties { unexpected } => {
            let refuse = |name: &String| {
                let words = "Extra inputs are not permitted".to_owned();
                Refusal::new(with(name), Kind::ExtraForbidden, words)
            };
            unexpected.iter().map(refuse).collect()
        }
        fault => {
            let (kind, description) = describe(fault, error.instance().is_array());
            vec![Refusal::new(way, kind, description)]
        }
    }
}

/// The steps of a JSON pointer (RFC 6901) in an object; which of them are indexes, the object shows.
fn way(pointer: &str, object: &Value) -> Vec<Step> {
    let mut at = Some(object);
    let steps = pointer.split('/').skip(1).map(|token| {
        let token = token.replace("~1", "/").replace("~0", "~");
        match (at, token.parse()) {
            (Some(Value::Array(values)), Ok(index)) => {
                at = values.get::<usize>(index);
                Step::Index(index)
            }
            (other, _) => {
                at = other.and_then(|value| value.get(&token));
                Step::Name(token)
            }
        }
    });
    steps.collect()
}

/// The kind and the words for a fault of a value; of a list, members are called items.
fn describe(fault: &Fault, is_list: bool) -> (Kind, String) {
    let members = |limit: &u64, bound: &str| {
        let (what, member) = if is_list { ("List", "item") } else { ("Dictionary", "item") };
        format!("{what} should have {bound} {}", plural(*limit, member))
    };
    let should_be = |what: &str| format!("Input should be {what}");
    match fault {
        Fault::Type { kind } => describe_type(kind),
        Fault::MinLength { limit } => {
            (Kind::StringTooShort, format!("String should have at least {}", plural(*limit, "character")))
        }
        Fault::MaxLength { limit } => {
            (Kind::StringTooLong, format!("String should have at most {}", plural(*limit, "character")))
        }
        Fault::Pattern { pattern } => {
            (Kind::StringPatternMismatch, format!("String should match pattern '{pattern}'"))
        }
        Fault::Format { format } => describe_format(format),
        Fault::Minimum { limit } => {
            (Kind::GreaterThanEqual, should_be(&format!("greater than or equal to {limit}")))
        }
        Fault::Maximum { limit } => {
            (Kind::LessThanEqual, should_be(&format!("less than or equal to {limit}")))
        }
        Fault::ExclusiveMinimum { limit } => (Kind::GreaterThan, should_be(&format!("greater than {limit}"))),
        Fault::ExclusiveMaximum { limit } => (Kind::LessThan, should_be(&format!("less than {limit}"))),
        Fault::MultipleOf { multiple_of } => {
            (Kind::MultipleOf, should_be(&format!("a multiple of {multiple_of}")))
        }
        Fault::MinItems { limit } | Fault::MinProperties { limit } => {
            (Kind::TooShort, members(limit, "at least"))
        }
        Fault::MaxItems { limit } | Fault::MaxProperties { limit } => {
            (Kind::TooLong, members(limit, "at most"))
        }
        Fault::AdditionalItems { limit } => {
            let limit = u64::try_from(*limit).unwrap_or(u64::MAX);
            (Kind::TooLong, members(&limit, "at most"))
        }
        Fault::UnevaluatedItems { .. } => {
            (Kind::TooLong, "List has more items than are permitted".to_owned())
        }
        Fault::Enum { options } => (Kind::Enum, should_be(&choice(options))),
        Fault::Constant { expected_value } => (Kind::LiteralError, should_be(&quoted(expected_value))),
        Fault::UniqueItems => (Kind::ValueError, "List should have no item twice".to_owned()),
        Fault::Contains => {
            (Kind::ValueError, "List lacks an item of the kind that it should have".to_owned())
        }
        Fault::PropertyNames { .. } => (Kind::ValueError, "A name in it is not permitted".to_owned()),
        Fault::AnyOf { .. } | Fault::OneOfNotValid { .. } => {
            (Kind::ValueError, "Input is of none of the kinds that are permitted".to_owned())
        }
        Fault::OneOfMultipleValid { .. } => {
            (Kind::ValueError, "Input is of more than one of the kinds that are permitted".to_owned())
        }
        Fault::Not { .. } | Fault::FalseSchema => (Kind::ValueError, "Input is not permitted".to_owned()),
        Fault::ContentEncoding { .. } | Fault::ContentMediaType { .. } | Fault::FromUtf8 { .. } => {
            (Kind::ValueError, "String is not encoded as it should be".to_owned())
        }
        Fault::Required { .. }
        | Fault::AdditionalProperties { .. }
        | Fault::UnevaluatedProperties { .. }
        | Fault::BacktrackLimitExceeded { .. }
        | Fault::RegexEngineFailure { .. }
        | Fault::Custom { .. }
        | Fault::Referencing(_) => (Kind::ValueError, "Input cannot be checked".to_owned()),
    }
}

fn describe_type(kind: &TypeKind) -> (Kind, String) {
    let types: Vec<_> = match kind {
        TypeKind::Single(single) => vec![*single],
        TypeKind::Multiple(types) => types.iter().filter(|other| *other != JsonType::Null).collect(),
    };
    let words = |single| match single {
        JsonType::Null => (Kind::NoneRequired, "None"),
        JsonType::Boolean => (Kind::BoolType, "a valid boolean"),
        JsonType::Integer => (Kind::IntType, "a valid integer"),
        JsonType::Number => (Kind::FloatType, "a valid number"),
        JsonType::String => (Kind::StringType, "a valid string"),
        JsonType::Array => (Kind::ListType, "a valid list"),
        JsonType::Object => (Kind::DictType, "a valid dictionary"),
    };
    let known: Vec<_> = types.into_iter().map(words).collect();
    let kind = if let [(kind, _)] = known[..] { kind } else { Kind::ValueError };
    let words: Vec<_> = known.iter().map(|(_, words)| *words).collect();
    (kind, format!("Input should be {}", words.join(" or ")))
}

fn describe_format(format: &str) -> (Kind, String) {
    let (kind, what) = match format {
        "date" => (Kind::DateParsing, "a valid date in the format YYYY-MM-DD"),
        "date-time" => (Kind::DatetimeParsing, "a valid datetime with its offset, as in RFC 3339"),
        "uri" => (Kind::UrlParsing, "a valid URL"),
        "email" => (Kind::ValueError, "a valid email address"),
        other => return (Kind::ValueError, format!("Input should be a valid {other}")),
    };
    (kind, format!("Input should be {what}"))
}

fn plural(count: u64, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

/// `'a', 'b' or 'c'`, as pydantic says it.
fn choice(options: &Value) -> String {
    let options: Vec<_> = options.as_array().into_iter().flatten().map(quoted).collect();
    match options.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

fn quoted(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| format!("'{text}'"))
}
