//! Which part of a list a caller wants (AIP-158).

use uuid::Uuid;

use crate::error::{Error, Result, Violation};
use crate::ids::parse_uuid;

const DEFAULT_SIZE: usize = 50;
const MAX_SIZE: usize = 200;

/// A page of a list in the order of its ids.
#[derive(Debug, Clone, Copy)]
pub struct Page<Id> {
    /// It begins after this id; with the first one if there is none.
    pub after: Option<Id>,
    /// It has at most so many.
    pub size: usize,
}

impl<Id> Page<Id> {
    /// How many must be looked up to see whether another page follows.
    #[must_use]
    pub fn enough(&self) -> usize {
        self.size + 1
    }

    /// The page, of what was looked up, and after which id the next one begins; none if this one is the last.
    pub fn cut<T>(&self, mut found: Vec<T>, id: impl Fn(&T) -> Id) -> (Vec<T>, Option<Id>) {
        let more = found.len() > self.size;
        found.truncate(self.size);
        let next = found.last().filter(|_| more).map(id);
        (found, next)
    }
}

impl<Id: From<Uuid>> Page<Id> {
    /// The page that `page_size` and `page_token` ask for.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`].
    pub fn parse(page_size: i32, page_token: &str) -> Result<Self> {
        match (parse_size(page_size), parse_token(page_token)) {
            (Ok(size), Ok(after)) => Ok(Self { after, size }),
            (size, after) => Err(Error::InvalidRequest(size.err().into_iter().chain(after.err()).collect())),
        }
    }
}

fn parse_size(size: i32) -> Result<usize, Violation> {
    match usize::try_from(size) {
        Err(_) => Err(Violation::new("page_size", "Input should not be negative")),
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
    }
}

fn parse_token<Id: From<Uuid>>(token: &str) -> Result<Option<Id>, Violation> {
    if token.is_empty() {
        return Ok(None);
    }
    let after = parse_uuid(token).map(Id::from);
    after
        .map(Some)
        .ok_or_else(|| Violation::new("page_token", "Input should be the next_page_token of the page before"))
}
