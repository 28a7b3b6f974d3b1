ALTER TABLE users ADD COLUMN profile jsonb NOT NULL DEFAULT '{}';

COMMENT ON COLUMN users.profile IS 'The operator''s own fields, an object: what the schema in USER_SCHEMA named when each was written.';
