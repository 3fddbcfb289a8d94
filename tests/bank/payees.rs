//! Whom one pays, and whether an account is theirs.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Customer, bank_tests};

async fn check(who: &Customer<'_>, account: &str, name: &str) -> Answer {
    who.post("/name_check", json!({"account_number": account, "name": name})).send().await
}

async fn result(who: &Customer<'_>, account: &str, name: &str) -> (String, Value) {
    let answer = check(who, account, name).await.expect_status(200);
    (answer.text_at("/result"), answer.body["name"].clone())
}

async fn call_oneself(who: &Customer<'_>, name: &str) {
    who.request(Method::PATCH, "/me").json(json!({"name": name})).send().await.expect_status(200);
}

bank_tests! {
    async fn payees_are_ones_own(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let payee = json!({"name": "Bob", "account_number": bob.account});
        let made = ada.post("/me/payees", payee.clone()).send().await.expect_status(201);
        let place = format!("/me/payees/{}", made.text_at("/id"));
        assert_eq!(made.header("location"), Some(&*place));
        ada.post("/me/payees", payee).send().await.expect_problem(409, "payee_exists");
        let listed = ada.get("/me/payees").send().await.expect_status(200);
        assert_eq!(
            (&listed.body["data"][0]["name"], &listed.body["data"][0]["account_number"]),
            (&json!("Bob"), &json!(bob.account))
        );
        assert_eq!(bob.get("/me/payees").send().await.expect_status(200).body["data"], json!([]));
        bob.request(Method::DELETE, &place).send().await.expect_problem(404, "payee_not_found");
        ada.request(Method::DELETE, &place).send().await.expect_status(204);
        ada.request(Method::DELETE, &place).send().await.expect_problem(404, "payee_not_found");
        let wrong = json!({"name": " ", "account_number": "10000000000180"});
        let refused = ada.post("/me/payees", wrong).send().await.expect_status(422);
        assert_eq!(refused.pointers(), ["/name"]);
    }

    async fn a_name_matches_nearly_or_not_and_tells_nobody_more(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        call_oneself(&ada, "Ada Lovelace").await;
        assert_eq!(result(&bob, &ada.account, "ada LOVELACE").await, ("match".to_owned(), Value::Null));
        assert_eq!(result(&bob, &ada.account, "Ada Lovelase").await, ("close_match".to_owned(), json!("Ada Lovelace")));
        assert_eq!(result(&bob, &ada.account, "A Lovelace").await, ("close_match".to_owned(), json!("Ada Lovelace")));
        let no = ("no_match".to_owned(), Value::Null);
        assert_eq!(result(&bob, &ada.account, "Charles Babbage").await, no);
        assert_eq!(result(&bob, "10000000000180", "Ada Lovelace").await, no);
        // A closed account takes no money.
        let closed = ada.open_account(json!({})).await.expect_status(201).text_at("/account_number");
        assert_eq!(result(&bob, &closed, "Ada Lovelace").await.0, "match");
        ada.request(Method::DELETE, &format!("/accounts/{closed}")).send().await.expect_status(204);
        assert_eq!(result(&bob, &closed, "Ada Lovelace").await, no);
        // Who takes no part looks like somebody else.
        ada.request(Method::PATCH, "/me").json(json!({"name_check": false})).send().await.expect_status(200);
        assert_eq!(ada.get("/me").send().await.expect_status(200).body["name_check"], json!(false));
        assert_eq!(result(&bob, &ada.account, "Ada Lovelace").await, no);
    }

    async fn nobody_tries_out_names(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        for index in 0..20 {
            check(&bob, &ada.account, &format!("Guess {index}")).await.expect_status(200);
        }
        let refused = check(&bob, &ada.account, "Test Customer").await.expect_problem(429, "too_many_name_checks");
        assert!(refused.header("retry-after").is_some());
        check(&ada, &bob.account, "Test Customer").await.expect_status(200);
    }

    async fn payees_go_with_whom_they_belong_to(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.post("/me/payees", json!({"name": "Bob", "account_number": bob.account})).send().await.expect_status(201);
        ada.request(Method::DELETE, &format!("/accounts/{}", ada.account)).send().await.expect_status(204);
        ada.request(Method::DELETE, "/me").send().await.expect_status(204);
        assert_eq!(bank.number("select count(*) from payees").await, 0);
    }
}
