//! A bank to test, with verbs.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser;
use coffer::config::Settings;
use coffer::doctor;
use coffer::server::{Bank, ServerError};
use coffer_core::auth::passwords::HashCost;
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::db::Db;
use coffer_core::timestamp::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::databases::{Kind, TestDatabase};

/// How long something may take to happen by itself, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
pub const PASSWORD: &str = "correct horse battery staple";
pub const JWT_SECRET: &str = "a secret for tests, long enough for HS256";

/// What the doctor says of triggers and indexes.
const GUARDS: &str = "triggers and indexes are those that the migrations make";

/// What is limited by default, as flags.
pub const UNLIMITED: [&str; 8] = [
    "--caller-rate",
    "--address-rate",
    "--movement-rate",
    "--movements-per-day",
    "--accounts-per-day",
    "--changes-per-day",
    "--sign-ups-per-hour",
    "--connections-per-network",
];

/// Declares tests that run the same body on SQLite and on PostgreSQL. After each, the doctor must find the books right.
/// `with &[...];` in front of them gives every bank these flags.
macro_rules! bank_tests {
    ($(#[$meta:meta])* async fn $($rest:tt)*) => {
        $crate::harness::bank_tests! { with &[]; $(#[$meta])* async fn $($rest)* }
    };
    (with $flags:expr; $($(#[$meta:meta])* async fn $name:ident($bank:ident: &TestBank) $body:block)*) => {
        $(
            $(#[$meta])*
            mod $name {
                #[allow(unused_imports)]
                use super::*;

                async fn body($bank: &$crate::harness::TestBank) $body

                async fn open(kind: $crate::databases::Kind) -> $crate::harness::TestBank {
                    $crate::harness::TestBank::open_with(kind, $flags).await
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn sqlite() {
                    let bank = open($crate::databases::Kind::Sqlite).await;
                    body(&bank).await;
                    bank.close_with_books_right().await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn postgres() {
                    let bank = open($crate::databases::Kind::Postgres).await;
                    body(&bank).await;
                    bank.close_with_books_right().await;
                }
            }
        )*
    };
}
pub(crate) use bank_tests;

/// A server on a port of its own, over a database of its own.
pub struct TestBank {
    pub kind: Kind,
    pub database: TestDatabase,
    pub address: SocketAddr,
    /// The server's own connection, for looking and for tampering.
    pub db: Db,
    client: reqwest::Client,
    instance: Instance,
    /// The ids of those whose role was given behind the bank's back, and is not on record yet.
    off_record: Mutex<BTreeSet<Uuid>>,
    /// Whether the test has taken triggers away, to get at what they guard.
    is_unguarded: AtomicBool,
}

/// A running server, in a task of this process.
pub struct Instance {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServerError>>,
}

#[derive(Parser)]
#[command(args_override_self = true)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Hashes passwords as a real bank does. Everything else tests sooner with cheap ones.
    #[arg(long)]
    real_hashes: bool,
}

impl TestBank {
    pub async fn open(kind: Kind) -> Self {
        Self::open_with(kind, &[]).await
    }

    /// With settings beyond the usual, as flags.
    pub async fn open_with(kind: Kind, flags: &[&str]) -> Self {
        Self::open_on(TestDatabase::create_migrated(kind).await, flags).await
    }

    pub async fn open_on(database: TestDatabase, flags: &[&str]) -> Self {
        let (db, address, instance) = start(&database, flags).await;
        let kind = if matches!(db, Db::Sqlite { .. }) { Kind::Sqlite } else { Kind::Postgres };
        Self {
            kind,
            database,
            address,
            db,
            client: reqwest::Client::new(),
            instance,
            off_record: Mutex::default(),
            is_unguarded: AtomicBool::default(),
        }
    }

    /// Stops the server as SIGTERM would and opens the same books again.
    pub async fn restart(self) -> Self {
        self.instance.close().await;
        let (db, address, instance) = start(&self.database, &[]).await;
        Self { db, address, instance, ..self }
    }

    /// A second instance over the same database.
    pub async fn twin(&self) -> (SocketAddr, Instance) {
        self.twin_with(&[]).await
    }

    pub async fn twin_with(&self, flags: &[&str]) -> (SocketAddr, Instance) {
        let (_, address, instance) = start(&self.database, flags).await;
        (address, instance)
    }

    /// Why a second instance with these flags does not start.
    pub async fn refusal_of_twin_with(&self, flags: &[&str]) -> String {
        Bank::open(&settings(&self.database, flags)).await.err().expect("a refusal").to_string()
    }

    /// Stops the server; its database stays.
    pub async fn close(self) -> TestDatabase {
        self.record_roles().await;
        self.instance.close().await;
        self.database
    }

    pub async fn close_with_books_right(self) {
        self.record_roles().await;
        // The bank would wait for what its idle connections may have on the way.
        drop(self.client);
        self.instance.close().await;
        let settings = settings(&self.database, &[]);
        let db = Db::connect(&settings.database(false).expect("settings")).await.expect("the database");
        let is_unguarded = self.is_unguarded.into_inner();
        let (mut report, mut books_good) = (String::new(), true);
        doctor::examine(&db, |finding| {
            books_good &= finding.is_good() || is_unguarded && finding.invariant == GUARDS;
            report.push_str(&format!("{finding}\n"));
        })
        .await
        .expect("an answer");
        let keys = settings.factor_keys().expect("keys");
        let note = |finding: &doctor::Finding| report.push_str(&format!("{finding}\n"));
        let secrets_good = doctor::examine_secrets(&db, Some(&keys), note).await.expect("an answer");
        db.close().await;
        assert!(books_good && secrets_good, "{report}");
    }

    /// What the doctor finds wrong: the claims that do not hold, with the rows it names.
    pub async fn books_wrong(&self) -> Vec<(&'static str, Vec<String>)> {
        self.record_roles().await;
        let mut wrong = Vec::new();
        doctor::examine(&self.db, |finding| {
            // `guards_wrong` is for those that test these.
            if !finding.is_good() && finding.invariant != GUARDS {
                wrong.push((finding.invariant, finding.named.clone()));
            }
        })
        .await
        .expect("an answer");
        wrong
    }

    /// What the doctor finds wrong with triggers and indexes.
    pub async fn guards_wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let note = |finding: &doctor::Finding| {
            if finding.invariant == GUARDS {
                wrong.extend(finding.named.clone());
            }
        };
        doctor::examine(&self.db, note).await.expect("an answer");
        wrong
    }

    /// Writes what `set_role` has done to the audit log, now, so that tests of the log do not have it there.
    pub async fn record_roles(&self) {
        let ids = std::mem::take(&mut *self.off_record.lock().expect("no panic"));
        for id in ids {
            let role = self.role_of(id).await;
            let event = Event::at(Action::RoleChanged, Timestamp::now()).on(id).detail(format!("customer to {role}"));
            let mut tx = self.db.begin().await.expect("a transaction");
            tx.append_to_audit_log(&[event]).await.expect("a record");
            tx.commit().await.expect("a record");
        }
    }

    async fn role_of(&self, id: Uuid) -> String {
        let sql = "select role from users where id = $1";
        let role = match &self.db {
            Db::Sqlite { read_pool, .. } => sqlx::query_scalar(sql).bind(id).fetch_one(read_pool).await,
            Db::Postgres { read_pool, .. } => sqlx::query_scalar(sql).bind(id).fetch_one(read_pool).await,
        };
        role.expect("a role")
    }

    /// Gives somebody a role without a second admin.
    pub async fn set_role(&self, email: &str, role: &str) {
        self.tamper(&format!("update users set role = '{role}' where email = '{email}'")).await;
        let user = self.db.user_by_email(email).await.expect("an answer").expect("a user");
        self.off_record.lock().expect("no panic").insert(user.id);
    }

    /// Takes the role of each admin away.
    pub async fn remove_admins(&self) {
        let sql = "select id from users where role = 'admin'";
        let admins: Vec<Uuid> = match &self.db {
            Db::Sqlite { read_pool, .. } => sqlx::query_scalar(sql).fetch_all(read_pool).await,
            Db::Postgres { read_pool, .. } => sqlx::query_scalar(sql).fetch_all(read_pool).await,
        }
        .expect("ids");
        self.tamper("update users set role = 'customer' where role = 'admin'").await;
        self.off_record.lock().expect("no panic").extend(admins);
    }

    /// Changes approvals as nobody may.
    pub async fn tamper_with_approvals(&self, sql: &str) {
        let on = if self.kind == Kind::Postgres { " on approvals" } else { "" };
        self.tamper(&format!("drop trigger if exists approvals_refuse_change{on}")).await;
        self.tamper(sql).await;
    }

    /// Runs SQL behind the server's back, and on SQLite behind the constraints'.
    pub async fn tamper(&self, sql: &str) {
        let sql = match self.kind {
            Kind::Sqlite => {
                &format!("pragma ignore_check_constraints = on; {sql}; pragma ignore_check_constraints = off")
            }
            Kind::Postgres => sql,
        };
        self.execute(sql).await.expect("SQL that the database lets through");
    }

    pub async fn try_to_tamper(&self, sql: &str) -> sqlx::Result<()> {
        self.execute(sql).await
    }

    /// The id as SQL writes it.
    pub fn literal_of(&self, id: &str) -> String {
        match self.kind {
            Kind::Sqlite => format!("x'{}'", id.replace('-', "")),
            Kind::Postgres => format!("'{id}'"),
        }
    }

    /// A number that only the database tells.
    pub async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        let answer = match &self.db {
            Db::Sqlite { read_pool, .. } => sqlx::query_scalar(sql).fetch_one(read_pool).await,
            Db::Postgres { read_pool, .. } => sqlx::query_scalar(sql).fetch_one(read_pool).await,
        };
        answer.expect("a number")
    }

    async fn execute(&self, sql: &str) -> sqlx::Result<()> {
        // SQLite writes the triggers of a table anew that is renamed.
        let changes_guards = ["trigger", "rename to"].into_iter().any(|words| sql.contains(words));
        self.is_unguarded.fetch_or(changes_guards, Ordering::Relaxed);
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.db {
            Db::Sqlite { write_pool, .. } => sqlx::raw_sql(sql).execute(write_pool).await.map(|_| ()),
            Db::Postgres { write_pool, .. } => sqlx::raw_sql(sql).execute(write_pool).await.map(|_| ()),
        }
    }

    pub fn request(&self, method: Method, path: &str) -> Request {
        self.request_to(self.address, method, path)
    }

    /// A request to one of several instances.
    pub fn request_to(&self, address: SocketAddr, method: Method, path: &str) -> Request {
        Request(self.client.request(method, format!("http://{address}{path}")))
    }

    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: &str, body: Value) -> Request {
        self.request(Method::POST, path).json(body)
    }

    /// A new customer with one account in USD, signed in.
    pub async fn customer(&self) -> Customer<'_> {
        self.customer_in("USD").await
    }

    pub async fn customer_in(&self, currency: &str) -> Customer<'_> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let email = format!("customer{}@example.com", NEXT.fetch_add(1, Ordering::Relaxed));
        let body = json!({"name": "Test Customer", "email": email, "password": PASSWORD, "currency": currency});
        let created = self.post("/create_account", body).send().await.expect_status(201);
        let tokens = self.sign_in(&email, PASSWORD).await.expect_status(200);
        Customer {
            bank: self,
            email,
            account: created.text_at("/account/account_number"),
            token: tokens.text_at("/access_token"),
            refresh_token: tokens.text_at("/refresh_token"),
        }
    }

    /// Someone who works here.
    pub async fn employee(&self, role: &str) -> Customer<'_> {
        let mut employee = self.customer().await;
        self.set_role(&employee.email, role).await;
        let tokens = self.sign_in(&employee.email, PASSWORD).await.expect_status(200);
        employee.token = tokens.text_at("/access_token");
        employee.refresh_token = tokens.text_at("/refresh_token");
        employee
    }

    pub async fn sign_in(&self, email: &str, password: &str) -> Answer {
        self.post("/login", json!({"email": email, "password": password})).send().await
    }
}

async fn start(database: &TestDatabase, flags: &[&str]) -> (Db, SocketAddr, Instance) {
    let bank = Bank::open(&settings(database, flags)).await.expect("an open bank");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let db = bank.db().clone();
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(bank.serve(listener, async {
        let _ = stopped.await;
    }));
    (db, address, Instance { stop, serving })
}

pub fn settings(database: &TestDatabase, flags: &[&str]) -> Settings {
    let directory = database.directory.path().to_str().expect("a path in UTF-8");
    let usual = ["coffer", "--database-url", &database.url, "--data-dir", directory, "--jwt-secret", JWT_SECRET];
    // Tests ask as fast as they can; a flag that comes again wins.
    let unlimited = UNLIMITED.iter().flat_map(|flag| [*flag, "0"]).collect::<Vec<_>>();
    let Arguments { settings, real_hashes } = Arguments::parse_from(usual.iter().chain(&unlimited).chain(flags));
    let hash_cost = if real_hashes { HashCost::default() } else { HashCost::least() };
    Settings { hash_cost, ..settings }
}

impl Instance {
    pub async fn close(self) {
        let _ = self.stop.send(());
        self.serving.await.expect("no panic").expect("a clean end");
    }
}

/// The claims of a token.
pub fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("claims")
}

