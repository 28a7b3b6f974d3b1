//! The rule for migrations: while one is applied, the version before it serves, and goes on serving until the last of its
//! processes has gone; and it comes back when an update is taken back. So a migration only adds (it expands), and keeps
//! nobody out for long: it rewrites no table, adds a CHECK as NOT VALID, and builds an index only where that is quick. What
//! nobody uses any more is taken away by a migration of a later release (it contracts), whose first line says so.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::migrations::{Migration, Schema, all, apply, files, versions};
use crate::harness::{Database, PASSWORD, Process, Stack};

/// How the first line of a contracting migration begins, which goes on with the release that used it last.
const CONTRACT: &str = "-- contract: unused since ";
/// Migrations from before the first release, which nobody has run beside an older version.
const BEFORE_THE_FIRST_RELEASE: [&str; 1] = ["2026-11-25-000003_key_life"];

/// All that an expanding migration may do.
pub const EXPANDS: &str = "
    ALTER TABLE users ADD COLUMN nickname text, ADD COLUMN tier text NOT NULL DEFAULT 'free';
    ALTER TABLE users ADD CONSTRAINT users_nickname_is_short CHECK (length(nickname) < 100) NOT VALID;
    ALTER TABLE sessions ADD COLUMN device text NOT NULL DEFAULT '';
    ALTER TABLE mails ADD COLUMN campaign integer;
    CREATE TABLE badges (id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE);
    CREATE INDEX users_created_at_idx ON users (created_at);
    CREATE UNIQUE INDEX users_nickname_key ON users (nickname);
    ALTER TABLE sessions ALTER COLUMN created_at SET DEFAULT now()";

/// And what takes it away again, in a later release.
pub const CONTRACTS: &str = "
    DROP TABLE badges;
    DROP INDEX users_created_at_idx;
    ALTER TABLE users DROP COLUMN nickname, DROP COLUMN tier;
    ALTER TABLE sessions DROP COLUMN device, ALTER COLUMN created_at DROP DEFAULT;
    ALTER TABLE mails DROP COLUMN campaign";

/// A migration that only a later version has.
pub fn later(version: &str, up: &str) -> Migration {
    Migration { name: format!("later {version}"), version: version.to_owned(), up: up.to_owned() }
}

/// What there is before a migration.
struct Before {
    schema: Schema,
    files: BTreeMap<String, i64>,
}

impl Before {
    async fn of(database: &Database) -> Self {
        Self { schema: Schema::of(database).await, files: files(database).await }
    }

    /// What those who serve meanwhile lose.
    fn lost_in(&self, after: &Self) -> Vec<String> {
        let is_another =
            |(table, file): &(&String, &i64)| after.files.get(*table).is_some_and(|after| after != *file);
        let rewritten = self.files.iter().filter(is_another);
        let rewritten =
            rewritten.map(|(table, _)| format!("{table} is rewritten, and nobody can read it meanwhile"));
        self.schema.lost_in(&after.schema).into_iter().chain(rewritten).collect()
    }
}

#[tokio::test]
async fn every_migration_leaves_the_version_before_it_what_it_needs() {
    let database = Database::create().await;
    let mut before = Before::of(&database).await;
    for migration in all() {
        apply(&database, &migration).await;
        let after = Before::of(&database).await;
        let lost = before.lost_in(&after);
        let is_excused =
            migration.up.starts_with(CONTRACT) || BEFORE_THE_FIRST_RELEASE.contains(&migration.name.as_str());
        assert!(
            lost.is_empty() || is_excused,
            "{}: {lost:#?}\nThe version before it serves meanwhile. Add first, and take away in a later release, in a \
             migration that begins with {CONTRACT:?}.",
            migration.name
        );
        before = after;
    }
}

