CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    public_key bytea NOT NULL,
    sealed_private_key bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('next', 'current', 'retired')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX signing_keys_one_current ON signing_keys (state) WHERE state = 'current';

COMMENT ON TABLE signing_keys IS 'The Ed25519 keys that access tokens are signed with.';
COMMENT ON COLUMN signing_keys.kid IS 'The RFC 7638 thumbprint of the public key.';
COMMENT ON COLUMN signing_keys.public_key IS 'The 32 bytes of the public key (RFC 8032).';
COMMENT ON COLUMN signing_keys.sealed_private_key IS 'The PKCS #8 private key, sealed with the key-encryption key: 12 bytes nonce, then AES-256-GCM with the kid as additional data.';
COMMENT ON COLUMN signing_keys.state IS 'next: published, not yet signing. current: signing, there is one. retired: its tokens are still good until they expire.';
COMMENT ON COLUMN signing_keys.created_at IS 'When the key was made.';
