ALTER TABLE users DROP COLUMN pepper_version;
DROP TABLE peppers;
