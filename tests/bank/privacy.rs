//! What the bank has about somebody: taken along as a file, and erased.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use coffer::doctor;
use coffer_core::db::Db;
use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;
use zip::ZipArchive;

use crate::databases::Kind;
use crate::doctor::disarm;
use crate::harness::{Answer, Customer, PASSWORD, TestBank, bank_tests, eventually};

const ON_RECORD: &str = "erased texts are of people whose erasure is on record";
const NOTHING_LEFT: &str = "of people who were erased nothing is left but what the books need";

async fn id_of(user: &Customer<'_>) -> String {
    user.get("/me").send().await.expect_status(200).text_at("/id")
}

/// The files of an archive by name: each as JSON, or as text.
fn files_of(answer: &Answer) -> BTreeMap<String, Value> {
    let mut archive = ZipArchive::new(Cursor::new(&answer.bytes[..])).expect("an archive");
    let mut files = BTreeMap::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).expect("a file");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("text");
        let name = file.name().expect("a name").into_owned();
        let is_json = name.ends_with(".json");
        files.insert(name, if is_json { serde_json::from_str(&text).expect("JSON") } else { json!(text) });
    }
    files
}

async fn export(user: &Customer<'_>) -> BTreeMap<String, Value> {
    files_of(&user.get("/me/export").send().await.expect_status(200))
}

async fn ask_to_erase(admin: &Customer<'_>, user_id: &str) -> Answer {
    admin.request(Method::POST, &format!("/users/{user_id}/erase")).send().await
}

async fn empty_and_close(user: &Customer<'_>) {
    let balance = user.balance().await;
    if balance != "0.00" {
        user.withdraw(&balance).await.expect_status(201);
    }
    user.request(Method::DELETE, &format!("/accounts/{}", user.account)).send().await.expect_status(204);
}

/// Somebody with one account closes it and is erased.
pub async fn leave_and_be_erased(user: &Customer<'_>) {
    let admin = user.bank.employee("admin").await;
    let id = id_of(user).await;
    empty_and_close(user).await;
    let erased = ask_to_erase(&admin, &id).await.expect_status(200);
    assert!(erased.body["texts_erased_at"].is_string(), "{}", erased.body);
}

/// Every row of every table but the audit log, as text.
async fn everything_stored(bank: &TestBank) -> String {
    let mut all = String::new();
    match &bank.db {
        Db::Sqlite { read_pool, .. } => {
            let tables: Vec<String> =
                sqlx::query_scalar("select name from sqlite_schema where type = 'table' and name not like 'audit%'")
                    .fetch_all(read_pool)
                    .await
                    .expect("tables");
            for table in tables {
                let columns: Vec<String> = sqlx::query_scalar("select name from pragma_table_info($1)")
                    .bind(&table)
                    .fetch_all(read_pool)
                    .await
                    .expect("columns");
                let texts: Vec<_> = columns.iter().map(|name| format!("coalesce(quote({name}), '')")).collect();
                let select = format!("select {} as line from {table}", texts.join(" || ' ' || "));
                for row in sqlx::query(AssertSqlSafe(select)).fetch_all(read_pool).await.expect("rows") {
                    all.push_str(row.get::<&str, _>("line"));
                }
            }
        }
        Db::Postgres { read_pool, .. } => {
            let tables: Vec<String> = sqlx::query_scalar(
                "select table_name::text from information_schema.tables
                 where table_schema = 'public' and table_type = 'BASE TABLE' and table_name not like 'audit%'",
            )
            .fetch_all(read_pool)
            .await
            .expect("tables");
            for table in tables {
                let select = format!("select coalesce(string_agg(x::text, ' '), '') as lines from {table} x");
                let row = sqlx::query(AssertSqlSafe(select)).fetch_one(read_pool).await.expect("rows");
                all.push_str(row.get::<&str, _>("lines"));
            }
        }
    }
    all
}

/// The bytes of a SQLite file and its write-ahead log, as text.
fn files(bank: &TestBank) -> String {
    let Some(file) = bank.db.file() else { return String::new() };
    let read = |end| std::fs::read(format!("{}{end}", file.display())).unwrap_or_default();
    ["", "-wal"].map(|end| String::from_utf8_lossy(&read(end)).into_owned()).concat()
}

