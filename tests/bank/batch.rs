//! Moving money in bulk.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Customer, Request, bank_tests, eventually};

fn deposit(account: &str, amount: &str) -> Value {
    json!({"type": "deposit", "account_number": account, "amount": amount})
}

fn withdrawal(account: &str, amount: &str) -> Value {
    json!({"type": "withdrawal", "account_number": account, "amount": amount})
}

fn send(customer: &Customer<'_>, atomic: bool, items: Vec<Value>) -> Request {
    customer.post("/transactions/batch", json!({"atomic": atomic, "transactions": items}))
}

bank_tests! {
    async fn each_item_of_a_loose_batch_stands_for_itself(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let items = vec![
            deposit(&ada.account, "10"),
            withdrawal(&ada.account, "10.01"),
            json!({"type": "transfer", "from_account": ada.account, "to_account": bob.account, "amount": "4"}),
            deposit(&bob.account, "1"),
            withdrawal(&ada.account, "6"),
        ];
        let answer = send(&ada, false, items).send().await.expect_status(200);
        let statuses: Vec<_> =
            answer.body["data"].as_array().expect("a list").iter().map(|i| i["status"].clone()).collect();
        assert_eq!(statuses, [201, 409, 201, 404, 201]);
        assert_eq!((&answer.body["booked"], &answer.body["refused"]), (&json!(3), &json!(2)));
        assert_eq!(answer.body["data"][1]["problem"]["code"], "insufficient_funds");
        assert_eq!(answer.body["data"][2]["transaction"]["balance"], "6.00");
        assert_eq!((ada.balance().await, bob.balance().await), ("0.00".to_owned(), "4.00".to_owned()));
    }

    async fn an_atomic_batch_is_booked_whole_or_not_at_all(bank: &TestBank) {
        let ada = bank.customer().await;
        let refused = vec![deposit(&ada.account, "10"), withdrawal(&ada.account, "11"), deposit(&ada.account, "5")];
        let answer = send(&ada, true, refused).send().await.expect_problem(409, "batch_refused");
        assert_eq!(answer.pointers(), ["/transactions/1"]);
        assert_eq!(answer.body["errors"][0]["code"], "insufficient_funds");
        assert_eq!((ada.balance().await, ada.history().await.len()), ("0.00".to_owned(), 0));
        let booked = vec![deposit(&ada.account, "10"), withdrawal(&ada.account, "9")];
        send(&ada, true, booked).send().await.expect_status(200);
        assert_eq!(ada.balance().await, "1.00");
    }

    async fn neighbours_of_a_refused_atomic_batch_are_booked(bank: &TestBank) {
        let ada = bank.customer().await;
        let bad = || send(&ada, true, vec![deposit(&ada.account, "1"), withdrawal(&ada.account, "1000")]).send();
        let good = || send(&ada, true, vec![deposit(&ada.account, "1"), deposit(&ada.account, "1")]).send();
        let answers = futures_util::future::join_all(
            (0..20).flat_map(|_| [futures_util::FutureExt::boxed(bad()), futures_util::FutureExt::boxed(good())]),
        )
        .await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 20);
        assert_eq!(ada.balance().await, "40.00");
    }

    async fn a_batch_with_a_key_is_booked_once(bank: &TestBank) {
        let ada = bank.customer().await;
        let batch = |atomic, amount| {
            send(&ada, atomic, vec![deposit(&ada.account, amount), deposit(&ada.account, "2")])
                .header("idempotency-key", "k")
        };
        let first = batch(true, "1").send().await.expect_status(200);
        let again = batch(true, "1").send().await.expect_status(200);
        assert_eq!(again.body["data"][0]["replayed"], true);
        assert_eq!(again.body["data"][1]["transaction"], first.body["data"][1]["transaction"]);
        let other = batch(true, "7").send().await.expect_problem(409, "batch_refused");
        assert_eq!(other.body["errors"][0]["code"], "idempotency_key_reused");
        // The key of a batch is none of the keys of single requests.
        let body = json!({"account_number": ada.account, "amount": "1"});
        let single = ada.post("/deposit", body).header("idempotency-key", "k").send().await.expect_status(201);
        assert_eq!(single.header("idempotent-replayed"), None);
        assert_eq!(ada.balance().await, "4.00");
    }

    /// A replay shows what has become of a movement since. So it asks who asks now, as that of a single movement does.
    async fn a_replay_shows_nothing_to_whom_the_account_is_closed(bank: &TestBank) {
        let (ada, clerk, admin) = (bank.customer().await, bank.employee("staff").await, bank.employee("admin").await);
        let again = || {
            let items = vec![deposit(&ada.account, "1"), deposit(&clerk.account, "2"), withdrawal(&ada.account, "999")];
            send(&clerk, false, items).header("idempotency-key", "k").send()
        };
        let first = again().await.expect_status(200);
        assert_eq!(first.body["data"][2]["problem"]["request_id"], first.header("x-request-id").expect("an id"));
        let looks = format!(
            "select count(*) from audit_log where action = 'transaction_viewed' and subject = '{}'",
            ada.account
        );
        assert_eq!(bank.number(&looks).await, 0);
        let seen = again().await.expect_status(200);
        assert_eq!(seen.body["data"][0]["transaction"], first.body["data"][0]["transaction"]);
        eventually("the look is on record", async || bank.number(&looks).await == 1).await;

        let id = clerk.get("/me").send().await.text_at("/id");
        let role = admin.request(Method::PUT, &format!("/users/{id}/role")).json(json!({"role": "customer"}));
        role.send().await.expect_status(200);
        let hidden = again().await.expect_status(200);
        assert_eq!(hidden.body["data"][0]["problem"]["code"], "account_not_found", "{}", hidden.body);
        assert_eq!(hidden.body["data"][0].get("transaction"), None);
        assert_eq!(hidden.body["data"][1]["replayed"], true);
        assert_eq!((&hidden.body["booked"], &hidden.body["refused"]), (&json!(1), &json!(2)));
    }

    async fn a_key_for_one_account_is_shown_no_other_by_a_replay(bank: &TestBank) {
        let ada = bank.customer().await;
        let other = ada.open_account(json!({})).await.expect_status(201).text_at("/account_number");
        let key = async |more: Value| {
            let mut wanted = json!({"name": "Shop", "scopes": ["read", "move"]});
            wanted.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            ada.post("/me/api_keys", wanted).send().await.expect_status(201).text_at("/api_key")
        };
        let (any, bound) = (key(json!({})).await, key(json!({"accounts": [ada.account]})).await);
        let again = |secret: &str| {
            let batch = json!({"transactions": [deposit(&other, "1"), deposit(&ada.account, "1")]});
            bank.post("/transactions/batch", batch).bearer(secret).header("idempotency-key", "k").send()
        };
        again(&any).await.expect_status(200);
        let shown = again(&bound).await.expect_status(200);
        assert_eq!(shown.body["data"][0]["problem"]["code"], "account_not_found", "{}", shown.body);
        assert_eq!(shown.body["data"][1]["replayed"], true);
    }

    async fn items_that_make_no_sense_are_named(bank: &TestBank) {
        let ada = bank.customer().await;
        let account = &ada.account;
        for (item, code, pointer) in [
            (json!({"type": "deposit", "amount": "1"}), "missing_field", "/transactions/1/account_number"),
            (
                json!({"type": "transfer", "account_number": account, "amount": "1"}),
                "unknown_field",
                "/transactions/1/account_number",
            ),
            (
                json!({"type": "transfer", "from_account": account, "amount": "1"}),
                "missing_field",
                "/transactions/1/to_account",
            ),
            (
                json!({"type": "withdrawal", "account_number": account, "to_account": account, "amount": "1"}),
                "unknown_field",
                "/transactions/1/to_account",
            ),
            (
                json!({"type": "deposit", "account_number": account, "amount": "0"}),
                "amount_zero",
                "/transactions/1/amount",
            ),
            (
                json!({"type": "deposit", "account_number": account, "amount": 1}),
                "amount_must_be_a_string",
                "/transactions/1/amount",
            ),
            (
                json!({"type": "deposit", "account_number": account, "amount": "1", "description": "a\u{0}"}),
                "description_control_characters",
                "/transactions/1/description",
            ),
            (
                json!({"type": "gift", "account_number": account, "amount": "1"}),
                "unknown_value",
                "/transactions/1/type",
            ),
            (json!([1]), "wrong_type", "/transactions/1"),
        ] {
            let answer = send(&ada, false, vec![deposit(account, "1"), item.clone()]).send().await;
            assert_eq!(
                (answer.body["code"].as_str(), answer.pointers()),
                (Some(code), vec![pointer]),
                "{item}: {}",
                answer.body
            );
        }
        for count in [0, 1001] {
            let items = vec![deposit(account, "1"); count];
            send(&ada, false, items).send().await.expect_problem(422, "batch_size");
        }
        assert_eq!(ada.history().await.len(), 0);
        send(&ada, true, vec![deposit(account, "1"); 1000]).send().await.expect_status(200);
        assert_eq!(ada.balance().await, "1000.00");
    }
}
