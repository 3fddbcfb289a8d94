//! A recent proof for what cannot be taken back, a customer's own limit, and guesses beside a token.

use reqwest::Method;
use serde_json::{Value, json};

use crate::databases::{Kind, TestDatabase};
use crate::harness::{Answer, Customer, PASSWORD, TestBank, bank_tests, claims_of, eventually};

impl Customer<'_> {
    async fn prove(&self, body: Value) -> Answer {
        self.post("/me/proof", body).send().await
    }

    /// The same with the token of a good proof.
    async fn proven(&self) -> Self {
        let answer = self.prove(json!({"password": PASSWORD})).await.expect_status(200);
        Self { token: answer.text_at("/access_token"), ..self.a_while_later() }
    }

    async fn set_limit(&self, limit: Value) -> Answer {
        self.request(Method::PATCH, "/me").json(json!({"confirm_above": limit})).send().await
    }

    async fn close_account(&self, number: &str) -> Answer {
        self.request(Method::DELETE, &format!("/accounts/{number}")).send().await
    }

    async fn guess(&self, number: usize) -> Answer {
        let password = format!("guess number {number}");
        match number % 5 {
            0 => self.prove(json!({"password": password})).await,
            1 => {
                let body = json!({"current_password": password, "new_password": "another good phrase"});
                self.request(Method::PUT, "/me/password").json(body).send().await
            }
            2 => {
                let body = json!({"email": "somebody.else@example.com", "current_password": password});
                self.request(Method::PATCH, "/me").json(body).send().await
            }
            3 => self.post("/me/second_factor", json!({"password": password})).send().await,
            _ => self.post("/me/second_factor/remove", json!({"password": password, "code": "123456"})).send().await,
        }
    }
}

