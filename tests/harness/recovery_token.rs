//! Tokens as mails bring them, without the mail.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Stack;

impl Stack {
    /// A token of a user, for the purpose `reset` or `verify`, that is good from now on. He has no other for a new
    /// password.
    pub async fn recovery_token(&self, user: &str, purpose: &str) -> String {
        let secret = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(uuid::Uuid::into_bytes).concat();
        let sql = "INSERT INTO recovery_tokens
                       (digest, user_id, purpose, language, email_canonical, password_version, expires_at)
                   SELECT $1, id, $2, 'en', email_canonical, password_version, now() + interval '1 hour'
                   FROM users WHERE id::text = $3 RETURNING user_id::text";
        let digest = digest(&SHA256, &secret).as_ref().to_vec();
        let made = self.database.rows(sql, &[&digest, &purpose, &user]).await;
        assert_eq!(made.len(), 1, "there is no user {user}");
        URL_SAFE_NO_PAD.encode(secret)
    }
}
