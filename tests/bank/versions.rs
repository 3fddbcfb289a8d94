//! The version of an account: `ETag` and 304, `If-Match` on what moves money, and `Prefer: wait`.

use std::time::{Duration, Instant};

use coffer_core::watches::MAX_OF_A_CALLER;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::databases::Kind;
use crate::harness::{Answer, Customer, PASSWORD, Request, TestBank, bank_tests, eventually};
use crate::privacy::leave_and_be_erased;

/// Within this, a request that is woken has its answer, on a busy machine.
const SOON: Duration = Duration::from_secs(15);
/// So long a request must go on waiting, to show that it waits.
const A_WHILE: Duration = Duration::from_millis(300);

impl Customer<'_> {
    fn account_path(&self) -> String {
        format!("/accounts/{}", self.account)
    }

    fn balance_path(&self) -> String {
        format!("/balance?account_number={}", self.account)
    }

    fn history_path(&self) -> String {
        format!("/transactions?account_number={}", self.account)
    }

    /// Every answer that has a version, by its path.
    fn versioned_paths(&self) -> [String; 3] {
        [self.account_path(), self.balance_path(), self.history_path()]
    }

    async fn tag_of(&self, path: &str) -> String {
        self.get(path).send().await.expect_status(200).header("etag").expect("an ETag").to_owned()
    }

    /// The tags of account, balance and history.
    async fn tags(&self) -> [String; 3] {
        let [account, balance, history] = self.versioned_paths();
        [self.tag_of(&account).await, self.tag_of(&balance).await, self.tag_of(&history).await]
    }

    async fn ask_knowing(&self, path: &str, known: &str) -> Answer {
        self.get(path).header("If-None-Match", known).send().await
    }

    /// Waits, if need be, for another answer than the one with this tag.
    async fn wait_for_another(&self, path: &str, known: &str) -> Answer {
        let request = self.get(path).header("If-None-Match", known).header("Prefer", "wait=25");
        tokio::time::timeout(SOON, request.send()).await.expect("an answer that is woken")
    }

    fn withdraw_if(&self, amount: &str, if_match: &str) -> Request {
        self.post("/withdraw", json!({"account_number": self.account, "amount": amount})).header("If-Match", if_match)
    }

    async fn place_hold(&self, amount: &str, expires_at: Option<String>) -> String {
        let body = json!({"account_number": self.account, "amount": amount, "expires_at": expires_at});
        self.post("/holds", body).send().await.expect_status(201).text_at("/id")
    }

    async fn rename(&self, label: Value) -> Answer {
        self.request(Method::PATCH, &self.account_path()).json(json!({"label": label})).send().await
    }

    pub async fn gives_status(&self, other: &Customer<'_>, status: &str) -> Answer {
        let path = format!("{}/status", other.account_path());
        self.request(Method::PUT, &path).json(json!({"status": status})).send().await
    }
}

#[track_caller]
fn assert_unchanged(answer: &Answer, tag: &str) {
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (304, Some(tag)), "{}", answer.body);
    assert!(answer.bytes.is_empty());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

/// The tag's sequence, which may have a hash behind it.
fn sequence_of(tag: &str) -> &str {
    tag.trim_matches('"').split('-').next().expect("a part")
}

