//! Who is calling.
//!
//! - [`verifier`]: whether an access token is to be believed
//! - [`trust`]: which tokens have ended, as the trust feed has said
//! - [`follower`]: who listens to the trust feed
//! - [`last_seen`]: that a session is used which identity-service is not asked about
//! - [`cookie`]: the cookies that hold one, or what gets another
//! - [`mark`]: that a browser has what gets another, and what ends that session
//! - [`caller`]: the user that a request's credentials name
//! - [`origin`]: whether a browser sends a request because a page of ours wants it

pub mod caller;
pub mod cookie;
pub mod follower;
pub mod last_seen;
pub mod mark;
pub mod origin;
pub mod trust;
pub mod verifier;
