//! A key takes effect at most once, whoever repeats it, whenever.

use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Answer, Customer, TestBank, bank_tests};

async fn deposit(customer: &Customer<'_>, amount: &str, key: &str) -> Answer {
    let body = json!({"account_number": customer.account, "amount": amount});
    customer.post("/deposit", body).header("idempotency-key", key).send().await
}

bank_tests! {
    async fn the_same_request_with_the_same_key_gets_the_first_answer_again(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let first = deposit(&ada, "5", "k").await.expect_status(201);
        assert_eq!(first.header("idempotent-replayed"), None);
        ada.deposit("1").await.expect_status(201);
        for amount in ["5", "5.00"] {
            let again = deposit(&ada, amount, "k").await.expect_status(201);
            assert_eq!(again.header("idempotent-replayed"), Some("true"));
            assert_eq!((&again.body, again.header("location")), (&first.body, first.header("location")));
        }
        let quoted = deposit(&ada, "5", "\"k\"").await.expect_status(201);
        assert_eq!(quoted.body, first.body);
        let transfer = json!({"from_account": ada.account, "to_account": bob.account, "amount": "2"});
        let sent =
            ada.post("/transfer", transfer.clone()).header("idempotency-key", "t").send().await.expect_status(201);
        let again = ada.post("/transfer", transfer).header("idempotency-key", "t").send().await.expect_status(201);
        assert_eq!(again.body, sent.body);
        assert_eq!((ada.balance().await, bob.balance().await), ("4.00".to_owned(), "2.00".to_owned()));
    }

    async fn another_request_with_the_same_key_is_refused(bank: &TestBank) {
        let ada = bank.customer().await;
        deposit(&ada, "5", "k").await.expect_status(201);
        deposit(&ada, "6", "k").await.expect_problem(422, "idempotency_key_reused");
        for body in [
            json!({"account_number": ada.account, "amount": "5", "description": "Gift"}),
            json!({"account_number": ada.account, "amount": "5", "currency": "USD"}),
        ] {
            let answer = ada.post("/deposit", body).header("idempotency-key", "k").send().await;
            answer.expect_problem(422, "idempotency_key_reused");
        }
        let body = json!({"account_number": ada.account, "amount": "5"});
        let answer = ada.post("/withdraw", body).header("idempotency-key", "k").send().await;
        assert_eq!(answer.expect_problem(422, "idempotency_key_reused").pointers(), ["Idempotency-Key"]);
        assert_eq!(ada.balance().await, "5.00");
    }

    async fn keys_of_two_callers_are_two_keys(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        deposit(&ada, "5", "k").await.expect_status(201);
        let other = deposit(&bob, "5", "k").await.expect_status(201);
        assert_eq!(other.header("idempotent-replayed"), None);
        assert_eq!(bob.balance().await, "5.00");
    }

    async fn a_refusal_leaves_the_key_unused(bank: &TestBank) {
        let ada = bank.customer().await;
        let body = json!({"account_number": ada.account, "amount": "5"});
        let withdraw = || ada.post("/withdraw", body.clone()).header("idempotency-key", "k").send();
        withdraw().await.expect_problem(409, "insufficient_funds");
        ada.deposit("5").await.expect_status(201);
        assert_eq!(withdraw().await.expect_status(201).header("idempotent-replayed"), None);
        assert_eq!(withdraw().await.expect_status(201).header("idempotent-replayed"), Some("true"));
        assert_eq!(ada.balance().await, "0.00");
    }

    async fn one_key_fired_fifty_times_at_once_moves_money_once(bank: &TestBank) {
        let ada = bank.customer().await;
        let answers = futures_util::future::join_all((0..50).map(|_| deposit(&ada, "5", "k"))).await;
        let first = &answers[0];
        for answer in &answers {
            assert_eq!((answer.status, &answer.body), (StatusCode::CREATED, &first.body));
        }
        let fresh = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_none()).count();
        assert_eq!((fresh, ada.balance().await), (1, "5.00".to_owned()));
    }

    async fn one_key_for_fifty_requests_lets_one_through(bank: &TestBank) {
        // Different accounts meet at different writers, so that the key itself must keep them apart.
        let ada = bank.customer().await;
        let mut accounts = Vec::new();
        for _ in 0..10 {
            accounts.push(ada.open_account(json!({})).await.expect_status(201).text_at("/account_number"));
        }
        let answers = futures_util::future::join_all((0..50).map(|i| {
            let body = json!({"account_number": accounts[i % accounts.len()], "amount": "5"});
            ada.post("/deposit", body).header("idempotency-key", "k").send()
        }))
        .await;
        for answer in &answers {
            if answer.status != StatusCode::CREATED {
                answer.clone().expect_problem(422, "idempotency_key_reused");
            }
        }
        let mut total = 0.0;
        for account in &accounts {
            total += ada.balance_of(account).await.parse::<f64>().expect("a number");
        }
        assert_eq!(total, 5.0);
    }

    async fn strange_keys_are_refused(bank: &TestBank) {
        let ada = bank.customer().await;
        deposit(&ada, "1", &"k".repeat(255)).await.expect_status(201);
        for key in ["", "\"\"", "two words", "\"open", "back\\slash", &"k".repeat(256), "caf\u{e9}"] {
            let answer = deposit(&ada, "1", key).await.expect_problem(422, "idempotency_key_malformed");
            assert_eq!(answer.pointers(), ["Idempotency-Key"], "{key}");
        }
        let body = json!({"account_number": ada.account, "amount": "1"});
        let two = ada.post("/deposit", body).header("idempotency-key", "a").header("idempotency-key", "b");
        two.send().await.expect_problem(422, "idempotency_key_malformed");
        assert_eq!(ada.balance().await, "1.00");
    }
}

mod a_key_survives_a_restart {
    use super::*;
    use crate::databases::Kind;

    async fn body(kind: Kind) {
        let bank = TestBank::open(kind).await;
        let ada = bank.customer().await;
        let first = deposit(&ada, "5", "k").await.expect_status(201);
        let (account, token) = (ada.account.clone(), ada.token.clone());
        let bank = bank.restart().await;
        let request = bank.post("/deposit", json!({"account_number": account, "amount": "5"})).bearer(&token);
        let again = request.header("idempotency-key", "k").send().await.expect_status(201);
        assert_eq!((again.header("idempotent-replayed"), &again.body), (Some("true"), &first.body));
        bank.close_with_books_right().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        body(Kind::Sqlite).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        body(Kind::Postgres).await;
    }
}

mod keys_are_forgotten_when_their_time_is_over {
    use std::time::Duration;

    use super::*;
    use crate::databases::Kind;

    /// On SQLite alone: PostgreSQL's keys go slice by slice, in the course of a working day.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        let bank = TestBank::open(Kind::Sqlite).await;
        let ada = bank.customer().await;
        for key in ["old", "young"] {
            deposit(&ada, "5", key).await.expect_status(201);
        }
        bank.tamper("update idempotency_keys set created_at = 1 where position = 1").await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while deposit(&ada, "1", "old").await.status != 201 {
            assert!(tokio::time::Instant::now() < deadline, "the key is never forgotten");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        deposit(&ada, "1", "young").await.expect_problem(422, "idempotency_key_reused");
        assert_eq!(ada.balance().await, "11.00");
        bank.close_with_books_right().await;
    }
}
