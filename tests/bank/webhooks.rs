//! Webhooks: who may have them, what is sent and how it is signed, what is tried again, and where they must not lead.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap as Headers, StatusCode as Status};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::command_line::Server;
use crate::databases::Kind;
use crate::harness::{Answer, Customer, JWT_SECRET, TestBank, bank_tests, eventually};

const OWN_NETWORK: [&str; 1] = ["--webhook-networks=127.0.0.0/8"];

/// A program that webhooks lead to.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Inbox>>);

#[derive(Default)]
struct Inbox {
    messages: Vec<Message>,
    /// What is answered next, the last one first; then 204.
    answers: Vec<(u16, Vec<(&'static str, String)>)>,
    takes: Duration,
}

#[derive(Clone, Debug)]
struct Message {
    id: String,
    timestamp: i64,
    signature: String,
    body: String,
}

impl Message {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    fn kind(&self) -> String {
        self.json()["type"].as_str().expect("a type").to_owned()
    }

    fn signed(&self) -> String {
        format!("{}.{}.{}", self.id, self.timestamp, self.body)
    }

    /// Whether one of the signatures is of this secret, in both versions.
    fn is_signed_by(&self, secret: &Answer) -> bool {
        let key = STANDARD.decode(secret.text_at("/secret").strip_prefix("whsec_").expect("a prefix")).expect("base64");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let public = secret.text_at("/public_key");
        let public = STANDARD.decode(public.strip_prefix("whpk_").expect("a prefix")).expect("base64");
        let public = UnparsedPublicKey::new(&ED25519, public);
        let of = |version: &str| {
            let found = self.signature.split(' ').filter_map(move |signature| signature.strip_prefix(version));
            found.map(|text| STANDARD.decode(text).expect("base64")).collect::<Vec<_>>()
        };
        let signed = self.signed();
        of("v1,").iter().any(|tag| hmac::verify(&key, signed.as_bytes(), tag).is_ok())
            && of("v1a,").iter().any(|signature| public.verify(signed.as_bytes(), signature).is_ok())
    }
}

impl Receiver {
    /// Listens on a port of its own. The URL leads there.
    async fn open() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let receiver = Self::default();
        let router = Router::new().route("/hook", post(receive)).with_state(receiver.clone());
        tokio::spawn(async move { axum_serve(listener, router).await });
        (receiver, url)
    }

    fn answers(&self, answers: &[(u16, &[(&'static str, String)])]) {
        self.0.lock().expect("no panic").answers =
            answers.iter().rev().map(|(status, headers)| (*status, headers.to_vec())).collect();
    }

    fn takes(&self, duration: Duration) {
        self.0.lock().expect("no panic").takes = duration;
    }

    fn messages(&self) -> Vec<Message> {
        self.0.lock().expect("no panic").messages.clone()
    }

    fn kinds(&self) -> Vec<String> {
        self.messages().iter().map(Message::kind).collect()
    }

    async fn has(&self, count: usize) -> Vec<Message> {
        eventually(&format!("{count} messages arrive"), async || self.messages().len() >= count).await;
        let messages = self.messages();
        assert_eq!(messages.len(), count, "{messages:?}");
        messages
    }
}

async fn receive(State(receiver): State<Receiver>, headers: Headers, body: String) -> Response {
    let header = |name: &str| headers[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), "application/json");
    let message = Message {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp").parse().expect("seconds"),
        signature: header("webhook-signature"),
        body,
    };
    let (answer, takes) = {
        let mut inbox = receiver.0.lock().expect("no panic");
        inbox.messages.push(message);
        (inbox.answers.pop().unwrap_or((204, Vec::new())), inbox.takes)
    };
    tokio::time::sleep(takes).await;
    let mut response = Status::from_u16(answer.0).expect("a status").into_response();
    for (name, value) in answer.1 {
        response.headers_mut().insert(name, value.parse().expect("a value"));
    }
    response
}

/// As axum's own `serve`, which is behind a feature that the bank does without.
async fn axum_serve(listener: TcpListener, router: Router) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(stream), service),
        );
    }
}

async fn create(admin: &Customer<'_>, body: Value) -> Answer {
    admin.post("/webhooks", body).send().await
}

async fn patch(admin: &Customer<'_>, id: &str, body: Value) -> Answer {
    admin.request(Method::PATCH, &format!("/webhooks/{id}")).json(body).send().await
}

