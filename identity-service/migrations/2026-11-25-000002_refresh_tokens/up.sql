CREATE TABLE secrets (
    name text PRIMARY KEY,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE secrets IS 'Keys that all replicas share and nobody else has. They were made by identity-service itself.';
COMMENT ON COLUMN secrets.name IS 'What the key is for.';
COMMENT ON COLUMN secrets.sealed IS '32 random bytes, sealed with the key-encryption key: 12 bytes nonce, then AES-256-GCM with the name as additional data.';
COMMENT ON COLUMN secrets.created_at IS 'When the key was made.';

ALTER TABLE sessions
    ADD COLUMN refresh_digest bytea,
    ADD COLUMN refresh_uses timestamptz[] NOT NULL DEFAULT '{}',
    ADD COLUMN access_expires_at timestamptz,
    ADD COLUMN password_version integer,
    ADD COLUMN epoch bigint;

COMMENT ON COLUMN sessions.refresh_digest IS 'SHA-256 of the secret in the newest refresh token; NULL if the session has none.';
COMMENT ON COLUMN sessions.refresh_uses IS 'When the refresh tokens before the newest were first used: of the last 16, oldest first.';
COMMENT ON COLUMN sessions.access_expires_at IS 'When the last access token of the session expires; NULL: with the session.';
COMMENT ON COLUMN sessions.password_version IS 'That of the user when the session was last known to be his: at the login, and when he changed the password in this very session. With another one it is not refreshed. NULL if the session has no refresh token.';
COMMENT ON COLUMN sessions.epoch IS 'That of the user at the login. With another one the session is not refreshed. NULL if it has no refresh token.';
COMMENT ON COLUMN sessions.expires_at IS 'When the session ends by itself, and its last token with it; each use of a refresh token puts it off. Later logins of the user remove the row.';
