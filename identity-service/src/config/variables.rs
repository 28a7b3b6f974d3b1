//! Every variable of the environment that identity-service reads.

/// A variable: its name, what it is without being set, and what it means.
pub struct Variable {
    /// Its name in the environment.
    pub name: &'static str,
    /// Its value when it is not set, which may be none at all; `None` when it must be set.
    pub default: Option<&'static str>,
    /// What it means, with its unit.
    pub meaning: &'static str,
}

macro_rules! variables {
    ($($(#[$doc:meta])* $name:ident $default:expr, $meaning:literal;)*) => {
        $(pub(super) const $name: Variable = Variable { name: stringify!($name), default: $default, meaning: $meaning };)*
        /// Every variable, in the order of the README.
        pub const VARIABLES: &[Variable] = &[$($name),*];
    };
}

variables! {
    DATABASE_URL None, "the Postgres to use: postgres://USER:PASSWORD@HOST:PORT/DATABASE, with ?sslmode=verify-full&sslrootcert=FILE for TLS (a secret)";
    ISSUER None, "who issues the access tokens, their claim `iss`: the public URL of the gateway, at most 512 characters";
    PASSWORD_PEPPER None, "at least 32 random bytes in base64, with which new passwords are hashed; without them none verifies (a secret)";
    PASSWORD_PEPPER_OTHER Some(""), "other peppers that stored passwords may have been hashed with, separated by commas (a secret)";
    KEY_ENCRYPTION_KEY None, "32 random bytes in base64, which seal the other keys in the database (a secret)";
    KEY_ENCRYPTION_KEY_OTHER Some(""), "another such key that may have sealed them, while one is exchanged for the other (a secret)";
    KEY_ROTATION_DAYS Some("90"), "after how many days the next signing key signs, 0 to 3650; 0: only when `key rotate` says so";
    LISTEN_ADDRESS Some("127.0.0.1:50051"), "the address and port of the gRPC API";
    ACCESS_TOKEN_LIFETIME_SECONDS Some("3600"), "for how long an access token is good, and with it a session without refresh tokens, 60 to 86400 seconds";
    REFRESH_LIFETIME_SECONDS Some("2592000"), "for how long a session can be refreshed, from the login on, 60 to 31536000 seconds; no less than REFRESH_IDLE_SECONDS";
    REFRESH_IDLE_SECONDS Some("604800"), "for how long a refresh token is good that is not used, 60 to 31536000 seconds; no less than ACCESS_TOKEN_LIFETIME_SECONDS";
    REFRESH_GRACE_SECONDS Some("10"), "for how long a refresh token may be used again, since answers are lost, 1 to 60 seconds";
    RESET_TOKEN_LIFETIME_SECONDS Some("3600"), "for how long a mailed token for a new password is good, 60 to 86400 seconds";
    VERIFY_TOKEN_LIFETIME_SECONDS Some("86400"), "for how long a mailed token for an e-mail address is good, 60 to 2592000 seconds";
    REQUIRE_VERIFIED Some("false"), "true, which needs MAIL: whoever has not verified his e-mail address cannot log in, nor act on users, and be it himself; false: he can";
    PASSWORD_MIN_LENGTH Some("8"), "the least number of characters of a new password, 1 to 128";
    USER_SCHEMA Some(""), "the path of a JSON Schema (draft 2020-12) of an object, whose properties are further fields of users";
    BCRYPT_COST Some("12"), "the cost of new password hashes, 10 to 14; each step doubles the time";
    HASH_THREADS Some("0"), "how many passwords are hashed at once; 0 means one a core";
    DATABASE_POOL_SIZE Some("8"), "the most connections to Postgres, 1 to 1000; two more serve single reads and hear of revocations";
    MIGRATIONS Some("apply"), "who brings the database up to date: apply, `serve` does before it serves; wait, it waits until `migrate` has";
    SHUTDOWN_DELAY_SECONDS Some("0"), "for how long to go on serving once told to stop, and not ready any more, so that callers notice in time, 0 to 300";
    MAIL Some(""), "how mails are sent: smtp://USER:PASSWORD@HOST:PORT, smtps://USER:PASSWORD@HOST:PORT, or dir:PATH, which makes a file of each; without it there is no recovery by mail (a secret)";
    MAIL_FROM Some(""), "who writes the mails: Name <address>; required with MAIL";
    LINK_RESET Some(""), "the page on which a new password is chosen: a URL with {token} in it; required with MAIL";
    LINK_VERIFY Some(""), "the page on which an address is verified: a URL with {token} in it; required with MAIL";
    MAIL_LANGUAGE Some("en"), "the language of mails to users who want none that there is: en, ru, or one of MAIL_TEMPLATES";
    MAIL_TEMPLATES Some(""), "a folder with texts of mails in the place of the ones that are compiled in";
    MAILS_PER_HOUR Some("3"), "how many mails with a token an address gets in an hour, 0 to 1000; 0: as many as are asked for";
    LOG Some("info"), "which events are logged: error, warn, info, debug, or a tracing filter";
    LOG_FORMAT Some("text"), "text or json";
}
