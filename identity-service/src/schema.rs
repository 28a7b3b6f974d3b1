//! The tables, as `diesel print-schema` writes them. A test compares this file with a migrated database.
//! What each column means stands in the migrations, as `COMMENT ON`.

pub(crate) mod sql_types {
    /// The number of a transaction, which never wraps around.
    #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "xid8", schema = "pg_catalog"))]
    pub struct Xid8;
}

diesel::table! {
    mails (id) {
        id -> Uuid,
        user_id -> Nullable<Uuid>,
        kind -> Text,
        language -> Text,
        recipient -> Nullable<Text>,
        address_digest -> Bytea,
        sealed_token -> Nullable<Bytea>,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        attempts -> Int4,
        next_attempt_at -> Timestamptz,
        last_error -> Nullable<Text>,
        sent_at -> Nullable<Timestamptz>,
        gave_up_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    peppers (version) {
        version -> Int4,
        fingerprint -> Bytea,
        used_since -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    recovery_requests (id) {
        id -> Uuid,
        purpose -> Text,
        email_canonical -> Text,
        language -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    recovery_tokens (digest) {
        digest -> Bytea,
        user_id -> Uuid,
        purpose -> Text,
        language -> Text,
        email_canonical -> Text,
        password_version -> Int4,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    revocation_feeds (is_current) {
        is_current -> Bool,
        id -> Uuid,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Xid8;

    revocations (id) {
        id -> Int8,
        xact -> Xid8,
        session_id -> Nullable<Uuid>,
        user_id -> Nullable<Uuid>,
        epoch -> Nullable<Int8>,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    secrets (name) {
        name -> Text,
        sealed -> Bytea,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    sessions (id) {
        id -> Uuid,
        user_id -> Uuid,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        last_seen_at -> Timestamptz,
        user_agent -> Nullable<Text>,
        address_prefix -> Nullable<Text>,
        refresh_digest -> Nullable<Bytea>,
        refresh_uses -> Array<Nullable<Timestamptz>>,
        access_expires_at -> Nullable<Timestamptz>,
        password_version -> Nullable<Int4>,
        epoch -> Nullable<Int8>,
    }
}

diesel::table! {
    signing_keys (kid) {
        kid -> Text,
        public_key -> Bytea,
        sealed_private_key -> Bytea,
        state -> Text,
        created_at -> Timestamptz,
        state_since -> Timestamptz,
    }
}

diesel::table! {
    users (id) {
        id -> Uuid,
        email -> Text,
        email_canonical -> Text,
        password_scheme -> Text,
        password_hash -> Text,
        password_version -> Int4,
        epoch -> Int8,
        is_active -> Bool,
        is_superuser -> Bool,
        is_verified -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        pepper_version -> Int4,
        profile -> Jsonb,
    }
}

diesel::joinable!(mails -> users (user_id));
diesel::joinable!(recovery_tokens -> users (user_id));
diesel::joinable!(sessions -> users (user_id));
diesel::allow_tables_to_appear_in_same_query!(
    mails,
    peppers,
    recovery_requests,
    recovery_tokens,
    revocation_feeds,
    revocations,
    secrets,
    sessions,
    signing_keys,
    users
);