#[tokio::test]
async fn control_what_the_version_before_would_miss_is_found_out() {
    for (sql, complaint) in [
        ("ALTER TABLE users DROP COLUMN is_verified", "users.is_verified is gone"),
        ("ALTER TABLE users RENAME COLUMN email TO address", "users.email is gone"),
        ("DROP TABLE mails", "mails.id is gone"),
        ("ALTER TABLE mails RENAME TO letters", "mails.id is gone"),
        ("ALTER TABLE users ALTER COLUMN epoch TYPE integer", "users.epoch was bigint and is integer"),
        (
            "ALTER TABLE users ALTER COLUMN is_active DROP DEFAULT",
            "users.is_active has another default, or none",
        ),
        (
            "ALTER TABLE users ALTER COLUMN is_active SET DEFAULT false",
            "users.is_active has another default, or none",
        ),
        (
            "ALTER TABLE sessions ALTER COLUMN user_agent SET NOT NULL",
            "sessions.user_agent may no longer be NULL",
        ),
        (
            "ALTER TABLE users ADD COLUMN tier text NOT NULL",
            "users.tier must be given, and was not there before",
        ),
        ("ALTER TABLE users ADD CHECK (length(email) < 100)", "users may refuse what was good before"),
        ("CREATE UNIQUE INDEX ON sessions (user_id)", "sessions may refuse what was good before"),
        ("CREATE UNIQUE INDEX ON users (lower(email))", "users may refuse what was good before"),
        ("ALTER TABLE secrets DROP CONSTRAINT secrets_pkey", "secrets no longer refuses"),
        (
            "CREATE TABLE badges (user_id uuid REFERENCES users)",
            "rows of users may not be deleted because of badges",
        ),
        (
            "ALTER TABLE users ADD COLUMN nickname text CHECK (length(nickname) < 100)",
            "users is read as a whole, and nobody can write meanwhile",
        ),
        (
            "ALTER TABLE sessions ADD COLUMN serial bigint GENERATED ALWAYS AS IDENTITY",
            "sessions is rewritten",
        ),
    ] {
        let database = Database::create().await;
        for migration in all() {
            apply(&database, &migration).await;
        }
        let before = Before::of(&database).await;
        apply(&database, &later("29990101000000", sql)).await;
        let lost = before.lost_in(&Before::of(&database).await);
        assert!(lost.iter().any(|lost| lost.starts_with(complaint)), "{sql}: {lost:#?}");
    }
}

#[tokio::test]
async fn this_version_runs_on_the_schema_of_the_next_one() {
    let database = Database::create().await;
    for migration in all() {
        apply(&database, &migration).await;
    }
    let before = Before::of(&database).await;
    apply(&database, &later("29990101000000", EXPANDS)).await;
    assert_eq!(before.lost_in(&Before::of(&database).await), [""; 0], "the rule allows all of it");

    // As it goes when an update is taken back: first the older migrate, which has nothing to do, then the older processes.
    let stack = Stack::over(database, &[("MIGRATIONS", "wait")], &[]).await;
    assert_eq!(stack.identity.command(&["migrate"]).unwrap(), "0 applied, the database is up to date\n");
    assert_eq!(versions(&stack.database).await.len(), all().len() + 1, "nothing is taken back");

    let http = stack.http();
    let (id, token) = stack.superuser("king.arthur@camelot.bt").await;
    let (other, _) = stack.user("merlin@camelot.bt").await;
    let change = json!({"email": "arthur@camelot.bt", "password": "lancelot"});
    assert_eq!(http.json("PATCH", "/users/me", &token, change).await.status, 200);
    assert_eq!(http.bare("GET", "/users/me/sessions", &token).await.status, 200);
    assert_eq!(
        http.json("PATCH", &format!("/users/{id}"), &token, json!({"is_verified": true})).await.status,
        200
    );
    assert_eq!(http.bare("DELETE", &format!("/users/{other}"), &token).await.status, 204);
    let asked = http.json("POST", "/auth/forgot-password", "", json!({"email": "arthur@camelot.bt"})).await;
    assert_eq!(asked.status, 202);
    let reset = stack.mailbox().wait_for_tokens("arthur@camelot.bt", 1).await.remove(0);
    let change = json!({"token": reset, "password": PASSWORD});
    assert_eq!(http.json("POST", "/auth/reset-password", "", change).await.status, 200);
    let token = http.token("arthur@camelot.bt", PASSWORD).await;
    assert_eq!(http.bare("POST", "/auth/jwt/logout", &token).await.status, 204);
}

#[tokio::test]
async fn a_process_that_is_to_wait_for_migrations_serves_once_somebody_has_applied_them() {
    let database = Database::create().await;
    for migration in &all()[..2] {
        apply(&database, migration).await;
    }
    let identity = Process::identity(&database.url, &[("MIGRATIONS", "wait")]);
    let words = "waiting for `identity-service migrate`";
    identity.until(words, Duration::from_secs(5), async || identity.log().contains(words)).await;
    assert!(identity.log().contains(&all()[2].version), "it says which");
    assert_eq!(versions(&database).await.len(), 2, "it applies none");
    identity.command(&["migrate"]).unwrap();
    identity.until_serving().await;
    assert!(!identity.log().contains("migrated"), "{}", identity.log());
}
