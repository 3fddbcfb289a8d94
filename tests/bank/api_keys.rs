//! API keys: programs that call in somebody's name.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::command_line::{coffer, text};
use crate::databases::Kind;
use crate::harness::{Answer, Customer, PASSWORD, Request, TestBank, bank_tests, eventually};

/// A key of somebody's, as it was created.
struct Key<'a> {
    bank: &'a TestBank,
    id: String,
    secret: String,
}

impl<'a> Key<'a> {
    async fn create(user: &Customer<'a>, body: Value) -> Self {
        let created = create(user, body).await.expect_status(201);
        Self { bank: user.bank, id: created.text_at("/id"), secret: created.text_at("/api_key") }
    }

    fn get(&self, path: &str) -> Request {
        self.bank.get(path).bearer(&self.secret)
    }

    fn post(&self, path: &str, body: Value) -> Request {
        self.bank.post(path, body).bearer(&self.secret)
    }

    async fn withdraw(&self, account: &str, amount: &str) -> Answer {
        self.post("/withdraw", json!({"account_number": account, "amount": amount})).send().await
    }

    async fn deposit(&self, account: &str, amount: &str) -> Answer {
        self.post("/deposit", json!({"account_number": account, "amount": amount})).send().await
    }
}

async fn create(user: &Customer<'_>, body: Value) -> Answer {
    user.post("/me/api_keys", body).send().await
}

fn may(scopes: &[&str]) -> Value {
    json!({"name": "Web shop", "scopes": scopes})
}

async fn revoke(user: &Customer<'_>, key: &Key<'_>) -> Answer {
    user.request(Method::DELETE, &format!("/me/api_keys/{}", key.id)).send().await
}

async fn rotate(user: &Customer<'_>, id: &str, body: Value) -> Answer {
    user.post(&format!("/me/api_keys/{id}/rotate"), body).send().await
}

