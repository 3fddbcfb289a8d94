//! What one caller may write, and what reads cost: movements, accounts, changes, sign-ups, searches, and the disk's reserve.

use std::fs::File;
use std::time::Duration;

use coffer_core::timestamp::Timestamp;
use reqwest::Method;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use serde_json::json;

use crate::command_line::coffer;
use crate::databases::{Kind, TestDatabase};
use crate::harness::{Answer, Customer, PASSWORD, TestBank, bank_tests, eventually};

#[track_caller]
fn assert_refused(answer: &Answer, code: &str, policy: &str) {
    answer.clone().expect_problem(429, code);
    let seconds: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("Retry-After");
    assert!(seconds >= 1, "{seconds}");
    for header in ["ratelimit", "ratelimit-policy"] {
        let value = answer.header(header).expect("a header");
        assert!(value.starts_with(&format!("\"{policy}\";")), "{header}: {value}");
    }
}

/// So many withdrawals of what is not there.
async fn refuse_many(caller: &Customer<'_>, count: usize) -> Answer {
    let one = json!({"type": "withdrawal", "account_number": caller.account, "amount": "1000000"});
    caller.post("/transactions/batch", json!({"transactions": vec![one; count]})).send().await
}

bank_tests! {
    with &["--movement-rate", "1"];

    async fn a_batch_takes_as_many_as_it_has(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        // Nothing of these is written, so nothing counts.
        for _ in 0..3 {
            let refused = refuse_many(&ada, 1_000).await.expect_status(200);
            assert_eq!(refused.body["refused"], 1_000);
        }
        ada.withdraw("1").await.expect_problem(409, "insufficient_funds");
        ada.deposit_many(600).await.expect_status(200);
        let too_many = ada.deposit_many(500).await;
        assert_refused(&too_many, "too_many_movements", "movements");
        assert!(too_many.text_at("/detail").contains("Nothing was booked"));
        ada.deposit_many(390).await.expect_status(200);
        // Some come back with time: one a second.
        assert_refused(&ada.deposit_many(400).await, "too_many_movements", "movements");
        assert_eq!(ada.balance().await, "990.00");
        bob.deposit_many(1_000).await.expect_status(200);
    }

    async fn what_is_repeated_counts_once(bank: &TestBank) {
        let ada = bank.customer().await;
        let item = json!({"type": "deposit", "account_number": ada.account, "amount": "1"});
        let batch = json!({"transactions": vec![item; 400]});
        for _ in 0..4 {
            let again = ada.post("/transactions/batch", batch.clone()).header("idempotency-key", "once").send().await;
            again.expect_status(200);
        }
        ada.deposit_many(580).await.expect_status(200);
        assert_refused(&ada.deposit_many(100).await, "too_many_movements", "movements");
    }

    async fn many_at_once_are_not_more_than_the_limit(bank: &TestBank) {
        let ada = bank.customer().await;
        let started = std::time::Instant::now();
        let answers = futures_util::future::join_all((0..30).map(|_| ada.deposit_many(100))).await;
        let booked: u64 = answers.iter().filter_map(|answer| answer.body["booked"].as_u64()).sum();
        assert!(booked >= 1_000 && booked <= 1_000 + started.elapsed().as_secs(), "{booked}");
    }
}

