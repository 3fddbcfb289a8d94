//! What one person at the bank may not do alone: move their own money by their role, split a movement that needs
//! approval, give roles, and take the role of the last admin.

use coffer_core::db::Tx;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::databases::Kind;
use crate::harness::{Answer, Customer, PASSWORD, bank_tests, eventually};

const ABOVE_1000: &[&str] = &["--approval-above", "1000"];

impl Customer<'_> {
    pub async fn my_id(&self) -> String {
        self.get("/me").send().await.expect_status(200).text_at("/id")
    }

    async fn move_between(&self, from: &str, to: &str, amount: &str) -> Answer {
        self.post("/transfer", json!({"from_account": from, "to_account": to, "amount": amount})).send().await
    }

    async fn deposit_to(&self, account: &str, amount: &str) -> Answer {
        self.post("/deposit", json!({"account_number": account, "amount": amount})).send().await
    }

    async fn withdraw_from(&self, account: &str, amount: &str) -> Answer {
        self.post("/withdraw", json!({"account_number": account, "amount": amount})).send().await
    }

    async fn undo(&self, transaction: &str) -> Answer {
        self.post(&format!("/transactions/{transaction}/reverse"), json!({"reason": "Mistake"})).send().await
    }

    async fn decides(&self, approval: &str, decision: &str) -> Answer {
        self.request(Method::POST, &format!("/approvals/{approval}/{decision}")).send().await
    }

    async fn gives_role(&self, user_id: &str, role: &str) -> Answer {
        self.request(Method::PUT, &format!("/users/{user_id}/role")).json(json!({"role": role})).send().await
    }

    async fn sets_status(&self, path: &str, status: &str) -> Answer {
        self.request(Method::PUT, &format!("{path}/status")).json(json!({"status": status})).send().await
    }

    async fn account_of(&self, number: &str) -> Value {
        self.get(&format!("/accounts/{number}")).send().await.expect_status(200).body
    }

    async fn role_of(&self, user_id: &str) -> String {
        self.get(&format!("/users/{user_id}")).send().await.expect_status(200).text_at("/role")
    }
}

/// Items of one batch.
fn transfers(count: usize, from: &str, to: &str, amount: &str) -> Vec<Value> {
    vec![json!({"type": "transfer", "from_account": from, "to_account": to, "amount": amount}); count]
}

