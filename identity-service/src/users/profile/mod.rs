//! The operator's own fields of users: which there are, what they may hold, and what a change makes of them. Pure.
//!
//! - [`schema`]: the operator's file, checked once
//! - `limits`: what no field may hold, whatever the schema says
//! - `refusal`: what the schema says of a value, in the words of pydantic
//! - `merge`: RFC 7396

mod limits;
mod merge;
mod refusal;
pub mod schema;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::Violation;
use schema::Schema;

/// The own fields of one user, by their names: an object that was valid when it was stored. No `Debug`: it is about a person.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Profile(Map<String, Value>);

/// Who sets fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setter {
    /// A user, his own: not those that are `readOnly`.
    Himself,
    /// A superuser or an operator.
    Superuser,
}

/// Which own fields there are; none without a schema.
#[derive(Clone, Default)]
pub struct OwnFields(Option<Arc<Schema>>);

/// What is asked to change of own fields: those of a schema only, at least one. `Debug` shows no value.
#[derive(Clone)]
pub struct Patch {
    schema: Arc<Schema>,
    setter: Setter,
    fields: Map<String, Value>,
}

impl Profile {
    /// What is stored.
    #[must_use]
    pub fn as_json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// From what is stored: an object.
    #[must_use]
    pub fn from_json(stored: Value) -> Self {
        match stored {
            Value::Object(fields) => Self(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Self::default()
            }
        }
    }
}

impl OwnFields {
    /// Those of a schema.
    #[must_use]
    pub fn of(schema: Schema) -> Self {
        Self(Some(Arc::new(schema)))
    }

    /// The first name that no own field has.
    #[must_use]
    pub fn find_unknown<'a>(&self, given: &'a Map<String, Value>) -> Option<&'a str> {
        let is_known = |name: &str| self.0.as_ref().is_some_and(|schema| schema.field(name).is_some());
        given.keys().map(String::as_str).find(|name| !is_known(name))
    }

    /// The own fields of a new user. What the schema does not name, and what the setter may not set, is
    /// ignored; null is the same as absent.
    ///
    /// # Errors
    /// All that is wrong with them, in the order of the schema.
    pub fn create(&self, setter: Setter, given: Map<String, Value>) -> Result<Profile, Vec<Violation>> {
        let Some(schema) = &self.0 else {
            return Ok(Profile::default());
        };
        let mut fields = settable(schema, setter, given);
        fields.retain(|_, value| !value.is_null());
        schema.check(&fields, setter)?;
        Ok(Profile(fields))
    }

    /// What is asked to change, without what the schema does not name and what the setter may not set; `None` if nothing
    /// is left.
    #[must_use]
    pub fn patch(&self, setter: Setter, given: Map<String, Value>) -> Option<Patch> {
        let schema = self.0.as_ref()?;
        let fields = settable(schema, setter, given);
        (!fields.is_empty()).then(|| Patch { schema: Arc::clone(schema), setter, fields })
    }

    /// The fields that an answer shows; `None` without a schema. What the schema no longer names stays where it is.
    #[must_use]
    pub fn shown(&self, profile: &Profile) -> Option<Map<String, Value>> {
        let schema = self.0.as_ref()?;
        let is_shown = |name: &str| schema.field(name).is_some_and(|field| !field.write_only);
        let shown = profile.0.iter().filter(|(name, _)| is_shown(name));
        Some(shown.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

impl Patch {
    /// The own fields after the change, which are valid as a whole whatever they were before; but for what the setter may
    /// not set: a user could not mend it.
    ///
    /// # Errors
    /// All that is wrong with them, in the order of the schema.
    pub fn applied_to(&self, before: &Profile) -> Result<Profile, Vec<Violation>> {
        let is_named = |name: &str| self.schema.field(name).is_some();
        let (mut named, mut others) = (Map::new(), Map::new());
        for (name, value) in before.0.clone() {
            if is_named(&name) { &mut named } else { &mut others }.insert(name, value);
        }
        merge::merge(&mut named, &self.fields);
        self.schema.check(&named, self.setter)?;
        others.extend(named);
        Ok(Profile(others))
    }
}

impl fmt::Debug for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patch").finish_non_exhaustive()
    }
}

fn settable(schema: &Schema, setter: Setter, given: Map<String, Value>) -> Map<String, Value> {
    let may =
        |name: &str| schema.field(name).is_some_and(|field| !field.read_only || setter == Setter::Superuser);
    given.into_iter().filter(|(name, _)| may(name)).collect()
}

#[cfg(test)]
mod tests;
