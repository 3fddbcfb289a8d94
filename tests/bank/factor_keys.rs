//! Secrets of authenticator apps, encrypted where they lie.

use coffer::doctor;
use coffer_core::db::second_factors::StoredSecret;
use reqwest::Method;
use serde_json::json;
use totp_rs::Secret;

use crate::databases::Kind;
use crate::harness::{PASSWORD, TestBank, bank_tests};

const NEW: &str = "another key, of as many bytes as one needs";

async fn stored(bank: &TestBank) -> Vec<StoredSecret> {
    bank.db.snapshot().await.expect("a snapshot").all_secrets().await.expect("secrets")
}

fn generated_key(bank: &TestBank) -> String {
    std::fs::read_to_string(bank.database.directory.path().join("second_factor_key")).expect("a key")
}

/// As SQL on either database.
fn literal(bank: &TestBank, bytes: &[u8]) -> String {
    match bank.kind {
        Kind::Sqlite => format!("x'{}'", hex::encode(bytes)),
        Kind::Postgres => format!("'\\x{}'::bytea", hex::encode(bytes)),
    }
}

bank_tests! {
    async fn no_secret_lies_there_plain(bank: &TestBank) {
        let ada = bank.customer().await;
        let enrolment = ada.post("/me/second_factor", json!({"password": PASSWORD})).send().await.expect_status(200);
        let secret = Secret::try_from_base32(enrolment.text_at("/secret")).expect("base 32");
        let stored = stored(bank).await;
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].secret.len(), 57);
        assert!(!stored[0].secret.windows(20).any(|window| window == secret.as_ref()));
        assert_eq!(generated_key(bank).trim().len(), 64);
    }

    async fn a_row_in_anothers_place_opens_nothing(bank: &TestBank) {
        let (ada, eve) = (bank.customer().await, bank.customer().await);
        let (_, recovery) = ada.use_second_factor().await;
        let (app, _) = eve.use_second_factor().await;
        let of = |email: &str| format!("(select id from users where email = '{email}')");
        let before = stored(bank).await;
        bank.tamper(&format!(
            "update second_factors set secret = (select secret from second_factors where user_id = {}), last_step = 0
             where user_id = {}",
            of(&eve.email),
            of(&ada.email)
        ))
        .await;
        let body = |code: &str| json!({"email": ada.email, "password": PASSWORD, "code": code});
        bank.post("/login", body(&app.code(1))).send().await.expect_problem(500, "internal_error");
        // Ada is not locked out, and the doctor tells.
        bank.post("/login", body(&recovery[0])).send().await.expect_status(200);
        let keys = coffer_core::auth::factor_keys::FactorKeys::new(&generated_key(bank).trim().into(), None).expect("keys");
        let mut found = Vec::new();
        let good = doctor::examine_secrets(&bank.db, Some(&keys), |finding| found.push(finding.to_string())).await;
        assert!(!good.expect("an answer"), "{found:?}");
        let without = doctor::examine_secrets(&bank.db, None, |finding| found.push(finding.to_string())).await;
        assert!(without.expect("an answer"));
        assert!(found[1].starts_with("NOTE"), "{found:?}");
        let ada_id = ada.get("/me").send().await.text_at("/id");
        for each in before.iter().filter(|each| each.user_id.to_string() == ada_id) {
            bank.tamper(&format!(
                "update second_factors set secret = {} where user_id = {}",
                literal(bank, &each.secret),
                of(&ada.email)
            ))
            .await;
        }
    }

    async fn a_key_is_changed_in_two_starts_and_another_one_is_refused(bank: &TestBank) {
        let (ada, eve) = (bank.customer().await, bank.customer().await);
        let (app, recovery) = ada.use_second_factor().await;
        let old = generated_key(bank);
        let refusal = bank.refusal_of_twin_with(&["--second-factor-key", NEW]).await;
        for word in ["COFFER_SECOND_FACTOR_KEY", "1 authenticator app", "another key", "reset-second-factor"] {
            assert!(refusal.contains(word), "{word}: {refusal}");
        }
        // All read both, then the new one writes.
        let before = stored(bank).await;
        let (address, twin) = bank.twin_with(&["--second-factor-key", NEW, "--second-factor-key-previous", &old]).await;
        assert_ne!(before[0].secret, stored(bank).await[0].secret);
        let sign_in = async |address, code: &str| {
            let body = json!({"email": ada.email, "password": PASSWORD, "code": code});
            bank.request_to(address, Method::POST, "/login").json(body).send().await
        };
        sign_in(address, &app.code(1)).await.expect_status(200);
        twin.close().await;
        let (address, twin) = bank.twin_with(&["--second-factor-key", NEW]).await;
        sign_in(address, &recovery[0]).await.expect_status(200);
        // An instance that was left behind writes nothing that the others could not read, and locks nobody out.
        sign_in(bank.address, "123456").await.expect_problem(500, "internal_error");
        sign_in(bank.address, &recovery[1]).await.expect_status(200);
        eve.post("/me/second_factor", json!({"password": PASSWORD})).send().await.expect_problem(500, "internal_error");
        eve.get("/me").send().await.expect_status(200);
        twin.close().await;
        let (_, twin) = bank.twin_with(&["--second-factor-key-previous", NEW]).await;
        twin.close().await;
    }

    async fn a_bank_without_second_factors_takes_any_key(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.post("/me/second_factor", json!({"password": PASSWORD})).send().await.expect_status(200);
        let (address, twin) = bank.twin_with(&["--second-factor-key", NEW]).await;
        // What was begun with the other key is void.
        let confirm = json!({"code": "123456"});
        let confirm =
            bank.request_to(address, Method::POST, "/me/second_factor/confirm").bearer(&ada.token).json(confirm);
        confirm.send().await.expect_problem(409, "nothing_to_confirm");
        twin.close().await;
    }
}
