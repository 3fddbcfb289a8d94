//! Limits of accounts: how much may leave one, at once, in a day, in a month, and how often.

use std::time::Duration;

use coffer_core::account_number::AccountNumber;
use coffer_core::bank_account::BankAccount;
use coffer_core::books::account::Account;
use coffer_core::books::account_limits::{AccountLimits, LimitKind, Limits, RAISE_WAITS, Used};
use coffer_core::books::calendar::Calendar;
use coffer_core::books::command::{Command, DualControl, Requester, Step};
use coffer_core::books::decisions::{Decisions, PendingBefore};
use coffer_core::books::movement::Movement;
use coffer_core::books::refusal::Refusal;
use coffer_core::books::rules::Book;
use coffer_core::books::texts::Texts;
use coffer_core::money::Amount;
use coffer_core::timestamp::Timestamp;
use futures_util::future::join_all;
use proptest::prelude::*;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::databases::Kind;
use crate::harness::{Answer, Customer, bank_tests, eventually};

const LIMITS: &str = "limits of accounts are as the audit log says that they were set";
const COUNTERS: &str = "what is used of limits is what has left the account";
const CHANGES: &str = "changes of limits were approved by a second person";

impl Customer<'_> {
    pub async fn limits_of(&self, account: &str) -> Answer {
        self.get(&format!("/accounts/{account}/limits")).send().await
    }

    pub async fn limits(&self) -> Value {
        self.limits_of(&self.account).await.expect_status(200).body
    }

    pub async fn set_limits_of(&self, account: &str, limits: Value) -> Answer {
        self.request(Method::PUT, &format!("/accounts/{account}/limits")).json(limits).send().await
    }

    pub async fn set_own_limits(&self, limits: Value) -> Answer {
        self.set_limits_of(&self.account, limits).await
    }
}

fn member<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.body[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", answer.body))
}

/// Whether the problem names no member of this list.
fn lacks(problem: &Value, members: &[&str]) -> bool {
    members.iter().all(|member| problem.get(member).is_none())
}

const MEMBERS: [&str; 10] =
    ["currency", "requested", "available", "held", "short_by", "limit", "allowed", "used", "remaining", "resets_at"];

