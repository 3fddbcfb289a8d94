//! Holds: money that nobody takes until it is captured or released, or the hold expires.

use std::time::Duration;

use coffer_core::bank_account::BankAccount;
use coffer_core::books::account::Account;
use coffer_core::books::command::{Command, DualControl, Requester, Step};
use coffer_core::books::decisions::{Decisions, PendingBefore, Receipt};
use coffer_core::books::hold::{Hold, HoldStatus};
use coffer_core::books::movement::Movement;
use coffer_core::books::rules::Book;
use coffer_core::books::texts::Texts;
use coffer_core::books::unapproved::Unapproved;
use coffer_core::money::Amount;
use coffer_core::timestamp::Timestamp;
use futures_util::future::join_all;
use proptest::prelude::*;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::databases::Kind;
use crate::harness::{Answer, Customer, bank_tests, eventually};

impl Customer<'_> {
    async fn hold(&self, amount: &str) -> Answer {
        self.post("/holds", json!({"account_number": self.account, "amount": amount})).send().await
    }

    async fn held(&self, amount: &str) -> String {
        self.hold(amount).await.expect_status(201).text_at("/id")
    }

    async fn capture(&self, id: &str, body: Value) -> Answer {
        self.post(&format!("/holds/{id}/capture"), body).send().await
    }

    async fn release(&self, id: &str) -> Answer {
        self.request(Method::POST, &format!("/holds/{id}/release")).send().await
    }

    async fn status_of_hold(&self, id: &str) -> String {
        self.get(&format!("/holds/{id}")).send().await.expect_status(200).text_at("/status")
    }

    /// Balance, what is available, and what is held.
    async fn amounts(&self) -> [String; 3] {
        let path = format!("/balance?account_number={}", self.account);
        let balance = self.get(&path).send().await.expect_status(200);
        ["/balance", "/available", "/held"].map(|pointer| balance.text_at(pointer))
    }
}

/// A moment as requests have it, so many milliseconds from now.
fn in_milliseconds(count: u64) -> String {
    Timestamp::now().plus(Duration::from_millis(count)).to_string()
}

fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

