//! Who is calling.
//!
//! - [`verifier`]: whether an access token is genuine and in time
//! - [`cookie`]: the cookie that holds one
//! - [`caller`]: the user that a request's credentials name
//! - [`origin`]: whether a browser sends a request because a page of ours wants it

pub mod caller;
pub mod cookie;
pub mod origin;
pub mod verifier;
