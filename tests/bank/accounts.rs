//! Opening, listing, naming and closing accounts.

use reqwest::Method;
use serde_json::json;

use crate::harness::bank_tests;

bank_tests! {
    async fn a_new_customer_has_one_empty_account(bank: &TestBank) {
        let ada = bank.customer().await;
        let list = ada.get("/accounts").send().await.expect_status(200);
        assert_eq!(list.body["data"].as_array().map(Vec::len), Some(1));
        let account = ada.get(&format!("/accounts/{}", ada.account)).send().await.expect_status(200);
        assert_eq!(list.body["data"][0], account.body);
        for (member, value) in [
            ("account_number", json!(ada.account)),
            ("currency", json!("USD")),
            ("label", json!(null)),
            ("status", json!("open")),
            ("balance", json!("0.00")),
            ("available", json!("0.00")),
            ("sequence", json!(0)),
        ] {
            assert_eq!(account.body[member], value, "{member}");
        }
        let me = ada.get("/me").send().await.expect_status(200);
        assert_eq!(account.body["owner_id"], me.body["id"]);
    }

    async fn another_account_can_be_opened_in_any_currency(bank: &TestBank) {
        let ada = bank.customer().await;
        let opened = ada.open_account(json!({"currency": "JPY", "label": "旅行"})).await.expect_status(201);
        let location = format!("/accounts/{}", opened.text_at("/account_number"));
        assert_eq!(opened.header("location"), Some(&*location));
        assert_eq!(ada.get(&location).send().await.expect_status(200).body, opened.body);
        assert_eq!((&opened.body["currency"], &opened.body["balance"]), (&json!("JPY"), &json!("0")));
        ada.open_account(json!({})).await.expect_status(201);
        for code in ["usd", "XXX", "DOLLAR", ""] {
            ada.open_account(json!({"currency": code})).await.expect_problem(422, "unknown_currency");
        }
    }

    async fn accounts_are_listed_in_pages(bank: &TestBank) {
        let ada = bank.customer().await;
        for _ in 0..4 {
            ada.open_account(json!({})).await.expect_status(201);
        }
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = ada.get(&format!("/accounts?limit=2{cursor}")).send().await.expect_status(200);
            seen.extend(page.body["data"].as_array().expect("a list").iter().map(|a| a["account_number"].to_string()));
            assert_eq!(page.body["has_more"], page.body["next_cursor"].is_string());
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((seen.len(), &seen), (5, &sorted));
        ada.get("/accounts?cursor=nonsense").send().await.expect_problem(422, "cursor_invalid");
        for limit in ["0", "101", "-1", "1.5", "many", ""] {
            let answer = ada.get(&format!("/accounts?limit={limit}")).send().await;
            assert_eq!((answer.status.as_u16(), answer.pointers()), (422, vec!["?limit"]), "{limit}: {}", answer.body);
        }
    }

    async fn an_account_can_be_named_and_unnamed(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let path = format!("/accounts/{}", ada.account);
        let rename = |body| ada.request(Method::PATCH, &path).json(body);
        assert_eq!(rename(json!({"label": "Bills"})).send().await.expect_status(200).body["label"], "Bills");
        assert_eq!(ada.get(&path).send().await.body["label"], "Bills");
        rename(json!({"label": " "})).send().await.expect_problem(422, "label_blank");
        rename(json!({"label": "x".repeat(51)})).send().await.expect_problem(422, "label_too_long");
        assert_eq!(rename(json!({})).send().await.expect_status(200).body["label"], "Bills");
        rename(json!({"name": "Bills"})).send().await.expect_problem(422, "unknown_field");
        let by_bob = bob.request(Method::PATCH, &path).json(json!({"label": "Mine"}));
        by_bob.send().await.expect_problem(404, "account_not_found");
        assert_eq!(rename(json!({"label": null})).send().await.expect_status(200).body["label"], json!(null));
    }

    async fn an_account_is_closed_only_at_zero_and_then_for_good(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let path = format!("/accounts/{}", ada.account);
        ada.deposit("5").await.expect_status(201);
        bob.deposit("5").await.expect_status(201);
        bob.request(Method::DELETE, &path).send().await.expect_problem(404, "account_not_found");
        ada.request(Method::DELETE, &path).send().await.expect_problem(409, "account_not_empty");
        ada.withdraw("5").await.expect_status(201);
        ada.request(Method::DELETE, &path).send().await.expect_status(204);
        ada.request(Method::DELETE, &path).send().await.expect_problem(409, "account_closed");
        ada.deposit("5").await.expect_problem(409, "account_closed");
        bob.transfer(&ada.account, "1").await.expect_problem(409, "receiver_unavailable");
        assert_eq!(ada.get(&path).send().await.expect_status(200).body["status"], "closed");
        assert_eq!(ada.history().await.len(), 2);
    }

    async fn a_frozen_account_moves_no_money(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("5").await.expect_status(201);
        bob.deposit("5").await.expect_status(201);
        let clerk = bank.employee("staff").await;
        clerk.gives_status(&ada, "frozen").await.expect_status(200);
        ada.deposit("1").await.expect_problem(409, "account_frozen");
        ada.withdraw("1").await.expect_problem(409, "account_frozen");
        ada.transfer(&bob.account, "1").await.expect_problem(409, "account_frozen");
        bob.transfer(&ada.account, "1").await.expect_problem(409, "receiver_unavailable");
        ada.request(Method::DELETE, &format!("/accounts/{}", ada.account))
            .send()
            .await
            .expect_problem(409, "account_frozen");
        assert_eq!(ada.balance().await, "5.00");
    }

    async fn an_overdraft_is_available_up_to_its_limit(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        clerk.set_limits_of(&ada.account, json!({"overdraft": "100"})).await.expect_status(200);
        ada.withdraw("100.01").await.expect_problem(409, "insufficient_funds");
        let drawn = ada.withdraw("99.95").await.expect_status(201);
        assert_eq!(drawn.body["balance"], "-99.95");
        let balance = ada.get(&format!("/balance?account_number={}", ada.account)).send().await.expect_status(200);
        assert_eq!((&balance.body["balance"], &balance.body["available"]), (&json!("-99.95"), &json!("0.05")));
    }

    async fn staff_act_for_customers_and_auditors_only_read(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("5").await.expect_status(201);
        for (role, may_act) in [("staff", true), ("admin", true), ("auditor", false)] {
            let employee = bank.employee(role).await;
            let path = format!("/balance?account_number={}", ada.account);
            employee.get(&path).send().await.expect_status(200);
            employee.get(&format!("/transactions?account_number={}", ada.account)).send().await.expect_status(200);
            let body = json!({"account_number": ada.account, "amount": "1"});
            let deposit = employee.post("/deposit", body).send().await;
            if may_act {
                deposit.expect_status(201);
            } else {
                deposit.expect_problem(403, "auditor_changes_nothing");
            }
        }
        assert_eq!(ada.balance().await, "7.00");
    }
}
