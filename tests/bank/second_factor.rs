//! The second factor: enrolment, sign-in, recovery, and roles that take one.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::json;
use totp_rs::{Builder, Secret, Totp};

use crate::harness::{Answer, Customer, PASSWORD, TestBank, bank_tests};

/// An authenticator app.
pub struct AuthenticatorApp {
    totp: Totp,
    /// When the secret was scanned, in seconds.
    since: u64,
}

impl AuthenticatorApp {
    pub fn scan(enrolment: &Answer) -> Self {
        let secret = Secret::try_from_base32(enrolment.text_at("/secret")).expect("base 32");
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        Self { totp: Builder::new().with_secret(secret).build_noncompliant(), since }
    }

    /// The code of a step: 0 is the one at the start. The server takes 0 and 1 for at least half a minute.
    pub fn code(&self, step: u64) -> String {
        self.totp.generate(self.since + 30 * step).to_string()
    }
}

impl Customer<'_> {
    async fn enrol(&self) -> AuthenticatorApp {
        let answer = self.post("/me/second_factor", json!({"password": PASSWORD})).send().await.expect_status(200);
        AuthenticatorApp::scan(&answer)
    }

    async fn confirm(&self, code: &str) -> Answer {
        self.post("/me/second_factor/confirm", json!({"code": code})).send().await
    }

    /// Enrols and confirms with the code of step 0. Returns the recovery codes too.
    pub async fn use_second_factor(&self) -> (AuthenticatorApp, Vec<String>) {
        let app = self.enrol().await;
        let answer = self.confirm(&app.code(0)).await.expect_status(200);
        let codes = answer.body["recovery_codes"].as_array().expect("codes");
        (app, codes.iter().map(|code| code.as_str().expect("a text").to_owned()).collect())
    }
}

async fn sign_in(bank: &TestBank, email: &str, code: &str) -> Answer {
    bank.post("/login", json!({"email": email, "password": PASSWORD, "code": code})).send().await
}

