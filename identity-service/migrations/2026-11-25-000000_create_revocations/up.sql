CREATE TABLE revocations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    session_id uuid,
    user_id uuid,
    epoch bigint,
    expires_at timestamptz NOT NULL,
    CONSTRAINT revocations_of_session_or_user CHECK (
        (session_id IS NOT NULL AND user_id IS NULL AND epoch IS NULL)
        OR (session_id IS NULL AND user_id IS NOT NULL AND epoch IS NOT NULL)
    )
);
CREATE INDEX revocations_xact_idx ON revocations (xact);

COMMENT ON TABLE revocations IS 'The tokens that have ended before they expire: what verifiers are told. Rows are only ever added, and removed when no such token can come any more.';
COMMENT ON COLUMN revocations.id IS 'The order in which a snapshot is read. Not that of the commits.';
COMMENT ON COLUMN revocations.xact IS 'The transaction that wrote the row. Whether a reader has seen it, his pg_snapshot says, also when it commits late.';
COMMENT ON COLUMN revocations.session_id IS 'The session that has ended, with all its tokens; or else a user is named.';
COMMENT ON COLUMN revocations.user_id IS 'The user whose tokens with a lower epoch have ended. He may be gone.';
COMMENT ON COLUMN revocations.epoch IS 'The user''s first epoch that is good.';
COMMENT ON COLUMN revocations.expires_at IS 'When the last token that is concerned has expired for everybody, whatever his clock does.';

CREATE UNLOGGED TABLE revocation_feeds (
    is_current boolean PRIMARY KEY DEFAULT true CHECK (is_current),
    id uuid NOT NULL DEFAULT gen_random_uuid()
);

COMMENT ON TABLE revocation_feeds IS 'Within which life of the server the numbers of transactions mean the same. A crash and a failover may give a number out twice; and because this table is unlogged, they also empty it.';
COMMENT ON COLUMN revocation_feeds.is_current IS 'Always true, so that there is one row.';
COMMENT ON COLUMN revocation_feeds.id IS 'The name of this life. A position of another one is worth nothing.';
