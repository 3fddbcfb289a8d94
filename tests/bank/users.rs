//! Becoming a customer, the profile, and leaving.

use reqwest::Method;
use serde_json::json;

use crate::harness::{PASSWORD, bank_tests};

bank_tests! {
    async fn a_customer_gets_a_user_and_an_account(bank: &TestBank) {
        let body = json!({"name": " Ada Lovelace ", "email": "Ada@Example.com", "password": PASSWORD});
        let answer = bank.post("/create_account", body).send().await.expect_status(201);
        assert_eq!(answer.text_at("/user/name"), "Ada Lovelace");
        assert_eq!(answer.text_at("/user/email"), "ada@example.com");
        assert_eq!(answer.text_at("/account/currency"), "USD");
        let location = format!("/accounts/{}", answer.text_at("/account/account_number"));
        assert_eq!(answer.header("location"), Some(&*location));
        assert!(!answer.body.to_string().contains("argon2"));
    }

    async fn one_address_is_one_user(bank: &TestBank) {
        let ada = bank.customer().await;
        let body = json!({"name": "Twin", "email": ada.email.to_uppercase(), "password": PASSWORD});
        bank.post("/create_account", body).send().await.expect_problem(409, "email_taken");
    }

    async fn of_parallel_registrations_of_one_address_one_wins(bank: &TestBank) {
        let body = json!({"name": "Ada", "email": "race@example.com", "password": PASSWORD});
        let answers =
            futures_util::future::join_all((0..8).map(|_| bank.post("/create_account", body.clone()).send())).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
        for answer in answers.into_iter().filter(|answer| answer.status != 201) {
            answer.expect_problem(409, "email_taken");
        }
    }

    async fn bad_fields_are_named_all_at_once(bank: &TestBank) {
        let body = json!({"name": " ", "email": "nonsense", "password": PASSWORD});
        let answer = bank.post("/create_account", body).send().await.expect_problem(422, "validation_failed");
        assert_eq!(answer.pointers(), ["/email", "/name"]);
        for (name, email, password, code) in [
            ("x\u{0}", "a@example.com", PASSWORD, "name_control_characters"),
            ("a\nb", "a@example.com", PASSWORD, "name_control_characters"),
            (&*"x".repeat(101), "a@example.com", PASSWORD, "name_too_long"),
            ("Ada", "a@", PASSWORD, "email_malformed"),
            ("Ada", "", PASSWORD, "email_malformed"),
            ("Ada", "a b@example.com", PASSWORD, "email_malformed"),
            ("Ada", "a@exa\u{0}mple.com", PASSWORD, "email_malformed"),
            ("Ada", &*format!("{}@example.com", "x".repeat(250)), PASSWORD, "email_too_long"),
            ("Ada", "a@example.com", "short", "password_too_short"),
            ("Ada", "a@example.com", "iloveyou1", "password_common"),
            ("Ada", "someone.else@example.com", "someone.else", "password_guessable"),
            ("Ada", "a@example.com", &*"x".repeat(129), "password_too_long"),
        ] {
            let body = json!({"name": name, "email": email, "password": password});
            bank.post("/create_account", body).send().await.expect_problem(422, code);
        }
        let longest = json!({"name": "x".repeat(100), "email": "a@example.com", "password": "é".repeat(128)});
        bank.post("/create_account", longest).send().await.expect_status(201);
        bank.sign_in("a@example.com", &"é".repeat(128)).await.expect_status(200);
    }

    async fn name_and_address_can_be_changed(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let change = |body| ada.request(Method::PATCH, "/me").json(body);
        assert_eq!(change(json!({"name": "Ada King"})).send().await.expect_status(200).body["name"], "Ada King");
        let address = format!("new.{}", ada.email);
        change(json!({"email": address})).send().await.expect_problem(422, "current_password_required");
        let wrong = json!({"email": address, "current_password": "not the password"});
        change(wrong).send().await.expect_problem(403, "wrong_password");
        let taken = json!({"email": bob.email, "current_password": PASSWORD});
        change(taken).send().await.expect_problem(409, "email_taken");
        change(json!({"email": address, "current_password": PASSWORD})).send().await.expect_status(200);
        let me = ada.get("/me").send().await.expect_status(200);
        assert_eq!((&me.body["name"], &me.body["email"]), (&json!("Ada King"), &json!(address)));
        bank.sign_in(&ada.email, PASSWORD).await.expect_problem(401, "invalid_credentials");
        bank.sign_in(&address, PASSWORD).await.expect_status(200);
    }

    async fn a_new_password_ends_the_other_sessions(bank: &TestBank) {
        let ada = bank.customer().await;
        let other = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        let change = |current: &str, new: &str| {
            ada.request(Method::PUT, "/me/password").json(json!({"current_password": current, "new_password": new}))
        };
        change("not the password", "a new and better one").send().await.expect_problem(403, "wrong_password");
        let weak = change(PASSWORD, "password1").send().await.expect_problem(422, "password_common");
        assert_eq!(weak.pointers(), ["/new_password"]);
        change(PASSWORD, "a new and better one").send().await.expect_status(204);
        ada.get("/me").send().await.expect_status(200);
        bank.get("/me").bearer(&other.text_at("/access_token")).send().await.expect_problem(401, "invalid_token");
        bank.sign_in(&ada.email, PASSWORD).await.expect_problem(401, "invalid_credentials");
        bank.sign_in(&ada.email, "a new and better one").await.expect_status(200);
    }

    async fn leaving_needs_closed_accounts_and_forgets_the_person(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("1").await.expect_status(201);
        ada.request(Method::DELETE, "/me").send().await.expect_problem(409, "accounts_open");
        ada.withdraw("1").await.expect_status(201);
        ada.request(Method::DELETE, &format!("/accounts/{}", ada.account)).send().await.expect_status(204);
        ada.request(Method::DELETE, "/me").send().await.expect_status(204);
        ada.get("/me").send().await.expect_problem(401, "invalid_token");
        bank.sign_in(&ada.email, PASSWORD).await.expect_problem(401, "invalid_credentials");
        // Nor does what staff search keep the name.
        let kept = "update users set search_text = 'ada' where status = 'closed'";
        assert!(bank.try_to_tamper(kept).await.is_err());
        let again = json!({"name": "Ada", "email": ada.email, "password": PASSWORD});
        bank.post("/create_account", again).send().await.expect_status(201);
    }
}