bank_tests! {
    async fn the_sequence_is_the_version_of_a_plain_account(bank: &TestBank) {
        let ada = bank.customer().await;
        assert_eq!(ada.tags().await, ["\"0\"", "\"0\"", "\"0\""]);
        for sequence in 1..4 {
            let (before, tag) = (format!("\"{}\"", sequence - 1), format!("\"{sequence}\""));
            ada.deposit("10").await.expect_status(201);
            for path in ada.versioned_paths() {
                assert_unchanged(&ada.ask_knowing(&path, &tag).await, &tag);
                assert_unchanged(&ada.ask_knowing(&path, &format!("{before}, W/{tag}")).await, &tag);
                assert_unchanged(&ada.ask_knowing(&path, "*").await, &tag);
                let answer = ada.ask_knowing(&path, &before).await.expect_status(200);
                assert_eq!((answer.header("etag"), answer.header("cache-control")), (Some(&*tag), Some("no-store")));
                // Nonsense is no version that anybody could have.
                ada.ask_knowing(&path, &sequence.to_string()).await.expect_status(200);
            }
        }
        let head = ada.request(Method::HEAD, &ada.account_path()).header("If-None-Match", "\"3\"").send().await;
        assert_unchanged(&head, "\"3\"");
    }

    async fn what_shows_beside_the_sequence_makes_another_version(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        ada.deposit("10").await.expect_status(201);
        let plain = ada.tags().await;
        // Label: shown with the account alone.
        ada.rename(json!("Savings")).await.expect_status(200);
        let named = ada.tags().await;
        assert_ne!(named[0], plain[0]);
        assert_eq!(named[1..], plain[1..]);
        ada.rename(json!("Spending")).await.expect_status(200);
        assert!(![&plain[0], &named[0]].contains(&&ada.tags().await[0]));
        ada.rename(Value::Null).await.expect_status(200);
        assert_eq!(ada.tags().await, plain);
        // Hold: shown with account and balance.
        let hold = ada.place_hold("4", None).await;
        let held = ada.tags().await;
        assert!(held[0] != plain[0] && held[1] != plain[1] && held[2] == plain[2], "{held:?}");
        let another = ada.place_hold("4", None).await;
        assert!(ada.tags().await[1] != held[1]);
        for id in [another, hold] {
            ada.request(Method::POST, &format!("/holds/{id}/release")).send().await.expect_status(200);
        }
        assert_eq!(ada.tags().await, plain);
        // Freeze: shown with the account.
        clerk.gives_status(&ada, "frozen").await.expect_status(200);
        let frozen = ada.tags().await;
        assert!(frozen[0] != plain[0] && frozen[1..] == plain[1..], "{frozen:?}");
        clerk.gives_status(&ada, "open").await.expect_status(200);
        // What is noted: shown with the account.
        let note = async |value: Value| {
            ada.request(Method::PATCH, &ada.account_path())
                .json(json!({"metadata": {"kind": value}}))
                .send()
                .await
                .expect_status(200)
        };
        note(json!("savings")).await;
        let noted = ada.tags().await;
        assert!(noted[0] != plain[0] && noted[1..] == plain[1..], "{noted:?}");
        note(Value::Null).await;
        assert_eq!(ada.tags().await, plain);
        // An overdraft: shown with account and balance.
        clerk.set_limits_of(&ada.account, json!({"overdraft": "5"})).await.expect_status(200);
        let overdrawn = ada.tags().await;
        assert!(overdrawn[0] != plain[0] && overdrawn[1] != plain[1], "{overdrawn:?}");
        assert!(
            [&named, &held, &frozen, &noted, &overdrawn]
                .iter()
                .all(|tags| tags.iter().all(|tag| sequence_of(tag) == "1"))
        );
    }

    async fn the_first_page_has_a_version_and_no_other(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.post("/deposit", json!({"account_number": ada.account, "amount": "1", "description": "Rent"}))
            .send()
            .await
            .expect_status(201);
        ada.deposit_many(2).await.expect_status(200);
        let first = ada.get(&format!("{}&limit=2", ada.history_path())).send().await.expect_status(200);
        assert_eq!(first.header("etag"), Some("\"3\""));
        let next = format!("{}&limit=2&cursor={}", ada.history_path(), first.text_at("/next_cursor"));
        let next = ada.ask_knowing(&next, "*").await.expect_status(200);
        assert_eq!(next.header("etag"), None);
        // A balance of the past is no version of the account.
        let now = ada.get(&ada.balance_path()).send().await.text_at("/as_of");
        let past = ada.ask_knowing(&format!("{}&at={now}", ada.balance_path()), "*").await.expect_status(200);
        assert_eq!(past.header("etag"), None);
        // What was found is part of the version of a search.
        let search = format!("{}&text=rent", ada.history_path());
        let found = ada.tag_of(&search).await;
        assert!(found.starts_with("\"3-"), "{found}");
        assert_unchanged(&ada.ask_knowing(&search, &found).await, &found);
        assert_ne!(ada.tag_of(&format!("{}&text=salary", ada.history_path())).await, found);
        // A text that was erased is no new entry, and shows.
        bank.tamper("update transactions set description = null, text_salt = null where description is not null").await;
        let erased = ada.tag_of(&ada.history_path()).await;
        assert!(erased.starts_with("\"3-"), "{erased}");
        assert_eq!(ada.tag_of(&format!("{}&limit=2", ada.history_path())).await, "\"3\"");
        assert_ne!(ada.tag_of(&search).await, found);
        let withdrawals = format!("{}&type=withdrawal", ada.history_path());
        assert_unchanged(
            &ada.ask_knowing(&withdrawals, &ada.tag_of(&withdrawals).await).await,
            &ada.tag_of(&withdrawals).await,
        );
        leave_and_be_erased(&ada).await;
    }

    async fn who_may_not_see_an_account_hears_nothing_of_its_version(bank: &TestBank) {
        let (ada, bob, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        let auditor = bank.employee("auditor").await;
        ada.deposit("10").await.expect_status(201);
        for path in ada.versioned_paths() {
            let unknown = bob.get(&path).header("If-None-Match", "\"1\"").header("Prefer", "wait=25").send().await;
            assert_eq!(unknown.expect_problem(404, "account_not_found").header("etag"), None);
            let nobody = bank.get(&path).header("If-None-Match", "\"1\"").header("Prefer", "wait=25").send().await;
            assert_eq!(nobody.expect_problem(401, "missing_token").header("etag"), None);
        }
        let moved =
            bob.post("/withdraw", json!({"account_number": ada.account, "amount": "1"})).header("If-Match", "\"0\"");
        assert_eq!(moved.send().await.expect_problem(404, "account_not_found").header("etag"), None);
        // A refusal tells where somebody else's account stands, and a look that shows nothing new is a look.
        let refused =
            clerk.post("/withdraw", json!({"account_number": ada.account, "amount": "1"})).header("If-Match", "\"0\"");
        assert_eq!(refused.send().await.expect_problem(412, "balance_moved_on").header("etag"), Some("\"1\""));
        assert_unchanged(&clerk.ask_knowing(&ada.account_path(), "\"1\"").await, "\"1\"");
        eventually("both are on record", async || {
            let path = format!("/audit?action=account_viewed,movement_refused&account_number={}", ada.account);
            let page = auditor.get(&path).send().await.expect_status(200);
            page.body["data"].as_array().is_some_and(|records| records.len() == 2)
        })
        .await;
    }

    async fn money_moves_only_if_the_account_is_as_it_was(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("100").await.expect_status(201);
        let hold = ada.place_hold("5", None).await;
        let movements = [
            ("/deposit".to_owned(), json!({"account_number": ada.account, "amount": "1"})),
            ("/withdraw".to_owned(), json!({"account_number": ada.account, "amount": "1"})),
            ("/transfer".to_owned(), json!({"from_account": ada.account, "to_account": bob.account, "amount": "1"})),
            ("/holds".to_owned(), json!({"account_number": ada.account, "amount": "1"})),
            (format!("/holds/{hold}/capture"), json!({})),
        ];
        for (path, body) in &movements {
            let now = ada.tag_of(&ada.balance_path()).await;
            let plain = format!("\"{}\"", sequence_of(&now));
            let send = async |if_match: &str| ada.post(path, body.clone()).header("If-Match", if_match).send().await;
            for wrong in
                ["\"99\"", "\"nonsense\"", "\"\"", &format!("W/{plain}"), &format!("\"0{}\"", sequence_of(&now))]
            {
                let refused = send(wrong).await.expect_problem(412, "balance_moved_on");
                assert_eq!(refused.header("etag"), Some(&*plain), "{path} {wrong}");
                assert!(refused.text_at("/detail").contains(&plain));
            }
            for malformed in [sequence_of(&now), "", "\"1", "*, \"1\"", "\"1\" \"2\""] {
                let refused = send(malformed).await.expect_problem(422, "if_match_malformed");
                assert_eq!(refused.pointers(), ["If-Match"]);
            }
            assert_eq!(ada.tag_of(&ada.balance_path()).await, now, "{path}");
            send(&format!("\"99\", {now}")).await.expect_status(201);
        }
        // Holds leave the sequence as it was.
        assert_eq!((ada.balance().await, ada.tags().await[2].clone()), ("94.00".to_owned(), "\"5\"".to_owned()));
        ada.withdraw_if("1", "*").send().await.expect_status(201);
        ada.withdraw_if("1", "\"6-and-anything\"").send().await.expect_status(201);
        // The receiver's sequence is no matter of the sender's.
        assert_eq!(bob.tags().await[1], "\"1\"");
        let unknown = json!({"account_number": "10000000000083", "amount": "1"});
        ada.post("/withdraw", unknown).header("If-Match", "*").send().await.expect_problem(404, "account_not_found");
        ada.withdraw_if("1000", "\"7\"").send().await.expect_problem(409, "insufficient_funds");
        ada.withdraw_if("1000", "\"6\"").send().await.expect_problem(412, "balance_moved_on");
    }

    async fn a_replay_is_answered_whatever_has_moved(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("10").await.expect_status(201);
        let withdraw = async |tag: &str| ada.withdraw_if("1", tag).header("Idempotency-Key", "once").send().await;
        withdraw("\"0\"").await.expect_problem(412, "balance_moved_on");
        // What was refused has not used the key.
        let first = withdraw("\"1\"").await.expect_status(201);
        ada.deposit("5").await.expect_status(201);
        for tag in ["\"1\"", "\"77\"", "*"] {
            let again = withdraw(tag).await.expect_status(201);
            assert_eq!((&again.body["hash"], again.header("idempotent-replayed")), (&first.body["hash"], Some("true")));
        }
        assert_eq!(ada.balance().await, "14.00");
    }

    async fn where_no_account_could_be_meant_the_header_is_refused(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        let id = ada.deposit("10").await.expect_status(201).text_at("/id");
        let batch = json!({"transactions": [{"type": "withdrawal", "account_number": ada.account, "amount": "1"}]});
        let refused = ada.post("/transactions/batch", batch).header("If-Match", "\"1\"").send().await;
        assert_eq!(refused.expect_problem(422, "if_match_unsupported").pointers(), ["If-Match"]);
        let refused =
            clerk.post(&format!("/transactions/{id}/reverse"), json!({})).header("If-Match", "*").send().await;
        refused.expect_problem(422, "if_match_unsupported");
        assert_eq!(ada.balance().await, "10.00");
        let account = format!("/accounts/{}", ada.account);
        for (method, path, body) in [
            (Method::PATCH, account.clone(), json!({"label": "Savings"})),
            (Method::PUT, format!("{account}/limits"), json!({})),
            (Method::DELETE, account.clone(), json!(null)),
            (Method::PATCH, "/me".to_owned(), json!({"name": "Another Name"})),
        ] {
            let refused = ada.request(method, &path).json(body).header("If-Match", "\"0\"").send().await;
            refused.expect_problem(422, "if_match_unsupported");
        }
        ada.get(&account).header("If-Match", "\"0\"").send().await.expect_status(200);
    }

    async fn of_fifty_who_act_on_one_version_one_does(bank: &TestBank) {
        const ROUNDS: usize = 40;
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("1000").await.expect_status(201);
        for round in 1..=ROUNDS {
            let tag = format!("\"{round}\"");
            let withdrawals = (0..25).map(|_| ada.withdraw_if("1", &tag).send());
            let transfers = (0..25).map(|_| {
                let body = json!({"from_account": ada.account, "to_account": bob.account, "amount": "1"});
                ada.post("/transfer", body).header("If-Match", &tag).send()
            });
            let (withdrawn, sent) = tokio::join!(join_all(withdrawals), join_all(transfers));
            let answers: Vec<_> = withdrawn.into_iter().chain(sent).collect();
            assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1, "round {round}");
            for refused in answers.into_iter().filter(|answer| answer.status != 201) {
                let refused = refused.expect_problem(412, "balance_moved_on");
                assert_eq!(refused.header("etag"), Some(&*format!("\"{}\"", round + 1)));
            }
        }
        assert_eq!(ada.balance().await, format!("{}.00", 1000 - ROUNDS));
    }

    async fn an_answer_comes_when_it_is_another_one(bank: &TestBank) {
        let ada = bank.customer().await;
        for round in 0..30 {
            let path = &ada.versioned_paths()[round % 3];
            let tag = ada.tag_of(path).await;
            // Before it waits, while it begins to, or after.
            let (woken, _) = tokio::join!(ada.wait_for_another(path, &tag), async {
                tokio::time::sleep(Duration::from_millis(round as u64)).await;
                ada.deposit("1").await.expect_status(201)
            });
            let woken = woken.expect_status(200);
            assert_eq!(
                (woken.header("etag"), woken.header("preference-applied")),
                (Some(&*format!("\"{}\"", round + 1)), Some("wait=25"))
            );
        }
    }

    async fn whatever_changes_the_answer_wakes(bank: &TestBank) {
        let (ada, bob, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        ada.deposit("100").await.expect_status(201);
        let changes_after = async |what: &str, path: String, change: &dyn AsyncChange| {
            let tag = ada.tag_of(&path).await;
            let mut waiting = Box::pin(ada.wait_for_another(&path, &tag));
            tokio::select! {
                answer = &mut waiting => panic!("{what}: {} before anything has changed", answer.status),
                () = tokio::time::sleep(A_WHILE) => {}
            }
            change.make().await;
            let answer = waiting.await.expect_status(200);
            assert_ne!(answer.header("etag"), Some(&*tag), "{what}");
        };
        let hold = std::sync::Mutex::new(String::new());
        let held = || hold.lock().expect("no panic").clone();
        changes_after("a withdrawal", ada.balance_path(), &async || drop(ada.withdraw("1").await.expect_status(201)))
            .await;
        bob.deposit("1").await.expect_status(201);
        changes_after("money that comes", ada.history_path(), &async || {
            drop(bob.transfer(&ada.account, "1").await.expect_status(201))
        })
        .await;
        changes_after("a hold", ada.balance_path(), &async || {
            let id = ada.place_hold("5", None).await;
            *hold.lock().expect("no panic") = id;
        })
        .await;
        changes_after("a capture", ada.balance_path(), &async || {
            drop(
                ada.post(&format!("/holds/{}/capture", held()), json!({"amount": "2"})).send().await.expect_status(201),
            );
        })
        .await;
        let id = ada.place_hold("5", None).await;
        changes_after("a release", ada.balance_path(), &async || {
            drop(ada.request(Method::POST, &format!("/holds/{id}/release")).send().await.expect_status(200));
        })
        .await;
        changes_after("a label", ada.account_path(), &async || {
            drop(ada.rename(json!("Savings")).await.expect_status(200))
        })
        .await;
        changes_after("a freeze", ada.account_path(), &async || {
            drop(clerk.gives_status(&ada, "frozen").await.expect_status(200))
        })
        .await;
        let note = json!({"metadata": {"kind": "savings"}});
        changes_after("a note", ada.account_path(), &async || {
            drop(ada.request(Method::PATCH, &ada.account_path()).json(note.clone()).send().await.expect_status(200));
        })
        .await;
        changes_after("an overdraft", ada.balance_path(), &async || {
            drop(clerk.set_limits_of(&ada.account, json!({"overdraft": "5"})).await.expect_status(200));
        })
        .await;
        // What this process has not done itself.
        let thaw = format!(
            "update accounts set status = 'open', frozen_by_admin = false where account_number = {}",
            ada.account
        );
        changes_after("another program", ada.account_path(), &async || bank.tamper(&thaw).await).await;
        for status in ["frozen", "open"] {
            clerk.gives_status(&ada, status).await.expect_status(200);
        }
        let soon = coffer_core::timestamp::Timestamp::now().plus(Duration::from_secs(1)).to_string();
        ada.place_hold("5", Some(soon)).await;
        changes_after("time", ada.balance_path(), &async || {}).await;
    }

    async fn what_does_not_change_the_answer_lets_it_wait(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("100").await.expect_status(201);
        let ask =
            ada.get(&ada.history_path()).header("If-None-Match", "\"1\"").header("Prefer", "wait=1, handling=strict");
        let started = Instant::now();
        let (answer, _) = tokio::join!(ask.send(), ada.rename(json!("Savings")));
        assert!(started.elapsed() >= Duration::from_secs(1));
        assert_unchanged(&answer, "\"1\"");
        assert_eq!(answer.header("preference-applied"), Some("wait=1"));
        // The web app's address, too, has an ETag, and nothing to wait for.
        let page = bank.get("/").send().await.expect_status(200);
        let page =
            bank.get("/").header("If-None-Match", page.header("etag").expect("an ETag")).header("Prefer", "wait=25");
        assert_eq!(page.send().await.expect_status(304).header("preference-applied"), None);
    }

    async fn who_asks_to_wait_for_nothing_is_answered_at_once(bank: &TestBank) {
        let ada = bank.customer().await;
        let started = Instant::now();
        for path in ada.versioned_paths() {
            let without = ada.get(&path).header("Prefer", "wait=25").send().await.expect_status(200);
            assert_eq!(without.header("preference-applied"), None);
            let other = ada.get(&path).header("If-None-Match", "\"77\"").header("Prefer", "wait=40").send().await;
            assert_eq!(other.expect_status(200).header("preference-applied"), Some("wait=25"));
            for prefer in ["respond-async", "wait=soon", "wait=0"] {
                let same = ada.get(&path).header("If-None-Match", "\"0\"").header("Prefer", prefer).send().await;
                assert_unchanged(&same, "\"0\"");
            }
        }
        ada.get("/me").header("If-None-Match", "\"0\"").header("Prefer", "wait=25").send().await.expect_status(200);
        assert!(started.elapsed() < SOON);
    }

    async fn who_has_lost_the_right_meanwhile_sees_nothing(bank: &TestBank) {
        let (ada, clerk, admin) = (bank.customer().await, bank.employee("staff").await, bank.employee("admin").await);
        ada.deposit("1").await.expect_status(201);
        let id = clerk.get("/me").send().await.expect_status(200).text_at("/id");
        let other_session = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200).text_at("/access_token");
        let path = ada.balance_path();
        let of_session = ada.wait_for_another(&path, "\"1\"");
        let of_clerk = clerk.wait_for_another(&path, "\"1\"");
        let meanwhile = async {
            tokio::time::sleep(A_WHILE).await;
            ada.request(Method::POST, "/logout").send().await.expect_status(204);
            let role = admin.request(Method::PUT, &format!("/users/{id}/role")).json(json!({"role": "customer"}));
            role.send().await.expect_status(200);
            let body = json!({"account_number": ada.account, "amount": "1"});
            bank.post("/deposit", body).bearer(&other_session).send().await.expect_status(201);
        };
        let (of_session, of_clerk, ()) = tokio::join!(of_session, of_clerk, meanwhile);
        assert_eq!(of_session.expect_problem(401, "invalid_token").header("etag"), None);
        assert_eq!(of_clerk.expect_problem(404, "account_not_found").header("etag"), None);
    }

    async fn a_crowd_that_waits_keeps_nobody_from_the_bank(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("10").await.expect_status(201);
        let crowd = wait_in_every_place(&ada).await;
        let refused = ada.wait_for_another(&ada.balance_path(), "\"1\"").await.expect_problem(429, "too_many_waiting");
        assert_eq!(refused.header("retry-after"), Some("1"));
        // Not one connection to the database is taken by those who wait.
        for _ in 0..5 {
            bob.deposit("1").await.expect_status(201);
            bank.get("/readyz").send().await.expect_status(200);
            bob.history().await;
        }
        ada.deposit("1").await.expect_status(201);
        let statuses = tokio::time::timeout(SOON, join_all(crowd.into_iter().map(status_on))).await.expect("answers");
        assert_eq!(statuses.iter().filter(|status| *status == "200").count(), MAX_OF_A_CALLER);
        ada.ask_knowing(&ada.balance_path(), "\"1\"").await.expect_status(200);
    }

    async fn of_clients_that_have_gone_nothing_waits(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("10").await.expect_status(201);
        let crowd = wait_in_every_place(&ada).await;
        for (index, stream) in crowd.into_iter().enumerate() {
            // Some close, and some with a reset.
            if index % 2 == 0 {
                stream.set_zero_linger().expect("a setting");
            }
        }
        eventually("all of their places are free", async || {
            let path = ada.balance_path();
            let one_more = || ada.get(&path).header("If-None-Match", "\"1\"").header("Prefer", "wait=1").send();
            join_all((0..MAX_OF_A_CALLER).map(|_| one_more())).await.iter().all(|answer| answer.status == 304)
        })
        .await;
    }
}

