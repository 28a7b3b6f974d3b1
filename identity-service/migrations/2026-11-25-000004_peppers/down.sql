DO $$ BEGIN
    IF (SELECT count(DISTINCT pepper_version) FROM users) > 1 THEN
        RAISE EXCEPTION 'passwords have several peppers: which has which would be lost';
    END IF;
END $$;
ALTER TABLE users DROP COLUMN pepper_version;
DROP TABLE peppers;