bank_tests! {
    async fn an_enrolment_that_was_begun_is_no_factor_to_reset(bank: &TestBank) {
        let (ada, admin) = (bank.customer().await, bank.employee("admin").await);
        ada.enrol().await;
        let id = ada.get("/me").send().await.text_at("/id");
        let reset = || admin.request(Method::DELETE, &format!("/users/{id}/second_factor")).send();
        reset().await.expect_problem(409, "second_factor_missing");
        ada.get("/me").send().await.expect_status(200);
        ada.use_second_factor().await;
        reset().await.expect_status(204);
    }

    async fn a_login_takes_a_code_once_an_app_is_confirmed(bank: &TestBank) {
        let ada = bank.customer().await;
        let status = ada.get("/me/second_factor").send().await.expect_status(200);
        assert_eq!(status.body, json!({"enabled": false, "required": false, "recovery_codes_left": 0}));
        let answer = ada.post("/me/second_factor", json!({"password": PASSWORD})).send().await.expect_status(200);
        let app = AuthenticatorApp::scan(&answer);
        assert!(answer.text_at("/otpauth_uri").contains(&answer.text_at("/secret")));
        assert!(answer.text_at("/qr_svg").contains("<svg"));

        // Not before it is confirmed: who scans nothing locks nobody out.
        let other = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200).text_at("/access_token");
        ada.confirm("000000x").await.expect_problem(403, "invalid_second_factor");
        let confirmed = ada.confirm(&app.code(0)).await.expect_status(200);
        assert_eq!(confirmed.body["recovery_codes"].as_array().map(Vec::len), Some(10));
        ada.confirm(&app.code(1)).await.expect_problem(409, "nothing_to_confirm");
        ada.post("/me/second_factor", json!({"password": PASSWORD}))
            .send()
            .await
            .expect_problem(409, "second_factor_enabled");
        // Other sessions began without and have ended; this one goes on.
        bank.get("/me").bearer(&other).send().await.expect_problem(401, "invalid_token");
        let status = ada.get("/me/second_factor").send().await.expect_status(200);
        assert_eq!(status.body, json!({"enabled": true, "required": false, "recovery_codes_left": 10}));

        bank.sign_in(&ada.email, PASSWORD).await.expect_problem(401, "second_factor_required");
        sign_in(bank, &ada.email, "123").await.expect_problem(401, "invalid_second_factor");
        let wrong = json!({"email": ada.email, "password": "wrong password", "code": app.code(1)});
        bank.post("/login", wrong).send().await.expect_problem(401, "invalid_credentials");
        let login = sign_in(bank, &ada.email, &app.code(1)).await.expect_status(200);
        let sessions = bank.get("/me/sessions").bearer(&login.text_at("/access_token")).send().await.expect_status(200);
        assert_eq!(sessions.body["data"][0]["second_factor"], json!(true));
    }

    async fn a_code_is_good_once(bank: &TestBank) {
        let ada = bank.customer().await;
        let (app, recovery) = ada.use_second_factor().await;
        // The code that confirmed is used up, and so is each that signed in, on whichever instance.
        sign_in(bank, &ada.email, &app.code(0)).await.expect_problem(401, "invalid_second_factor");
        let code = app.code(1);
        let body = json!({"email": ada.email, "password": PASSWORD, "code": code});
        let (address, twin) = bank.twin().await;
        let here = bank.post("/login", body.clone()).send();
        let there = bank.request_to(address, Method::POST, "/login").json(body).send();
        let (here, there) = tokio::join!(here, there);
        let mut statuses = [here.status.as_u16(), there.status.as_u16()];
        statuses.sort();
        assert_eq!(statuses, [200, 401]);
        twin.close().await;
        for (code, status) in
            [(recovery[0].to_uppercase(), 200), (recovery[0].clone(), 401), (recovery[1].replace('-', ""), 200)]
        {
            sign_in(bank, &ada.email, &code).await.expect_status(status);
        }
        let bob = bank.customer().await;
        bob.use_second_factor().await;
        sign_in(bank, &bob.email, &recovery[2]).await.expect_problem(401, "invalid_second_factor");
    }

    async fn guesses_at_codes_run_out_and_harm_nobody_else(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let (app, recovery) = ada.use_second_factor().await;
        for n in 0..10 {
            sign_in(bank, &ada.email, &format!("{n:06}")).await.expect_problem(401, "invalid_second_factor");
        }
        let answer = sign_in(bank, &ada.email, &app.code(1)).await.expect_problem(429, "too_many_codes");
        assert!(answer.header("retry-after").is_some());
        // Neither who has a recovery code nor who is inside is locked out.
        sign_in(bank, &ada.email, &recovery[0]).await.expect_status(200);
        let inside = json!({"password": PASSWORD, "code": app.code(1)});
        ada.post("/me/second_factor/remove", inside).send().await.expect_status(204);
        bank.sign_in(&bob.email, PASSWORD).await.expect_status(200);
    }

    async fn a_password_without_its_code_is_a_try(bank: &TestBank) {
        let ada = bank.customer().await;
        let (app, _) = ada.use_second_factor().await;
        for _ in 0..9 {
            bank.sign_in(&ada.email, PASSWORD).await.expect_problem(401, "second_factor_required");
        }
        sign_in(bank, &ada.email, &app.code(1)).await.expect_status(200);
        bank.sign_in(&ada.email, PASSWORD).await.expect_problem(401, "second_factor_required");
        bank.sign_in(&ada.email, PASSWORD).await.expect_problem(429, "too_many_sign_ins");
    }

    async fn it_takes_password_and_code_to_remove_it(bank: &TestBank) {
        let ada = bank.customer().await;
        let remove = async |password: &str, code: &str| {
            ada.post("/me/second_factor/remove", json!({"password": password, "code": code})).send().await
        };
        remove(PASSWORD, "123456").await.expect_problem(409, "second_factor_missing");
        let (app, recovery) = ada.use_second_factor().await;
        remove("wrong password", &app.code(1)).await.expect_problem(403, "wrong_password");
        remove(PASSWORD, "123").await.expect_problem(403, "invalid_second_factor");
        remove(PASSWORD, &app.code(1)).await.expect_status(204);
        bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        // A new enrolment has new recovery codes; the old ones are gone.
        ada.use_second_factor().await;
        sign_in(bank, &ada.email, &recovery[0]).await.expect_problem(401, "invalid_second_factor");
    }

    async fn an_admin_helps_who_has_lost_everything(bank: &TestBank) {
        let (ada, admin, staff) = (bank.customer().await, bank.employee("admin").await, bank.employee("staff").await);
        ada.use_second_factor().await;
        let id = ada.get("/me").send().await.text_at("/id");
        let path = format!("/users/{id}/second_factor");
        staff.request(Method::DELETE, &path).send().await.expect_problem(403, "role_required");
        admin.request(Method::DELETE, &path).send().await.expect_status(204);
        admin.request(Method::DELETE, &path).send().await.expect_problem(409, "second_factor_missing");
        ada.get("/me").send().await.expect_problem(401, "invalid_token");
        bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        let own = admin.get("/me").send().await.text_at("/id");
        let own = admin.request(Method::DELETE, &format!("/users/{own}/second_factor")).send().await;
        own.expect_problem(403, "not_for_oneself");
        for action in ["second_factor_enabled", "second_factor_removed"] {
            let records = admin.get(&format!("/audit?action={action}")).send().await.expect_status(200);
            assert_eq!(records.body["data"][0]["subject"], json!(id), "{action}");
        }
    }

    async fn a_new_password_voids_an_enrolment_that_was_begun_with_the_former_one(bank: &TestBank) {
        let ada = bank.customer().await;
        let app = ada.enrol().await;
        let body = json!({"current_password": PASSWORD, "new_password": "a new and better one"});
        ada.request(Method::PUT, "/me/password").json(body).send().await.expect_status(204);
        ada.confirm(&app.code(0)).await.expect_problem(409, "nothing_to_confirm");
    }

    async fn nobody_enrols_without_the_password(bank: &TestBank) {
        let ada = bank.customer().await;
        let wrong = ada.post("/me/second_factor", json!({"password": "wrong password"})).send().await;
        wrong.expect_problem(403, "wrong_password");
        ada.confirm("123456").await.expect_problem(409, "nothing_to_confirm");
    }
}

