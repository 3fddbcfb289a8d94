//! Statements: an account's movements in a period, as JSON and as CSV.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use coffer::api::http::long_answers::MAX_OF_A_CALLER;

use crate::databases::Kind;
use crate::doctor::disarm;
use crate::harness::{Answer, Customer, TestBank, bank_tests};

/// What the server waits for a client to take something.
const SERVER_WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// More than the server reads at once, several times over.
const MANY: usize = 2_600;

async fn statement(customer: &Customer<'_>, query: &str) -> Answer {
    customer.get(&format!("/accounts/{}/statement?{query}", customer.account)).send().await
}

async fn statement_as_csv(customer: &Customer<'_>, query: &str) -> Answer {
    customer.get(&format!("/accounts/{}/statement.csv?{query}", customer.account)).send().await
}

async fn json(customer: &Customer<'_>, query: &str) -> Value {
    let answer = statement(customer, query).await.expect_status(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("content-disposition"), None);
    answer.body
}

/// Every record with its fields, the first with their names.
async fn csv(customer: &Customer<'_>, query: &str) -> Vec<Vec<String>> {
    let answer = statement_as_csv(customer, query).await.expect_status(200);
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    records(answer.body.as_str().expect("text"))
}

/// A second reading of RFC 4180, independent of the one that wrote it. Strict: every record ends in CRLF.
fn records(text: &str) -> Vec<Vec<String>> {
    let text = text.strip_prefix('\u{feff}').expect("a byte order mark");
    let (mut records, mut record, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\r' if !quoted => {
                assert_eq!(characters.next(), Some('\n'));
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            _ => field.push(c),
        }
    }
    assert!(!quoted && field.is_empty() && record.is_empty(), "the last record has no end");
    records
}

fn sequences(statement: &Value) -> Vec<i64> {
    statement["movements"].as_array().expect("a list").iter().filter_map(|entry| entry["sequence"].as_i64()).collect()
}

/// Opening balance, in, out, closing balance.
fn sums(statement: &Value) -> [&str; 4] {
    ["opening_balance", "total_in", "total_out", "closing_balance"].map(|name| statement[name].as_str().expect("money"))
}

fn day(moment: &str) -> &str {
    moment.split('T').next().expect("a date")
}

async fn describe(customer: &Customer<'_>, amount: &str, description: &str) -> Answer {
    let body = json!({"account_number": customer.account, "amount": amount, "description": description});
    customer.post("/deposit", body).send().await.expect_status(201)
}

/// Movements enough for several reads, in a few requests.
async fn make_many(customer: &Customer<'_>) {
    for chunk in (0..MANY).collect::<Vec<_>>().chunks(1_000) {
        let item =
            |n: &usize| json!({"type": "deposit", "account_number": customer.account, "amount": format!("{}", n + 1)});
        let body = json!({"transactions": chunk.iter().map(item).collect::<Vec<_>>()});
        customer.post("/transactions/batch", body).send().await.expect_status(200);
    }
}

bank_tests! {
    with &["--max-amount", "1000000000000", "--units", "GLD:4:Gold"];

    /// What has passed through an account may be more than any account can have.
    async fn sums_are_larger_than_any_balance(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        let gold = ada.open_account(json!({"currency": "GLD"})).await.expect_status(201).text_at("/account_number");
        let move_by = |kind: &str| json!({"type": kind, "account_number": gold, "amount": "1000000000000"});
        let items: Vec<_> = (0..500).flat_map(|_| [move_by("deposit"), move_by("withdrawal")]).collect();
        for _ in 0..2 {
            let done = ada.post("/transactions/batch", json!({"transactions": items})).send().await;
            assert_eq!(done.expect_status(200).body["booked"], 1_000);
        }
        let statement = ada.get(&format!("/accounts/{gold}/statement")).send().await.expect_status(200);
        assert_eq!(statement.text_at("/total_in"), "1000000000000000.0000");
        assert_eq!(statement.text_at("/total_out"), "1000000000000000.0000");
        assert_eq!(statement.text_at("/closing_balance"), "0.0000");
        let limits = async |limits: Value| {
            clerk.request(Method::PUT, &format!("/accounts/{gold}/limits")).json(limits).send().await
        };
        limits(json!({"per_month": null})).await.expect_status(200);
        let (up, down) = (move_by("deposit"), move_by("withdrawal"));
        let done = ada.post("/transactions/batch", json!({"transactions": [up, down]})).send().await;
        assert_eq!(done.expect_status(200).body["booked"], 2);
        limits(json!({"per_day": "999999999999"})).await.expect_status(200);
        ada.post("/deposit", json!({"account_number": gold, "amount": "1"})).send().await.expect_status(201);
        let over = ada.post("/withdraw", json!({"account_number": gold, "amount": "1"})).send().await;
        over.expect_problem(409, "limit_exceeded");
    }
}

