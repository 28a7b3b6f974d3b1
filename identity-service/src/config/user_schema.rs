//! The file with the operator's own fields.

use super::variables::USER_SCHEMA;
use super::{ConfigError, Vars, error};
use crate::users::profile::OwnFields;
use crate::users::profile::schema::Schema;

impl Vars<'_> {
    /// The operator's own fields of users; none without a file.
    ///
    /// # Errors
    /// If the file cannot be read, or is no schema of own fields.
    pub fn own_fields(&self) -> Result<OwnFields, ConfigError> {
        let path = self.value(&USER_SCHEMA)?;
        if path.is_empty() {
            return Ok(OwnFields::default());
        }
        let fault = |problem: &str| error(&USER_SCHEMA, &format!("names {path:?}: {problem}"));
        let text = std::fs::read(&path).map_err(|problem| fault(&format!("cannot be read: {problem}")))?;
        Ok(OwnFields::of(Schema::parse(&text).map_err(|problem| fault(&problem))?))
    }
}
