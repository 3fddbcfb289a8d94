//! Movements by staff above the configured amount wait for a second person.

use std::time::Duration;

use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};

use crate::databases::Kind;
use crate::harness::{Answer, Customer, Request, TestBank, bank_tests, eventually};

const ABOVE_1000: &[&str] = &["--approval-above", "1000"];
const NOBODY: &str = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88";

impl Customer<'_> {
    fn ask_for_deposit(&self, account: &str, amount: &str) -> Request {
        self.post("/deposit", json!({"account_number": account, "amount": amount, "description": "Large"}))
    }

    fn ask_for_withdrawal(&self, account: &str, amount: &str) -> Request {
        self.post("/withdraw", json!({"account_number": account, "amount": amount}))
    }

    /// A deposit that waits; returns its approval's id.
    async fn waiting_deposit(&self, account: &str) -> String {
        self.ask_for_deposit(account, "5000").send().await.expect_status(202).text_at("/id")
    }

    async fn decide(&self, id: &str, decision: &str) -> Answer {
        self.request(Method::POST, &format!("/approvals/{id}/{decision}")).send().await
    }

    async fn approve(&self, id: &str) -> Answer {
        self.decide(id, "approve").await
    }

    async fn reject(&self, id: &str) -> Answer {
        self.decide(id, "reject").await
    }

    async fn approval(&self, id: &str) -> Value {
        self.get(&format!("/approvals/{id}")).send().await.expect_status(200).body
    }

    async fn approvals(&self, query: &str) -> Answer {
        self.get(&format!("/approvals?{query}")).send().await.expect_status(200)
    }

    async fn who(&self) -> String {
        self.get("/me").send().await.expect_status(200).text_at("/id")
    }
}

/// The ids of a page.
fn ids(page: &Answer) -> Vec<&str> {
    page.body["data"].as_array().expect("a list").iter().filter_map(|approval| approval["id"].as_str()).collect()
}

