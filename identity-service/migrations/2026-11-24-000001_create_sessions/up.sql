CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);

COMMENT ON TABLE sessions IS 'One row a login that has not ended. A session whose row is gone has ended, and so have its access tokens.';
COMMENT ON COLUMN sessions.id IS 'UUIDv7; the claim sid of the session''s access tokens.';
COMMENT ON COLUMN sessions.user_id IS 'Who logged in.';
COMMENT ON COLUMN sessions.created_at IS 'When the user logged in.';
COMMENT ON COLUMN sessions.expires_at IS 'When the session ends by itself; later logins of the user remove the row.';
