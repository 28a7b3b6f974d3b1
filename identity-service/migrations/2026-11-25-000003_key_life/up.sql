ALTER TABLE signing_keys ADD COLUMN state_since timestamptz NOT NULL DEFAULT now();
CREATE UNIQUE INDEX signing_keys_one_next ON signing_keys (state) WHERE state = 'next';

COMMENT ON COLUMN signing_keys.state IS 'next: published, not yet signing; there is one. current: signing; there is one. retired: its tokens are still good until they expire. A key that is gone has no row.';
COMMENT ON COLUMN signing_keys.state_since IS 'Since when the key is in its state; for one that is older than this column, since the migration.';