/// The same token, had the password been shown six minutes earlier.
pub fn with_old_proof(token: &str) -> String {
    let mut claims = claims_of(token);
    claims["auth_time"] = json!(claims["auth_time"].as_i64().expect("seconds") - 6 * 60);
    let header = Header { typ: Some("at+jwt".to_owned()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(JWT_SECRET.as_bytes())).expect("a token")
}

/// Waits until a condition holds that comes true by itself.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "it never came to this: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Someone with an account and a token.
pub struct Customer<'a> {
    pub bank: &'a TestBank,
    pub email: String,
    pub account: String,
    pub token: String,
    pub refresh_token: String,
}

impl Customer<'_> {
    /// The same with a token whose proof is not recent.
    pub fn a_while_later(&self) -> Self {
        Self {
            token: with_old_proof(&self.token),
            email: self.email.clone(),
            account: self.account.clone(),
            refresh_token: self.refresh_token.clone(),
            ..*self
        }
    }

    pub fn get(&self, path: &str) -> Request {
        self.bank.get(path).bearer(&self.token)
    }

    pub fn post(&self, path: &str, body: Value) -> Request {
        self.bank.post(path, body).bearer(&self.token)
    }

    pub fn request(&self, method: Method, path: &str) -> Request {
        self.bank.request(method, path).bearer(&self.token)
    }

    pub async fn deposit(&self, amount: &str) -> Answer {
        self.post("/deposit", json!({"account_number": self.account, "amount": amount})).send().await
    }

    /// `count` deposits of 1.00 in one request.
    pub async fn deposit_many(&self, count: usize) -> Answer {
        let one = json!({"type": "deposit", "account_number": self.account, "amount": "1.00"});
        self.post("/transactions/batch", json!({"transactions": vec![one; count]})).send().await
    }

    pub async fn withdraw(&self, amount: &str) -> Answer {
        self.post("/withdraw", json!({"account_number": self.account, "amount": amount})).send().await
    }

    pub async fn transfer(&self, to_account: &str, amount: &str) -> Answer {
        let body = json!({"from_account": self.account, "to_account": to_account, "amount": amount});
        self.post("/transfer", body).send().await
    }

    pub async fn balance(&self) -> String {
        self.balance_of(&self.account).await
    }

    pub async fn balance_of(&self, account: &str) -> String {
        let answer = self.get(&format!("/balance?account_number={account}")).send().await.expect_status(200);
        answer.text_at("/balance")
    }

    /// Every entry of the account, newest first.
    pub async fn history(&self) -> Vec<Value> {
        let mut entries = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/transactions?account_number={}&limit=200{cursor}", self.account);
            let page = self.get(&path).send().await.expect_status(200);
            entries.extend(page.body["data"].as_array().expect("a list").iter().cloned());
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return entries,
            }
        }
    }

    pub async fn open_account(&self, body: Value) -> Answer {
        self.post("/accounts", body).send().await
    }
}