bank_tests! {
    async fn an_account_without_limits_says_so(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("5").await.expect_status(201);
        let limits = ada.limits().await;
        assert_eq!(
            (&limits["account_number"], &limits["currency"], &limits["overdraft"]),
            (&json!(ada.account), &json!("USD"), &json!("0.00"))
        );
        assert_eq!(limits["per_movement"], json!({"limit": null, "bank": null, "own": null}));
        for name in ["per_day", "per_month", "movements_per_day"] {
            for member in ["limit", "bank", "own", "used", "remaining"] {
                assert_eq!(limits[name][member], Value::Null, "{name} {member}");
            }
            assert!(limits[name]["resets_at"].as_str().is_some_and(|it| it.ends_with("T00:00:00.000000Z")), "{limits}");
        }
        assert_eq!((limits.get("next_own"), limits.get("approval_id")), (None, None));
    }

    async fn staff_lend_and_nobody_takes_more(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        let set = clerk.set_limits_of(&ada.account, json!({"overdraft": "100"})).await.expect_status(200);
        assert_eq!(set.text_at("/overdraft"), "100.00");
        ada.deposit("20").await.expect_status(201);
        ada.withdraw("120").await.expect_status(201);
        assert_eq!(ada.balance().await, "-100.00");
        let refused = ada.withdraw("0.01").await.expect_problem(409, "insufficient_funds");
        let told =
            ["available", "held", "short_by", "requested", "currency"].map(|name| member(&refused, name).to_owned());
        assert_eq!(told, ["0.00", "0.00", "0.01", "0.01", "USD"]);
        assert!(lacks(&refused.body, &MEMBERS[5..]), "{}", refused.body);

        let in_use = clerk
            .set_limits_of(&ada.account, json!({"overdraft": "99.99"}))
            .await
            .expect_problem(409, "overdraft_in_use");
        assert_eq!((member(&in_use, "used"), member(&in_use, "requested")), ("100.00", "99.99"));
        clerk.set_limits_of(&ada.account, json!({})).await.expect_problem(409, "overdraft_in_use");
        ada.deposit("70").await.expect_status(201);
        let hold = json!({"account_number": ada.account, "amount": "10"});
        let hold = ada.post("/holds", hold).send().await.expect_status(201).text_at("/id");
        let in_use =
            clerk.set_limits_of(&ada.account, json!({"overdraft": "39"})).await.expect_problem(409, "overdraft_in_use");
        assert_eq!(member(&in_use, "used"), "40.00");
        clerk.set_limits_of(&ada.account, json!({"overdraft": "40.00"})).await.expect_status(200);
        let refused = ada.withdraw("5").await.expect_problem(409, "insufficient_funds");
        assert_eq!((member(&refused, "held"), member(&refused, "short_by")), ("10.00", "5.00"));
        ada.request(Method::POST, &format!("/holds/{hold}/release")).send().await.expect_status(200);
        ada.deposit("30").await.expect_status(201);
        clerk.set_limits_of(&ada.account, json!({"overdraft": "0.00"})).await.expect_status(200);
    }

    async fn a_limit_says_what_is_left_and_until_when(bank: &TestBank) {
        let (ada, bob, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        ada.deposit("1000").await.expect_status(201);
        let limits = json!({"per_movement": "60", "per_day": "100", "per_month": "120.5", "movements_per_day": 3});
        let set = clerk.set_limits_of(&ada.account, limits).await.expect_status(200).body;
        assert_eq!((&set["per_day"]["used"], &set["per_day"]["remaining"]), (&json!("0.00"), &json!("100.00")));

        let refused = ada.withdraw("60.01").await.expect_problem(409, "limit_exceeded");
        assert_eq!(
            ["limit", "allowed", "requested", "remaining", "currency"].map(|name| member(&refused, name)),
            ["per_movement", "60.00", "60.01", "60.00", "USD"]
        );
        assert!(lacks(&refused.body, &["used", "resets_at", "available", "held", "short_by"]), "{}", refused.body);

        ada.transfer(&bob.account, "60").await.expect_status(201);
        let refused = ada.withdraw("40.01").await.expect_problem(409, "limit_exceeded");
        let told = ["limit", "allowed", "used", "remaining", "requested"].map(|name| member(&refused, name));
        assert_eq!(told, ["per_day", "100.00", "60.00", "40.00", "40.01"]);
        let now = ada.limits().await;
        assert_eq!(refused.body["resets_at"], now["per_day"]["resets_at"]);
        assert_eq!((&now["per_day"]["used"], &now["per_day"]["remaining"]), (&json!("60.00"), &json!("40.00")));
        assert_eq!((&now["per_month"]["used"], &now["per_month"]["remaining"]), (&json!("60.00"), &json!("60.50")));

        ada.withdraw("1").await.expect_status(201);
        let hold = json!({"account_number": ada.account, "amount": "2"});
        let hold = ada.post("/holds", hold).send().await.expect_status(201).text_at("/id");
        let refused = ada.withdraw("1").await.expect_problem(409, "limit_exceeded");
        let told = ["limit", "allowed", "used", "remaining", "requested"].map(|name| member(&refused, name));
        assert_eq!(told, ["movements_per_day", "3", "3", "0", "1"]);
        assert!(lacks(&refused.body, &["currency"]), "{}", refused.body);
        // A capture has been counted, and what is released gives nothing back.
        ada.post(&format!("/holds/{hold}/capture"), json!({"amount": "1"})).send().await.expect_status(201);
        let now = ada.limits().await;
        assert_eq!((&now["movements_per_day"]["used"], &now["per_day"]["used"]), (&json!(3), &json!("63.00")));

        // The month stands longest, so it is named.
        clerk.set_limits_of(&ada.account, json!({"per_day": "64", "per_month": "64"})).await.expect_status(200);
        let refused = ada.withdraw("2").await.expect_problem(409, "limit_exceeded");
        assert_eq!(
            (member(&refused, "limit"), &refused.body["resets_at"]),
            ("per_month", &now["per_month"]["resets_at"])
        );
        ada.withdraw("1").await.expect_status(201);
        clerk.set_limits_of(&ada.account, json!({})).await.expect_status(200);
        ada.withdraw("500").await.expect_status(201);
    }

    async fn what_does_not_leave_the_owner_is_not_limited(bank: &TestBank) {
        let (mut ada, bob, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        let savings = ada.open_account(json!({})).await.expect_status(201).text_at("/account_number");
        ada.deposit("100").await.expect_status(201);
        clerk.set_limits_of(&ada.account, json!({"per_day": "0", "movements_per_day": 0})).await.expect_status(200);
        ada.withdraw("1").await.expect_problem(409, "limit_exceeded");
        ada.transfer(&savings, "40").await.expect_status(201);
        let to_savings = json!({"from_account": ada.account, "to_account": savings, "amount": "5"});
        ada.post("/holds", to_savings).send().await.expect_status(201);
        let received = bob.deposit("10").await.expect_status(201);
        assert_eq!(received.text_at("/balance"), "10.00");
        let gift = bob.transfer(&ada.account, "10").await.expect_status(201).text_at("/id");
        // Staff undo it, although nothing may leave.
        clerk.post(&format!("/transactions/{gift}/reverse"), json!({})).send().await.expect_status(201);
        let limits = ada.limits().await;
        assert_eq!((&limits["per_day"]["used"], &limits["movements_per_day"]["used"]), (&json!("0.00"), &json!(0)));
        // Whoever asks: it is the account that is limited.
        let body = json!({"account_number": ada.account, "amount": "1"});
        clerk.post("/withdraw", body).send().await.expect_problem(409, "limit_exceeded");
        ada.account = savings;
        ada.withdraw("40").await.expect_status(201);
    }

    async fn nothing_gives_back_what_has_counted(bank: &TestBank) {
        let (ada, bob, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        ada.deposit("100").await.expect_status(201);
        clerk.set_limits_of(&ada.account, json!({"per_day": "10"})).await.expect_status(200);
        let sent = ada.transfer(&bob.account, "6").await.expect_status(201).text_at("/id");
        clerk.post(&format!("/transactions/{sent}/reverse"), json!({})).send().await.expect_status(201);
        let hold = json!({"account_number": ada.account, "amount": "4"});
        let hold = ada.post("/holds", hold).send().await.expect_status(201).text_at("/id");
        ada.request(Method::POST, &format!("/holds/{hold}/release")).send().await.expect_status(200);
        assert_eq!(ada.limits().await["per_day"]["remaining"], "0.00");
        ada.withdraw("0.01").await.expect_problem(409, "limit_exceeded");
    }

    async fn limits_that_are_set_at_noon_count_the_morning(bank: &TestBank) {
        let (ada, bob, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        let savings = ada.open_account(json!({})).await.expect_status(201).text_at("/account_number");
        ada.deposit("100").await.expect_status(201);
        ada.withdraw("1").await.expect_status(201);
        ada.transfer(&savings, "50").await.expect_status(201);
        let sent = ada.transfer(&bob.account, "2").await.expect_status(201).text_at("/id");
        clerk.post(&format!("/transactions/{sent}/reverse"), json!({})).send().await.expect_status(201);
        let hold = async |amount: &str, to: &str| {
            let body = json!({"from_account": ada.account, "to_account": to, "amount": amount});
            ada.post("/holds", body).send().await.expect_status(201).text_at("/id")
        };
        let captured = hold("4", &bob.account).await;
        ada.post(&format!("/holds/{captured}/capture"), json!({"amount": "3"})).send().await.expect_status(201);
        hold("8", &savings).await;
        hold("16", &bob.account).await;
        let set = clerk.set_limits_of(&ada.account, json!({"per_day": "24"})).await.expect_status(200).body;
        assert_eq!((&set["per_day"]["used"], &set["per_month"]["used"]), (&json!("23.00"), &json!("23.00")));
        assert_eq!(set["movements_per_day"]["used"], 4);
        ada.withdraw("1.01").await.expect_problem(409, "limit_exceeded");
        ada.withdraw("1").await.expect_status(201);
    }

    async fn owners_limit_themselves_at_once_and_raise_after_a_day(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        ada.deposit("1000").await.expect_status(201);
        clerk.set_limits_of(&ada.account, json!({"per_day": "100", "movements_per_day": 9})).await.expect_status(200);
        let above = ada
            .set_own_limits(json!({"per_day": "100.01", "movements_per_day": 10, "per_month": "7"}))
            .await
            .expect_problem(422, "validation_failed");
        assert_eq!(above.pointers(), ["/per_day", "/movements_per_day"]);
        let above = ada.set_own_limits(json!({"per_day": "101"})).await.expect_problem(422, "limit_above_banks");
        assert!(above.text_at("/detail").contains("100.00 USD"), "{}", above.body);
        let lent = ada.set_own_limits(json!({"overdraft": "5"})).await.expect_problem(422, "overdraft_of_bank");
        assert_eq!(lent.pointers(), ["/overdraft"]);

        let lower = ada.set_own_limits(json!({"per_day": "10", "per_movement": "8"})).await.expect_status(200).body;
        assert_eq!(lower["per_day"]["limit"], "10.00");
        assert_eq!(
            (&lower["per_day"]["bank"], &lower["per_day"]["own"], &lower["next_own"]),
            (&json!("100.00"), &json!("10.00"), &Value::Null)
        );
        assert_eq!(
            (&lower["movements_per_day"]["limit"], &lower["movements_per_day"]["own"]),
            (&json!(9), &Value::Null)
        );
        ada.withdraw("8.01").await.expect_problem(409, "limit_exceeded");
        ada.withdraw("8").await.expect_status(201);

        // What is lower counts now, what is higher tomorrow.
        let mixed = json!({"per_day": "50", "per_movement": "5"});
        let raised = ada.set_own_limits(mixed.clone()).await.expect_status(200).body;
        assert_eq!((&raised["per_day"]["limit"], &raised["per_movement"]["limit"]), (&json!("10.00"), &json!("5.00")));
        let next = raised["next_own"].clone();
        assert_eq!(
            (&next["per_day"], &next["per_movement"], &next["per_month"]),
            (&json!("50.00"), &json!("5.00"), &Value::Null)
        );
        let effective_at: Timestamp = next["effective_at"].as_str().expect("a moment").parse().expect("a moment");
        let wait = effective_at.since(Timestamp::now());
        assert!(wait > RAISE_WAITS - Duration::from_secs(60) && wait <= RAISE_WAITS, "{wait:?}");
        ada.withdraw("2.01").await.expect_problem(409, "limit_exceeded");
        // Asked for again, or for less, it does not wait longer.
        assert_eq!(ada.set_own_limits(mixed).await.expect_status(200).body["next_own"], next);
        let less = ada.set_own_limits(json!({"per_day": "40", "per_movement": "5"})).await.expect_status(200).body;
        assert_eq!(less["next_own"]["effective_at"], next["effective_at"]);
        assert_eq!(ada.limits().await, less);

        // A day later.
        let later = format!(
            "update account_limits set next_effective_at = next_effective_at - 86400000000 where account_number = {}",
            ada.account
        );
        bank.tamper(&later).await;
        let now = ada.limits().await;
        assert_eq!((&now["per_day"]["limit"], &now["next_own"]), (&json!("40.00"), &Value::Null));
        ada.withdraw("2.01").await.expect_status(201);
        ada.set_own_limits(json!({"per_day": "40", "per_movement": "5"})).await.expect_status(200);
        // The bank's counts, whatever the owner has set.
        clerk.set_limits_of(&ada.account, json!({"per_day": "11"})).await.expect_status(200);
        ada.withdraw("1").await.expect_problem(409, "limit_exceeded");
    }

    async fn a_raise_takes_a_recent_proof_where_movements_do(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.set_own_limits(json!({"per_day": "10"})).await.expect_status(200);
        ada.a_while_later().set_own_limits(json!({"per_day": "11"})).await.expect_status(200);
        ada.request(Method::PATCH, "/me").json(json!({"confirm_above": "1"})).send().await.expect_status(200);
        let later = ada.a_while_later();
        later.set_own_limits(json!({"per_day": "9"})).await.expect_status(200);
        later.set_own_limits(json!({"per_day": "12"})).await.expect_problem(401, "recent_sign_in_required");
        ada.set_own_limits(json!({"per_day": "12"})).await.expect_status(200);
    }

    async fn limits_are_what_they_should_be(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        let (yen, dinar) = (bank.customer_in("JPY").await, bank.customer_in("KWD").await);
        let refused = async |limits: Value, code: &str, pointer: &str| {
            let refused = clerk.set_limits_of(&ada.account, limits).await.expect_problem(422, code);
            assert_eq!(refused.pointers(), [pointer]);
        };
        refused(json!({"per_day": 100}), "amount_must_be_a_string", "/per_day").await;
        refused(json!({"per_month": "-1"}), "amount_negative", "/per_month").await;
        refused(json!({"overdraft": "0.001"}), "amount_too_many_decimals", "/overdraft").await;
        refused(json!({"per_day": "0.000"}), "amount_too_many_decimals", "/per_day").await;
        refused(json!({"per_day": "00"}), "amount_leading_zero", "/per_day").await;
        refused(json!({"per_movement": "1000000000000"}), "limit_above_maximum", "/per_movement").await;
        refused(json!({"movements_per_day": -1}), "invalid_value", "/movements_per_day").await;
        refused(json!({"movements_per_day": 1_000_001}), "invalid_value", "/movements_per_day").await;
        refused(json!({"movements_per_day": "3"}), "wrong_type", "/movements_per_day").await;
        refused(json!({"movements_per_day": 1.5}), "wrong_type", "/movements_per_day").await;
        // An integer of JSON Schema.
        let whole = ada.set_own_limits(json!({"movements_per_day": 3.0})).await.expect_status(200);
        assert_eq!(whole.body["movements_per_day"]["own"], 3);
        refused(json!({"per_week": "3"}), "unknown_field", "/per_week").await;
        clerk
            .set_limits_of(&yen.account, json!({"per_day": "1.5"}))
            .await
            .expect_problem(422, "amount_too_many_decimals");
        let set = clerk
            .set_limits_of(&yen.account, json!({"per_day": "999999999999", "per_month": null}))
            .await
            .expect_status(200);
        assert_eq!(set.text_at("/per_day/bank"), "999999999999");
        let set =
            clerk.set_limits_of(&dinar.account, json!({"per_day": "0", "overdraft": "0.125"})).await.expect_status(200);
        assert_eq!(
            (set.text_at("/per_day/limit"), set.text_at("/overdraft")),
            ("0.000".to_owned(), "0.125".to_owned())
        );
        // What GET answers, PUT takes.
        clerk.set_limits_of(&ada.account, json!({"overdraft": "0.00", "per_day": null})).await.expect_status(200);
        ada.request(Method::DELETE, &format!("/accounts/{}", ada.account)).send().await.expect_status(204);
        clerk.set_limits_of(&ada.account, json!({})).await.expect_problem(409, "account_closed");
    }

    async fn nobody_sees_or_sets_limits_that_are_not_theirs(bank: &TestBank) {
        let (ada, eve, clerk, auditor) = (
            bank.customer().await,
            bank.customer().await,
            bank.employee("staff").await,
            bank.employee("auditor").await,
        );
        eve.limits_of(&ada.account).await.expect_problem(404, "account_not_found");
        eve.set_limits_of(&ada.account, json!({})).await.expect_problem(404, "account_not_found");
        auditor.set_limits_of(&ada.account, json!({})).await.expect_problem(403, "auditor_changes_nothing");
        clerk.limits_of(&ada.account).await.expect_status(200);
        clerk.set_limits_of(&ada.account, json!({"per_day": "3"})).await.expect_status(200);
        ada.set_own_limits(json!({"per_day": "2"})).await.expect_status(200);
        for (action, detail) in [
            ("limits_viewed", Value::Null),
            ("limits_set", json!("overdraft 0.00, movement none, day 3.00, month none, count none")),
            ("own_limits_set", json!("movement none, day 2.00, month none, count none")),
        ] {
            let path = format!("/audit?action={action}&account_number={}", ada.account);
            let records = async || {
                let found = auditor.get(&path).send().await.expect_status(200);
                found.body["data"].as_array().expect("a list").clone()
            };
            // A look is written soon after.
            eventually(&format!("{action} is on record"), async || !records().await.is_empty()).await;
            let found = records().await;
            assert_eq!((found.len(), &found[0]["detail"]), (1, &detail), "{action}: {found:?}");
        }
        // A refusal tells how the account stands, so it is on record, too.
        clerk.set_limits_of(&ada.account, json!({"overdraft": "5"})).await.expect_status(200);
        ada.withdraw("5").await.expect_problem(409, "limit_exceeded");
        ada.withdraw("2").await.expect_status(201);
        clerk.set_limits_of(&ada.account, json!({})).await.expect_problem(409, "overdraft_in_use");
        eventually("the refusal is on record", async || {
            let found =
                auditor.get(&format!("/audit?action=movement_refused&account_number={}", ada.account)).send().await;
            found.expect_status(200).body["data"][0]["detail"] == "overdraft_in_use"
        })
        .await;
        // Staff are owners on their own accounts.
        clerk.set_own_limits(json!({"overdraft": "5"})).await.expect_problem(422, "overdraft_of_bank");
        let own = clerk.set_own_limits(json!({"per_day": "5"})).await.expect_status(200);
        assert_eq!((own.text_at("/per_day/own"), &own.body["per_day"]["bank"]), ("5.00".to_owned(), &Value::Null));
    }

    async fn a_refusal_tells_nobody_what_the_other_side_has(bank: &TestBank) {
        let (ada, eve, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        ada.deposit("10").await.expect_status(201);
        eve.deposit("10").await.expect_status(201);
        clerk.set_limits_of(&ada.account, json!({"per_day": "1"})).await.expect_status(200);
        let body = json!({"from_account": ada.account, "to_account": eve.account, "amount": "100"});
        let refused = eve.post("/transfer", body).send().await.expect_problem(404, "account_not_found");
        assert!(lacks(&refused.body, &MEMBERS), "{}", refused.body);
        let refused = eve.transfer(&ada.account, "10.01").await.expect_problem(409, "insufficient_funds");
        assert_eq!(member(&refused, "available"), "10.00");
        // What limits a receiver limits nobody who pays.
        eve.transfer(&ada.account, "10").await.expect_status(201);
    }

    async fn a_batch_is_counted_as_a_whole_or_item_by_item(bank: &TestBank) {
        let (ada, bob, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        ada.deposit("100").await.expect_status(201);
        clerk.set_limits_of(&ada.account, json!({"per_day": "10"})).await.expect_status(200);
        let item = |amount: &str| json!({"type": "transfer", "from_account": ada.account, "to_account": bob.account, "amount": amount});
        let send = async |atomic: bool, amounts: [&str; 3]| {
            let body = json!({"atomic": atomic, "transactions": amounts.map(item)});
            ada.post("/transactions/batch", body).send().await
        };
        let refused = send(true, ["4", "4", "4"]).await.expect_problem(409, "batch_refused");
        assert_eq!(refused.pointers(), ["/transactions/2"]);
        assert_eq!(refused.text_at("/errors/0/code"), "limit_exceeded");
        assert_eq!(ada.limits().await["per_day"]["used"], "0.00");
        let done = send(false, ["4", "7", "6"]).await.expect_status(200);
        assert_eq!((&done.body["booked"], &done.body["refused"]), (&json!(2), &json!(1)));
        let problem = &done.body["data"][1]["problem"];
        assert_eq!(
            (&problem["limit"], &problem["used"], &problem["remaining"]),
            (&json!("per_day"), &json!("4.00"), &json!("6.00"))
        );
        assert_eq!(ada.limits().await["per_day"]["remaining"], "0.00");
    }

    async fn fifty_at_once_never_exceed_a_limit(bank: &TestBank) {
        let (ada, bob, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        ada.deposit("1000").await.expect_status(201);
        clerk.set_limits_of(&ada.account, json!({"per_day": "100", "movements_per_day": 12})).await.expect_status(200);
        let (twin, instance) = bank.twin().await;
        let send = |index: usize| {
            let address = if index.is_multiple_of(2) { bank.address } else { twin };
            let (path, body) = match index % 3 {
                0 => ("/withdraw", json!({"account_number": ada.account, "amount": "5"})),
                1 => ("/transfer", json!({"from_account": ada.account, "to_account": bob.account, "amount": "5"})),
                _ => ("/holds", json!({"account_number": ada.account, "amount": "5"})),
            };
            bank.request_to(address, Method::POST, path).bearer(&ada.token).json(body).send()
        };
        let answers = join_all((0..50).map(send)).await;
        let fine = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(fine, 12);
        for refused in answers.into_iter().filter(|answer| answer.status != 201) {
            let refused = refused.expect_problem(409, "limit_exceeded");
            assert_eq!((member(&refused, "limit"), member(&refused, "used")), ("movements_per_day", "12"));
        }
        assert_eq!(ada.limits().await["per_day"]["used"], "60.00");
        // Limits that change in the middle of it hold from then on, and lose no count.
        clerk.set_limits_of(&ada.account, json!({"per_day": "500"})).await.expect_status(200);
        let lower = async |index: usize| {
            let limits = json!({"per_day": if index.is_multiple_of(2) { "200" } else { "300" }});
            clerk.set_limits_of(&ada.account, limits).await.expect_status(200)
        };
        let (answers, _) = tokio::join!(join_all((0..50).map(send)), join_all((0..6).map(lower)));
        let fine = answers.iter().filter(|answer| answer.status == 201).count() as i64;
        assert!((28..=50).contains(&fine), "{fine}");
        let used = format!("{}.00", 60 + 5 * fine);
        assert_eq!(ada.limits().await["per_day"]["used"], used);
        instance.close().await;
    }

    async fn another_day_begins_anew(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        ada.deposit("100").await.expect_status(201);
        clerk.set_limits_of(&ada.account, json!({"per_day": "10", "movements_per_day": 1})).await.expect_status(200);
        // As if what is counted were yesterday's, and that all was used.
        let yesterday = "day_started_at = day_started_at - 86400000000, day_ends_at = day_ends_at - 86400000000";
        let sql = format!(
            "update account_limits set {yesterday}, spent_today = 1000, movements_today = 1 where account_number = {}",
            ada.account
        );
        bank.tamper(&sql).await;
        let now = ada.limits().await;
        assert_eq!((&now["per_day"]["used"], &now["movements_per_day"]["remaining"]), (&json!("0.00"), &json!(1)));
        ada.withdraw("10").await.expect_status(201);
        ada.withdraw("0.01").await.expect_problem(409, "limit_exceeded");
    }

    async fn a_frozen_account_keeps_its_limits(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        clerk
            .request(Method::PUT, &format!("/accounts/{}/status", ada.account))
            .json(json!({"status": "frozen"}))
            .send()
            .await
            .expect_status(200);
        clerk.set_limits_of(&ada.account, json!({"per_day": "1"})).await.expect_status(200);
        ada.set_own_limits(json!({"per_day": "0.5"})).await.expect_status(200);
    }

    async fn the_doctor_finds_each_forged_limit(bank: &TestBank) {
        let (ada, bob, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        ada.deposit("100").await.expect_status(201);
        clerk
            .set_limits_of(&ada.account, json!({"overdraft": "50", "per_day": "30", "per_month": "300"}))
            .await
            .expect_status(200);
        ada.set_own_limits(json!({"per_movement": "5", "movements_per_day": 4})).await.expect_status(200);
        ada.set_own_limits(json!({"per_movement": "6", "movements_per_day": 4})).await.expect_status(200);
        ada.withdraw("3").await.expect_status(201);
        let hold = json!({"account_number": ada.account, "amount": "2"});
        ada.post("/holds", hold).send().await.expect_status(201);
        assert_eq!(bank.books_wrong().await, []);
        let true_or = |number: &str| match bank.kind {
            Kind::Sqlite => number.to_owned(),
            Kind::Postgres => (number == "1").to_string(),
        };
        let (yes, no) = (true_or("1"), true_or("0"));
        let limits = format!("account_limits where account_number = {}", ada.account);
        let account = format!("accounts where account_number = {}", ada.account);
        let of_bob = format!("accounts where account_number = {}", bob.account);
        let (flag, unflag) = (format!("has_limits = {yes}"), format!("has_limits = {no}"));
        let forgeries = [
            (&limits, "bank_per_day = 3001", "bank_per_day = 3000", LIMITS),
            (&limits, "bank_per_month = null", "bank_per_month = 30000", LIMITS),
            (&limits, "bank_per_movement = 100", "bank_per_movement = null", LIMITS),
            (&limits, "bank_movements = 100", "bank_movements = null", LIMITS),
            (&limits, "own_per_movement = 501", "own_per_movement = 500", LIMITS),
            (&limits, "own_movements = null", "own_movements = 4", LIMITS),
            (&limits, "next_per_movement = 700", "next_per_movement = 600", LIMITS),
            (&limits, "next_effective_at = next_effective_at - 1", "next_effective_at = next_effective_at + 1", LIMITS),
            (&account, "overdraft_limit = 5001", "overdraft_limit = 5000", LIMITS),
            (&account, &*unflag, &*flag, LIMITS),
            (&of_bob, &*flag, &*unflag, LIMITS),
            (&of_bob, "overdraft_limit = 1", "overdraft_limit = 0", LIMITS),
            (&limits, "spent_today = spent_today - 1", "spent_today = spent_today + 1", COUNTERS),
            (&limits, "movements_today = movements_today - 1", "movements_today = movements_today + 1", COUNTERS),
            (&limits, "spent_this_month = 0", "spent_this_month = 500", COUNTERS),
            (&limits, "day_started_at = day_ends_at - 1", "day_started_at = month_started_at", COUNTERS),
        ];
        for (table, forged, undone, invariant) in forgeries {
            let set = |what: &str| {
                let (table, which) = table.split_once(" where ").expect("a row");
                format!("update {table} set {what} where {which}")
            };
            bank.tamper(&set(forged)).await;
            let wrong = bank.books_wrong().await;
            assert_eq!(wrong.iter().map(|(invariant, _)| *invariant).collect::<Vec<_>>(), [invariant], "{forged}");
            bank.tamper(&set(undone)).await;
            assert_eq!(bank.books_wrong().await, [], "{undone}");
        }
        // The row itself.
        let on = if bank.kind == Kind::Postgres { " on account_limits" } else { "" };
        assert!(bank.try_to_tamper("delete from account_limits").await.is_err());
        bank.tamper(&format!("drop trigger account_limits_refuse_delete{on}")).await;
        bank.tamper(&format!("create table kept as select * from account_limits; delete from {limits}; update accounts set {unflag} where account_number = {}", ada.account)).await;
        assert_eq!(bank.books_wrong().await.into_iter().map(|(invariant, _)| invariant).collect::<Vec<_>>(), [LIMITS]);
        bank.tamper(&format!("insert into account_limits select * from kept; drop table kept; update accounts set {flag} where account_number = {}", ada.account)).await;
    }
}

bank_tests! {
    with &["--time-zone", "Pacific/Kiritimati"];

    async fn days_are_those_of_the_bank(bank: &TestBank) {
        assert_eq!(bank.get("/bank").send().await.expect_status(200).text_at("/time_zone"), "Pacific/Kiritimati");
        let ada = bank.customer().await;
        ada.deposit("2").await.expect_status(201);
        ada.set_own_limits(json!({"per_day": "1"})).await.expect_status(200);
        let refused = ada.withdraw("2").await.expect_problem(409, "limit_exceeded");
        assert!(member(&refused, "resets_at").ends_with("T10:00:00.000000Z"), "{}", refused.body);
        ada.withdraw("1").await.expect_status(201);
    }
}

bank_tests! {
    with &["--approval-above", "1000"];

    async fn many_small_overdrafts_are_a_large_one(bank: &TestBank) {
        let (ada, clerk, other) = (bank.customer().await, bank.employee("staff").await, bank.employee("staff").await);
        let second = ada.open_account(json!({})).await.expect_status(201).text_at("/account_number");
        let lend = async |who: &Customer<'_>, account: &str, overdraft: &str| {
            who.set_limits_of(account, json!({"overdraft": overdraft})).await.status
        };
        assert_eq!(lend(&clerk, &ada.account, "600").await, 200);
        assert_eq!(lend(&clerk, &second, "401").await, 202);
        // What is taken back, and what is there already, is not lent; and what is moved counts with it.
        assert_eq!(lend(&clerk, &ada.account, "600").await, 200);
        assert_eq!(lend(&clerk, &ada.account, "500").await, 200);
        let deposit = async |amount: &str| {
            let body = json!({"account_number": ada.account, "amount": amount});
            clerk.post("/deposit", body).send().await.status
        };
        assert_eq!(deposit("401").await, 202);
        assert_eq!(deposit("400").await, 201);
        assert_eq!(lend(&clerk, &ada.account, "500.01").await, 202);
        assert_eq!(lend(&other, &bank.customer().await.account, "1000").await, 200);
    }

    async fn a_large_overdraft_takes_two_people(bank: &TestBank) {
        let (ada, clerk, other) = (bank.customer().await, bank.employee("staff").await, bank.employee("staff").await);
        clerk.set_limits_of(&ada.account, json!({"overdraft": "1000"})).await.expect_status(200);
        let large = json!({"overdraft": "1000.01", "per_day": "50"});
        let waiting = clerk.set_limits_of(&ada.account, large.clone()).await.expect_status(202);
        let id = waiting.text_at("/approval_id");
        assert_eq!(waiting.header("location"), Some(&*format!("/approvals/{id}")));
        assert_eq!(
            (waiting.text_at("/overdraft"), &waiting.body["per_day"]["bank"]),
            ("1000.00".to_owned(), &Value::Null)
        );
        assert_eq!(
            clerk.set_limits_of(&ada.account, large.clone()).await.expect_status(202).text_at("/approval_id"),
            id
        );
        let another = json!({"overdraft": "2000"});
        other.set_limits_of(&ada.account, another).await.expect_problem(409, "limit_change_pending");
        // Nor lower ones, whose place the others would take when they are approved.
        let lower = json!({"overdraft": "0", "per_day": "1"});
        other.set_limits_of(&ada.account, lower).await.expect_problem(409, "limit_change_pending");
        let path = format!("/accounts/{}/limits", ada.account);
        assert_eq!(other.get(&path).send().await.expect_status(200).text_at("/approval_id"), id);
        assert_eq!(ada.limits().await.get("approval_id"), None);

        let shown = other.get(&format!("/approvals/{id}")).send().await.expect_status(200).body;
        assert_eq!(
            (&shown["type"], &shown["status"], &shown["account_number"]),
            (&json!("limit_change"), &json!("pending"), &json!(ada.account))
        );
        assert_eq!(
            shown["limits"],
            json!({"overdraft": "1000.01", "per_movement": null, "per_day": "50.00", "per_month": null, "movements_per_day": null})
        );
        let listed = other.get("/approvals?status=pending").send().await.expect_status(200);
        assert_eq!(listed.text_at("/data/0/id"), id);
        let decide = async |who: &Customer<'_>, what: &str| {
            who.request(Method::POST, &format!("/approvals/{id}/{what}")).send().await
        };
        decide(&clerk, "approve").await.expect_problem(403, "own_approval");
        decide(&ada, "approve").await.expect_problem(403, "role_required");
        other
            .a_while_later()
            .request(Method::POST, &format!("/approvals/{id}/approve"))
            .send()
            .await
            .expect_problem(401, "recent_sign_in_required");
        assert_eq!(decide(&other, "approve").await.expect_status(200).text_at("/status"), "approved");
        decide(&other, "approve").await.expect_problem(409, "approval_not_pending");
        decide(&other, "reject").await.expect_problem(409, "approval_not_pending");
        let limits = ada.limits().await;
        assert_eq!((&limits["overdraft"], &limits["per_day"]["bank"]), (&json!("1000.01"), &json!("50.00")));
        // As large as before, or lower: one person will do.
        clerk.set_limits_of(&ada.account, json!({"overdraft": "1000.01"})).await.expect_status(200);
        ada.withdraw("1000.01").await.expect_status(201);
        ada.deposit("1000.01").await.expect_status(201);
        clerk.set_limits_of(&ada.account, json!({})).await.expect_status(200);
    }

    async fn owners_decide_nothing_about_their_own_limits(bank: &TestBank) {
        let (owner, clerk, other) =
            (bank.employee("staff").await, bank.employee("staff").await, bank.employee("admin").await);
        let large = json!({"overdraft": "5000"});
        let id = clerk.set_limits_of(&owner.account, large.clone()).await.expect_status(202).text_at("/approval_id");
        let decide = async |who: &Customer<'_>, what: &str| {
            who.request(Method::POST, &format!("/approvals/{id}/{what}")).send().await
        };
        decide(&owner, "approve").await.expect_problem(403, "own_account");
        decide(&owner, "reject").await.expect_problem(403, "own_account");
        assert_eq!(decide(&clerk, "reject").await.expect_status(200).text_at("/status"), "rejected");
        decide(&other, "approve").await.expect_problem(409, "approval_not_pending");
        assert_eq!(owner.limits().await["overdraft"], "0.00");

        // Whoever has left the bank's staff has asked in vain.
        let id = clerk.set_limits_of(&owner.account, large).await.expect_status(202).text_at("/approval_id");
        bank.tamper(&format!("update users set role = 'customer' where email = '{}'", clerk.email)).await;
        other
            .request(Method::POST, &format!("/approvals/{id}/approve"))
            .send()
            .await
            .expect_problem(409, "requester_not_staff");
        other.request(Method::POST, &format!("/approvals/{id}/reject")).send().await.expect_status(200);
    }

    async fn what_waits_for_approval_counts_when_it_is_approved(bank: &TestBank) {
        let (ada, clerk, other) = (bank.customer().await, bank.employee("staff").await, bank.employee("staff").await);
        ada.deposit("900").await.expect_status(201);
        for _ in 0..3 {
            ada.deposit("900").await.expect_status(201);
        }
        clerk.set_limits_of(&ada.account, json!({"per_day": "1600"})).await.expect_status(200);
        let ask = async |amount: &str| {
            clerk.post("/withdraw", json!({"account_number": ada.account, "amount": amount})).send().await
        };
        ask("1600.01").await.expect_problem(409, "limit_exceeded");
        let id = ask("1500").await.expect_status(202).text_at("/id");
        assert_eq!(ada.limits().await["per_day"]["used"], "0.00");
        ada.withdraw("101").await.expect_status(201);
        let approve = async || other.request(Method::POST, &format!("/approvals/{id}/approve")).send().await;
        let refused = approve().await.expect_problem(409, "limit_exceeded");
        assert_eq!(member(&refused, "remaining"), "1499.00");
        clerk.set_limits_of(&ada.account, json!({"per_day": "1601"})).await.expect_status(200);
        approve().await.expect_status(200);
        assert_eq!(ada.limits().await["per_day"]["remaining"], "0.00");
    }

    async fn two_who_approve_limits_at_once_set_them_once(bank: &TestBank) {
        let (ada, clerk, other) = (bank.customer().await, bank.employee("staff").await, bank.employee("staff").await);
        let id = clerk
            .set_limits_of(&ada.account, json!({"overdraft": "3000"}))
            .await
            .expect_status(202)
            .text_at("/approval_id");
        let approve = |_| other.request(Method::POST, &format!("/approvals/{id}/approve")).send();
        let answers = join_all((0..8).map(approve)).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        let auditor = bank.employee("auditor").await;
        let found = auditor
            .get(&format!("/audit?action=limits_set&account_number={}", ada.account))
            .send()
            .await
            .expect_status(200);
        assert_eq!(found.body["data"].as_array().map(Vec::len), Some(1), "{}", found.body);
    }

    async fn the_doctor_finds_a_change_that_one_person_made(bank: &TestBank) {
        let (ada, clerk, other) = (bank.customer().await, bank.employee("staff").await, bank.employee("staff").await);
        let id = clerk
            .set_limits_of(&ada.account, json!({"overdraft": "3000"}))
            .await
            .expect_status(202)
            .text_at("/approval_id");
        other.request(Method::POST, &format!("/approvals/{id}/approve")).send().await.expect_status(200);
        for sql in [
            "delete from limit_changes",
            "update limit_changes set overdraft = 1",
            "update limit_changes set decided_by = requested_by",
        ] {
            assert!(bank.try_to_tamper(sql).await.is_err(), "{sql}");
        }
        let on = if bank.kind == Kind::Postgres { " on limit_changes" } else { "" };
        for trigger in ["limit_changes_refuse_change", "limit_changes_refuse_second_decision"] {
            bank.tamper(&format!("drop trigger {trigger}{on}")).await;
        }
        let owner = format!("(select owner_id from accounts where account_number = {})", ada.account);
        let kept = "create table kept as select decided_by, requested_by from limit_changes";
        bank.tamper(kept).await;
        for forged in [format!("decided_by = {owner}"), format!("requested_by = {owner}")] {
            bank.tamper(&format!("update limit_changes set {forged}")).await;
            assert_eq!(
                bank.books_wrong().await.into_iter().map(|(invariant, _)| invariant).collect::<Vec<_>>(),
                [CHANGES],
                "{forged}"
            );
            bank.tamper("update limit_changes set decided_by = (select decided_by from kept), requested_by = (select requested_by from kept)").await;
        }
        if bank.kind == Kind::Sqlite {
            // PostgreSQL has no way round its own check.
            bank.tamper("update limit_changes set decided_by = requested_by").await;
            assert_eq!(
                bank.books_wrong().await.into_iter().map(|(invariant, _)| invariant).collect::<Vec<_>>(),
                [CHANGES]
            );
            bank.tamper("update limit_changes set decided_by = (select decided_by from kept)").await;
        }
        bank.tamper("drop table kept").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bank_whose_time_zone_nobody_knows_does_not_start() {
    use clap::Parser;
    #[derive(Debug, Parser)]
    struct Arguments {
        #[command(flatten)]
        settings: coffer::config::Settings,
    }
    for wrong in ["Berlin", "+01:00", ""] {
        let refused = Arguments::try_parse_from(["coffer", "--time-zone", wrong]).expect_err("a refusal").to_string();
        assert!(refused.contains("send the IANA name of a time zone, such as UTC or Europe/Berlin"), "{refused}");
    }
    let settings = Arguments::try_parse_from(["coffer", "--time-zone", "europe/berlin"]).expect("settings").settings;
    assert_eq!(settings.time_zone.to_string(), "Europe/Berlin");
}

/// What happens to one account, one batch after the other.
#[derive(Clone, Debug)]
enum Act {
    Withdraw(i64),
    /// To somebody else, or to another account of the owner's.
    Transfer {
        cents: i64,
        to_own: bool,
    },
    Hold(i64),
    SetBanks(Limits),
    SetOwn(Limits),
    /// So many seconds pass.
    Wait(u64),
    /// The clock goes back by so many seconds.
    StepBack(u64),
    /// The bank moves to another time zone.
    Move(&'static str),
}

fn limits() -> impl Strategy<Value = Limits> {
    let limit = |most: i64| prop::option::weighted(0.7, 0..most);
    (limit(80), limit(200), limit(900), limit(6)).prop_map(|(per_movement, per_day, per_month, movements_per_day)| {
        Limits { per_movement, per_day, per_month, movements_per_day }
    })
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let hour = 3_600;
    let zones = ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Asia/Kathmandu"];
    let act = prop_oneof![
        6 => (1..100i64).prop_map(Act::Withdraw),
        4 => (1..100i64, any::<bool>()).prop_map(|(cents, to_own)| Act::Transfer { cents, to_own }),
        3 => (1..100i64).prop_map(Act::Hold),
        1 => limits().prop_map(Act::SetBanks),
        1 => limits().prop_map(Act::SetOwn),
        5 => (1..9 * hour).prop_map(Act::Wait),
        1 => (1..20u64).prop_map(move |days| Act::Wait(days * 24 * hour)),
        1 => (1..30 * hour).prop_map(Act::StepBack),
        1 => prop::sample::select(zones.to_vec()).prop_map(Act::Move),
    ];
    prop::collection::vec(act, 1..80)
}

fn command(id: Uuid, owner: Uuid, movement: Movement, step: Step, cents: i64) -> Command {
    let requester = Requester {
        user_id: owner,
        acts_on_any_account: false,
        deposits_to_own: true,
        approval_above: None,
        key: None,
    };
    Command {
        id,
        requester,
        movement,
        step,
        amount: Amount::parse(&format!("{}.{:02}", cents / 100, cents % 100)).expect("an amount"),
        currency: None,
        texts: Texts::default(),
        idempotency_key: None,
        expected_sequences: None,
        dual_control: DualControl::Refuse,
        reverses: None,
        record: None,
        at: None,
    }
}

/// A raise of the owner's limits, as the model knows it: each limit that was ever asked for, and from when on it
/// counts.
#[derive(Default)]
struct OwnLimits {
    counts: Limits,
    waiting: Option<(Limits, Timestamp)>,
}

impl OwnLimits {
    fn at(&self, now: Timestamp) -> Limits {
        match self.waiting {
            Some((limits, from)) if from <= now => limits,
            _ => self.counts,
        }
    }

    fn set(&mut self, wanted: Limits, now: Timestamp) {
        let (current, waiting) = (self.at(now), self.waiting.filter(|(_, from)| *from > now));
        self.counts = current.and(wanted);
        self.waiting = (self.counts != wanted).then(|| match waiting {
            Some((most, from)) if most.and(wanted) == wanted => (wanted, from),
            _ => (wanted, now.plus(RAISE_WAITS)),
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever comes in whatever order, in any zone and with any clock, what is refused and what is counted is what
    /// the sum over a list of all that has left says.
    #[test]
    fn limits_are_sums_over_what_has_left(acts in acts(), start in 0..31_000_000_i64) {
        let (owner, somebody) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let currency = "USD".parse().expect("a currency");
        let [number, savings, other] = [(); 3].map(|()| AccountNumber::random().expect("random"));
        // The year 2026, with its two changes of the clocks.
        let mut now = Timestamp::from_micros((1_767_225_600 + start) * 1_000_000);
        let mut calendar: Calendar = "Europe/Berlin".parse().expect("a zone");
        let mut accounts = [(number, owner), (savings, owner), (other, somebody)]
            .map(|(number, owner)| Account { has_limits: true, ..Account::open(number, owner, currency, None, now) });
        accounts[0].balance = 1_000_000;
        let mut stored = AccountLimits::none(number, Used::nothing(now, &calendar));
        let mut own = OwnLimits::default();
        // When it left, and how much.
        let mut left: Vec<(Timestamp, i64)> = Vec::new();
        for (index, act) in acts.into_iter().enumerate() {
            let id = Uuid::from_u128(100 + index as u128);
            let (command, counts) = match act {
                Act::Wait(seconds) => {
                    now = now.plus(Duration::from_secs(seconds));
                    continue;
                }
                Act::StepBack(seconds) => {
                    now = now.minus(Duration::from_secs(seconds));
                    continue;
                }
                Act::Move(zone) => {
                    calendar = zone.parse().expect("a zone");
                    continue;
                }
                Act::SetBanks(limits) => {
                    stored.bank = limits;
                    continue;
                }
                Act::SetOwn(limits) => {
                    stored.set_own(limits, now);
                    own.set(limits, now);
                    prop_assert_eq!(stored.own_at(now), own.at(now));
                    continue;
                }
                Act::Withdraw(cents) => (command(id, owner, Movement::Withdrawal { from: number, against: BankAccount::CASH }, Step::Post, cents), true),
                Act::Transfer { cents, to_own } => {
                    let to = if to_own { savings } else { other };
                    (command(id, owner, Movement::Transfer { from: number, to }, Step::Post, cents), !to_own)
                }
                Act::Hold(cents) => {
                    let step = Step::Hold { expires_at: None };
                    (command(id, owner, Movement::Withdrawal { from: number, against: BankAccount::CASH }, step, cents), true)
                }
            };
            let cents = command.amount.to_money(currency, i64::MAX).expect("money").minor_units;
            let book = Book::new(accounts.to_vec(), now, 1_000_000).limited(vec![stored], calendar.clone());
            let mut decisions = Decisions::new(book, vec![], vec![], vec![], vec![], PendingBefore::default(), now);
            let verdict = decisions.decide_request(std::slice::from_ref(&command), false).remove(0);
            let is_hold = command.step != Step::Post;
            let last_entry_at = accounts.iter().filter(|account| command.movement.accounts().any(|it| it == account.account_number));
            let last_entry_at = last_entry_at.map(|account| account.last_entry_at).filter(|_| !is_hold).max();
            let at = last_entry_at.map_or(now, |last| last.max(now)).max(stored.used.not_before());
            let used = stored.used.at(at, &calendar);
            prop_assert!(used.day.starts <= at && at < used.day.ends && used.month.starts <= at && at < used.month.ends);
            let sum = |since: Timestamp| left.iter().filter(|(at, _)| *at >= since).map(|(_, cents)| cents).sum::<i64>();
            let today = left.iter().filter(|(at, _)| *at >= used.day.starts).count() as i64;
            let limits = stored.bank.and(own.at(now));
            let fits = |limit: Option<i64>, would_be: i64| limit.is_none_or(|limit| would_be <= limit);
            let is_fine = !counts
                || fits(limits.per_movement, cents)
                    && fits(limits.per_day, sum(used.day.starts) + cents)
                    && fits(limits.per_month, sum(used.month.starts) + cents)
                    && fits(limits.movements_per_day, today + 1);
            match &verdict {
                Ok(_) => prop_assert!(is_fine),
                Err(Refusal::LimitExceeded(excess)) => {
                    prop_assert!(!is_fine);
                    let (would_be, resets_at) = match excess.limit {
                        LimitKind::PerMovement => (cents, None),
                        LimitKind::PerDay => (sum(used.day.starts) + cents, Some(used.day.ends)),
                        LimitKind::PerMonth => (sum(used.month.starts) + cents, Some(used.month.ends)),
                        LimitKind::MovementsPerDay => (today + 1, Some(used.day.ends)),
                    };
                    prop_assert!(would_be > excess.allowed);
                    prop_assert_eq!(excess.period.map(|period| period.resets_at), resets_at);
                    prop_assert!(excess.remaining() >= 0 && excess.remaining() < excess.requested);
                }
                Err(other) => prop_assert!(false, "{other:?}"),
            }
            if verdict.is_ok() {
                let booked = decisions.postings.transactions.first().map(|transaction| transaction.created_at);
                let created = decisions.postings.holds.first().map(|hold| hold.created_at);
                let happened = booked.or(created).expect("a time");
                if counts {
                    prop_assert_eq!(happened, at);
                    left.push((happened, cents));
                }
                for head in decisions.heads() {
                    *accounts.iter_mut().find(|it| it.account_number == head.account_number).expect("it") = head.clone();
                }
                if let Some(limits) = decisions.limits().first() {
                    stored = **limits;
                }
                // What the doctor adds up.
                let sum = |since: Timestamp| left.iter().filter(|(at, _)| *at >= since).map(|(_, cents)| cents).sum::<i64>();
                prop_assert_eq!(stored.used.spent_today, sum(stored.used.day.starts));
                prop_assert_eq!(stored.used.spent_this_month, sum(stored.used.month.starts));
            }
        }
    }
}
