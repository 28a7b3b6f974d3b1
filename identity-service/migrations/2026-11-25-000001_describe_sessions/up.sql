ALTER TABLE sessions
    ADD COLUMN last_seen_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN user_agent text,
    ADD COLUMN address_prefix text;

COMMENT ON COLUMN sessions.last_seen_at IS 'When a token of the session was last used, as far as it was written: at most once a minute, and not at all while the database has more to do.';
COMMENT ON COLUMN sessions.user_agent IS 'What the client that logged in calls itself, at most 256 characters without control characters; NULL if it was not told.';
COMMENT ON COLUMN sessions.address_prefix IS 'The network that the client logged in from, in CIDR notation: IPv4 /24, IPv6 /64; NULL if it was not told. The whole address is never stored.';
