//! Access tokens that are not to be believed. Each is shown to the gateway, and to identity-service directly.

mod claims;
mod forms;
mod keys;
mod places;
mod signatures;
