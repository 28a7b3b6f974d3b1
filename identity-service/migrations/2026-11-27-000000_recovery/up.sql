CREATE TABLE recovery_requests (
    id uuid PRIMARY KEY,
    purpose text NOT NULL CHECK (purpose IN ('reset', 'verify')),
    email_canonical text COLLATE "C" NOT NULL,
    language text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE recovery_requests IS 'What was asked for at forgot-password and request-verify-token, until a worker has looked whether there is such a user: so that the answer takes as long whether there is or not.';
COMMENT ON COLUMN recovery_requests.id IS 'UUIDv7: requests are worked off in its order.';
COMMENT ON COLUMN recovery_requests.purpose IS 'What the token is for: reset, a new password; verify, to show that the address is the user''s.';
COMMENT ON COLUMN recovery_requests.email_canonical IS 'The address, as in users.email_canonical. Perhaps nobody has it.';
COMMENT ON COLUMN recovery_requests.language IS 'In which language to write: the name of a set of templates.';
COMMENT ON COLUMN recovery_requests.created_at IS 'When it was asked for.';

CREATE TABLE recovery_tokens (
    digest bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    purpose text NOT NULL CHECK (purpose IN ('reset', 'verify')),
    language text NOT NULL,
    email_canonical text COLLATE "C" NOT NULL,
    password_version integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

CREATE UNIQUE INDEX recovery_tokens_reset_key ON recovery_tokens (user_id) WHERE purpose = 'reset';
CREATE INDEX recovery_tokens_user_id_idx ON recovery_tokens (user_id);
CREATE INDEX recovery_tokens_expires_at_idx ON recovery_tokens (expires_at);

COMMENT ON TABLE recovery_tokens IS 'The tokens that were mailed and have not expired. A reset token is deleted when it is used or a newer one is made; a verify token is kept, so that its second use can be told from nonsense.';
COMMENT ON COLUMN recovery_tokens.digest IS 'SHA-256 of the token, which itself is nowhere but in the mail.';
COMMENT ON COLUMN recovery_tokens.user_id IS 'Whose token it is.';
COMMENT ON COLUMN recovery_tokens.purpose IS 'What it is for: reset, a new password; verify, to show that the address is the user''s.';
COMMENT ON COLUMN recovery_tokens.language IS 'In which language it was mailed: so is the notice of its use.';
COMMENT ON COLUMN recovery_tokens.email_canonical IS 'users.email_canonical when it was made: a verify token is about this address and no other.';
COMMENT ON COLUMN recovery_tokens.password_version IS 'users.password_version when it was made: a reset token is good for as long as that is the password.';
COMMENT ON COLUMN recovery_tokens.created_at IS 'When it was made.';
COMMENT ON COLUMN recovery_tokens.expires_at IS 'From when on it is no good.';
COMMENT ON COLUMN recovery_tokens.used_at IS 'When a verify token was used.';

CREATE TABLE mails (
    id uuid PRIMARY KEY,
    user_id uuid REFERENCES users ON DELETE SET NULL,
    kind text NOT NULL CHECK (kind IN ('reset', 'verify', 'password_changed')),
    language text NOT NULL,
    recipient text,
    address_digest bytea NOT NULL,
    sealed_token bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_error text,
    sent_at timestamptz,
    gave_up_at timestamptz
);

CREATE INDEX mails_waiting_idx ON mails (next_attempt_at) WHERE sent_at IS NULL AND gave_up_at IS NULL;
CREATE INDEX mails_address_digest_idx ON mails (address_digest, created_at);
CREATE INDEX mails_user_id_idx ON mails (user_id);

COMMENT ON TABLE mails IS 'The outbox: what is to be mailed, written by the transaction that it is about, and what was mailed lately.';
COMMENT ON COLUMN mails.id IS 'UUIDv7, and the Message-ID: a mail that is sent twice is known again by it. The mails of an address are sent in its order.';
COMMENT ON COLUMN mails.user_id IS 'Whom it is for; NULL: he was deleted, and a mail that waits is not sent.';
COMMENT ON COLUMN mails.kind IS 'Which template: reset and verify bring a token, password_changed tells that one was used.';
COMMENT ON COLUMN mails.language IS 'In which language: the name of a set of templates.';
COMMENT ON COLUMN mails.recipient IS 'The address, as in users.email. Erased when the mail was sent or given up.';
COMMENT ON COLUMN mails.address_digest IS 'SHA-256 of users.email_canonical: so many mails had an address lately. Who has the address can tell that it had some; from the digest alone nobody tells the address but by trying all that there may be.';
COMMENT ON COLUMN mails.sealed_token IS 'The token, sealed with the key-encryption key as the signing keys are. Erased when the mail was sent or given up.';
COMMENT ON COLUMN mails.created_at IS 'When it was written.';
COMMENT ON COLUMN mails.expires_at IS 'From when on it says nothing that is of use: it is given up then.';
COMMENT ON COLUMN mails.attempts IS 'How often it was tried to send it.';
COMMENT ON COLUMN mails.next_attempt_at IS 'When it is tried next. While it is being tried: when that must have failed.';
COMMENT ON COLUMN mails.last_error IS 'Why the last try failed, without the address.';
COMMENT ON COLUMN mails.sent_at IS 'When the mail server took it.';
COMMENT ON COLUMN mails.gave_up_at IS 'When it was given up.';
