//! The migrations one by one, and what the schema is after each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::harness::{Database, repository};

/// A migration, as it stands in its folder.
pub struct Migration {
    /// The name of its folder.
    pub name: String,
    /// By which the database knows it.
    pub version: String,
    pub up: String,
}

/// All of them, in their order.
pub fn all() -> Vec<Migration> {
    let folder = repository().join("identity-service/migrations");
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let version = name.split('_').next().unwrap().replace('-', "");
        Migration { name, version, up: fs::read_to_string(path.join("up.sql")).unwrap() }
    };
    names.into_iter().map(read).collect()
}

/// Applies one as `migrate` does.
pub async fn apply(database: &Database, migration: &Migration) {
    let Migration { name, version, up } = migration;
    let sql = format!(
        "BEGIN; CREATE TABLE IF NOT EXISTS __diesel_schema_migrations
             (version varchar(50) PRIMARY KEY, run_on timestamp NOT NULL DEFAULT current_timestamp);
         {up}; INSERT INTO __diesel_schema_migrations (version) VALUES ('{version}'); COMMIT"
    );
    let applied = database.connect().await.batch_execute(&sql).await;
    applied.unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Applies one as `migrate` does while others serve: each statement waits for its lock for a second at most, and is tried
/// again.
pub async fn apply_in_steps(database: &Database, migration: &Migration) {
    let client = database.connect().await;
    client.batch_execute("SET lock_timeout = '1s'").await.unwrap();
    for statement in migration.up.split(';').filter(|statement| !statement.trim().is_empty()) {
        while let Err(error) = client.batch_execute(statement).await {
            let is_timeout = error.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE);
            assert!(is_timeout, "{statement}: {error}");
        }
    }
    let sql = "INSERT INTO __diesel_schema_migrations (version) VALUES ($1)";
    client.execute(sql, &[&migration.version]).await.unwrap();
}

/// The versions that the database says it has.
pub async fn versions(database: &Database) -> Vec<String> {
    let has_any = "SELECT count(*) FROM pg_class WHERE relname = '__diesel_schema_migrations'";
    if database.number(has_any).await == 0 {
        return Vec::new();
    }
    let sql = "SELECT version::text FROM __diesel_schema_migrations ORDER BY version";
    database.rows(sql, &[]).await.iter().map(|row| row.get(0)).collect()
}

/// A schema, in so far as a program depends on it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Schema {
    /// `table.column` of every column.
    pub columns: BTreeMap<String, Column>,
    /// What refuses rows, by table: each constraint and unique index with the columns that it is about.
    pub rules: BTreeMap<String, BTreeSet<Rule>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub kind: String,
    pub may_be_null: bool,
    /// Whether the database has a value for it by itself.
    pub has_default: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub definition: String,
    pub columns: Vec<String>,
}

impl Schema {
    pub async fn of(database: &Database) -> Self {
        let columns =
            "SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
                              a.atthasdef OR a.attidentity <> ''
                       FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                       WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
                         AND NOT a.attisdropped AND c.relname <> '__diesel_schema_migrations'";
        let rules = "SELECT t.relname::text, r.definition, array(SELECT a.attname::text FROM pg_attribute a
                            WHERE a.attrelid = t.oid AND a.attnum = ANY (r.keys) ORDER BY 1)
                     FROM (SELECT conrelid AS oid, conname || ' ' || pg_get_constraintdef(oid) AS definition, conkey AS keys
                           FROM pg_constraint WHERE contype IN ('c', 'u', 'p', 'f', 'x')
                           UNION ALL
                           SELECT indrelid, pg_get_indexdef(indexrelid), indkey::int2[] FROM pg_index WHERE indisunique) r
                     JOIN pg_class t ON t.oid = r.oid
                     WHERE t.relnamespace = 'public'::regnamespace AND t.relname <> '__diesel_schema_migrations'";
        let mut schema = Self::default();
        for row in database.rows(columns, &[]).await {
            let column = Column { kind: row.get(1), may_be_null: row.get(2), has_default: row.get(3) };
            schema.columns.insert(row.get(0), column);
        }
        for row in database.rows(rules, &[]).await {
            let rule = Rule { definition: row.get(1), columns: row.get(2) };
            schema.rules.entry(row.get(0)).or_default().insert(rule);
        }
        schema
    }

    fn has_table(&self, table: &str) -> bool {
        self.columns.keys().any(|column| column.split('.').next() == Some(table))
    }

    /// Why a program that was made for this one cannot run on `next`.
    pub fn lost_in(&self, next: &Self) -> Vec<String> {
        let gone = self.columns.iter().filter_map(|(name, column)| {
            let Some(now) = next.columns.get(name) else { return Some(format!("{name} is gone")) };
            if now.kind != column.kind {
                Some(format!("{name} was {} and is {}", column.kind, now.kind))
            } else if column.may_be_null && !now.may_be_null {
                Some(format!("{name} may no longer be NULL"))
            } else if !column.may_be_null && now.may_be_null {
                Some(format!("{name} may be NULL, which nobody expects who reads it"))
            } else if column.has_default && !now.has_default {
                Some(format!("{name} has no default any more"))
            } else {
                None
            }
        });
        let missing = next.columns.iter().filter_map(|(name, column)| {
            let is_new = !self.columns.contains_key(name) && self.has_table(name.split('.').next()?);
            let is_needed = !column.may_be_null && !column.has_default;
            (is_new && is_needed).then(|| format!("{name} must be given, and was not there before"))
        });
        let refused =
            next.rules.iter().filter(|(table, _)| self.has_table(table)).flat_map(|(table, rules)| {
                let known = self.rules.get(table);
                let is_new = move |rule: &&Rule| known.is_none_or(|known| !known.contains(rule));
                let concerns_old = move |rule: &&Rule| {
                    rule.columns.iter().any(|column| self.columns.contains_key(&format!("{table}.{column}")))
                };
                rules
                    .iter()
                    .filter(is_new)
                    .filter(concerns_old)
                    .map(move |rule| format!("{table} may refuse what was good before: {}", rule.definition))
            });
        gone.chain(missing).chain(refused).collect()
    }
}
