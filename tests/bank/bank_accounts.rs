//! The bank's own accounts, what goes against them, and what the books say of the bank as a whole.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::databases::Kind;
use crate::harness::{Answer, Customer, TestBank, bank_tests};

/// An hour ahead of UTC all year.
const LAGOS: &[&str] = &["--time-zone", "Africa/Lagos"];
const ABOVE_1000: &[&str] = &["--approval-above", "1000"];

impl Customer<'_> {
    async fn open_bank_account(&self, code: &str, name: &str, kind: &str) -> Answer {
        self.post("/bank_accounts", json!({"code": code, "name": name, "kind": kind})).send().await
    }

    /// Pays into `account`, or out of it, against an account of the bank's own.
    async fn against(&self, path: &str, account: &str, amount: &str, code: &str) -> Answer {
        let body = json!({"account_number": account, "amount": amount, "against": code, "description": "By the bank"});
        self.post(path, body).send().await
    }

    /// The balances of one currency by code, and their sum.
    async fn trial_balance(&self, query: &str, currency: &str) -> Value {
        let answer = self.get(&format!("/trial_balance{query}")).send().await.expect_status(200);
        let of_currency = answer.body["data"].as_array().expect("a list").iter().find(|it| it["currency"] == currency);
        let of_currency = of_currency.unwrap_or_else(|| panic!("no {currency}: {}", answer.body));
        let lines = of_currency["accounts"].as_array().expect("a list").iter();
        let mut balances: serde_json::Map<_, _> =
            lines.map(|line| (line["code"].as_str().expect("a code").to_owned(), line["balance"].clone())).collect();
        balances.insert("sum".to_owned(), of_currency["sum"].clone());
        balances.into()
    }
}

/// A bank whose admin has opened `fees` and `interest`.
async fn with_accounts(bank: &TestBank) -> Customer<'_> {
    let admin = bank.employee("admin").await;
    admin.open_bank_account("fees", "Fees earned", "income").await.expect_status(201);
    admin.open_bank_account("interest", "Interest paid", "expense").await.expect_status(201);
    admin
}