bank_tests! {
    async fn what_is_held_is_there_and_nobody_takes_it(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        let held = ada.hold("60").await.expect_status(201);
        let id = held.text_at("/id");
        assert_eq!(held.header("location"), Some(&*format!("/holds/{id}")));
        assert_eq!(
            (&held.body["status"], &held.body["type"], &held.body["amount"]),
            (&json!("held"), &json!("withdrawal"), &json!("60.00"))
        );
        assert_eq!((&held.body["balance"], &held.body["sequence"]), (&Value::Null, &Value::Null));
        assert_eq!(ada.amounts().await, ["100.00", "40.00", "60.00"]);
        ada.withdraw("40.01").await.expect_problem(409, "insufficient_funds");
        ada.transfer(&bob.account, "40.01").await.expect_problem(409, "insufficient_funds");
        ada.hold("40.01").await.expect_problem(409, "insufficient_funds");
        ada.withdraw("40").await.expect_status(201);
        assert_eq!(ada.amounts().await, ["60.00", "0.00", "60.00"]);
        let shown = ada.get(&format!("/transactions/{id}")).send().await.expect_status(200);
        assert_eq!((&shown.body["status"], &shown.body["expires_at"]), (&json!("held"), &held.body["expires_at"]));
        assert_eq!(ada.history().await.len(), 2);
    }

    async fn a_capture_moves_what_was_held_or_less_and_frees_the_rest(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        let body =
            json!({"from_account": ada.account, "to_account": bob.account, "amount": "60", "description": "Bicycle"});
        let id = ada.post("/holds", body).send().await.expect_status(201).text_at("/id");
        let more = ada.capture(&id, json!({"amount": "60.01"})).await.expect_problem(422, "capture_exceeds_hold");
        assert_eq!(more.pointers(), ["/amount"]);
        let posted = ada.capture(&id, json!({"amount": "25.5"})).await.expect_status(201);
        assert_eq!(posted.header("location"), Some(&*format!("/transactions/{id}")));
        assert_eq!(
            (&posted.body["id"], &posted.body["status"], &posted.body["type"]),
            (&json!(id), &json!("posted"), &json!("transfer"))
        );
        assert_eq!((&posted.body["amount"], &posted.body["description"]), (&json!("25.50"), &json!("Bicycle")));
        assert_eq!(
            (ada.amounts().await, bob.balance().await),
            (["74.50", "74.50", "0.00"].map(str::to_owned), "25.50".to_owned())
        );
        let hold = ada.get(&format!("/holds/{id}")).send().await.expect_status(200).body;
        assert_eq!(
            (&hold["status"], &hold["amount"], &hold["captured_amount"]),
            (&json!("captured"), &json!("60.00"), &json!("25.50"))
        );
        ada.capture(&id, json!({})).await.expect_problem(409, "hold_captured");
        ada.release(&id).await.expect_problem(409, "hold_captured");

        let whole = ada.held("74.50").await;
        assert_eq!(ada.capture(&whole, json!({})).await.expect_status(201).text_at("/balance"), "0.00");
    }

    async fn what_is_released_is_free_and_stays_so(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("10").await.expect_status(201);
        let id = ada.held("10").await;
        assert_eq!(ada.release(&id).await.expect_status(200).text_at("/status"), "released");
        assert_eq!(ada.amounts().await, ["10.00", "10.00", "0.00"]);
        ada.capture(&id, json!({})).await.expect_problem(409, "hold_released");
        ada.release(&id).await.expect_problem(409, "hold_released");
        assert_eq!(
            ada.get(&format!("/transactions/{id}")).send().await.expect_status(200).text_at("/status"),
            "released"
        );
        ada.withdraw("10").await.expect_status(201);
    }

    async fn a_hold_ends_by_itself(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("10").await.expect_status(201);
        let body =
            |expires_at: String| json!({"account_number": ada.account, "amount": "10", "expires_at": expires_at});
        for wrong in [in_milliseconds(0), in_milliseconds(31 * 24 * 3_600_000 + 60_000)] {
            let refused = ada.post("/holds", body(wrong)).send().await.expect_problem(422, "hold_lifetime");
            assert_eq!(refused.pointers(), ["/expires_at"]);
        }
        let id = ada.post("/holds", body(in_milliseconds(400))).send().await.expect_status(201).text_at("/id");
        eventually("the hold expires", async || ada.status_of_hold(&id).await == "expired").await;
        ada.capture(&id, json!({})).await.expect_problem(409, "hold_expired");
        ada.release(&id).await.expect_problem(409, "hold_expired");
        assert_eq!(ada.amounts().await, ["10.00", "10.00", "0.00"]);
        ada.withdraw("10").await.expect_status(201);
    }

    async fn a_key_names_one_hold_and_one_capture(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("100").await.expect_status(201);
        let place = async |amount: &str| {
            let body = json!({"account_number": ada.account, "amount": amount});
            ada.post("/holds", body).header("Idempotency-Key", "hold-1").send().await
        };
        let first = place("30").await.expect_status(201);
        let id = first.text_at("/id");
        let again = place("30.0").await.expect_status(201);
        assert_eq!((again.text_at("/id"), again.header("idempotent-replayed")), (id.clone(), Some("true")));
        place("31").await.expect_problem(422, "idempotency_key_reused");
        let capture = async |amount: &str| {
            let body = json!({"amount": amount});
            ada.post(&format!("/holds/{id}/capture"), body).header("Idempotency-Key", "capture-1").send().await
        };
        let posted = capture("20").await.expect_status(201);
        let again = capture("20").await.expect_status(201);
        assert_eq!((&again.body["hash"], again.header("idempotent-replayed")), (&posted.body["hash"], Some("true")));
        capture("21").await.expect_problem(422, "idempotency_key_reused");
        // The key of the hold tells what became of it.
        let later = place("30").await.expect_status(201);
        assert_eq!((later.text_at("/status"), later.text_at("/amount")), ("posted".to_owned(), "20.00".to_owned()));
        assert_eq!(ada.amounts().await, ["80.00", "80.00", "0.00"]);

        let body = json!({"account_number": ada.account, "amount": "1"});
        let keyed = async |key: &str| ada.post("/holds", body.clone()).header("Idempotency-Key", key).send().await;
        let released = keyed("hold-2").await.expect_status(201).text_at("/id");
        ada.release(&released).await.expect_status(200);
        assert_eq!(keyed("hold-2").await.expect_status(201).text_at("/status"), "released");
        // Left as it is, for the doctor.
        keyed("hold-3").await.expect_status(201);
    }

    async fn a_hold_names_accounts_as_a_movement_does(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("10").await.expect_status(201);
        let refused =
            async |body: Value, status, code| ada.post("/holds", body).send().await.expect_problem(status, code);
        refused(json!({"amount": "1"}), 422, "missing_field").await;
        refused(json!({"from_account": ada.account, "amount": "1"}), 422, "missing_field").await;
        refused(json!({"to_account": bob.account, "amount": "1"}), 422, "missing_field").await;
        refused(json!({"account_number": ada.account, "to_account": bob.account, "amount": "1"}), 422, "unknown_field")
            .await;
        refused(json!({"from_account": ada.account, "to_account": ada.account, "amount": "1"}), 422, "same_account")
            .await;
        refused(json!({"account_number": bob.account, "amount": "1"}), 404, "account_not_found").await;
        refused(json!({"account_number": ada.account, "amount": "1", "currency": "EUR"}), 422, "currency_mismatch")
            .await;
        let id = ada.held("5").await;
        for (method, path) in [(Method::GET, ""), (Method::POST, "/capture"), (Method::POST, "/release")] {
            let request = bob.request(method, &format!("/holds/{id}{path}"));
            let request = if path == "/capture" { request.json(json!({})) } else { request };
            request.send().await.expect_problem(404, "hold_not_found");
        }
        bob.get(&format!("/transactions/{id}")).send().await.expect_problem(404, "transaction_not_found");
        bob.get(&format!("/holds?account_number={}", ada.account))
            .send()
            .await
            .expect_problem(404, "account_not_found");
    }

    async fn holds_are_listed_by_what_became_of_them(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("10").await.expect_status(201);
        let (open, captured, released) = (ada.held("1").await, ada.held("2").await, ada.held("3").await);
        ada.capture(&captured, json!({})).await.expect_status(201);
        ada.release(&released).await.expect_status(200);
        let list = async |query: &str| {
            let path = format!("/holds?account_number={}{query}", ada.account);
            let page = ada.get(&path).send().await.expect_status(200);
            let ids = page.body["data"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|hold| hold["id"].as_str().expect("an id").to_owned());
            (ids.collect::<Vec<_>>(), page.body["next_cursor"].clone())
        };
        assert_eq!(list("").await.0, [released.clone(), captured.clone(), open.clone()]);
        assert_eq!(list("&status=held").await.0, std::slice::from_ref(&open));
        assert_eq!(list("&status=captured").await.0, std::slice::from_ref(&captured));
        assert_eq!(list("&status=released").await.0, std::slice::from_ref(&released));
        assert!(list("&status=expired").await.0.is_empty());
        let (first, cursor) = list("&limit=2").await;
        assert_eq!(first, [released, captured]);
        let (rest, end) = list(&format!("&limit=2&cursor={}", cursor.as_str().expect("a cursor"))).await;
        assert_eq!((rest, end), (vec![open], Value::Null));
    }

    async fn a_frozen_account_keeps_its_holds_and_nothing_is_captured(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        ada.deposit("10").await.expect_status(201);
        let id = ada.held("10").await;
        let path = format!("/accounts/{}/status", ada.account);
        let set = async |status: &str| {
            clerk
                .request(Method::PUT, &path)
                .json(json!({"status": status, "reason": "A test"}))
                .send()
                .await
                .expect_status(200)
        };
        set("frozen").await;
        ada.capture(&id, json!({})).await.expect_problem(409, "account_frozen");
        assert_eq!(ada.status_of_hold(&id).await, "held");
        set("open").await;
        ada.capture(&id, json!({})).await.expect_status(201);
    }

    async fn an_account_with_holds_does_not_close(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        clerk.set_limits_of(&ada.account, json!({"overdraft": "10"})).await.expect_status(200);
        let id = ada.held("10").await;
        let close = async || ada.request(Method::DELETE, &format!("/accounts/{}", ada.account)).send().await;
        close().await.expect_problem(409, "account_has_holds");
        ada.release(&id).await.expect_status(200);
        clerk.set_limits_of(&ada.account, json!({})).await.expect_status(200);
        close().await.expect_status(204);
    }

    async fn a_batch_holds_beside_what_it_moves(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let send = async |atomic: bool, items: Value| {
            ada.post("/transactions/batch", json!({"atomic": atomic, "transactions": items})).send().await
        };
        let items = json!([
            {"type": "deposit", "account_number": ada.account, "amount": "50"},
            {"type": "hold", "from_account": ada.account, "to_account": bob.account, "amount": "30"},
            {"type": "hold", "account_number": ada.account, "amount": "20"},
        ]);
        let done = send(true, items).await.expect_status(200);
        assert_eq!(done.body["booked"], 3);
        let ids: Vec<_> = (1..3).map(|index| done.text_at(&format!("/data/{index}/transaction/id"))).collect();
        assert_eq!(ada.amounts().await, ["50.00", "0.00", "50.00"]);
        let refused = json!([
            {"type": "hold", "account_number": ada.account, "amount": "0.01"},
        ]);
        send(true, refused).await.expect_problem(409, "batch_refused");
        let misplaced = json!([{"type": "deposit", "account_number": ada.account, "amount": "1", "expires_at": in_milliseconds(60_000)}]);
        send(false, misplaced).await.expect_problem(422, "unknown_field");
        ada.capture(&ids[0], json!({})).await.expect_status(201);
        ada.release(&ids[1]).await.expect_status(200);
        assert_eq!(
            (ada.amounts().await, bob.balance().await),
            (["20.00", "20.00", "0.00"].map(str::to_owned), "30.00".to_owned())
        );
    }

    async fn of_captures_that_come_at_once_one_wins(bank: &TestBank) {
        let ada = bank.customer().await;
        let (address, twin) = bank.twin().await;
        ada.deposit("100").await.expect_status(201);
        for _ in 0..10 {
            let id = ada.held("1").await;
            let path = format!("/holds/{id}/capture");
            let captures = (0..50).map(|index: usize| {
                let there = if index.is_multiple_of(2) { address } else { bank.address };
                bank.request_to(there, Method::POST, &path).bearer(&ada.token).json(json!({})).send()
            });
            let answers = join_all(captures).await;
            assert_eq!(count(&answers, 201), 1);
            assert_eq!(answers.iter().filter(|answer| answer.body["code"] == "hold_captured").count(), 49);
        }
        assert_eq!(ada.amounts().await, ["90.00", "90.00", "0.00"]);
        twin.close().await;
    }

    async fn a_hold_is_captured_or_released_and_never_both(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("100").await.expect_status(201);
        let (mut captured, mut released) = (0, 0);
        let (address, twin) = bank.twin().await;
        for round in 0..80 {
            let id = ada.held("1").await;
            let at = |there, what: &str| {
                bank.request_to(there, Method::POST, &format!("/holds/{id}/{what}")).bearer(&ada.token)
            };
            let (here, there) = if round % 2 == 0 { (bank.address, address) } else { (address, bank.address) };
            let capture = at(here, "capture").json(json!({})).send();
            let release = at(there, "release").send();
            // A capture takes longer to get to its row.
            let (capture, release) = tokio::join!(capture, async {
                tokio::time::sleep(Duration::from_micros(100 * round)).await;
                release.await
            });
            match (capture.status.as_u16(), release.status.as_u16()) {
                (201, 409) => captured += 1,
                (409, 200) => released += 1,
                other => panic!("{other:?}: {} {}", capture.body, release.body),
            }
        }
        assert!(captured > 0 && released > 0, "{captured} captured, {released} released: no race");
        assert_eq!(ada.balance().await, format!("{}.00", 100 - captured));
        twin.close().await;
    }

    async fn holds_and_withdrawals_that_come_at_once_take_no_more_than_there_is(bank: &TestBank) {
        let ada = bank.customer().await;
        let (address, twin) = bank.twin().await;
        ada.deposit("10").await.expect_status(201);
        let requests = (0..50).map(|index: usize| {
            let there = if index.is_multiple_of(2) { address } else { bank.address };
            let path = if index.is_multiple_of(3) { "/withdraw" } else { "/holds" };
            let body = json!({"account_number": ada.account, "amount": "1"});
            bank.request_to(there, Method::POST, path).bearer(&ada.token).json(body).send()
        });
        let answers = join_all(requests).await;
        assert_eq!((count(&answers, 201), count(&answers, 409)), (10, 40));
        let held = answers.iter().filter(|answer| answer.body["status"] == "held").count();
        let (balance, held) = (format!("{held}.00"), format!("{held}.00"));
        assert_eq!(ada.amounts().await, [balance, "0.00".to_owned(), held]);
        twin.close().await;
    }

    async fn a_capture_beside_a_freeze_moves_the_money_or_leaves_the_hold(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        ada.deposit("100").await.expect_status(201);
        let path = format!("/accounts/{}/status", ada.account);
        let set = async |status: &str| {
            clerk
                .request(Method::PUT, &path)
                .json(json!({"status": status, "reason": "A test"}))
                .send()
                .await
                .expect_status(200)
        };
        for _ in 0..20 {
            let id = ada.held("1").await;
            let (capture, _) = tokio::join!(ada.capture(&id, json!({})), set("frozen"));
            let expected = if capture.status == 201 { "captured" } else { "held" };
            if expected == "held" {
                capture.expect_problem(409, "account_frozen");
            }
            assert_eq!(ada.status_of_hold(&id).await, expected);
            set("open").await;
        }
        let captured = ada.history().await.len() - 1;
        assert_eq!(ada.balance().await, format!("{}.00", 100 - captured));
    }

    async fn an_account_closes_or_takes_the_hold_and_never_both(bank: &TestBank) {
        let clerk = bank.employee("staff").await;
        for _ in 0..10 {
            let ada = bank.customer().await;
            clerk.set_limits_of(&ada.account, json!({"overdraft": "10"})).await.expect_status(200);
            let path = format!("/accounts/{}", ada.account);
            let (hold, close) = tokio::join!(ada.hold("1"), ada.request(Method::DELETE, &path).send());
            match (hold.status.as_u16(), close.status.as_u16()) {
                (201, 409) => drop(close.expect_problem(409, "account_has_holds")),
                (409, 204) => drop(hold.expect_problem(409, "account_closed")),
                other => panic!("{other:?}: {} {}", hold.body, close.body),
            }
        }
    }

    async fn an_account_has_room_for_so_many_holds(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("10").await.expect_status(201);
        let items: Vec<_> =
            (0..200).map(|_| json!({"type": "hold", "account_number": ada.account, "amount": "0.01"})).collect();
        let done = ada.post("/transactions/batch", json!({"transactions": items})).send().await.expect_status(200);
        assert_eq!(done.body["booked"], 200);
        ada.hold("0.01").await.expect_problem(409, "too_many_holds");
        let body = json!({"account_number": ada.account, "amount": "0.01"});
        bank.customer().await.post("/holds", body).send().await.expect_problem(404, "account_not_found");
        ada.release(&done.text_at("/data/7/transaction/id")).await.expect_status(200);
        ada.hold("0.01").await.expect_status(201);
    }
}

