//! Generates the Rust side of the gRPC contract. protox reads the `.proto` files, so no `protoc` is needed.

const SERVICES: [&str; 4] = [
    "portcullis/identity/v1/users.proto",
    "portcullis/identity/v1/sessions.proto",
    "portcullis/identity/v1/recovery.proto",
    "portcullis/identity/v1/trust.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=portcullis");
    let descriptors = protox::compile(SERVICES, ["."])?;
    tonic_prost_build::configure()
        // A message that holds a password, a token or an e-mail address must not print it by accident.
        .skip_debug([
            ".portcullis.identity.v1.User",
            ".portcullis.identity.v1.ListUsersResponse",
            ".portcullis.identity.v1.CreateUserRequest",
            ".portcullis.identity.v1.UpdateUserRequest",
            ".portcullis.identity.v1.CreateSessionRequest",
            ".portcullis.identity.v1.CreateSessionResponse",
            ".portcullis.identity.v1.RequestPasswordResetRequest",
            ".portcullis.identity.v1.ResetPasswordRequest",
            ".portcullis.identity.v1.RequestVerificationRequest",
            ".portcullis.identity.v1.VerifyEmailRequest",
        ])
        .compile_fds(descriptors)?;
    Ok(())
}