bank_tests! {
    async fn a_proof_is_good_for_the_session_that_gave_it(bank: &TestBank) {
        let ada = bank.customer().await;
        let other = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        let later = ada.a_while_later();
        let refused = later.close_account(&ada.account).await.expect_problem(401, "recent_sign_in_required");
        let challenge = "Bearer error=\"insufficient_user_authentication\", max_age=300";
        assert_eq!(refused.header("www-authenticate"), Some(challenge));
        // What can be taken back goes on.
        later.deposit("5").await.expect_status(201);
        later.withdraw("5").await.expect_status(201);

        later.prove(json!({"password": "not the password"})).await.expect_problem(403, "wrong_password");
        let proven = later.prove(json!({"password": PASSWORD})).await.expect_status(200);
        assert_eq!(proven.body.get("refresh_token"), None);
        assert_eq!((&proven.body["token_type"], &proven.body["expires_in"]), (&json!("Bearer"), &json!(900)));
        let proven = Customer { token: proven.text_at("/access_token"), ..ada.a_while_later() };
        proven.close_account(&ada.account).await.expect_status(204);
        // Another session has shown nothing.
        let other = Customer { token: other.text_at("/access_token"), ..ada.a_while_later() }.a_while_later();
        other.request(Method::DELETE, "/me").send().await.expect_problem(401, "recent_sign_in_required");
        proven.request(Method::DELETE, "/me").send().await.expect_status(204);
    }

    async fn a_refresh_makes_no_proof_newer_and_loses_none(bank: &TestBank) {
        let ada = bank.customer().await;
        let of_ada = format!("user_id = (select id from users where email = '{}')", ada.email);
        let refresh =
            async |token: &str| bank.post("/refresh", json!({"refresh_token": token})).send().await.expect_status(200);
        let renewed = refresh(&ada.refresh_token).await;
        let auth_time = |token: &str| claims_of(token)["auth_time"].clone();
        assert_eq!(auth_time(&renewed.text_at("/access_token")), auth_time(&ada.token));
        bank.tamper(&format!("update sessions set proven_at = proven_at - 301000000 where {of_ada}")).await;
        let renewed = refresh(&renewed.text_at("/refresh_token")).await;
        let later = Customer { token: renewed.text_at("/access_token"), ..ada.a_while_later() };
        later.close_account(&ada.account).await.expect_problem(401, "recent_sign_in_required");
        later.proven().await;
        let renewed = refresh(&renewed.text_at("/refresh_token")).await;
        let proven = Customer { token: renewed.text_at("/access_token"), ..ada.a_while_later() };
        proven.close_account(&ada.account).await.expect_status(204);
        // A proof of the session that has ended counts for nothing.
        proven.post("/logout", json!({})).send().await.expect_status(204);
        proven.prove(json!({"password": PASSWORD})).await.expect_problem(401, "invalid_token");
    }

    async fn a_code_is_a_proof_too_and_good_once(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.prove(json!({"code": "123456"})).await.expect_problem(409, "second_factor_missing");
        let (app, recovery) = ada.use_second_factor().await;
        let later = ada.a_while_later();
        later.prove(json!({"code": "12345x"})).await.expect_problem(403, "invalid_second_factor");
        later.prove(json!({"code": app.code(0)})).await.expect_problem(403, "invalid_second_factor");
        let proven = later.prove(json!({"code": app.code(1)})).await.expect_status(200);
        let proven = Customer { token: proven.text_at("/access_token"), ..ada.a_while_later() };
        proven.close_account(&ada.account).await.expect_status(204);
        later.prove(json!({"code": app.code(1)})).await.expect_problem(403, "invalid_second_factor");
        later.prove(json!({"code": recovery[0]})).await.expect_status(200);
        later.prove(json!({"code": recovery[0]})).await.expect_problem(403, "invalid_second_factor");
        let neither = later.prove(json!({})).await.expect_problem(422, "missing_field");
        assert_eq!(neither.pointers(), ["/password"]);
        let both = later.prove(json!({"password": PASSWORD, "code": recovery[1]})).await;
        both.expect_problem(422, "unknown_field");
    }

    async fn ten_wrong_guesses_on_any_route_and_instance_end_the_session(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        let thief = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        // The sign-in forgets wrong guesses, so the thief comes after it.
        let thief = Customer {
            token: thief.text_at("/access_token"),
            refresh_token: thief.text_at("/refresh_token"),
            ..ada.a_while_later()
        };
        let (address, twin) = bank.twin().await;
        for number in 0..10 {
            if number == 4 {
                // What is right is no guess.
                for _ in 0..12 {
                    thief.prove(json!({"password": PASSWORD})).await.expect_status(200);
                }
            }
            if number % 2 == 0 {
                let body = json!({"password": format!("guess {number}")});
                let there = bank.request_to(address, Method::POST, "/me/proof").bearer(&thief.token).json(body);
                there.send().await.expect_problem(403, "wrong_password");
            } else {
                thief.guess(number).await.expect_problem(403, "wrong_password");
            }
        }
        eventually("the session has ended on both", async || {
            let here = thief.get("/me").send().await;
            let there = bank.request_to(address, Method::GET, "/me").bearer(&thief.token).send().await;
            here.status == 401 && there.status == 401
        })
        .await;
        twin.close().await;
        thief.prove(json!({"password": PASSWORD})).await.expect_problem(401, "invalid_token");
        let again = bank.post("/refresh", json!({"refresh_token": thief.refresh_token})).send().await;
        again.expect_problem(401, "invalid_refresh_token");
        let records = auditor.get("/audit?action=session_ended").send().await.expect_status(200);
        assert_eq!(records.body["data"][0]["detail"], json!("10 wrong passwords or codes"));
        eventually("the guesses are on record", async || {
            let records = auditor.get("/audit?action=proof_failed").send().await.expect_status(200);
            records.body["data"].as_array().is_some_and(|records| records.len() == 10)
        })
        .await;
        // The owner is not signed out, nor locked out; whoever signs in may mistype again.
        ada.get("/me").send().await.expect_status(200);
        let tokens = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        let owner = Customer { token: tokens.text_at("/access_token"), ..ada.a_while_later() };
        owner.prove(json!({"password": "mistyped"})).await.expect_problem(403, "wrong_password");
        owner.prove(json!({"password": PASSWORD})).await.expect_status(200);
    }

    async fn a_sign_in_of_the_owner_forgives_no_session_its_guesses(bank: &TestBank) {
        let ada = bank.customer().await;
        for number in 0..9 {
            ada.guess(number).await.expect_problem(403, "wrong_password");
        }
        bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        ada.guess(9).await.expect_problem(403, "wrong_password");
        ada.get("/me").send().await.expect_problem(401, "invalid_token");
    }

    async fn the_guesses_of_one_session_end_no_other(bank: &TestBank) {
        let ada = bank.customer().await;
        let tokens = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        let owner = Customer { token: tokens.text_at("/access_token"), ..ada.a_while_later() };
        for number in 0..10 {
            ada.guess(number).await.expect_problem(403, "wrong_password");
        }
        ada.get("/me").send().await.expect_problem(401, "invalid_token");
        // What is right is not looked at either, and yet it is not taken for one guess too many.
        owner.prove(json!({"password": PASSWORD})).await.expect_problem(401, "recent_sign_in_required");
        owner.get("/me").send().await.expect_status(200);
        bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        owner.prove(json!({"password": PASSWORD})).await.expect_status(200);
    }

    async fn of_many_guesses_at_once_ten_are_looked_at(bank: &TestBank) {
        let ada = bank.customer().await;
        let answers = futures_util::future::join_all((0..40).map(|number| ada.guess(number))).await;
        let looked_at = answers.iter().filter(|answer| answer.status == 403).count();
        assert_eq!(looked_at, 10);
        for answer in answers.into_iter().filter(|answer| answer.status != 403) {
            answer.expect_problem(401, "invalid_token");
        }
        // Nor does another session of the same user get any.
        let tokens = bank.sign_in(&ada.email, "not the password").await;
        tokens.expect_problem(401, "invalid_credentials");
    }

    async fn codes_are_guesses_like_passwords(bank: &TestBank) {
        let ada = bank.customer().await;
        let (app, recovery) = ada.use_second_factor().await;
        for number in 0..9 {
            let code = if number % 2 == 0 { format!("{number:06}") } else { format!("{}x", recovery[0]) };
            ada.prove(json!({"code": code})).await.expect_problem(403, "invalid_second_factor");
        }
        // Both are right, so it is gone; and a new enrolment's codes are not free guesses.
        let body = json!({"password": PASSWORD, "code": app.code(1)});
        ada.post("/me/second_factor/remove", body).send().await.expect_status(204);
        ada.post("/me/second_factor", json!({"password": PASSWORD})).send().await.expect_status(200);
        let wrong = ada.post("/me/second_factor/confirm", json!({"code": "12345x"})).send().await;
        wrong.expect_problem(403, "invalid_second_factor");
        ada.get("/me").send().await.expect_problem(401, "invalid_token");
        bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
    }

    async fn movements_above_ones_own_limit_ask_for_a_proof(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("5000").await.expect_status(201);
        let second = ada.open_account(json!({})).await.expect_status(201).text_at("/account_number");
        ada.transfer(&second, "1000").await.expect_status(201);
        let later = ada.a_while_later();
        assert_eq!(later.get("/me").send().await.body["confirm_above"], Value::Null);
        later.withdraw("600").await.expect_status(201);
        // Setting and lowering take no proof, and count at once, for tokens of before as well.
        assert_eq!(later.set_limit(json!("700")).await.expect_status(200).text_at("/confirm_above"), "700");
        later.set_limit(json!("500")).await.expect_status(200);
        assert_eq!(later.get("/me").send().await.text_at("/confirm_above"), "500");
        assert_eq!(ada.withdraw("500.01").await.status, 201, "a recent sign-in is a proof");
        later.withdraw("500.01").await.expect_problem(401, "recent_sign_in_required");
        later.transfer(&bob.account, "500.01").await.expect_problem(401, "recent_sign_in_required");
        later.withdraw("500.00").await.expect_status(201);
        later.deposit("600").await.expect_status(201);
        // A batch counts as its sum, over the customer's accounts.
        let item =
            |account: &str, amount: &str| json!({"type": "withdrawal", "account_number": account, "amount": amount});
        let batch = |amount: &str| json!({"transactions": [item(&ada.account, amount), item(&second, "250")]});
        later.post("/transactions/batch", batch("250.01")).send().await.expect_problem(401, "recent_sign_in_required");
        later.post("/transactions/batch", batch("250")).send().await.expect_status(200);
        // A change of the name leaves it as it is.
        let name =
            later.request(Method::PATCH, "/me").json(json!({"name": "Ada King"})).send().await.expect_status(200);
        assert_eq!(name.text_at("/confirm_above"), "500");

        // New tokens say so, too; raising and removing take a proof.
        let renewed =
            bank.post("/refresh", json!({"refresh_token": ada.refresh_token})).send().await.expect_status(200);
        let renewed = Customer { token: renewed.text_at("/access_token"), ..ada.a_while_later() }.a_while_later();
        for looser in [json!("501"), Value::Null] {
            renewed.set_limit(looser).await.expect_problem(401, "recent_sign_in_required");
        }
        renewed.set_limit(json!("500")).await.expect_status(200);
        renewed.set_limit(json!("0")).await.expect_status(200);
        renewed.withdraw("0.01").await.expect_problem(401, "recent_sign_in_required");
        let proven = renewed.proven().await;
        proven.withdraw("600").await.expect_status(201);
        proven.set_limit(Value::Null).await.expect_status(200);
        renewed.withdraw("600").await.expect_status(201);
    }

    async fn a_limit_counts_on_other_instances_and_for_oneself(bank: &TestBank) {
        let (ada, staff) = (bank.customer().await, bank.employee("staff").await);
        ada.deposit("1000").await.expect_status(201);
        staff.deposit("1000").await.expect_status(201);
        let (address, twin) = bank.twin().await;
        let (later, clerk) = (ada.a_while_later(), staff.a_while_later());
        later.set_limit(json!("5")).await.expect_status(200);
        eventually("the other instance hears of it", async || {
            let body = json!({"account_number": ada.account, "amount": "6"});
            let there = bank.request_to(address, Method::POST, "/withdraw").bearer(&later.token).json(body);
            there.send().await.body["code"] == "recent_sign_in_required"
        })
        .await;
        twin.close().await;
        // Staff who act for others are not meant, with neither limit.
        clerk.set_limit(json!("5")).await.expect_status(200);
        clerk.post("/withdraw", json!({"account_number": ada.account, "amount": "6"})).send().await.expect_status(201);
        clerk.withdraw("6").await.expect_problem(401, "recent_sign_in_required");
    }

    async fn a_limit_is_whole_units_in_a_string(bank: &TestBank) {
        let ada = bank.customer().await;
        for wrong in [
            json!(500),
            json!("500.00"),
            json!(""),
            json!("-1"),
            json!("+1"),
            json!("1e3"),
            json!("05"),
            json!(" 5"),
            json!("99999999999999"),
            json!(true),
            json!({}),
            json!("५"),
        ] {
            let answer = ada.set_limit(wrong.clone()).await.expect_problem(422, "whole_units_malformed");
            assert_eq!(answer.pointers(), ["/confirm_above"], "{wrong}");
        }
        // Whole units of the account's currency, whatever its decimals.
        let kai = bank.customer_in("JPY").await;
        kai.deposit("1000").await.expect_status(201);
        kai.set_limit(json!("500")).await.expect_status(200);
        kai.a_while_later().withdraw("500").await.expect_status(201);
        kai.a_while_later().withdraw("501").await.expect_problem(401, "recent_sign_in_required");
    }
}

