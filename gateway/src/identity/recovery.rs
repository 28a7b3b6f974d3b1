//! The calls about what a user proves by a token that was mailed to him. None of them is made again when its answer was
//! lost: asked for twice a mail comes twice, and a token that was used is refused.

use portcullis_proto::v1;
use portcullis_proto::v1::recovery_service_client::RecoveryServiceClient;
use secrecy::{ExposeSecret as _, SecretString};

use super::message::to_user;
use super::{HASHING_TIMEOUT, Identity, TIMEOUT, User};
use crate::body::recovery::Reset;
use crate::failure::{Failure, Operation};

impl Identity {
    /// Has a token for a new password mailed, in one of these languages.
    ///
    /// # Errors
    /// Why not.
    pub async fn request_password_reset(&self, email: &str, languages: Vec<String>) -> Result<(), Failure> {
        let message = v1::RequestPasswordResetRequest { email: email.to_owned(), language_codes: languages };
        let call = self.call(Operation::RequestReset, TIMEOUT);
        let request = async |channel, request| {
            RecoveryServiceClient::new(channel).request_password_reset(request).await
        };
        call.run(message, request).await
    }

    /// Sets a new password by such a token.
    ///
    /// # Errors
    /// Why not.
    pub async fn reset_password(&self, reset: &Reset) -> Result<(), Failure> {
        let message = v1::ResetPasswordRequest {
            token: reset.token.expose_secret().to_owned(),
            password: reset.password.expose_secret().to_owned(),
        };
        let call = self.call(Operation::Reset, HASHING_TIMEOUT);
        let reset =
            async |channel, request| RecoveryServiceClient::new(channel).reset_password(request).await;
        call.run(message, reset).await
    }

    /// Has a token for an e-mail address mailed, in one of these languages.
    ///
    /// # Errors
    /// Why not.
    pub async fn request_verification(&self, email: &str, languages: Vec<String>) -> Result<(), Failure> {
        let message = v1::RequestVerificationRequest { email: email.to_owned(), language_codes: languages };
        let call = self.call(Operation::RequestVerification, TIMEOUT);
        let request =
            async |channel, request| RecoveryServiceClient::new(channel).request_verification(request).await;
        call.run(message, request).await
    }

    /// Verifies an e-mail address by such a token.
    ///
    /// # Errors
    /// Why not.
    pub async fn verify_email(&self, token: &SecretString) -> Result<User, Failure> {
        let message = v1::VerifyEmailRequest { token: token.expose_secret().to_owned() };
        let call = self.call(Operation::Verify, TIMEOUT);
        let verify = async |channel, request| RecoveryServiceClient::new(channel).verify_email(request).await;
        call.run(message, verify).await.map(to_user)
    }
}