bank_tests! {
    with &["--staff-second-factor", "true"];

    async fn roles_may_take_a_second_factor(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("1").await.expect_status(201);
        for role in ["staff", "admin", "auditor"] {
            let employee = bank.employee(role).await;
            let status = employee.get("/me/second_factor").send().await.expect_status(200);
            assert_eq!(status.body["required"], json!(true));
            employee.get("/users").send().await.expect_problem(403, "second_factor_enrolment_required");
            let others = format!("/balance?account_number={}", ada.account);
            employee.get(&others).send().await.expect_problem(404, "account_not_found");
            employee.post("/accounts", json!({})).send().await.expect_problem(403, "second_factor_enrolment_required");

            let (app, recovery) = employee.use_second_factor().await;
            // The session has shown both, so its next access token has the rights.
            let renewed = json!({"refresh_token": employee.refresh_token});
            let renewed = bank.post("/refresh", renewed).send().await.expect_status(200).text_at("/access_token");
            let login = sign_in(bank, &employee.email, &app.code(1)).await.expect_status(200).text_at("/access_token");
            for token in [&renewed, &login] {
                bank.get("/users").bearer(token).send().await.expect_status(200);
                bank.get(&others).bearer(token).send().await.expect_status(200);
            }
            // Without it again, not even the token that was made with it has rights.
            let removal = json!({"password": PASSWORD, "code": recovery[0]});
            bank.post("/me/second_factor/remove", removal).bearer(&login).send().await.expect_status(204);
            bank.get("/users").bearer(&login).send().await.expect_problem(401, "invalid_token");
        }
        ada.deposit("1").await.expect_status(201);
    }
}
