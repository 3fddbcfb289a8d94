//! Books that are tampered with do not pass the doctor.

use coffer::doctor;
use coffer_core::db::Layout;
use reqwest::Method;
use serde_json::json;

use crate::databases::Kind;
use crate::harness::TestBank;
use crate::privacy::leave_and_be_erased;

/// What a forger does, and the invariant that then no longer holds.
struct Forgery {
    sql: &'static str,
    invariant: &'static str,
    named: &'static str,
}

/// `{a}` and `{b}` are two account numbers.
const FORGERIES: [Forgery; 23] = [
    Forgery {
        sql: "update accounts set balance = balance + 1 where account_number = {a}",
        invariant: "accounts agree with their last entry",
        named: "account {a}",
    },
    Forgery {
        sql: "update accounts set sequence = sequence + 1 where account_number = {a}",
        invariant: "accounts agree with their last entry",
        named: "account {a}",
    },
    Forgery {
        sql: "update accounts set overdraft_limit = 0, balance = balance - 1000000 where account_number = {a}",
        invariant: "no balance is below its overdraft",
        named: "account {a}",
    },
    Forgery {
        sql: "update entries set amount = amount + 1 where account_number = {a} and sequence = 2",
        invariant: "running balances add up",
        named: "account {a} entry 2",
    },
    Forgery {
        sql: "update entries set amount = amount + 1, balance = balance + 1 where account_number = {a} and sequence = 3",
        invariant: "hash chains are unbroken",
        named: "account {a} entry 3",
    },
    Forgery {
        sql: "update entries set created_at = created_at - 1000000000 where account_number = {a} and sequence = 2",
        invariant: "histories have no gaps and never go back in time",
        named: "account {a} entry 2",
    },
    Forgery {
        sql: "delete from entries where account_number = {a} and sequence = 2",
        invariant: "histories have no gaps and never go back in time",
        named: "account {a} entry 3",
    },
    Forgery {
        sql: "delete from entries where account_number = {a} and sequence = 3",
        invariant: "every transaction has its two sides",
        named: "transaction",
    },
    Forgery {
        sql: "delete from entries where account_number = {b}",
        invariant: "accounts agree with their last entry",
        named: "account {b}",
    },
    Forgery {
        sql: "delete from transactions where credit_account = {a} and credit_sequence = 1",
        invariant: "every entry is in the journal",
        named: "account {a} entry 1",
    },
    Forgery {
        sql: "update transactions set amount = amount + 5 where credit_account = {a} and credit_sequence = 2",
        invariant: "the books sum to zero in every currency",
        named: "off by 0.05 USD",
    },
    Forgery {
        sql: "update transactions set description = 'forged' where credit_account = {a} and credit_sequence = 1",
        invariant: "texts are as they were written, or erased",
        named: "account {a} entry 1",
    },
    Forgery {
        sql: "update transactions set description = null where credit_account = {a} and credit_sequence = 1",
        invariant: "texts are as they were written, or erased",
        named: "account {a} entry 1",
    },
    Forgery {
        sql: "update transactions set description = null, text_salt = null, text_commitment = null
              where credit_account = {a} and credit_sequence = 1",
        invariant: "hash chains are unbroken",
        named: "account {a} entry 1",
    },
    Forgery {
        sql: "update transactions set initiated_by = id where credit_account = {a} and credit_sequence = 1",
        invariant: "hash chains are unbroken",
        named: "account {a} entry 1",
    },
    Forgery {
        sql: "update accounts set last_entry_at = last_entry_at + 1 where account_number = {b}",
        invariant: "accounts agree with their last entry",
        named: "account {b}",
    },
    Forgery {
        sql: "update users set status = 'closed', search_text = ''",
        invariant: "every open account has an active owner",
        named: "account",
    },
    Forgery {
        sql: "update users set role = 'admin' where id = (select owner_id from accounts where account_number = {a})",
        invariant: ROLES,
        named: "user",
    },
    // A program without an owner, of which nothing is on record.
    Forgery {
        sql: "update users set role = 'staff', is_service = true
              where id = (select owner_id from accounts where account_number = {b})",
        invariant: ROLES,
        named: "user",
    },
    Forgery { sql: "update users set role = 'customer' where role = 'auditor'", invariant: ROLES, named: "user" },
    Forgery {
        sql: "update accounts set owner_id = (select owner_id from accounts where account_number = {b})
              where account_number = {a}",
        invariant: OWNERS,
        named: "account {a}",
    },
    Forgery {
        sql: "update accounts set status = 'frozen' where account_number = {a}",
        invariant: "users and accounts are frozen as the audit log says",
        named: "account {a}",
    },
    Forgery {
        sql: "update users set frozen_at = null",
        invariant: "users and accounts are frozen as the audit log says",
        named: "",
    },
];