/// The status that comes on a connection.
async fn status_on(mut stream: TcpStream) -> String {
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await.expect("an answer");
    String::from_utf8_lossy(&begin[9..]).into_owned()
}

/// Connections with requests that wait, until the caller may have no more of them waiting.
async fn wait_in_every_place(caller: &Customer<'_>) -> Vec<TcpStream> {
    let mut waiting = Vec::new();
    loop {
        let mut stream = TcpStream::connect(caller.bank.address).await.expect("a connection");
        stream.write_all(waiting_request(caller).as_bytes()).await.expect("sent");
        // All but the last wait on: only where there may be no more is an answer waited for.
        let patience = if waiting.len() < MAX_OF_A_CALLER { Duration::ZERO } else { A_WHILE };
        if tokio::time::timeout(patience, stream.readable()).await.is_ok() {
            return waiting;
        }
        waiting.push(stream);
    }
}

/// A change that a test makes.
trait AsyncChange {
    fn make(&self) -> futures_util::future::LocalBoxFuture<'_, ()>;
}

impl<F: AsyncFn()> AsyncChange for F {
    fn make(&self) -> futures_util::future::LocalBoxFuture<'_, ()> {
        Box::pin(self())
    }
}

/// A request that waits, as it is sent.
fn waiting_request(caller: &Customer<'_>) -> String {
    let (path, token) = (caller.balance_path(), &caller.token);
    format!(
        "GET {path} HTTP/1.1\r\nHost: bank\r\nAuthorization: Bearer {token}\r\nIf-None-Match: \"1\"\r\nPrefer: wait=25\r\n\r\n"
    )
}

