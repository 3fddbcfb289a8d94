//! `packaging/citus/distribute.sql` against the tables as they are: what Citus would refuse, without a Citus.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use sqlx::{AssertSqlSafe, PgPool};

use crate::databases::{Kind, TestDatabase};
use crate::harness::TestBank;

const DISTRIBUTE: &str = "packaging/citus/distribute.sql";

/// What the file says of each table.
struct Places {
    /// Spread tables with their distribution columns.
    spread: BTreeMap<String, String>,
    /// On every node.
    everywhere: BTreeSet<String>,
    /// On the coordinator.
    stay: BTreeSet<String>,
    dropped_constraints: BTreeSet<String>,
}

fn places() -> Places {
    let sql = fs::read_to_string(DISTRIBUTE).expect("the file");
    let arguments = |function: &str| -> Vec<Vec<String>> {
        let calls = sql.lines().filter_map(|line| line.strip_prefix(&format!("select {function}(")));
        calls.map(|call| call.split('\'').skip(1).step_by(2).map(str::to_owned).collect()).collect()
    };
    let spread = arguments("create_distributed_table").into_iter().map(|it| (it[0].clone(), it[1].clone())).collect();
    let everywhere = arguments("create_reference_table").into_iter().flatten().collect();
    let stay = sql.lines().filter_map(|line| line.strip_prefix("-- stay: ")).flat_map(|line| line.split(", "));
    let dropped = sql.split("drop constraint ").skip(1).filter_map(|rest| rest.split(';').next());
    Places {
        spread,
        everywhere,
        stay: stay.map(str::to_owned).collect(),
        dropped_constraints: dropped.map(str::to_owned).collect(),
    }
}

async fn rows(pool: &PgPool, sql: &str) -> Vec<(String, String)> {
    sqlx::query_as(AssertSqlSafe(sql.to_owned())).fetch_all(pool).await.expect("rows of the catalogue")
}

async fn migrated() -> (TestBank, PgPool) {
    let bank = TestBank::open_on(TestDatabase::create(Kind::Postgres).await, &[]).await;
    let pool = PgPool::connect(&bank.database.url).await.expect("the database");
    (bank, pool)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_table_has_its_place_in_a_cluster() {
    let (_bank, pool) = migrated().await;
    let tables = rows(&pool, "select tablename::text, '' from pg_tables where schemaname = current_schema()").await;
    let tables: BTreeSet<String> = tables.into_iter().map(|(table, _)| table).collect();
    let Places { spread, everywhere, stay, .. } = places();
    let named: Vec<&String> = spread.keys().chain(&everywhere).chain(&stay).collect();
    assert_eq!(named.iter().copied().cloned().collect::<BTreeSet<_>>(), tables, "{DISTRIBUTE} names each table once");
    assert_eq!(named.len(), tables.len(), "{DISTRIBUTE} names a table twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_unique_key_has_the_column_that_its_table_is_spread_by() {
    let (_bank, pool) = migrated().await;
    for (table, column) in places().spread {
        let without = rows(
            &pool,
            &format!(
                "select i.indexrelid::regclass::text, '' from pg_index i
                 where i.indrelid = '{table}'::regclass and i.indisunique
                   and not exists (select 1 from pg_attribute a
                                   where a.attrelid = i.indrelid and a.attnum = any(i.indkey) and a.attname = '{column}')"
            ),
        )
        .await;
        assert!(without.is_empty(), "{table} is spread by {column}, which these unique keys lack: {without:?}");
        let known = rows(
            &pool,
            &format!("select attname::text, '' from pg_attribute where attrelid = '{table}'::regclass and attname = '{column}'"),
        )
        .await;
        assert_eq!(known.len(), 1, "{table} has no column {column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_foreign_key_leads_from_a_table_that_is_spread_to_one_that_stays() {
    let (_bank, pool) = migrated().await;
    let Places { spread, everywhere, dropped_constraints, .. } = places();
    let keys: Vec<(String, String, String)> = sqlx::query_as(
        "select conname::text, conrelid::regclass::text, confrelid::regclass::text from pg_constraint where contype = 'f'",
    )
    .fetch_all(&pool)
    .await
    .expect("rows of the catalogue");
    for (name, from, to) in keys {
        let is_left = !dropped_constraints.contains(&name);
        let leads_nowhere = spread.contains_key(&from) && !everywhere.contains(&to) || spread.contains_key(&to);
        assert!(!(is_left && leads_nowhere), "{DISTRIBUTE} leaves {name}, from {from} to {to}");
    }
}
