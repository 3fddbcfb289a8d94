//! A booked movement is undone by another one the other way round, once.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::databases::Kind;
use crate::harness::{Answer, Customer, Request, TestBank, bank_tests};

const ABOVE_1000: &[&str] = &["--approval-above", "1000"];
const NOBODYS: &str = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88";

impl Customer<'_> {
    fn order_reversal(&self, id: &str, body: Value) -> Request {
        self.post(&format!("/transactions/{id}/reverse"), body)
    }

    async fn reverse(&self, id: &str) -> Answer {
        self.order_reversal(id, json!({"reason": "Booked twice"})).send().await
    }

    pub async fn movement(&self, id: &str) -> Value {
        self.get(&format!("/transactions/{id}")).send().await.expect_status(200).body
    }

    async fn set_status_of(&self, account: &str, status: &str) {
        let path = format!("/accounts/{account}/status");
        self.request(Method::PUT, &path).json(json!({"status": status})).send().await.expect_status(200);
    }

    async fn decide_on(&self, approval: &str, decision: &str) -> Answer {
        self.request(Method::POST, &format!("/approvals/{approval}/{decision}")).send().await
    }

    async fn user_id(&self) -> String {
        self.get("/me").send().await.expect_status(200).text_at("/id")
    }

    /// The movement's id.
    async fn deposited(&self, amount: &str) -> String {
        self.deposit(amount).await.expect_status(201).text_at("/id")
    }
}

/// Records of the audit log about reversals, the newest first.
async fn on_record(bank: &TestBank) -> Vec<Value> {
    let records = bank.employee("auditor").await.get("/audit?action=movement_reversed").send().await.expect_status(200);
    records.body["data"].as_array().expect("a list").clone()
}