bank_tests! {
    with &["--staff-second-factor", "true"];

    async fn a_factor_that_was_taken_away_counts_for_nothing_at_once(bank: &TestBank) {
        let ada = bank.customer().await;
        let (_, recovery) = ada.use_second_factor().await;
        let renewed =
            bank.post("/refresh", json!({"refresh_token": ada.refresh_token})).send().await.expect_status(200);
        let (token, refresh) = (renewed.text_at("/access_token"), renewed.text_at("/refresh_token"));
        assert_eq!(claims_of(&token)["amr"], json!(["pwd", "otp"]));
        let (address, twin) = bank.twin_with(&["--staff-second-factor", "true"]).await;
        let removal = json!({"password": PASSWORD, "code": recovery[0]});
        bank.post("/me/second_factor/remove", removal).bearer(&token).send().await.expect_status(204);
        // Whoever becomes staff in that session has no rights, although its token says that there was a factor.
        bank.set_role(&ada.email, "staff").await;
        bank.tamper("update users set standing_changed_at = standing_changed_at + 1 where role = 'staff'").await;
        for instance in [bank.address, address] {
            eventually("the instance hears of the role", async || {
                let users = bank.request_to(instance, Method::GET, "/users").bearer(&token).send().await;
                assert_eq!(users.status, 403);
                users.body["code"] == "second_factor_enrolment_required"
            })
            .await;
        }
        let renewed = bank.post("/refresh", json!({"refresh_token": refresh})).send().await.expect_status(200);
        assert_eq!(claims_of(&renewed.text_at("/access_token"))["amr"], json!(["pwd"]));
        // A new one makes other codes, and the old recovery codes are void.
        let again = Customer { token: renewed.text_at("/access_token"), ..ada.a_while_later() };
        again.use_second_factor().await;
        again.prove(json!({"code": recovery[1]})).await.expect_problem(403, "invalid_second_factor");
        again.get("/users").send().await.expect_problem(403, "second_factor_enrolment_required");
        twin.close().await;
    }

    async fn what_the_command_line_resets_counts_on_a_running_server(bank: &TestBank) {
        let boss = bank.employee("admin").await;
        boss.use_second_factor().await;
        let renewed =
            bank.post("/refresh", json!({"refresh_token": boss.refresh_token})).send().await.expect_status(200);
        let boss = Customer { token: renewed.text_at("/access_token"), ..boss.a_while_later() };
        boss.get("/users").send().await.expect_status(200);
        coffer::admin::reset_second_factor(&bank.db, &boss.email).await.expect("a reset");
        eventually("the rights are gone", async || boss.get("/users").send().await.status == 401).await;
    }
}

async fn guesses_come_from_anywhere(kind: Kind) {
    let database = TestDatabase::create(kind).await;
    let bank = TestBank::open_on(database, &["--trusted-proxies", "127.0.0.1"]).await;
    let ada = bank.customer().await;
    let mut statuses = Vec::new();
    for number in 0..130 {
        let body = json!({"current_password": format!("guess {number}"), "new_password": "another good phrase"});
        let request = ada.request(Method::PUT, "/me/password").json(body);
        let answer = request.header("x-forwarded-for", &format!("198.51.100.{number}")).send().await;
        statuses.push(answer.status.as_u16());
    }
    assert_eq!(statuses[..10], [403; 10]);
    assert!(statuses[10..].iter().all(|status| *status == 401), "{statuses:?}");
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_from_many_networks_are_ten_on_sqlite() {
    guesses_come_from_anywhere(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_from_many_networks_are_ten_on_postgres() {
    guesses_come_from_anywhere(Kind::Postgres).await;
}
