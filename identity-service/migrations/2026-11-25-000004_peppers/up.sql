CREATE TABLE peppers (
    version integer PRIMARY KEY,
    fingerprint bytea NOT NULL UNIQUE,
    used_since timestamptz
);

COMMENT ON TABLE peppers IS 'Which pepper is meant by a version. The peppers themselves are known to identity-service alone.';
COMMENT ON COLUMN peppers.version IS 'Counted from 1 by identity-service, which locks the table for it: a sequence would leave out numbers when a start fails, and the first pepper must be the 1 that all users of before this table have.';
COMMENT ON COLUMN peppers.fingerprint IS 'HMAC-SHA-384 of a fixed label under the pepper, by which it is known again. Of 256 random bits it tells nothing, and it is no HMAC of any password.';
COMMENT ON COLUMN peppers.used_since IS 'When new passwords were first hashed with it; NULL: it has only ever been there to verify.';

ALTER TABLE users ADD COLUMN pepper_version integer NOT NULL DEFAULT 1;

COMMENT ON COLUMN users.pepper_version IS 'Which of the table peppers password_hash was made with.';