bank_tests! {
    async fn an_account_that_is_named_twice_counts_once(bank: &TestBank) {
        let ada = bank.customer().await;
        let other = ada.open_account(json!({})).await.expect_status(201).text_at("/account_number");
        let mut wanted = may(&["read"]);
        wanted["accounts"] = json!([ada.account, ada.account, other]);
        let created = create(&ada, wanted).await.expect_status(201);
        assert_eq!(created.body["accounts"], json!([ada.account, other]));
        let secret = created.text_at("/api_key");
        let first = bank.get("/accounts?limit=1").bearer(&secret).send().await.expect_status(200);
        assert_eq!(first.body["has_more"], true);
        let next = format!("/accounts?limit=1&cursor={}", first.text_at("/next_cursor"));
        let second = bank.get(&next).bearer(&secret).send().await.expect_status(200);
        assert_eq!(second.body["has_more"], false);
        let mut listed = [first, second].map(|page| page.text_at("/data/0/account_number"));
        let mut named = [ada.account.clone(), other];
        listed.sort_unstable();
        named.sort_unstable();
        assert_eq!(listed, named);
    }

    async fn a_secret_is_shown_once_and_stored_as_a_hash(bank: &TestBank) {
        let ada = bank.customer().await;
        let created = create(&ada, may(&["read", "move"])).await.expect_status(201);
        let (id, secret) = (created.text_at("/id"), created.text_at("/api_key"));
        assert_eq!(created.header("location"), Some(&*format!("/me/api_keys/{id}")));
        assert!(secret.starts_with("coffer_") && secret.ends_with(&created.text_at("/hint")), "{secret}");
        assert_eq!(created.body["scopes"], json!(["read", "move"]));

        let list = ada.get("/me/api_keys").send().await.expect_status(200);
        assert_eq!(list.body["data"][0]["id"], json!(id));
        let shown = ada.get(&format!("/me/api_keys/{id}")).send().await.expect_status(200);
        for answer in [&list, &shown] {
            assert!(!answer.body.to_string().contains(&secret[..20]), "{}", answer.body);
        }
        let digits = secret.trim_start_matches("coffer_").to_owned();
        let like = match bank.kind {
            Kind::Sqlite => format!("select count(*) from api_keys where hex(secret_hash) like '%{digits}%'"),
            Kind::Postgres => {
                format!("select count(*) from api_keys where encode(secret_hash, 'hex') like '%{digits}%'")
            }
        };
        assert_eq!(bank.number(&like).await, 0);
    }

    async fn a_key_calls_in_its_users_name(bank: &TestBank) {
        let ada = bank.customer().await;
        let key = Key::create(&ada, may(&["read", "move"])).await;
        key.deposit(&ada.account, "10").await.expect_status(201);
        key.withdraw(&ada.account, "4").await.expect_status(201);
        let balance = key.get(&format!("/balance?account_number={}", ada.account)).send().await.expect_status(200);
        assert_eq!(balance.text_at("/balance"), "6.00");
        assert_eq!(key.get("/me").send().await.expect_status(200).text_at("/email"), ada.email);
        let other = bank.customer().await;
        key.withdraw(&other.account, "1").await.expect_problem(404, "account_not_found");
        key.get(&format!("/balance?account_number={}", other.account)).send().await.expect_status(404);
    }

    async fn a_text_that_is_no_key_opens_nothing(bank: &TestBank) {
        let ada = bank.customer().await;
        let key = Key::create(&ada, may(&["read"])).await;
        let altered = format!("{}0", &key.secret[..key.secret.len() - 1]);
        let other = format!("{}1", &key.secret[..key.secret.len() - 1]);
        let wrong = if altered == key.secret { other } else { altered };
        for text in ["coffer_", "coffer_nonsense", &wrong, &key.secret.to_uppercase(), &format!("{}0", key.secret)] {
            let answer = bank.get("/me").bearer(text).send().await;
            assert_eq!(answer.status, 401, "{text}: {}", answer.body);
        }
        let refused = bank.get("/me").bearer(&wrong).send().await.expect_problem(401, "api_key_invalid");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        // The id is no secret, and opens nothing either.
        bank.get("/me").bearer(&format!("coffer_{}", key.id)).send().await.expect_problem(401, "api_key_invalid");
    }

    async fn scopes_bound_what_a_key_does(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("10").await.expect_status(201);
        let (reads, moves) = (Key::create(&ada, may(&["read"])).await, Key::create(&ada, may(&["move"])).await);
        reads.get("/accounts").send().await.expect_status(200);
        let refused = reads.withdraw(&ada.account, "1").await.expect_problem(403, "scope_required");
        assert!(refused.text_at("/detail").contains("scope move"), "{}", refused.body);
        moves.withdraw(&ada.account, "1").await.expect_status(201);
        moves.get("/accounts").send().await.expect_problem(403, "scope_required");
        for (method, path) in [("GET", "/me/api_keys"), ("GET", "/me/sessions"), ("POST", "/me/api_keys")] {
            let request = bank.request(method.parse().expect("a method"), path).bearer(&reads.secret);
            let request = if method == "POST" { request.json(may(&["read"])) } else { request };
            request.send().await.expect_problem(403, "session_required");
        }
    }

    async fn a_revoked_key_counts_no_more_here_at_once_and_elsewhere_within_a_second(bank: &TestBank) {
        let ada = bank.customer().await;
        let key = Key::create(&ada, may(&["read"])).await;
        let (address, twin) = bank.twin().await;
        let at_twin = async || bank.request_to(address, Method::GET, "/me").bearer(&key.secret).send().await.status;
        assert_eq!(
            (key.get("/me").send().await.status, at_twin().await),
            (200.try_into().expect("a status"), 200.try_into().expect("a status"))
        );
        revoke(&ada, &key).await.expect_status(204);
        key.get("/me").send().await.expect_problem(401, "api_key_invalid");
        eventually("the other instance hears of it", async || at_twin().await == 401).await;
        twin.close().await;
        revoke(&ada, &key).await.expect_problem(404, "api_key_not_found");
        ada.get(&format!("/me/api_keys/{}", key.id)).send().await.expect_problem(404, "api_key_not_found");
        assert_eq!(ada.get("/me/api_keys").send().await.body["data"], json!([]));
    }

    /// Requests on their way meanwhile read the key from the database before and after.
    async fn no_request_revives_a_key_that_is_revoked_meanwhile(bank: &TestBank) {
        let ada = bank.customer().await;
        for _ in 0..10 {
            let key = Key::create(&ada, may(&["read"])).await;
            let calls = join_all((0..8).map(|_| key.get("/me").send()));
            let (answers, revoked) = tokio::join!(calls, revoke(&ada, &key));
            revoked.expect_status(204);
            assert!(answers.iter().all(|answer| [200, 401].contains(&answer.status.as_u16())));
            key.get("/me").send().await.expect_problem(401, "api_key_invalid");
        }
    }

    async fn a_rotated_key_has_two_secrets_for_as_long_as_its_owner_says(bank: &TestBank) {
        let ada = bank.customer().await;
        let key = Key::create(&ada, may(&["read"])).await;
        key.get("/me").send().await.expect_status(200);
        let rotated = rotate(&ada, &key.id, json!({})).await.expect_status(200);
        let second = rotated.text_at("/api_key");
        assert_eq!(rotated.text_at("/id"), key.id);
        assert!(rotated.body["former_secret_until"].is_string() && second != key.secret);
        for secret in [&key.secret, &second] {
            bank.get("/me").bearer(secret).send().await.expect_status(200);
        }
        // No more than two at a time: the oldest ends.
        let third = rotate(&ada, &key.id, json!({"overlap_seconds": 1})).await.expect_status(200).text_at("/api_key");
        bank.get("/me").bearer(&key.secret).send().await.expect_problem(401, "api_key_invalid");
        bank.get("/me").bearer(&third).send().await.expect_status(200);
        eventually("the second one ends as well", async || bank.get("/me").bearer(&second).send().await.status == 401)
            .await;
        let fourth = rotate(&ada, &key.id, json!({"overlap_seconds": 0})).await.expect_status(200).text_at("/api_key");
        bank.get("/me").bearer(&third).send().await.expect_problem(401, "api_key_invalid");
        bank.get("/me").bearer(&fourth).send().await.expect_status(200);
        rotate(&ada, &key.id, json!({"overlap_seconds": 2_592_001})).await.expect_problem(422, "overlap_too_long");
        revoke(&ada, &key).await.expect_status(204);
        rotate(&ada, &key.id, json!({})).await.expect_problem(404, "api_key_not_found");
    }

    async fn a_key_expires(bank: &TestBank) {
        let ada = bank.customer().await;
        let in_a_second = coffer_core::timestamp::Timestamp::now().plus(std::time::Duration::from_secs(1));
        let body = json!({"name": "Short", "scopes": ["read"], "expires_at": in_a_second.to_string()});
        let key = Key::create(&ada, body).await;
        key.get("/me").send().await.expect_status(200);
        eventually("it expires", async || key.get("/me").send().await.status == 401).await;
        assert_eq!(ada.get("/me/api_keys").send().await.body["data"], json!([]));
        let past = json!({"name": "Past", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"});
        create(&ada, past).await.expect_problem(422, "expires_in_the_past");
    }

    async fn a_key_moves_no_more_than_its_limit_in_a_day(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("1000").await.expect_status(201);
        let key = Key::create(&ada, json!({"name": "Till", "scopes": ["move"], "per_day": "100"})).await;
        key.withdraw(&ada.account, "60").await.expect_status(201);
        let refused = key.withdraw(&ada.account, "40.01").await.expect_problem(409, "api_key_limit_exceeded");
        let numbers = ["allowed", "used", "requested", "remaining", "currency"].map(|name| refused.body[name].clone());
        assert_eq!(numbers, ["100.00", "60.00", "40.01", "40.00", "USD"].map(|text| json!(text)));
        // What is refused or only looked at does not count.
        let preview = json!({"account_number": ada.account, "amount": "40"});
        key.post("/withdraw?preview=true", preview).send().await.expect_status(200);
        let body = json!({"account_number": ada.account, "amount": "30"});
        for _ in 0..3 {
            key.post("/withdraw", body.clone()).header("idempotency-key", "once").send().await.expect_status(201);
        }
        key.withdraw(&ada.account, "10").await.expect_status(201);
        key.deposit(&ada.account, "0.01").await.expect_problem(409, "api_key_limit_exceeded");
        // The limit is the key's, not its user's.
        ada.withdraw("500").await.expect_status(201);
        // Of each currency as much.
        let euros = ada.open_account(json!({"currency": "EUR"})).await.expect_status(201).text_at("/account_number");
        key.deposit(&euros, "100").await.expect_status(201);
    }

    async fn requests_at_once_share_the_limit_of_a_key(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("1000").await.expect_status(201);
        let key = Key::create(&ada, json!({"name": "Till", "scopes": ["move"], "per_day": "10"})).await;
        let (address, twin) = bank.twin().await;
        let body = json!({"account_number": ada.account, "amount": "1"});
        let send = |index: usize| {
            let to = if index.is_multiple_of(2) { bank.address } else { address };
            bank.request_to(to, Method::POST, "/withdraw").bearer(&key.secret).json(body.clone()).send()
        };
        let answers = join_all((0..30).map(send)).await;
        let booked = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(booked, 10, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
        // So do the items of one batch, and what is held counts when it is captured, whoever has made the hold.
        let key = Key::create(&ada, json!({"name": "Till", "scopes": ["move"], "per_day": "10"})).await;
        let one = json!({"type": "withdrawal", "account_number": ada.account, "amount": "4"});
        let batch = json!({"transactions": [one, one, one]});
        let batch = key.post("/transactions/batch", batch).send().await.expect_status(200);
        let booked = batch.body["data"].as_array().expect("a list").iter();
        assert_eq!(booked.filter(|it| it["status"] == 201).count(), 2, "{}", batch.body);
        let hold = |amount: &str| json!({"account_number": ada.account, "amount": amount});
        let own = key.post("/holds", hold("2")).send().await.expect_status(201).text_at("/id");
        let of_owner = ada.post("/holds", hold("500")).send().await.expect_status(201).text_at("/id");
        let capture = |id: &str| key.post(&format!("/holds/{id}/capture"), json!({})).send();
        capture(&of_owner).await.expect_problem(409, "api_key_limit_exceeded");
        capture(&own).await.expect_status(201);
        key.withdraw(&ada.account, "1").await.expect_problem(409, "api_key_limit_exceeded");
        twin.close().await;
    }

    async fn a_key_for_certain_accounts_knows_no_others(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("100").await.expect_status(201);
        let other = ada.open_account(json!({})).await.expect_status(201).text_at("/account_number");
        let between = ada.transfer(&other, "50").await.expect_status(201).text_at("/id");
        let body = json!({"name": "Till", "scopes": ["read", "move"], "accounts": [other]});
        let key = Key::create(&ada, body).await;
        let list = key.get("/accounts").send().await.expect_status(200);
        let numbers: Vec<_> =
            list.body["data"].as_array().expect("a list").iter().map(|it| &it["account_number"]).collect();
        assert_eq!(numbers, [&json!(other)]);
        for path in ["/balance?account_number=", "/transactions?account_number=", "/holds?account_number="] {
            key.get(&format!("{path}{other}")).send().await.expect_status(200);
            key.get(&format!("{path}{}", ada.account)).send().await.expect_problem(404, "account_not_found");
        }
        for path in ["", "/statement", "/statement.csv", "/limits"] {
            key.get(&format!("/accounts/{other}{path}")).send().await.expect_status(200);
            key.get(&format!("/accounts/{}{path}", ada.account)).send().await.expect_status(404);
        }
        // It sees the movement between the two as its own account saw it.
        let seen = key.get(&format!("/transactions/{between}")).send().await.expect_status(200);
        assert_eq!((seen.text_at("/account_number"), seen.text_at("/direction")), (other.clone(), "credit".to_owned()));
        key.withdraw(&other, "1").await.expect_status(201);
        key.withdraw(&ada.account, "1").await.expect_problem(404, "account_not_found");
        key.deposit(&ada.account, "1").await.expect_problem(404, "account_not_found");
        let transfer = |from: &str, to: &str| {
            key.post("/transfer", json!({"from_account": from, "to_account": to, "amount": "1"}))
        };
        transfer(&other, &ada.account).send().await.expect_status(201);
        transfer(&ada.account, &other).send().await.expect_problem(404, "account_not_found");
        let hold = json!({"account_number": ada.account, "amount": "1"});
        key.post("/holds", hold.clone()).send().await.expect_problem(404, "account_not_found");
        let hold = ada.post("/holds", hold).send().await.expect_status(201).text_at("/id");
        for end in ["capture", "release"] {
            key.post(&format!("/holds/{hold}/{end}"), json!({})).send().await.expect_status(404);
        }
        key.post("/accounts", json!({})).send().await.expect_problem(403, "scope_required");
        let label = bank.request(Method::PATCH, &format!("/accounts/{}", ada.account)).bearer(&key.secret);
        label.json(json!({"label": "Mine"})).send().await.expect_problem(404, "account_not_found");
    }

    async fn a_key_calls_from_its_networks_alone(bank: &TestBank) {
        let ada = bank.customer().await;
        let from = |networks: Value| json!({"name": "Till", "scopes": ["read"], "networks": networks});
        let here = Key::create(&ada, from(json!(["192.0.2.0/24", "127.0.0.0/8"]))).await;
        here.get("/me").send().await.expect_status(200);
        let elsewhere = Key::create(&ada, from(json!(["192.0.2.0/24", "2001:db8::1"]))).await;
        elsewhere.get("/me").send().await.expect_problem(403, "api_key_network");
        create(&ada, from(json!(["here"]))).await.expect_problem(422, "network_malformed");
        // An IPv4 address may be written as IPv6 maps it.
        let mapped = Key::create(&ada, from(json!(["::ffff:127.0.0.1"]))).await;
        mapped.get("/me").send().await.expect_status(200);
        create(&ada, from(json!(["::ffff:0:0/90"]))).await.expect_problem(422, "network_malformed");
    }

    async fn a_key_may_what_its_users_role_allows_today(bank: &TestBank) {
        let (admin, mut clerk, ada) =
            (bank.employee("admin").await, bank.employee("staff").await, bank.customer().await);
        let key = Key::create(&clerk, may(&["read", "move", "staff"])).await;
        let without = Key::create(&clerk, may(&["read", "move"])).await;
        key.deposit(&ada.account, "5").await.expect_status(201);
        key.get("/users").send().await.expect_status(200);
        without.deposit(&ada.account, "5").await.expect_problem(404, "account_not_found");
        without.get("/users").send().await.expect_problem(403, "scope_required");

        let id = clerk.get("/me").send().await.text_at("/id");
        let put =
            |what: &str, body: Value| admin.request(Method::PUT, &format!("/users/{id}/{what}")).json(body).send();
        put("role", json!({"role": "customer"})).await.expect_status(200);
        key.deposit(&ada.account, "5").await.expect_problem(404, "account_not_found");
        key.get("/users").send().await.expect_problem(403, "role_required");
        put("role", json!({"role": "auditor"})).await.expect_status(200);
        key.get("/audit").send().await.expect_status(200);
        for key in [&key, &without] {
            key.deposit(&ada.account, "5").await.expect_problem(403, "auditor_changes_nothing");
        }
        put("role", json!({"role": "staff"})).await.expect_status(200);
        put("status", json!({"status": "frozen"})).await.expect_status(200);
        key.deposit(&ada.account, "5").await.expect_problem(403, "user_frozen");
        clerk = Customer { token: bank.sign_in(&clerk.email, PASSWORD).await.text_at("/access_token"), ..clerk };
        create(&clerk, may(&["read"])).await.expect_problem(403, "user_frozen");
        put("status", json!({"status": "active"})).await.expect_status(200);
        key.deposit(&ada.account, "5").await.expect_status(201);
    }

    async fn a_key_of_somebody_who_has_left_counts_no_more(bank: &TestBank) {
        let ada = bank.customer().await;
        let key = Key::create(&ada, may(&["read"])).await;
        key.get("/me").send().await.expect_status(200);
        ada.request(Method::DELETE, &format!("/accounts/{}", ada.account)).send().await.expect_status(204);
        ada.request(Method::DELETE, "/me").send().await.expect_status(204);
        key.get("/me").send().await.expect_problem(401, "api_key_invalid");
    }

    async fn what_asks_a_person_for_a_proof_is_not_for_keys(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("100").await.expect_status(201);
        let key = Key::create(&ada, may(&["read", "move"])).await;
        create(&ada.a_while_later(), may(&["read"])).await.expect_problem(401, "recent_sign_in_required");
        rotate(&ada.a_while_later(), &key.id, json!({})).await.expect_problem(401, "recent_sign_in_required");
        let confirm = ada.request(Method::PATCH, "/me").json(json!({"confirm_above": "10"})).send().await;
        confirm.expect_status(200);
        key.withdraw(&ada.account, "10").await.expect_status(201);
        key.withdraw(&ada.account, "10.01").await.expect_problem(403, "session_required");
    }

    async fn who_creates_a_key_is_told_what_is_wrong_with_it(bank: &TestBank) {
        let (ada, other) = (bank.customer().await, bank.customer().await);
        let clerk = bank.employee("staff").await;
        let with = |member: &str, value: Value| {
            let mut body = may(&["read"]);
            body[member] = value;
            body
        };
        let eleven: Vec<_> = (0..11).map(|index| format!("192.0.2.{index}")).collect();
        for (body, code, pointer) in [
            (with("scopes", json!([])), "list_empty", "/scopes"),
            (with("scopes", json!(["admin"])), "unknown_value", "/scopes/0"),
            (with("scopes", json!(["read", "staff"])), "scope_above_role", "/scopes"),
            (with("accounts", json!([])), "list_empty", "/accounts"),
            (with("accounts", json!([ada.account, other.account])), "account_not_found", "/accounts/1"),
            (with("networks", json!([])), "list_empty", "/networks"),
            (with("networks", json!(eleven)), "list_too_long", "/networks"),
            (with("per_day", json!("1.50")), "whole_units_malformed", "/per_day"),
            (with("name", json!(" ")), "name_blank", "/name"),
            (with("user_id", json!("1")), "unknown_field", "/user_id"),
        ] {
            let answer = create(&ada, body.clone()).await.expect_problem(422, code);
            assert_eq!(answer.pointers(), [pointer], "{body}");
        }
        let bound = json!({"name": "Till", "scopes": ["staff"], "accounts": [clerk.account]});
        create(&clerk, bound).await.expect_problem(422, "staff_scope_with_accounts");
        for _ in 0..20 {
            create(&ada, may(&["read"])).await.expect_status(201);
        }
        create(&ada, may(&["read"])).await.expect_problem(409, "too_many_api_keys");
        let page = ada.get("/me/api_keys?limit=15").send().await.expect_status(200);
        let next = page.text_at("/next_cursor");
        let rest = ada.get(&format!("/me/api_keys?limit=15&cursor={next}")).send().await.expect_status(200);
        let count = |answer: &Answer| answer.body["data"].as_array().map_or(0, Vec::len);
        assert_eq!((count(&page), count(&rest)), (15, 5));
    }

    async fn the_audit_log_tells_what_a_key_did(bank: &TestBank) {
        let (clerk, ada, auditor) =
            (bank.employee("staff").await, bank.customer().await, bank.employee("auditor").await);
        let key = Key::create(&clerk, may(&["read", "move", "staff"])).await;
        key.deposit(&ada.account, "5").await.expect_status(201);
        key.post("/me/api_keys", may(&["read"])).send().await.expect_problem(403, "session_required");
        rotate(&clerk, &key.id, json!({})).await.expect_status(200);
        revoke(&clerk, &key).await.expect_status(204);
        let actions = async || {
            let log = auditor.get(&format!("/audit?api_key_id={}", key.id)).send().await.expect_status(200);
            let records = log.body["data"].as_array().expect("a list").clone();
            let actions = records.iter().map(|record| record["action"].as_str().unwrap_or_default().to_owned());
            // That somebody reads all this is on record as well.
            actions.filter(|action| action != "audit_read").collect::<Vec<_>>()
        };
        eventually("all of it is on record", async || actions().await.len() == 5).await;
        let mut actions = actions().await;
        actions.sort_unstable();
        assert_eq!(
            actions,
            ["access_denied", "api_key_created", "api_key_revoked", "api_key_rotated", "movement_by_staff"]
        );
        let created = auditor.get("/audit?action=api_key_created").send().await.expect_status(200);
        let detail = "read move staff; accounts any; per day any; networks any; expires never; Web shop";
        assert_eq!(created.body["data"][0]["detail"], json!(detail));
    }

    async fn admins_see_and_revoke_the_keys_of_others(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let keys = [Key::create(&ada, may(&["read"])).await, Key::create(&ada, may(&["move"])).await];
        let id = ada.get("/me").send().await.text_at("/id");
        let list = admin.get(&format!("/users/{id}/api_keys")).send().await.expect_status(200);
        assert_eq!(list.body["data"].as_array().map(Vec::len), Some(2));
        keys[0].get("/me").send().await.expect_status(200);
        admin.request(Method::DELETE, &format!("/users/{id}/api_keys")).send().await.expect_status(204);
        for key in &keys {
            key.get("/me").send().await.expect_problem(401, "api_key_invalid");
        }
    }

    async fn a_use_is_stored_and_the_next_request_needs_no_database(bank: &TestBank) {
        let ada = bank.customer().await;
        let key = Key::create(&ada, may(&["read"])).await;
        assert_eq!(ada.get(&format!("/me/api_keys/{}", key.id)).send().await.body["last_used_at"], Value::Null);
        key.get("/accounts").send().await.expect_status(200);
        eventually("the use is stored", async || {
            ada.get(&format!("/me/api_keys/{}", key.id)).send().await.body["last_used_at"].is_string()
        })
        .await;
        // Behind the server's back it becomes another key: nobody has told it, and it does not look.
        let id = bank.literal_of(&key.id);
        let zeros = match bank.kind {
            Kind::Sqlite => "zeroblob(32)",
            Kind::Postgres => "decode(repeat('00', 32), 'hex')",
        };
        bank.tamper(&format!("update api_keys set secret_hash = {zeros} where id = {id}")).await;
        key.get("/accounts").send().await.expect_status(200);
        let (address, twin) = bank.twin().await;
        let elsewhere = bank.request_to(address, Method::GET, "/accounts").bearer(&key.secret).send().await;
        elsewhere.expect_problem(401, "api_key_invalid");
        twin.close().await;
    }

    async fn a_key_counts_after_a_restart(bank: &TestBank) {
        let ada = bank.customer().await;
        let key = Key::create(&ada, may(&["read"])).await;
        key.get("/me").send().await.expect_status(200);
        let (address, twin) = bank.twin().await;
        bank.request_to(address, Method::GET, "/me").bearer(&key.secret).send().await.expect_status(200);
        twin.close().await;
    }

    async fn the_doctor_finds_a_key_that_nobody_created_so(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let widened = Key::create(&ada, may(&["read"])).await;
        let revived = Key::create(&bob, may(&["read"])).await;
        revoke(&bob, &revived).await.expect_status(204);
        assert_eq!(bank.books_wrong().await, []);
        let update = async |key: &Key<'_>, set: &str| {
            bank.tamper(&format!("update api_keys set {set} where id = {}", bank.literal_of(&key.id))).await;
        };
        update(&widened, "scopes = 'read move'").await;
        update(&revived, "revoked_at = null").await;
        let wrong = bank.books_wrong().await;
        let mut named = vec![format!("API key {}", widened.id), format!("API key {}", revived.id)];
        named.sort();
        assert_eq!(wrong, [("API keys that count are what the audit log says of them", named)]);
        update(&widened, "scopes = 'read'").await;
        update(&revived, "revoked_at = changed_at").await;
    }

    async fn the_command_line_makes_programs_and_their_keys(bank: &TestBank) {
        let directory = bank.database.directory.path();
        let admin = |arguments: &[&str]| {
            let mut command = coffer(directory, &["admin", "--database-url", &bank.database.url]);
            command.args(arguments).output().expect("the binary runs")
        };
        let ada = bank.customer().await;
        let made = admin(&["create", "shop@example.com", "--service"]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        assert!(!admin(&["create", "shop@example.com", "--service"]).status.success());
        let scopes = "read,move,staff";
        let created = admin(&["key", "create", "shop@example.com", "--name", "Web shop", "--scopes", scopes]);
        assert!(created.status.success(), "{}", text(&created.stderr));
        let secret = text(&created.stdout).trim_end().to_owned();
        let deposit = json!({"account_number": ada.account, "amount": "5"});
        bank.post("/deposit", deposit.clone()).bearer(&secret).send().await.expect_status(201);
        let me = bank.get("/me").bearer(&secret).send().await.expect_status(200);
        assert_eq!((&me.body["is_service"], me.text_at("/role")), (&json!(true), "staff".to_owned()));
        bank.sign_in("shop@example.com", "").await.expect_status(401);

        let listed = text(&admin(&["key", "list", "shop@example.com"]).stdout);
        let id = listed.split_whitespace().next().expect("an id").to_owned();
        assert!(listed.contains("Web shop") && listed.contains(&secret[secret.len() - 4..]), "{listed}");
        let rotated = text(&admin(&["key", "rotate", &id, "--overlap", "0"]).stdout).trim_end().to_owned();
        eventually("the server hears of it", async || {
            bank.post("/deposit", deposit.clone()).bearer(&secret).send().await.status == 401
        })
        .await;
        bank.post("/deposit", deposit.clone()).bearer(&rotated).send().await.expect_status(201);
        assert!(admin(&["key", "revoke", &id]).status.success());
        eventually("the server hears of it", async || {
            bank.post("/deposit", deposit.clone()).bearer(&rotated).send().await.status == 401
        })
        .await;
        assert!(text(&admin(&["key", "revoke", &id]).stderr).contains("no such living key"));
        assert!(
            text(&admin(&["key", "create", "nobody@example.com", "--name", "x", "--scopes", "read"]).stderr)
                .contains("no user")
        );
        let above = admin(&["key", "create", &ada.email, "--name", "x", "--scopes", "staff"]);
        assert!(text(&above.stderr).contains("leave out the scope staff"), "{}", text(&above.stderr));
        let bound = admin(&[
            "key",
            "create",
            &ada.email,
            "--name",
            "Till",
            "--scopes",
            "read",
            "--accounts",
            &ada.account,
            "--per-day",
            "5",
            "--networks",
            "127.0.0.1,::1",
            "--expires-at",
            "2999-01-01T00:00:00Z",
        ]);
        let secret = text(&bound.stdout).trim_end().to_owned();
        bank.get("/accounts").bearer(&secret).send().await.expect_status(200);
    }
}

/// Staff whose roles take a second factor: a program has none, and its keys count all the same.
mod second_factors {
    use super::*;

    bank_tests! {
        with &["--staff-second-factor", "true"];

        async fn a_key_of_staff_counts_only_while_they_have_their_second_factor(bank: &TestBank) {
            let ada = bank.customer().await;
            let clerk = bank.customer().await;
            let key = Key::create(&clerk, may(&["read", "move"])).await;
            bank.set_role(&clerk.email, "staff").await;
            let (address, twin) = bank.twin_with(&["--staff-second-factor", "true"]).await;
            let deposit = json!({"account_number": clerk.account, "amount": "5"});
            let at_twin = bank.request_to(address, Method::POST, "/deposit").bearer(&key.secret).json(deposit);
            at_twin.send().await.expect_problem(403, "second_factor_enrolment_required");
            twin.close().await;
            let directory = bank.database.directory.path();
            let url = &*bank.database.url;
            let run = |arguments: &[&str]| {
                let command = coffer(directory, &["admin", "--database-url", url]).args(arguments).output();
                text(&command.expect("the binary runs").stdout).trim_end().to_owned()
            };
            run(&["create", "till@example.com", "--service", "--role", "staff"]);
            let secret = run(&["key", "create", "till@example.com", "--name", "Till", "--scopes", "read,move,staff"]);
            let deposit = json!({"account_number": ada.account, "amount": "5"});
            bank.post("/deposit", deposit).bearer(&secret).send().await.expect_status(201);
        }
    }
}
