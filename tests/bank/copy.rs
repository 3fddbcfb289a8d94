//! A whole bank moves from SQLite to PostgreSQL and back.

use std::collections::BTreeSet;
use std::process::Output;

use coffer_core::db::Db;
use coffer_core::db::copying::schema;
use serde_json::json;

use crate::command_line::{run, text};
use crate::databases::{Kind, TestDatabase};
use crate::harness::{Customer, PASSWORD, TestBank};

fn copy(from: &TestDatabase, to: &TestDatabase) -> Output {
    run(to.directory.path(), &["copy", "--from", &from.url, "--to", &to.url])
}

fn refuse(output: Output, because: &str) {
    let said = text(&output.stderr) + &text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(because), "{because}: {said}");
}

fn succeed(output: Output) -> String {
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    said
}

const KEY: &str = "salary-of-May";

fn salary(ada: &Customer<'_>) -> crate::harness::Request {
    let body = json!({
        "account_number": ada.account, "amount": "100", "description": "Salary, 'May' \u{1f4b6}", "reference": "PAY-1",
        "metadata": {"run": "5"},
    });
    ada.post("/deposit", body).header("idempotency-key", KEY)
}

/// Something in most of the tables: people, money, tags, holds, limits, approvals, keys, events, webhooks.
async fn live(bank: &TestBank) -> (String, String) {
    let (ada, bob, boss) = (bank.customer().await, bank.customer().await, bank.employee("admin").await);
    bank.get("/events").bearer(&ada.token).send().await.expect_status(200);
    salary(&ada).send().await.expect_status(201);
    ada.transfer(&bob.account, "30").await.expect_status(201);
    let hold = json!({"account_number": ada.account, "amount": "5", "description": "Deposit for the key"});
    ada.post("/holds", hold).send().await.expect_status(201);
    let payee = json!({"name": "Bob", "account_number": bob.account});
    ada.post("/me/payees", payee).send().await.expect_status(201);
    boss.post("/bank_accounts", json!({"code": "fees", "name": "Fees", "kind": "income"}))
        .send()
        .await
        .expect_status(201);
    boss.set_limits_of(&ada.account, json!({"per_day": "500"})).await.expect_status(200);
    let key = json!({"name": "Shop", "scopes": ["read"]});
    ada.post("/me/api_keys", key).send().await.expect_status(201);
    bank.record_roles().await;
    (ada.email.clone(), ada.account.clone())
}

/// The same customer of another bank.
async fn returning<'a>(bank: &'a TestBank, email: &str, account: &str) -> Customer<'a> {
    let tokens = bank.sign_in(email, PASSWORD).await.expect_status(200);
    Customer {
        bank,
        email: email.to_owned(),
        account: account.to_owned(),
        token: tokens.text_at("/access_token"),
        refresh_token: tokens.text_at("/refresh_token"),
    }
}