bank_tests! {
    async fn each_type_of_movement_goes_back_whole(bank: &TestBank) {
        let clerk = bank.employee("staff").await;
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        bob.deposit("100").await.expect_status(201);
        let deposit = ada.deposited("10.50").await;
        let withdrawal = ada.withdraw("20.05").await.expect_status(201).text_at("/id");
        let transfer = ada.transfer(&bob.account, "30").await.expect_status(201).text_at("/id");
        for (id, movement_type, account, counterparty, direction, amount, balances) in [
            (&deposit, "withdrawal", &ada.account, Value::Null, "debit", "10.50", ("49.95", "130.00")),
            (&withdrawal, "deposit", &ada.account, Value::Null, "credit", "20.05", ("70.00", "130.00")),
            (&transfer, "transfer", &bob.account, json!(ada.account), "debit", "30.00", ("100.00", "100.00")),
        ] {
            let before = ada.movement(id).await;
            let reversal = clerk.order_reversal(id, json!({})).send().await.expect_status(201);
            let undone_by = reversal.text_at("/id");
            assert_eq!(reversal.header("location"), Some(&*format!("/transactions/{undone_by}")));
            for (member, value) in [
                ("type", json!(movement_type)),
                ("account_number", json!(account)),
                ("counterparty", counterparty),
                ("direction", json!(direction)),
                ("amount", json!(amount)),
                ("currency", json!("USD")),
                ("description", json!(format!("Reversal of {id}"))),
                ("reverses", json!(id)),
            ] {
                assert_eq!(reversal.body[member], value, "{member}");
            }
            assert_eq!((&*ada.balance().await, &*bob.balance().await), balances);

            // Both say so to whoever may see them, and nothing else of the first has changed.
            assert_eq!(clerk.movement(&undone_by).await, reversal.body);
            let mut after = ada.movement(id).await;
            let members = after.as_object_mut().expect("an object");
            assert_eq!(members.remove("reversed_by"), Some(json!(undone_by)));
            assert_eq!((&after, before.get("reversed_by"), before.get("reverses")), (&before, None, None));
        }
        assert_eq!((ada.history().await.len(), bob.history().await.len()), (7, 3));
    }

    async fn the_reason_is_what_the_statement_says(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let id = ada.deposited("5").await;
        for (reason, code) in [
            (json!(" "), "reason_blank"),
            (json!("a\nb"), "reason_control_characters"),
            (json!("x".repeat(141)), "reason_too_long"),
            (json!(1), "wrong_type"),
        ] {
            let refused = admin.order_reversal(&id, json!({"reason": reason})).send().await.expect_problem(422, code);
            assert_eq!(refused.pointers(), ["/reason"]);
        }
        admin.order_reversal(&id, json!({"amount": "1"})).send().await.expect_problem(422, "unknown_field");
        let reversal = admin.order_reversal(&id, json!({"reason": "  Wrong account "})).send().await.expect_status(201);
        assert_eq!(reversal.text_at("/description"), "Wrong account");
        assert_eq!(ada.history().await[0]["description"], "Wrong account");
        assert_eq!(ada.balance().await, "0.00");
    }

    async fn each_currency_goes_back_to_its_last_unit(bank: &TestBank) {
        let clerk = bank.employee("staff").await;
        for (currency, amount) in [("JPY", "7"), ("KWD", "0.001"), ("USD", "1000000000")] {
            let ada = bank.customer_in(currency).await;
            let id = ada.deposited(amount).await;
            assert_eq!(
                clerk.reverse(&id).await.expect_status(201).text_at("/amount"),
                ada.movement(&id).await["amount"]
            );
            assert!(ada.balance().await.chars().all(|c| c == '0' || c == '.'));
        }
    }

    async fn what_was_once_allowed_goes_back_although_the_maximum_is_lower_now(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let id = ada.deposited("5000").await;
        let (address, twin) = bank.twin_with(&["--max-amount", "10"]).await;
        let there = |path: &str| bank.request_to(address, Method::POST, path).bearer(&clerk.token);
        let body = json!({"account_number": ada.account, "amount": "11"});
        there("/withdraw").json(body).send().await.expect_problem(422, "amount_above_maximum");
        there(&format!("/transactions/{id}/reverse")).json(json!({})).send().await.expect_status(201);
        assert_eq!(ada.balance().await, "0.00");
        twin.close().await;
    }

    async fn a_movement_is_reversed_once_and_a_reversal_never(bank: &TestBank) {
        let (clerk, admin, ada) = (bank.employee("staff").await, bank.employee("admin").await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        let id = ada.deposited("10").await;
        let reversal = clerk.reverse(&id).await.expect_status(201).text_at("/id");
        for who in [&clerk, &admin] {
            let again = who.reverse(&id).await.expect_problem(409, "already_reversed");
            assert!(again.text_at("/detail").contains(&reversal), "{}", again.body);
            let back = who.reverse(&reversal).await.expect_problem(409, "is_a_reversal");
            assert!(back.text_at("/detail").contains(&id), "{}", back.body);
        }
        assert_eq!((ada.balance().await, ada.history().await.len()), ("100.00".to_owned(), 3));
        // The same money may move again, and that be reversed, too.
        let anew = ada.deposited("10").await;
        clerk.reverse(&anew).await.expect_status(201);
        assert_eq!(ada.balance().await, "100.00");
    }

    async fn many_at_once_on_two_instances_reverse_once(bank: &TestBank) {
        let (clerk, admin) = (bank.employee("staff").await, bank.employee("admin").await);
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let (address, twin) = bank.twin().await;
        // Enough that a second reversal would not fail for want of money.
        ada.deposit("1000").await.expect_status(201);
        bob.deposit("1000").await.expect_status(201);
        for _ in 0..8 {
            let ids = [
                ada.deposited("1").await,
                ada.withdraw("2").await.expect_status(201).text_at("/id"),
                ada.transfer(&bob.account, "3").await.expect_status(201).text_at("/id"),
            ];
            let tries = (0..36).map(|i| {
                let who = if i % 2 == 0 { &clerk } else { &admin };
                let address = if i % 4 < 2 { bank.address } else { address };
                let path = format!("/transactions/{}/reverse", ids[i % 3]);
                let request = bank.request_to(address, Method::POST, &path).bearer(&who.token).json(json!({}));
                // Some with keys, each of its own.
                if i % 5 == 0 {
                    request.header("idempotency-key", &format!("{i}-{path}")).send()
                } else {
                    request.send()
                }
            });
            let answers = join_all(tries).await;
            for (i, id) in ids.iter().enumerate() {
                let of_this = answers.iter().skip(i).step_by(3).cloned();
                let (booked, others): (Vec<_>, Vec<_>) = of_this.partition(|answer| answer.status == 201);
                assert_eq!(booked.len(), 1, "{others:?}");
                assert_eq!(clerk.movement(id).await["reversed_by"], booked[0].body["id"]);
                others.into_iter().for_each(|other| drop(other.expect_problem(409, "already_reversed")));
            }
            assert_eq!((ada.balance().await, bob.balance().await), ("1000.00".to_owned(), "1000.00".to_owned()));
        }
        twin.close().await;
    }

    async fn a_key_answers_with_the_first_reversal_and_stands_for_no_other(bank: &TestBank) {
        let (clerk, admin, ada) = (bank.employee("staff").await, bank.employee("admin").await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        let (one, other) = (ada.deposited("10").await, ada.deposited("10").await);
        let reverse =
            |id: &str| clerk.order_reversal(id, json!({"reason": "Twice"})).header("idempotency-key", "k").send();
        let answers = join_all((0..12).map(|_| reverse(&one))).await;
        for answer in &answers {
            assert_eq!((answer.status.as_u16(), &answer.body), (201, &answers[0].body));
        }
        assert_eq!(answers.iter().filter(|answer| answer.header("idempotent-replayed").is_none()).count(), 1);
        // Neither the other movement, nor another reason, nor the same money moved in another way.
        reverse(&other).await.expect_problem(422, "idempotency_key_reused");
        let reason = clerk.order_reversal(&one, json!({"reason": "Once"})).header("idempotency-key", "k");
        reason.send().await.expect_problem(422, "idempotency_key_reused");
        let body = json!({"account_number": ada.account, "amount": "10.00", "currency": "USD", "description": "Twice"});
        let withdrawal = clerk.post("/withdraw", body).header("idempotency-key", "k");
        withdrawal.send().await.expect_problem(422, "idempotency_key_reused");
        // A refusal leaves the key unused, and keys belong to the caller.
        let refused = admin.order_reversal(&one, json!({})).header("idempotency-key", "k");
        refused.send().await.expect_problem(409, "already_reversed");
        admin.order_reversal(&other, json!({})).header("idempotency-key", "k").send().await.expect_status(201);
        assert_eq!(ada.balance().await, "100.00");
    }

    async fn what_is_no_longer_there_cannot_go_back(bank: &TestBank) {
        let (clerk, ada, bob) = (bank.employee("staff").await, bank.customer().await, bank.customer().await);
        let deposit = ada.deposited("10").await;
        let transfer = ada.transfer(&bob.account, "4").await.expect_status(201).text_at("/id");
        clerk.reverse(&deposit).await.expect_problem(409, "insufficient_funds");
        bob.withdraw("0.01").await.expect_status(201);
        clerk.reverse(&transfer).await.expect_problem(409, "insufficient_funds");
        assert_eq!((ada.balance().await, bob.balance().await), ("6.00".to_owned(), "3.99".to_owned()));
        assert!(clerk.movement(&deposit).await.get("reversed_by").is_none());
        assert_eq!(on_record(bank).await, [] as [Value; 0]);
        // A refusal uses nothing up.
        bob.deposit("0.01").await.expect_status(201);
        clerk.reverse(&transfer).await.expect_status(201);
        clerk.reverse(&deposit).await.expect_status(201);
        assert_eq!((ada.balance().await, bob.balance().await), ("0.00".to_owned(), "0.00".to_owned()));
    }

    async fn frozen_and_closed_accounts_give_and_take_nothing(bank: &TestBank) {
        let (clerk, ada, bob) = (bank.employee("staff").await, bank.customer().await, bank.customer().await);
        let deposit = ada.deposited("10").await;
        let withdrawal = ada.withdraw("1").await.expect_status(201).text_at("/id");
        let transfer = ada.transfer(&bob.account, "4").await.expect_status(201).text_at("/id");
        clerk.set_status_of(&ada.account, "frozen").await;
        clerk.reverse(&deposit).await.expect_problem(409, "account_frozen");
        clerk.reverse(&withdrawal).await.expect_problem(409, "account_frozen");
        clerk.reverse(&transfer).await.expect_problem(409, "receiver_unavailable");
        clerk.set_status_of(&ada.account, "open").await;
        clerk.set_status_of(&bob.account, "frozen").await;
        clerk.reverse(&transfer).await.expect_problem(409, "account_frozen");
        clerk.set_status_of(&bob.account, "open").await;
        bob.withdraw("4").await.expect_status(201);
        bob.request(Method::DELETE, &format!("/accounts/{}", bob.account)).send().await.expect_status(204);
        clerk.reverse(&transfer).await.expect_problem(409, "account_closed");
        assert_eq!((ada.balance().await, ada.history().await.len()), ("5.00".to_owned(), 3));
    }

    async fn only_staff_reverse_and_only_what_there_is(bank: &TestBank) {
        let (clerk, auditor, ada) =
            (bank.employee("staff").await, bank.employee("auditor").await, bank.customer().await);
        let id = ada.deposited("10").await;
        for who in [&ada, &auditor] {
            who.reverse(&id).await.expect_problem(403, "role_required");
        }
        bank.post(&format!("/transactions/{id}/reverse"), json!({})).send().await.expect_problem(401, "missing_token");
        clerk.reverse(NOBODYS).await.expect_problem(404, "transaction_not_found");
        assert_eq!(clerk.reverse("x").await.expect_problem(422, "id_malformed").pointers(), ["{id}"]);
        assert_eq!(ada.balance().await, "10.00");
    }

    async fn each_reversal_is_on_record(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let (one, other) = (ada.deposited("10").await, ada.deposited("5").await);
        let first = clerk.reverse(&one).await.expect_status(201);
        clerk.reverse(&one).await.expect_problem(409, "already_reversed");
        clerk.order_reversal(&other, json!({})).send().await.expect_status(201);
        let records = on_record(bank).await;
        let detail = |amount: &str, why: &str| format!("withdrawal of {amount} USD from {}: {why}", ada.account);
        assert_eq!(records.len(), 2);
        for (record, subject, detail) in [
            (&records[1], &one, detail("10.00", "Booked twice")),
            (&records[0], &other, detail("5.00", &format!("Reversal of {other}"))),
        ] {
            assert_eq!((&record["subject"], &record["detail"]), (&json!(subject), &json!(detail)));
            assert_eq!(record["actor_id"], clerk.user_id().await);
        }
        assert_eq!(records[1]["request_id"].as_str(), first.header("x-request-id"));
    }

    async fn what_cannot_be_put_on_record_is_not_reversed(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let id = ada.deposited("10").await;
        bank.tamper(match bank.kind {
            Kind::Sqlite => {
                "create trigger no_reversals before insert on audit_log when new.action = 'movement_reversed'
                 begin select raise(abort, 'no room'); end"
            }
            Kind::Postgres => {
                "alter table audit_log add constraint no_reversals check (action <> 'movement_reversed') not valid"
            }
        })
        .await;
        clerk.reverse(&id).await.expect_problem(500, "internal_error");
        assert_eq!((ada.balance().await, clerk.movement(&id).await.get("reversed_by")), ("10.00".to_owned(), None));
    }

    async fn the_database_lets_nobody_change_what_is_reversed(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let id = ada.deposited("10").await;
        clerk.reverse(&id).await.expect_status(201);
        let mut forbidden = vec![
            "update reversals set reversal_id = transaction_id",
            "update reversals set transaction_id = reversal_id",
            "delete from reversals",
            "insert into reversals select transaction_id, reversal_id from reversals",
        ];
        forbidden.push(match bank.kind {
            Kind::Sqlite => "insert or replace into reversals select transaction_id, zeroblob(16) from reversals",
            Kind::Postgres => "truncate reversals",
        });
        for sql in forbidden {
            assert!(bank.try_to_tamper(sql).await.is_err(), "{sql} was let through");
        }
    }
}

mod large_ones {
    use super::*;

    bank_tests! {
        with ABOVE_1000;

        async fn wait_for_a_second_person(bank: &TestBank) {
            let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("admin").await, bank.customer().await);
            let (id, small) = (ada.deposited("5000").await, ada.deposited("1000").await);
            let ask = || clerk.order_reversal(&id, json!({"reason": "Wrong customer"})).header("idempotency-key", "k").send();
            let waiting = ask().await.expect_status(202);
            let approval = waiting.text_at("/id");
            assert_eq!(waiting.header("location"), Some(&*format!("/approvals/{approval}")));
            for (member, value) in [
                ("status", json!("pending_approval")),
                ("type", json!("withdrawal")),
                ("account_number", json!(ada.account)),
                ("amount", json!("5000.00")),
                ("description", json!("Wrong customer")),
                ("reverses", json!(id)),
            ] {
                assert_eq!(waiting.body[member], value, "{member}");
            }
            assert_eq!((ask().await.expect_status(202).body, on_record(bank).await), (waiting.body.clone(), vec![]));
            assert_eq!((ada.balance().await, clerk.movement(&id).await.get("reversed_by")), ("6000.00".to_owned(), None));
            clerk.decide_on(&approval, "approve").await.expect_problem(403, "own_approval");

            let approved = other.decide_on(&approval, "approve").await.expect_status(200);
            assert_eq!((approved.text_at("/reverses"), approved.text_at("/transaction_id")), (id.clone(), approval.clone()));
            assert_eq!((ada.balance().await, clerk.movement(&id).await["reversed_by"].clone()), ("1000.00".to_owned(), json!(approval)));
            assert_eq!(clerk.movement(&approval).await["reverses"], json!(id));
            assert_eq!(ask().await.expect_status(201).body, clerk.movement(&approval).await);
            clerk.reverse(&id).await.expect_problem(409, "already_reversed");
            clerk.reverse(&approval).await.expect_problem(409, "is_a_reversal");
            // What is not above the amount does not wait.
            clerk.reverse(&small).await.expect_status(201);
            assert_eq!(ada.balance().await, "0.00");
        }

        async fn are_on_record_at_each_step(bank: &TestBank) {
            let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
            let id = ada.deposited("5000").await;
            let approval = clerk.reverse(&id).await.expect_status(202).text_at("/id");
            other.decide_on(&approval, "approve").await.expect_status(200);
            let words = format!("withdrawal of 5000.00 USD from {}", ada.account);
            let auditor = bank.employee("auditor").await;
            for (action, actor, subject, detail) in [
                ("approval_requested", &clerk, &approval, format!("{words}, to reverse {id}")),
                ("approval_approved", &other, &approval, format!("{words}, to reverse {id}")),
                ("movement_reversed", &other, &id, format!("{words}: Booked twice")),
            ] {
                let records = auditor.get(&format!("/audit?action={action}")).send().await.expect_status(200);
                assert_eq!(records.body["data"].as_array().map(Vec::len), Some(1), "{action}");
                let record = &records.body["data"][0];
                assert_eq!((&record["subject"], &record["detail"]), (&json!(subject), &json!(detail)));
                assert_eq!(record["actor_id"], actor.user_id().await, "{action}");
            }
        }

        /// With their own money staff do alone what customers may; but customers may not reverse.
        async fn wait_on_an_own_account_too(bank: &TestBank) {
            let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
            for who in [&clerk, &ada] {
                let large = json!({"account_number": who.account, "amount": "6000"});
                let waiting = other.post("/deposit", large).send().await.expect_status(202).text_at("/id");
                bank.employee("staff").await.decide_on(&waiting, "approve").await.expect_status(200);
            }
            let withdrawal = clerk.withdraw("2000").await.expect_status(201).text_at("/id");
            let sent = clerk.transfer(&ada.account, "2000").await.expect_status(201).text_at("/id");
            let received = ada.transfer(&clerk.account, "2000").await.expect_status(201).text_at("/id");
            let mut waiting = Vec::new();
            for id in [&withdrawal, &sent, &received] {
                let approval = clerk.reverse(id).await.expect_status(202).text_at("/id");
                clerk.decide_on(&approval, "approve").await.expect_problem(403, "own_approval");
                waiting.push(approval);
            }
            assert_eq!((clerk.balance().await, ada.balance().await), ("4000.00".to_owned(), "6000.00".to_owned()));
            for approval in &waiting {
                other.decide_on(approval, "approve").await.expect_status(200);
            }
            assert_eq!((clerk.balance().await, ada.balance().await), ("6000.00".to_owned(), "6000.00".to_owned()));
            // With their own money, however little.
            let small = clerk.withdraw("0.01").await.expect_status(201).text_at("/id");
            clerk.reverse(&small).await.expect_status(202);
        }

        async fn asked_for_twice_are_booked_once(bank: &TestBank) {
            let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
            let third = bank.employee("admin").await;
            let (address, twin) = bank.twin_with(ABOVE_1000).await;
            for _ in 0..6 {
                ada.deposit("5000").await.expect_status(201);
                let before = ada.balance().await;
                let id = ada.deposited("2000").await;
                let approval = clerk.reverse(&id).await.expect_status(202).text_at("/id");
                other.reverse(&id).await.expect_problem(409, "reversal_pending");
                let answers = join_all((0..12).map(|i| {
                    let address = if i % 4 < 2 { bank.address } else { address };
                    let path = format!("/approvals/{approval}/approve");
                    bank.request_to(address, Method::POST, &path).bearer(&third.token).send()
                }))
                .await;
                assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
                assert_eq!(clerk.movement(&id).await["reversed_by"], json!(approval));
                other.reverse(&id).await.expect_problem(409, "already_reversed");
                assert_eq!(ada.balance().await, before);
            }
            twin.close().await;
        }

        async fn are_not_asked_for_when_they_could_not_be_booked(bank: &TestBank) {
            let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
            let id = ada.deposited("2000").await;
            ada.withdraw("0.01").await.expect_status(201);
            clerk.reverse(&id).await.expect_problem(409, "insufficient_funds");
            ada.deposit("0.01").await.expect_status(201);
            let approval = clerk.reverse(&id).await.expect_status(202).text_at("/id");
            // Once they wait, nobody takes the money away.
            ada.withdraw("2000").await.expect_problem(409, "insufficient_funds");
            other.decide_on(&approval, "reject").await.expect_status(200);
            ada.withdraw("2000").await.expect_status(201);
            // A rejected one does not count as done.
            ada.deposit("2000").await.expect_status(201);
            let approval = clerk.reverse(&id).await.expect_status(202).text_at("/id");
            other.decide_on(&approval, "approve").await.expect_status(200);
            assert_eq!(ada.balance().await, "0.00");
        }

        async fn stay_as_they_were_asked_for(bank: &TestBank) {
            let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
            let id = ada.deposited("2000").await;
            clerk.reverse(&id).await.expect_status(202);
            for sql in ["update approvals set reverses = null", "update approvals set reverses = id"] {
                assert!(bank.try_to_tamper(sql).await.is_err(), "{sql} was let through");
            }
        }
    }
}

mod without_self_service {
    use super::*;

    bank_tests! {
        with &["--self-service-deposits", "false"];

        /// It would be a deposit: the cash is gone, and the balance back.
        async fn nobody_takes_back_their_own_withdrawal(bank: &TestBank) {
            let (clerk, other) = (bank.employee("staff").await, bank.employee("staff").await);
            let body = json!({"account_number": clerk.account, "amount": "10"});
            other.post("/deposit", body).send().await.expect_status(201);
            let id = clerk.withdraw("10").await.expect_status(201).text_at("/id");
            clerk.reverse(&id).await.expect_problem(403, "deposits_by_staff_only");
            other.reverse(&id).await.expect_status(201);
            assert_eq!(clerk.balance().await, "10.00");
        }
    }
}

/// What a forger does with `{a}`, `{b}` and `{c}`, movements of which the second reverses the first, and what the doctor then
/// names.
const FORGERIES: [(&str, &str); 6] = [
    // Another amount, another direction, nothing there.
    ("update reversals set reversal_id = {c}", "a"),
    ("update reversals set transaction_id = {c}", "c"),
    ("update reversals set reversal_id = {nobodys}", "a"),
    ("update reversals set transaction_id = {nobodys}", "nobodys"),
    // Undoing two at once, and undone itself.
    ("insert into reversals (transaction_id, reversal_id) values ({c}, {b})", "c"),
    ("insert into reversals (transaction_id, reversal_id) values ({b}, {a})", "b"),
];

async fn the_doctor_compares_what_mirrors_what(kind: Kind) {
    for (sql, named) in FORGERIES {
        let bank = TestBank::open(kind).await;
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let a = ada.deposited("10").await;
        let b = clerk.reverse(&a).await.expect_status(201).text_at("/id");
        let c = ada.deposited("20").await;
        assert_eq!(bank.books_wrong().await, []);
        match kind {
            Kind::Sqlite => bank.tamper("drop trigger reversals_refuse_update").await,
            Kind::Postgres => bank.tamper("drop trigger reversals_refuse_change on reversals").await,
        }
        let ids = [("a", &*a), ("b", &*b), ("c", &*c), ("nobodys", NOBODYS)];
        let literal = |id: &str| match kind {
            Kind::Sqlite => format!("x'{}'", id.replace('-', "")),
            Kind::Postgres => format!("'{id}'"),
        };
        let forgery =
            ids.iter().fold(sql.to_owned(), |sql, (name, id)| sql.replace(&format!("{{{name}}}"), &literal(id)));
        bank.tamper(&forgery).await;
        let id = ids.iter().find(|(name, _)| *name == named).expect("one of them").1;
        let wrong = bank.books_wrong().await;
        let [(claim, rows)] = &wrong[..] else { panic!("{sql}: {wrong:?}") };
        assert_eq!(*claim, "every reversal mirrors the movement it names");
        assert!(rows.contains(&format!("transaction {id}")), "{sql}: {rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_compares_what_mirrors_what_on_sqlite() {
    the_doctor_compares_what_mirrors_what(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_compares_what_mirrors_what_on_postgres() {
    the_doctor_compares_what_mirrors_what(Kind::Postgres).await;
}

/// What was approved as a reversal is one, and nothing else is.
async fn the_doctor_compares_approvals_with_reversals(kind: Kind) {
    for sql in ["update approvals set reverses = null", "delete from reversals"] {
        let bank = TestBank::open_with(kind, ABOVE_1000).await;
        let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
        let id = ada.deposited("5000").await;
        let approval = clerk.reverse(&id).await.expect_status(202).text_at("/id");
        other.decide_on(&approval, "approve").await.expect_status(200);
        assert_eq!(bank.books_wrong().await, []);
        let triggers: &[_] = match kind {
            Kind::Sqlite => &["approvals_refuse_change", "approvals_refuse_second_decision", "reversals_refuse_delete"],
            Kind::Postgres => &[
                "approvals_refuse_change on approvals",
                "approvals_refuse_second_decision on approvals",
                "reversals_refuse_change on reversals",
            ],
        };
        for trigger in triggers {
            bank.tamper(&format!("drop trigger {trigger}")).await;
        }
        bank.tamper(sql).await;
        let expected = ("what was approved is booked, and nothing that was not", vec![format!("approval {approval}")]);
        assert_eq!(bank.books_wrong().await, [expected], "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_compares_approvals_with_reversals_on_sqlite() {
    the_doctor_compares_approvals_with_reversals(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_compares_approvals_with_reversals_on_postgres() {
    the_doctor_compares_approvals_with_reversals(Kind::Postgres).await;
}
