//! Many at once.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::databases::Kind;
use crate::harness::{TestBank, bank_tests, eventually};

bank_tests! {
    async fn of_200_withdrawals_of_the_whole_balance_one_succeeds(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("100").await.expect_status(201);
        let answers = join_all((0..200).map(|_| ada.withdraw("100"))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count(), 1);
        for answer in answers.into_iter().filter(|answer| answer.status != StatusCode::CREATED) {
            answer.expect_problem(409, "insufficient_funds");
        }
        assert_eq!((ada.balance().await, ada.history().await.len()), ("0.00".to_owned(), 2));
    }

    async fn opposing_transfers_neither_deadlock_nor_fail(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("1000").await.expect_status(201);
        bob.deposit("1000").await.expect_status(201);
        let there = (0..150).map(|_| ada.transfer(&bob.account, "1"));
        let back = (0..150).map(|_| bob.transfer(&ada.account, "1"));
        for answer in join_all(there.chain(back).collect::<Vec<_>>()).await {
            answer.expect_status(201);
        }
        assert_eq!((ada.balance().await, bob.balance().await), ("1000.00".to_owned(), "1000.00".to_owned()));
    }

    async fn money_sent_around_in_a_ring_is_all_there_in_the_end(bank: &TestBank) {
        let mut ring = Vec::new();
        for _ in 0..5 {
            ring.push(bank.customer().await);
        }
        for customer in &ring {
            customer.deposit("10").await.expect_status(201);
        }
        let transfers = (0..200).map(|i| ring[i % 5].transfer(&ring[(i * 3 + 1) % 5].account, "3"));
        for answer in join_all(transfers).await {
            assert!(answer.status == 201 || answer.status == 409 || answer.status == 422, "{}", answer.body);
        }
        let mut total = 0.0;
        for customer in &ring {
            let balance: f64 = customer.balance().await.parse().expect("a number");
            assert!(balance >= 0.0);
            total += balance;
        }
        assert_eq!(total, 50.0);
    }

    async fn one_bad_command_in_a_crowd_fails_alone(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        // A balance that the rules accept and the database refuses stands for any failure that is one command's fault.
        bank.tamper(&no_balance_of(&bob.account, 66_600, bank.kind)).await;
        let good = (0..100).map(|_| ada.deposit("1"));
        let (answers, bad) = tokio::join!(join_all(good), bob.deposit("666"));
        for answer in answers {
            answer.expect_status(201);
        }
        bad.expect_problem(500, "internal_error");
        assert_eq!((ada.balance().await, bob.balance().await), ("100.00".to_owned(), "0.00".to_owned()));
        bob.deposit("1").await.expect_status(201);
    }

    async fn clients_that_hang_up_leave_no_half_done_work(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        let mut sent = 0;
        for i in 0..200 {
            let (caller, method, path, body) = match i % 8 {
                0 | 4 => (&ada, "POST", "/deposit", json!({"account_number": ada.account, "amount": "1"})),
                1 => (&ada, "POST", "/accounts", json!({"label": "hasty"})),
                2 => (&ada, "POST", "/refresh", json!({"refresh_token": "none"})),
                3 => (&ada, "POST", "/login", json!({"email": ada.email, "password": "wrong"})),
                5 => (&auditor, "GET", "/totals", json!(null)),
                6 => (&auditor, "GET", "/trial_balance", json!(null)),
                _ => (&auditor, "GET", "/events", json!(null)),
            };
            let body = body.to_string();
            let mut stream = TcpStream::connect(bank.address).await.expect("a connection");
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: bank\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                caller.token,
                body.len()
            );
            stream.write_all(request.as_bytes()).await.expect("sent");
            sent += 1;
            // Some hang up at once, some in the middle of the work.
            tokio::time::sleep(Duration::from_micros(i * 20)).await;
        }
        assert_eq!(sent, 200);
        // Everything that was accepted is done when the queue has been through: these come after it.
        ada.deposit("1").await.expect_status(201);
        ada.open_account(json!({})).await.expect_status(201);
        let balance: f64 = ada.balance().await.parse().expect("a number");
        assert_eq!(ada.history().await.len() as f64, balance);
        assert!(balance <= 51.0, "{balance}");
        wait_until_no_transaction_is_open(bank).await;
    }
}

/// SQL that makes the database refuse this balance for this account.
fn no_balance_of(account: &str, minor_units: i64, kind: Kind) -> String {
    let condition = format!("new.account_number = {account} and new.balance = {minor_units}");
    match kind {
        Kind::Sqlite => format!(
            "create trigger no_balance before update on accounts when {condition}
             begin select raise(abort, 'refused by the test'); end"
        ),
        Kind::Postgres => {
            format!("alter table accounts add check (not (account_number = {account} and balance = {minor_units}))")
        }
    }
}

/// On PostgreSQL, asks the server; on SQLite a stuck transaction would have kept the write lock from the requests before.
async fn wait_until_no_transaction_is_open(bank: &TestBank) {
    if bank.kind == Kind::Postgres {
        let idle_in_transaction = "select count(*) from pg_stat_activity
                                   where datname = current_database() and state like 'idle in transaction%'";
        eventually("no connection is stuck in a transaction", async || bank.number(idle_in_transaction).await == 0)
            .await;
    }
}

/// Two instances over one PostgreSQL, as behind a load balancer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_share_one_postgres() {
    let bank = TestBank::open(Kind::Postgres).await;
    let (twin, stop) = bank.twin().await;
    let ada = bank.customer().await;
    let bob = bank.customer().await;
    ada.deposit("100").await.expect_status(201);
    let send = |address: std::net::SocketAddr, path: &str, body, key: &str| {
        let request = bank.request_to(address, Method::POST, path).json(body).bearer(&ada.token);
        request.header("idempotency-key", key).send()
    };
    let body = json!({"from_account": ada.account, "to_account": bob.account, "amount": "1"});
    let answers = join_all((0..100).map(|i| {
        let address = if i % 2 == 0 { bank.address } else { twin };
        send(address, "/transfer", body.clone(), &format!("key-{}", i / 10))
    }))
    .await;
    for answer in answers {
        answer.expect_status(201);
    }
    assert_eq!((ada.balance().await, bob.balance().await), ("90.00".to_owned(), "10.00".to_owned()));

    // A session that ends on one instance is over on the other within a moment.
    ada.request(Method::POST, "/logout").send().await.expect_status(204);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while bank.request_to(twin, Method::GET, "/me").bearer(&ada.token).send().await.status != 401 {
        assert!(tokio::time::Instant::now() < deadline, "the session lives on at the other instance");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.close().await;
    bank.close_with_books_right().await;
}