bank_tests! {
    async fn an_admin_opens_accounts_of_the_bank_and_those_who_work_there_see_them(bank: &TestBank) {
        let (admin, clerk, ada) = (bank.employee("admin").await, bank.employee("staff").await, bank.customer().await);
        let opened = admin.open_bank_account("fees", "Fees earned", "income").await.expect_status(201);
        assert_eq!(
            (opened.text_at("/code"), opened.text_at("/name"), opened.text_at("/kind")),
            ("fees".to_owned(), "Fees earned".to_owned(), "income".to_owned())
        );
        let listed = clerk.get("/bank_accounts").send().await.expect_status(200);
        let codes: Vec<_> = listed.body["data"].as_array().expect("a list").iter().map(|it| &it["code"]).collect();
        assert_eq!(codes, ["cash", "fees"]);
        assert_eq!((&listed.body["data"][0]["opened_at"], &listed.body["data"][1]), (&Value::Null, &opened.body));
        assert_eq!(opened.header("Location"), Some("/bank_accounts/fees"));
        assert_eq!(clerk.get("/bank_accounts/fees").send().await.expect_status(200).body, opened.body);
        for code in ["fines", "customers"] {
            let path = format!("/bank_accounts/{code}");
            clerk.get(&path).send().await.expect_problem(404, "bank_account_not_found");
        }
        let malformed = clerk.get("/bank_accounts/Fees").send().await;
        malformed.expect_problem(422, "bank_account_code_malformed");
        for code in ["fees", "cash", "customers"] {
            admin.open_bank_account(code, "Another", "asset").await.expect_problem(409, "bank_account_exists");
        }
        for (code, name, kind, problem, pointer) in [
            ("Fees", "Fees", "income", "bank_account_code_malformed", "/code"),
            ("", "Fees", "income", "bank_account_code_malformed", "/code"),
            ("7fees", "Fees", "income", "bank_account_code_malformed", "/code"),
            ("gebühren", "Fees", "income", "bank_account_code_malformed", "/code"),
            (&"f".repeat(33), "Fees", "income", "bank_account_code_malformed", "/code"),
            ("more", " ", "income", "name_blank", "/name"),
            ("more", "More", "profit", "unknown_value", "/kind"),
        ] {
            let refused = admin.open_bank_account(code, name, kind).await;
            assert_eq!(refused.pointers(), [pointer], "{}", refused.body);
            refused.expect_problem(422, problem);
        }
        for somebody in [&clerk, &ada] {
            somebody.open_bank_account("mine", "Mine", "asset").await.expect_problem(403, "role_required");
        }
        ada.get("/bank_accounts").send().await.expect_problem(403, "role_required");
        let records = admin.get("/audit?action=bank_account_opened").send().await.expect_status(200);
        assert_eq!(records.body["data"].as_array().map(Vec::len), Some(1));
        assert_eq!(
            (records.text_at("/data/0/subject"), records.text_at("/data/0/detail")),
            ("fees".to_owned(), "income: Fees earned".to_owned())
        );
    }

    async fn staff_pay_in_and_out_against_accounts_of_the_bank(bank: &TestBank) {
        with_accounts(bank).await;
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        let fee = clerk.against("/withdraw", &ada.account, "2.50", "fees").await.expect_status(201);
        assert_eq!(
            (fee.text_at("/against"), fee.text_at("/type"), fee.text_at("/balance"), &fee.body["counterparty"]),
            ("fees".to_owned(), "withdrawal".to_owned(), "97.50".to_owned(), &Value::Null)
        );
        let interest = clerk.against("/deposit", &ada.account, "0.75", "interest").await.expect_status(201);
        assert_eq!(
            (interest.text_at("/against"), interest.text_at("/balance")),
            ("interest".to_owned(), "98.25".to_owned())
        );
        let named = clerk.against("/deposit", &ada.account, "1", "cash").await.expect_status(201);
        assert_eq!(named.text_at("/against"), "cash");

        // The customer sees it, in lists and alone, and a transfer has none.
        let bob = bank.customer().await;
        ada.transfer(&bob.account, "1").await.expect_status(201);
        let against: Vec<_> = ada.history().await.iter().map(|it| it["against"].clone()).collect();
        assert_eq!(against, [json!(null), json!("cash"), json!("interest"), json!("fees"), json!("cash")]);
        assert_eq!(ada.movement(&fee.text_at("/id")).await["against"], "fees");
        let path = format!("/transactions?account_number={}&against=fees", ada.account);
        let found = ada.get(&path).send().await.expect_status(200);
        assert_eq!(found.body["data"].as_array().map(Vec::len), Some(1));
        assert_eq!(found.text_at("/data/0/id"), fee.text_at("/id"));
        let found = clerk.get("/transactions?against=interest").send().await.expect_status(200);
        assert_eq!(found.text_at("/data/0/id"), interest.text_at("/id"));

        // On record with its name.
        let auditor = bank.employee("auditor").await;
        let records = auditor.get("/audit?action=movement_by_staff").send().await.expect_status(200);
        let details = records.body["data"].as_array().expect("a list").iter().map(|it| it["detail"].to_string());
        let words = format!("withdrawal of 2.50 USD from {} against fees", ada.account);
        assert!(details.into_iter().any(|detail| detail.contains(&words)), "{}", records.body);

        clerk.against("/withdraw", &ada.account, "1000", "fees").await.expect_problem(409, "insufficient_funds");
        for path in ["/deposit", "/withdraw"] {
            let unknown =
                clerk.against(path, &ada.account, "1", "fines").await.expect_problem(422, "bank_account_not_found");
            assert_eq!(unknown.pointers(), ["/against"]);
            let customers = clerk.against(path, &ada.account, "1", "customers").await;
            customers.expect_problem(422, "bank_account_not_found");
            clerk.against(path, &ada.account, "1", "Fees").await.expect_problem(422, "bank_account_code_malformed");
            for code in ["fees", "cash", "fines"] {
                let refused =
                    ada.against(path, &ada.account, "1", code).await.expect_problem(422, "against_by_staff_only");
                assert_eq!(refused.pointers(), ["/against"]);
            }
        }
        assert_eq!(ada.balance().await, "98.25");
    }

    async fn one_key_is_one_movement_against_one_account(bank: &TestBank) {
        with_accounts(bank).await;
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let send = async |against: Option<&str>| {
            let body = json!({"account_number": ada.account, "amount": "5", "against": against});
            clerk.post("/deposit", body).header("Idempotency-Key", "one").send().await
        };
        let first = send(Some("fees")).await.expect_status(201);
        let again = send(Some("fees")).await.expect_status(201);
        assert_eq!((again.header("Idempotent-Replayed"), again.text_at("/against")), (Some("true"), "fees".to_owned()));
        assert_eq!(again.text_at("/id"), first.text_at("/id"));
        for other in [Some("interest"), Some("cash"), None] {
            send(other).await.expect_problem(422, "idempotency_key_reused");
        }
        assert_eq!(ada.balance().await, "5.00");
    }

    async fn batches_and_previews_go_against_accounts_of_the_bank_too(bank: &TestBank) {
        with_accounts(bank).await;
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let item = |kind: &str, against: Value| json!({"type": kind, "account_number": ada.account, "amount": "3", "against": against});
        let batch = async |items: Value| {
            clerk.post("/transactions/batch", json!({"atomic": true, "transactions": items})).send().await
        };
        let booked = batch(json!([item("deposit", json!("interest")), item("withdrawal", json!("fees"))])).await;
        let booked = booked.expect_status(200);
        assert_eq!(
            (booked.text_at("/data/0/transaction/against"), booked.text_at("/data/1/transaction/against")),
            ("interest".to_owned(), "fees".to_owned())
        );
        let refused = batch(json!([item("deposit", json!("fines")), item("hold", json!("fees"))])).await;
        assert_eq!(refused.pointers(), ["/transactions/0/against", "/transactions/1/against"]);
        let transfer = json!({"type": "transfer", "from_account": ada.account, "to_account": ada.account, "amount": "1", "against": "fees"});
        assert_eq!(batch(json!([transfer])).await.pointers(), ["/transactions/0/against"]);
        let own =
            ada.post("/transactions/batch", json!({"transactions": [item("deposit", json!("fees"))]})).send().await;
        assert_eq!(own.pointers(), ["/transactions/0/against"]);
        own.expect_problem(422, "against_by_staff_only");

        let body = json!({"account_number": ada.account, "amount": "3", "against": "interest"});
        let preview = clerk.post("/deposit?preview=true", body).send().await.expect_status(200);
        assert_eq!(
            (preview.text_at("/against"), preview.text_at("/balance")),
            ("interest".to_owned(), "3.00".to_owned())
        );
        assert_eq!(ada.balance().await, "0.00");
    }

    async fn a_reversal_gives_back_to_the_account_that_it_came_from(bank: &TestBank) {
        with_accounts(bank).await;
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        ada.deposit("10").await.expect_status(201);
        let fee = clerk.against("/withdraw", &ada.account, "4", "fees").await.expect_status(201).text_at("/id");
        let back = clerk.post(&format!("/transactions/{fee}/reverse"), json!({})).send().await.expect_status(201);
        assert_eq!((back.text_at("/against"), back.text_at("/balance")), ("fees".to_owned(), "10.00".to_owned()));
        let balances = clerk.trial_balance("", "USD").await;
        assert_eq!(balances, json!({"customers": "-10.00", "cash": "10.00", "fees": "0.00", "sum": "0.00"}));
    }

    async fn the_trial_balance_sums_to_zero_at_every_moment(bank: &TestBank) {
        with_accounts(bank).await;
        let (clerk, ada, bob) = (bank.employee("staff").await, bank.customer().await, bank.customer_in("EUR").await);
        ada.deposit("100").await.expect_status(201);
        bob.deposit("7").await.expect_status(201);
        clerk.against("/withdraw", &ada.account, "2.50", "fees").await.expect_status(201);
        let then = ada.history().await[0]["created_at"].as_str().expect("a moment").to_owned();
        clerk.against("/deposit", &ada.account, "1", "interest").await.expect_status(201);
        ada.withdraw("40").await.expect_status(201);
        let other = ada.open_account(json!({})).await.expect_status(201).text_at("/account_number");
        ada.transfer(&other, "10").await.expect_status(201);

        let auditor = bank.employee("auditor").await;
        let now = json!({"customers": "-58.50", "cash": "60.00", "fees": "-2.50", "interest": "1.00", "sum": "0.00"});
        for reader in [&clerk, &auditor] {
            assert_eq!(reader.trial_balance("", "USD").await, now);
        }
        assert_eq!(clerk.trial_balance("", "EUR").await, json!({"customers": "-7.00", "cash": "7.00", "sum": "0.00"}));
        let before = clerk.trial_balance(&format!("?at={then}"), "USD").await;
        let expected =
            json!({"customers": "-97.50", "cash": "100.00", "fees": "-2.50", "interest": "0.00", "sum": "0.00"});
        assert_eq!(before, expected);
        let long_ago = clerk.trial_balance("?at=2020-01-01T00:00:00Z", "USD").await;
        assert_eq!((&long_ago["customers"], &long_ago["sum"]), (&json!("0.00"), &json!("0.00")));
        clerk.get("/trial_balance?at=2999-01-01T00:00:00Z").send().await.expect_problem(422, "at_in_the_future");
        ada.get("/trial_balance").send().await.expect_problem(403, "role_required");
    }

    /// What takes the power of the role is on record, whoever's account it is.
    async fn what_staff_take_for_themselves_is_on_record(bank: &TestBank) {
        let admin = with_accounts(bank).await;
        let clerk = bank.employee("staff").await;
        clerk.against("/deposit", &clerk.account, "999", "interest").await.expect_status(201);
        let item = json!({"type": "withdrawal", "account_number": clerk.account, "amount": "1", "against": "fees"});
        clerk.post("/transactions/batch", json!({"transactions": [item]})).send().await.expect_status(200);
        clerk.deposit("5").await.expect_status(201);
        let records = admin.get("/audit?action=movement_by_staff").send().await.expect_status(200);
        let details: Vec<_> = records.body["data"].as_array().expect("a list").iter().map(|it| &it["detail"]).collect();
        assert_eq!(details.len(), 2, "{details:?}");
        assert!(details[1].as_str().is_some_and(|detail| detail.contains("999.00 USD")), "{details:?}");
    }

    async fn no_customer_limits_the_fees_of_the_bank(bank: &TestBank) {
        with_accounts(bank).await;
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        let limits = ada.request(Method::PUT, &format!("/accounts/{}/limits", ada.account));
        limits.json(json!({"per_day": "10", "movements_per_day": 1})).send().await.expect_status(200);
        clerk.against("/withdraw", &ada.account, "50", "fees").await.expect_status(201);
        ada.withdraw("10").await.expect_status(201);
        clerk.against("/withdraw", &ada.account, "1", "fees").await.expect_status(201);
        clerk.against("/withdraw", &ada.account, "1", "cash").await.expect_problem(409, "limit_exceeded");
        let path = format!("/accounts/{}/limits", ada.account);
        let used = ada.get(&path).send().await.expect_status(200);
        assert_eq!(
            (used.text_at("/per_day/used"), &used.body["movements_per_day"]["used"]),
            ("10.00".to_owned(), &json!(1))
        );
    }

    async fn a_bank_opens_so_many_accounts_and_no_more(bank: &TestBank) {
        let admin = bank.employee("admin").await;
        let many = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 999)
                    insert into bank_accounts (id, code, name, kind, opened_at) select i, 'own_' || i, 'Own', 'asset', 0 from n";
        bank.tamper(many).await;
        admin.open_bank_account("last", "The last", "asset").await.expect_status(201);
        admin.open_bank_account("more", "One more", "asset").await.expect_problem(409, "too_many_bank_accounts");
        // As it was, so that the books are right in the end.
        let on = if bank.kind == Kind::Postgres { " on bank_accounts" } else { "" };
        for trigger in ["bank_accounts_refuse_change", "bank_accounts_refuse_delete"] {
            bank.tamper(&format!("drop trigger if exists {trigger}{on}")).await;
        }
        bank.tamper("delete from bank_accounts where code like 'own_%'").await;
        bank.tamper("update bank_accounts set id = 1 where code = 'last'").await;
    }

    async fn of_many_admins_who_open_one_code_one_does(bank: &TestBank) {
        let admin = bank.employee("admin").await;
        let one = (0..8).map(|_| admin.open_bank_account("fees", "Fees", "income"));
        let others = ["a", "b", "c", "d", "e", "f"];
        let others = others.iter().map(|code| admin.open_bank_account(code, "Others", "asset"));
        let (one, others) = tokio::join!(join_all(one), join_all(others));
        assert_eq!(one.iter().filter(|answer| answer.status == 201).count(), 1);
        assert!(one.iter().all(|answer| answer.status == 201 || answer.body["code"] == "bank_account_exists"));
        assert!(others.iter().all(|answer| answer.status == 201));
        assert_eq!(bank.number("select cast(max(id) as bigint) from bank_accounts").await, 7);
    }

    async fn the_database_refuses_to_change_accounts_of_the_bank(bank: &TestBank) {
        with_accounts(bank).await;
        for sql in [
            "update bank_accounts set name = 'Mine' where code = 'fees'",
            "update bank_accounts set code = 'mine' where code = 'fees'",
            "delete from bank_accounts where code = 'fees'",
        ] {
            assert!(bank.try_to_tamper(sql).await.is_err(), "{sql}");
        }
    }
}

