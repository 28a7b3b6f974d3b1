//! What the gateway and identity-service must agree on, and nothing else.
//!
//! - [`v1`]: the gRPC contract, generated from `portcullis/identity/v1/*.proto`
//! - [`reason`]: the closed set of reasons for which a call fails
//! - [`access_token`]: what an access token says, and when it is to be believed
//! - [`bearer`]: how an access token is sent
//! - [`clock`]: what time it is
//! - [`email`]: what an e-mail address is, and when two are the same
//! - [`new_user_id`]: which id whoever registers a user may choose
//! - [`own_fields`]: how the operator's own fields of a user travel
//! - [`violation`]: what can be wrong with a field; [`field_path`]: with which one

pub mod access_token;
pub mod bearer;
pub mod clock;
pub mod email;
pub mod field_path;
pub mod new_user_id;
pub mod own_fields;
pub mod reason;
pub mod violation;

/// The generated messages, clients and servers of the package `portcullis.identity.v1`.
#[expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("portcullis.identity.v1");
}
