//! Records of looking, and how records are found: by person, account, kind and time, on the screen and as a file.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::databases::Kind;
use crate::harness::{Answer, Customer, PASSWORD, bank_tests, eventually};

impl Customer<'_> {
    async fn user_id_of_mine(&self) -> String {
        self.get("/me").send().await.expect_status(200).text_at("/id")
    }

    /// Every record that the filters let through, over all pages.
    async fn records(&self, filters: &str) -> Vec<Value> {
        let (mut records, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/audit?limit=3&{filters}{cursor}")).send().await.expect_status(200);
            records.extend(page.body["data"].as_array().expect("a list").iter().cloned());
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return records,
            }
        }
    }

    /// Waits for the record of the request that was answered so: what is only looked at is written soon after.
    async fn record_of(&self, answer: &Answer) -> Value {
        let id = answer.header("x-request-id").expect("an id").to_owned();
        let mut found = None;
        eventually(&format!("a record of {id}"), async || {
            found = self.records("").await.into_iter().find(|record| record["request_id"] == id.as_str());
            found.is_some()
        })
        .await;
        found.expect("a record")
    }
}

/// Words that a record is found by.
fn words(record: &Value) -> BTreeSet<String> {
    let concerns = record["concerns"].as_array().expect("a list").iter();
    concerns.chain([&record["subject"]]).filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Those GETs that show nothing of anybody else.
const SHOW_NOBODY_ELSE: [&str; 15] = [
    "/me",
    "/me/export",
    "/me/sessions",
    "/me/payees",
    "/me/api_keys",
    "/me/api_keys/{id}",
    "/me/second_factor",
    "/bank_accounts",
    "/bank_accounts/{code}",
    "/trial_balance",
    "/totals",
    "/webhooks",
    "/webhooks/{id}",
    "/webhooks/{id}/deliveries",
    "/approvals/count",
];

/// Every GET of the document that takes a token.
fn routes_that_show() -> Vec<String> {
    let document = coffer::api::docs::openapi::document(coffer_core::money::DEFAULT_MAXIMUM);
    let paths = document["paths"].as_object().expect("paths").iter();
    let with_token = paths.filter(|(_, item)| item["get"]["security"].as_array().is_some_and(|all| !all.is_empty()));
    with_token.map(|(path, _)| path.clone()).filter(|path| !SHOW_NOBODY_ELSE.contains(&path.as_str())).collect()
}

bank_tests! {
    with &["--approval-above", "1000"];

    async fn whatever_those_who_work_here_see_of_others_is_on_record(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        let (clerk, admin) = (bank.employee("staff").await, bank.employee("admin").await);
        let id = ada.user_id_of_mine().await;
        let movement = ada.deposit("10").await.expect_status(201).text_at("/id");
        let held = ada.post("/holds", json!({"account_number": ada.account, "amount": "1"})).send().await;
        let hold = held.expect_status(201).text_at("/id");
        let large = json!({"account_number": ada.account, "amount": "1000.01"});
        let approval = clerk.post("/deposit", large).send().await.expect_status(202).text_at("/id");
        let routes = routes_that_show();
        assert!(routes.len() >= 9, "{routes:?}");
        for who in [&auditor, &clerk, &admin] {
            let who_id = who.user_id_of_mine().await;
            for route in &routes {
                let path = match route.as_str() {
                    "/balance" | "/transactions" | "/holds" | "/events" => {
                        format!("{route}?account_number={}", ada.account)
                    }
                    "/accounts" => format!("/accounts?owner_id={id}"),
                    "/users" => format!("/users?search={}", ada.email),
                    // Which staff may not read.
                    "/audit" | "/audit.csv" | "/users/{user_id}/api_keys" if who.email == clerk.email => continue,
                    "/audit" | "/audit.csv" => format!("{route}?user_id={id}"),
                    "/transactions/{id}" => format!("/transactions/{movement}"),
                    "/holds/{id}" => format!("/holds/{hold}"),
                    "/approvals/{id}" => format!("/approvals/{approval}"),
                    other => other.replace("{account_number}", &ada.account).replace("{user_id}", &id),
                };
                let answer = who.get(&path).send().await.expect_status(200);
                let record = auditor.record_of(&answer).await;
                let words = words(&record);
                // A file of the whole bank is about everybody, so its record names nobody.
                let is_of_all = record["action"].as_str().is_some_and(|action| action.ends_with("_exported"));
                assert!(is_of_all || words.contains(&id) || words.contains(&ada.account), "{path}: {record}");
                assert_eq!((&record["actor_id"], &record["address"]), (&json!(who_id), &json!("127.0.0.1")), "{path}");
                assert_ne!(record["action"], "record_viewed", "{path} does not say what it shows");
            }
        }
        for filter in [format!("user_id={id}"), format!("account_number={}", ada.account)] {
            let found = auditor.records(&format!("{filter}&action=balance_viewed")).await;
            assert_eq!(found.len(), 3, "{filter}: {found:?}");
        }
    }

    async fn what_is_ones_own_leaves_no_record(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        let clerk = bank.employee("staff").await;
        let mut ids = BTreeSet::new();
        for who in [&ada, &clerk] {
            let movement = who.deposit("10").await.expect_status(201).text_at("/id");
            let id = who.user_id_of_mine().await;
            for path in [
                format!("/balance?account_number={}", who.account),
                format!("/transactions?account_number={}", who.account),
                format!("/transactions/{movement}"),
                format!("/accounts/{}", who.account),
                format!("/accounts/{}/statement", who.account),
                "/accounts".to_owned(),
                format!("/accounts?owner_id={id}"),
                "/me".to_owned(),
                "/me/sessions".to_owned(),
                "/me/second_factor".to_owned(),
            ]
            .into_iter()
            .chain((who.email == clerk.email).then(|| format!("/users/{id}/sessions")))
            {
                let answer = who.get(&path).send().await.expect_status(200);
                ids.insert(answer.header("x-request-id").expect("an id").to_owned());
            }
        }
        // What came later is on record by now.
        let last = clerk.get(&format!("/accounts/{}", ada.account)).send().await.expect_status(200);
        auditor.record_of(&last).await;
        let strays: Vec<Value> = auditor
            .records("")
            .await
            .into_iter()
            .filter(|record| record["request_id"].as_str().is_some_and(|id| ids.contains(id)))
            .collect();
        assert!(strays.is_empty(), "{strays:?}");
    }

    async fn asking_every_second_makes_one_record_a_minute(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        let path = format!("/balance?account_number={}", ada.account);
        for _ in 0..20 {
            auditor.get(&path).send().await.expect_status(200);
        }
        let other = auditor.get(&format!("/accounts/{}", ada.account)).send().await.expect_status(200);
        auditor.record_of(&other).await;
        assert_eq!(auditor.records("action=balance_viewed").await.len(), 1);
    }

    async fn what_staff_are_told_without_changing_anything_is_on_record(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        let (clerk, admin) = (bank.employee("staff").await, bank.employee("admin").await);
        let id = ada.user_id_of_mine().await;
        ada.deposit("10").await.expect_status(201);
        // A status that it has already: the answer shows the account all the same.
        let account =
            clerk.request(Method::PUT, &format!("/accounts/{}/status", ada.account)).json(json!({"status": "open"}));
        let user = clerk.request(Method::PUT, &format!("/users/{id}/status")).json(json!({"status": "active"}));
        let role = admin.request(Method::PUT, &format!("/users/{id}/role")).json(json!({"role": "customer"}));
        for (request, word) in [(account, &ada.account), (user, &id), (role, &id)] {
            let record = auditor.record_of(&request.send().await.expect_status(200)).await;
            assert!(
                words(&record).contains(word) || record["subject"].as_str().is_some_and(|it| it.contains(word)),
                "{record}"
            );
            assert_eq!(record["action"], "record_viewed");
        }
        // A refusal says what there is.
        let body = json!({"account_number": ada.account, "amount": "1000"});
        let refused = clerk.post("/withdraw", body).send().await.expect_problem(409, "insufficient_funds");
        let record = auditor.record_of(&refused).await;
        assert_eq!((&record["action"], &record["detail"]), (&json!("movement_refused"), &json!("insufficient_funds")));
        assert_eq!(words(&record), [id.clone(), ada.account.clone()].into());
        let item = json!({"type": "withdrawal", "account_number": ada.account, "amount": "999"});
        for atomic in [true, false] {
            // The same look is on record once a minute: each round looks at another account.
            let other = bank.customer().await;
            let others = json!({"type": "withdrawal", "account_number": other.account, "amount": "999"});
            let batch = json!({"atomic": atomic, "transactions": [item, others]});
            let refused =
                clerk.post("/transactions/batch", batch).send().await.expect_status(if atomic { 409 } else { 200 });
            assert!(words(&auditor.record_of(&refused).await).is_superset(&[id.clone(), other.account.clone()].into()));
        }
        // One's own refusals are one's own business.
        clerk.withdraw("1").await.expect_problem(409, "insufficient_funds");
        ada.withdraw("999").await.expect_problem(409, "insufficient_funds");
        let last = clerk.get(&format!("/users/{id}")).send().await.expect_status(200);
        auditor.record_of(&last).await;
        assert_eq!(auditor.records("action=movement_refused").await.len(), 3);
    }

    async fn looking_waits_for_no_lock_and_its_record_comes_when_that_is_gone(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        let mut lock = bank.db.begin().await.expect("a transaction");
        if let coffer_core::db::Tx::Postgres(tx) = &mut lock {
            sqlx::query("update audit_head set sequence = sequence").execute(&mut **tx).await.expect("the lock");
        }
        let started = Instant::now();
        let answer = auditor.get(&format!("/balance?account_number={}", ada.account)).send().await.expect_status(200);
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        // Longer than a try to write takes: it is tried again.
        tokio::time::sleep(Duration::from_secs(4)).await;
        lock.rollback().await.expect("the end");
        auditor.record_of(&answer).await;
    }

    async fn sign_ups_and_opened_and_renamed_accounts_are_on_record(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        let (clerk, id) = (bank.employee("staff").await, ada.user_id_of_mine().await);
        let first = auditor.records(&format!("user_id={id}&action=user_created,account_opened")).await;
        assert_eq!(first.len(), 2, "{first:?}");
        for record in &first {
            assert_eq!((&record["actor_id"], &record["address"]), (&json!(id), &json!("127.0.0.1")), "{record}");
        }
        let second = ada.open_account(json!({"currency": "EUR"})).await.expect_status(201).text_at("/account_number");
        let opened = auditor.records(&format!("account_number={second}&action=account_opened")).await;
        assert_eq!(
            (opened.len(), &opened[0]["action"], &opened[0]["detail"]),
            (1, &json!("account_opened"), &json!("EUR"))
        );
        let path = format!("/accounts/{second}");
        clerk.request(Method::PATCH, &path).json(json!({"label": "Rent"})).send().await.expect_status(200);
        let renamed = auditor.records(&format!("user_id={id}&action=account_renamed")).await;
        assert_eq!(
            (&renamed[0]["actor_id"], &renamed[0]["detail"]),
            (&json!(clerk.user_id_of_mine().await), &json!("Rent"))
        );
        // Whoever is signed up by staff is so in their name.
        let body = json!({"name": "Bob", "email": "bob.by.staff@example.com", "password": PASSWORD});
        let bob = clerk.post("/create_account", body).send().await.expect_status(201).text_at("/user/id");
        let created = auditor.records(&format!("user_id={bob}&action=user_created")).await;
        assert_eq!(created[0]["actor_id"], clerk.user_id_of_mine().await.as_str());
    }

    async fn a_request_has_the_banks_id_and_the_clients_beside_it(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        let asked = auditor.get(&format!("/accounts/{}", ada.account)).header("x-request-id", "mine:1").send().await;
        let asked = asked.expect_status(200);
        assert_eq!(asked.header("x-client-request-id"), Some("mine:1"));
        let record = auditor.record_of(&asked).await;
        assert_eq!(record["client_request_id"], "mine:1");
        // Nobody can have a record in the name of another request.
        let forged = asked.header("x-request-id").expect("an id").to_owned();
        let again = auditor.get(&format!("/balance?account_number={}", ada.account)).header("x-request-id", &forged);
        let again = again.send().await.expect_status(200);
        assert_ne!(again.header("x-request-id"), Some(&*forged));
        let other = auditor.record_of(&again).await;
        assert_eq!(other["client_request_id"], forged.as_str());
        // Nor be told another's in a problem.
        let problem =
            bank.get("/me").header("x-request-id", "mine:2").send().await.expect_problem(401, "missing_token");
        assert_eq!(problem.header("x-client-request-id"), Some("mine:2"));
        assert_eq!(problem.text_at("/request_id").len(), 36);
    }

    async fn every_filter_holds_beside_every_other(bank: &TestBank) {
        let (ada, bob, auditor) = (bank.customer().await, bank.customer().await, bank.employee("auditor").await);
        let (clerk, admin) = (bank.employee("staff").await, bank.employee("admin").await);
        for who in [&clerk, &admin] {
            for owner in [&ada, &bob] {
                who.get(&format!("/balance?account_number={}", owner.account)).send().await.expect_status(200);
                let last = who.get(&format!("/accounts/{}", owner.account)).send().await.expect_status(200);
                auditor.record_of(&last).await;
            }
        }
        let ids = [ada.user_id_of_mine().await, bob.user_id_of_mine().await, clerk.user_id_of_mine().await];
        // Looking for somebody is recorded itself: those records come later, and are left out.
        let all: Vec<Value> =
            auditor.records("").await.into_iter().filter(|record| record["action"] != "audit_read").collect();
        let middle = all[all.len() / 2]["created_at"].as_str().expect("a moment");
        let newest = all[0]["created_at"].as_str().expect("a moment");
        let persons = [None, Some(&ids[0]), Some(&ids[1]), Some(&ids[2])];
        let kinds = [None, Some("account_viewed"), Some("account_viewed,login,balance_viewed"), Some("demo_filled")];
        let mut checked = 0;
        for person in persons {
            for actor in [None, Some(&ids[2])] {
                for account in [None, Some(&ada.account)] {
                    for kind in kinds {
                        for (from, to) in
                            [(None, None), (Some(middle), None), (None, Some(middle)), (Some(middle), Some(newest))]
                        {
                            let wanted = |record: &&Value| {
                                let words = words(record);
                                person.is_none_or(|id| record["actor_id"] == id.as_str() || words.contains(id))
                                    && actor.is_none_or(|id| record["actor_id"] == id.as_str())
                                    && account.is_none_or(|number| words.contains(number))
                                    && kind.is_none_or(|kinds| kinds.split(',').any(|kind| record["action"] == kind))
                                    && from.is_none_or(|from| record["created_at"].as_str() >= Some(from))
                                    && to.is_none_or(|to| record["created_at"].as_str() < Some(to))
                            };
                            let expected: Vec<&Value> = all.iter().filter(wanted).collect();
                            let filters: String = [
                                ("user_id", person.map(String::as_str)),
                                ("actor_id", actor.map(String::as_str)),
                                ("account_number", account.map(String::as_str)),
                                ("action", kind),
                                ("from", from),
                                ("to", to),
                            ]
                            .into_iter()
                            .filter_map(|(name, value)| Some(format!("&{name}={}", value?)))
                            .collect();
                            let found = auditor.records(&filters).await;
                            let found: Vec<&Value> =
                                found.iter().filter(|record| record["action"] != "audit_read").collect();
                            assert_eq!(found, expected, "{filters}");
                            checked += usize::from(!expected.is_empty());
                        }
                    }
                }
            }
        }
        assert!(checked > 30, "{checked}");
    }

    async fn a_cursor_belongs_to_its_filters(bank: &TestBank) {
        let auditor = bank.employee("auditor").await;
        bank.customer().await;
        let page = auditor.get("/audit?limit=1").send().await.expect_status(200);
        let cursor = page.text_at("/next_cursor");
        auditor.get(&format!("/audit?limit=2&cursor={cursor}")).send().await.expect_status(200);
        for other in ["action=login", "to=2999-01-01T00:00:00Z", "account_number=10000000000180"] {
            let refused = auditor.get(&format!("/audit?{other}&cursor={cursor}")).send().await;
            assert_eq!(refused.expect_problem(422, "cursor_invalid").pointers(), ["?cursor"], "{other}");
        }
        let unknown = auditor.get("/audit?action=login,nonsense").send().await.expect_problem(422, "unknown_value");
        assert_eq!(unknown.pointers(), ["?action"]);
    }

    async fn the_log_is_taken_as_a_file_that_no_spreadsheet_runs(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        let path = format!("/accounts/{}", ada.account);
        ada.request(Method::PATCH, &path).json(json!({"label": "=1+1"})).send().await.expect_status(200);
        for _ in 0..3 {
            bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        }
        let filters = format!("account_number={}", ada.account);
        let file = auditor.get(&format!("/audit.csv?{filters}")).send().await.expect_status(200);
        assert_eq!(file.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
        assert!(
            file.header("content-disposition").is_some_and(|it| it.starts_with("attachment; filename=\"audit-")),
            "{file:?}"
        );
        let text = String::from_utf8(file.bytes.clone()).expect("UTF-8");
        let mut reader = csv::Reader::from_reader(text.strip_prefix('\u{feff}').expect("a byte order mark").as_bytes());
        let rows = reader.records().map(|row| row.expect("a row")).filter(|row| &row[2] != "audit_read");
        let rows: Vec<csv::StringRecord> = rows.collect();
        let records: Vec<Value> =
            auditor.records(&filters).await.into_iter().filter(|it| it["action"] != "audit_read").collect();
        assert_eq!(rows.len(), records.len());
        for (row, record) in rows.iter().zip(&records) {
            assert_eq!(row[0], record["sequence"].to_string());
            assert_eq!(
                (&row[1], &row[2], &row[10]),
                (
                    record["created_at"].as_str().expect("text"),
                    record["action"].as_str().expect("text"),
                    record["hash"].as_str().expect("text")
                )
            );
        }
        assert_eq!(&rows[0][6], "'=1+1");
        let taken = auditor.record_of(&file).await;
        assert_eq!((&taken["action"], &taken["detail"]), (&json!("audit_read"), &json!("as a file")));
        auditor.get("/audit.csv?limit=2").send().await.expect_status(422);
    }

    async fn a_long_log_is_paged_and_taken_whole(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        let id = ada.user_id_of_mine().await;
        let many: Vec<_> = (0..1_700)
            .map(|number| {
                use coffer_core::books::audit_event::{Action, Event};
                use coffer_core::timestamp::Timestamp;
                let event = Event::at(
                    if number % 850 == 0 { Action::DemoFilled } else { Action::UserViewed },
                    Timestamp::now(),
                );
                event.about(id.parse::<uuid::Uuid>().expect("an id")).detail(format!("number {number}"))
            })
            .collect();
        for events in many.chunks(500) {
            let mut tx = bank.db.begin().await.expect("a transaction");
            tx.append_to_audit_log(events).await.expect("written");
            tx.commit().await.expect("written");
        }
        let file = auditor.get(&format!("/audit.csv?user_id={id}&action=user_viewed,demo_filled")).send().await;
        let text = String::from_utf8(file.expect_status(200).bytes).expect("UTF-8");
        assert_eq!(text.lines().count(), 1_701);
        let rare = auditor.records(&format!("user_id={id}&action=demo_filled")).await;
        let details: Vec<_> = rare.iter().map(|record| record["detail"].as_str().unwrap_or_default()).collect();
        assert_eq!(details, ["number 850", "number 0"]);
    }

    async fn the_younger_fields_and_the_keys_are_under_the_seal(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        let asked = auditor.get(&format!("/accounts/{}", ada.account)).header("x-request-id", "mine").send().await;
        let record = auditor.record_of(&asked.expect_status(200)).await;
        for table in ["audit_log", "audit_concerns"] {
            for statement in [format!("update {table} set sequence = 1"), format!("delete from {table}")] {
                assert!(bank.try_to_tamper(&statement).await.is_err(), "{statement}");
            }
            bank.tamper(&match bank.kind {
                Kind::Sqlite => format!("drop trigger {table}_refuse_update"),
                Kind::Postgres => format!("alter table {table} disable trigger user"),
            })
            .await;
        }
        for (table, change, undo) in [
            ("audit_log", "client_request_id = 'yours'", "client_request_id = 'mine'"),
            (
                "audit_log",
                "concerns = null",
                &*format!("concerns = '{}'", record["concerns"][0].as_str().expect("a concern")),
            ),
            ("audit_concerns", "created_at = created_at + 1", "created_at = created_at - 1"),
        ] {
            let update = |change: &str| format!("update {table} set {change} where sequence = {}", record["sequence"]);
            bank.tamper(&update(change)).await;
            assert!(!bank.books_wrong().await.is_empty(), "{table}: {change}");
            bank.tamper(&update(undo)).await;
            assert!(bank.books_wrong().await.is_empty(), "{table}: {undo}");
        }
    }
}