bank_tests! {
    with &["--approval-above", "1000"];

    async fn what_waits_for_approval_was_held_against_the_version_when_it_was_asked_for(bank: &TestBank) {
        let (ada, clerk, boss) = (bank.customer().await, bank.employee("staff").await, bank.employee("staff").await);
        ada.deposit("10").await.expect_status(201);
        let ask = async |tag: &str| {
            let body = json!({"account_number": ada.account, "amount": "5000"});
            clerk.post("/deposit", body).header("If-Match", tag).send().await
        };
        ask("\"0\"").await.expect_problem(412, "balance_moved_on");
        let id = ask("\"1\"").await.expect_status(202).text_at("/id");
        ada.deposit("1").await.expect_status(201);
        boss.request(Method::POST, &format!("/approvals/{id}/approve")).send().await.expect_status(200);
        assert_eq!(ada.balance().await, "5011.00");
        // One that takes money reserves it, and says so at once; so does its end.
        let path = ada.balance_path();
        let tag = ada.tag_of(&path).await;
        let body = json!({"account_number": ada.account, "amount": "4000"});
        let ask = async || clerk.post("/withdraw", body.clone()).send().await.expect_status(202).text_at("/id");
        let (reserved, id) = tokio::join!(ada.wait_for_another(&path, &tag), ask());
        let reserved = reserved.expect_status(200).header("etag").expect("an ETag").to_owned();
        assert_ne!(reserved, tag);
        let reject = clerk.request(Method::POST, &format!("/approvals/{id}/reject")).send();
        let (free, _) = tokio::join!(ada.wait_for_another(&path, &reserved), reject);
        assert_eq!(free.expect_status(200).header("etag"), Some(&*tag));
    }
}

