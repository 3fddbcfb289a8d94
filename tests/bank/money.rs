//! Deposits, withdrawals, transfers, balances.

use serde_json::json;

use crate::harness::bank_tests;

bank_tests! {
    async fn a_deposit_answers_with_the_new_line_of_the_passbook(bank: &TestBank) {
        let ada = bank.customer().await;
        let body =
            json!({"account_number": ada.account, "amount": "100.5", "currency": "USD", "description": "Salary"});
        let answer = ada.post("/deposit", body).send().await.expect_status(201);
        assert_eq!(answer.header("location"), Some(&*format!("/transactions/{}", answer.text_at("/id"))));
        assert_eq!(answer.header("idempotent-replayed"), None);
        let entry = &answer.body;
        assert_eq!(entry["type"], "deposit");
        assert_eq!(entry["direction"], "credit");
        assert_eq!(entry["account_number"], ada.account);
        assert_eq!(entry["counterparty"], json!(null));
        assert_eq!(entry["amount"], "100.50");
        assert_eq!(entry["balance"], "100.50");
        assert_eq!(entry["currency"], "USD");
        assert_eq!(entry["sequence"], 1);
        assert_eq!(entry["description"], "Salary");
        assert_eq!(entry["hash"].as_str().map(str::len), Some(64));
        let location = answer.header("location").unwrap_or_default().to_owned();
        assert_eq!(ada.get(&location).send().await.expect_status(200).body, answer.body);
    }

    async fn withdrawing_the_whole_balance_leaves_zero(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("20.00").await.expect_status(201);
        let answer = ada.withdraw("20").await.expect_status(201);
        assert_eq!(answer.body["direction"], "debit");
        assert_eq!(answer.body["amount"], "20.00");
        assert_eq!(answer.body["balance"], "0.00");
        assert_eq!(ada.balance().await, "0.00");
    }

    async fn withdrawing_more_than_the_balance_is_refused_and_leaves_no_trace(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("20.00").await.expect_status(201);
        let answer = ada.withdraw("20.01").await.expect_problem(409, "insufficient_funds");
        assert_eq!(answer.body["detail"], "20.00 USD is available, 20.01 USD was asked for.");
        assert_eq!(ada.balance().await, "20.00");
        assert_eq!(ada.history().await.len(), 1);
    }

    async fn a_transfer_moves_money_between_two_customers(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("100.00").await.expect_status(201);
        let sent = ada.transfer(&bob.account, "25.50").await.expect_status(201);
        assert_eq!(sent.body["type"], "transfer");
        assert_eq!(sent.body["direction"], "debit");
        assert_eq!(sent.body["counterparty"], bob.account);
        assert_eq!(sent.body["balance"], "74.50");
        assert_eq!((ada.balance().await, bob.balance().await), ("74.50".to_owned(), "25.50".to_owned()));

        let location = format!("/transactions/{}", sent.text_at("/id"));
        let received = bob.get(&location).send().await.expect_status(200);
        assert_eq!(received.body["direction"], "credit");
        assert_eq!(received.body["account_number"], bob.account);
        assert_eq!(received.body["counterparty"], ada.account);
        assert_eq!(received.body["balance"], "25.50");
        bank.customer().await.get(&location).send().await.expect_problem(404, "transaction_not_found");
    }

    async fn a_transfer_between_own_accounts_shows_the_senders_side(bank: &TestBank) {
        let ada = bank.customer().await;
        let savings = ada.open_account(json!({"label": "Savings"})).await.expect_status(201).text_at("/account_number");
        ada.deposit("10").await.expect_status(201);
        let sent = ada.transfer(&savings, "4").await.expect_status(201);
        let shown = ada.get(&format!("/transactions/{}", sent.text_at("/id"))).send().await.expect_status(200);
        assert_eq!(shown.body, sent.body);
        assert_eq!(ada.balance_of(&savings).await, "4.00");
    }

    async fn transfers_that_make_no_sense_are_refused(bank: &TestBank) {
        let (ada, bob, eve) = (bank.customer().await, bank.customer().await, bank.customer_in("EUR").await);
        ada.deposit("10").await.expect_status(201);
        ada.transfer(&ada.account, "1").await.expect_problem(422, "same_account");
        ada.transfer(&eve.account, "1").await.expect_problem(422, "currency_mismatch");
        ada.transfer("10000000000180", "1").await.expect_problem(404, "receiver_not_found");
        let from_bob = json!({"from_account": bob.account, "to_account": ada.account, "amount": "1"});
        ada.post("/transfer", from_bob).send().await.expect_problem(404, "account_not_found");
        assert_eq!((ada.balance().await, bob.balance().await), ("10.00".to_owned(), "0.00".to_owned()));
    }

    async fn an_account_of_someone_else_looks_like_none(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        bob.deposit("50").await.expect_status(201);
        let missing = "10000000000180";
        for account in [&*bob.account, missing] {
            let body = json!({"account_number": account, "amount": "1"});
            ada.post("/withdraw", body.clone()).send().await.expect_problem(404, "account_not_found");
            ada.post("/deposit", body).send().await.expect_problem(404, "account_not_found");
            for path in [
                format!("/balance?account_number={account}"),
                format!("/transactions?account_number={account}"),
                format!("/accounts/{account}"),
            ] {
                ada.get(&path).send().await.expect_problem(404, "account_not_found");
            }
        }
        assert_eq!(bob.balance().await, "50.00");
    }

    async fn currencies_have_their_own_decimals(bank: &TestBank) {
        let (yen, dinar) = (bank.customer_in("JPY").await, bank.customer_in("KWD").await);
        assert_eq!(yen.deposit("500").await.expect_status(201).body["balance"], "500");
        yen.deposit("500.0").await.expect_problem(422, "amount_too_many_decimals");
        assert_eq!(dinar.deposit("0.001").await.expect_status(201).body["balance"], "0.001");
        dinar.deposit("0.0001").await.expect_problem(422, "amount_too_many_decimals");
    }

    async fn a_currency_that_is_not_the_accounts_is_refused(bank: &TestBank) {
        let ada = bank.customer().await;
        let body = json!({"account_number": ada.account, "amount": "1", "currency": "EUR"});
        let answer = ada.post("/deposit", body).send().await.expect_problem(422, "currency_mismatch");
        assert_eq!(answer.pointers(), ["/currency"]);
    }

    async fn a_movement_has_a_maximum(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("1000000000.01").await.expect_problem(422, "amount_above_maximum");
        ada.deposit("1000000000.00").await.expect_status(201);
    }

    async fn a_balance_can_be_asked_for_as_it_was(bank: &TestBank) {
        let ada = bank.customer().await;
        let mut moments = Vec::new();
        for amount in ["1", "2", "4", "8"] {
            moments.push(ada.deposit(amount).await.expect_status(201).text_at("/created_at"));
        }
        let at = async |moment: &str| {
            let path = format!("/balance?account_number={}&at={moment}", ada.account);
            ada.get(&path).send().await.expect_status(200)
        };
        for (moment, balance, sequence) in
            [(&moments[0], "1.00", 1), (&moments[1], "3.00", 2), (&moments[2], "7.00", 3), (&moments[3], "15.00", 4)]
        {
            let answer = at(moment).await;
            assert_eq!(answer.body["balance"], balance);
            assert_eq!(answer.body["sequence"], sequence);
            assert_eq!(answer.body["as_of"], **moment);
        }
        let before = at("2001-01-01T00:00:00Z").await;
        assert_eq!((&before.body["balance"], &before.body["sequence"]), (&json!("0.00"), &json!(0)));
        let path = format!("/balance?account_number={}&at=2999-01-01T00:00:00Z", ada.account);
        ada.get(&path).send().await.expect_problem(422, "at_in_the_future");
    }
}
