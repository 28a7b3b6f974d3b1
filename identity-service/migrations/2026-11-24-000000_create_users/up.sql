CREATE SEQUENCE epochs AS bigint;
COMMENT ON SEQUENCE epochs IS 'Revocation counters. One sequence for all users, so that a user who is created again never meets a token of the old one.';

CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL,
    email_canonical text COLLATE "C" NOT NULL,
    password_scheme text NOT NULL,
    password_hash text NOT NULL,
    password_version integer NOT NULL DEFAULT 1,
    epoch bigint NOT NULL DEFAULT nextval('epochs'),
    is_active boolean NOT NULL DEFAULT true,
    is_superuser boolean NOT NULL DEFAULT false,
    is_verified boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_email_canonical_key UNIQUE (email_canonical)
);

COMMENT ON TABLE users IS 'Everybody who may log in, with the password.';
COMMENT ON COLUMN users.id IS 'UUIDv7. It never changes.';
COMMENT ON COLUMN users.email IS 'The address as the user wrote it, in its normal form: what is shown and what mail goes to.';
COMMENT ON COLUMN users.email_canonical IS 'The address in lower case, folded by identity-service and never by the database, whose result depends on its locale. Two users never share it.';
COMMENT ON COLUMN users.password_scheme IS 'How password_hash was made: v1 is bcrypt over an HMAC with the pepper.';
COMMENT ON COLUMN users.password_hash IS 'The hash, in the form that the scheme writes.';
COMMENT ON COLUMN users.password_version IS 'Raised by every change of the password, and not by a rehash of the same one. A login that began under another version fails.';
COMMENT ON COLUMN users.epoch IS 'The user''s revocation counter, from the sequence epochs. An access token with a lower one has ended.';
COMMENT ON COLUMN users.is_active IS 'Whether the user may log in; an inactive user''s tokens name nobody.';
COMMENT ON COLUMN users.is_superuser IS 'Whether the user may act on other users.';
COMMENT ON COLUMN users.is_verified IS 'Whether the user has shown that the address is his.';
COMMENT ON COLUMN users.created_at IS 'When the user registered.';
COMMENT ON COLUMN users.updated_at IS 'When anything of the user last changed.';
