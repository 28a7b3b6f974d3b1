DROP TABLE revocation_feeds;
DROP TABLE revocations;