async fn who_waits_is_answered_when_the_bank_closes(kind: Kind) {
    let bank = TestBank::open(kind).await;
    let request = {
        let ada = bank.customer().await;
        ada.deposit("1").await.expect_status(201);
        waiting_request(&ada)
    };
    let mut stream = TcpStream::connect(bank.address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut byte = [0; 12];
    let early = tokio::time::timeout(A_WHILE, stream.read_exact(&mut byte)).await;
    assert!(early.is_err(), "an answer before anything has changed");
    let started = Instant::now();
    let (_, read) = tokio::join!(bank.close_with_books_right(), stream.read_exact(&mut byte));
    read.expect("an answer");
    assert_eq!(&byte, b"HTTP/1.1 304");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_answered_when_the_bank_closes_on_sqlite() {
    who_waits_is_answered_when_the_bank_closes(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_answered_when_the_bank_closes_on_postgres() {
    who_waits_is_answered_when_the_bank_closes(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_at_one_instance_hears_of_another() {
    let bank = TestBank::open(Kind::Postgres).await;
    let (address, twin) = bank.twin().await;
    let ada = bank.customer().await;
    for path in ada.versioned_paths() {
        let tag = ada.tag_of(&path).await;
        let same_there = bank.request_to(address, Method::GET, &path).bearer(&ada.token).header("If-None-Match", &tag);
        assert_unchanged(&same_there.send().await, &tag);
        let there = bank.request_to(address, Method::GET, &path).bearer(&ada.token);
        let there = there.header("If-None-Match", &tag).header("Prefer", "wait=25").send();
        let (woken, _) = tokio::join!(tokio::time::timeout(SOON, there), async {
            tokio::time::sleep(A_WHILE).await;
            ada.deposit("1").await.expect_status(201)
        });
        assert_ne!(woken.expect("an answer that is woken").expect_status(200).header("etag"), Some(&*tag));
    }
    twin.close().await;
    bank.close_with_books_right().await;
}

/// A request that waits counts once, however often its answer is made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_waits_counts_once() {
    let bank = TestBank::open_with(Kind::Sqlite, &["--caller-rate", "1"]).await;
    let ada = bank.customer().await;
    ada.deposit("1").await.expect_status(201);
    let path = ada.history_path();
    let remaining = async || {
        let answer = ada.get(&path).header("If-None-Match", "\"1\"").header("Prefer", "wait=1").send().await;
        let header = answer.header("ratelimit").expect("a limit").to_owned();
        assert_unchanged(&answer, "\"1\"");
        header.split("r=").nth(1).and_then(|rest| rest.split(';').next()?.parse::<i64>().ok()).expect("a number")
    };
    // Each takes a second, in which one comes back.
    let first = remaining().await;
    for _ in 0..2 {
        assert!(remaining().await >= first - 1);
    }
    bank.close_with_books_right().await;
}
