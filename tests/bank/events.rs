//! Events: the list, the stream, and that none is lost or told twice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Client, Method, Response};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::command_line::Server;
use crate::databases::{Kind, TestDatabase};
use crate::harness::{Answer, Customer, JWT_SECRET, PASSWORD, TestBank, bank_tests, eventually};

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);

async fn events(user: &Customer<'_>, query: &str) -> Answer {
    user.get(&format!("/events?limit=100{query}")).send().await
}

fn kinds(page: &Answer) -> Vec<String> {
    let data = page.body["data"].as_array().expect("a list");
    data.iter().map(|event| event["type"].as_str().unwrap_or_default().to_owned()).collect()
}

/// A stream of events, read as it comes.
struct Stream {
    response: Response,
    text: String,
}

#[derive(Debug, PartialEq)]
struct Streamed {
    id: String,
    kind: String,
    data: Value,
}

impl Stream {
    async fn open(address: SocketAddr, token: &str, last_event_id: Option<&str>, query: &str) -> Self {
        let request = Client::new().get(format!("http://{address}/events{query}")).bearer_auth(token);
        let request = request.header("accept", "text/event-stream");
        let request = last_event_id.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; None at the end.
    async fn next(&mut self) -> Option<Streamed> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let (Some(id), Some(kind), Some(data)) = (field("id: "), field("event: "), field("data: ")) {
                    return Some(Streamed { id, kind, data: serde_json::from_str(&data).expect("JSON") });
                }
            }
            match timeout(PATIENCE, self.response.chunk()).await.expect("something in time") {
                Ok(Some(bytes)) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    async fn expect(&mut self, kind: &str) -> Streamed {
        let event = self.next().await.expect("an event");
        assert_eq!(event.kind, kind, "{}", event.data);
        event
    }
}

bank_tests! {
    async fn customers_see_what_happens_to_their_accounts_in_its_order(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        assert_eq!(
            events(&ada, "").await.expect_status(200).body,
            json!({"data": [], "has_more": false, "last_id": null})
        );
        ada.deposit("100").await.expect_status(201);
        ada.transfer(&bob.account, "30").await.expect_status(201);
        let hold = json!({"account_number": ada.account, "amount": "20"});
        let hold = ada.post("/holds", hold.clone()).send().await.expect_status(201).text_at("/id");
        ada.post(&format!("/holds/{hold}/capture"), json!({"amount": "5"})).send().await.expect_status(201);
        let other = json!({"account_number": ada.account, "amount": "1"});
        let other = ada.post("/holds", other).send().await.expect_status(201).text_at("/id");
        ada.post(&format!("/holds/{other}/release"), json!({})).send().await.expect_status(200);
        ada.request(Method::PUT, &format!("/accounts/{}/limits", ada.account))
            .json(json!({"per_day": "500"}))
            .send()
            .await
            .expect_status(200);
        let opened = ada.open_account(json!({})).await.expect_status(201).text_at("/account_number");
        ada.request(Method::DELETE, &format!("/accounts/{opened}")).send().await.expect_status(204);

        let of_ada = events(&ada, "").await.expect_status(200);
        assert_eq!(
            kinds(&of_ada),
            [
                "transaction.posted",
                "transaction.posted",
                "hold.created",
                "hold.captured",
                "transaction.posted",
                "hold.created",
                "hold.released",
                "limit.set",
                "account.opened",
                "account.closed",
            ]
        );
        let data = of_ada.body["data"].as_array().expect("a list");
        assert_eq!(
            (&data[1]["transaction"]["amount"], &data[1]["transaction"]["balance"]),
            (&json!("30.00"), &json!("70.00"))
        );
        assert_eq!((&data[2]["hold"]["id"], &data[2]["subject_id"]), (&json!(hold), &json!(hold)));
        let ids: BTreeSet<_> = data.iter().map(|event| event["id"].as_str()).collect();
        assert_eq!(ids.len(), data.len());
        let of_bob = events(&bob, "").await.expect_status(200);
        assert_eq!(kinds(&of_bob), ["transaction.posted"]);
        assert_eq!(of_bob.body["data"][0]["transaction"]["amount"], "30.00");
    }

    async fn a_list_goes_on_where_it_ended_and_filters(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        events(&ada, "").await.expect_status(200);
        for _ in 0..5 {
            ada.deposit("1").await.expect_status(201);
        }
        let mut after = String::new();
        let mut seen = Vec::new();
        loop {
            let page = ada.get(&format!("/events?limit=2{after}")).send().await.expect_status(200);
            seen.extend(
                page.body["data"].as_array().expect("a list").iter().map(|it| it["transaction"]["sequence"].clone()),
            );
            after = format!("&after={}", page.text_at("/last_id"));
            if page.body["has_more"] == false {
                break;
            }
        }
        assert_eq!(seen, [1, 2, 3, 4, 5].map(|sequence| json!(sequence)));
        assert_eq!(kinds(&events(&ada, &after).await), [""; 0]);
        assert_eq!(kinds(&events(&ada, "&type=account.opened,hold.created").await), [""; 0]);
        assert_eq!(
            kinds(&events(&ada, &format!("&account_number={}&type=transaction.posted", ada.account)).await).len(),
            5
        );
        events(&bob, &format!("&account_number={}", ada.account)).await.expect_problem(404, "account_not_found");
        events(&ada, "&type=nonsense").await.expect_problem(422, "unknown_value");
        events(&ada, "&after=nonsense").await.expect_problem(422, "id_malformed");
        let with_header = |value: &'static str| ada.get("/events").header("last-event-id", value).send();
        with_header("0").await.expect_problem(422, "id_malformed");
        with_header("").await.expect_status(200);
        events(&ada, "&after=019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88").await.expect_problem(410, "events_missed");
        ada.get("/events").header("accept", "image/png").send().await.expect_problem(406, "not_acceptable");
    }

    async fn nothing_is_written_before_anybody_listens(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("1").await.expect_status(201);
        assert_eq!(bank.number("select count(*) from events").await, 0);
        events(&ada, "").await.expect_status(200);
        ada.deposit("1").await.expect_status(201);
        assert_eq!(bank.number("select count(*) from events").await, 1);
        let last = events(&ada, "").await.text_at("/last_id");
        // Nobody has listened for long, and then somebody does again: what lies between is gone, and that is said.
        bank.tamper("update event_head set listening_until = 1").await;
        let (address, twin) = bank.twin().await;
        let at_twin =
            |query: &str| bank.request_to(address, Method::GET, &format!("/events{query}")).bearer(&ada.token);
        at_twin(&format!("?after={last}")).send().await.expect_problem(410, "events_missed");
        // Without it, the list begins behind the gap, and goes on from there.
        let begun = at_twin("?limit=1").send().await.expect_status(200);
        assert_eq!(begun.body["last_id"], Value::Null);
        ada.deposit("1").await.expect_status(201);
        let next = at_twin("?limit=1").send().await.expect_status(200);
        assert_eq!(kinds(&next), ["transaction.posted"]);
        at_twin(&format!("?after={}", next.text_at("/last_id"))).send().await.expect_status(200);
        twin.close().await;
    }

    async fn those_who_work_here_see_what_happens_to_anybody(bank: &TestBank) {
        let (clerk, admin, ada) = (bank.employee("staff").await, bank.employee("admin").await, bank.customer().await);
        events(&clerk, "").await.expect_status(200);
        let wrong = ada.deposit("7").await.expect_status(201).text_at("/id");
        let path = format!("/accounts/{}/status", ada.account);
        for status in ["frozen", "open"] {
            clerk.request(Method::PUT, &path).json(json!({"status": status})).send().await.expect_status(200);
        }
        let undone = clerk.post(&format!("/transactions/{wrong}/reverse"), json!({})).send().await.expect_status(201);
        let page = events(&clerk, "").await.expect_status(200);
        assert_eq!(
            kinds(&page),
            ["transaction.posted", "account.frozen", "account.released", "transaction.posted", "transaction.reversed",]
        );
        let reversed = &page.body["data"][4];
        assert_eq!((&reversed["subject_id"], &reversed["transaction"]["id"]), (&json!(wrong), &undone.body["id"]));
        assert_eq!(kinds(&events(&ada, "").await).len(), 5);
        let made = json!({"name": "Grace", "email": format!("made-{}", ada.email)});
        clerk.post("/users", made).send().await.expect_status(201);
        assert_eq!(kinds(&events(&clerk, "&type=account.opened").await), ["account.opened"]);
        let record = async || {
            let log = admin.get("/audit?action=events_listed").send().await.expect_status(200);
            log.body["data"].to_string().contains(&ada.account)
        };
        eventually("the look is on record", record).await;
    }

    async fn a_stream_tells_as_it_happens_and_goes_on_where_it_ended(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let mut stream = Stream::open(bank.address, &ada.token, None, "").await;
        bob.deposit("50").await.expect_status(201);
        ada.deposit("1").await.expect_status(201);
        let first = stream.expect("transaction.posted").await;
        assert_eq!((first.data["transaction"]["amount"].clone(), &first.data["id"]), (json!("1.00"), &json!(first.id)));
        drop(stream);
        for amount in ["2", "3"] {
            ada.deposit(amount).await.expect_status(201);
        }
        let mut stream = Stream::open(bank.address, &ada.token, Some(&first.id), "").await;
        let mut amounts = Vec::new();
        for _ in 0..2 {
            amounts.push(stream.expect("transaction.posted").await.data["transaction"]["amount"].clone());
        }
        assert_eq!(amounts, [json!("2.00"), json!("3.00")]);
        // By another instance, too.
        let (address, twin) = bank.twin().await;
        let deposit = json!({"account_number": ada.account, "amount": "4"});
        eventually("the other instance has heard that somebody listens", async || {
            bank.number("select count(*) from event_head where listening_until > 0").await == 1
        })
        .await;
        bank.request_to(address, Method::POST, "/deposit")
            .bearer(&ada.token)
            .json(deposit)
            .send()
            .await
            .expect_status(201);
        assert_eq!(stream.expect("transaction.posted").await.data["transaction"]["amount"], "4.00");
        twin.close().await;
        let mut of_kind = Stream::open(bank.address, &ada.token, None, "?type=hold.created").await;
        ada.deposit("5").await.expect_status(201);
        ada.post("/holds", json!({"account_number": ada.account, "amount": "1"})).send().await.expect_status(201);
        of_kind.expect("hold.created").await;
    }

    async fn a_stream_ends_with_the_right_to_listen(bank: &TestBank) {
        let ada = bank.customer().await;
        let tokens = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        let token = tokens.text_at("/access_token");
        let mut stream = Stream::open(bank.address, &token, None, "").await;
        bank.post("/logout", json!({})).bearer(&token).send().await.expect_status(204);
        assert_eq!(stream.next().await, None);
        let key =
            ada.post("/me/api_keys", json!({"name": "Listener", "scopes": ["read"]})).send().await.expect_status(201);
        let mut stream = Stream::open(bank.address, &key.text_at("/api_key"), None, "").await;
        ada.deposit("1").await.expect_status(201);
        stream.expect("transaction.posted").await;
        ada.request(Method::DELETE, &format!("/me/api_keys/{}", key.text_at("/id"))).send().await.expect_status(204);
        assert_eq!(stream.next().await, None);
    }

    /// By a session or a key, a role that is taken away and a freeze end what only the role may see.
    async fn a_stream_ends_with_the_role_that_it_shows_by(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        for (what, body) in [("role", json!({"role": "customer"})), ("status", json!({"status": "frozen"}))] {
            let clerk = bank.employee("staff").await;
            let key = json!({"name": "Listener", "scopes": ["read", "staff"]});
            let key = clerk.post("/me/api_keys", key).send().await.expect_status(201).text_at("/api_key");
            let mut by_session = Stream::open(bank.address, &clerk.token, None, "").await;
            let mut by_key = Stream::open(bank.address, &key, None, "").await;
            ada.deposit("1").await.expect_status(201);
            by_session.expect("transaction.posted").await;
            by_key.expect("transaction.posted").await;
            let id = clerk.get("/me").send().await.text_at("/id");
            let changed = admin.request(Method::PUT, &format!("/users/{id}/{what}")).json(body).send().await;
            changed.expect_status(200);
            ada.deposit("2").await.expect_status(201);
            for stream in [&mut by_session, &mut by_key] {
                assert_eq!(stream.next().await, None, "{what}");
            }
        }
    }

    async fn a_movement_below_the_alert_is_told_of(bank: &TestBank) {
        let (ada, other) = (bank.customer().await, bank.customer().await);
        events(&ada, "").await.expect_status(200);
        let path = format!("/accounts/{}", ada.account);
        let alert = |user: &Customer<'_>, below: Value| {
            user.request(Method::PATCH, &path).json(json!({"alert_below": below})).send()
        };
        let before = ada.get(&path).send().await.expect_status(200);
        assert_eq!(before.body["alert_below"], Value::Null);
        let set = alert(&ada, json!("50")).await.expect_status(200);
        assert_eq!(set.text_at("/alert_below"), "50.00");
        let after = ada.get(&path).send().await.expect_status(200);
        assert_ne!(after.header("etag"), before.header("etag"));
        alert(&other, json!("5")).await.expect_problem(404, "account_not_found");
        alert(&ada, json!(50)).await.expect_problem(422, "amount_must_be_a_string");
        alert(&ada, json!("1000000000000")).await.expect_problem(422, "limit_above_maximum");
        ada.deposit("100").await.expect_status(201);
        for amount in ["50", "0.01", "10"] {
            ada.withdraw(amount).await.expect_status(201);
        }
        let told = events(&ada, "&type=balance.below").await.expect_status(200);
        assert_eq!(kinds(&told), ["balance.below"]);
        assert_eq!(told.body["data"][0]["transaction"]["balance"], "49.99");
        alert(&ada, Value::Null).await.expect_status(200);
        ada.deposit("100").await.expect_status(201);
        ada.withdraw("120").await.expect_status(201);
        assert_eq!(kinds(&events(&ada, "&type=balance.below").await).len(), 1);
    }

