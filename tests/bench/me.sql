-- What identity-service asks for GET /users/me (identity-service/src/users/store.rs, find): the user by the primary key,
-- and whether his session goes on.
SELECT id, email, email_canonical, epoch, is_active, is_superuser, is_verified, created_at, updated_at,
    EXISTS (
        SELECT id, user_id, created_at, expires_at, last_seen_at, user_agent, address_prefix FROM sessions
        WHERE id = :session AND user_id = :user AND expires_at > now()
    )
FROM users WHERE id = ANY (ARRAY[:user]::uuid[]);
