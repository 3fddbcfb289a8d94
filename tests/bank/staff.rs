//! Those who work at the bank: roles, freezing, looking people up, the audit log.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::databases::{Kind, TestDatabase};
use crate::harness::{Answer, Customer, PASSWORD, TestBank, bank_tests};

impl Customer<'_> {
    async fn id(&self) -> String {
        self.get("/me").send().await.expect_status(200).text_at("/id")
    }

    async fn set_role(&self, user_id: &str, role: &str) -> Answer {
        self.request(Method::PUT, &format!("/users/{user_id}/role")).json(json!({"role": role})).send().await
    }

    async fn set_user_status(&self, user_id: &str, status: &str) -> Answer {
        let body = json!({"status": status, "reason": "because"});
        self.request(Method::PUT, &format!("/users/{user_id}/status")).json(body).send().await
    }

    async fn set_account_status(&self, account: &str, status: &str) -> Answer {
        let body = json!({"status": status, "reason": "because"});
        self.request(Method::PUT, &format!("/accounts/{account}/status")).json(body).send().await
    }

    async fn audit(&self, query: &str) -> Answer {
        self.get(&format!("/audit?{query}")).send().await.expect_status(200)
    }

    /// Waits for a record: what only happened is written soon after.
    async fn audit_until(&self, query: &str) -> Answer {
        for _ in 0..100 {
            let answer = self.audit(query).await;
            if answer.body["data"].as_array().is_some_and(|data| !data.is_empty()) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no record for {query}");
    }
}