bank_tests! {
    with &["--approval-above", "1000"];

    async fn what_the_bank_holds_the_bank_ends(bank: &TestBank) {
        let (ada, clerk, auditor) =
            (bank.customer().await, bank.employee("staff").await, bank.employee("auditor").await);
        ada.deposit("500").await.expect_status(201);
        let body = json!({"account_number": ada.account, "amount": "100"});
        let id = clerk.post("/holds", body).send().await.expect_status(201).text_at("/id");
        assert_eq!(ada.get(&format!("/holds/{id}")).send().await.expect_status(200).body["created_by_bank"], true);
        ada.capture(&id, json!({})).await.expect_problem(403, "hold_of_bank");
        ada.release(&id).await.expect_problem(403, "hold_of_bank");
        auditor.release(&id).await.expect_problem(403, "auditor_changes_nothing");
        clerk.capture(&id, json!({"amount": "40"})).await.expect_status(201);
        let of_ada = ada.held("10").await;
        clerk.capture(&of_ada, json!({})).await.expect_problem(403, "hold_of_customer");
        clerk.release(&of_ada).await.expect_status(200);
        assert_eq!(ada.amounts().await, ["460.00", "460.00", "0.00"]);
        for action in ["hold_created", "hold_captured", "hold_released"] {
            let found = auditor
                .get(&format!("/audit?action={action}&account_number={}", ada.account))
                .send()
                .await
                .expect_status(200);
            assert_eq!(found.body["data"].as_array().map(Vec::len), Some(1), "{action}: {}", found.body);
        }
    }

    async fn staff_end_no_hold_of_the_bank_on_their_own_account(bank: &TestBank) {
        let (clerk, other) = (bank.employee("staff").await, bank.employee("staff").await);
        clerk.deposit("50").await.expect_status(201);
        let body = json!({"account_number": clerk.account, "amount": "20"});
        let id = other.post("/holds", body.clone()).send().await.expect_status(201).text_at("/id");
        clerk.release(&id).await.expect_problem(403, "hold_of_bank");
        clerk.capture(&id, json!({})).await.expect_problem(403, "hold_of_bank");
        // Their own they end as any customer does.
        let own = clerk.post("/holds", body).send().await.expect_status(201).text_at("/id");
        other.capture(&own, json!({})).await.expect_problem(403, "hold_of_customer");
        clerk.capture(&own, json!({})).await.expect_status(201);
    }

    async fn holds_that_staff_create_in_a_batch_are_on_record_as_such(bank: &TestBank) {
        let (ada, clerk, auditor) =
            (bank.customer().await, bank.employee("staff").await, bank.employee("auditor").await);
        let items = json!([
            {"type": "deposit", "account_number": ada.account, "amount": "50"},
            {"type": "hold", "account_number": ada.account, "amount": "20"},
        ]);
        clerk.post("/transactions/batch", json!({"transactions": items})).send().await.expect_status(200);
        for action in ["hold_created", "movement_by_staff"] {
            let found = auditor
                .get(&format!("/audit?action={action}&account_number={}", ada.account))
                .send()
                .await
                .expect_status(200);
            assert_eq!(found.body["data"].as_array().map(Vec::len), Some(1), "{action}: {}", found.body);
        }
    }

    async fn a_large_hold_of_staff_needs_a_second_person_and_its_capture_none(bank: &TestBank) {
        let (ada, clerk, other) = (bank.customer().await, bank.employee("staff").await, bank.employee("staff").await);
        ada.deposit("9000").await.expect_status(201);
        let body = json!({"account_number": ada.account, "amount": "5000", "description": "A car"});
        let waiting = clerk.post("/holds", body).send().await.expect_status(202);
        let id = waiting.text_at("/id");
        assert_eq!(waiting.text_at("/status"), "pending_approval");
        assert_eq!(ada.amounts().await, ["9000.00", "4000.00", "5000.00"]);
        clerk.capture(&id, json!({})).await.expect_problem(404, "hold_not_found");
        let approval = other.get(&format!("/approvals/{id}")).send().await.expect_status(200);
        assert_eq!(approval.text_at("/hold_expires_at"), waiting.text_at("/expires_at"));
        let decide = async |what: &str| other.request(Method::POST, &format!("/approvals/{id}/{what}")).send().await;
        assert_eq!(decide("approve").await.expect_status(200).body["transaction_id"], Value::Null);
        assert_eq!(ada.amounts().await, ["9000.00", "4000.00", "5000.00"]);
        clerk.capture(&id, json!({"amount": "4800"})).await.expect_status(201);
        assert_eq!(ada.amounts().await, ["4200.00", "4200.00", "0.00"]);
    }

    async fn a_hold_that_waits_is_approved_or_rejected_and_never_both(bank: &TestBank) {
        let (ada, clerk, other) = (bank.customer().await, bank.employee("staff").await, bank.employee("staff").await);
        ada.deposit("9000").await.expect_status(201);
        for _ in 0..10 {
            let body = json!({"account_number": ada.account, "amount": "5000"});
            let id = clerk.post("/holds", body).send().await.expect_status(202).text_at("/id");
            let decide = |who: &'_ Customer<'_>, what: &str| {
                who.request(Method::POST, &format!("/approvals/{id}/{what}")).send()
            };
            let (approved, rejected) = tokio::join!(decide(&other, "approve"), decide(&clerk, "reject"));
            let capture = clerk.capture(&id, json!({"amount": "1"})).await;
            match (approved.status.as_u16(), rejected.status.as_u16()) {
                (200, 409) => drop(capture.expect_status(201)),
                (409, 200) => drop(capture.expect_problem(404, "hold_not_found")),
                other => panic!("{other:?}: {} {}", approved.body, rejected.body),
            }
            assert_eq!(ada.amounts().await[2], "0.00");
        }
    }

    async fn whatever_waits_for_approval_keeps_its_money(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        ada.deposit("2000").await.expect_status(201);
        let body = json!({"account_number": ada.account, "amount": "1500"});
        let id = clerk.post("/withdraw", body).send().await.expect_status(202).text_at("/id");
        assert_eq!(ada.amounts().await, ["2000.00", "500.00", "1500.00"]);
        ada.withdraw("500.01").await.expect_problem(409, "insufficient_funds");
        clerk.request(Method::POST, &format!("/approvals/{id}/reject")).send().await.expect_status(200);
        assert_eq!(ada.amounts().await, ["2000.00", "2000.00", "0.00"]);
        let other = bank.employee("staff").await;
        let body = json!({"account_number": ada.account, "amount": "2000"});
        let all = clerk.post("/withdraw", body).send().await.expect_status(202).text_at("/id");
        other.request(Method::POST, &format!("/approvals/{all}/approve")).send().await.expect_status(200);
        assert_eq!(ada.amounts().await, ["0.00", "0.00", "0.00"]);
    }

    async fn the_doctor_finds_each_forged_hold(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        let (open, captured) = (ada.held("30").await, ada.held("20").await);
        ada.capture(&captured, json!({"amount": "15"})).await.expect_status(201);
        let on = if bank.kind == Kind::Postgres { " on holds" } else { "" };
        for trigger in ["holds_refuse_change", "holds_refuse_second_end", "holds_refuse_delete"] {
            bank.tamper(&format!("drop trigger {trigger}{on}")).await;
        }
        let at_odds = "what was captured is booked as it was held, and nothing that was not";
        let row = |id: &str| match bank.kind {
            Kind::Sqlite => format!("id = x'{}'", id.replace('-', "")),
            Kind::Postgres => format!("id = '{id}'"),
        };
        let forgeries = [
            (&captured, "captured_amount = 1501", "captured_amount = 1500", at_odds),
            (&captured, "amount = 1499", "amount = 2000", at_odds),
            (&captured, "currency = 'EUR'", "currency = 'USD'", at_odds),
            (&captured, &*format!("to_account = {}", bob.account), "to_account = null", at_odds),
            (
                &captured,
                &*format!("from_account = {}", bob.account),
                &*format!("from_account = {}", ada.account),
                at_odds,
            ),
            (&open, "currency = 'EUR'", "currency = 'USD'", at_odds),
            (&open, "amount = 8501", "amount = 3000", "what is held is still there"),
            (
                &open,
                "expires_at = expires_at + 3600000000",
                "expires_at = expires_at - 3600000000",
                "what is held is still there",
            ),
        ];
        for (id, forged, undone, invariant) in forgeries {
            if bank.kind == Kind::Postgres && forged == "amount = 1499" {
                // Its own check refuses it.
                continue;
            }
            bank.tamper(&format!("update holds set {forged} where {}", row(id))).await;
            let wrong: Vec<_> = bank.books_wrong().await.into_iter().map(|(invariant, _)| invariant).collect();
            assert_eq!(wrong, [invariant], "{forged}");
            bank.tamper(&format!("update holds set {undone} where {}", row(id))).await;
        }
        bank.tamper(&format!("update holds set status = 'captured', captured_amount = 3000, decided_by = created_by, decided_at = created_at where {}", row(&open))).await;
        assert_eq!(bank.books_wrong().await.into_iter().map(|(invariant, _)| invariant).collect::<Vec<_>>(), [at_odds]);
        bank.tamper(&format!(
            "update holds set status = 'held', captured_amount = null, decided_by = null, decided_at = null where {}",
            row(&open)
        ))
        .await;
    }
}