const OWNERS: &str = "accounts have the owners for whom the audit log has them opened";
const ROLES: &str = "roles are as the audit log says that they were given";

/// What somebody does to the triggers, and what the doctor says then; on SQLite without the table.
const OTHER_GUARDS: [(&str, &str, &str); 3] = [
    ("drop trigger entries_refuse_delete", "drop trigger entries_refuse_change on entries", "is missing"),
    (
        "drop trigger entries_refuse_delete; create trigger entries_refuse_delete before delete on entries begin select 1; end",
        "alter table entries disable trigger entries_refuse_change",
        "is disabled, or another one",
    ),
    (
        "create trigger evil after insert on sessions begin update users set role = 'admin'; end",
        "create function evil() returns trigger language plpgsql as $$ begin return new; end $$;
         create trigger evil after insert on sessions for each row execute function evil()",
        "nobody knows the trigger evil",
    ),
];

async fn other_guards_are_found(kind: Kind) {
    for (on_sqlite, on_postgres, expected) in OTHER_GUARDS {
        let bank = TestBank::open(kind).await;
        assert_eq!(bank.guards_wrong().await, [""; 0]);
        if bank.db.layout() == Layout::Sharded {
            // What spreads the tables changes triggers: see docs/SCALING.md.
            continue;
        }
        bank.tamper(if kind == Kind::Sqlite { on_sqlite } else { on_postgres }).await;
        let wrong = bank.guards_wrong().await;
        assert!(wrong.len() == 1 && wrong[0].contains(expected), "{expected}: {wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_guards_are_found_on_sqlite() {
    other_guards_are_found(Kind::Sqlite).await;
    let bank = TestBank::open(Kind::Sqlite).await;
    bank.tamper("create index more on users (created_at)").await;
    assert_eq!(bank.guards_wrong().await, [""; 0], "it makes something faster, and nothing wrong");
    bank.tamper("drop index admins").await;
    assert_eq!(bank.guards_wrong().await, ["the index admins is missing"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_guards_are_found_on_postgres() {
    other_guards_are_found(Kind::Postgres).await;
}

/// What a forger does to the index of keys.
const FORGERIES_ON_SQLITE: [Forgery; 6] = [
    Forgery {
        sql: "update key_index_flushed set up_to = 1",
        invariant: "every idempotency key is there once and can be found",
        named: "key of transaction",
    },
    // Where all keys are in the index.
    Forgery {
        sql: "insert into key_index select substr(key, 1, 6), position from idempotency_keys;
              update key_index_flushed set up_to = (select max(position) from idempotency_keys);
              delete from key_index_flushed",
        invariant: "every idempotency key is there once and can be found",
        named: "key of transaction",
    },
    Forgery {
        sql: "insert into idempotency_keys (key, fingerprint, transaction_id, created_at)
              select key, fingerprint, transaction_id, created_at from idempotency_keys",
        invariant: "every idempotency key is there once and can be found",
        named: "key of transaction",
    },
    Forgery {
        sql: "insert into key_index select substr(key, 1, 6), position from idempotency_keys;
              update key_index_flushed set up_to = (select max(position) from idempotency_keys);
              insert into idempotency_keys (key, fingerprint, transaction_id, created_at)
              select key, fingerprint, transaction_id, created_at from idempotency_keys",
        invariant: "every idempotency key is there once and can be found",
        named: "key of transaction",
    },
    Forgery {
        sql: "delete from key_index_flushed",
        invariant: "every idempotency key is there once and can be found",
        named: "key of transaction",
    },
    Forgery {
        sql: "update key_index_flushed set up_to = 1;
              insert into key_index select x'000000000000', position from idempotency_keys",
        invariant: "every idempotency key is there once and can be found",
        named: "key of transaction",
    },
];

async fn every_forgery_is_found(kind: Kind, forgeries: &[Forgery]) {
    for forgery in forgeries {
        let bank = TestBank::open(kind).await;
        if bank.db.layout() == Layout::Sharded && forgery.invariant == OWNERS {
            // Nobody joins the log and the accounts there: see docs/SCALING.md.
            continue;
        }
        let (one, other) = (bank.customer().await, bank.customer().await);
        // The doctor goes by number: where both are wrong, the lower one is named first.
        let (ada, bob) = if one.account < other.account { (one, other) } else { (other, one) };
        for amount in ["10", "20", "30"] {
            let body = json!({"account_number": ada.account, "amount": amount, "description": "Salary"});
            ada.post("/deposit", body).send().await.expect_status(201);
        }
        ada.transfer(&bob.account, "5").await.expect_status(201);
        let body = json!({"account_number": ada.account, "amount": "1"});
        ada.post("/deposit", body).header("idempotency-key", "k").send().await.expect_status(201);
        let (clerk, cleo) = (bank.employee("staff").await, bank.customer().await);
        bank.employee("auditor").await;
        let path = format!("/users/{}/status", cleo.my_id().await);
        let freeze = clerk.request(Method::PUT, &path).json(json!({"status": "frozen"}));
        freeze.send().await.expect_status(200);
        assert_eq!(bank.books_wrong().await, []);

        let fill = |text: &str| text.replace("{a}", &ada.account).replace("{b}", &bob.account);
        disarm(&bank).await;
        bank.tamper(&fill(forgery.sql)).await;
        let wrong = bank.books_wrong().await;
        let found = wrong.iter().find(|(invariant, _)| *invariant == forgery.invariant);
        let (_, named) = found.unwrap_or_else(|| panic!("{} went unnoticed: {wrong:?}", forgery.sql));
        assert!(named[0].starts_with(&fill(forgery.named)), "{}: {named:?}", forgery.sql);
    }
}

/// Takes away what keeps honest programs from rewriting history, as a forger with the database password would.
pub async fn disarm(bank: &TestBank) {
    match bank.kind {
        Kind::Sqlite => {
            for trigger in [
                "transactions_refuse_update",
                "transactions_refuse_other_texts",
                "transactions_refuse_delete",
                "entries_refuse_update",
                "entries_refuse_delete",
            ] {
                bank.tamper(&format!("drop trigger {trigger}")).await;
            }
        }
        Kind::Postgres => {
            bank.tamper("drop trigger transactions_refuse_change on transactions").await;
            bank.tamper("drop trigger transactions_refuse_other_texts on transactions").await;
            bank.tamper("drop trigger entries_refuse_change on entries").await;
            bank.tamper("alter table accounts drop constraint accounts_check").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_forgery_is_found_on_sqlite() {
    every_forgery_is_found(Kind::Sqlite, &FORGERIES).await;
    every_forgery_is_found(Kind::Sqlite, &FORGERIES_ON_SQLITE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_forgery_is_found_on_postgres() {
    every_forgery_is_found(Kind::Postgres, &FORGERIES).await;
}

/// The databases themselves refuse to rewrite history and to go below a limit.
async fn the_database_is_the_last_line_of_defence(kind: Kind) {
    let bank = TestBank::open(kind).await;
    let ada = bank.customer().await;
    let body = json!({"account_number": ada.account, "amount": "10", "description": "Salary"});
    ada.post("/deposit", body).send().await.expect_status(201);
    for table in ["entries", "transactions"] {
        for sql in [format!("update {table} set amount = amount + 1"), format!("delete from {table}")] {
            assert!(bank.try_to_tamper(&sql).await.is_err(), "{sql} was let through");
        }
    }
    for sql in [
        "update transactions set description = 'Gift'",
        "update transactions set text_commitment = null",
        "update accounts set balance = -1 where owner_id is not null",
        "update accounts set account_number = account_number + 97",
        "delete from accounts",
    ] {
        assert!(bank.try_to_tamper(sql).await.is_err(), "{sql} was let through");
    }
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_is_the_last_line_of_defence() {
    the_database_is_the_last_line_of_defence(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_the_last_line_of_defence() {
    the_database_is_the_last_line_of_defence(Kind::Postgres).await;
}

/// Privacy may ask that what people wrote goes. The books stay right, and say how much is gone; what goes off the record shows.
async fn erased_texts_leave_the_books_right(kind: Kind) {
    let bank = TestBank::open(kind).await;
    let ada = bank.customer().await;
    let body = json!({"account_number": ada.account, "amount": "10", "description": "Salary"});
    let id = ada.post("/deposit", body).send().await.expect_status(201).text_at("/id");
    bank.tamper("update transactions set description = null, text_salt = null").await;
    assert!(ada.movement(&id).await["description"].is_null());
    let named = vec![format!("account {} entry 1", ada.account)];
    assert_eq!(bank.books_wrong().await, [("erased texts are of people whose erasure is on record", named)]);
    leave_and_be_erased(&ada).await;
    let mut report = Vec::new();
    bank.record_roles().await;
    assert!(doctor::examine(&bank.db, |finding| report.push(finding.to_string())).await.expect("an answer"));
    let expected = "ok   erased texts are of people whose erasure is on record: 1 erased texts";
    assert!(report.iter().any(|line| line == expected), "{report:?}");
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erased_texts_leave_the_books_right_on_sqlite() {
    erased_texts_leave_the_books_right(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erased_texts_leave_the_books_right_on_postgres() {
    erased_texts_leave_the_books_right(Kind::Postgres).await;
}
