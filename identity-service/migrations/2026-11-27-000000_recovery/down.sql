DROP TABLE mails;
DROP TABLE recovery_tokens;
DROP TABLE recovery_requests;