/// What happens to one account, one batch after the other.
#[derive(Clone, Debug)]
enum Act {
    Deposit(i64),
    Withdraw(i64),
    Hold {
        amount: i64,
        seconds: u64,
    },
    /// The hold that was created as the nth; all of it, or so much.
    Capture {
        nth: usize,
        amount: Option<i64>,
    },
    Release {
        nth: usize,
    },
    /// So many seconds pass.
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (1..100i64).prop_map(Act::Deposit),
        (1..100i64).prop_map(Act::Withdraw),
        (1..60i64, 1..50u64).prop_map(|(amount, seconds)| Act::Hold { amount, seconds }),
        (0..8usize, prop::option::of(1..60i64)).prop_map(|(nth, amount)| Act::Capture { nth, amount }),
        (0..8usize).prop_map(|nth| Act::Release { nth }),
        (1..30u64).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 1..40)
}

fn owner() -> Requester {
    Requester {
        user_id: Uuid::from_u128(7),
        acts_on_any_account: false,
        deposits_to_own: true,
        approval_above: None,
        key: None,
    }
}

fn command(id: Uuid, movement: Movement, step: Step, cents: i64) -> Command {
    Command {
        id,
        requester: owner(),
        movement,
        step,
        amount: Amount::parse(&format!("{}.{:02}", cents / 100, cents % 100)).expect("an amount"),
        currency: None,
        texts: Texts::default(),
        idempotency_key: None,
        dual_control: DualControl::Refuse,
        expected_sequences: None,
        reverses: None,
        record: None,
        at: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever comes in whatever order, an account moves by what a purse with labelled envelopes would, and what is held
    /// is always there.
    #[test]
    fn holds_do_what_envelopes_in_a_purse_would(acts in acts()) {
        let currency = "USD".parse().expect("a currency");
        let number = coffer_core::account_number::AccountNumber::random().expect("random");
        let mut now = Timestamp::from_micros(1_000_000);
        let mut account = Account::open(number, owner().user_id, currency, None, now);
        let mut holds: Vec<Hold> = Vec::new();
        let mut purse = 0i64;
        for (index, act) in acts.into_iter().enumerate() {
            let is_open = |hold: &&Hold| hold.status_at(now) == HoldStatus::Held;
            let envelopes: i64 = holds.iter().filter(is_open).map(|hold| hold.amount).sum();
            prop_assert!(purse >= envelopes && purse == account.balance);
            let id = Uuid::from_u128(100 + index as u128);
            let (deposit, withdrawal) = (Movement::Deposit { to: number, against: BankAccount::CASH }, Movement::Withdrawal { from: number, against: BankAccount::CASH });
            let (command, is_fine) = match act {
                Act::Wait(seconds) => {
                    now = now.plus(Duration::from_secs(seconds));
                    continue;
                }
                Act::Release { nth } => {
                    if let Some(hold) = holds.get_mut(nth).filter(|hold| hold.status_at(now) == HoldStatus::Held) {
                        hold.status = HoldStatus::Released;
                    }
                    continue;
                }
                Act::Deposit(cents) => (command(id, deposit, Step::Post, cents), true),
                Act::Withdraw(cents) => (command(id, withdrawal, Step::Post, cents), cents <= purse - envelopes),
                Act::Hold { amount, seconds } => {
                    let step = Step::Hold { expires_at: Some(now.plus(Duration::from_secs(seconds))) };
                    (command(id, withdrawal, step, amount), amount <= purse - envelopes)
                }
                Act::Capture { nth, amount } => {
                    let Some(hold) = holds.get(nth) else { continue };
                    let cents = amount.unwrap_or(hold.amount);
                    let is_fine = hold.status_at(now) == HoldStatus::Held && cents <= hold.amount;
                    (command(hold.id, withdrawal, Step::Capture, cents), is_fine)
                }
            };
            let reservations = holds.iter().filter(is_open).map(Hold::reservation).collect();
            let fresh = Account { reserved: 0, reservations: 0, ..account.clone() };
            let book = Book::new(vec![fresh], now, 1_000_000).with(reservations, Unapproved::default());
            let named = holds.iter().filter(|hold| hold.id == command.id).cloned().collect();
            let mut decisions = Decisions::new(book, vec![], vec![], named, vec![], PendingBefore::default(), now);
            let verdict = decisions.decide_request(std::slice::from_ref(&command), false).remove(0);
            prop_assert_eq!(verdict.is_ok(), is_fine, "{:?}", verdict);
            match verdict {
                Ok(Receipt::Held(hold)) => holds.push(hold),
                Ok(Receipt::Posted(entry)) => {
                    purse += entry.amount;
                    account = decisions.heads().remove(0).clone();
                    for captured in &decisions.postings.captured {
                        let hold = holds.iter_mut().find(|hold| hold.id == captured.id).expect("the hold");
                        prop_assert_eq!(captured.amount, -entry.amount);
                        hold.status = HoldStatus::Captured;
                    }
                }
                Ok(other) => prop_assert!(false, "{other:?}"),
                Err(_) => {}
            }
        }
    }
}