async fn deliveries(admin: &Customer<'_>, id: &str, query: &str) -> Vec<Value> {
    let page = admin.get(&format!("/webhooks/{id}/deliveries?limit=100{query}")).send().await.expect_status(200);
    page.body["data"].as_array().expect("a list").clone()
}

/// Waits until what is pending is tried again, at once instead of minutes later.
async fn try_again_now(bank: &TestBank) {
    bank.tamper("update webhook_deliveries set next_attempt_at = 1 where next_attempt_at is not null").await;
}

bank_tests! {
    with &OWN_NETWORK;

    async fn what_happens_is_sent_and_signed(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        ada.deposit("1").await.expect_status(201);
        let (receiver, url) = Receiver::open().await;
        let made = create(&admin, json!({"url": url, "description": "Ships what is paid"})).await.expect_status(201);
        let id = made.text_at("/id");
        assert_eq!(made.header("location"), Some(format!("/webhooks/{id}").as_str()));
        ada.deposit("2").await.expect_status(201);
        let hold = json!({"account_number": ada.account, "amount": "1"});
        ada.post("/holds", hold).send().await.expect_status(201);
        let messages = receiver.has(2).await;
        let kinds: BTreeSet<String> = receiver.kinds().into_iter().collect();
        assert_eq!(kinds, BTreeSet::from(["hold.created".to_owned(), "transaction.posted".to_owned()]));
        let message = messages.iter().find(|message| message.kind() == "transaction.posted").expect("a message");
        let body = message.json();
        assert_eq!(body["data"]["transaction"]["amount"], "2.00");
        assert_eq!((&body["data"]["id"], &body["timestamp"]), (&json!(message.id), &body["data"]["created_at"]));
        assert!(messages.iter().all(|message| message.is_signed_by(&made)));
        // The message is the event of the log.
        let log = admin.get("/events?type=transaction.posted").send().await.expect_status(200);
        assert_eq!(log.body["data"][0], body["data"]);
        eventually("both are written down", async || deliveries(&admin, &id, "&status=delivered").await.len() == 2).await;
        let all = deliveries(&admin, &id, "").await;
        assert_eq!((&all[0]["attempts"], &all[0]["last_status"], &all[0]["last_error"]), (&json!(1), &json!(204), &Value::Null));
        let shown = admin.get(&format!("/webhooks/{id}")).send().await.expect_status(200);
        assert_eq!((&shown.body["status"], shown.body.get("secret")), (&json!("enabled"), None));
        assert!(shown.body["last_delivered_at"].is_string());
    }

    async fn only_the_kinds_that_are_wanted_are_sent(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let (receiver, url) = Receiver::open().await;
        let wanted = json!({"url": url, "types": ["account.frozen", "account.released"]});
        let id = create(&admin, wanted).await.expect_status(201).text_at("/id");
        let set = async |status: &str| {
            let path = format!("/accounts/{}/status", ada.account);
            admin.request(Method::PUT, &path).json(json!({"status": status})).send().await.expect_status(200);
        };
        ada.deposit("2").await.expect_status(201);
        set("frozen").await;
        receiver.has(1).await;
        patch(&admin, &id, json!({"types": null})).await.expect_status(200);
        set("open").await;
        ada.deposit("2").await.expect_status(201);
        receiver.has(3).await;
        patch(&admin, &id, json!({"types": ["account.closed"]})).await.expect_status(200);
        ada.deposit("2").await.expect_status(201);
        assert_eq!(receiver.kinds()[0], "account.frozen");
        for wrong in [json!([]), json!(["account.frozen", "account.frozen"])] {
            create(&admin, json!({"url": url, "types": wrong})).await.expect_problem(422, "event_types_malformed");
        }
        create(&admin, json!({"url": url, "types": ["no.such"]})).await.expect_status(422);
        assert_eq!(receiver.messages().len(), 3);
    }

    async fn what_fails_is_tried_again_under_the_same_id(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let (receiver, url) = Receiver::open().await;
        let made = create(&admin, json!({"url": url})).await.expect_status(201);
        let id = made.text_at("/id");
        let later = ("retry-after", "7200".to_owned());
        receiver.answers(&[(503, &[later]), (500, &[]), (302, &[("location", url.clone())]), (404, &[])]);
        ada.deposit("1").await.expect_status(201);
        for (attempt, status) in [(1, 503), (2, 500), (3, 302), (4, 404)] {
            receiver.has(attempt).await;
            eventually("it is written down", async || {
                deliveries(&admin, &id, "&status=pending").await[0]["last_status"] == status
            })
            .await;
            let waits = bank.number("select (next_attempt_at - last_attempt_at) / 1000000 from webhook_deliveries").await;
            let asked_or_scheduled = [7_200..7_202, 300..362, 1_800..2_162, 7_200..8_642];
            assert!(asked_or_scheduled[attempt - 1].contains(&waits), "{waits} s after attempt {attempt}");
            try_again_now(bank).await;
        }
        let messages = receiver.has(5).await;
        assert!(messages.iter().all(|message| message.id == messages[0].id && message.is_signed_by(&made)));
        eventually("it is delivered", async || deliveries(&admin, &id, "&status=delivered").await.len() == 1).await;
        assert_eq!(deliveries(&admin, &id, "").await[0]["attempts"], 5);
    }

    async fn the_schedule_ends_and_so_does_a_webhook_that_gets_nothing(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let (receiver, url) = Receiver::open().await;
        let id = create(&admin, json!({"url": url})).await.expect_status(201).text_at("/id");
        receiver.answers(&[(500, &[]), (500, &[])]);
        ada.deposit("1").await.expect_status(201);
        receiver.has(1).await;
        eventually("it is written down", async || deliveries(&admin, &id, "").await[0]["last_status"] == 500).await;
        bank.tamper("update webhook_deliveries set attempts = 9, next_attempt_at = 1").await;
        eventually("it is given up", async || deliveries(&admin, &id, "&status=failed").await.len() == 1).await;
        let shown = admin.get(&format!("/webhooks/{id}")).send().await.expect_status(200);
        assert_eq!((&shown.body["status"], &shown.body["disabled_because"]), (&json!("disabled"), &json!("failing")));
        let record = admin.get("/audit?action=webhook_changed").send().await.expect_status(200);
        assert_eq!(record.body["data"][0]["detail"], "disabled: failing");
        ada.deposit("2").await.expect_status(201);
        let event = deliveries(&admin, &id, "").await[0]["event_id"].as_str().expect("an id").to_owned();
        let retry = format!("/webhooks/{id}/deliveries/{event}/retry");
        admin.post(&retry, json!({})).send().await.expect_problem(409, "webhook_disabled");
        let replay = json!({"from": "2020-01-01T00:00:00Z"});
        let path = format!("/webhooks/{id}/replay");
        admin.post(&path, replay.clone()).send().await.expect_problem(409, "webhook_disabled");
        let test = admin.post(&format!("/webhooks/{id}/test"), json!({})).send().await.expect_status(200);
        assert_eq!((&test.body["delivered"], &test.body["status"]), (&json!(true), &json!(204)));
        // What happened meanwhile is not sent by itself.
        let enabled = patch(&admin, &id, json!({"status": "enabled"})).await.expect_status(200);
        assert_eq!(enabled.body["disabled_because"], Value::Null);
        ada.deposit("3").await.expect_status(201);
        let amounts = || -> Vec<Value> {
            receiver.messages().iter().map(|message| message.json()["data"]["transaction"]["amount"].clone()).collect()
        };
        let one = json!("1.00");
        receiver.has(4).await;
        assert_eq!(amounts(), [one.clone(), one.clone(), Value::Null, json!("3.00")]);
        admin.post(&retry, json!({})).send().await.expect_status(202);
        receiver.has(5).await;
        assert_eq!(amounts()[4], one);
        eventually("it is delivered", async || deliveries(&admin, &id, "&status=delivered").await.len() == 2).await;
        let started = admin.post(&path, replay).send().await.expect_status(202);
        assert_eq!(started.body["events"], 3);
        receiver.has(8).await;
        let last: BTreeSet<String> = amounts()[5..].iter().map(Value::to_string).collect();
        assert_eq!(last, BTreeSet::from(["\"1.00\"".to_owned(), "\"2.00\"".to_owned(), "\"3.00\"".to_owned()]));
        eventually("the replay has ended", async || {
            admin.get(&format!("/webhooks/{id}")).send().await.body["is_replaying"] == false
        })
        .await;
        let reversed = json!({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"});
        admin.post(&path, reversed).send().await.expect_problem(422, "period_reversed");
    }

    async fn a_receiver_that_is_gone_is_left_alone(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let (receiver, url) = Receiver::open().await;
        let id = create(&admin, json!({"url": url})).await.expect_status(201).text_at("/id");
        ada.deposit("1").await.expect_status(201);
        receiver.has(1).await;
        receiver.answers(&[(410, &[])]);
        ada.deposit("2").await.expect_status(201);
        eventually("it is disabled", async || {
            admin.get(&format!("/webhooks/{id}")).send().await.body["disabled_because"] == "gone"
        })
        .await;
        assert_eq!(deliveries(&admin, &id, "&status=failed").await[0]["last_status"], 410);
        ada.deposit("3").await.expect_status(201);
        receiver.has(2).await;
    }

    async fn a_secret_changes_without_a_gap(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let (receiver, url) = Receiver::open().await;
        let first = create(&admin, json!({"url": url})).await.expect_status(201);
        let path = format!("/webhooks/{}/secret", first.text_at("/id"));
        let second = admin.post(&path, json!({})).send().await.expect_status(200);
        assert_ne!(first.text_at("/secret"), second.text_at("/secret"));
        assert_ne!(first.text_at("/public_key"), second.text_at("/public_key"));
        ada.deposit("1").await.expect_status(201);
        let message = &receiver.has(1).await[0];
        assert!(message.is_signed_by(&first) && message.is_signed_by(&second));
        bank.tamper("update webhook_secrets set ends_at = 1 where ends_at is not null").await;
        ada.deposit("1").await.expect_status(201);
        let message = &receiver.has(2).await[1];
        assert!(!message.is_signed_by(&first) && message.is_signed_by(&second));
        for _ in 0..4 {
            admin.post(&path, json!({})).send().await.expect_status(200);
        }
        admin.post(&path, json!({})).send().await.expect_problem(409, "too_many_webhook_secrets");
        // No secret lies in the database as it is.
        let secret = STANDARD.decode(second.text_at("/secret").strip_prefix("whsec_").expect("a prefix"));
        let hex: String = secret.expect("base64").iter().map(|byte| format!("{byte:02X}")).collect();
        let found = match bank.kind {
            Kind::Sqlite => format!("select count(*) from webhook_secrets where instr(hex(secret), '{hex}') > 0"),
            Kind::Postgres => {
                format!("select count(*) from webhook_secrets where position(lower('{hex}') in encode(secret, 'hex')) > 0")
            }
        };
        assert_eq!(bank.number(&found).await, 0);
    }

    async fn what_waits_goes_to_the_new_url(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        let made = create(&admin, json!({"url": format!("http://{closed}/hook")})).await.expect_status(201);
        let id = made.text_at("/id");
        ada.deposit("1").await.expect_status(201);
        eventually("it has failed", async || {
            deliveries(&admin, &id, "&status=pending").await.first().is_some_and(|it| it["last_error"].is_string())
        })
        .await;
        let (receiver, url) = Receiver::open().await;
        patch(&admin, &id, json!({"url": url})).await.expect_status(200);
        try_again_now(bank).await;
        receiver.has(1).await;
        admin.request(Method::DELETE, &format!("/webhooks/{id}")).send().await.expect_status(204);
        admin.get(&format!("/webhooks/{id}")).send().await.expect_problem(404, "webhook_not_found");
        ada.deposit("2").await.expect_status(201);
        eventually("nothing is left of it", async || {
            bank.number("select count(*) from webhooks").await == 0
                && bank.number("select count(*) from webhook_deliveries").await == 0
        })
        .await;
        receiver.has(1).await;
    }

    async fn an_answer_of_another_address_disables_nothing(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let (former, url) = Receiver::open().await;
        former.takes(Duration::from_secs(2));
        former.answers(&[(410, &[])]);
        let id = create(&admin, json!({"url": url})).await.expect_status(201).text_at("/id");
        ada.deposit("1").await.expect_status(201);
        former.has(1).await;
        let (receiver, url) = Receiver::open().await;
        patch(&admin, &id, json!({"url": url})).await.expect_status(200);
        eventually("the answer is written down", async || {
            deliveries(&admin, &id, "&status=failed").await.len() == 1
        })
        .await;
        ada.deposit("2").await.expect_status(201);
        receiver.has(1).await;
        let shown = admin.get(&format!("/webhooks/{id}")).send().await.expect_status(200);
        assert_eq!(shown.body["status"], "enabled");
    }

    async fn nothing_goes_out_unsigned_while_a_webhook_is_deleted(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let (receiver, url) = Receiver::open().await;
        for _ in 0..5 {
            let id = create(&admin, json!({"url": url})).await.expect_status(201).text_at("/id");
            let path = format!("/webhooks/{id}");
            let deposits = futures_util::future::join_all((0..10).map(|_| ada.deposit("1")));
            let (_, deleted) = tokio::join!(deposits, admin.request(Method::DELETE, &path).send());
            deleted.expect_status(204);
        }
        eventually("nothing is left of them", async || bank.number("select count(*) from webhooks").await == 0).await;
        assert!(receiver.messages().iter().all(|message| message.signature.starts_with("v1,")));
    }

    /// One that does not answer keeps neither customers nor other webhooks waiting.
    async fn a_slow_receiver_keeps_nobody_else_waiting(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let (slow, slow_url) = Receiver::open().await;
        slow.takes(Duration::from_secs(60));
        let id = create(&admin, json!({"url": slow_url})).await.expect_status(201).text_at("/id");
        ada.deposit_many(40).await.expect_status(200);
        eventually("it has all that it gets at once", async || slow.messages().len() == 16).await;
        let (quick, url) = Receiver::open().await;
        create(&admin, json!({"url": url})).await.expect_status(201);
        ada.deposit("1").await.expect_status(201);
        quick.has(1).await;
        eventually("the first ones are given up after 15 seconds", async || {
            let waiting = deliveries(&admin, &id, "").await;
            waiting.iter().any(|it| it["last_error"] == "no answer within 15 seconds")
        })
        .await;
    }

    async fn two_instances_send_each_once(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let (receiver, url) = Receiver::open().await;
        create(&admin, json!({"url": url})).await.expect_status(201);
        let (address, twin) = bank.twin_with(&OWN_NETWORK).await;
        let deposit = json!({"account_number": ada.account, "amount": "1"});
        let booking = (0..100).map(|index: usize| {
            let to = if index.is_multiple_of(2) { bank.address } else { address };
            bank.request_to(to, Method::POST, "/deposit").bearer(&ada.token).json(deposit.clone()).send()
        });
        for booked in futures_util::future::join_all(booking).await {
            booked.expect_status(201);
        }
        eventually("all arrive", async || receiver.messages().len() >= 100).await;
        eventually("all are written down", async || {
            bank.number("select count(*) from webhook_deliveries where status <> 'delivered'").await == 0
        })
        .await;
        twin.close().await;
        let mut times: HashMap<String, usize> = HashMap::new();
        receiver.messages().into_iter().for_each(|message| *times.entry(message.id).or_default() += 1);
        assert_eq!((times.len(), times.values().max()), (100, Some(&1)));
    }

    async fn a_bank_has_so_many(bank: &TestBank) {
        let admin = bank.employee("admin").await;
        for _ in 0..20 {
            create(&admin, json!({"url": "http://127.0.0.1:9/hook"})).await.expect_status(201);
        }
        create(&admin, json!({"url": "http://127.0.0.1:9/hook"})).await.expect_problem(409, "too_many_webhooks");
        let all = admin.get("/webhooks").send().await.expect_status(200);
        assert_eq!(all.body["data"].as_array().map(Vec::len), Some(20));
    }

    async fn the_doctor_finds_what_is_wrong_with_a_webhook(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let (receiver, url) = Receiver::open().await;
        create(&admin, json!({"url": url})).await.expect_status(201);
        ada.deposit("1").await.expect_status(201);
        receiver.has(1).await;
        assert_eq!(bank.books_wrong().await, []);
        bank.tamper("update webhooks set position = position + 100").await;
        let wrong = bank.books_wrong().await;
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert_eq!(wrong[0].0, "webhooks have their secrets, and are not ahead of the events");
        bank.tamper("update webhooks set position = position - 100").await;
    }
}

bank_tests! {
    async fn a_webhook_leads_to_no_private_address(bank: &TestBank) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        for refused in [
            "http://127.0.0.1/hook", "https://127.0.0.1/hook", "https://10.0.0.1/", "https://169.254.169.254/latest",
            "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://2130706433/", "http://1.1.1.1/",
        ] {
            create(&admin, json!({"url": refused})).await.expect_problem(422, "address_not_allowed");
        }
        for malformed in ["", "hook", "ftp://shop.example.com/", "https://user:pw@shop.example.com/", "https://a.example/#x"] {
            create(&admin, json!({"url": malformed})).await.expect_problem(422, "url_malformed");
        }
        // A name is looked up when something is sent.
        let (receiver, url) = Receiver::open().await;
        let by_name = url.replace("127.0.0.1", "localhost");
        let made = create(&admin, json!({"url": by_name})).await.expect_status(201);
        let id = made.text_at("/id");
        let test = admin.post(&format!("/webhooks/{id}/test"), json!({})).send().await.expect_status(200);
        assert_eq!(test.body["delivered"], false);
        assert!(test.text_at("/error").ends_with("is a private address, and not among COFFER_WEBHOOK_NETWORKS"));
        ada.deposit("1").await.expect_status(201);
        eventually("it is refused", async || {
            let all = deliveries(&admin, &id, "").await;
            all.first().is_some_and(|it| it["last_error"].as_str().is_some_and(|error| error.contains("private")))
        })
        .await;
        patch(&admin, &id, json!({"url": "http://10.1.2.3/"})).await.expect_problem(422, "address_not_allowed");
        assert!(receiver.messages().is_empty());
    }
}

/// What was booked is sent when the process is killed while it books and sends; what was under way comes again, under the
/// same id.
async fn deliveries_outlive_kill_9(kind: Kind) {
    let bank = TestBank::open_with(kind, &OWN_NETWORK).await;
    let (receiver, url) = Receiver::open().await;
    receiver.takes(Duration::from_millis(30));
    let (account, token) = {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        create(&admin, json!({"url": url})).await.expect_status(201);
        (ada.account, ada.token)
    };
    let database = bank.close().await;
    let directory = database.directory.path().to_str().expect("a path in UTF-8").to_owned();
    let arguments =
        ["--database-url", &database.url, "--jwt-secret", JWT_SECRET, "--data-dir", &directory, OWN_NETWORK[0]];
    let deposit = json!({"account_number": account, "amount": "1"});
    let mut booked = 0;
    for _ in 0..3 {
        let server = Server::start(database.directory.path(), &arguments);
        for _ in 0..20 {
            let answer = Client::new().post(server.url("/deposit")).bearer_auth(&token).json(&deposit).send().await;
            assert_eq!(answer.expect("an answer").status(), 201);
            booked += 1;
        }
        server.signal(Signal::KILL);
    }
    let bank = TestBank::open_on(database, &OWN_NETWORK).await;
    eventually("all of them arrive", async || {
        // What the killed processes had taken would be free a minute later. It may be in the way of the bank's own change.
        let _ = bank.try_to_tamper("update webhook_deliveries set next_attempt_at = 1 where next_attempt_at > 1").await;
        let sequences = receiver
            .messages()
            .into_iter()
            .map(|message| message.json()["data"]["transaction"]["sequence"].as_i64().expect("a sequence"));
        sequences.collect::<BTreeSet<i64>>() == (1..=booked).collect()
    })
    .await;
    let by_id: HashMap<String, i64> = receiver
        .messages()
        .into_iter()
        .map(|message| (message.id.clone(), message.json()["data"]["transaction"]["sequence"].as_i64().expect("one")))
        .collect();
    assert_eq!(by_id.len() as i64, booked);
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_outlive_kill_9_on_sqlite() {
    deliveries_outlive_kill_9(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_outlive_kill_9_on_postgres() {
    deliveries_outlive_kill_9(Kind::Postgres).await;
}

/// What is restored for a drill has the webhooks of the real bank, and perhaps its settings: were they looked at, the one for
/// mail would lack a sender, and the directory for backups could not be made.
async fn a_drill_sends_nothing(kind: Kind) {
    let flags =
        [OWN_NETWORK[0], "--drill=true", "--smtp-url", "smtp://localhost:1", "--backup-dir", "/nowhere/backups"];
    let bank = TestBank::open_with(kind, &flags).await;
    let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
    let (receiver, url) = Receiver::open().await;
    let id = create(&admin, json!({"url": url})).await.expect_status(201).text_at("/id");
    ada.deposit("1").await.expect_status(201);
    let test = admin.post(&format!("/webhooks/{id}/test"), json!({})).send().await.expect_status(200);
    assert_eq!(test.body["error"], "nothing is sent in a drill (COFFER_DRILL)");
    assert_eq!(receiver.messages().len(), 0);
    // Another instance, which is none for a drill, finds what was left to do.
    let (_, twin) = bank.twin_with(&OWN_NETWORK).await;
    receiver.has(1).await;
    // Nor has the drill tried: that would have been the first attempt.
    eventually("it is written down", async || deliveries(&admin, &id, "").await[0]["status"] == "delivered").await;
    assert_eq!(deliveries(&admin, &id, "").await[0]["attempts"], 1);
    twin.close().await;
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_sends_nothing_on_sqlite() {
    a_drill_sends_nothing(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_sends_nothing_on_postgres() {
    a_drill_sends_nothing(Kind::Postgres).await;
}
