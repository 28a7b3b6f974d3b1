//! The migrations one by one, and what the schema is after each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use tokio::time::sleep;

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
        // What runs outside of a transaction can be there by half.
        assert!(!path.join("metadata.toml").exists(), "{name} must be a transaction");
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

/// The same while others serve: it waits no longer for a lock than `migrate`, and is tried again. How often it was.
pub async fn apply_beside_others(database: &Database, migration: &Migration) -> usize {
    let Migration { name, version, up } = migration;
    let sql = format!(
        "BEGIN; SET LOCAL lock_timeout = '200ms'; {up};
         INSERT INTO __diesel_schema_migrations (version) VALUES ('{version}'); COMMIT"
    );
    let client = database.connect().await;
    let mut again = 0;
    while let Err(error) = client.batch_execute(&sql).await {
        let is_timeout = error.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE);
        assert!(is_timeout, "{name}: {error}");
        client.batch_execute("ROLLBACK").await.unwrap();
        sleep(Duration::from_millis(500)).await;
        again += 1;
    }
    again
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

/// Which file each table is in: a migration that rewrites a table gives it another, and keeps everybody out meanwhile.
pub async fn files(database: &Database) -> BTreeMap<String, i64> {
    let sql = "SELECT relname::text, pg_relation_filenode(oid)::bigint FROM pg_class
               WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'";
    database.rows(sql, &[]).await.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// A schema, in so far as a program depends on it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Schema {
    /// `table.column` of every column.
    pub columns: BTreeMap<String, Column>,
    /// What refuses changes, by table: each constraint and unique index with the columns that it is about.
    pub rules: BTreeMap<String, BTreeSet<Rule>>,
    /// Whose rows may not be deleted because of whom.
    pub holds: BTreeSet<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub kind: String,
    pub may_be_null: bool,
    /// The value that the database gives it by itself.
    pub default: Option<String>,
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
                              coalesce(pg_get_expr(d.adbin, d.adrelid), nullif(a.attidentity::text, ''))
                       FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                       LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
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
        let holds = "SELECT confrelid::regclass::text, conrelid::regclass::text FROM pg_constraint
                     WHERE contype = 'f' AND confdeltype NOT IN ('c', 'n', 'd')";
        let mut schema = Self::default();
        for row in database.rows(columns, &[]).await {
            let column = Column { kind: row.get(1), may_be_null: row.get(2), default: row.get(3) };
            schema.columns.insert(row.get(0), column);
        }
        for row in database.rows(rules, &[]).await {
            let rule = Rule { definition: row.get(1), columns: row.get(2) };
            schema.rules.entry(row.get(0)).or_default().insert(rule);
        }
        let holds = database.rows(holds, &[]).await;
        schema.holds = holds.iter().map(|row| (row.get(0), row.get(1))).collect();
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
            } else if column.default.is_some() && now.default != column.default {
                Some(format!("{name} has another default, or none: {:?}", now.default))
            } else {
                None
            }
        });
        let missing = next.columns.iter().filter_map(|(name, column)| {
            let is_new = !self.columns.contains_key(name) && self.has_table(name.split('.').next()?);
            let is_needed = !column.may_be_null && column.default.is_none();
            (is_new && is_needed).then(|| format!("{name} must be given, and was not there before"))
        });
        // Who inserts may count on being told of a row that is there already.
        let allowed = self
            .rules_not_in(next)
            .into_iter()
            .map(|(table, rule)| format!("{table} no longer refuses: {}", rule.definition));
        let read = next.rules_not_in(self).into_iter().filter(|(_, Rule { definition, .. })| {
            let is_checked = definition.contains(" CHECK (") || definition.contains(" FOREIGN KEY (");
            is_checked && !definition.ends_with(" NOT VALID")
        });
        let read = read.map(|(table, rule)| {
            format!(
                "{table} is read as a whole, and nobody can write meanwhile, for want of NOT VALID: {}",
                rule.definition
            )
        });
        let refused = next.rules_not_in(self).into_iter().filter(|(table, rule)| {
            let is_old = |column| self.columns.contains_key(&format!("{table}.{column}"));
            // An expression names no columns.
            rule.columns.is_empty() || rule.columns.iter().any(is_old)
        });
        let refused = refused
            .map(|(table, rule)| format!("{table} may refuse what was good before: {}", rule.definition));
        let held = next.holds.difference(&self.holds).filter(|(table, _)| self.has_table(table));
        let held = held.map(|(table, by)| format!("rows of {table} may not be deleted because of {by}"));
        gone.chain(missing).chain(read).chain(refused).chain(allowed).chain(held).collect()
    }

    /// The rules that `other` has not, of the tables that both have.
    fn rules_not_in(&self, other: &Self) -> Vec<(&str, &Rule)> {
        let both = self.rules.iter().filter(|(table, _)| other.has_table(table));
        let all = both.flat_map(|(table, rules)| rules.iter().map(move |rule| (table.as_str(), rule)));
        all.filter(|(table, rule)| !other.rules.get(*table).is_some_and(|rules| rules.contains(rule)))
            .collect()
    }
}
