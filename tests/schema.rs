//! The database as the migrations make it.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::{Database, Process, repository};

/// `table column type` of every column, as `information_schema` has it.
async fn columns(database: &Database) -> BTreeSet<String> {
    let sql = "SELECT table_name::text, column_name::text, udt_name::text, is_nullable::text
               FROM information_schema.columns
               WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_diesel%'";
    let column = |row: tokio_postgres::Row| {
        let [table, column, kind, nullable]: [String; 4] = [0, 1, 2, 3].map(|index| row.get(index));
        let kind = match kind.as_str() {
            "uuid" => "Uuid",
            "text" => "Text",
            "bytea" => "Bytea",
            "bool" => "Bool",
            "int4" => "Int4",
            "int8" => "Int8",
            "timestamptz" => "Timestamptz",
            "_timestamptz" => "Array<Nullable<Timestamptz>>",
            "xid8" => "Xid8",
            "jsonb" => "Jsonb",
            other => panic!("{other} is a new type: add its Diesel name here"),
        };
        let kind = if nullable == "YES" { format!("Nullable<{kind}>") } else { kind.to_owned() };
        format!("{table} {column} {kind}")
    };
    database.rows(sql, &[]).await.into_iter().map(column).collect()
}

async fn migrated() -> Database {
    let database = Database::create().await;
    Process::identity(&database.url, &[]).until_serving().await;
    database
}

#[tokio::test]
async fn schema_rs_says_what_the_migrations_make() {
    let database = migrated().await;
    let schema = fs::read_to_string(repository().join("identity-service/src/schema.rs")).unwrap();
    let mut table = "";
    let mut written = BTreeSet::new();
    for line in schema.lines().map(str::trim) {
        if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with(") {")) {
            table = name;
        } else if let Some((column, kind)) =
            line.trim_end_matches(',').split_once(" -> ").filter(|_| !line.contains('('))
        {
            written.insert(format!("{table} {column} {kind}"));
        }
    }
    assert_eq!(
        written,
        columns(&database).await,
        "run `diesel print-schema` and put its answer into src/schema.rs"
    );
}

#[tokio::test]
async fn every_table_and_column_has_a_comment() {
    let sql = "SELECT c.relname::text || coalesce('.' || a.attname, '') FROM pg_class c
               LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname NOT LIKE '\\_\\_diesel%'
               AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)";
    let bare: Vec<String> = migrated().await.rows(sql, &[]).await.iter().map(|row| row.get(0)).collect();
    assert!(bare.is_empty(), "say what these are with COMMENT ON in their migration: {bare:?}");
}

#[tokio::test]
async fn every_migration_can_be_taken_back() {
    let database = migrated().await;
    let before = columns(&database).await;
    let folder = repository().join("identity-service/migrations");
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let client = database.connect().await;
    for step in names
        .iter()
        .rev()
        .map(|name| name.join("down.sql"))
        .chain(names.iter().map(|name| name.join("up.sql")))
    {
        client
            .batch_execute(&fs::read_to_string(&step).unwrap())
            .await
            .unwrap_or_else(|error| panic!("{step:?}: {error}"));
        if step.ends_with("down.sql") && step.starts_with(&names[0]) {
            assert_eq!(columns(&database).await, BTreeSet::new(), "something is left");
        }
    }
    assert_eq!(columns(&database).await, before);
}