/// Every route that moves money, once the quota is used up, on whichever database.
async fn no_route_passes_by_the_limit(kind: Kind) {
    let bank = TestBank::open_with(kind, &["--movements-per-day", "3", "--approval-above", "10"]).await;
    let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
    let for_ada = |amount: &str| json!({"account_number": ada.account, "amount": amount});
    let booked = clerk.post("/deposit", for_ada("8")).send().await.expect_status(201).text_at("/id");
    // What waits is written, too.
    let waits = clerk.post("/deposit", for_ada("11")).send().await.expect_status(202).text_at("/id");
    clerk.post("/withdraw", for_ada("1")).send().await.expect_status(201);
    for (path, body) in [
        ("/deposit".to_owned(), for_ada("1")),
        ("/withdraw".to_owned(), for_ada("1")),
        ("/transfer".to_owned(), json!({"from_account": ada.account, "to_account": clerk.account, "amount": "1"})),
        (format!("/transactions/{booked}/reverse"), json!({})),
        (
            "/transactions/batch".to_owned(),
            json!({"transactions": [{"type": "deposit", "account_number": ada.account, "amount": "1"}]}),
        ),
    ] {
        assert_refused(&clerk.post(&path, body).send().await, "too_many_movements", "movements-day");
    }
    // Approving counts for the one who does it.
    let approve = format!("/approvals/{waits}/approve");
    other.deposit_many(3).await.expect_status(200);
    assert_refused(&other.post(&approve, json!({})).send().await, "too_many_movements", "movements-day");
    let third = bank.employee("staff").await;
    third.post(&approve, json!({})).send().await.expect_status(200);
    assert_eq!(ada.balance().await, "18.00");
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_passes_by_the_limit_on_sqlite() {
    no_route_passes_by_the_limit(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_passes_by_the_limit_on_postgres() {
    no_route_passes_by_the_limit(Kind::Postgres).await;
}

async fn the_day_outlives_a_restart_and_is_one_for_all_instances(kind: Kind) {
    let flags = ["--movements-per-day", "20"];
    let bank = TestBank::open_with(kind, &flags).await;
    let ada = bank.customer().await;
    let (account, token) = (ada.account.clone(), ada.token.clone());
    let one = json!({"account_number": account, "amount": "1"});
    if kind == Kind::Postgres {
        // The other instance was there before anything was booked.
        let (address, twin) = bank.twin_with(&flags).await;
        ada.deposit_many(20).await.expect_status(200);
        let used = "select coalesce(max(full_at), 0) from movement_quotas";
        eventually("this instance has stored it", async || bank.number(used).await > 0).await;
        let used_here = bank.number(used).await;
        let deposit_there = async || {
            let deposit = bank.request_to(address, Method::POST, "/deposit").bearer(&token).json(one.clone());
            deposit.send().await
        };
        deposit_there().await.expect_status(201);
        // Each instance hears of the others when it stores its own.
        eventually("the other has stored its own", async || bank.number(used).await > used_here).await;
        eventually("it has heard of the first", async || deposit_there().await.status == 429).await;
        assert_refused(&deposit_there().await, "too_many_movements", "movements-day");
        twin.close().await;
    } else {
        ada.deposit_many(20).await.expect_status(200);
    }
    let bank = TestBank::open_on(bank.close().await, &flags).await;
    let refused = bank.post("/deposit", one).bearer(&token).send().await;
    assert_refused(&refused, "too_many_movements", "movements-day");
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_outlives_a_restart_on_sqlite() {
    the_day_outlives_a_restart_and_is_one_for_all_instances(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_outlives_a_restart_and_is_one_for_all_instances_on_postgres() {
    the_day_outlives_a_restart_and_is_one_for_all_instances(Kind::Postgres).await;
}

bank_tests! {
    /// Written while the clock was ahead, it said for all that time that the day was used up.
    async fn a_quota_that_is_whole_in_years_says_nothing(bank: &TestBank) {
        let ada = bank.customer().await;
        let id = bank.literal_of(&ada.get("/me").send().await.text_at("/id"));
        let in_a_year = (Timestamp::now().as_micros() + 365 * 24 * 3_600 * 1_000_000).to_string();
        bank.tamper(&format!("insert into movement_quotas (user_id, full_at) values ({id}, {in_a_year})")).await;
        let (twin, stop) = bank.twin_with(&["--movements-per-day", "20"]).await;
        let deposit = async || {
            let body = json!({"account_number": ada.account, "amount": "1"});
            bank.request_to(twin, Method::POST, "/deposit").json(body).bearer(&ada.token).send().await
        };
        for _ in 0..20 {
            deposit().await.expect_status(201);
        }
        deposit().await.expect_problem(429, "too_many_movements");
        let full_at = format!("select full_at from movement_quotas where user_id = {id}");
        let tomorrow = Timestamp::now().as_micros() + 25 * 3_600 * 1_000_000;
        eventually("the time that it says is right again", async || bank.number(&full_at).await < tomorrow).await;
        stop.close().await;
    }
}

bank_tests! {
    with &["--accounts-per-day", "4"];

    async fn accounts_that_are_closed_again_were_opened(bank: &TestBank) {
        let ada = bank.customer().await;
        let (address, twin) = bank.twin_with(&["--accounts-per-day", "4"]).await;
        for _ in 0..3 {
            let number = ada.open_account(json!({})).await.expect_status(201).text_at("/account_number");
            ada.request(Method::DELETE, &format!("/accounts/{number}")).send().await.expect_status(204);
        }
        assert_refused(&ada.open_account(json!({})).await, "too_many_openings", "openings-day");
        let elsewhere = bank.request_to(address, Method::POST, "/accounts").bearer(&ada.token).json(json!({}));
        assert_refused(&elsewhere.send().await, "too_many_openings", "openings-day");
        bank.customer().await.open_account(json!({})).await.expect_status(201);
        bank.tamper(
            "update accounts set opened_at = opened_at - 86400000000, last_entry_at = last_entry_at - 86400000000",
        )
        .await;
        ada.open_account(json!({})).await.expect_status(201);
        twin.close().await;
    }

    async fn many_at_once_open_no_more_than_one_may(bank: &TestBank) {
        let ada = bank.customer().await;
        let answers = futures_util::future::join_all((0..12).map(|_| ada.open_account(json!({})))).await;
        let statuses = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((statuses(201), statuses(429)), (3, 9));
    }
}

bank_tests! {
    with &["--changes-per-day", "5"];

    async fn changes_leave_only_so_many_records(bank: &TestBank) {
        let ada = bank.customer().await;
        let relabel = || ada.request(Method::PATCH, &format!("/accounts/{}", ada.account));
        for label in ["A", "B", "C", "B", "A"] {
            relabel().json(json!({"label": label})).send().await.expect_status(200);
        }
        assert_refused(&relabel().json(json!({"label": "D"})).send().await, "too_many_changes", "changes");
        assert_refused(
            &ada.request(Method::PATCH, "/me").json(json!({"name": "X"})).send().await,
            "too_many_changes",
            "changes",
        );
        // Nobody who has a token can keep its owner from signing in, from proving it, and from a new password.
        bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        ada.post("/me/proof", json!({"password": PASSWORD})).send().await.expect_status(200);
        let renewed = json!({"current_password": PASSWORD, "new_password": "another battery staple"});
        ada.request(Method::PUT, "/me/password").json(renewed).send().await.expect_status(204);
        // Money, looking and leaving have limits of their own.
        ada.deposit("1").await.expect_status(201);
        ada.get("/me").send().await.expect_status(200);
        ada.get("/accounts").send().await.expect_status(200);
        ada.post("/logout", json!({})).send().await.expect_status(204);
    }
}

async fn sign_ups_are_limited_by_network(kind: Kind) {
    let flags = ["--trusted-proxies", "127.0.0.1", "--sign-ups-per-hour", "3"];
    let bank = TestBank::open_with(kind, &flags).await;
    let sign_up = async |address: &str, name: &str| {
        let body = json!({"name": name, "email": format!("{name}@example.com"), "password": PASSWORD});
        bank.post("/create_account", body).header("x-forwarded-for", address).send().await
    };
    for name in ["ada", "bob", "carol"] {
        sign_up("2001:db8::1", name).await.expect_status(201);
    }
    // What is not even a sign-up takes nothing, and gets its own answer.
    sign_up("2001:db8::2", "").await.expect_status(422);
    assert_refused(&sign_up("2001:db8::2", "dave").await, "too_many_sign_ups", "sign-up");
    sign_up("2001:db8:0:1::1", "dave").await.expect_status(201);
    sign_up("192.0.2.1", "eve").await.expect_status(201);
    let sign_in = bank.post("/login", json!({"email": "ada@example.com", "password": PASSWORD}));
    sign_in.header("x-forwarded-for", "2001:db8::1").send().await.expect_status(200);
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ups_are_limited_by_network_on_sqlite() {
    sign_ups_are_limited_by_network(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ups_are_limited_by_network_on_postgres() {
    sign_ups_are_limited_by_network(Kind::Postgres).await;
}

bank_tests! {
    with &["--caller-rate", "10"];

    async fn a_search_costs_what_it_reads(bank: &TestBank) {
        let ada = bank.customer().await;
        book(&ada, &[(3_000, None), (1, Some("the needle")), (1_000, None)]).await;
        for filter in ["text=needle", "type=withdrawal"] {
            wait_until_the_quota_is_whole(&ada).await;
            let (mut asked, mut found) = (0, 0);
            let path = format!("/transactions?account_number={}&{filter}", ada.account);
            loop {
                let answer = ada.get(&path).send().await;
                if answer.status == 429 {
                    assert_refused(&answer, "too_many_requests", "caller");
                    break;
                }
                found = found.max(answer.expect_status(200).body["data"].as_array().map_or(0, Vec::len));
                asked += 1;
            }
            // Forty at once; each of these looks through 4,001 entries, which costs twenty-one.
            assert!((1..=5).contains(&asked), "{filter}: {asked}");
            assert_eq!(found, usize::from(filter == "text=needle"), "{filter}");
        }
    }

    async fn a_search_that_is_cut_short_goes_on_where_it_stopped(bank: &TestBank) {
        let ada = bank.customer().await;
        let first_and_last = [(1, Some("first needle")), (3_000, None), (1, Some("second needle")), (3_000, None)];
        book(&ada, &first_and_last).await;
        let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        // Other requests use up the quota meanwhile.
        loop {
            let path = format!("/transactions?account_number={}&text=needle{cursor}", ada.account);
            while ada.get("/me").send().await.status == 200 {}
            let page = ada.get(&path).send().await;
            if page.status == 429 {
                continue;
            }
            pages += 1;
            found.extend(page.body["data"].as_array().expect("a list").iter().cloned());
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let descriptions: Vec<_> =
            found.iter().map(|entry| entry["description"].as_str().unwrap_or_default()).collect();
        assert_eq!(descriptions, ["second needle", "first needle"]);
        assert!(pages > 1, "it was never cut short");
    }

    async fn a_large_batch_costs_more_than_one_request(bank: &TestBank) {
        let ada = bank.customer().await;
        wait_until_the_quota_is_whole(&ada).await;
        let answers = futures_util::future::join_all((0..20).map(|_| refuse_many(&ada, 1_000))).await;
        let taken = answers.iter().filter(|answer| answer.status == 200).count();
        assert!((1..=6).contains(&taken), "{taken}");
    }

    async fn looking_through_everybody_costs_more_than_one_request(bank: &TestBank) {
        let clerk = bank.employee("staff").await;
        wait_until_the_quota_is_whole(&clerk).await;
        let mut asked = 0;
        while clerk.get("/users?search=nobody").send().await.status == 200 {
            asked += 1;
        }
        assert!((1..=4).contains(&asked), "{asked}");
    }
}

/// Deposits in this order, so many with each description, through an instance without limits.
async fn book(owner: &Customer<'_>, deposits: &[(usize, Option<&str>)]) {
    let (address, twin) = owner.bank.twin().await;
    for (count, description) in deposits {
        let one =
            json!({"type": "deposit", "account_number": owner.account, "amount": "1", "description": description});
        for chunk in vec![one; *count].chunks(1_000) {
            let batch = owner.bank.request_to(address, Method::POST, "/transactions/batch").bearer(&owner.token);
            batch.json(json!({"transactions": chunk})).send().await.expect_status(200);
        }
    }
    twin.close().await;
}

async fn wait_until_the_quota_is_whole(caller: &Customer<'_>) {
    eventually("the quota is whole", async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let answer = caller.get("/me").send().await;
        answer.header("ratelimit").is_some_and(|left| left.starts_with("\"caller\";r=39;"))
    })
    .await;
}

/// Room that the test can use up by itself: other programs may use the same disk meanwhile.
const MARGIN: u64 = 1 << 30;

#[tokio::test(flavor = "multi_thread")]
async fn movements_wait_while_the_disk_has_less_than_its_reserve() {
    let database = TestDatabase::create(Kind::Sqlite).await;
    let disk = statvfs(database.directory.path()).expect("a disk");
    let free = disk.f_bavail * disk.f_frsize;
    let reserve = format!("{}KB", free.checked_sub(MARGIN).expect("room for the test") / 1_000);
    let bank = TestBank::open_on(database, &["--disk-reserve", &reserve, "--approval-above", "100"]).await;
    let (ada, clerk, admin) = (bank.customer().await, bank.employee("staff").await, bank.employee("admin").await);
    let booked = ada.deposit("10").await.expect_status(201).text_at("/id");
    bank.get("/readyz").send().await.expect_status(200);

    let filler = bank.database.directory.path().join("filler");
    let file = File::create(&filler).expect("a file");
    fallocate(&file, FallocateFlags::empty(), 0, 2 * MARGIN).expect("a large file");
    let is_reached = async || bank.get("/readyz").send().await.expect_status(200).body["disk_reserve_reached"] == true;
    eventually("the reserve is reached", is_reached).await;
    for refused in [
        ada.deposit("1").await,
        ada.withdraw("1").await,
        ada.transfer(&clerk.account, "1").await,
        ada.deposit_many(2).await,
        clerk.post(&format!("/transactions/{booked}/reverse"), json!({})).send().await,
        clerk.post("/deposit", json!({"account_number": ada.account, "amount": "1000"})).send().await,
        ada.open_account(json!({})).await,
        bank.post("/create_account", json!({"name": "X", "email": "x@example.com", "password": PASSWORD})).send().await,
    ] {
        refused.expect_problem(507, "disk_full");
    }
    // All else goes on.
    assert_eq!(ada.balance().await, "10.00");
    assert_eq!(ada.history().await.len(), 1);
    ada.request(Method::PATCH, &format!("/accounts/{}", ada.account))
        .json(json!({"label": "A"}))
        .send()
        .await
        .expect_status(200);
    let tokens = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
    bank.post("/logout", json!({})).bearer(&tokens.text_at("/access_token")).send().await.expect_status(204);
    let user_id = ada.get("/me").send().await.text_at("/id");
    let freeze = admin.request(Method::PUT, &format!("/users/{user_id}/status")).json(json!({"status": "frozen"}));
    freeze.send().await.expect_status(200);
    let release = admin.request(Method::PUT, &format!("/users/{user_id}/status")).json(json!({"status": "active"}));
    release.send().await.expect_status(200);
    let metrics = bank.get("/metrics").send().await.expect_status(200).body.to_string();
    assert!(metrics.contains("coffer_disk_reserve_reached ") && metrics.contains("coffer_disk_free_bytes "));

    drop(file);
    std::fs::remove_file(filler).expect("the file");
    eventually("there is room again", async || !is_reached().await).await;
    ada.deposit("1").await.expect_status(201);
    assert_eq!(ada.balance().await, "11.00");
    bank.close_with_books_right().await;
}

/// The server's disk cannot be seen from here. What it says when that is full is answered in the same words.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_postgres_is_answered_like_the_reserve() {
    let bank = TestBank::open_with(Kind::Postgres, &["--disk-reserve", "1000000TB"]).await;
    let ada = bank.customer().await;
    ada.deposit("1").await.expect_status(201);
    let full = "create function no_room() returns trigger language plpgsql as
                $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$;";
    bank.tamper(full).await;
    for table in ["transactions", "accounts"] {
        bank.tamper(&format!(
            "create trigger no_room before insert on {table} for each row execute function no_room()"
        ))
        .await;
    }
    ada.deposit("1").await.expect_problem(507, "disk_full");
    ada.open_account(json!({})).await.expect_problem(507, "disk_full");
    assert_eq!(ada.balance().await, "1.00");
    for table in ["transactions", "accounts"] {
        bank.tamper(&format!("drop trigger no_room on {table}")).await;
    }
    bank.tamper("drop function no_room()").await;
    ada.deposit("1").await.expect_status(201);
    bank.close_with_books_right().await;
}

/// One fresh customer with the defaults: what they can write in a burst, and what is left to others.
#[tokio::test(flavor = "multi_thread")]
async fn by_default_a_customer_writes_a_thousand_movements_at_once_and_no_more() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let help = coffer(directory.path(), &["--help"]).output().expect("the binary runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for default in ["COFFER_MOVEMENT_RATE=] [default: 100]", "COFFER_MOVEMENTS_PER_DAY=] [default: 100000]"] {
        assert!(help.contains(default), "{help}");
    }
    let flags = ["--movement-rate", "100", "--movements-per-day", "100000", "--caller-rate", "100"];
    let bank = TestBank::open_with(Kind::Sqlite, &flags).await;
    let ada = bank.customer().await;
    let started = std::time::Instant::now();
    let mut booked = 0;
    for _ in 0..10 {
        let answers = futures_util::future::join_all((0..8).map(|_| ada.deposit_many(1_000))).await;
        let counts = answers.iter().filter_map(|answer| answer.body["booked"].as_u64());
        booked += counts.sum::<u64>();
    }
    let allowed = 1_000 + 100 * (started.elapsed().as_secs() + 1);
    assert!(booked >= 1_000 && booked <= allowed, "{booked} of {allowed}");
    let of_day = ada.deposit("1").await;
    assert!(matches!(of_day.status.as_u16(), 201 | 429), "{:?}", of_day.body);
    bank.close_with_books_right().await;
}
