COMMENT ON COLUMN sessions.expires_at IS 'When the session ends by itself; later logins of the user remove the row.';
ALTER TABLE sessions
    DROP COLUMN epoch,
    DROP COLUMN password_version,
    DROP COLUMN access_expires_at,
    DROP COLUMN refresh_uses,
    DROP COLUMN refresh_digest;
DROP TABLE secrets;