bank_tests! {
    with ABOVE_1000;

    /// An approval to set a customer's password says nothing about the admin that they have become.
    async fn an_approved_password_reset_ends_with_another_role(bank: &TestBank) {
        let (first, second, ada) = (bank.employee("admin").await, bank.employee("admin").await, bank.customer().await);
        let id = ada.my_id().await;
        let ask = async || first.request(Method::POST, &format!("/users/{id}/password_reset")).send().await;
        let waiting = ask().await.expect_status(202).text_at("/approval_id");
        second.decides(&waiting, "approve").await.expect_status(200);
        let change = first.gives_role(&id, "admin").await.expect_status(202).text_at("/approval_id");
        second.decides(&change, "approve").await.expect_status(200);
        let waiting = ask().await.expect_status(202).text_at("/approval_id");
        second.decides(&waiting, "approve").await.expect_status(200);
        ask().await.expect_status(200);
    }

    async fn whatever_waits_for_approval_is_told_to_those_who_listen(bank: &TestBank) {
        let (first, second, ada) = (bank.employee("admin").await, bank.employee("admin").await, bank.customer().await);
        let page = first.get("/events").send().await.expect_status(200);
        assert_eq!(page.body["data"], json!([]));
        let id = ada.my_id().await;
        let change = first.gives_role(&id, "auditor").await.expect_status(202).text_at("/approval_id");
        second.decides(&change, "approve").await.expect_status(200);
        let limits = format!("/accounts/{}/limits", ada.account);
        let overdraft = first.request(Method::PUT, &limits).json(json!({"overdraft": "5000"})).send().await;
        let overdraft = overdraft.expect_status(202).text_at("/approval_id");
        second.decides(&overdraft, "reject").await.expect_status(200);
        let told = first.get("/events?type=approval.requested,approval.approved,approval.rejected").send().await;
        let told: Vec<_> = told.expect_status(200).body["data"].as_array().expect("a list").clone();
        let told: Vec<_> = told.iter().map(|it| (&it["type"], &it["approval"]["id"], &it["approval"]["type"])).collect();
        let (change, overdraft) = (json!(change), json!(overdraft));
        let (requested, role, limit) = (json!("approval.requested"), json!("role_change"), json!("limit_change"));
        assert_eq!(
            told,
            [
                (&requested, &change, &role),
                (&json!("approval.approved"), &change, &role),
                (&requested, &overdraft, &limit),
                (&json!("approval.rejected"), &overdraft, &limit),
            ]
        );
    }

    async fn what_staff_request_by_their_role_for_themselves_waits_whatever_the_amount(bank: &TestBank) {
        let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
        ada.deposit("500").await.expect_status(201);
        // To their own account, from it for a customer's mistake, and back again.
        let taken = clerk.move_between(&ada.account, &clerk.account, "0.01").await.expect_status(202);
        ada.transfer(&clerk.account, "10").await.expect_status(201);
        let gift = ada.transfer(&clerk.account, "20").await.expect_status(201).text_at("/id");
        let undone = clerk.undo(&gift).await.expect_status(202);
        clerk.withdraw("5").await.expect_status(201);
        let own_withdrawal =
            clerk.get(&format!("/transactions?account_number={}", clerk.account)).send().await.text_at("/data/0/id");
        clerk.undo(&own_withdrawal).await.expect_status(202);
        // In a batch nothing can wait.
        for atomic in [true, false] {
            let body = json!({"atomic": atomic, "transactions": transfers(2, &ada.account, &clerk.account, "0.01")});
            let answer = clerk.post("/transactions/batch", body).send().await;
            let codes =
                if atomic { &answer.body["errors"][0]["code"] } else { &answer.body["data"][0]["problem"]["code"] };
            assert_eq!(codes, "approval_required", "{}", answer.body);
        }
        assert_eq!((ada.balance().await, clerk.balance().await), ("470.00".to_owned(), "25.00".to_owned()));
        // Their own money is theirs, and so is what they do for others.
        clerk.transfer(&ada.account, "1").await.expect_status(201);
        clerk.deposit_to(&ada.account, "1").await.expect_status(201);
        for id in [taken.text_at("/id"), undone.text_at("/id")] {
            clerk.decides(&id, "approve").await.expect_problem(403, "own_approval");
            other.decides(&id, "approve").await.expect_status(200);
        }
    }

    async fn nobody_approves_or_stops_what_has_to_do_with_their_own_account(bank: &TestBank) {
        let (clerk, owner, third) =
            (bank.employee("staff").await, bank.employee("admin").await, bank.employee("staff").await);
        let ada = bank.customer().await;
        ada.deposit("9000").await.expect_status(201);
        let to_owner = clerk.move_between(&ada.account, &owner.account, "2000").await.expect_status(202).text_at("/id");
        let deposit = clerk.deposit_to(&owner.account, "2000").await.expect_status(202).text_at("/id");
        let gift = ada.transfer(&owner.account, "1500").await.expect_status(201).text_at("/id");
        let reversal = clerk.undo(&gift).await.expect_status(202).text_at("/id");
        for id in [&to_owner, &deposit, &reversal] {
            owner.decides(id, "approve").await.expect_problem(403, "own_account");
            owner.decides(id, "reject").await.expect_problem(403, "own_account");
            third.decides(id, "approve").await.expect_status(200);
        }
        assert_eq!(owner.balance().await, "4000.00");
        // Whoever asked may take it back, of course.
        let own = clerk.move_between(&ada.account, &clerk.account, "1").await.expect_status(202).text_at("/id");
        clerk.decides(&own, "reject").await.expect_status(200);
    }

    async fn a_batch_counts_as_its_sum(bank: &TestBank) {
        let (clerk, ada, bob) = (bank.employee("staff").await, bank.customer().await, bank.customer().await);
        ada.deposit("9900").await.expect_status(201);
        let send = async |count, amount| {
            let body = json!({"transactions": transfers(count, &ada.account, &bob.account, amount)});
            clerk.post("/transactions/batch", body).send().await.expect_status(200)
        };
        let split = send(99, "100").await;
        assert_eq!((&split.body["booked"], &split.body["refused"]), (&json!(0), &json!(99)));
        assert!(
            split.body["data"]
                .as_array()
                .expect("items")
                .iter()
                .all(|item| item["problem"]["code"] == "approval_required")
        );
        assert_eq!(send(10, "100").await.body["booked"], 10);
        assert_eq!(send(1, "0.01").await.body["refused"], 1);
        clerk.move_between(&ada.account, &bob.account, "0.01").await.expect_status(202);
        assert_eq!(bob.balance().await, "1000.00");
    }

    async fn what_a_batch_repeats_does_not_count_again(bank: &TestBank) {
        let (clerk, ada, bob) = (bank.employee("staff").await, bank.customer().await, bank.customer().await);
        ada.deposit("1000").await.expect_status(201);
        for (items, booked) in [(6, 6), (10, 10), (11, 10)] {
            let body = json!({"transactions": transfers(items, &ada.account, &bob.account, "100")});
            let answer = clerk.post("/transactions/batch", body).header("idempotency-key", "day").send().await;
            assert_eq!(answer.expect_status(200).body["booked"], booked);
        }
        assert_eq!(bob.balance().await, "1000.00");
    }

    async fn the_amount_holds_for_a_day_and_not_for_each_movement(bank: &TestBank) {
        let (clerk, other) = (bank.employee("staff").await, bank.employee("staff").await);
        let (ada, yen) = (bank.customer().await, bank.customer_in("JPY").await);
        for amount in ["400", "500"] {
            clerk.deposit_to(&ada.account, amount).await.expect_status(201);
        }
        clerk.withdraw_from(&ada.account, "100.01").await.expect_status(202);
        clerk.withdraw_from(&ada.account, "100").await.expect_status(201);
        clerk.deposit_to(&ada.account, "0.01").await.expect_status(202);
        clerk.deposit("0.01").await.expect_status(202);
        // What was refused, is repeated, or somebody else has approved does not count; other currencies and people count apart.
        clerk.deposit_to(&yen.account, "1000").await.expect_status(201);
        other.withdraw_from(&ada.account, "900").await.expect_problem(409, "insufficient_funds");
        let large = other.deposit_to(&ada.account, "5000").await.expect_status(202).text_at("/id");
        clerk.decides(&large, "approve").await.expect_status(200);
        for _ in 0..3 {
            let body = json!({"account_number": ada.account, "amount": "1000"});
            other.post("/deposit", body).header("idempotency-key", "once").send().await.expect_status(201);
        }
        other.deposit_to(&ada.account, "0.01").await.expect_status(202);
        // A day later there is room again.
        bank.tamper("update unapproved_totals set minute = minute - 90000000000 where currency = 'USD'").await;
        clerk.deposit_to(&ada.account, "1000").await.expect_status(201);
        clerk.deposit_to(&yen.account, "1").await.expect_status(202);
    }

    async fn the_sum_is_exact_however_many_come_at_once(bank: &TestBank) {
        let (clerk, ada, bob) = (bank.employee("staff").await, bank.customer().await, bank.customer().await);
        let (address, twin) = bank.twin_with(ABOVE_1000).await;
        let request = |index: usize| {
            let account = if index.is_multiple_of(3) { &ada.account } else { &bob.account };
            let there = if index.is_multiple_of(2) { address } else { bank.address };
            let body = json!({"account_number": account, "amount": "100"});
            bank.request_to(there, Method::POST, "/deposit").bearer(&clerk.token).json(body).send()
        };
        let answers = join_all((0..40).map(request)).await;
        let count = |status: u16| answers.iter().filter(|answer| answer.status.as_u16() == status).count();
        assert_eq!((count(201), count(202)), (10, 30));
        twin.close().await;
    }

    async fn roles_take_a_second_admin(bank: &TestBank) {
        let (first, second) = (bank.employee("admin").await, bank.employee("admin").await);
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let (adas, firsts, seconds) = (ada.my_id().await, first.my_id().await, second.my_id().await);
        let waiting = first.gives_role(&adas, "staff").await.expect_status(202);
        let id = waiting.text_at("/approval_id");
        assert_eq!(waiting.header("location"), Some(&*format!("/approvals/{id}")));
        assert_eq!((waiting.text_at("/id"), waiting.text_at("/role")), (adas.clone(), "customer".to_owned()));
        let approval = clerk.get(&format!("/approvals/{id}")).send().await.expect_status(200).body;
        for (member, value) in [("type", "role_change"), ("role", "staff"), ("user_id", &adas), ("status", "pending")] {
            assert_eq!(approval[member], value, "{approval}");
        }
        assert!(approval.get("amount").is_none());
        assert_eq!(
            first.get("/approvals?status=pending").send().await.expect_status(200).body["data"],
            json!([approval])
        );
        // Asked for again it is the same, another change has to wait for it, and it has no effect yet.
        assert_eq!(first.gives_role(&adas, "staff").await.expect_status(202).body, waiting.body);
        second.gives_role(&adas, "admin").await.expect_problem(409, "access_change_pending");
        ada.get("/users").send().await.expect_problem(403, "role_required");
        first.decides(&id, "approve").await.expect_problem(403, "own_approval");
        for decision in ["approve", "reject"] {
            clerk.decides(&id, decision).await.expect_problem(403, "role_required");
        }
        let approved = second.decides(&id, "approve").await.expect_status(200);
        assert_eq!(
            (approved.text_at("/status"), approved.text_at("/decided_by")),
            ("approved".to_owned(), seconds.clone())
        );
        ada.get("/users").send().await.expect_status(200);
        second.decides(&id, "approve").await.expect_problem(409, "approval_not_pending");
        for (action, actor, subject) in [
            ("approval_requested", &firsts, &id),
            ("approval_approved", &seconds, &id),
            ("role_changed", &seconds, &adas),
        ] {
            let records = first.get(&format!("/audit?action={action}")).send().await.expect_status(200);
            let newest = &records.body["data"][0];
            assert_eq!((&newest["actor_id"], &newest["subject"]), (&json!(actor), &json!(subject)), "{newest}");
        }

        // Nobody decides about themselves, not even to stop it.
        let demotion = first.gives_role(&seconds, "customer").await.expect_status(202).text_at("/approval_id");
        for decision in ["approve", "reject"] {
            second.decides(&demotion, decision).await.expect_problem(403, "own_account");
        }
        assert_eq!(first.decides(&demotion, "reject").await.expect_status(200).text_at("/status"), "rejected");
        assert_eq!(first.role_of(&seconds).await, "admin");
    }

    async fn a_change_that_was_not_approved_in_time_or_whose_requester_is_gone_has_no_effect(bank: &TestBank) {
        let (first, second, third) =
            (bank.employee("admin").await, bank.employee("admin").await, bank.employee("admin").await);
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let late = first.gives_role(&ada.my_id().await, "staff").await.expect_status(202).text_at("/approval_id");
        let trigger = if bank.kind == Kind::Postgres { " on access_changes" } else { "" };
        bank.tamper(&format!("drop trigger access_changes_refuse_change{trigger}")).await;
        bank.tamper("update access_changes set expires_at = 1").await;
        second.decides(&late, "approve").await.expect_problem(409, "approval_not_pending");
        assert_eq!(second.get(&format!("/approvals/{late}")).send().await.text_at("/status"), "expired");
        assert_eq!(second.get("/approvals?status=expired").send().await.body["data"][0]["id"], json!(late));

        let orphaned = third.gives_role(&bob.my_id().await, "staff").await.expect_status(202).text_at("/approval_id");
        let demotion =
            first.gives_role(&third.my_id().await, "customer").await.expect_status(202).text_at("/approval_id");
        second.decides(&demotion, "approve").await.expect_status(200);
        second.decides(&orphaned, "approve").await.expect_problem(409, "requester_not_staff");
        second.decides(&orphaned, "reject").await.expect_status(200);
        assert_eq!(first.role_of(&bob.my_id().await).await, "customer");
    }

    async fn a_second_factor_is_reset_by_two_admins(bank: &TestBank) {
        let (first, second, ada) = (bank.employee("admin").await, bank.employee("admin").await, bank.customer().await);
        let path = format!("/users/{}/second_factor", ada.my_id().await);
        first.request(Method::DELETE, &path).send().await.expect_problem(409, "second_factor_missing");
        let _ = ada.use_second_factor().await;
        let waiting = first.request(Method::DELETE, &path).send().await.expect_status(202);
        assert_eq!(waiting.text_at("/type"), "second_factor_reset");
        bank.sign_in(&ada.email, PASSWORD).await.expect_problem(401, "second_factor_required");
        ada.get("/me").send().await.expect_status(200);
        second.decides(&waiting.text_at("/id"), "approve").await.expect_status(200);
        ada.get("/me").send().await.expect_problem(401, "invalid_token");
        bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
    }

    async fn what_waits_to_be_reversed_cannot_be_spent(bank: &TestBank) {
        let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        let mistake = other.deposit_to(&ada.account, "900").await.expect_status(201).text_at("/id");
        let wrong = ada.deposit("2000").await.expect_status(201).text_at("/id");
        let waiting = clerk.undo(&wrong).await.expect_status(202).text_at("/id");
        let shown =
            |account: Value| (account["balance"].clone(), account["available"].clone(), account["held"].clone());
        assert_eq!(shown(clerk.account_of(&ada.account).await), (json!("3000.00"), json!("1000.00"), json!("2000.00")));
        let balance = ada.get(&format!("/balance?account_number={}", ada.account)).send().await.expect_status(200).body;
        assert_eq!(shown(balance), (json!("3000.00"), json!("1000.00"), json!("2000.00")));
        let listed = ada.get("/accounts").send().await.expect_status(200).body["data"][0].clone();
        assert_eq!(listed["held"], "2000.00");
        let refused = ada.withdraw("1000.01").await.expect_problem(409, "insufficient_funds");
        assert_eq!(refused.body["detail"], "1000.00 USD is available, 1000.01 USD was asked for.");
        ada.transfer(&clerk.account, "1000.01").await.expect_problem(409, "insufficient_funds");
        other.withdraw_from(&ada.account, "1000.01").await.expect_problem(409, "insufficient_funds");
        // One waits at a time, and another movement's takes what is left.
        for employee in [&clerk, &other] {
            let refused = employee.undo(&wrong).await.expect_problem(409, "reversal_pending");
            assert!(refused.text_at("/detail").contains(&waiting), "{}", refused.body);
        }
        clerk.undo(&mistake).await.expect_status(201);
        ada.withdraw("100").await.expect_status(201);
        ada.withdraw("0.01").await.expect_problem(409, "insufficient_funds");
        other.decides(&waiting, "approve").await.expect_status(200);
        assert_eq!(shown(clerk.account_of(&ada.account).await), (json!("0.00"), json!("0.00"), json!("0.00")));
    }

    async fn what_was_reserved_is_free_once_the_reversal_is_rejected_or_expires(bank: &TestBank) {
        let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
        for end in ["rejected", "expired"] {
            let wrong = ada.deposit("2000").await.expect_status(201).text_at("/id");
            let waiting = clerk.undo(&wrong).await.expect_status(202).text_at("/id");
            ada.withdraw("0.01").await.expect_problem(409, "insufficient_funds");
            match end {
                "rejected" => drop(other.decides(&waiting, "reject").await.expect_status(200)),
                _ => bank.tamper_with_approvals("update approvals set expires_at = 1 where status = 'pending'").await,
            }
            assert_eq!(clerk.account_of(&ada.account).await["held"], "0.00");
            // So the movement may be reversed after all, and the money spent.
            let again = clerk.undo(&wrong).await.expect_status(202).text_at("/id");
            other.decides(&again, "reject").await.expect_status(200);
            ada.withdraw("2000").await.expect_status(201);
        }
    }

    async fn of_reversals_that_come_at_once_one_waits(bank: &TestBank) {
        let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
        let (address, twin) = bank.twin_with(ABOVE_1000).await;
        let wrong = ada.deposit("5000").await.expect_status(201).text_at("/id");
        let path = format!("/transactions/{wrong}/reverse");
        let request = |index: usize| {
            let there = if index.is_multiple_of(2) { address } else { bank.address };
            let token = if index.is_multiple_of(3) { &clerk.token } else { &other.token };
            bank.request_to(there, Method::POST, &path).bearer(token).json(json!({})).send()
        };
        let answers = join_all((0..16).map(request)).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 1);
        assert_eq!(answers.iter().filter(|answer| answer.body["code"] == "reversal_pending").count(), 15);
        assert_eq!(clerk.account_of(&ada.account).await["held"], "5000.00");
        twin.close().await;
    }

    async fn one_person_cannot_bury_the_others_in_requests(bank: &TestBank) {
        let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
        let answers = join_all((0..100).map(|_| clerk.deposit_to(&ada.account, "5000"))).await;
        assert!(answers.iter().all(|answer| answer.status == 202));
        clerk.deposit_to(&ada.account, "5000").await.expect_problem(409, "too_many_pending_approvals");
        let kept = other.deposit_to(&ada.account, "5000").await.expect_status(202).text_at("/id");
        clerk.deposit_to(&ada.account, "1").await.expect_status(201);
        clerk.decides(&answers[0].text_at("/id"), "reject").await.expect_status(200);
        clerk.deposit_to(&ada.account, "5000").await.expect_status(202);
        other.decides(&kept, "reject").await.expect_status(200);
    }

    async fn what_staff_move_for_others_is_on_record(bank: &TestBank) {
        let (clerk, ada, bob) = (bank.employee("staff").await, bank.customer().await, bank.customer().await);
        let auditor = bank.employee("auditor").await;
        let booked = clerk.deposit_to(&ada.account, "12.50").await.expect_status(201).text_at("/id");
        clerk.deposit("1").await.expect_status(201);
        ada.withdraw("1").await.expect_status(201);
        let body = json!({"transactions": transfers(3, &ada.account, &bob.account, "0.50")});
        clerk.post("/transactions/batch", body).send().await.expect_status(200);
        let records = auditor.get("/audit?action=movement_by_staff").send().await.expect_status(200);
        let records = records.body["data"].as_array().expect("a list");
        assert_eq!(records.len(), 4);
        let first = records.last().expect("the oldest");
        assert_eq!((&first["subject"], &first["actor_id"]), (&json!(ada.account), &json!(clerk.my_id().await)));
        assert_eq!(first["detail"], format!("deposit of 12.50 USD to {}, transaction {booked}", ada.account));
    }

    async fn the_doctor_misses_no_broken_promise(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let wrong = ada.deposit("2000").await.expect_status(201).text_at("/id");
        let waiting = clerk.undo(&wrong).await.expect_status(202).text_at("/id");
        let blamed = ("what is held is still there", vec![format!("account {}", ada.account)]);
        bank.tamper("update accounts set held_until = 1 where held_until > 0").await;
        assert_eq!(bank.books_wrong().await, [blamed]);
        clerk.decides(&waiting, "reject").await.expect_status(200);

        let (first, second) = (bank.employee("admin").await, bank.employee("admin").await);
        let change = first.gives_role(&ada.my_id().await, "staff").await.expect_status(202).text_at("/approval_id");
        second.decides(&change, "approve").await.expect_status(200);
        let of_table = if bank.kind == Kind::Postgres { " on access_changes" } else { "" };
        for trigger in ["access_changes_refuse_change", "access_changes_refuse_second_decision"] {
            bank.tamper(&format!("drop trigger {trigger}{of_table}")).await;
        }
        if bank.kind == Kind::Postgres {
            bank.tamper("alter table access_changes drop constraint access_changes_check3").await;
        }
        bank.tamper("update access_changes set decided_by = requested_by").await;
        let blamed = ("changes of access were approved by a second admin", vec![format!("approval {change}")]);
        assert_eq!(bank.books_wrong().await, [blamed]);
        bank.tamper(&format!(
            "update access_changes set decided_by = (select id from users where email = '{}')",
            second.email
        ))
        .await;
    }
}

