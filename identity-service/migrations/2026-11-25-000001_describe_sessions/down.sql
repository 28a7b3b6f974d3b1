ALTER TABLE sessions
    DROP COLUMN address_prefix,
    DROP COLUMN user_agent,
    DROP COLUMN last_seen_at;