bank_tests! {
    with LAGOS;

    async fn totals_count_what_there_is_and_what_moved_today(bank: &TestBank) {
        let (clerk, ada, bob) = (bank.employee("staff").await, bank.customer().await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        ada.deposit("0.50").await.expect_status(201);
        ada.transfer(&bob.account, "20").await.expect_status(201);
        bob.withdraw("5").await.expect_status(201);
        let euros = ada.open_account(json!({"currency": "EUR"})).await.expect_status(201).text_at("/account_number");
        let closed = ada.open_account(json!({"currency": "EUR"})).await.expect_status(201).text_at("/account_number");
        ada.request(Method::DELETE, &format!("/accounts/{closed}")).send().await.expect_status(204);
        let freeze = clerk.request(Method::PUT, &format!("/accounts/{euros}/status"));
        freeze.json(json!({"status": "frozen"})).send().await.expect_status(200);

        let totals = clerk.get("/totals").send().await.expect_status(200);
        assert_eq!(totals.body["customers"], json!({"active": 2, "frozen": 0, "closed": 0}));
        // The clerk has one, too.
        assert_eq!(totals.body["accounts"], json!({"open": 3, "frozen": 1, "closed": 1}));
        let balances = totals.body["balances"].as_array().expect("a list");
        let dollars = balances.iter().find(|it| it["currency"] == "USD").expect("dollars");
        assert_eq!(dollars["balance"], "95.50");
        assert!(
            balances.iter().any(|it| *it == json!({"currency": "EUR", "accounts": 1, "balance": "0.00"})),
            "{balances:?}"
        );
        assert_eq!(
            totals.body["today"]["movements"],
            json!([
                {"currency": "USD", "type": "deposit", "count": 2, "amount": "100.50"},
                {"currency": "USD", "type": "withdrawal", "count": 1, "amount": "5.00"},
                {"currency": "USD", "type": "transfer", "count": 1, "amount": "20.00"},
            ])
        );
        assert!(totals.text_at("/today/since").ends_with("T23:00:00.000000Z"), "{}", totals.body);

        ada.get("/totals").send().await.expect_problem(403, "role_required");
    }

    async fn what_counts_today_is_what_was_booked_today(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let earlier = ada.deposit("100").await.expect_status(201).text_at("/id");
        ada.deposit("1").await.expect_status(201);
        let hold = json!({"account_number": ada.account, "amount": "3"});
        let hold = ada.post("/holds", hold).send().await.expect_status(201).text_at("/id");
        // As if the first deposit was booked two days ago, and the hold created a year ago.
        let (transactions_trigger, holds_trigger) = match bank.kind {
            Kind::Sqlite => ("transactions_refuse_update", "holds_refuse_change"),
            Kind::Postgres => ("transactions_refuse_change on transactions", "holds_refuse_change on holds"),
        };
        bank.tamper(&format!("drop trigger {transactions_trigger}")).await;
        bank.tamper(&format!("drop trigger {holds_trigger}")).await;
        let two_days = 2 * 24 * 60 * 60 * 1_000_000_i64;
        let id = |id: &str| bank.literal_of(id);
        let first = id(&earlier);
        let dated_back = format!("update transactions set created_at = created_at - {two_days} where id = {first}");
        bank.tamper(&dated_back).await;
        let old = "0196a9c4-7c4b-7d21-9b1e-2f6a5c0d4e88";
        bank.tamper(&format!("update holds set id = {} where id = {}", id(old), id(&hold))).await;
        ada.post(&format!("/holds/{old}/capture"), json!({})).send().await.expect_status(201);
        let totals = clerk.get("/totals").send().await.expect_status(200);
        assert_eq!(
            totals.body["today"]["movements"],
            json!([
                {"currency": "USD", "type": "deposit", "count": 1, "amount": "1.00"},
                {"currency": "USD", "type": "withdrawal", "count": 1, "amount": "3.00"},
            ])
        );
        bank.tamper(&dated_back.replace("created_at -", "created_at +")).await;
    }
}

bank_tests! {
    with ABOVE_1000;

    /// Money from the bank itself comes from nobody who would miss it.
    async fn staff_take_nothing_from_the_bank_for_themselves(bank: &TestBank) {
        let admin = with_accounts(bank).await;
        let clerk = bank.employee("staff").await;
        clerk.deposit("10").await.expect_status(201);
        for path in ["/deposit", "/withdraw"] {
            let waiting = clerk.against(path, &clerk.account, "1", "interest").await.expect_status(202);
            assert_eq!(
                (waiting.text_at("/status"), waiting.text_at("/against")),
                ("pending_approval".to_owned(), "interest".to_owned())
            );
            let id = waiting.text_at("/id");
            let listed = admin.get(&format!("/approvals/{id}")).send().await.expect_status(200);
            assert_eq!(listed.text_at("/against"), "interest");
            let approved =
                admin.request(Method::POST, &format!("/approvals/{id}/approve")).send().await.expect_status(200);
            assert_eq!(approved.text_at("/against"), "interest");
        }
        let moved = admin.get("/totals").send().await.expect_status(200);
        assert_eq!(moved.body["today"]["movements"][0]["count"], 2, "{}", moved.body);
        assert_eq!(clerk.balance().await, "10.00");
        assert_eq!(admin.trial_balance("", "USD").await["interest"], "0.00");
    }

    async fn what_waits_for_approval_goes_against_the_account_that_was_named(bank: &TestBank) {
        let admin = with_accounts(bank).await;
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let waiting =
            clerk.against("/deposit", &ada.account, "1000.01", "interest").await.expect_status(202).text_at("/id");
        let changed = format!("update approvals set bank_account_id = 0 where id = {}", bank.literal_of(&waiting));
        assert!(bank.try_to_tamper(&changed).await.is_err());
        admin.request(Method::POST, &format!("/approvals/{waiting}/approve")).send().await.expect_status(200);
        assert_eq!(ada.history().await[0]["against"], "interest");
        let records = admin.get("/audit?action=approval_approved").send().await.expect_status(200);
        assert!(records.text_at("/data/0/detail").ends_with("against interest"), "{}", records.body);

        let wrong = "what was approved is booked, and nothing that was not";
        bank.tamper_with_approvals(&changed).await;
        assert_eq!(bank.books_wrong().await, [(wrong, vec![format!("approval {waiting}")])]);
        bank.tamper(&changed.replace("bank_account_id = 0", "bank_account_id = 2")).await;
    }

    async fn the_doctor_finds_each_forged_account_of_the_bank(bank: &TestBank) {
        with_accounts(bank).await;
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        ada.deposit("10").await.expect_status(201);
        let fee = clerk.against("/withdraw", &ada.account, "1", "fees").await.expect_status(201).text_at("/id");
        let (on_accounts, transactions_trigger) = match bank.kind {
            Kind::Sqlite => ("", "transactions_refuse_update"),
            Kind::Postgres => (" on bank_accounts", "transactions_refuse_change on transactions"),
        };
        for trigger in ["bank_accounts_refuse_change", "bank_accounts_refuse_delete", "bank_accounts_refuse_replace"] {
            bank.tamper(&format!("drop trigger if exists {trigger}{on_accounts}")).await;
        }
        bank.tamper(&format!("drop trigger {transactions_trigger}")).await;
        let own = "the bank's own accounts are as the audit log says that they were opened";
        let chain = "hash chains are unbroken";
        let fee = bank.literal_of(&fee);
        let moved = |account: i64| format!("update transactions set credit_account = {account} where id = {fee}");
        let of_fees = bank.number(&format!("select credit_account from transactions where id = {fee}")).await;
        let is_fees = "where code = 'fees'";
        let swapped = |one: i64, other: i64| {
            let set = |from: i64, to: i64| format!("update bank_accounts set id = {to} where id = {from}");
            format!("{}; {}; {}", set(one, 99), set(other, one), set(99, other))
        };
        let (pending, of_nothing) = ("what was approved is booked, and nothing that was not", "bank_account_id = 555");
        let large = json!({"account_number": ada.account, "amount": "1000.01"});
        clerk.post("/deposit", large).send().await.expect_status(202);
        bank.tamper_with_approvals("select 1").await;
        let forgeries: [(String, String, &[&str]); 9] = [
            (swapped(1, 2), swapped(1, 2), &[own]),
            (
                format!("update bank_accounts set opened_by = null {is_fees}"),
                format!(
                    "update bank_accounts set opened_by = (select actor_id from audit_log where subject = 'fees') {is_fees}"
                ),
                &[own],
            ),
            (
                format!("update approvals set {of_nothing}"),
                format!("update approvals set bank_account_id = 0 where {of_nothing}"),
                &[pending],
            ),
            (
                format!("update bank_accounts set name = 'Mine' {is_fees}"),
                format!("update bank_accounts set name = 'Fees earned' {is_fees}"),
                &[own],
            ),
            (
                format!("update bank_accounts set kind = 'asset' {is_fees}"),
                format!("update bank_accounts set kind = 'income' {is_fees}"),
                &[own],
            ),
            (
                format!("update bank_accounts set code = 'mine' {is_fees}"),
                "update bank_accounts set code = 'fees' where code = 'mine'".to_owned(),
                &[own],
            ),
            (
                "insert into bank_accounts (id, code, name, kind, opened_at) values (9, 'mine', 'Mine', 'asset', 0)"
                    .to_owned(),
                "delete from bank_accounts where id = 9".to_owned(),
                &[own],
            ),
            // Another account of the bank's; and one that it does not have.
            (moved(84_003), moved(of_fees), &[chain]),
            (moved(of_fees + 97 * 1_000_000_000), moved(of_fees), &[chain, own]),
        ];
        for (forge, mend, wrong) in forgeries {
            bank.tamper(&forge).await;
            let found: Vec<_> = bank.books_wrong().await.into_iter().map(|(invariant, _)| invariant).collect();
            assert_eq!(found, wrong, "{forge}");
            bank.tamper(&mend).await;
        }
        assert_eq!(bank.books_wrong().await, []);
    }
}
