//! Movements that share a group: found together, and reversed together.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Customer, bank_tests};

impl Customer<'_> {
    /// Pays each of these in one atomic batch with a group.
    async fn split(&self, group: &str, parts: &[(&Customer<'_>, &str)]) -> Answer {
        let transfer = |(to, amount): &(&Customer<'_>, &str)| json!({"type": "transfer", "from_account": self.account, "to_account": to.account, "amount": amount});
        let items: Vec<_> = parts.iter().map(transfer).collect();
        self.post("/transactions/batch", json!({"atomic": true, "group": group, "transactions": items})).send().await
    }

    async fn reverse_group(&self, id: &str) -> Answer {
        self.post(&format!("/transactions/{id}/reverse_group"), json!({"reason": "Paid twice"})).send().await
    }

    /// The ids of what a query finds, the newest first.
    async fn found_by(&self, query: &str) -> Vec<String> {
        let page = self.get(&format!("/transactions?{query}")).send().await.expect_status(200);
        let found = page.body["data"].as_array().expect("a list").iter();
        found.map(|entry| entry["id"].as_str().expect("an id").to_owned()).collect()
    }
}

fn ids(batch: &Answer) -> Vec<String> {
    let items = batch.body["data"].as_array().expect("a list").iter();
    items.map(|item| item["transaction"]["id"].as_str().expect("an id").to_owned()).collect()
}

/// The codes of what a batch was refused for.
fn errors(refused: &Answer) -> Vec<Value> {
    refused.body["errors"].as_array().expect("a list").iter().map(|error| error["code"].clone()).collect()
}

bank_tests! {
    async fn a_split_is_found_as_one_thing_and_reversed_as_one(bank: &TestBank) {
        let clerk = bank.employee("staff").await;
        let (ada, bob, eve) = (bank.customer().await, bank.customer().await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        let booked = ada.split("RUN-1", &[(&bob, "30"), (&eve, "20.01"), (&bob, "1")]).await.expect_status(200);
        let legs = ids(&booked);
        assert_eq!(booked.text_at("/data/0/transaction/group"), "RUN-1");
        let newest_first: Vec<_> = legs.iter().rev().cloned().collect();
        assert_eq!(ada.found_by(&format!("account_number={}&group=RUN-1", ada.account)).await, newest_first);
        assert_eq!(clerk.found_by("group=RUN-1").await, newest_first);
        // The other side sees no tags, as with references.
        assert!(bob.found_by(&format!("account_number={}&group=RUN-1", bob.account)).await.is_empty());
        assert_eq!(bob.history().await[0]["group"], Value::Null);

        let reversed = clerk.reverse_group(&legs[1]).await.expect_status(200);
        assert_eq!((&reversed.body["booked"], &reversed.body["refused"]), (&json!(3), &json!(0)));
        assert_eq!(reversed.text_at("/data/1/transaction/amount"), "20.01");
        assert_eq!(reversed.text_at("/data/1/transaction/reverses"), legs[1]);
        assert_eq!(
            (ada.balance().await, bob.balance().await, eve.balance().await),
            ("100.00".into(), "0.00".into(), "0.00".into())
        );
        for (leg, reversal) in legs.iter().zip(ids(&reversed)) {
            let leg = clerk.get(&format!("/transactions/{leg}")).send().await.expect_status(200);
            assert_eq!(leg.text_at("/reversed_by"), reversal);
        }
        let auditor = bank.employee("auditor").await;
        let records = auditor.get("/audit?action=movement_reversed").send().await.expect_status(200);
        assert_eq!(records.body["data"].as_array().map(Vec::len), Some(3));
        let again = clerk.reverse_group(&legs[0]).await.expect_problem(409, "batch_refused");
        assert_eq!(errors(&again), vec![json!("already_reversed"); 3]);
    }

    async fn a_group_is_reversed_whole_or_not_at_all(bank: &TestBank) {
        let clerk = bank.employee("staff").await;
        let (ada, bob, eve) = (bank.customer().await, bank.customer().await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        let legs = ids(&ada.split("RUN-1", &[(&bob, "30"), (&eve, "20")]).await.expect_status(200));
        eve.withdraw("5").await.expect_status(201);
        let refused = clerk.reverse_group(&legs[0]).await.expect_problem(409, "batch_refused");
        assert_eq!(
            (errors(&refused), refused.pointers()),
            (vec![json!("insufficient_funds")], vec!["/transactions/1"])
        );
        assert_eq!((ada.balance().await, bob.balance().await), ("50.00".to_owned(), "30.00".to_owned()));
        eve.deposit("5").await.expect_status(201);

        let preview = format!("/transactions/{}/reverse_group?preview=true", legs[0]);
        let preview = clerk.post(&preview, json!({})).send().await.expect_status(200);
        assert_eq!(
            (&preview.body["data"][0]["transaction"]["preview"], ada.balance().await),
            (&json!(true), "50.00".to_owned())
        );
        clerk.post(&format!("/transactions/{}/reverse", legs[0]), json!({})).send().await.expect_status(201);
        let refused = clerk.reverse_group(&legs[1]).await.expect_problem(409, "batch_refused");
        assert_eq!(errors(&refused), [json!("already_reversed")]);
        assert_eq!(eve.balance().await, "20.00");
    }

    /// Whoever takes the name of another one's group gets nothing reversed with it.
    async fn groups_of_two_people_with_one_name_are_two(bank: &TestBank) {
        let clerk = bank.employee("staff").await;
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        bob.deposit("100").await.expect_status(201);
        let of_ada = ids(&ada.split("RUN-1", &[(&bob, "1")]).await.expect_status(200));
        let withdrawal = json!({"type": "withdrawal", "account_number": bob.account, "amount": "50"});
        let body = json!({"group": "RUN-1", "transactions": [withdrawal]});
        bob.post("/transactions/batch", body).send().await.expect_status(200);
        let more_of_ada = ids(&ada.split("RUN-1", &[(&bob, "2")]).await.expect_status(200));
        let reversed = clerk.reverse_group(&of_ada[0]).await.expect_status(200);
        assert_eq!((&reversed.body["booked"], bob.balance().await), (&json!(2), "50.00".to_owned()));
        let again = clerk.reverse_group(&more_of_ada[0]).await.expect_problem(409, "batch_refused");
        assert_eq!(errors(&again).len(), 2);
    }

    async fn of_many_who_reverse_a_group_at_once_one_does(bank: &TestBank) {
        let clerk = bank.employee("staff").await;
        let (ada, bob, eve) = (bank.customer().await, bank.customer().await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        let legs = ids(&ada.split("RUN-1", &[(&bob, "30"), (&eve, "20")]).await.expect_status(200));
        let answers = join_all((0..12).map(|attempt| clerk.reverse_group(&legs[attempt % 2]))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        assert!(answers.iter().all(|answer| answer.status == 200 || answer.body["code"] == "batch_refused"));
        assert_eq!(ada.balance().await, "100.00");

        // The same key is the same reversal.
        let legs = ids(&ada.split("RUN-2", &[(&bob, "3"), (&eve, "2")]).await.expect_status(200));
        let send = || {
            let request = clerk.post(&format!("/transactions/{}/reverse_group", legs[0]), json!({}));
            request.header("Idempotency-Key", "undo-RUN-2").send()
        };
        let (first, again) = (send().await.expect_status(200), send().await.expect_status(200));
        assert_eq!((ids(&again), &again.body["data"][0]["replayed"]), (ids(&first), &json!(true)));

        // A group that has grown is another one.
        ada.split("RUN-2", &[(&bob, "7")]).await.expect_status(200);
        let refused = send().await.expect_problem(409, "batch_refused");
        assert_eq!(errors(&refused), [json!("idempotency_key_reused")]);
        assert_eq!(bob.balance().await, "7.00");
    }

    /// One by itself and all together, at once, on two instances.
    async fn a_leg_and_its_group_are_not_both_reversed(bank: &TestBank) {
        let (address, twin) = bank.twin().await;
        let clerk = bank.employee("staff").await;
        let (ada, bob, eve) = (bank.customer().await, bank.customer().await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        for round in 0..6 {
            let legs = ids(&ada.split(&format!("RUN-{round}"), &[(&bob, "3"), (&eve, "2")]).await.expect_status(200));
            let send = |there, path: String| {
                let request = bank.request_to(there, Method::POST, &path).bearer(&clerk.token);
                request.json(json!({})).send()
            };
            let (leg, group) = tokio::join!(
                send(bank.address, format!("/transactions/{}/reverse", legs[0])),
                send(address, format!("/transactions/{}/reverse_group", legs[1])),
            );
            let statuses = (leg.status.as_u16(), group.status.as_u16());
            assert!([(201, 409), (409, 200)].contains(&statuses), "{statuses:?}");
            if statuses.0 == 201 {
                send(address, format!("/transactions/{}/reverse", legs[1])).await.expect_status(201);
            }
            assert_eq!(ada.balance().await, "100.00");
        }
        twin.close().await;
    }

    async fn a_large_group_is_reversed_one_by_one(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let batch = async |count: usize| {
            let item = json!({"type": "deposit", "account_number": ada.account, "amount": "1"});
            let body = json!({"group": "MANY", "transactions": vec![item; count]});
            ada.post("/transactions/batch", body).send().await.expect_status(200)
        };
        let first = ids(&batch(1_000).await)[0].clone();
        batch(1).await;
        clerk.reverse_group(&first).await.expect_problem(409, "group_too_large");
        assert_eq!(ada.balance().await, "1001.00");
    }

    /// What is only held is not booked, and goes nowhere.
    async fn a_group_of_holds_has_nothing_to_reverse(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        ada.deposit("10").await.expect_status(201);
        let hold = json!({"type": "hold", "account_number": ada.account, "amount": "1"});
        let body = json!({"group": "HELD", "transactions": [hold]});
        let held = ids(&ada.post("/transactions/batch", body).send().await.expect_status(200))[0].clone();
        clerk.reverse_group(&held).await.expect_problem(404, "transaction_not_found");
    }

    async fn what_has_no_group_is_not_reversed_as_one(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let alone = ada.deposit("5").await.expect_status(201).text_at("/id");
        clerk.reverse_group(&alone).await.expect_problem(409, "not_in_a_group");
        clerk.reverse_group("019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88").await.expect_problem(404, "transaction_not_found");
        ada.reverse_group(&alone).await.expect_problem(403, "role_required");
        let batch = async |group: &str| {
            let item = json!({"type": "deposit", "account_number": ada.account, "amount": "1"});
            ada.post("/transactions/batch", json!({"group": group, "transactions": [item]})).send().await
        };
        for (group, code) in
            [(" ", "group_blank"), (&"g".repeat(65), "group_too_long"), ("a\u{0}b", "group_control_characters")]
        {
            let refused = batch(group).await.expect_problem(422, code);
            assert_eq!(refused.pointers(), ["/group"]);
        }
        assert_eq!(batch(" RUN-1 ").await.expect_status(200).text_at("/data/0/transaction/group"), "RUN-1");
    }

    async fn one_key_is_one_group(bank: &TestBank) {
        let ada = bank.customer().await;
        let send = async |group: Value| {
            let item = json!({"type": "deposit", "account_number": ada.account, "amount": "1"});
            let body = json!({"group": group, "transactions": [item]});
            ada.post("/transactions/batch", body).header("Idempotency-Key", "one").send().await.expect_status(200)
        };
        let first = send(json!("RUN-1")).await;
        let again = send(json!("RUN-1")).await;
        assert_eq!((ids(&first), &again.body["data"][0]["replayed"]), (ids(&again), &json!(true)));
        for other in [json!("RUN-2"), json!(null)] {
            assert_eq!(send(other).await.text_at("/data/0/problem/code"), "idempotency_key_reused");
        }
    }

    /// A hold is not booked before it is captured; then it is one of the group.
    async fn holds_of_a_group_are_reversed_with_it_once_they_are_captured(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        ada.deposit("50").await.expect_status(201);
        let item = |kind: &str| json!({"type": kind, "account_number": ada.account, "amount": "3"});
        let body = json!({"group": "TRIP", "transactions": [item("withdrawal"), item("hold")]});
        let legs = ids(&ada.post("/transactions/batch", body).send().await.expect_status(200));
        clerk.reverse_group(&legs[1]).await.expect_status(200);
        assert_eq!(ada.balance().await, "50.00");
        ada.post(&format!("/holds/{}/capture", legs[1]), json!({})).send().await.expect_status(201);
        assert_eq!(ada.found_by(&format!("account_number={}&group=TRIP", ada.account)).await.len(), 2);
    }

    async fn the_database_refuses_to_change_groups_and_the_doctor_finds_it(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("50").await.expect_status(201);
        let leg = ids(&ada.split("RUN-1", &[(&bob, "30")]).await.expect_status(200))[0].clone();
        let forged = format!("update tags set group_id = 'RUN-2' where id = {}", bank.literal_of(&leg));
        for sql in [&forged, "delete from tagged_entries where key = ':'"] {
            assert!(bank.try_to_tamper(sql).await.is_err(), "{sql}");
        }
        let on = if bank.kind == crate::databases::Kind::Postgres { " on tags" } else { "" };
        bank.tamper(&format!("drop trigger tags_refuse_other_names{on}")).await;
        bank.tamper(&forged).await;
        let wrong: Vec<_> = bank.books_wrong().await.into_iter().map(|(invariant, _)| invariant).collect();
        assert_eq!(
            wrong,
            ["texts are as they were written, or erased", "movements are found by reference, group and metadata"]
        );
        bank.tamper(&forged.replace("RUN-2", "RUN-1")).await;
    }
}

bank_tests! {
    with &["--approval-above", "100"];

    async fn a_group_that_needs_a_second_approver_is_not_split(bank: &TestBank) {
        let (clerk, ada, bob) = (bank.employee("staff").await, bank.customer().await, bank.customer().await);
        ada.deposit("200").await.expect_status(201);
        let legs = ids(&ada.split("RUN-1", &[(&bob, "60"), (&bob, "60")]).await.expect_status(200));
        let refused = clerk.reverse_group(&legs[0]).await.expect_problem(409, "batch_refused");
        assert_eq!(errors(&refused), vec![json!("approval_required"); 2]);
        assert_eq!(bob.balance().await, "120.00");
    }
}
