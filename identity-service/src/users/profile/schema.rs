//! The operator's schema: a JSON Schema (draft 2020-12) of an object whose properties are the own fields.
//!
//! - `check`: what is a schema, and not one of own fields

mod check;

use jsonschema::{PatternOptions, ValidationError, ValidationOptions, Validator};
use portcullis_proto::email::Email;
use serde_json::{Map, Value};

use super::{Setter, limits, refusal};
use crate::error::Violation;

/// The most that is told of one field: a list of a thousand wrong items is as wrong with four.
const MAX_VIOLATIONS_OF_A_FIELD: usize = 4;
/// The most that is told at once, in bytes: it travels in a header, and some clients read 8 KiB of them.
const MAX_TOLD: usize = 4 * 1024;

/// Which own fields there are, and what they may hold.
pub struct Schema {
    fields: Vec<Field>,
    validator: Validator,
}

/// An own field.
pub(super) struct Field {
    name: String,
    /// Only a superuser sets it.
    pub(super) read_only: bool,
    /// No answer shows it.
    pub(super) write_only: bool,
}

impl Schema {
    /// Reads a schema from the text of a file.
    ///
    /// # Errors
    /// What is wrong with it, in one line that begins with the place: line and column, or a JSON pointer.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        Self::read(text).map_err(|problem| escape(&problem))
    }

    fn read(text: &[u8]) -> Result<Self, String> {
        let schema: Value = serde_json::from_slice(text).map_err(|error| not_json(&error))?;
        let fields = check::check(&schema)?;
        let validator = options().build(&schema).map_err(|error| one_line(&error))?;
        Ok(Self { fields, validator })
    }

    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Whether the own fields of a user are as they should be, those at least that `setter` may set.
    ///
    /// # Errors
    /// What is wrong with them, in the order of the schema.
    pub(super) fn check(&self, fields: &Map<String, Value>, setter: Setter) -> Result<(), Vec<Violation>> {
        limits::check_length(fields).map_err(|refusal| vec![refusal.into_violation()])?;
        let object = Value::Object(fields.clone());
        let excess: Vec<_> =
            fields.iter().filter_map(|(name, value)| limits::find_excess(name, value)).collect();
        let is_excessive = |refusal: &refusal::Refusal| {
            refusal.field().is_some_and(|name| excess.iter().any(|other| other.field() == Some(name)))
        };
        let mut refusals: Vec<_> = self
            .validator
            .iter_errors(&object)
            .flat_map(|error| refusal::refusals(&error, &object))
            .filter(|refusal| !is_excessive(refusal))
            .collect();
        refusals.extend(excess.iter().cloned());
        let is_his = |name: &str| self.field(name).is_none_or(|field| !field.read_only);
        refusals.retain(|refusal| setter == Setter::Superuser || refusal.field().is_none_or(is_his));
        if refusals.is_empty() { Ok(()) } else { Err(self.told(refusals)) }
    }

    /// What the caller is told: in the order of the schema, and no more than he can be told.
    fn told(&self, mut refusals: Vec<refusal::Refusal>) -> Vec<Violation> {
        let place = |refusal: &refusal::Refusal| {
            let name = refusal.field().unwrap_or_default();
            self.fields.iter().position(|field| field.name == name).unwrap_or(usize::MAX)
        };
        refusals.sort_by_key(place);
        let of_one_field = |one: &refusal::Refusal, other: &refusal::Refusal| one.field() == other.field();
        let few =
            refusals.chunk_by(of_one_field).flat_map(|some| some.iter().take(MAX_VIOLATIONS_OF_A_FIELD));
        let mut told = 0;
        few.map(|refusal| refusal.clone().into_violation())
            .take_while(|violation| {
                let is_first = told == 0;
                told += violation.field.len() + violation.description.len() + violation.kind.as_str().len();
                is_first || told <= MAX_TOLD
            })
            .collect()
    }
}

/// Nothing is fetched, formats are checked, and no pattern takes longer than the text is long.
fn options<'i>() -> ValidationOptions<'i> {
    jsonschema::draft202012::options()
        .offline()
        .should_validate_formats(true)
        .with_format("email", is_email)
        .with_pattern_options(PatternOptions::regex())
}

/// Whether this is what `email` may be, and nothing around it: no `Arthur <king.arthur@camelot.bt>`, which is one there.
fn is_email(text: &str) -> bool {
    Email::parse(text).is_ok() && !text.ends_with('>') && text.trim() == text
}

/// A name in the file can be anything; what is said of it is one line, and moves no cursor.
fn escape(problem: &str) -> String {
    let escape = |char: char| match char.is_control() {
        true => char.escape_default().to_string(),
        false => char.to_string(),
    };
    problem.chars().map(escape).collect()
}

fn not_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let problem = text.split(" at line ").next().unwrap_or_default();
    format!("{}:{}: not JSON: {problem}", error.line(), error.column())
}

/// Where and why a schema cannot be used.
fn one_line(error: &ValidationError<'_>) -> String {
    let place = error.schema_path().as_str();
    let place = if place.is_empty() { "/" } else { place };
    let words = error.masked_with("this").to_string();
    let words: Vec<_> = words.split_whitespace().collect();
    let problem: String = words.join(" ").chars().take(300).collect();
    format!("{place}: {problem}")
}

#[cfg(test)]
mod tests;
