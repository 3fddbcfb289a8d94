//! Passwords that were lost, or never there: one-time links.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::command_line::{coffer, text};
use crate::harness::{Answer, Customer, PASSWORD, TestBank, bank_tests, eventually};

const NEW_PASSWORD: &str = "a passphrase of my own";

async fn id_of(user: &Customer<'_>) -> String {
    user.get("/me").send().await.expect_status(200).text_at("/id")
}

async fn ask_for_link(admin: &Customer<'_>, user_id: &str) -> Answer {
    admin.request(Method::POST, &format!("/users/{user_id}/password_reset")).send().await
}

async fn set_by(bank: &TestBank, token: &str, password: &str) -> Answer {
    bank.post("/password_reset/confirm", json!({"token": token, "new_password": password})).send().await
}

bank_tests! {
    async fn a_link_sets_a_password_once_and_ends_every_session(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let link = ask_for_link(&admin, &id_of(&ada).await).await.expect_status(200);
        let token = link.text_at("/token");
        assert_eq!(link.text_at("/url"), format!("http://{}/#/set-password/{token}", bank.address));
        ada.get("/me").send().await.expect_status(200);
        set_by(bank, &token, "password1").await.expect_problem(422, "password_common");
        set_by(bank, &token, "test customer").await.expect_problem(422, "password_guessable");
        set_by(bank, &token, NEW_PASSWORD).await.expect_status(204);
        ada.get("/me").send().await.expect_problem(401, "invalid_token");
        bank.sign_in(&ada.email, PASSWORD).await.expect_problem(401, "invalid_credentials");
        bank.sign_in(&ada.email, NEW_PASSWORD).await.expect_status(200);
        set_by(bank, &token, PASSWORD).await.expect_problem(404, "password_link_not_found");
        for nonsense in ["", "nonsense", &token.to_uppercase()] {
            set_by(bank, nonsense, PASSWORD).await.expect_problem(404, "password_link_not_found");
        }
    }

    async fn of_many_who_use_one_link_one_sets_the_password(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let token = ask_for_link(&admin, &id_of(&ada).await).await.expect_status(200).text_at("/token");
        let tries = join_all((0..6).map(|index| {
            let token = token.clone();
            async move { set_by(bank, &token, &format!("{NEW_PASSWORD} {index}")).await.status }
        }))
        .await;
        assert_eq!(tries.iter().filter(|status| **status == 204).count(), 1, "{tries:?}");
    }

    async fn a_link_ends_by_the_next_one_by_time_and_by_a_new_password(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let id = id_of(&ada).await;
        let link = async || ask_for_link(&admin, &id).await.expect_status(200).text_at("/token");
        let (first, second) = (link().await, link().await);
        set_by(bank, &first, NEW_PASSWORD).await.expect_problem(404, "password_link_not_found");
        let passwords = json!({"current_password": PASSWORD, "new_password": "another one of my own"});
        ada.request(Method::PUT, "/me/password").json(passwords).send().await.expect_status(204);
        set_by(bank, &second, NEW_PASSWORD).await.expect_problem(404, "password_link_not_found");
        let third = link().await;
        bank.tamper("update password_links set expires_at = 1 where used_at is null").await;
        set_by(bank, &third, NEW_PASSWORD).await.expect_problem(404, "password_link_not_found");
        set_by(bank, &link().await, NEW_PASSWORD).await.expect_status(204);
    }

    async fn a_link_leaves_the_second_factor(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let _ = ada.use_second_factor().await;
        let token = ask_for_link(&admin, &id_of(&ada).await).await.expect_status(200).text_at("/token");
        set_by(bank, &token, NEW_PASSWORD).await.expect_status(204);
        bank.sign_in(&ada.email, NEW_PASSWORD).await.expect_problem(401, "second_factor_required");
    }

    async fn only_admins_make_links_for_others_and_with_a_recent_proof(bank: &TestBank) {
        let (admin, clerk, ada) = (bank.employee("admin").await, bank.employee("staff").await, bank.customer().await);
        let id = id_of(&ada).await;
        ask_for_link(&clerk, &id).await.expect_problem(403, "role_required");
        ask_for_link(&ada, &id).await.expect_problem(403, "role_required");
        ask_for_link(&admin, &id_of(&admin).await).await.expect_problem(403, "not_for_oneself");
        ask_for_link(&admin.a_while_later(), &id).await.expect_problem(401, "recent_sign_in_required");
        ask_for_link(&admin, "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88").await.expect_problem(404, "user_not_found");
    }

    async fn links_are_on_record_and_stored_as_hashes(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let id = id_of(&ada).await;
        let token = ask_for_link(&admin, &id).await.expect_status(200).text_at("/token");
        set_by(bank, &token, NEW_PASSWORD).await.expect_status(204);
        let log = admin.get(&format!("/audit?user_id={id}&action=password_link_created,password_reset")).send().await;
        let actions: Vec<_> = log.body["data"].as_array().expect("a list").iter().map(|it| &it["action"]).collect();
        assert_eq!(actions, [&json!("password_reset"), &json!("password_link_created")]);
        assert!(!log.body.to_string().contains(&token));
    }

    async fn staff_make_customers_who_set_their_first_password_by_a_link(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        let person = |email: &str| json!({"name": "Grace Hopper", "email": email, "currency": "EUR"});
        let grace = format!("grace.{}", ada.email);
        let made = clerk.post("/users", person(&grace)).send().await.expect_status(201);
        let id = made.text_at("/user/id");
        assert_eq!(made.header("location"), Some(&*format!("/users/{id}")));
        assert_eq!(made.text_at("/account/currency"), "EUR");
        clerk.post("/users", person(&grace)).send().await.expect_problem(409, "email_taken");
        ada.post("/users", person("x@example.com")).send().await.expect_problem(403, "role_required");
        clerk
            .post("/users", json!({"name": "G", "email": "g@example.com", "password": PASSWORD}))
            .send()
            .await
            .expect_problem(422, "unknown_field");
        // The first link got lost: staff make another, by themselves and for as long as none was used.
        let first = made.text_at("/invitation/token");
        let second = ask_for_link(&clerk, &id).await.expect_status(200).text_at("/token");
        set_by(bank, &first, NEW_PASSWORD).await.expect_problem(404, "password_link_not_found");
        set_by(bank, &second, NEW_PASSWORD).await.expect_status(204);
        ask_for_link(&clerk, &id).await.expect_problem(403, "role_required");
        let token = bank.sign_in(&grace, NEW_PASSWORD).await.expect_status(200).text_at("/access_token");
        let accounts = bank.get("/accounts").bearer(&token).send().await.expect_status(200);
        assert_eq!(accounts.body["data"][0]["currency"], "EUR");
    }

    async fn an_invitation_opens_no_role(bank: &TestBank) {
        let (clerk, admin) = (bank.employee("staff").await, bank.employee("admin").await);
        for role in ["staff", "auditor", "admin"] {
            let person = json!({"name": "Boss", "email": format!("{role}.{}", clerk.email)});
            let made = clerk.post("/users", person).send().await.expect_status(201);
            let id = made.text_at("/user/id");
            let give = admin.request(Method::PUT, &format!("/users/{id}/role")).json(json!({"role": role}));
            give.send().await.expect_status(200);
            set_by(bank, &made.text_at("/invitation/token"), NEW_PASSWORD)
                .await
                .expect_problem(404, "password_link_not_found");
            ask_for_link(&clerk, &id).await.expect_problem(403, "role_required");
            let link = ask_for_link(&admin, &id).await.expect_status(200).text_at("/token");
            set_by(bank, &link, NEW_PASSWORD).await.expect_status(204);
        }
    }

    async fn staff_open_accounts_for_customers(bank: &TestBank) {
        let (clerk, ada, auditor) =
            (bank.employee("staff").await, bank.customer().await, bank.employee("auditor").await);
        let id = id_of(&ada).await;
        let body = json!({"owner_id": id, "currency": "JPY", "label": "Travel"});
        let opened = clerk.open_account(body.clone()).await.expect_status(201);
        assert_eq!((opened.text_at("/owner_id"), opened.text_at("/currency")), (id.clone(), "JPY".to_owned()));
        ada.get(&format!("/accounts/{}", opened.text_at("/account_number"))).send().await.expect_status(200);
        let other = bank.customer().await;
        other.open_account(body.clone()).await.expect_problem(404, "user_not_found");
        auditor.open_account(body).await.expect_problem(403, "auditor_changes_nothing");
        let nobody = json!({"owner_id": "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88"});
        clerk.open_account(nobody.clone()).await.expect_problem(404, "user_not_found");
        other.open_account(nobody).await.expect_problem(404, "user_not_found");
        other.open_account(json!({"owner_id": id_of(&other).await})).await.expect_status(201);
    }

    async fn staff_note_things_on_customers_for_each_other(bank: &TestBank) {
        let (clerk, ada, auditor) =
            (bank.employee("staff").await, bank.customer().await, bank.employee("auditor").await);
        let path = format!("/users/{}/notes", id_of(&ada).await);
        for text in ["Called about a lost card", "Card found"] {
            let noted = clerk.post(&path, json!({"text": text})).send().await.expect_status(201);
            assert_eq!((noted.header("location"), noted.text_at("/text")), (Some(&*path), text.to_owned()));
        }
        let listed = auditor.get(&path).send().await.expect_status(200);
        let texts: Vec<_> = listed.body["data"].as_array().expect("a list").iter().map(|it| &it["text"]).collect();
        assert_eq!(texts, [&json!("Card found"), &json!("Called about a lost card")]);
        let page = clerk.get(&format!("{path}?limit=1")).send().await.expect_status(200);
        let next = page.text_at("/next_cursor");
        let rest = clerk.get(&format!("{path}?limit=1&cursor={next}")).send().await.expect_status(200);
        assert_eq!(rest.body["data"][0]["text"], "Called about a lost card");
        ada.get(&path).send().await.expect_problem(403, "role_required");
        auditor.post(&path, json!({"text": "x"})).send().await.expect_problem(403, "role_required");
        clerk.post(&path, json!({"text": " "})).send().await.expect_problem(422, "note_blank");
        clerk.post(&path, json!({"text": "x".repeat(1_001)})).send().await.expect_problem(422, "note_too_long");
        let own = format!("/users/{}/notes", id_of(&clerk).await);
        clerk.get(&own).send().await.expect_problem(403, "not_for_oneself");
        clerk.post(&own, json!({"text": "x"})).send().await.expect_problem(403, "not_for_oneself");
        // They go with the customer.
        ada.request(Method::DELETE, &format!("/accounts/{}", ada.account)).send().await.expect_status(204);
        ada.request(Method::DELETE, "/me").send().await.expect_status(204);
        assert_eq!(bank.number("select count(*) from user_notes").await, 0);
    }

    async fn users_and_movements_are_taken_away_as_files(bank: &TestBank) {
        let (clerk, ada) = (bank.employee("staff").await, bank.customer().await);
        ada.request(Method::PATCH, "/me").json(json!({"name": "=1+1"})).send().await.expect_status(200);
        ada.deposit("5").await.expect_status(201);
        ada.deposit_many(600).await.expect_status(200);
        let lines = |answer: &Answer| {
            let text = String::from_utf8(answer.bytes.clone()).expect("UTF-8");
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let users = clerk.get(&format!("/users.csv?search={}", ada.email)).send().await.expect_status(200);
        assert!(users.header("content-disposition").is_some_and(|it| it.contains("users-")));
        let users = lines(&users);
        assert_eq!(users[0], "\u{feff}id,name,email,role,status,is_service,created_at");
        assert!(users.len() == 2 && users[1].contains(",'=1+1,") && users[1].contains(&ada.email), "{users:?}");
        let movements = lines(&clerk.get("/transactions.csv").send().await.expect_status(200));
        assert_eq!(movements.len(), 602);
        assert!(
            movements[601].contains(&format!(",deposit,{},,cash,5.00,USD,5.00,", ada.account)),
            "{}",
            movements[601]
        );
        let some = lines(&clerk.get("/transactions.csv?type=withdrawal").send().await.expect_status(200));
        assert_eq!(some.len(), 1);
        for path in ["/users.csv", "/transactions.csv"] {
            ada.get(path).send().await.expect_problem(403, "role_required");
        }
        let admin = bank.employee("admin").await;
        eventually("both are on record", async || {
            let log = admin.get("/audit?action=users_exported,movements_exported").send().await.expect_status(200);
            log.body["data"].as_array().map(Vec::len) == Some(3)
        })
        .await;
    }

    async fn the_command_line_makes_a_link(bank: &TestBank) {
        let ada = bank.customer().await;
        let run = |email: &str| {
            let arguments = ["admin", "reset-password", email, "--database-url", &bank.database.url];
            coffer(bank.database.directory.path(), &arguments).output().expect("the binary runs")
        };
        let path = text(&run(&ada.email).stdout).trim_end().to_owned();
        let token = path.strip_prefix("/#/set-password/").expect("a path").to_owned();
        set_by(bank, &token, NEW_PASSWORD).await.expect_status(204);
        bank.sign_in(&ada.email, NEW_PASSWORD).await.expect_status(200);
        assert!(text(&run("nobody@example.com").stderr).contains("no user"));
    }
}

mod two_admins {
    use super::*;

    bank_tests! {
        with &["--approval-above", "1000"];

        async fn a_link_takes_a_second_admin_who_never_sees_it(bank: &TestBank) {
            let (first, second, ada) =
                (bank.employee("admin").await, bank.employee("admin").await, bank.customer().await);
            let id = id_of(&ada).await;
            let waiting = ask_for_link(&first, &id).await.expect_status(202);
            let approval = waiting.text_at("/approval_id");
            assert_eq!(waiting.header("location"), Some(&*format!("/approvals/{approval}")));
            assert_eq!((&waiting.body["token"], &waiting.body["url"]), (&Value::Null, &Value::Null));
            ask_for_link(&first, &id).await.expect_status(202);
            let decide = |admin: &Customer<'_>| admin.post(&format!("/approvals/{approval}/approve"), json!({})).send();
            decide(&first).await.expect_status(403);
            let approved = decide(&second).await.expect_status(200);
            assert_eq!(approved.text_at("/type"), "password_reset");
            // It is for the admin who has asked, and for one link.
            ask_for_link(&second, &id).await.expect_status(202);
            let token = ask_for_link(&first, &id).await.expect_status(200).text_at("/token");
            set_by(bank, &token, NEW_PASSWORD).await.expect_status(204);
            let again = ask_for_link(&first, &id).await;
            assert!([202, 409].contains(&again.status.as_u16()), "{}", again.body);
        }
    }
}
