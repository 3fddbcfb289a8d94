//! Signing in, staying signed in, signing out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::databases::Kind;
use crate::harness::{Answer, Customer, PASSWORD, TestBank, bank_tests, eventually};

async fn refresh(bank: &TestBank, token: &str) -> Answer {
    bank.post("/refresh", json!({"refresh_token": token})).send().await
}

bank_tests! {
    async fn signing_in_gives_a_token_that_opens_the_profile(bank: &TestBank) {
        let ada = bank.customer().await;
        let answer = bank.sign_in(&format!("  {} ", ada.email.to_uppercase()), PASSWORD).await.expect_status(200);
        assert_eq!((&answer.body["token_type"], &answer.body["expires_in"]), (&json!("Bearer"), &json!(900)));
        let token = answer.text_at("/access_token");
        let me = bank.get("/me").bearer(&token).send().await.expect_status(200);
        assert_eq!((&me.body["email"], &me.body["role"]), (&json!(ada.email), &json!("customer")));
        assert_eq!(me.body.get("password_hash"), None);
    }

    async fn wrong_password_and_unknown_address_get_the_same_answer(bank: &TestBank) {
        let ada = bank.customer().await;
        let wrong = bank.sign_in(&ada.email, "not the password").await.expect_problem(401, "invalid_credentials");
        let unknown = bank.sign_in("nobody@example.com", PASSWORD).await.expect_problem(401, "invalid_credentials");
        let without_id = |answer: Answer| {
            let mut body = answer.body;
            body["request_id"] = Value::Null;
            body
        };
        assert_eq!(without_id(wrong), without_id(unknown));
    }

    async fn a_refresh_token_is_good_once(bank: &TestBank) {
        let ada = bank.customer().await;
        let next = refresh(bank, &ada.refresh_token).await.expect_status(200);
        bank.get("/me").bearer(&next.text_at("/access_token")).send().await.expect_status(200);
        refresh(bank, &next.text_at("/refresh_token")).await.expect_status(200);
    }

    async fn a_refresh_token_that_comes_back_ends_the_session_for_both_parties(bank: &TestBank) {
        let ada = bank.customer().await;
        let next = refresh(bank, &ada.refresh_token).await.expect_status(200);
        refresh(bank, &ada.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        refresh(bank, &next.text_at("/refresh_token")).await.expect_problem(401, "invalid_refresh_token");
        for token in [ada.token.clone(), next.text_at("/access_token")] {
            bank.get("/me").bearer(&token).send().await.expect_problem(401, "invalid_token");
        }
        bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
    }

    async fn of_parallel_refreshes_at_most_one_wins(bank: &TestBank) {
        let ada = bank.customer().await;
        let answers = futures_util::future::join_all((0..20).map(|_| refresh(bank, &ada.refresh_token))).await;
        let winners = answers.iter().filter(|answer| answer.status == 200).count();
        assert!(winners <= 1, "{winners} winners");
        for answer in answers.into_iter().filter(|answer| answer.status != 200) {
            answer.expect_problem(401, "invalid_refresh_token");
        }
    }

    async fn refresh_tokens_that_are_none_are_refused(bank: &TestBank) {
        let ada = bank.customer().await;
        for token in ["", "x", &"x".repeat(3000), &*ada.token] {
            refresh(bank, token).await.expect_problem(401, "invalid_refresh_token");
        }
        bank.get("/me").bearer(&ada.refresh_token).send().await.expect_problem(401, "invalid_token");
    }

    async fn signing_out_ends_this_session_only(bank: &TestBank) {
        let ada = bank.customer().await;
        let other = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        ada.request(Method::POST, "/logout").send().await.expect_status(204);
        ada.get("/me").send().await.expect_problem(401, "invalid_token");
        refresh(bank, &ada.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        bank.get("/me").bearer(&other.text_at("/access_token")).send().await.expect_status(200);
    }

    async fn sessions_can_be_listed_and_ended(bank: &TestBank) {
        let (ada, eve) = (bank.customer().await, bank.customer().await);
        let other = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200).text_at("/access_token");
        let list = ada.get("/me/sessions").send().await.expect_status(200);
        let sessions = list.body["data"].as_array().expect("a list").clone();
        let current: Vec<_> = sessions.iter().map(|session| session["current"] == true).collect();
        assert_eq!(current, [false, true]);
        let path = format!("/me/sessions/{}", sessions[0]["id"].as_str().expect("an id"));
        eve.request(Method::DELETE, &path).send().await.expect_problem(404, "session_not_found");
        ada.request(Method::DELETE, &path).send().await.expect_status(204);
        ada.request(Method::DELETE, &path).send().await.expect_problem(404, "session_not_found");
        bank.get("/me").bearer(&other).send().await.expect_problem(401, "invalid_token");
        ada.get("/me").send().await.expect_status(200);
        assert_eq!(ada.get("/me/sessions").send().await.body["data"].as_array().map(Vec::len), Some(1));
    }

    async fn a_session_ends_by_age_and_by_idleness(bank: &TestBank) {
        let day = 24 * 60 * 60 * 1_000_000i64;
        for (column, change, status) in
            [("last_used_at", -6 * day, 200), ("last_used_at", -8 * day, 401), ("expires_at", -31 * day, 401)]
        {
            let ada = bank.customer().await;
            let of_ada = format!("(select id from users where email = '{}')", ada.email);
            bank.tamper(&format!("update sessions set {column} = {column} + {change} where user_id = {of_ada}")).await;
            assert_eq!(refresh(bank, &ada.refresh_token).await.status, status, "{column} {change}");
        }
    }

    async fn an_admin_ends_all_of_somebodys_sessions(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let id = ada.get("/me").send().await.expect_status(200).text_at("/id");
        let path = format!("/users/{id}/sessions");
        admin.request(Method::DELETE, &path).send().await.expect_status(204);
        ada.get("/me").send().await.expect_problem(401, "invalid_token");
        refresh(bank, &ada.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
    }

    async fn staff_end_one_session_of_a_customer_and_none_of_a_colleague(bank: &TestBank) {
        let (ada, clerk, admin) = (bank.customer().await, bank.employee("staff").await, bank.employee("admin").await);
        let auditor = bank.employee("auditor").await;
        let id_of = async |who: &Customer<'_>| who.get("/me").send().await.expect_status(200).text_at("/id");
        let stolen = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        let path = format!("/users/{}/sessions", id_of(&ada).await);
        let first = clerk.get(&format!("{path}?limit=1")).send().await.expect_status(200);
        assert_eq!((&first.body["has_more"], &first.body["data"][0]["current"]), (&json!(true), &json!(false)));
        assert_eq!(first.body["data"][0]["address"], "127.0.0.1");
        let session = first.text_at("/data/0/id");
        let end = format!("{path}/{session}");
        clerk.request(Method::DELETE, &end).send().await.expect_status(204);
        clerk.request(Method::DELETE, &end).send().await.expect_problem(404, "session_not_found");
        bank.get("/me").bearer(&stolen.text_at("/access_token")).send().await.expect_problem(401, "invalid_token");
        refresh(bank, &stolen.text_at("/refresh_token")).await.expect_problem(401, "invalid_refresh_token");
        ada.get("/me").send().await.expect_status(200);
        let records = auditor.get(&format!("/audit?action=session_ended&user_id={}", id_of(&ada).await)).send().await;
        assert_eq!(records.text_at("/data/0/subject"), session);
        assert_eq!(records.text_at("/data/0/actor_id"), id_of(&clerk).await);

        // A session is ended as that of its user alone.
        let of_admin = format!("/users/{}/sessions", id_of(&admin).await);
        let session = auditor.get(&of_admin).send().await.expect_status(200).text_at("/data/0/id");
        clerk
            .request(Method::DELETE, &format!("{path}/{session}"))
            .send()
            .await
            .expect_problem(404, "session_not_found");
        clerk.get(&of_admin).send().await.expect_problem(403, "role_required");
        let end = format!("{of_admin}/{session}");
        clerk.request(Method::DELETE, &end).send().await.expect_problem(403, "role_required");
        admin.request(Method::DELETE, &end).send().await.expect_problem(403, "not_for_oneself");
        auditor.request(Method::DELETE, &end).send().await.expect_problem(403, "role_required");
        bank.employee("admin").await.request(Method::DELETE, &end).send().await.expect_status(204);
        admin.get("/me").send().await.expect_problem(401, "invalid_token");
        clerk.request(Method::DELETE, &format!("{path}/x")).send().await.expect_problem(422, "id_malformed");
    }

    async fn the_oldest_session_ends_when_there_are_too_many(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        let second = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        // Used since, so that the second one is the oldest by last use.
        refresh(bank, &ada.refresh_token).await.expect_status(200);
        for _ in 0..98 {
            bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        }
        let (address, twin) = bank.twin().await;
        let of_second = second.text_at("/access_token");
        bank.get("/me").bearer(&of_second).send().await.expect_status(200);
        bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        bank.get("/me").bearer(&of_second).send().await.expect_problem(401, "invalid_token");
        refresh(bank, &second.text_at("/refresh_token")).await.expect_problem(401, "invalid_refresh_token");
        ada.get("/me").send().await.expect_status(200);
        eventually("the other instance hears of it", async || {
            bank.request_to(address, Method::GET, "/me").bearer(&of_second).send().await.status == 401
        })
        .await;
        twin.close().await;
        let records = auditor.get("/audit?action=session_ended").send().await.expect_status(200);
        assert_eq!(records.body["data"][0]["detail"], json!("the oldest of more than 100"));

        let mut ids = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = ada.get(&format!("/me/sessions?limit=40{cursor}")).send().await.expect_status(200);
            let data = page.body["data"].as_array().expect("a list").clone();
            assert!(data.len() <= 40 && !data.is_empty());
            ids.extend(data.iter().map(|session| session["id"].as_str().expect("an id").to_owned()));
            assert_eq!(page.body["has_more"], json!(page.body["next_cursor"].is_string()));
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(ids.len(), 100);
        assert!(ids.is_sorted_by(|newer, older| newer > older), "newest first, none twice");
        assert_eq!(ada.get("/me/sessions").send().await.body["data"].as_array().map(Vec::len), Some(50));
        ada.get("/me/sessions?limit=101").send().await.expect_problem(422, "limit_out_of_range");
        ada.get("/me/sessions?cursor=x").send().await.expect_problem(422, "cursor_invalid");
    }

    async fn a_loop_of_sign_ins_fills_nothing(bank: &TestBank) {
        let ada = bank.customer().await;
        let of_ada = format!("(select id from users where email = '{}')", ada.email);
        // As if 1,200 sessions had ended an hour ago.
        let hour = 60 * 60 * 1_000_000i64;
        for _ in 0..11 {
            bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        }
        let copy = |table: &str| match bank.kind {
            Kind::Sqlite => format!("randomblob(16) from {table}"),
            Kind::Postgres => format!("gen_random_uuid() from {table}"),
        };
        bank.tamper(&format!(
            "insert into sessions (user_id, family_hash, token_hash, second_factor, proven_at, created_at, last_used_at,
                                   expires_at, ended_at, id)
             select user_id, family_hash, token_hash, second_factor, proven_at, created_at - {hour}, last_used_at - {hour},
                    expires_at, created_at - {hour}, {}",
            copy(&format!("sessions s, (select 1 as n union all select 2 union all select 3 union all select 4) a,
                  (select 1 as m union all select 2 union all select 3 union all select 4 union all select 5) b,
                  (select 1 as l union all select 2 union all select 3 union all select 4 union all select 5) c
                  where s.user_id = {of_ada}"))
        )).await;
        let count = async || {
            bank.db.sessions_ended_since(coffer_core::timestamp::Timestamp::from_micros(0)).await.expect("an answer").len()
        };
        assert_eq!(count().await, 1_200);
        bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        assert!(count().await < 1_110, "{}", count().await);
    }

    async fn a_refresh_token_of_any_age_is_noticed(bank: &TestBank) {
        let ada = bank.customer().await;
        let mut newest = ada.refresh_token.clone();
        for _ in 0..20 {
            newest = refresh(bank, &newest).await.expect_status(200).text_at("/refresh_token");
        }
        // The same session, made up by somebody who knows no more than its id.
        let mut made_up = URL_SAFE_NO_PAD.decode(&newest).expect("base64");
        made_up[16..].fill(7);
        refresh(bank, &URL_SAFE_NO_PAD.encode(&made_up)).await.expect_problem(401, "invalid_refresh_token");
        newest = refresh(bank, &newest).await.expect_status(200).text_at("/refresh_token");
        refresh(bank, &ada.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        refresh(bank, &newest).await.expect_problem(401, "invalid_refresh_token");
        ada.get("/me").send().await.expect_problem(401, "invalid_token");
    }
}