bank_tests! {
    async fn a_role_counts_from_the_next_request_on(bank: &TestBank) {
        let admin = bank.employee("admin").await;
        let ada = bank.customer().await;
        let bob = bank.customer().await;
        ada.deposit("5").await.expect_status(201);
        let bobs = format!("/balance?account_number={}", ada.account);
        bob.get(&bobs).send().await.expect_problem(404, "account_not_found");

        let id = bob.id().await;
        let promoted = admin.set_role(&id, "staff").await.expect_status(200);
        assert_eq!(promoted.text_at("/role"), "staff");
        bob.get(&bobs).send().await.expect_status(200);
        // A new token says so too, and a demotion takes it back from both.
        let refreshed = bank.post("/refresh", json!({"refresh_token": bob.refresh_token})).send().await;
        let newer = refreshed.expect_status(200).text_at("/access_token");
        admin.set_role(&id, "customer").await.expect_status(200);
        bob.get(&bobs).send().await.expect_problem(404, "account_not_found");
        bank.get(&bobs).bearer(&newer).send().await.expect_problem(404, "account_not_found");
    }

    async fn other_instances_hear_of_it_by_themselves(bank: &TestBank) {
        let (address, twin) = bank.twin().await;
        let admin = bank.employee("admin").await;
        let ada = bank.customer().await;
        let id = ada.id().await;
        admin.set_user_status(&id, "frozen").await.expect_status(200);
        let deposit_at_the_twin = async || {
            let body = json!({"account_number": ada.account, "amount": "1"});
            bank.request_to(address, Method::POST, "/deposit").bearer(&ada.token).json(body).send().await
        };
        let until = async |status: u16| {
            for _ in 0..100 {
                let answer = deposit_at_the_twin().await;
                if answer.status.as_u16() == status {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            panic!("the twin never answered {status}");
        };
        until(403).await;
        deposit_at_the_twin().await.expect_problem(403, "user_frozen");
        admin.set_user_status(&id, "active").await.expect_status(200);
        until(201).await;
        twin.close().await;
    }

    async fn a_frozen_user_looks_and_changes_nothing(bank: &TestBank) {
        let staff = bank.employee("staff").await;
        let ada = bank.customer().await;
        ada.deposit("5").await.expect_status(201);
        let id = ada.id().await;
        assert_eq!(staff.set_user_status(&id, "frozen").await.expect_status(200).text_at("/status"), "frozen");
        ada.withdraw("1").await.expect_problem(403, "user_frozen");
        assert_eq!(ada.balance().await, "5.00");
        // Nor does a fresh sign-in help.
        let tokens = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        let again = Customer { token: tokens.text_at("/access_token"), ..ada };
        again.withdraw("1").await.expect_problem(403, "user_frozen");
        staff.set_user_status(&id, "active").await.expect_status(200);
        again.withdraw("1").await.expect_status(201);
    }

    async fn a_frozen_employee_has_no_role(bank: &TestBank) {
        let admin = bank.employee("admin").await;
        let staff = bank.employee("staff").await;
        let ada = bank.customer().await;
        let path = format!("/balance?account_number={}", ada.account);
        staff.get(&path).send().await.expect_status(200);
        admin.set_user_status(&staff.id().await, "frozen").await.expect_status(200);
        staff.get(&path).send().await.expect_problem(404, "account_not_found");
        staff.get("/users").send().await.expect_problem(403, "user_frozen");
    }

    async fn a_frozen_account_moves_no_money(bank: &TestBank) {
        let staff = bank.employee("staff").await;
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("5").await.expect_status(201);
        bob.deposit("5").await.expect_status(201);
        let frozen = staff.set_account_status(&ada.account, "frozen").await.expect_status(200);
        assert_eq!(frozen.text_at("/status"), "frozen");
        ada.deposit("1").await.expect_problem(409, "account_frozen");
        ada.withdraw("1").await.expect_problem(409, "account_frozen");
        ada.transfer(&bob.account, "1").await.expect_problem(409, "account_frozen");
        bob.transfer(&ada.account, "1").await.expect_problem(409, "receiver_unavailable");
        staff.set_account_status(&ada.account, "open").await.expect_status(200);
        ada.withdraw("5").await.expect_status(201);
        ada.request(Method::DELETE, &format!("/accounts/{}", ada.account)).send().await.expect_status(204);
        staff.set_account_status(&ada.account, "frozen").await.expect_problem(409, "account_closed");
    }

    async fn nobody_does_it_for_themselves(bank: &TestBank) {
        let (admin, staff) = (bank.employee("admin").await, bank.employee("staff").await);
        admin.set_role(&admin.id().await, "customer").await.expect_problem(403, "not_for_oneself");
        staff.set_user_status(&staff.id().await, "frozen").await.expect_problem(403, "not_for_oneself");
        staff.set_account_status(&staff.account, "frozen").await.expect_problem(403, "not_for_oneself");
        staff.set_user_status(&admin.id().await, "frozen").await.expect_problem(403, "role_required");
        admin.set_user_status(&staff.id().await, "frozen").await.expect_status(200);
    }

    async fn people_are_found_by_name_address_and_role(bank: &TestBank) {
        let auditor = bank.employee("auditor").await;
        let body = json!({"name": "100% Ada_L", "email": "ada.l@example.org", "password": PASSWORD});
        bank.post("/create_account", body).send().await.expect_status(201);
        for search in ["0% ada", "_l", "ADA.L@example.org"] {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("search", search).finish();
            let found = auditor.get(&format!("/users?{query}")).send().await.expect_status(200);
            assert_eq!(found.body["data"].as_array().map(Vec::len), Some(1), "{search}: {}", found.body);
            assert_eq!(found.text_at("/data/0/name"), "100% Ada_L");
            let id = found.text_at("/data/0/id");
            assert_eq!(auditor.get(&format!("/users/{id}")).send().await.text_at("/email"), "ada.l@example.org");
            let accounts = auditor.get(&format!("/accounts?owner_id={id}")).send().await.expect_status(200);
            assert_eq!(accounts.body["data"].as_array().map(Vec::len), Some(1));
        }
        let auditors = auditor.get("/users?role=auditor").send().await.expect_status(200);
        assert_eq!(auditors.body["data"].as_array().map(Vec::len), Some(1));
        let first = auditor.get("/users?limit=1").send().await.expect_status(200);
        let next = auditor.get(&format!("/users?limit=1&cursor={}", first.text_at("/next_cursor"))).send().await;
        assert_ne!(first.body["data"][0]["id"], next.expect_status(200).body["data"][0]["id"]);
        let nobody = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88";
        auditor.get(&format!("/users/{nobody}")).send().await.expect_problem(404, "user_not_found");
        for (path, pointer, code) in [
            ("/users?search=%20", "?search", "search_blank"),
            ("/users?role=king", "?role", "unknown_value"),
            ("/users?cursor=x", "?cursor", "cursor_invalid"),
            ("/users/x", "{user_id}", "id_malformed"),
            ("/accounts?owner_id=x", "?owner_id", "id_malformed"),
            ("/audit?actor_id=x", "?actor_id", "id_malformed"),
            ("/audit?limit=201", "?limit", "limit_out_of_range"),
        ] {
            let refused = auditor.get(path).send().await.expect_problem(422, code);
            assert_eq!(refused.pointers(), [pointer], "{path}");
        }
        let ada = bank.customer().await;
        for whose in [nobody.to_owned(), auditor.id().await] {
            ada.get(&format!("/accounts?owner_id={whose}")).send().await.expect_problem(404, "user_not_found");
        }
    }

    async fn what_matters_to_security_is_on_record(bank: &TestBank) {
        let (admin, auditor) = (bank.employee("admin").await, bank.employee("auditor").await);
        let ada = bank.customer().await;
        let id = ada.id().await;
        admin.set_role(&id, "staff").await.expect_status(200);
        admin.set_user_status(&id, "frozen").await.expect_status(200);
        let record = auditor.audit("limit=1&action=role_changed").await;
        assert_eq!(record.text_at("/data/0/subject"), id);
        assert_eq!(record.text_at("/data/0/detail"), "customer to staff");
        assert_eq!(record.text_at("/data/0/actor_id"), admin.id().await);
        assert_eq!(record.text_at("/data/0/address"), "127.0.0.1");
        assert_eq!(auditor.audit("limit=1&action=user_frozen").await.text_at("/data/0/detail"), "because");
        let logins = auditor.audit(&format!("action=login&actor_id={id}")).await;
        assert_eq!(logins.body["data"].as_array().map(Vec::len), Some(1));

        bank.sign_in(&ada.email, "a wrong password").await.expect_problem(401, "invalid_credentials");
        let failed = auditor.audit_until("action=login_failed").await;
        assert_eq!(failed.text_at("/data/0/subject"), ada.email);
        assert!(failed.body["data"][0]["actor_id"].is_null());
        ada.get("/users").send().await.expect_problem(403, "user_frozen");
        let denied = auditor.audit_until(&format!("action=access_denied&actor_id={id}")).await;
        assert_eq!(denied.text_at("/data/0/subject"), "GET /users");
        assert!(!auditor.audit("").await.body.to_string().contains("a wrong password"));
    }

    async fn no_text_keeps_an_event_off_the_record(bank: &TestBank) {
        let auditor = bank.employee("auditor").await;
        for email in ["z\u{0}z", "my secret password", "evil\u{1}\n@example.com", "not.a.secret@example.com"] {
            bank.sign_in(email, "wrong").await.expect_problem(401, "invalid_credentials");
        }
        for _ in 0..100 {
            let failed = auditor.audit("action=login_failed").await;
            let subjects: Vec<_> =
                failed.body["data"].as_array().expect("a list").iter().map(|r| &r["subject"]).collect();
            if subjects.len() == 4 {
                // Only what is an address is quoted: people type passwords in its place.
                assert_eq!(subjects, [&json!("not.a.secret@example.com"), &json!(null), &json!(null), &json!(null)]);
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not every failure is on record");
    }

    async fn the_last_word_counts_even_if_a_clock_went_back(bank: &TestBank) {
        let (staff, ada) = (bank.employee("staff").await, bank.customer().await);
        let id = ada.id().await;
        staff.set_user_status(&id, "active").await.expect_status(200);
        let ahead = 3_000_000 + coffer_core::timestamp::Timestamp::now().as_micros();
        bank.tamper(&format!("update users set standing_changed_at = {ahead} where email = '{}'", ada.email)).await;
        // Until the bank has heard of it, as it would of a change by an instance whose clock is ahead.
        tokio::time::sleep(Duration::from_millis(700)).await;
        staff.set_user_status(&id, "frozen").await.expect_status(200);
        ada.deposit("1").await.expect_problem(403, "user_frozen");
    }

    async fn every_change_of_rights_and_ways_in_is_on_record(bank: &TestBank) {
        let (admin, auditor) = (bank.employee("admin").await, bank.employee("auditor").await);
        let ada = bank.customer().await;
        let id = ada.id().await;
        let new = json!({"email": format!("new-{}", ada.email), "current_password": PASSWORD});
        ada.request(Method::PATCH, "/me").json(new).send().await.expect_status(200);
        let passwords = json!({"current_password": PASSWORD, "new_password": "another good phrase"});
        ada.request(Method::PUT, "/me/password").json(passwords).send().await.expect_status(204);
        admin.request(Method::DELETE, &format!("/accounts/{}", ada.account)).send().await.expect_status(204);
        ada.request(Method::POST, "/logout").send().await.expect_status(204);
        admin.request(Method::DELETE, &format!("/users/{id}/sessions")).send().await.expect_status(204);
        for (action, actor) in [
            ("address_changed", &id),
            ("password_changed", &id),
            ("account_closed", &admin.id().await),
            ("session_ended", &id),
            ("sessions_ended", &admin.id().await),
        ] {
            let records = auditor.audit(&format!("action={action}&actor_id={actor}")).await;
            assert_eq!(records.body["data"].as_array().map(Vec::len), Some(1), "{action}: {}", records.body);
        }
    }

    async fn the_audit_log_pages_backwards(bank: &TestBank) {
        let auditor = bank.employee("auditor").await;
        for _ in 0..3 {
            bank.customer().await;
        }
        // Looking at the log is on record, once a minute: that comes first.
        auditor.audit("").await;
        auditor.audit_until("action=audit_read").await;
        let all = auditor.audit("limit=200").await;
        let mut query = "limit=2".to_owned();
        let mut paged = Vec::new();
        loop {
            let page = auditor.audit(&query).await;
            paged.extend(page.body["data"].as_array().expect("a list").iter().cloned());
            match page.body["next_cursor"].as_str() {
                Some(cursor) => query = format!("limit=2&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(Some(&paged), all.body["data"].as_array());
        let moment = paged[1]["created_at"].as_str().expect("a moment").to_owned();
        let before = auditor.audit(&format!("limit=200&to={moment}")).await;
        assert_eq!(before.body["data"].as_array().map(Vec::len), Some(paged.len() - 2));
    }

    async fn the_audit_log_refuses_to_be_rewritten(bank: &TestBank) {
        bank.customer().await;
        let mut attempts = vec!["update audit_log set subject = 'nobody'", "delete from audit_log"];
        if bank.kind == Kind::Sqlite {
            attempts.push("insert or replace into audit_log select * from audit_log where sequence = 1");
        }
        for sql in attempts {
            assert!(bank.try_to_tamper(sql).await.is_err(), "{sql}");
        }
        assert!(bank.books_wrong().await.is_empty());
    }
}

/// Somebody with the rights of the database's owner can drop the triggers, but not make the chain fit.
async fn tampering_shows(kind: Kind, drop_trigger: &str) {
    let bank = TestBank::open(kind).await;
    bank.customer().await;
    bank.customer().await;
    bank.tamper(drop_trigger).await;
    bank.tamper("update audit_log set subject = 'nobody' where sequence = 1").await;
    let wrong = bank.books_wrong().await;
    assert_eq!(wrong[0].1[0], "record 1");
    assert!(wrong[1].0.contains("found by what they are about"), "{wrong:?}");
    // Nor can the last record be cut off, which is a login.
    bank.tamper("delete from audit_concerns where sequence = 6; delete from audit_log where sequence = 6").await;
    let wrong = bank.books_wrong().await;
    assert_eq!(wrong[0].1.last().map(String::as_str), Some("the end, after record 5"), "{wrong:?}");
}

#[tokio::test]
async fn a_record_that_was_changed_shows_on_sqlite() {
    let drop = "drop trigger audit_log_refuse_update; drop trigger audit_log_refuse_delete; \
                drop trigger audit_concerns_refuse_delete";
    tampering_shows(Kind::Sqlite, drop).await;
}

#[tokio::test]
async fn a_record_that_was_changed_shows_on_postgres() {
    let drop = "drop trigger audit_log_refuse_change on audit_log; \
                drop trigger audit_concerns_refuse_change on audit_concerns";
    tampering_shows(Kind::Postgres, drop).await;
}

async fn deposits_are_left_to_staff(kind: Kind) {
    let bank = TestBank::open_on(TestDatabase::create(kind).await, &["--self-service-deposits", "false"]).await;
    let (ada, staff) = (bank.customer().await, bank.employee("staff").await);
    ada.deposit("1").await.expect_problem(403, "deposits_by_staff_only");
    staff.deposit("1").await.expect_problem(403, "deposits_by_staff_only");
    let item = json!({"type": "deposit", "account_number": ada.account, "amount": "1"});
    let batch = ada.post("/transactions/batch", json!({"transactions": [item]})).send().await.expect_status(200);
    assert_eq!(batch.text_at("/data/0/problem/code"), "deposits_by_staff_only");
    staff.post("/deposit", json!({"account_number": ada.account, "amount": "5"})).send().await.expect_status(201);
    ada.withdraw("2").await.expect_status(201);
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deposits_may_be_left_to_staff_on_sqlite() {
    deposits_are_left_to_staff(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deposits_may_be_left_to_staff_on_postgres() {
    deposits_are_left_to_staff(Kind::Postgres).await;
}
