//! Previews: the answer of a movement that does not happen.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Customer, TestBank, bank_tests, eventually};

const ABOVE_1000: &[&str] = &["--approval-above", "1000"];
const WRITTEN: [&str; 7] = [
    "transactions",
    "entries",
    "idempotency_keys",
    "approvals",
    "holds",
    "reversals",
    "audit_log where action in ('movement_by_staff', 'movement_reversed', 'approval_requested', 'hold_created', 'hold_captured')",
];

impl Customer<'_> {
    async fn preview(&self, path: &str, body: Value) -> Answer {
        self.post(&format!("{path}?preview=true"), body).send().await
    }
}

/// How many rows there are of everything that a movement may write.
async fn rows(bank: &TestBank) -> Vec<i64> {
    let mut rows = Vec::new();
    for table in WRITTEN {
        rows.push(bank.number(&format!("select count(*) from {table}")).await);
    }
    rows
}

/// The members that both answers must agree on: all but those that only a movement has which exists.
fn comparable(body: &Value) -> Value {
    let mut body = body.clone();
    for member in ["id", "hash", "created_at", "expires_at", "preview", "request_id"] {
        body.as_object_mut().expect("an object").remove(member);
    }
    body
}

bank_tests! {
    with ABOVE_1000;

    async fn a_preview_says_what_would_happen_and_nothing_does(bank: &TestBank) {
        let (ada, bob, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        let deposited = ada.deposit("100").await.expect_status(201).text_at("/id");
        let hold = ada.post("/holds", json!({"account_number": ada.account, "amount": "20"})).send().await;
        let capture = format!("/holds/{}/capture", hold.expect_status(201).text_at("/id"));
        let account = json!({"account_number": ada.account, "amount": "30.5", "description": "A bicycle"});
        let both = json!({"from_account": ada.account, "to_account": bob.account, "amount": "1"});
        let large = json!({"account_number": ada.account, "amount": "1500"});
        let reverse = format!("/transactions/{}/reverse", ada.deposit("1").await.expect_status(201).text_at("/id"));
        for (who, path, body, status) in [
            (&ada, "/deposit", account.clone(), 201),
            (&ada, "/withdraw", account.clone(), 201),
            (&ada, "/transfer", both.clone(), 201),
            (&ada, "/holds", account.clone(), 201),
            (&ada, &*capture, json!({"amount": "3"}), 201),
            (&clerk, &*reverse, json!({"reason": "A mistake"}), 201),
            (&clerk, "/deposit", large.clone(), 202),
            (&ada, "/withdraw", large.clone(), 409),
            (
                &ada,
                "/transfer",
                json!({"from_account": ada.account, "to_account": "10000000000180", "amount": "1"}),
                404,
            ),
            (&ada, "/deposit", json!({"account_number": ada.account, "amount": "0.001"}), 422),
            (&clerk, &*format!("/transactions/{deposited}/reverse"), json!({}), 409),
            (&bob, "/withdraw", account.clone(), 404),
        ] {
            let before = rows(bank).await;
            let preview = who.preview(path, body.clone()).await;
            assert_eq!(rows(bank).await, before, "{path}");
            let real = who.post(path, body).send().await.expect_status(status);
            assert_eq!(comparable(&preview.body), comparable(&real.body), "{path}");
            if status < 300 {
                let preview = preview.expect_status(200);
                assert_eq!(preview.body["preview"], true);
                assert!(preview.body["hash"].is_null() && preview.header("location").is_none());
                assert_eq!(preview.text_at("/id"), uuid::Uuid::nil().to_string());
                assert!(real.body.get("preview").is_none());
            } else {
                preview.expect_status(status);
            }
        }
        assert_eq!(ada.history().await.len(), 7);
    }

    async fn a_preview_neither_uses_a_key_nor_looks_it_up(bank: &TestBank) {
        let ada = bank.customer().await;
        let deposit = |path: &str, amount: &str| {
            let body = json!({"account_number": ada.account, "amount": amount});
            ada.post(path, body).header("idempotency-key", "once").send()
        };
        deposit("/deposit?preview=true", "5").await.expect_status(200);
        deposit("/deposit", "7").await.expect_status(201);
        assert_eq!(deposit("/deposit?preview=true", "5").await.expect_status(200).text_at("/balance"), "12.00");
        assert_eq!(
            deposit("/deposit?preview=false", "7").await.expect_status(201).header("idempotent-replayed"),
            Some("true")
        );
    }

    async fn a_batch_is_previewed_item_by_item(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let items = |last: &str| {
            json!([
                {"type": "deposit", "account_number": ada.account, "amount": "10"},
                {"type": "hold", "account_number": ada.account, "amount": "4"},
                {"type": "transfer", "from_account": ada.account, "to_account": bob.account, "amount": "6"},
                {"type": "withdrawal", "account_number": ada.account, "amount": last},
            ])
        };
        for (atomic, last) in [(false, "0.01"), (true, "0.01")] {
            let body = json!({"atomic": atomic, "transactions": items(last)});
            let before = rows(bank).await;
            let preview = ada.preview("/transactions/batch", body.clone()).await;
            assert_eq!(rows(bank).await, before);
            if atomic {
                preview.expect_problem(409, "batch_refused");
                continue;
            }
            let preview = preview.expect_status(200);
            let statuses = preview.body["data"].as_array().expect("a list").iter().map(|item| item["status"].clone());
            assert_eq!(statuses.collect::<Vec<_>>(), [json!(200), json!(200), json!(200), json!(409)]);
            assert_eq!(preview.text_at("/data/2/transaction/balance"), "4.00");
            assert_eq!(preview.body["data"][2]["transaction"]["preview"], true);
            assert_eq!(preview.text_at("/data/3/problem/code"), "insufficient_funds");
        }
    }

    /// A preview is a question about money, so nobody is asked for a password before it. Whoever may not act may not ask.
    async fn a_preview_asks_for_no_proof_and_for_every_right(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        ada.deposit("10").await.expect_status(201);
        ada.request(Method::PATCH, "/me").json(json!({"confirm_above": "1"})).send().await.expect_status(200);
        let (late, body) = (ada.a_while_later(), json!({"account_number": ada.account, "amount": "5"}));
        late.post("/withdraw", body.clone()).send().await.expect_problem(401, "recent_sign_in_required");
        assert_eq!(late.preview("/withdraw", body.clone()).await.expect_status(200).text_at("/balance"), "5.00");
        auditor.preview("/withdraw", body).await.expect_problem(403, "auditor_changes_nothing");
        bank.post("/withdraw?preview=true", json!({})).send().await.expect_status(401);
    }

    async fn what_staff_see_of_others_in_a_preview_is_on_record(bank: &TestBank) {
        let (ada, bob, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        let admin = bank.employee("admin").await;
        let body = |account: &str| json!({"type": "deposit", "account_number": account, "amount": "1"});
        let items = json!([body(&bob.account), body(&bob.account)]);
        let mut alone = body(&ada.account);
        alone.as_object_mut().expect("an object").remove("type");
        clerk.preview("/deposit", alone).await.expect_status(200);
        clerk.preview("/transactions/batch", json!({"transactions": items})).await.expect_status(200);
        for account in [&ada.account, &bob.account] {
            let path = format!("/audit?action=balance_viewed&account_number={account}");
            eventually("the look is on record", async || {
                let found = admin.get(&path).send().await.expect_status(200);
                found.body["data"].as_array().map(Vec::len) == Some(1)
            })
            .await;
        }
    }

    /// Where a preview or a precondition cannot be kept, nothing happens instead.
    async fn what_takes_no_preview_refuses_it(bank: &TestBank) {
        let (ada, clerk, other) = (bank.customer().await, bank.employee("staff").await, bank.employee("staff").await);
        let large = json!({"account_number": ada.account, "amount": "1500"});
        let approval = clerk.post("/deposit", large).send().await.expect_status(202).text_at("/id");
        ada.deposit("5").await.expect_status(201);
        let hold = ada.post("/holds", json!({"account_number": ada.account, "amount": "5"})).send().await;
        let hold = hold.expect_status(201).text_at("/id");
        for (who, path) in [
            (&other, format!("/approvals/{approval}/approve")),
            (&other, format!("/approvals/{approval}/reject")),
            (&ada, format!("/holds/{hold}/release")),
        ] {
            let preview = who.request(Method::POST, &format!("{path}?preview=true")).send().await;
            preview.expect_problem(422, "unknown_field");
            let conditional = who.request(Method::POST, &path).header("if-match", "\"1\"").send().await;
            conditional.expect_problem(422, "if_match_unsupported");
        }
        assert_eq!(ada.balance().await, "5.00");
        assert_eq!(ada.get(&format!("/holds/{hold}")).send().await.text_at("/status"), "held");
        assert_eq!(other.get(&format!("/approvals/{approval}")).send().await.text_at("/status"), "pending");
    }

    async fn only_true_and_false_are_taken(bank: &TestBank) {
        let ada = bank.customer().await;
        let body = json!({"account_number": ada.account, "amount": "5"});
        for query in ["preview=yes", "preview", "preview=", "preveiw=true", "preview=true&preview=false"] {
            let answer = ada.post(&format!("/deposit?{query}"), body.clone()).send().await;
            assert!([400, 422].contains(&answer.status.as_u16()), "{query}: {}", answer.body);
        }
        assert_eq!(ada.balance().await, "0.00");
    }

    async fn previews_disturb_nobody(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("10").await.expect_status(201);
        let body = json!({"account_number": ada.account, "amount": "10"});
        let previews = join_all((0..50).map(|_| ada.preview("/withdraw", body.clone())));
        let withdrawals = join_all((0..10).map(|_| ada.withdraw("1")));
        let (previews, withdrawals) = tokio::join!(previews, withdrawals);
        withdrawals.into_iter().for_each(|answer| drop(answer.expect_status(201)));
        for answer in previews {
            assert!([200, 409].contains(&answer.status.as_u16()), "{}", answer.body);
        }
        assert_eq!((ada.balance().await, ada.history().await.len()), ("0.00".to_owned(), 11));
    }
}