bank_tests! {
    async fn everything_of_mine_comes_as_an_archive_and_nothing_of_others(bank: &TestBank) {
        let (ada, bob, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        let id = id_of(&ada).await;
        ada.request(Method::PATCH, "/me")
            .json(json!({"name": "Ada Lovelace", "confirm_above": "500"}))
            .send()
            .await
            .expect_status(200);
        let label = json!({"label": "Holidays", "metadata": {"team": "blue"}});
        ada.request(Method::PATCH, &format!("/accounts/{}", ada.account)).json(label).send().await.expect_status(200);
        for _ in 0..2 {
            ada.deposit_many(750).await.expect_status(200);
        }
        let rent = json!({"from_account": ada.account, "to_account": bob.account, "amount": "5", "description": "Rent",
                          "reference": "INV-1", "metadata": {"order": "42"}});
        ada.post("/transfer", rent).send().await.expect_status(201);
        let gift = json!({"from_account": bob.account, "to_account": ada.account, "amount": "1", "description": "A gift",
                          "reference": "of Bob alone"});
        bob.post("/transfer", gift).send().await.expect_status(201);
        let second = ada.open_account(json!({"currency": "EUR"})).await.expect_status(201).text_at("/account_number");
        ada.post("/holds", json!({"account_number": ada.account, "amount": "2", "description": "Bicycle"}))
            .send()
            .await
            .expect_status(201);
        let payee = json!({"name": "The landlord", "account_number": bob.account});
        ada.post("/me/payees", payee).send().await.expect_status(201);
        let payee = json!({"name": "What Bob calls Ada", "account_number": ada.account});
        bob.post("/me/payees", payee).send().await.expect_status(201);
        let key =
            ada.post("/me/api_keys", json!({"name": "Web shop", "scopes": ["read"]})).send().await.expect_status(201);
        clerk
            .post(&format!("/users/{id}/notes"), json!({"text": "Called about a card"}))
            .send()
            .await
            .expect_status(201);
        clerk.get("/users?search=customer").send().await.expect_status(200);
        let look = format!("/balance?account_number={}", ada.account);
        clerk.get(&look).send().await.expect_status(200);
        bank.sign_in(&ada.email, "a wrong password").await.expect_status(401);
        eventually("the look is on record", async || {
            bank.number("select count(*) from audit_log where action in ('balance_viewed', 'login_failed')").await == 2
        })
        .await;

        let answer = ada.get("/me/export").send().await.expect_status(200);
        assert_eq!(answer.header("content-type"), Some("application/zip"));
        let name = answer.header("content-disposition").expect("a name");
        assert!(name.starts_with("attachment; filename=\"coffer-export-20") && name.ends_with(".zip\""), "{name}");
        let files = files_of(&answer);
        let names: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "README.txt",
                "accounts.json",
                "api_keys.json",
                "approvals.json",
                "holds.json",
                "limits.json",
                "notes.json",
                "payees.json",
                "profile.json",
                "records.json",
                "second_factor.json",
                "sessions.json",
                "transactions.json"
            ]
        );
        let readme = files["README.txt"].as_str().expect("text");
        assert!(names.iter().filter(|name| name.ends_with(".json")).all(|name| readme.contains(name)), "{readme}");
        let profile = &files["profile.json"];
        assert_eq!((&profile["name"], &profile["confirm_above"]), (&json!("Ada Lovelace"), &json!("500")));
        let accounts = files["accounts.json"].as_array().expect("a list");
        let account = accounts.iter().find(|it| it["account_number"] == *ada.account).expect("the account");
        assert_eq!(
            (&account["label"], &account["metadata"], &account["balance"]),
            (&json!("Holidays"), &json!({"team": "blue"}), &json!("1496.00"))
        );
        assert!(accounts.len() == 2 && accounts.iter().any(|it| it["account_number"] == *second));
        assert_eq!(files["limits.json"].as_array().map(Vec::len), Some(2));
        let movements = files["transactions.json"].as_array().expect("a list");
        let sequences: Vec<_> = movements.iter().filter_map(|it| it["sequence"].as_i64()).collect();
        assert_eq!(sequences, (1..=1502).collect::<Vec<_>>());
        let last = movements.last().expect("a movement");
        assert_eq!(
            (&last["balance"], &last["description"], &last["reference"]),
            (&json!("1496.00"), &json!("A gift"), &Value::Null)
        );
        assert_eq!(
            (&movements[1500]["reference"], &movements[1500]["metadata"]),
            (&json!("INV-1"), &json!({"order": "42"}))
        );
        assert_eq!(files["holds.json"][0]["description"], "Bicycle");
        assert_eq!(files["payees.json"][0]["name"], "The landlord");
        assert_eq!(files["sessions.json"][0]["address"], "127.0.0.1");
        assert_eq!(
            (&files["api_keys.json"][0]["name"], &files["api_keys.json"][0]["revoked_at"]),
            (&json!("Web shop"), &Value::Null)
        );
        assert_eq!(files["second_factor.json"]["enabled"], false);
        let notes = files["notes.json"].as_array().expect("a list");
        assert_eq!(
            (&notes[0]["text"], notes[0].as_object().map(serde_json::Map::len)),
            (&json!("Called about a card"), Some(2))
        );

        let records = files["records.json"].as_array().expect("a list");
        let of = |action: &str| {
            records.iter().find(|it| it["action"] == action).unwrap_or_else(|| panic!("no {action}: {records:?}"))
        };
        assert_eq!((&of("login")["by"], &of("login")["address"]), (&json!("you"), &json!("127.0.0.1")));
        assert_eq!((&of("balance_viewed")["by"], &of("balance_viewed")["address"]), (&json!("the bank"), &Value::Null));
        assert_eq!((&of("users_listed")["by"], &of("users_listed")["detail"]), (&json!("the bank"), &Value::Null));
        assert_eq!((&of("login_failed")["by"], &of("login_failed")["subject"]), (&Value::Null, &json!(ada.email)));
        assert_eq!(of("account_renamed")["detail"], "Holidays");
        eventually("the export is on record", async || {
            bank.number("select count(*) from audit_log where action = 'data_exported'").await == 1
        })
        .await;
        let all = files.values().map(Value::to_string).collect::<String>();
        for hidden in [
            &id_of(&clerk).await,
            &id_of(&bob).await,
            &bob.email,
            &key.text_at("/api_key"),
            "What Bob calls Ada",
            "of Bob alone",
            "argon2",
        ] {
            assert!(!all.contains(hidden), "{hidden} is in it");
        }
    }

    async fn those_who_work_here_take_along_what_is_about_them_alone(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        clerk.get(&format!("/users/{}", id_of(&ada).await)).send().await.expect_status(200);
        clerk.get(&format!("/balance?account_number={}", ada.account)).send().await.expect_status(200);
        eventually("the looks are on record", async || {
            bank.number("select count(*) from audit_log where action in ('balance_viewed', 'user_viewed')").await == 2
        })
        .await;
        let records = export(&clerk).await["records.json"].clone();
        let actions: Vec<_> =
            records.as_array().expect("a list").iter().filter_map(|it| it["action"].as_str()).collect();
        assert!(actions.contains(&"login") && !actions.contains(&"user_viewed"), "{actions:?}");
        assert!(!records.to_string().contains(&ada.account), "{records}");
        // The frozen may look at what is theirs.
        let admin = bank.employee("admin").await;
        let freeze = admin.request(Method::PUT, &format!("/users/{}/status", id_of(&ada).await));
        freeze.json(json!({"status": "frozen"})).send().await.expect_status(200);
        assert!(export(&ada).await.contains_key("profile.json"));
    }

    async fn nothing_is_left_of_whoever_was_erased(bank: &TestBank) {
        let (admin, bob) = (bank.employee("admin").await, bank.customer().await);
        let sign_up = json!({"name": "Zaphod Unicorn", "email": "zaphod.unicorn@example.net", "password": PASSWORD});
        let number =
            bank.post("/create_account", sign_up).send().await.expect_status(201).text_at("/account/account_number");
        let sign_in = bank.post("/login", json!({"email": "zaphod.unicorn@example.net", "password": PASSWORD}));
        let tokens = sign_in.header("user-agent", "unicorn-browser/1").send().await.expect_status(200);
        let zaphod = Customer {
            bank,
            email: "zaphod.unicorn@example.net".to_owned(),
            account: number,
            token: tokens.text_at("/access_token"),
            refresh_token: tokens.text_at("/refresh_token"),
        };
        let id = id_of(&zaphod).await;
        zaphod
            .request(Method::PATCH, &format!("/accounts/{}", zaphod.account))
            .json(json!({"metadata": {"k": "unicorn-metadata"}}))
            .send()
            .await
            .expect_status(200);
        let labelled =
            zaphod.open_account(json!({"label": "unicorn-label"})).await.expect_status(201).text_at("/account_number");
        let texts = |n: usize| json!({"description": format!("unicorn-text-{n}"), "reference": format!("unicorn-reference-{n}"), "metadata": {"k": format!("unicorn-pair-{n}")}});
        let with = |body: Value, n: usize| {
            let mut body = body;
            body.as_object_mut().expect("an object").extend(texts(n).as_object().expect("an object").clone());
            body
        };
        let items: Vec<_> = (0..700)
            .map(|n| with(json!({"type": "deposit", "account_number": zaphod.account, "amount": "1"}), n))
            .collect();
        zaphod
            .post("/transactions/batch", json!({"group": "unicorn-group", "transactions": items}))
            .send()
            .await
            .expect_status(200);
        let to_bob = with(json!({"from_account": zaphod.account, "to_account": bob.account, "amount": "10"}), 700);
        let to_bob = zaphod.post("/transfer", to_bob).send().await.expect_status(201).text_at("/id");
        let gift = json!({"from_account": bob.account, "to_account": zaphod.account, "amount": "3", "description": "What Bob wrote", "reference": "B-1"});
        bob.post("/transfer", gift).send().await.expect_status(201);
        // A reference is a name in the books of whoever asked for the movement: here the bank's.
        let by_bank = json!({"account_number": zaphod.account, "amount": "7", "reference": "BANK-1", "metadata": {"k": "unicorn-note"}, "description": "unicorn-words"});
        admin.post("/deposit", by_bank).send().await.expect_status(201);
        for n in [701, 702] {
            let hold = zaphod
                .post("/holds", with(json!({"account_number": zaphod.account, "amount": "1"}), n))
                .send()
                .await
                .expect_status(201)
                .text_at("/id");
            let end = if n == 701 { "capture" } else { "release" };
            let ended = zaphod.post(&format!("/holds/{hold}/{end}"), json!({})).send().await;
            assert!(ended.status.is_success(), "{}", ended.body);
        }
        zaphod
            .post("/me/payees", json!({"name": "unicorn-payee", "account_number": bob.account}))
            .send()
            .await
            .expect_status(201);
        bob.post("/me/payees", json!({"name": "unicorn-friend", "account_number": zaphod.account}))
            .send()
            .await
            .expect_status(201);
        zaphod.post("/me/api_keys", json!({"name": "Web shop", "scopes": ["read"]})).send().await.expect_status(201);
        admin.post(&format!("/users/{id}/notes"), json!({"text": "unicorn-remark"})).send().await.expect_status(201);
        let before = everything_stored(bank).await;
        assert!(
            ["unicorn-text-650", "unicorn-pair-3", "Zaphod Unicorn", "unicorn-browser", "unicorn-remark"]
                .iter()
                .all(|text| before.contains(text))
        );

        ask_to_erase(&admin, &id).await.expect_problem(409, "accounts_open");
        empty_and_close(&zaphod).await;
        ask_to_erase(&admin, &id).await.expect_problem(409, "accounts_open");
        zaphod.request(Method::DELETE, &format!("/accounts/{labelled}")).send().await.expect_status(204);
        let erased = ask_to_erase(&admin, &id).await.expect_status(200);
        assert_eq!(erased.text_at("/user_id"), id);
        assert!(erased.body["texts_erased_at"].is_string(), "{}", erased.body);
        assert_eq!(ask_to_erase(&admin, &id).await.expect_status(200).body, erased.body);

        let after = everything_stored(bank).await;
        for text in ["nicorn", "Zaphod", "zaphod"] {
            let at = after.find(text).map(|at| after[at.saturating_sub(20)..].chars().take(60).collect::<String>());
            assert_eq!(at, None, "{text} is still there");
        }
        // What SQLite deletes it overwrites, but where it has moved a row to another page a copy may be left.
        let left = files(bank).matches("nicorn").count();
        assert!(left <= 15, "{left} of some 2,000 texts are left in the file");
        if bank.kind == Kind::Sqlite {
            bank.tamper("vacuum; pragma wal_checkpoint(truncate)").await;
            assert_eq!(files(bank).matches("nicorn").count(), 0);
        }
        assert!(after.contains("BANK-1") && after.contains("What Bob wrote") && after.contains("B-1"));
        zaphod.get("/me").send().await.expect_problem(401, "invalid_token");
        bank.sign_in(&zaphod.email, PASSWORD).await.expect_problem(401, "invalid_credentials");
        admin.get(&format!("/users/{id}")).send().await.expect_problem(404, "user_not_found");

        // The other side keeps its movement, and what it wrote itself.
        let statement = bob.get(&format!("/accounts/{}/statement", bob.account)).send().await.expect_status(200);
        let shown: Vec<_> = statement.body["movements"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|it| (it["amount"].clone(), it["balance"].clone(), it["description"].clone()))
            .collect();
        assert_eq!(
            shown,
            [(json!("10.00"), json!("10.00"), Value::Null), (json!("3.00"), json!("7.00"), json!("What Bob wrote"))]
        );
        assert!(
            bob.get(&format!("/transactions/{to_bob}")).send().await.expect_status(200).body["description"].is_null()
        );
        let staffs = admin.get(&format!("/accounts/{}/statement", zaphod.account)).send().await.expect_status(200);
        assert_eq!(staffs.body["movements"].as_array().map(Vec::len), Some(705));
        assert_eq!(staffs.text_at("/closing_balance"), "0.00");
        for query in ["metadata[k]=unicorn-pair-3", "reference=unicorn-reference-3", "group=unicorn-group"] {
            let found = admin.get(&format!("/transactions?{query}")).send().await.expect_status(200);
            assert_eq!(found.body["data"], json!([]), "{query}");
        }
        assert_eq!(
            admin.get("/transactions?reference=BANK-1").send().await.body["data"].as_array().map(Vec::len),
            Some(1)
        );
        let again = json!({"account_number": bob.account, "amount": "1", "reference": "BANK-1"});
        admin.post("/deposit", again).send().await.expect_problem(409, "reference_taken");

        let mut report = Vec::new();
        bank.record_roles().await;
        assert!(doctor::examine(&bank.db, |finding| report.push(finding.to_string())).await.expect("an answer"));
        for line in [format!("ok   {ON_RECORD}: 703 erased texts"), format!("ok   {NOTHING_LEFT}: 1 erased people")] {
            assert!(report.contains(&line), "{line}: {report:?}");
        }
        let records = admin.get(&format!("/audit?action=user_erased,user_closed&user_id={id}")).send().await;
        assert_eq!(records.body["data"].as_array().map(Vec::len), Some(2), "{}", records.body);
    }

    /// What was written on the hold is no part of the request to capture it.
    async fn a_capture_is_the_same_after_an_erasure(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        ada.deposit("10").await.expect_status(201);
        let hold = json!({"account_number": ada.account, "amount": "4", "description": "Deposit for the room", "metadata": {"room": "7"}});
        let hold = clerk.post("/holds", hold).send().await.expect_status(201).text_at("/id");
        let capture = || clerk.post(&format!("/holds/{hold}/capture"), json!({})).header("idempotency-key", "k").send();
        let first = capture().await.expect_status(201);
        leave_and_be_erased(&ada).await;
        let again = capture().await.expect_status(201);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(again.body["id"], first.body["id"]);
        assert_eq!(again.body["description"], Value::Null);
    }

    async fn who_has_left_is_erased_too_and_nobody_by_themselves(bank: &TestBank) {
        let (ada, admin, clerk) = (bank.customer().await, bank.employee("admin").await, bank.employee("staff").await);
        let id = id_of(&ada).await;
        ada.post("/deposit", json!({"account_number": ada.account, "amount": "1", "description": "Salary"}))
            .send()
            .await
            .expect_status(201);
        empty_and_close(&ada).await;
        ada.request(Method::DELETE, "/me").send().await.expect_status(204);
        ask_to_erase(&clerk, &id).await.expect_problem(403, "role_required");
        ask_to_erase(&admin, &id_of(&admin).await).await.expect_problem(403, "not_for_oneself");
        ask_to_erase(&admin, "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88").await.expect_problem(404, "user_not_found");
        ask_to_erase(&admin, &id).await.expect_status(200);
        let movement =
            admin.get(&format!("/transactions?account_number={}", ada.account)).send().await.expect_status(200);
        assert!(movement.body["data"][1]["description"].is_null(), "{}", movement.body);
        // An admin goes like anybody else, but the last one stays.
        let other = bank.employee("admin").await;
        empty_and_close(&other).await;
        ask_to_erase(&admin, &id_of(&other).await).await.expect_status(200);
    }

    /// What was cut short, such as by a crash, is gone on with by whoever asks again, and by housekeeping.
    async fn an_erasure_that_was_cut_short_is_finished(bank: &TestBank) {
        let (ada, admin) = (bank.customer().await, bank.employee("admin").await);
        let id = id_of(&ada).await;
        leave_and_be_erased(&ada).await;
        let number = &ada.account;
        bank.tamper("update users set texts_erased_at = null where erased_at is not null").await;
        bank.tamper(&format!("insert into account_metadata (account_number, metadata) values ({number}, '{{}}')"))
            .await;
        let erased = ask_to_erase(&admin, &id).await.expect_status(200);
        assert!(erased.body["texts_erased_at"].is_string(), "{}", erased.body);
        assert_eq!(
            bank.number(&format!("select count(*) from account_metadata where account_number = {number}")).await,
            0
        );
        bank.tamper("update users set texts_erased_at = null where erased_at is not null").await;
        let (_, twin) = bank.twin().await;
        eventually("another instance finishes it", async || {
            bank.number("select count(*) from users where erased_at is not null and texts_erased_at is null").await == 0
        })
        .await;
        twin.close().await;
    }

    /// Nobody hides a text that was changed by erasing it: an erasure is on record, and of a person.
    async fn what_was_erased_off_the_record_is_found(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        for who in [&ada, &bob] {
            let salary = json!({"account_number": who.account, "amount": "1", "description": "Salary"});
            who.post("/deposit", salary).send().await.expect_status(201);
        }
        leave_and_be_erased(&ada).await;
        assert_eq!(bank.books_wrong().await, []);
        disarm(bank).await;
        let of_bob = format!("account {} entry 1", bob.account);
        bank.tamper("update transactions set description = 'Gift' where description = 'Salary'").await;
        assert_eq!(bank.books_wrong().await, [("texts are as they were written, or erased", vec![of_bob.clone()])]);
        bank.tamper("update transactions set description = null, text_salt = null where description = 'Gift'").await;
        assert_eq!(bank.books_wrong().await, [(ON_RECORD, vec![of_bob])]);
        leave_and_be_erased(&bob).await;
        assert_eq!(bank.books_wrong().await, []);
    }

    async fn who_was_erased_off_the_record_is_found(bank: &TestBank) {
        let (eve, admin) = (bank.customer().await, bank.employee("admin").await);
        let id = id_of(&eve).await;
        empty_and_close(&eve).await;
        eve.request(Method::DELETE, "/me").send().await.expect_status(204);
        let literal = bank.literal_of(&id);
        let forged =
            format!("update users set erased_at = 1, name = 'erased', email = 'erased:{id}' where id = {literal}");
        bank.tamper(&forged).await;
        // No record of now explains what was done before.
        for _ in 0..2 {
            let (invariant, named) = bank.books_wrong().await.remove(0);
            assert_eq!((invariant, &named[0]), (NOTHING_LEFT, &format!("user {id}")));
            ask_to_erase(&admin, &id).await.expect_status(200);
        }
        let undone = format!("update users set erased_at = null, texts_erased_at = null where id = {literal}");
        assert!(bank.try_to_tamper(&undone).await.is_err(), "who was erased stays erased");
        let on = if bank.kind == Kind::Postgres { " on users" } else { "" };
        bank.tamper(&format!("drop trigger users_stay_erased{on}")).await;
        bank.tamper(&undone).await;
        ask_to_erase(&admin, &id).await.expect_status(200);
    }

    /// Whatever an erasure takes away, the doctor misses when it is still there.
    async fn what_an_erasure_left_is_found(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let salary = json!({"account_number": ada.account, "amount": "1", "reference": "A-1"});
        let movement = ada.post("/deposit", salary).send().await.expect_status(201).text_at("/id");
        let notices = json!({"notify_above": "5", "alert_below": "1"});
        ada.request(Method::PATCH, &format!("/accounts/{}", ada.account)).json(notices).send().await.expect_status(200);
        leave_and_be_erased(&ada).await;
        let kept = format!(
            "select count(*) from accounts where account_number = {} and (notify_above is not null or alert_below is not null)",
            ada.account
        );
        assert_eq!(bank.number(&kept).await, 0);
        assert_eq!(bank.books_wrong().await, []);
        disarm(bank).await;
        let on = if bank.kind == Kind::Postgres { " on tags" } else { "" };
        for trigger in ["tags_refuse_other_names", "tags_refuse_other_metadata"] {
            bank.tamper(&format!("drop trigger {trigger}{on}")).await;
        }
        let account = &ada.account;
        let here = format!("account_number = {account}");
        let bobs_id = bank.literal_of(&id_of(&bob).await);
        let movement = format!("id = {}", bank.literal_of(&movement));
        let put = |table: &str, column: &str, value: &str, place: &str| {
            let set = |value: &str| format!("update {table} set {column} = {value} where {place}");
            (set(value), set("null"))
        };
        let add = |table: &str, columns: &str, values: &str| {
            (format!("insert into {table} ({columns}) values ({values})"), format!("delete from {table} where {here}"))
        };
        for (put_back, take_away) in [
            put("accounts", "notify_above", "1", &here),
            put("accounts", "alert_below", "1", &here),
            put("accounts", "label", "'Savings'", &here),
            add("account_metadata", "account_number, metadata", &format!("{account}, '{{}}'")),
            add(
                "payees",
                "id, user_id, name, account_number, created_at",
                &format!("{bobs_id}, {bobs_id}, 'Ada', {account}, 1"),
            ),
            put("tags", "reference", "'A-1'", &movement),
            put("tags", "metadata", "'{}'", &movement),
        ] {
            bank.tamper(&put_back).await;
            let wrong = bank.books_wrong().await;
            assert!(wrong.iter().any(|(invariant, _)| *invariant == NOTHING_LEFT), "{put_back}: {wrong:?}");
            bank.tamper(&take_away).await;
            assert_eq!(bank.books_wrong().await, [], "{take_away}");
        }
        // What waited for approval, and expired: into the account from the bank's own, and out of it.
        for (movement_type, accounts) in [(1, format!("null, {account}")), (2, format!("{account}, null"))] {
            let id = bank.literal_of(&Uuid::now_v7().to_string());
            bank.tamper(&format!(
                "insert into approvals (id, type, from_account, to_account, amount, currency, description, requested_by,
                                        requested_at, expires_at)
                 values ({id}, {movement_type}, {accounts}, 1, 'USD', 'Rent', {bobs_id}, 1, 2)"
            ))
            .await;
            let wrong = bank.books_wrong().await;
            assert!(wrong.iter().any(|(invariant, _)| *invariant == NOTHING_LEFT), "{accounts}: {wrong:?}");
            bank.tamper(&format!("update approvals set description = null where id = {id}")).await;
            assert_eq!(bank.books_wrong().await, [], "{accounts}");
        }
    }

    async fn movements_that_come_meanwhile_are_refused_or_erased(bank: &TestBank) {
        let (ada, bob, admin) = (bank.customer().await, bank.customer().await, bank.employee("admin").await);
        let id = id_of(&ada).await;
        bob.deposit("100").await.expect_status(201);
        empty_and_close(&ada).await;
        let second = ada.open_account(json!({})).await.expect_status(201).text_at("/account_number");
        let deposits = join_all((0..20).map(|n| {
            let body = json!({"account_number": second, "amount": "1", "description": format!("late {n}")});
            ada.post("/deposit", body).send()
        }));
        let transfers = join_all((0..20).map(|_| bob.transfer(&second, "1")));
        let ends = async {
            let close = ada.request(Method::DELETE, &format!("/accounts/{second}")).send().await.status;
            (close, ask_to_erase(&admin, &id).await)
        };
        let ((_, _), (_, erasing)) = join(join(deposits, transfers), ends).await;
        assert!(erasing.status == 200 || erasing.body["code"] == "accounts_open", "{}", erasing.body);
        let is_gone = erasing.status == 200;
        let left = bank.number("select count(*) from transactions where description like 'late%'").await;
        assert!(!is_gone || left == 0, "{left} texts came after the erasure");
    }
}