async fn expect_whole(bank: &TestBank, email: &str, account: &str, balance: &str) {
    let ada = returning(bank, email, account).await;
    assert_eq!(ada.balance().await, balance);
    // The key is known: nothing moves.
    let again = salary(&ada).send().await.expect_status(201);
    assert_eq!(again.text_at("/description"), "Salary, 'May' \u{1f4b6}");
    assert_eq!(ada.balance().await, balance);
    ada.withdraw("1").await.expect_status(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bank_moves_to_postgres_and_back_and_goes_on_there() {
    let bank = TestBank::open(Kind::Sqlite).await;
    let (email, account) = live(&bank).await;
    let first = bank.close().await;

    let second = TestDatabase::create(Kind::Postgres).await;
    std::fs::copy(first.directory.path().join("second_factor_key"), second.directory.path().join("second_factor_key"))
        .expect("the key");
    let said = succeed(copy(&first, &second));
    assert!(
        said.contains("Numbers, balances and chains agree") && said.contains("2 transactions, 3 entries"),
        "{said}"
    );
    let bank = TestBank::open_on(second, &[]).await;
    expect_whole(&bank, &email, &account, "70.00").await;
    let second = bank.close().await;

    let third = TestDatabase::create(Kind::Sqlite).await;
    std::fs::copy(first.directory.path().join("second_factor_key"), third.directory.path().join("second_factor_key"))
        .expect("the key");
    succeed(copy(&second, &third));
    let bank = TestBank::open_on(third, &[]).await;
    expect_whole(&bank, &email, &account, "69.00").await;
    bank.close_with_books_right().await;
}

/// A migration that adds a table or a column to one database, or of a type that nobody thought of, fails here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_is_carried() {
    let (sqlite, postgres) = (TestBank::open(Kind::Sqlite).await, TestBank::open(Kind::Postgres).await);
    let (in_sqlite, in_postgres) =
        (sqlite.db.tables().await.expect("tables"), postgres.db.tables().await.expect("tables"));
    for (from, to) in [(&in_sqlite, &in_postgres), (&in_postgres, &in_sqlite), (&in_sqlite, &in_sqlite)] {
        let plan = schema::plan(from, to).expect("a plan");
        let carried: BTreeSet<&str> = plan.iter().map(|table| table.name.as_str()).collect();
        let known: BTreeSet<&str> = in_postgres.keys().map(String::as_str).collect();
        assert_eq!(carried, known);
        assert!(plan.iter().all(|table| !table.key.is_empty()), "each row is known by a key");
    }
    let of_sqlite_alone: Vec<&String> = in_sqlite.keys().filter(|table| !in_postgres.contains_key(*table)).collect();
    assert_eq!(of_sqlite_alone, ["key_index", "key_index_flushed"]);
    sqlite.tamper("create table novelties (id integer primary key)").await;
    let refused = schema::plan(&sqlite.db.tables().await.expect("tables"), &in_postgres).expect_err("a refusal");
    assert!(refused.to_string().contains("novelties"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_copied_over_other_books() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (one, other) = (TestBank::open(Kind::Sqlite).await, TestBank::open(kind).await);
        let (ada, bob) = (one.customer().await, other.customer().await);
        ada.deposit("1").await.expect_status(201);
        bob.deposit("2").await.expect_status(201);
        refuse(copy(&one.database, &other.database), "the target is not empty");
        refuse(copy(&one.database, &one.database), "the same database");
        assert_eq!(bob.balance().await, "2.00");
        other.close_with_books_right().await;
    }
}

/// What happens to a copy once this many heartbeats are there: in the second batch of them.
#[derive(Clone, Copy)]
enum Obstacle {
    RowsAreRefused,
    /// The last row comes, as if by another copy.
    Rival,
}

async fn obstruct(target: &Db, obstacle: Obstacle) {
    let statements = match (target, obstacle) {
        (Db::Sqlite { .. }, Obstacle::RowsAreRefused) => {
            "create trigger obstruct before insert on heartbeats when (select count(*) from heartbeats) >= 12000
             begin select raise(abort, 'no more'); end"
        }
        (Db::Sqlite { .. }, Obstacle::Rival) => {
            "create trigger obstruct after insert on heartbeats when (select count(*) from heartbeats) = 12000
             begin insert into heartbeats values (x'ffffffffffffffffffffffffffffffff', 1); end"
        }
        (Db::Postgres { .. }, Obstacle::RowsAreRefused) => {
            "create function obstruct() returns trigger language plpgsql as $$ begin
                 if (select count(*) from heartbeats) > 12000 then raise exception 'no more'; end if;
                 return null;
             end $$;
             create trigger obstruct after insert on heartbeats for each statement execute function obstruct()"
        }
        (Db::Postgres { .. }, Obstacle::Rival) => {
            "create function obstruct() returns trigger language plpgsql as $$ begin
                 if (select count(*) from heartbeats) = 20000 and pg_trigger_depth() = 1 then
                     insert into heartbeats values ('ffffffff-ffff-ffff-ffff-ffffffffffff', 1);
                 end if;
                 return null;
             end $$;
             create trigger obstruct after insert on heartbeats for each statement execute function obstruct()"
        }
    };
    execute(target, statements).await;
}

async fn clear_the_way(target: &Db) {
    let statements = match target {
        Db::Sqlite { .. } => "drop trigger obstruct",
        Db::Postgres { .. } => "drop trigger obstruct on heartbeats; drop function obstruct",
    };
    execute(target, statements).await;
}

async fn execute(db: &Db, statements: &'static str) {
    match db {
        Db::Sqlite { write_pool, .. } => sqlx::raw_sql(statements).execute(write_pool).await.map(drop),
        Db::Postgres { write_pool, .. } => sqlx::raw_sql(statements).execute(write_pool).await.map(drop),
    }
    .expect("SQL");
}

async fn a_copy_that_was_broken_off_is_gone_on_with(from: Kind, to: Kind) {
    const HEARTBEATS: i64 = 25_000;
    let bank = TestBank::open(from).await;
    let (email, account) = live(&bank).await;
    bank.tamper(match from {
        Kind::Sqlite => {
            "insert into heartbeats with recursive n (i) as (select 1 union all select i + 1 from n where i < 25000)
             select randomblob(16), 9000000000000000 + i from n"
        }
        Kind::Postgres => {
            "insert into heartbeats select gen_random_uuid(), 9000000000000000 + i from generate_series(1, 25000) i"
        }
    })
    .await;
    bank.tamper(match from {
        Kind::Sqlite => "insert into heartbeats values (x'ffffffffffffffffffffffffffffffff', 1)",
        Kind::Postgres => "insert into heartbeats values ('ffffffff-ffff-ffff-ffff-ffffffffffff', 1)",
    })
    .await;
    let heartbeats = bank.number("select count(*) from heartbeats").await;
    assert!(heartbeats >= HEARTBEATS);
    let metadata = "select account_number, '{\"floor\":\"1\"}' from accounts where owner_id is not null";
    bank.tamper(&format!("insert into account_metadata {metadata}")).await;
    let source = bank.close().await;

    let other = TestBank::open(to).await;
    let empty = TestDatabase::create(to).await;
    let target = empty.connect().await;
    target.migrate().await.expect("tables");
    obstruct(&target, Obstacle::Rival).await;
    refuse(copy(&source, &empty), "another copy");
    clear_the_way(&target).await;
    obstruct(&target, Obstacle::RowsAreRefused).await;
    refuse(copy(&source, &empty), "no more");
    // Nobody serves half of a bank, or looks at it.
    for command in ["migrate", "doctor", "serve"] {
        let refused = run(empty.directory.path(), &[command, "--database-url", &empty.url, "--listen", "127.0.0.1:0"]);
        refuse(refused, "a copy that was broken off");
    }
    // Other books do not go on where these have ended.
    refuse(copy(&other.database, &empty), "a part of other books");
    clear_the_way(&target).await;
    target.close().await;
    // What no chain of hashes covers has changed meanwhile, among rows that are there already.
    let changed = source.connect().await;
    execute(&changed, "update account_metadata set metadata = '{\"floor\":\"2\"}'").await;
    changed.close().await;
    let went_on = copy(&source, &empty);
    assert!(text(&went_on.stderr).contains("rows copied"), "{}", text(&went_on.stderr));
    let there: u64 = text(&went_on.stderr).split(' ').next().and_then(|rows| rows.parse().ok()).expect("a number");
    assert!(there >= 10_000, "{}", text(&went_on.stderr));
    succeed(went_on);
    std::fs::copy(source.directory.path().join("second_factor_key"), empty.directory.path().join("second_factor_key"))
        .expect("the key");
    let bank = TestBank::open_on(empty, &[]).await;
    assert!(bank.number("select count(*) from heartbeats").await >= heartbeats);
    let [all, of_now] =
        ["", " where metadata like '%2%'"].map(|which| format!("select count(*) from account_metadata{which}"));
    assert!(bank.number(&all).await >= 2);
    assert_eq!(bank.number(&of_now).await, bank.number(&all).await);
    expect_whole(&bank, &email, &account, "70.00").await;
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_to_postgres_that_was_broken_off_is_gone_on_with() {
    a_copy_that_was_broken_off_is_gone_on_with(Kind::Sqlite, Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_to_sqlite_that_was_broken_off_is_gone_on_with() {
    a_copy_that_was_broken_off_is_gone_on_with(Kind::Postgres, Kind::Sqlite).await;
}