bank_tests! {
    async fn a_statement_has_every_movement_and_adds_up(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("100.50").await.expect_status(201);
        ada.withdraw("20").await.expect_status(201);
        ada.transfer(&bob.account, "0.25").await.expect_status(201);
        let whole = json(&ada, "").await;
        assert_eq!(sums(&whole), ["0.00", "100.50", "20.25", "80.25"]);
        let mut newest_first = ada.history().await;
        newest_first.reverse();
        assert_eq!(whole["movements"], Value::Array(newest_first));
        assert_eq!(whole["account_number"], ada.account.as_str());
        assert_eq!((&whole["currency"], &whole["label"]), (&json!("USD"), &Value::Null));
        let account = ada.get(&format!("/accounts/{}", ada.account)).send().await.expect_status(200);
        assert_eq!(whole["from"], account.body["opened_at"]);
        let of_bob = json(&bob, "").await;
        assert_eq!(sums(&of_bob), ["0.00", "0.25", "0.00", "0.25"]);
        assert_eq!(of_bob["movements"][0]["counterparty"], ada.account.as_str());
    }

    async fn from_counts_in_and_to_does_not_unless_it_is_a_date(bank: &TestBank) {
        let ada = bank.customer().await;
        let mut moments = Vec::new();
        for _ in 0..4 {
            moments.push(ada.deposit("1").await.expect_status(201).text_at("/created_at"));
        }
        let (first_day, last_day) = (day(&moments[0]), day(&moments[3]));
        for (query, expected, sums_expected) in [
            (format!("from={}", moments[2]), vec![3, 4], ["2.00", "2.00", "0.00", "4.00"]),
            (format!("to={}", moments[2]), vec![1, 2], ["0.00", "2.00", "0.00", "2.00"]),
            (format!("from={}&to={}", moments[1], moments[2]), vec![2], ["1.00", "1.00", "0.00", "2.00"]),
            (format!("from={}&to={}", moments[1], moments[1]), vec![], ["1.00", "0.00", "0.00", "1.00"]),
            (format!("from={first_day}&to={last_day}"), vec![1, 2, 3, 4], ["0.00", "4.00", "0.00", "4.00"]),
            (format!("from={first_day}&to=2999-12-31"), vec![1, 2, 3, 4], ["0.00", "4.00", "0.00", "4.00"]),
            // Before there was an account there was nothing on it.
            ("from=0001-01-01&to=2001-01-31".to_owned(), vec![], ["0.00", "0.00", "0.00", "0.00"]),
            ("to=2001-01-31".to_owned(), vec![], ["0.00", "0.00", "0.00", "0.00"]),
            ("to=9999-12-31".to_owned(), vec![1, 2, 3, 4], ["0.00", "4.00", "0.00", "4.00"]),
        ] {
            let statement = json(&ada, &query).await;
            assert_eq!((sequences(&statement), sums(&statement)), (expected, sums_expected), "{query}");
        }
        let past = json(&ada, "from=2001-01-01&to=2001-01-31").await;
        assert_eq!(
            (&past["from"], &past["to"]),
            (&json!("2001-01-01T00:00:00.000000Z"), &json!("2001-02-01T00:00:00.000000Z"))
        );
        // No statement speaks of the future.
        let now = json(&ada, "to=2999-12-31").await["to"].as_str().expect("a moment").to_owned();
        assert!(now.as_str() > moments[3].as_str() && now.starts_with("20"), "{now}");
    }

    async fn a_new_account_has_an_empty_statement(bank: &TestBank) {
        let ada = bank.customer_in("JPY").await;
        let empty = json(&ada, "").await;
        assert_eq!((sequences(&empty), sums(&empty)), (vec![], ["0", "0", "0", "0"]));
        let records = csv(&ada, "").await;
        assert_eq!(
            records.iter().map(|record| &*record[1]).collect::<Vec<_>>(),
            ["type", "opening_balance", "closing_balance"]
        );
    }

    async fn csv_says_the_same_as_json(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        describe(&ada, "100.50", "Salary, \"January\"").await;
        ada.transfer(&bob.account, "0.25").await.expect_status(201);
        let period = "from=2001-01-01&to=2999-12-31";
        let answer = statement_as_csv(&ada, period).await.expect_status(200);
        let today = day(&ada.history().await[0]["created_at"].to_string()).trim_matches('"').to_owned();
        let name = format!("attachment; filename=\"statement-{}-2001-01-01-{today}.csv\"", ada.account);
        assert_eq!(answer.header("content-disposition"), Some(&*name));
        let records = records(answer.body.as_str().expect("text"));
        let header = [
            "date",
            "type",
            "description",
            "counterparty",
            "amount",
            "balance",
            "currency",
            "transaction_id",
            "sequence",
            "hash",
            "against",
        ];
        assert_eq!(records[0], header);
        let json = json(&ada, period).await;
        assert_eq!(records.len(), 5);
        assert_eq!(records[1][..6], ["2001-01-01T00:00:00.000000Z", "opening_balance", "", "", "", "0.00"]);
        assert_eq!(records[4][1..6], ["closing_balance", "", "", "", "100.25"]);
        for (record, entry) in records[2..4].iter().zip(json["movements"].as_array().expect("a list")) {
            for (name, column) in
                [("created_at", 0), ("type", 1), ("balance", 5), ("currency", 6), ("id", 7), ("hash", 9)]
            {
                assert_eq!(entry[name], record[column].as_str(), "{name}");
            }
            assert_eq!(entry["description"].as_str().unwrap_or_default(), record[2]);
            assert_eq!(entry["counterparty"].as_str().unwrap_or_default(), record[3]);
            assert_eq!(entry["sequence"].to_string(), record[8]);
            assert_eq!(entry["against"].as_str().unwrap_or_default(), record[10]);
        }
        assert_eq!((&*records[2][4], &*records[3][4]), ("100.50", "-0.25"));
    }

    async fn no_description_runs_as_a_formula(bank: &TestBank) {
        let ada = bank.customer().await;
        for (description, shown) in [
            ("=HYPERLINK(\"https://evil.example\",\"Click\")", "'=HYPERLINK(\"https://evil.example\",\"Click\")"),
            ("+1", "'+1"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("Rent;=1+1", "Rent;'=1+1"),
            ("'quoted'", "''quoted'"),
            ("Groceries = food", "Groceries = food"),
            ("Käse 🧀", "Käse 🧀"),
        ] {
            describe(&ada, "1", description).await;
            assert_eq!(csv(&ada, "").await.iter().rev().nth(1).expect("a movement")[2], shown);
            // JSON is for programs: it says what was sent.
            let json = json(&ada, "").await;
            assert_eq!(
                json["movements"].as_array().and_then(|all| all.last()).expect("a movement")["description"],
                description
            );
        }
    }

    async fn a_question_that_makes_no_sense_is_refused(bank: &TestBank) {
        let ada = bank.customer().await;
        for (query, pointer, code) in [
            ("from=yesterday", "?from", "date_malformed"),
            ("to=2026-02-30", "?to", "date_malformed"),
            ("from=2026-02-02&to=2026-02-01T00:00:00Z", "?from", "period_reversed"),
            ("from=2026-02-02&to=2026-02-01", "?from", "period_reversed"),
            ("from=2999-01-01", "?from", "period_reversed"),
            ("from=2999-01-02&to=2999-01-01", "?from", "period_reversed"),
            ("format=csv", "?format", "unknown_field"),
            ("colour=blue", "?colour", "unknown_field"),
            ("from=2026-01-01&from=2026-01-02", "?from", "duplicate_field"),
        ] {
            let refused = statement(&ada, query).await.expect_problem(422, code);
            assert_eq!(refused.pointers(), [pointer], "{query}");
        }
    }

    async fn a_long_statement_is_whole_in_both_forms(bank: &TestBank) {
        let ada = bank.customer().await;
        make_many(&ada).await;
        let total = format!("{}.00", MANY * (MANY + 1) / 2);
        let whole = json(&ada, "").await;
        assert_eq!(sequences(&whole), (1..=MANY as i64).collect::<Vec<_>>());
        assert_eq!(sums(&whole), ["0.00", &total, "0.00", &total]);
        let records = csv(&ada, "").await;
        assert_eq!(records.len(), MANY + 3);
        assert_eq!((&*records[MANY + 1][5], &*records[MANY + 2][5]), (&*total, &*total));
        // One that begins and ends between two reads: the second of three batches, each with a moment of its own.
        let (from, to) = (&whole["movements"][1_000]["created_at"], &whole["movements"][2_000]["created_at"]);
        let part = json(&ada, &format!("from={from}&to={to}").replace('"', "")).await;
        assert_eq!(sequences(&part), (1_001..=2_000).collect::<Vec<_>>());
    }

    async fn what_is_taken_by_others_than_the_owner_is_recorded(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        ada.deposit("1").await.expect_status(201);
        statement(&ada, "").await.expect_status(200);
        let taken = auditor.get(&format!("/accounts/{}/statement?to=2001-01-01", ada.account)).send().await;
        let request_id = taken.expect_status(200).header("x-request-id").expect("an id").to_owned();
        let mut records = Vec::new();
        for _ in 0..100 {
            let answer = auditor.get("/audit?action=statement_exported").send().await.expect_status(200);
            records = answer.body["data"].as_array().expect("a list").clone();
            if !records.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(records.len(), 1, "the owner's own statement is nobody's business");
        assert_eq!(records[0]["subject"], ada.account.as_str());
        assert_eq!(records[0]["request_id"], request_id);
        assert!(records[0]["detail"].as_str().is_some_and(|detail| detail.contains("to 2001-01-02")), "{}", records[0]);
    }
}

/// A statement that cannot be finished must not look finished: its connection breaks.
async fn a_statement_that_fails_half_way_breaks_off(kind: Kind) {
    let bank = TestBank::open(kind).await;
    let ada = bank.customer().await;
    make_many(&ada).await;
    disarm(&bank).await;
    bank.tamper(&format!("delete from entries where account_number = {} and sequence = 2000", ada.account)).await;
    for format in ["statement", "statement.csv"] {
        let url = format!("http://{}/accounts/{}/{format}", bank.address, ada.account);
        let mut response = reqwest::Client::new().get(url).bearer_auth(&ada.token).send().await.expect("a beginning");
        assert_eq!(response.status(), 200);
        let mut received = 0;
        let broke = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => received += chunk.len(),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(broke && received > 100_000, "{format}: {received} bytes, broke off: {broke}");
    }
    // What fails before the first byte is a problem like any other.
    bank.tamper(&format!("delete from entries where account_number = {} and sequence = 2", ada.account)).await;
    statement(&ada, "").await.expect_problem(500, "internal_error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_fails_half_way_breaks_off_on_sqlite() {
    a_statement_that_fails_half_way_breaks_off(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_fails_half_way_breaks_off_on_postgres() {
    a_statement_that_fails_half_way_breaks_off(Kind::Postgres).await;
}

bank_tests! {
    async fn a_caller_reads_so_many_long_statements_at_once_and_others_read_theirs(bank: &TestBank) {
        let (ada, bob, auditor) = (bank.customer().await, bank.customer().await, bank.employee("auditor").await);
        for _ in 0..12 {
            make_many(&ada).await;
        }
        make_many(&bob).await;
        let mut slow = Vec::new();
        for _ in 0..MAX_OF_A_CALLER {
            let mut stream = ask_for_statement(bank, &ada).await;
            let mut beginning = [0; 15];
            stream.read_exact(&mut beginning).await.expect("an answer");
            assert_eq!(beginning, *b"HTTP/1.1 200 OK");
            slow.push(stream);
        }
        let refused = statement(&ada, "").await.expect_problem(503, "statements_busy");
        assert!(refused.header("retry-after").is_some());
        // A short one needs no place.
        statement(&ada, "from=2001-01-01&to=2001-01-02").await.expect_status(200);
        json(&bob, "").await;
        auditor.get(&format!("/accounts/{}/statement", ada.account)).send().await.expect_status(200);
        slow.pop();
        // The server hears of it with the next piece that it cannot send.
        while statement(&ada, "").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn ask_for_statement(bank: &TestBank, customer: &Customer<'_>) -> TcpStream {
    let mut stream = TcpStream::connect(bank.address).await.expect("a connection");
    let (path, token) = (format!("/accounts/{}/statement", customer.account), &customer.token);
    let request = format!("GET {path} HTTP/1.1\r\nhost: bank\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    stream
}

/// What it had asked for would fill every buffer on the way several times over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes the better part of a minute; tests/thorough runs it"]
async fn a_reader_who_takes_nothing_is_hung_up_on() {
    let bank = TestBank::open(Kind::Sqlite).await;
    let ada = bank.customer().await;
    for _ in 0..12 {
        make_many(&ada).await;
    }
    let mut stream = ask_for_statement(&bank, &ada).await;
    tokio::time::sleep(SERVER_WRITE_TIMEOUT + Duration::from_secs(5)).await;
    let mut taken = Vec::new();
    let _ = stream.read_to_end(&mut taken).await;
    let text = String::from_utf8_lossy(&taken);
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("\"movements\":["), "{}", &text[..200]);
    assert!(!text.contains("closing_balance"), "all {} bytes came", taken.len());
    bank.close_with_books_right().await;
}
