//! Whether and how mails are sent.

use super::variables::{
    LINK_RESET, LINK_VERIFY, MAIL, MAIL_FROM, MAIL_LANGUAGE, MAIL_TEMPLATES, MAILS_PER_HOUR, Variable,
};
use super::{ConfigError, Vars, error};
use crate::mail::{Link, MailConfig, Office, Sender, Templates, Transport};

impl Vars<'_> {
    /// How mails are sent; `None` when `MAIL` says nothing.
    ///
    /// # Errors
    /// The first variable that is missing or malformed, or what is wrong with a template.
    pub fn mail(&self) -> Result<Option<MailConfig>, ConfigError> {
        let mail = self.secret(&MAIL)?;
        if mail.is_empty() {
            return Ok(None);
        }
        let sender =
            Sender::parse(&self.needed(&MAIL_FROM)?).map_err(|problem| error(&MAIL_FROM, problem))?;
        let link =
            |variable| Link::parse(&self.needed(variable)?).map_err(|problem| error(variable, problem));
        let (reset, verify) = (link(&LINK_RESET)?, link(&LINK_VERIFY)?);
        let folder = self.value(&MAIL_TEMPLATES)?;
        let folder = (!folder.is_empty()).then_some(folder.as_str());
        let templates = Templates::load(folder).map_err(|problem| error(&MAIL_TEMPLATES, &problem))?;
        let languages = templates.languages(&self.value(&MAIL_LANGUAGE)?);
        let languages =
            languages.ok_or_else(|| error(&MAIL_LANGUAGE, "is no language that has templates"))?;
        let per_hour = match self.number(&MAILS_PER_HOUR, 0, 1000)? {
            0 => None,
            mails => Some(mails),
        };
        let transport = Transport::parse(&mail, sender.domain()).map_err(|problem| error(&MAIL, &problem))?;
        let office = Office { transport, sender, reset, verify, templates, languages };
        Ok(Some(MailConfig::new(office, per_hour)))
    }

    /// The value of a variable that must be set when mails are sent.
    fn needed(&self, variable: &Variable) -> Result<String, ConfigError> {
        let value = self.value(variable)?;
        if value.is_empty() {
            return Err(error(variable, &format!("is not set, and MAIL is: {}", variable.meaning)));
        }
        Ok(value)
    }
}