/// A backup or the doctor, say, reads one moment of the books: then the log cannot be emptied, and nobody waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_beside_a_reader_keeps_nobody_waiting_and_is_finished_later() {
    let bank = TestBank::open(Kind::Sqlite).await;
    let (ada, bob, admin) = (bank.customer().await, bank.customer().await, bank.employee("admin").await);
    let id = id_of(&ada).await;
    empty_and_close(&ada).await;
    let mut reader = bank.db.snapshot().await.expect("a snapshot");
    reader.count_customers().await.expect("a number");
    bob.deposit("1").await.expect_status(201);
    let (erased, deposits) = join(ask_to_erase(&admin, &id), join_all((0..50).map(|_| bob.deposit("1")))).await;
    deposits.into_iter().for_each(|answer| drop(answer.expect_status(201)));
    assert!(erased.expect_status(200).body["texts_erased_at"].is_null());
    drop(reader);
    eventually("the erasure is finished by whoever asks again", async || {
        ask_to_erase(&admin, &id).await.expect_status(200).body["texts_erased_at"].is_string()
    })
    .await;
    bank.close_with_books_right().await;
}

/// Litestream, say, copies the log before it makes a checkpoint: nothing must be taken away from under it.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_leaves_the_log_to_another_process_that_makes_the_checkpoints() {
    let bank = TestBank::open_with(Kind::Sqlite, &["--checkpoints", "external"]).await;
    let (ada, admin) = (bank.customer().await, bank.employee("admin").await);
    let id = id_of(&ada).await;
    empty_and_close(&ada).await;
    let log = coffer_core::files::log_of_sqlite(bank.db.file().expect("a file"));
    let length = || std::fs::metadata(&log).expect("a log").len();
    let before = length();
    assert!(ask_to_erase(&admin, &id).await.expect_status(200).body["texts_erased_at"].is_string());
    assert!(before > 0 && length() >= before, "{before} {}", length());
    bank.close_with_books_right().await;
}

