//! Units of the bank's own, beside the currencies of ISO 4217.

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command_line::{Server, run, text};
use crate::databases::{Kind, TestDatabase};
use crate::harness::{JWT_SECRET, PASSWORD, TestBank, bank_tests, eventually};

const UNITS: &[&str] = &["--units", "PTS:0:Points,HRS:2:Hours", "--currency", "PTS"];

bank_tests! {
    with UNITS;

    async fn a_unit_is_counted_and_moved_like_a_currency(bank: &TestBank) {
        let about = bank.get("/bank").send().await.expect_status(200);
        let units =
            json!([{"code": "PTS", "decimals": 0, "name": "Points"}, {"code": "HRS", "decimals": 2, "name": "Hours"}]);
        assert_eq!((about.text_at("/currency"), &about.body["units"]), ("PTS".to_owned(), &units));
        let (ada, bob) = (bank.customer_in("PTS").await, bank.customer_in("PTS").await);
        let dollars = bank.customer_in("USD").await;
        let posted = ada.deposit("500").await.expect_status(201);
        assert_eq!((posted.text_at("/currency"), posted.text_at("/balance")), ("PTS".to_owned(), "500".to_owned()));
        ada.deposit("1.0").await.expect_problem(422, "amount_too_many_decimals");
        ada.transfer(&bob.account, "120").await.expect_status(201);
        ada.transfer(&dollars.account, "1").await.expect_problem(422, "currency_mismatch");
        let body = json!({"account_number": ada.account, "amount": "1", "currency": "HRS"});
        ada.post("/deposit", body).send().await.expect_problem(422, "currency_mismatch");
        assert_eq!((ada.balance().await, bob.balance().await), ("380".to_owned(), "120".to_owned()));

        let hours = ada.open_account(json!({"currency": "HRS"})).await.expect_status(201).text_at("/account_number");
        let body = json!({"account_number": hours, "amount": "1.25"});
        assert_eq!(ada.post("/deposit", body).send().await.expect_status(201).text_at("/balance"), "1.25");
        let statement =
            ada.get(&format!("/accounts/{hours}/statement?from=2020-01-01")).send().await.expect_status(200);
        assert_eq!(
            (statement.text_at("/currency"), statement.text_at("/closing_balance")),
            ("HRS".to_owned(), "1.25".to_owned())
        );
    }

    async fn what_is_neither_a_currency_nor_a_unit_is_unknown(bank: &TestBank) {
        let ada = bank.customer_in("PTS").await;
        for code in ["QQQ", "pts", "XAU", "PTSS"] {
            ada.open_account(json!({"currency": code})).await.expect_problem(422, "unknown_currency");
        }
    }

    async fn a_unit_keeps_its_decimals_and_may_get_another_name(bank: &TestBank) {
        let refusal = bank.refusal_of_twin_with(&["--units", "PTS:2:Points"]).await;
        assert!(refusal.contains("PTS has 2 decimals there, and 0 in this database"), "{refusal}");
        let refusal = bank.refusal_of_twin_with(&["--units", "PTS:0:Points,PTS:0:More"]).await;
        assert!(refusal.contains("PTS is there twice"), "{refusal}");
        let (address, twin) = bank.twin_with(&["--units", "PTS:0:Stars"]).await;
        let about = bank.request_to(address, Method::GET, "/bank").send().await.expect_status(200);
        assert_eq!(about.text_at("/units/0/name"), "Stars");
        twin.close().await;
        for sql in ["update units set decimals = 1 where code = 'PTS'", "delete from units where code = 'PTS'"] {
            assert!(bank.try_to_tamper(sql).await.is_err(), "{sql}");
        }
    }
}

/// Signs the customer in, and makes one if need be.
async fn sign_in(server: &Server, client: &reqwest::Client) -> String {
    let sign_up = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD, "currency": "PTS"});
    client.post(server.url("/create_account")).json(&sign_up).send().await.expect("an answer");
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    let tokens = client.post(server.url("/login")).json(&login).send().await.expect("an answer");
    tokens.json::<Value>().await.expect("tokens")["access_token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn accounts_in_a_unit_that_was_given_up_stay_as_they_are() {
    let directory = TempDir::new().expect("a directory");
    let client = reqwest::Client::new();
    let server = Server::start(directory.path(), &["--units", "PTS:0:Points"]);
    sign_in(&server, &client).await;
    drop(server);

    let server = Server::start(directory.path(), &[]);
    let token = sign_in(&server, &client).await;
    let accounts = client.get(server.url("/accounts")).bearer_auth(&token).send().await.expect("an answer");
    let accounts: Value = accounts.json().await.expect("accounts");
    let deposit = json!({"account_number": accounts["data"][0]["account_number"], "amount": "5"});
    let posted =
        client.post(server.url("/deposit")).bearer_auth(&token).json(&deposit).send().await.expect("an answer");
    assert_eq!(posted.json::<Value>().await.expect("a movement")["balance"], "5");
    let another = json!({"currency": "PTS"});
    let refused =
        client.post(server.url("/accounts")).bearer_auth(&token).json(&another).send().await.expect("an answer");
    assert_eq!(refused.json::<Value>().await.expect("a problem")["code"], "currency_withdrawn");
    drop(server);

    let examined = run(directory.path(), &["doctor"]);
    assert!(examined.status.success(), "{}{}", text(&examined.stdout), text(&examined.stderr));
}

/// Instances that were started before the unit was defined hear of it.
#[tokio::test]
async fn a_new_unit_is_known_to_the_other_instances_soon() {
    let database = TestDatabase::create(Kind::Postgres).await;
    let directory = TempDir::new().expect("a directory");
    let shared = ["--database-url", &database.url, "--jwt-secret", JWT_SECRET];
    let earlier = Server::start(directory.path(), &shared);
    let later = Server::start(directory.path(), &[&shared[..], &["--units", "PTS:0:Points"]].concat());
    let client = reqwest::Client::new();
    let token = sign_in(&later, &client).await;
    eventually("the account is listed by the other instance", async || {
        let accounts = client.get(earlier.url("/accounts")).bearer_auth(&token).send().await.expect("an answer");
        let accounts: Value = accounts.json().await.expect("JSON");
        accounts["data"][0]["currency"] == "PTS"
    })
    .await;
}

#[tokio::test]
async fn the_default_currency_is_one_of_iso_4217_or_a_unit() {
    let bank = TestBank::open_with(Kind::Sqlite, &["--units", "ZZU:1:A unit", "--currency", "ZZU"]).await;
    let refusal = bank.refusal_of_twin_with(&["--currency", "ZZV"]).await;
    assert!(refusal.contains("COFFER_CURRENCY (--currency)") && refusal.contains("unknown_currency"), "{refusal}");
    bank.close_with_books_right().await;
}