bank_tests! {
    with ABOVE_1000;

    /// Of any kind. The count is asked for every few seconds, and says nothing about anybody: it leaves no record.
    async fn what_waits_is_counted_without_a_record(bank: &TestBank) {
        let (ada, clerk, auditor) =
            (bank.customer().await, bank.employee("staff").await, bank.employee("auditor").await);
        let (admin, checker) = (bank.employee("admin").await, bank.employee("staff").await);
        let waiting = async |who: &Customer<'_>| who.get("/approvals/count").send().await.expect_status(200).body;
        assert_eq!(waiting(&clerk).await, json!({"waiting": 0}));
        let expired = clerk.waiting_deposit(&ada.account).await;
        bank.tamper_with_approvals("update approvals set expires_at = 1").await;
        assert_eq!(waiting(&clerk).await, json!({"waiting": 0}), "{expired} has expired");
        let rejected = clerk.waiting_deposit(&ada.account).await;
        let approved = clerk.waiting_deposit(&ada.account).await;
        let limits = json!({"overdraft": "5000"});
        let limits = clerk.request(Method::PUT, &format!("/accounts/{}/limits", ada.account)).json(limits);
        limits.send().await.expect_status(202);
        let role =
            admin.request(Method::PUT, &format!("/users/{}/role", ada.who().await)).json(json!({"role": "staff"}));
        role.send().await.expect_status(202);
        assert_eq!(waiting(&auditor).await, json!({"waiting": 4}));
        checker.reject(&rejected).await.expect_status(200);
        checker.approve(&approved).await.expect_status(200);
        assert_eq!(waiting(&admin).await, json!({"waiting": 2}));
        ada.get("/approvals/count").send().await.expect_problem(403, "role_required");

        // What is looked at after it is on record, and the count is not.
        clerk.approvals("").await;
        let listed = async || auditor.get("/audit?action=approvals_listed").send().await.expect_status(200);
        eventually("the list is on record", async || {
            !listed().await.body["data"].as_array().expect("a list").is_empty()
        })
        .await;
        let looks = auditor.get("/audit?action=record_viewed").send().await.expect_status(200);
        assert_eq!(looks.body["data"], json!([]));
    }

    async fn each_type_of_movement_waits_until_somebody_else_approves(bank: &TestBank) {
        let (clerk, admin) = (bank.employee("staff").await, bank.employee("admin").await);
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("9000").await.expect_status(201);
        let transfer =
            json!({"from_account": ada.account, "to_account": bob.account, "amount": "2000", "currency": "USD"});
        for (movement, request, members, after) in [
            (
                "deposit",
                clerk.ask_for_deposit(&ada.account, "1500.50"),
                json!({"account_number": ada.account}),
                "10500.50",
            ),
            (
                "withdrawal",
                clerk.ask_for_withdrawal(&ada.account, "1500.5"),
                json!({"account_number": ada.account}),
                "9000.00",
            ),
            (
                "transfer",
                clerk.post("/transfer", transfer),
                json!({"from_account": ada.account, "to_account": bob.account}),
                "7000.00",
            ),
        ] {
            let before = ada.balance().await;
            let waiting = request.send().await.expect_status(202);
            let id = waiting.text_at("/id");
            assert_eq!(waiting.header("location"), Some(&*format!("/approvals/{id}")));
            assert_eq!(
                (waiting.text_at("/status"), waiting.text_at("/type")),
                ("pending_approval".to_owned(), movement.to_owned())
            );
            assert_eq!(waiting.body["account_number"], json!(ada.account));
            assert_eq!(waiting.body["counterparty"], members.get("to_account").cloned().unwrap_or(Value::Null));
            for posted in ["balance", "sequence", "hash"] {
                assert!(waiting.body[posted].is_null(), "{posted}: {}", waiting.body);
            }
            assert_eq!(ada.balance().await, before);
            ada.get(&format!("/transactions/{id}")).send().await.expect_problem(404, "transaction_not_found");
            assert_eq!(clerk.movement(&id).await, waiting.body);
            let approval = clerk.approval(&id).await;
            for (member, value) in members.as_object().expect("an object") {
                assert_eq!(&approval[member], value);
            }
            assert_eq!(
                approval.as_object().map(|body| body.contains_key("account_number")),
                Some(movement != "transfer")
            );
            assert_eq!(approval["requested_by"], json!(clerk.who().await));
            for open in ["decided_by", "decided_at", "transaction_id"] {
                assert!(approval[open].is_null(), "{open}: {approval}");
            }
            assert_eq!(ids(&admin.approvals("status=pending").await), vec![&*id]);

            let approved = admin.approve(&id).await.expect_status(200);
            assert_eq!(
                (approved.text_at("/status"), approved.text_at("/decided_by")),
                ("approved".to_owned(), admin.who().await)
            );
            assert!(approved.text_at("/decided_at") > approved.text_at("/requested_at"));
            assert_eq!(ada.balance().await, after);
            let path = format!("/transactions/{}", approved.text_at("/transaction_id"));
            let entry = ada.get(&path).send().await.expect_status(200);
            for member in
                ["id", "type", "amount", "currency", "description", "account_number", "counterparty", "direction"]
            {
                assert_eq!(entry.body[member], waiting.body[member], "{member}");
            }
            assert_eq!(entry.text_at("/status"), "posted");
            // Only what waits has an end.
            let members = |answer: &Answer| {
                let names =
                    answer.body.as_object().expect("an object").keys().filter(|name| *name != "expires_at").cloned();
                names.collect::<Vec<_>>()
            };
            assert_eq!(members(&waiting), members(&entry));
            assert_eq!(clerk.approval(&id).await, approved.body);
        }
        assert_eq!(bob.balance().await, "2000.00");
        assert_eq!(ids(&admin.approvals("status=approved").await).len(), 3);
    }

    async fn what_is_not_above_the_amount_is_booked_at_once(bank: &TestBank) {
        let (clerk, other) = (bank.employee("staff").await, bank.employee("staff").await);
        for (currency, at, above) in
            [("USD", "1000.00", "1000.01"), ("JPY", "1000", "1001"), ("KWD", "1000.000", "1000.001")]
        {
            let ada = bank.customer_in(currency).await;
            clerk.ask_for_deposit(&ada.account, at).send().await.expect_status(201);
            let waiting = clerk.ask_for_deposit(&ada.account, above).send().await.expect_status(202);
            assert_eq!(
                (waiting.text_at("/amount"), waiting.text_at("/currency")),
                (above.to_owned(), currency.to_owned())
            );
            assert_eq!(ada.balance().await, at);
            other.ask_for_withdrawal(&ada.account, at).send().await.expect_status(201);
            bank.employee("staff").await.approve(&waiting.text_at("/id")).await.expect_status(200);
            assert_eq!(ada.balance().await, above);
        }
    }

    async fn customers_and_own_money_need_nobody_else(bank: &TestBank) {
        let (ada, clerk, admin) = (bank.customer().await, bank.employee("staff").await, bank.employee("admin").await);
        ada.deposit("5000").await.expect_status(201);
        ada.transfer(&clerk.account, "4000").await.expect_status(201);
        clerk.withdraw("1500").await.expect_status(201);
        clerk.transfer(&ada.account, "1500").await.expect_status(201);
        // Deposits count, which bring money from nowhere; so do transfers of somebody else's money to oneself.
        for employee in [&clerk, &admin] {
            let own = employee.deposit("5000").await.expect_status(202);
            employee.approve(&own.text_at("/id")).await.expect_problem(403, "own_approval");
        }
        let take = json!({"from_account": ada.account, "to_account": clerk.account, "amount": "1001"});
        clerk.post("/transfer", take).send().await.expect_status(202);
        assert_eq!((clerk.balance().await, admin.balance().await), ("1000.00".to_owned(), "0.00".to_owned()));
    }

    async fn nobody_approves_what_they_asked_for_but_may_take_it_back(bank: &TestBank) {
        let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
        let id = clerk.waiting_deposit(&ada.account).await;
        clerk.approve(&id).await.expect_problem(403, "own_approval");
        assert_eq!(clerk.approval(&id).await["status"], "pending");
        let withdrawn = clerk.reject(&id).await.expect_status(200);
        assert_eq!(
            (withdrawn.text_at("/status"), withdrawn.text_at("/decided_by")),
            ("rejected".to_owned(), clerk.who().await)
        );
        assert!(withdrawn.body["transaction_id"].is_null());
        for decision in ["approve", "reject"] {
            other.decide(&id, decision).await.expect_problem(409, "approval_not_pending");
        }
        assert_eq!(ada.balance().await, "0.00");
    }

    async fn many_who_approve_at_once_book_once(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let (one, two) = (bank.employee("staff").await, bank.employee("admin").await);
        let (address, twin) = bank.twin_with(ABOVE_1000).await;
        for round in 1..=8 {
            let id = clerk.waiting_deposit(&ada.account).await;
            let path = format!("/approvals/{id}/approve");
            let answers = join_all((0..12).map(|i| {
                let approver = if i % 2 == 0 { &one } else { &two };
                let address = if i % 3 == 0 { address } else { bank.address };
                bank.request_to(address, Method::POST, &path).bearer(&approver.token).send()
            }))
            .await;
            let (approved, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
            assert_eq!(approved.len(), 1, "{others:?}");
            others.into_iter().for_each(|other| drop(other.expect_problem(409, "approval_not_pending")));
            assert_eq!(ada.balance().await, format!("{}.00", 5_000 * round));
            assert_eq!(one.approval(&id).await, approved[0].body);
        }
        twin.close().await;
    }

    async fn what_is_rejected_in_a_race_has_moved_nothing(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let (one, two) = (bank.employee("staff").await, bank.employee("staff").await);
        let (mut approvals, mut rejections) = (0, 0);
        for round in 0..60u64 {
            let id = clerk.waiting_deposit(&ada.account).await;
            // From a rejection long before the approval, over all that is between, to one when the money has moved.
            let head_start =
                |of_reject: u64, of_approve: u64| Duration::from_millis(3 * of_reject.saturating_sub(of_approve));
            let approve = async {
                tokio::time::sleep(head_start(round % 20, 10)).await;
                one.approve(&id).await
            };
            let reject = async {
                tokio::time::sleep(head_start(10, round % 20)).await;
                two.reject(&id).await
            };
            let (approved, rejected) = join(approve, reject).await;
            let was_approved = approved.status == 200;
            let (winner, loser) = if was_approved { (approved, rejected) } else { (rejected, approved) };
            loser.expect_problem(409, "approval_not_pending");
            assert_eq!(winner.expect_status(200).body, one.approval(&id).await);
            assert_eq!(one.movement(&id).await["status"], if was_approved { "posted" } else { "rejected" });
            *(if was_approved { &mut approvals } else { &mut rejections }) += 1;
        }
        assert!(approvals > 0 && rejections > 0, "{approvals} approved, {rejections} rejected: no race");
        assert_eq!(ada.balance().await, format!("{}.00", 5_000 * approvals));
    }

    async fn a_key_stands_for_the_approval_and_moves_money_once(bank: &TestBank) {
        let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
        let ask = |amount: &str| clerk.ask_for_deposit(&ada.account, amount).header("idempotency-key", "k").send();
        let first = ask("5000").await.expect_status(202);
        assert_eq!(first.header("idempotent-replayed"), None);
        let id = first.text_at("/id");
        for amount in ["5000", "5000.00"] {
            let again = ask(amount).await.expect_status(202);
            assert_eq!((again.header("idempotent-replayed"), &again.body), (Some("true"), &first.body));
            assert_eq!(again.header("location"), first.header("location"));
        }
        // Neither another large one, nor one that needs nobody else.
        for amount in ["6000", "1"] {
            ask(amount).await.expect_problem(422, "idempotency_key_reused");
        }
        let withdrawal = clerk.ask_for_withdrawal(&ada.account, "5000").header("idempotency-key", "k");
        withdrawal.send().await.expect_problem(422, "idempotency_key_reused");
        // The same holds in a bank without an approval amount.
        let (address, twin) = bank.twin().await;
        let body = json!({"account_number": ada.account, "amount": "5000", "description": "Large"});
        let there = bank.request_to(address, Method::POST, "/deposit").bearer(&clerk.token).json(body);
        let there = there.header("idempotency-key", "k").send().await.expect_status(202);
        assert_eq!(there.body, first.body);
        twin.close().await;

        other.approve(&id).await.expect_status(200);
        let again = ask("5000").await.expect_status(201);
        assert_eq!((again.header("idempotent-replayed"), &again.body), (Some("true"), &clerk.movement(&id).await));
        assert_eq!((again.text_at("/id"), again.text_at("/balance")), (id.clone(), "5000.00".to_owned()));
        assert_eq!(again.header("location"), Some(&*format!("/transactions/{id}")));
        ask("1").await.expect_problem(422, "idempotency_key_reused");
        assert_eq!((ada.balance().await, ids(&clerk.approvals("").await)), ("5000.00".to_owned(), vec![&*id]));
    }

    async fn a_rejected_request_is_not_asked_again_by_its_key(bank: &TestBank) {
        let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
        let ask = |key| clerk.ask_for_deposit(&ada.account, "5000").header("idempotency-key", key).send();
        let id = ask("k").await.expect_status(202).text_at("/id");
        other.reject(&id).await.expect_status(200);
        let again = ask("k").await.expect_status(202);
        assert_eq!((again.text_at("/id"), again.text_at("/status")), (id.clone(), "rejected".to_owned()));
        assert_eq!(clerk.movement(&id).await, again.body);
        assert_ne!(ask("another").await.expect_status(202).text_at("/id"), id);
    }

    async fn one_key_fired_often_at_once_asks_once(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let ask =
            |amount: &'static str| clerk.ask_for_deposit(&ada.account, amount).header("idempotency-key", "k").send();
        let answers = join_all((0..20).map(|_| ask("5000"))).await;
        for answer in &answers {
            assert_eq!((answer.status.as_u16(), &answer.body), (202, &answers[0].body));
        }
        assert_eq!(answers.iter().filter(|answer| answer.header("idempotent-replayed").is_none()).count(), 1);
        assert_eq!(ids(&clerk.approvals("").await).len(), 1);
    }

    async fn one_key_at_once_for_what_waits_and_what_does_not_does_one_of_them(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        for round in 0..10 {
            let key = format!("k{round}");
            let before = ada.balance().await;
            let asked = ids(&clerk.approvals("").await).len();
            let ask = |amount: &'static str| {
                clerk.ask_for_deposit(&ada.account, amount).header("idempotency-key", &key).send()
            };
            let (large, small) = join(ask("5000"), ask("1")).await;
            let booked = ada.balance().await != before;
            let waits = ids(&clerk.approvals("").await).len() > asked;
            assert!(booked != waits, "{large:?} {small:?}");
            let refused = if booked { large } else { small };
            refused.expect_problem(422, "idempotency_key_reused");
        }
    }

    async fn what_the_books_refuse_now_goes_on_waiting(bank: &TestBank) {
        let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
        // A command that could not be booked anyway does not wait for an approver.
        clerk.ask_for_withdrawal(&ada.account, "2000").send().await.expect_problem(409, "insufficient_funds");
        clerk.ask_for_withdrawal("10000000000180", "2000").send().await.expect_problem(404, "account_not_found");
        ada.deposit("2000").await.expect_status(201);
        let id = clerk.ask_for_withdrawal(&ada.account, "2000").send().await.expect_status(202).text_at("/id");
        // Nobody takes the money meanwhile.
        ada.withdraw("0.01").await.expect_problem(409, "insufficient_funds");
        let freeze = async |status: &str| {
            let path = format!("/accounts/{}/status", ada.account);
            other.request(Method::PUT, &path).json(json!({"status": status})).send().await.expect_status(200);
        };
        freeze("frozen").await;
        other.approve(&id).await.expect_problem(409, "account_frozen");
        freeze("open").await;
        assert_eq!(other.approval(&id).await["status"], "pending");
        other.approve(&id).await.expect_status(200);
        assert_eq!(ada.balance().await, "0.00");
    }

    async fn a_batch_takes_nothing_that_must_wait(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let item = |amount: &str| json!({"type": "deposit", "account_number": ada.account, "amount": amount});
        let send = |atomic: bool| {
            let body = json!({"atomic": atomic, "transactions": [item("1"), item("999.01"), item("0.01")]});
            clerk.post("/transactions/batch", body).send()
        };
        // It counts as its sum.
        let loose = send(false).await.expect_status(200);
        assert_eq!((&loose.body["booked"], &loose.body["refused"]), (&json!(0), &json!(3)));
        for item in 0..3 {
            assert_eq!(loose.text_at(&format!("/data/{item}/problem/code")), "approval_required");
            let detail = loose.text_at(&format!("/data/{item}/problem/detail"));
            assert!(detail.contains("1000.02 USD") && detail.contains("by itself"), "{detail}");
        }
        let atomic = send(true).await.expect_problem(409, "batch_refused");
        assert_eq!(atomic.pointers(), ["/transactions/0", "/transactions/1", "/transactions/2"]);
        assert_eq!(ada.balance().await, "0.00");
        assert_eq!(ids(&clerk.approvals("").await).len(), 0);
        let own = json!({"transactions": [{"type": "deposit", "account_number": ada.account, "amount": "5000"}]});
        assert_eq!(ada.post("/transactions/batch", own).send().await.expect_status(200).body["booked"], 1);
    }

    async fn only_staff_decide_and_auditors_look(bank: &TestBank) {
        let (clerk, ada, auditor) =
            (bank.employee("staff").await, bank.customer().await, bank.employee("auditor").await);
        let id = clerk.waiting_deposit(&ada.account).await;
        assert_eq!(
            (auditor.approval(&id).await["status"].clone(), ids(&auditor.approvals("").await)),
            (json!("pending"), vec![&*id])
        );
        for (who, decision) in [(&auditor, "approve"), (&auditor, "reject"), (&ada, "approve"), (&ada, "reject")] {
            who.decide(&id, decision).await.expect_problem(403, "role_required");
        }
        for path in ["/approvals".to_owned(), format!("/approvals/{id}")] {
            ada.get(&path).send().await.expect_problem(403, "role_required");
        }
        for (path, pointer, code) in [
            ("/approvals?status=booked", "?status", "unknown_value"),
            ("/approvals?limit=201", "?limit", "limit_out_of_range"),
            ("/approvals?cursor=x", "?cursor", "cursor_invalid"),
            ("/approvals/x", "{id}", "id_malformed"),
        ] {
            assert_eq!(auditor.get(path).send().await.expect_problem(422, code).pointers(), [pointer]);
        }
        auditor.get(&format!("/approvals/{NOBODY}")).send().await.expect_problem(404, "approval_not_found");
        for decision in ["approve", "reject"] {
            clerk.decide(NOBODY, decision).await.expect_problem(404, "approval_not_found");
        }
    }

    async fn both_people_must_still_be_staff(bank: &TestBank) {
        let (admin, second, ada) = (bank.employee("admin").await, bank.employee("admin").await, bank.customer().await);
        let (clerk, other) = (bank.employee("staff").await, bank.employee("staff").await);
        let put = async |who: &Customer<'_>, what: &str, value: &str| {
            let path = format!("/users/{}/{what}", who.who().await);
            let answer = admin.request(Method::PUT, &path).json(json!({what: value})).send().await;
            match what {
                "role" => {
                    drop(second.approve(&answer.expect_status(202).text_at("/approval_id")).await.expect_status(200))
                }
                _ => drop(answer.expect_status(200)),
            }
        };
        let id = clerk.waiting_deposit(&ada.account).await;
        put(&clerk, "role", "customer").await;
        other.approve(&id).await.expect_problem(409, "requester_not_staff");
        put(&clerk, "role", "staff").await;
        put(&clerk, "status", "frozen").await;
        other.approve(&id).await.expect_problem(409, "requester_not_staff");
        put(&clerk, "status", "active").await;
        put(&other, "role", "customer").await;
        other.approve(&id).await.expect_problem(403, "role_required");
        put(&other, "role", "staff").await;
        put(&other, "status", "frozen").await;
        other.approve(&id).await.expect_problem(403, "user_frozen");
        assert_eq!((ada.balance().await, &admin.approval(&id).await["status"]), ("0.00".to_owned(), &json!("pending")));
        admin.approve(&id).await.expect_status(200);
        assert_eq!(ada.balance().await, "5000.00");
    }

    async fn what_nobody_decides_in_time_expires(bank: &TestBank) {
        let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
        let id = clerk.waiting_deposit(&ada.account).await;
        let fresh = clerk.waiting_deposit(&ada.account).await;
        let waiting = clerk.approval(&id).await;
        let moment = |member: &str| {
            let text = waiting[member].as_str().expect("a moment");
            text.parse::<coffer_core::timestamp::Timestamp>().expect("a moment").as_micros()
        };
        assert_eq!(moment("expires_at") - moment("requested_at"), 7 * 24 * 3_600 * 1_000_000);
        // Ids of this second begin alike: the older one is the one that comes first.
        bank.tamper_with_approvals(
            "update approvals set expires_at = requested_at where id = (select id from approvals order by id limit 1)",
        )
        .await;
        assert_eq!(other.approval(&id).await["status"], "expired");
        for decision in ["approve", "reject"] {
            other.decide(&id, decision).await.expect_problem(409, "approval_not_pending");
        }
        assert_eq!(ids(&other.approvals("status=expired").await), [&*id]);
        assert_eq!(ids(&other.approvals("status=pending").await), [&*fresh]);
        assert_eq!(ada.balance().await, "0.00");
    }

    async fn lists_page_backwards(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let mut asked = Vec::new();
        for _ in 0..5 {
            asked.insert(0, clerk.waiting_deposit(&ada.account).await);
        }
        clerk.reject(&asked[2]).await.expect_status(200);
        let mut paged = Vec::new();
        let mut query = "status=pending&limit=3".to_owned();
        loop {
            let page = clerk.approvals(&query).await;
            paged.extend(ids(&page).into_iter().map(str::to_owned));
            assert_eq!(page.body["has_more"], page.body["next_cursor"].is_string());
            match page.body["next_cursor"].as_str() {
                Some(cursor) => query = format!("status=pending&limit=3&cursor={cursor}"),
                None => break,
            }
        }
        asked.remove(2);
        assert_eq!(paged, asked);
    }

    async fn every_step_is_on_record(bank: &TestBank) {
        let (clerk, other, auditor) =
            (bank.employee("staff").await, bank.employee("staff").await, bank.employee("auditor").await);
        let ada = bank.customer().await;
        let (granted, refused) = (clerk.waiting_deposit(&ada.account).await, clerk.waiting_deposit(&ada.account).await);
        other.approve(&granted).await.expect_status(200);
        other.reject(&refused).await.expect_status(200);
        let words = format!("deposit of 5000.00 USD to {}", ada.account);
        for (action, actor, subjects) in [
            ("approval_requested", &clerk, vec![&refused, &granted]),
            ("approval_approved", &other, vec![&granted]),
            ("approval_rejected", &other, vec![&refused]),
        ] {
            let path = format!("/audit?action={action}&actor_id={}", actor.who().await);
            let records = auditor.get(&path).send().await.expect_status(200);
            let records = records.body["data"].as_array().expect("a list").clone();
            assert_eq!(records.iter().map(|record| &record["subject"]).collect::<Vec<_>>(), subjects, "{action}");
            assert!(records.iter().all(|record| record["detail"] == words), "{records:?}");
        }
    }

    async fn what_cannot_be_put_on_record_does_not_happen(bank: &TestBank) {
        let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
        let id = clerk.waiting_deposit(&ada.account).await;
        for action in ["approval_requested", "approval_approved"] {
            bank.tamper(&match bank.kind {
                Kind::Sqlite => format!(
                    "create trigger no_{action} before insert on audit_log when new.action = '{action}'
                     begin select raise(abort, 'no room'); end"
                ),
                Kind::Postgres => {
                    format!("alter table audit_log add constraint no_{action} check (action <> '{action}') not valid")
                }
            })
            .await;
        }
        clerk
            .ask_for_deposit(&ada.account, "5000")
            .header("idempotency-key", "k")
            .send()
            .await
            .expect_problem(500, "internal_error");
        other.approve(&id).await.expect_problem(500, "internal_error");
        assert_eq!(
            (ids(&clerk.approvals("").await), &clerk.approval(&id).await["status"]),
            (vec![&*id], &json!("pending"))
        );
        assert_eq!(ada.balance().await, "0.00");
        // Others do not suffer, and the key is still free.
        clerk.ask_for_deposit(&ada.account, "1").header("idempotency-key", "k").send().await.expect_status(201);
    }

    async fn who_was_demoted_on_another_instance_a_moment_ago_approves_nothing(bank: &TestBank) {
        let (admin, clerk, other) =
            (bank.employee("admin").await, bank.employee("staff").await, bank.employee("staff").await);
        let (ada, path) = (bank.customer().await, format!("/users/{}/role", other.who().await));
        let id = clerk.waiting_deposit(&ada.account).await;
        let (address, twin) = bank.twin_with(ABOVE_1000).await;
        let there = |path: &str, method| bank.request_to(address, method, path).bearer(&other.token).send();
        there("/approvals", Method::GET).await.expect_status(200);
        let change =
            admin.request(Method::PUT, &path).json(json!({"role": "customer"})).send().await.expect_status(202);
        bank.employee("admin").await.approve(&change.text_at("/approval_id")).await.expect_status(200);
        there(&format!("/approvals/{id}/approve"), Method::POST).await.expect_problem(403, "role_required");
        assert_eq!(ada.balance().await, "0.00");
        twin.close().await;
    }

    async fn the_database_lets_nobody_change_what_was_asked_for_or_decided(bank: &TestBank) {
        let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
        let (decided, _pending) =
            (clerk.waiting_deposit(&ada.account).await, clerk.waiting_deposit(&ada.account).await);
        other.reject(&decided).await.expect_status(200);
        for sql in [
            "update approvals set amount = amount + 1 where status = 'pending'",
            "update approvals set requested_by = id where status = 'pending'",
            "update approvals set status = 'approved', decided_by = requested_by, decided_at = 1 where status = 'pending'",
            "update approvals set status = 'pending', decided_by = null, decided_at = null where status = 'rejected'",
            "delete from approvals",
        ] {
            assert!(bank.try_to_tamper(sql).await.is_err(), "{sql} was let through");
        }
    }
}

