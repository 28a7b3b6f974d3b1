//! Passwords: the rules for new ones, how they are stored, and who computes their hashes.

mod hasher;
mod password;
mod scheme;

pub use hasher::{Hasher, Place, Verdict};
pub use password::{Password, PasswordRule, PasswordRules};
pub use scheme::{Pepper, StoredPassword};
