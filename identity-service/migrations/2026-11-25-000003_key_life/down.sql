DROP INDEX signing_keys_one_next;
COMMENT ON COLUMN signing_keys.state IS 'next: published, not yet signing. current: signing, there is one. retired: its tokens are still good until they expire.';
ALTER TABLE signing_keys DROP COLUMN state_since;