    async fn the_doctor_finds_an_event_of_nothing(bank: &TestBank) {
        let ada = bank.customer().await;
        events(&ada, "").await.expect_status(200);
        ada.deposit("1").await.expect_status(201);
        assert_eq!(bank.books_wrong().await, []);
        bank.tamper("update events set sequence = 7 where sequence = 1").await;
        let wrong = bank.books_wrong().await;
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert_eq!(wrong[0].0, "events tell of what is in the books, each in its place");
        bank.tamper("update events set sequence = 1 where sequence = 7").await;
    }

    async fn one_caller_has_so_many_streams(bank: &TestBank) {
        let ada = bank.customer().await;
        let mut streams = Vec::new();
        for _ in 0..10 {
            streams.push(Stream::open(bank.address, &ada.token, None, "").await);
        }
        let one_more = || ada.get("/events").header("accept", "text/event-stream").send();
        one_more().await.expect_problem(503, "too_many_waiting");
        drop(streams);
        eventually("they have ended", async || {
            let request = Client::new().get(format!("http://{}/events", bank.address)).bearer_auth(&ada.token);
            request.header("accept", "text/event-stream").send().await.expect("an answer").status() == 200
        })
        .await;
    }

    /// Each side of each movement once, those of an account in the order of its sequences, whoever books them.
    async fn none_is_lost_or_out_of_order_over_two_instances(bank: &TestBank) {
        let (ada, bob, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        events(&clerk, "").await.expect_status(200);
        let (address, twin) = bank.twin().await;
        let booking = (0..60).map(|index: usize| {
            let to = if index.is_multiple_of(2) { bank.address } else { address };
            let (from, to_account) = if index.is_multiple_of(3) { (&ada, &bob) } else { (&bob, &ada) };
            let deposit = json!({"account_number": from.account, "amount": "2"});
            let transfer = json!({"from_account": from.account, "to_account": to_account.account, "amount": "1"});
            async move {
                bank.request_to(to, Method::POST, "/deposit")
                    .bearer(&from.token)
                    .json(deposit)
                    .send()
                    .await
                    .expect_status(201);
                bank.request_to(to, Method::POST, "/transfer")
                    .bearer(&from.token)
                    .json(transfer)
                    .send()
                    .await
                    .expect_status(201);
            }
        });
        join_all(booking).await;
        twin.close().await;
        let told = sequences_told(&clerk).await;
        for who in [&ada, &bob] {
            let booked: Vec<i64> = (1..=who.history().await.len() as i64).collect();
            assert_eq!(told.get(&who.account), Some(&booked));
        }
    }
}

/// The sequences of the movements that events tell of, by account and in the order of the events.
async fn sequences_told(clerk: &Customer<'_>) -> BTreeMap<String, Vec<i64>> {
    let mut told: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = events(clerk, &after).await.expect_status(200);
        for event in page.body["data"].as_array().expect("a list") {
            if event["type"] == "transaction.posted" {
                let account = event["account_number"].as_str().expect("a number").to_owned();
                told.entry(account).or_default().push(event["transaction"]["sequence"].as_i64().expect("a sequence"));
            }
        }
        if page.body["has_more"] == false {
            return told;
        }
        after = format!("&after={}", page.text_at("/last_id"));
    }
}