bank_tests! {
    with &["--approval-above", "1000"];

    async fn an_erasure_takes_two_admins_where_roles_do(bank: &TestBank) {
        let (first, second, ada) = (bank.employee("admin").await, bank.employee("admin").await, bank.customer().await);
        let id = id_of(&ada).await;
        ask_to_erase(&first, &id).await.expect_problem(409, "accounts_open");
        empty_and_close(&ada).await;
        let waiting = ask_to_erase(&first, &id).await.expect_status(202);
        assert_eq!((waiting.text_at("/type"), waiting.text_at("/user_id")), ("erasure".to_owned(), id.clone()));
        ada.get("/me").send().await.expect_status(200);
        let path = format!("/approvals/{}/approve", waiting.text_at("/id"));
        first.request(Method::POST, &path).send().await.expect_problem(403, "own_approval");
        // Nobody is erased who has opened an account meanwhile.
        let other = ada.open_account(json!({})).await.expect_status(201).text_at("/account_number");
        second.request(Method::POST, &path).send().await.expect_problem(409, "accounts_open");
        ada.request(Method::DELETE, &format!("/accounts/{other}")).send().await.expect_status(204);
        second.request(Method::POST, &path).send().await.expect_status(200);
        ada.get("/me").send().await.expect_problem(401, "invalid_token");
        assert!(ask_to_erase(&first, &id).await.expect_status(200).body["texts_erased_at"].is_string());
    }
}