/// What a forger does to one approval that is approved and one that waits, and which of the two the doctor then names.
const FORGERIES: [(&str, &str); 6] = [
    ("update approvals set amount = amount - 1 where status = 'approved'", "approved"),
    ("update approvals set to_account = to_account + 1 where status = 'approved'", "approved"),
    ("update approvals set requested_by = decided_by where status = 'approved'", "approved"),
    (
        "update approvals set status = 'pending', decided_by = null, decided_at = null where status = 'approved'",
        "approved",
    ),
    ("update approvals set status = 'rejected' where status = 'approved'", "approved"),
    (
        "update approvals set status = 'approved', decided_at = 1,
                decided_by = (select decided_by from approvals where status = 'approved') where status = 'pending'",
        "waiting",
    ),
];

async fn the_doctor_compares_with_the_journal(kind: Kind) {
    for (sql, named) in FORGERIES {
        let bank = TestBank::open_with(kind, ABOVE_1000).await;
        let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
        let (approved, waiting) =
            (clerk.waiting_deposit(&ada.account).await, clerk.waiting_deposit(&ada.account).await);
        other.approve(&approved).await.expect_status(200);
        assert_eq!(bank.books_wrong().await, []);
        for trigger in ["approvals_refuse_change", "approvals_refuse_second_decision"] {
            let of_table = if kind == Kind::Postgres { " on approvals" } else { "" };
            bank.tamper(&format!("drop trigger {trigger}{of_table}")).await;
        }
        if kind == Kind::Postgres {
            bank.tamper("alter table approvals drop constraint approvals_check2").await;
        }
        bank.tamper(sql).await;
        let id = if named == "approved" { approved } else { waiting };
        let expected = ("what was approved is booked, and nothing that was not", vec![format!("approval {id}")]);
        assert_eq!(bank.books_wrong().await, [expected], "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_compares_with_the_journal_on_sqlite() {
    the_doctor_compares_with_the_journal(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_compares_with_the_journal_on_postgres() {
    the_doctor_compares_with_the_journal(Kind::Postgres).await;
}

mod by_default_nothing_waits {
    use super::*;

    bank_tests! {
        async fn off(bank: &TestBank) {
            let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
            clerk.ask_for_deposit(&ada.account, "1000000000").send().await.expect_status(201);
            clerk.ask_for_withdrawal(&ada.account, "1000000000").send().await.expect_status(201);
            clerk.deposit("1000000000").await.expect_status(201);
            assert_eq!(ids(&clerk.approvals("").await).len(), 0);
        }

        async fn what_waits_is_decided_even_when_it_is_switched_off(bank: &TestBank) {
            let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
            let (address, twin) = bank.twin_with(&["--approval-above", "0"]).await;
            let body = json!({"account_number": ada.account, "amount": "0.01"});
            let ask = bank.request_to(address, Method::POST, "/deposit").bearer(&clerk.token).json(body);
            let id = ask.send().await.expect_status(202).text_at("/id");
            twin.close().await;
            other.approve(&id).await.expect_status(200);
            assert_eq!(ada.balance().await, "0.01");
        }
    }
}