mod whatever_the_settings {
    use super::*;

    bank_tests! {
        async fn of_two_admins_who_take_each_others_role_one_stays(bank: &TestBank) {
            let (address, twin) = bank.twin().await;
            for _ in 0..5 {
                let (first, second) = (bank.employee("admin").await, bank.employee("admin").await);
                let demote = |there, by: &Customer<'_>, whom: &str| {
                    let path = format!("/users/{whom}/role");
                    bank.request_to(there, Method::PUT, &path).bearer(&by.token).json(json!({"role": "customer"})).send()
                };
                let (firsts, seconds) = (first.my_id().await, second.my_id().await);
                let answers =
                    join_all([demote(bank.address, &first, &seconds), demote(address, &second, &firsts)]).await;
                let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
                assert!(statuses == [200, 403] || statuses == [403, 200], "{statuses:?}");
                bank.remove_admins().await;
            }
            twin.close().await;
        }

        async fn whoever_leaves_while_they_become_an_admin_is_not_the_last(bank: &TestBank) {
            let (address, twin) = bank.twin().await;
            for _ in 0..8 {
                bank.remove_admins().await;
                let (admin, heir) = (bank.employee("admin").await, bank.customer().await);
                let auditor = bank.employee("auditor").await;
                for leaving in [&admin, &heir] {
                    let path = format!("/accounts/{}", leaving.account);
                    leaving.request(Method::DELETE, &path).send().await.expect_status(204);
                }
                let path = format!("/users/{}/role", heir.my_id().await);
                let leave = |there, who: &Customer<'_>| {
                    bank.request_to(there, Method::DELETE, "/me").bearer(&who.token).send()
                };
                let promote = bank.request(Method::PUT, &path).bearer(&admin.token).json(json!({"role": "admin"}));
                tokio::join!(promote.send(), leave(bank.address, &admin), leave(address, &heir));
                let left = auditor.get("/users?role=admin").send().await.expect_status(200);
                assert_eq!(left.body["data"].as_array().map(Vec::len), Some(1), "{}", left.body);
            }
            twin.close().await;
        }

        /// Whoever waits for the admins, to leave, was given them as they were before.
        async fn whoever_becomes_the_last_admin_while_they_leave_stays(bank: &TestBank) {
            let (admin, heir) = (bank.employee("admin").await, bank.customer().await);
            let path = format!("/accounts/{}", heir.account);
            heir.request(Method::DELETE, &path).send().await.expect_status(204);
            let mut tx = bank.db.begin().await.expect("a transaction");
            tx.lock_admins().await.expect("the admins");
            let leave = heir.request(Method::DELETE, "/me").send();
            let succession = async {
                if bank.kind == Kind::Postgres {
                    let waiting = "select count(*) from pg_locks where not granted";
                    eventually("whoever leaves waits", async || bank.number(waiting).await > 0).await;
                }
                let become_one = format!("update users set role = 'admin' where email = '{}'", heir.email);
                let be_one_no_more = format!("update users set role = 'customer' where email = '{}'", admin.email);
                let sql = AssertSqlSafe(format!("{become_one}; {be_one_no_more}"));
                match &mut tx {
                    Tx::Sqlite(tx, _) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(drop),
                    Tx::Postgres(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(drop),
                }
                .expect("another admin");
                tx.commit().await.expect("a commit");
            };
            let (answer, ()) = tokio::join!(leave, succession);
            answer.expect_problem(409, "last_admin");
            bank.set_role(&heir.email, "admin").await;
        }

        async fn the_last_admin_stays(bank: &TestBank) {
            let (first, second) = (bank.employee("admin").await, bank.employee("admin").await);
            for admin in [&first, &second] {
                let path = format!("/accounts/{}", admin.account);
                admin.request(Method::DELETE, &path).send().await.expect_status(204);
            }
            // A frozen admin could not act.
            first.sets_status(&format!("/users/{}", second.my_id().await), "frozen").await.expect_status(200);
            first.request(Method::DELETE, "/me").send().await.expect_problem(409, "last_admin");
            first.sets_status(&format!("/users/{}", second.my_id().await), "active").await.expect_status(200);
            first.request(Method::DELETE, "/me").send().await.expect_status(204);
            second.request(Method::DELETE, "/me").send().await.expect_problem(409, "last_admin");
        }

        async fn staff_release_only_what_staff_have_frozen(bank: &TestBank) {
            let (clerk, admin, ada) =
                (bank.employee("staff").await, bank.employee("admin").await, bank.customer().await);
            for path in [format!("/accounts/{}", ada.account), format!("/users/{}", ada.my_id().await)] {
                let open = if path.starts_with("/accounts") { "open" } else { "active" };
                clerk.sets_status(&path, "frozen").await.expect_status(200);
                clerk.sets_status(&path, open).await.expect_status(200);
                // What an admin has frozen, staff cannot release, before and after.
                for (by, status) in [(&admin, "frozen"), (&clerk, "frozen")] {
                    by.sets_status(&path, status).await.expect_status(200);
                    clerk.sets_status(&path, open).await.expect_problem(403, "frozen_by_admin");
                }
                admin.sets_status(&path, open).await.expect_status(200);
                clerk.sets_status(&path, "frozen").await.expect_status(200);
                admin.sets_status(&path, "frozen").await.expect_status(200);
                clerk.sets_status(&path, open).await.expect_problem(403, "frozen_by_admin");
                admin.sets_status(&path, open).await.expect_status(200);
            }
            ada.deposit("1").await.expect_status(201);
        }
    }
}