/// What was booked is told, and nothing else, when the process is killed while it books.
async fn events_outlive_kill_9(kind: Kind) {
    let database = TestDatabase::create(kind).await;
    let directory = TempDir::new().expect("a directory");
    let arguments =
        ["--database-url", &database.url, "--jwt-secret", JWT_SECRET, "--data-dir", ".", "--events", "always"];
    let client = Client::new();
    let mut server = Server::start(directory.path(), &arguments);
    let person = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD, "currency": "USD"});
    let post = async |url: String, token: &str, body: &Value| {
        client.post(url).bearer_auth(token).json(body).send().await?.json::<Value>().await
    };
    let made = post(server.url("/create_account"), "", &person).await.expect("an answer");
    let account = made["account"]["account_number"].as_str().expect("a number").to_owned();
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    let tokens = post(server.url("/login"), "", &login).await.expect("an answer");
    let token = tokens["access_token"].as_str().expect("a token").to_owned();
    let deposit = json!({"account_number": account, "amount": "1"});
    for _ in 0..4 {
        let answered = AtomicUsize::new(0);
        let kill = async {
            eventually("some are booked", async || answered.load(Relaxed) >= 8).await;
            server.signal(Signal::KILL);
        };
        let book = join_all((0..8).map(|_| async {
            while post(server.url("/deposit"), &token, &deposit).await.is_ok() {
                answered.fetch_add(1, Relaxed);
            }
        }));
        tokio::join!(kill, book);
        server.process.wait().expect("it ends");
        server = Server::start(directory.path(), &arguments);
    }
    let get = async |path: String| {
        let answer = client.get(server.url(&path)).bearer_auth(&token).send().await.expect("an answer");
        answer.json::<Value>().await.expect("JSON")
    };
    let account = get(format!("/accounts/{account}")).await;
    let (mut told, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(format!("/events?limit=100&type=transaction.posted{after}")).await;
        let data = page["data"].as_array().expect("a list");
        told.extend(data.iter().map(|event| event["transaction"]["sequence"].as_i64().expect("a sequence")));
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", page["last_id"].as_str().expect("an id"));
    }
    let booked: Vec<i64> = (1..=account["sequence"].as_i64().expect("a sequence")).collect();
    assert!(!booked.is_empty());
    assert_eq!(told, booked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_outlive_kill_9_on_sqlite() {
    events_outlive_kill_9(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_outlive_kill_9_on_postgres() {
    events_outlive_kill_9(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bank_that_closes_waits_for_no_stream() {
    let bank = TestBank::open(Kind::Sqlite).await;
    let ada = bank.customer().await;
    let mut stream = Stream::open(bank.address, &ada.token, None, "").await;
    timeout(Duration::from_secs(5), bank.close()).await.expect("it closes");
    assert_eq!(stream.next().await, None);
}