/// A request in the making.
pub struct Request(reqwest::RequestBuilder);

impl Request {
    pub fn bearer(self, token: &str) -> Self {
        Self(self.0.bearer_auth(token))
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    pub fn json(self, body: Value) -> Self {
        Self(self.0.json(&body))
    }

    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self(self.0.body(body.into()))
    }

    /// Any bytes, declared as JSON.
    pub fn raw(self, body: impl Into<Vec<u8>>) -> Self {
        Self(self.0.header("content-type", "application/json").body(body.into()))
    }

    pub async fn send(self) -> Answer {
        let response = self.0.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.expect("a body").to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, headers, bytes, body }
    }
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    /// As JSON, or a string of what is none.
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    /// A whole problem document with this status and code.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["type"], format!("/problems/{code}"));
        assert_eq!(self.body["request_id"].as_str(), self.header("x-request-id"));
        for member in ["title", "detail"] {
            assert!(self.body[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {}", self.body);
        }
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name.parse::<HeaderName>().expect("a header name"))?.to_str().ok()
    }

    /// The string at a JSON pointer.
    #[track_caller]
    pub fn text_at(&self, pointer: &str) -> String {
        let value = self.body.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {}", self.body));
        value.as_str().unwrap_or_else(|| panic!("{pointer} is no string in {}", self.body)).to_owned()
    }

    /// The pointers of a problem's field errors.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
    }
}
