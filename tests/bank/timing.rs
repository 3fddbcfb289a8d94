//! What the time of an answer tells. Minutes long, so `tests/thorough` runs it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::databases::{Kind, TestDatabase};
use crate::harness::TestBank;
use crate::post_office::PostOffice;

/// Sign-ins of each kind.
const TRIES: usize = 1_000;
const CUSTOMERS: usize = 100;
/// Refusals of each kind: fewer, because each takes 300 ms by design.
const REFUSALS: usize = 200;
/// Of those whose tries are used up: few, because each gets one back every 30 seconds, which is then used up again.
const REFUSED_CUSTOMERS: usize = 10;
/// Requests for links of each kind: each takes 100 ms by design.
const RESETS: usize = 300;
/// The Kolmogorov-Smirnov distance that two samples of this size from one distribution exceed once in a thousand times. No
/// threshold on the time tells known from unknown better than by half of it.
fn chance(samples: usize) -> f64 {
    1.95 * (2.0 / samples as f64).sqrt()
}

/// The greatest share by which the times below a threshold differ: how well the best threshold tells the two apart.
fn distance(known: &[Duration], unknown: &[Duration]) -> f64 {
    let below =
        |times: &[Duration], limit| times.iter().filter(|time| **time <= limit).count() as f64 / times.len() as f64;
    let limits = known.iter().chain(unknown);
    limits.map(|&limit| (below(known, limit) - below(unknown, limit)).abs()).fold(0.0, f64::max)
}

/// OWASP ASVS 5.0 6.3.8. Every try comes from a network of its own, so that none is slowed as a guess.
async fn body(kind: Kind) {
    let bank =
        TestBank::open_on(TestDatabase::create(kind).await, &["--real-hashes", "--trusted-proxies", "127.0.0.1"]).await;
    let mut known = Vec::new();
    for _ in 0..CUSTOMERS {
        known.push(bank.customer().await.email);
    }
    let mut network = 0u32;
    let mut time = async |email: &str| {
        network += 1;
        let address = format!("2001:db8:{:x}:{:x}::1", network >> 16, network & 0xffff);
        let body = json!({"email": email, "password": "not the password"});
        let request = bank.post("/login", body).header("x-forwarded-for", &address);
        let started = Instant::now();
        let answer = request.send().await;
        let elapsed = started.elapsed();
        answer.expect_problem(401, "invalid_credentials");
        elapsed
    };
    let (mut of_known, mut of_unknown) = (Vec::new(), Vec::new());
    for n in 0..TRIES {
        let (email, nobody) = (&known[n % CUSTOMERS], format!("nobody-{n}@example.com"));
        // In turns, and each first as often as the other.
        if n % 2 == 0 {
            of_known.push(time(email).await);
            of_unknown.push(time(&nobody).await);
        } else {
            of_unknown.push(time(&nobody).await);
            of_known.push(time(email).await);
        }
    }
    assert_tells_nothing(kind, "a wrong password", &of_known, &of_unknown);
    bank.close_with_books_right().await;
}

fn assert_tells_nothing(kind: Kind, of: &str, known: &[Duration], unknown: &[Duration]) {
    let (distance, chance) = (distance(known, unknown), chance(known.len()));
    println!("{kind:?}, {of}: distance {distance:.3}, chance {chance:.3}");
    assert!(distance < chance, "the time of {of} tells who is a customer: {distance}");
}

/// The same of the refusal that comes before anything is looked at. Each address has a network of its own, whose tries at
/// it are used up.
async fn body_of_refusals(kind: Kind) {
    let bank =
        TestBank::open_on(TestDatabase::create(kind).await, &["--real-hashes", "--trusted-proxies", "127.0.0.1"]).await;
    let mut emails = Vec::new();
    for n in 0..REFUSED_CUSTOMERS {
        emails.push([bank.customer().await.email, format!("nobody-{n}@example.com")]);
    }
    // One in 30 seconds is let through again: then the next one counts.
    let time = async |customer: usize, which: usize| loop {
        let address = format!("2001:db8:{customer:x}:{which:x}::1");
        let body = json!({"email": emails[customer][which], "password": "not the password"});
        let request = bank.post("/login", body).header("x-forwarded-for", &address);
        let started = Instant::now();
        let answer = request.send().await;
        let elapsed = started.elapsed();
        if answer.status == 429 {
            answer.expect_problem(429, "too_many_sign_ins");
            return elapsed;
        }
    };
    let (mut of_known, mut of_unknown) = (Vec::new(), Vec::new());
    for n in 0..REFUSALS {
        let customer = n % REFUSED_CUSTOMERS;
        if n % 2 == 0 {
            of_known.push(time(customer, 0).await);
            of_unknown.push(time(customer, 1).await);
        } else {
            of_unknown.push(time(customer, 1).await);
            of_known.push(time(customer, 0).await);
        }
    }
    assert_tells_nothing(kind, "a refusal", &of_known, &of_unknown);
    bank.close_with_books_right().await;
}

/// The same of asking for a link by mail.
async fn body_of_resets(kind: Kind) {
    let post = PostOffice::open();
    let flags = post.flags();
    let flags: Vec<_> =
        flags.iter().map(String::as_str).chain(["--real-hashes", "--trusted-proxies", "127.0.0.1"]).collect();
    let bank = TestBank::open_on(TestDatabase::create(kind).await, &flags).await;
    let mut known = Vec::new();
    for _ in 0..RESETS {
        known.push(bank.customer().await.email);
    }
    let time = async |n: usize, email: &str| {
        let address = format!("2001:db8:{n:x}::1");
        let request = bank.post("/password_reset", json!({"email": email})).header("x-forwarded-for", &address);
        let started = Instant::now();
        request.send().await.expect_status(202);
        started.elapsed()
    };
    let (mut of_known, mut of_unknown) = (Vec::new(), Vec::new());
    for (n, email) in known.iter().enumerate() {
        let nobody = format!("nobody-{n}@example.com");
        if n % 2 == 0 {
            of_known.push(time(n, email).await);
            of_unknown.push(time(n, &nobody).await);
        } else {
            of_unknown.push(time(n, &nobody).await);
            of_known.push(time(n, email).await);
        }
    }
    assert_tells_nothing(kind, "a request for a link", &of_known, &of_unknown);
    bank.close_with_books_right().await;
}

#[test]
fn the_measure_tells_times_apart() {
    let times = |from: u64| (from..from + 1_000).map(Duration::from_micros).collect::<Vec<_>>();
    assert!(distance(&times(0), &times(0)) < chance(1_000));
    assert!(distance(&times(0), &times(100)) > chance(1_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; tests/thorough runs it"]
async fn known_and_unknown_addresses_take_the_same_time_on_sqlite() {
    body(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; tests/thorough runs it"]
async fn known_and_unknown_addresses_are_refused_in_the_same_time_on_sqlite() {
    body_of_refusals(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; tests/thorough runs it"]
async fn known_and_unknown_addresses_take_the_same_time_on_postgres() {
    body(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; tests/thorough runs it"]
async fn known_and_unknown_addresses_are_refused_in_the_same_time_on_postgres() {
    body_of_refusals(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; tests/thorough runs it"]
async fn known_and_unknown_addresses_get_links_in_the_same_time_on_sqlite() {
    body_of_resets(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; tests/thorough runs it"]
async fn known_and_unknown_addresses_get_links_in_the_same_time_on_postgres() {
    body_of_resets(Kind::Postgres).await;
}
