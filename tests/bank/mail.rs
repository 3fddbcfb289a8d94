//! Mail: lost passwords, addresses that are verified, and notices, by a real mail server.

use std::time::Duration;

use coffer::doctor;
use reqwest::Method;
use serde_json::{Value, json};

use crate::databases::{Kind, TestDatabase};
use crate::harness::{Answer, Customer, PASSWORD, TestBank, bank_tests, eventually};
use crate::post_office::{PUBLIC_URL, PostOffice, flags_of, token_in};
use crate::tls::write_certificate;

const NEW_PASSWORD: &str = "a passphrase of my own";
const RESET: &str = "Set another password";
const CHECK: &str = "Confirm your address";
const CHANGED: &str = "Your password was changed";
const SIGN_IN: &str = "A new sign-in";
const CAME: &str = "Money has come into your account";
const LEFT: &str = "Money has left your account";
/// Longer than a mail that is not sent would take.
const A_WHILE: Duration = Duration::from_millis(2_500);

const ON_ITS_WAY: Duration = Duration::from_millis(300);

/// Declares tests of a bank that sends mail, each on both databases.
macro_rules! mail_tests {
    ($($(#[$meta:meta])* async fn $name:ident($bank:ident: &TestBank, $post:ident: &PostOffice) $body:block)*) => {
        $(
            $(#[$meta])*
            mod $name {
                #[allow(unused_imports)]
                use super::*;

                async fn body($bank: &TestBank, $post: &PostOffice) $body

                async fn run(kind: Kind) {
                    let post = PostOffice::open();
                    let bank = open(kind, &post.flags()).await;
                    body(&bank, &post).await;
                    bank.close_with_books_right().await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn sqlite() {
                    run(Kind::Sqlite).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn postgres() {
                    run(Kind::Postgres).await;
                }
            }
        )*
    };
}

async fn open(kind: Kind, flags: &[String]) -> TestBank {
    open_on(TestDatabase::create(kind).await, flags).await
}

async fn open_on(database: TestDatabase, flags: &[String]) -> TestBank {
    TestBank::open_on(database, &flags.iter().map(String::as_str).collect::<Vec<_>>()).await
}

async fn ask_for_reset(bank: &TestBank, email: &str) -> Answer {
    bank.post("/password_reset", json!({"email": email})).send().await
}

async fn set_by(bank: &TestBank, token: &str, password: &str) -> Answer {
    bank.post("/password_reset/confirm", json!({"token": token, "new_password": password})).send().await
}

async fn verify(bank: &TestBank, token: &str) -> Answer {
    bank.post("/email_verification", json!({"token": token})).send().await
}

/// A customer who has verified their address.
async fn verified<'a>(bank: &'a TestBank, post: &PostOffice) -> Customer<'a> {
    let customer = bank.customer().await;
    let check = post.only(&customer.email, CHECK).await;
    verify(bank, &token_in(&check)).await.expect_status(204);
    customer
}

async fn is_verified(customer: &Customer<'_>) -> bool {
    customer.get("/me").send().await.expect_status(200).body["email_verified"] == json!(true)
}

async fn all_sent(bank: &TestBank) {
    eventually("no mail waits", async || bank.number("select count(*) from mails").await == 0).await;
    // What the server has taken is on its way through a pipe.
    tokio::time::sleep(ON_ITS_WAY).await;
}

async fn change(customer: &Customer<'_>, path: &str, body: Value) -> Answer {
    customer.request(Method::PATCH, path).json(body).send().await
}

mail_tests! {
    async fn a_password_is_set_by_a_mailed_link(bank: &TestBank, post: &PostOffice) {
        let ada = bank.customer().await;
        let capitals = ada.email.to_uppercase();
        assert_eq!(ask_for_reset(bank, &capitals).await.expect_status(202).body, json!({"status": "on_its_way"}));
        ask_for_reset(bank, &ada.email).await.expect_status(202);
        let mail = post.nth(2, &ada.email, RESET).await;
        let text = mail["text"].as_str().expect("a text");
        assert!(text.starts_with("Hello Test Customer,\n") && text.contains("127.0.0.1"), "{text}");
        assert_eq!((&mail["from"], &mail["headers"]["From"]), (&json!("bank@example.org"), &json!("Coffer <bank@example.org>")));
        assert_eq!(mail["headers"]["Auto-Submitted"], "auto-generated");
        let (first, second) = (token_in(&post.mails(&ada.email, RESET)[0]), token_in(&mail));
        assert!(text.contains(&format!("{PUBLIC_URL}/#/set-password/{second}\n")), "{text}");
        assert!(!is_verified(&ada).await);
        // Whoever asks for another link ends none; whoever uses one ends all.
        set_by(bank, &first, NEW_PASSWORD).await.expect_status(204);
        set_by(bank, &second, PASSWORD).await.expect_problem(404, "password_link_not_found");
        set_by(bank, &first, PASSWORD).await.expect_problem(404, "password_link_not_found");
        ada.get("/me").send().await.expect_problem(401, "invalid_token");
        let token = bank.sign_in(&ada.email, NEW_PASSWORD).await.expect_status(200).text_at("/access_token");
        let me = bank.get("/me").bearer(&token).send().await.expect_status(200);
        assert_eq!(me.body["email_verified"], true);
        post.only(&ada.email, CHANGED).await;
        all_sent(bank).await;
        let admin = bank.employee("admin").await;
        let log = admin.get(&format!("/audit?user_id={}", me.text_at("/id"))).send().await.expect_status(200);
        let actions = log.body["data"].as_array().expect("a list").iter().map(|record| record["action"].as_str());
        let actions: Vec<_> = actions.flatten().collect();
        assert_eq!(actions.iter().filter(|it| **it == "password_link_mailed").count(), 2, "{actions:?}");
        assert!(actions.contains(&"address_verified") && !log.body.to_string().contains(&first), "{actions:?}");
    }

    async fn a_link_ends_by_time_and_with_the_address_and_leaves_the_second_factor(bank: &TestBank, post: &PostOffice) {
        let ada = bank.customer().await;
        let _ = ada.use_second_factor().await;
        ask_for_reset(bank, &ada.email).await.expect_status(202);
        let late = token_in(&post.only(&ada.email, RESET).await);
        bank.tamper("update mailed_links set expires_at = 1").await;
        set_by(bank, &late, NEW_PASSWORD).await.expect_problem(404, "password_link_not_found");
        ask_for_reset(bank, &ada.email).await.expect_status(202);
        let moved = token_in(&post.nth(2, &ada.email, RESET).await);
        let address = json!({"email": format!("new.{}", ada.email), "current_password": PASSWORD});
        change(&ada, "/me", address).await.expect_status(200);
        set_by(bank, &moved, NEW_PASSWORD).await.expect_problem(404, "password_link_not_found");
        let email = format!("new.{}", ada.email);
        ask_for_reset(bank, &email).await.expect_status(202);
        let good = token_in(&post.only(&email, RESET).await);
        // A link is for one thing.
        verify(bank, &good).await.expect_problem(404, "verification_link_not_found");
        set_by(bank, &good, NEW_PASSWORD).await.expect_status(204);
        bank.sign_in(&email, NEW_PASSWORD).await.expect_problem(401, "second_factor_required");
    }

    async fn nobody_learns_who_is_a_customer_and_nobody_is_pestered(bank: &TestBank, post: &PostOffice) {
        let ada = bank.customer().await;
        let comparable = |answer: &Answer| {
            let names = answer.headers.iter().filter(|(name, _)| *name != "x-request-id" && *name != "date");
            format!("{} {:?} {:?}", answer.status, names.collect::<Vec<_>>(), answer.bytes)
        };
        for _ in 0..5 {
            let known = ask_for_reset(bank, &ada.email).await.expect_status(202);
            let unknown = ask_for_reset(bank, "nobody@example.com").await.expect_status(202);
            assert_eq!(comparable(&known), comparable(&unknown));
        }
        // By another instance, which has its own memory: the links in the database count.
        let (twin, instance) = bank.twin_with(&post.flags().each_ref().map(String::as_str)).await;
        let again = bank.request_to(twin, Method::POST, "/password_reset").json(json!({"email": ada.email}));
        again.send().await.expect_status(202);
        all_sent(bank).await;
        instance.close().await;
        assert_eq!(post.mails(&ada.email, RESET).len(), 3);
        assert!(post.mails("nobody@example.com", RESET).is_empty());
        ask_for_reset(bank, "no address").await.expect_problem(422, "email_malformed");
        for _ in 0..10 {
            ask_for_reset(bank, "somebody@example.com").await.expect_status(202);
        }
        ask_for_reset(bank, &ada.email).await.expect_problem(429, "too_many_mails");
    }

    async fn those_who_work_here_ask_an_admin_and_programs_get_nothing(bank: &TestBank, post: &PostOffice) {
        let (clerk, program) = (bank.employee("staff").await, bank.customer().await);
        bank.tamper(&format!("update users set is_service = true where email = '{}'", program.email)).await;
        for email in [&clerk.email, &program.email] {
            ask_for_reset(bank, email).await.expect_status(202);
        }
        let mail = post.only(&clerk.email, "You have lost your password?").await;
        let text = mail["text"].as_str().expect("a text");
        assert!(text.contains("ask an admin") && !text.contains("/#/"), "{text}");
        all_sent(bank).await;
        assert!(post.mails(&program.email, RESET).is_empty() && post.mails(&clerk.email, RESET).is_empty());
    }

    async fn a_role_ends_the_links_of_a_customer(bank: &TestBank, post: &PostOffice) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        ask_for_reset(bank, &ada.email).await.expect_status(202);
        let token = token_in(&post.only(&ada.email, RESET).await);
        let id = ada.get("/me").send().await.text_at("/id");
        let role = admin.request(Method::PUT, &format!("/users/{id}/role")).json(json!({"role": "staff"}));
        role.send().await.expect_status(200);
        set_by(bank, &token, NEW_PASSWORD).await.expect_problem(404, "password_link_not_found");
    }

    async fn whoever_reads_the_mail_of_an_address_ends_the_keys_of_who_signed_up_with_it(bank: &TestBank, post: &PostOffice) {
        let (squatter, ada) = (bank.customer().await, verified(bank, post).await);
        for (user, counts) in [(&squatter, 401), (&ada, 200)] {
            let key = user.post("/me/api_keys", json!({"name": "Key", "scopes": ["read"]})).send().await;
            let secret = key.expect_status(201).text_at("/api_key");
            ask_for_reset(bank, &user.email).await.expect_status(202);
            let token = token_in(&post.only(&user.email, RESET).await);
            set_by(bank, &token, NEW_PASSWORD).await.expect_status(204);
            bank.get("/accounts").bearer(&secret).send().await.expect_status(counts);
        }
    }

    async fn an_address_is_verified_by_a_link(bank: &TestBank, post: &PostOffice) {
        let ada = bank.customer().await;
        let first = token_in(&post.only(&ada.email, CHECK).await);
        ada.post("/me/email_verification", json!({})).send().await.expect_status(202);
        let second = token_in(&post.nth(2, &ada.email, CHECK).await);
        assert!(!is_verified(&ada).await);
        verify(bank, "nonsense").await.expect_problem(404, "verification_link_not_found");
        set_by(bank, &first, NEW_PASSWORD).await.expect_problem(404, "password_link_not_found");
        verify(bank, &first).await.expect_status(204);
        assert!(is_verified(&ada).await);
        for used in [&first, &second] {
            verify(bank, used).await.expect_problem(404, "verification_link_not_found");
        }
        ada.post("/me/email_verification", json!({})).send().await.expect_problem(409, "email_verified");
        // Another address is to be verified anew, and the one before is told.
        let email = format!("new.{}", ada.email);
        let address = json!({"email": email, "current_password": PASSWORD});
        let changed = change(&ada, "/me", address).await.expect_status(200);
        assert_eq!(changed.body["email_verified"], false);
        post.only(&ada.email, "Your address was changed").await;
        let third = token_in(&post.only(&email, CHECK).await);
        ada.post("/me/email_verification", json!({})).send().await.expect_problem(429, "too_many_mails");
        bank.tamper("update mailed_links set expires_at = 1").await;
        verify(bank, &third).await.expect_problem(404, "verification_link_not_found");
    }

    async fn sign_ins_from_somewhere_new_are_told_of(bank: &TestBank, post: &PostOffice) {
        let (ada, unverified) = (verified(bank, post).await, bank.customer().await);
        let sign_in = async |user: &Customer<'_>, device: &str| {
            let login = bank.post("/login", json!({"email": user.email, "password": PASSWORD}));
            login.header("user-agent", device).send().await.expect_status(200);
            all_sent(bank).await;
            post.mails(&user.email, SIGN_IN).len()
        };
        assert_eq!(sign_in(&ada, "Netscape/4.0").await, 1);
        assert_eq!(sign_in(&ada, "Netscape/4.0").await, 1);
        assert_eq!(sign_in(&ada, "Mosaic/1.0").await, 2);
        let mail = post.nth(2, &ada.email, SIGN_IN).await;
        let text = mail["text"].as_str().expect("a text");
        assert!(text.contains("127.0.0.1, Mosaic/1.0"), "{text}");
        bank.tamper("update sessions set created_at = 1 where user_agent = 'Netscape/4.0'").await;
        assert_eq!(sign_in(&ada, "Netscape/4.0").await, 3);
        change(&ada, "/me", json!({"sign_in_notices": false})).await.expect_status(200);
        assert_eq!(sign_in(&ada, "Lynx/2.8").await, 3);
        assert_eq!(sign_in(&unverified, "Lynx/2.8").await, 0);
    }

    async fn changes_of_password_and_second_factor_are_told_of(bank: &TestBank, post: &PostOffice) {
        let (admin, ada) = (bank.employee("admin").await, bank.customer().await);
        let passwords = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
        ada.request(Method::PUT, "/me/password").json(passwords).send().await.expect_status(204);
        post.only(&ada.email, CHANGED).await;
        let grace = bank.customer().await;
        let _ = grace.use_second_factor().await;
        let id = grace.get("/me").send().await.text_at("/id");
        let reset = admin.request(Method::DELETE, &format!("/users/{id}/second_factor"));
        reset.send().await.expect_status(204);
        post.only(&grace.email, "Your second factor was removed").await;
    }

    async fn movements_above_an_amount_are_told_of(bank: &TestBank, post: &PostOffice) {
        let (ada, grace, unverified) = (verified(bank, post).await, verified(bank, post).await, bank.customer().await);
        let above = async |user: &Customer<'_>, amount: Value| {
            change(user, &format!("/accounts/{}", user.account), json!({"notify_above": amount})).await
        };
        assert_eq!(above(&ada, json!("100")).await.expect_status(200).text_at("/notify_above"), "100.00");
        for user in [&grace, &unverified] {
            above(user, json!("0")).await.expect_status(200);
        }
        above(&ada, json!("1000000000000")).await.expect_problem(422, "limit_above_maximum");
        above(&ada, json!("1.234")).await.expect_status(422);
        ada.deposit("100").await.expect_status(201);
        ada.deposit("250.01").await.expect_status(201);
        ada.transfer(&grace.account, "100.01").await.expect_status(201);
        unverified.deposit("5").await.expect_status(201);
        // A batch that is refused tells nothing.
        let item = |amount: &str| json!({"type": "withdrawal", "account_number": ada.account, "amount": amount});
        let refused = json!({"atomic": true, "transactions": [item("150"), item("5000")]});
        ada.post("/transactions/batch", refused).send().await.expect_status(409);
        let mail = post.only(&ada.email, CAME).await;
        let text = mail["text"].as_str().expect("a text");
        let shown = format!("…{}", &ada.account[10..]);
        assert!(text.contains("250.01 USD has come into your account") && text.contains(&shown), "{text}");
        assert!(!text.contains(&ada.account), "{text}");
        post.only(&ada.email, LEFT).await;
        post.only(&grace.email, CAME).await;
        above(&grace, Value::Null).await.expect_status(200);
        grace.deposit("5").await.expect_status(201);
        all_sent(bank).await;
        assert_eq!(post.mails(&grace.email, CAME).len(), 1);
        assert!(post.mails(&unverified.email, CAME).is_empty());
    }

    async fn a_mailbox_without_room_is_tried_again_and_one_that_is_gone_is_not(bank: &TestBank, post: &PostOffice) {
        for (name, count) in [("busy", 1), ("gone", 0)] {
            let email = format!("{name}.{:?}@example.com", bank.kind).to_lowercase();
            let body = json!({"name": "Ada", "email": email, "password": PASSWORD});
            bank.post("/create_account", body).send().await.expect_status(201);
            all_sent(bank).await;
            assert_eq!(post.mails(&email, CHECK).len(), count, "{email}");
        }
        // The address that was refused first got a link that counts.
        let email = format!("busy.{:?}@example.com", bank.kind).to_lowercase();
        verify(bank, &token_in(&post.only(&email, CHECK).await)).await.expect_status(204);
    }

    async fn two_instances_send_each_mail_once(bank: &TestBank, post: &PostOffice) {
        let (_, twin) = bank.twin_with(&post.flags().each_ref().map(String::as_str)).await;
        let ada = verified(bank, post).await;
        change(&ada, &format!("/accounts/{}", ada.account), json!({"notify_above": "0"})).await.expect_status(200);
        ada.deposit_many(40).await.expect_status(200);
        all_sent(bank).await;
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(post.mails(&ada.email, CAME).len(), 40);
        twin.close().await;
    }

    async fn a_mail_that_somebody_died_over_is_sent_by_the_next(bank: &TestBank, post: &PostOffice) {
        let ada = bank.customer().await;
        post.only(&ada.email, CHECK).await;
        all_sent(bank).await;
        // As if another instance had claimed it and ended.
        let later = "insert into mails (id, kind, user_id, created_at, next_try_at, attempts)";
        let values = "select id, 'password_changed', id, 4000000000000000, 4000000000000000, 1 from users";
        bank.tamper(&format!("{later} {values} where email = '{}'", ada.email)).await;
        tokio::time::sleep(A_WHILE).await;
        assert!(post.mails(&ada.email, CHANGED).is_empty());
        // The doctor notes what has waited for long; the books are right all the same.
        bank.tamper("update mails set created_at = 1").await;
        let mut noted = Vec::new();
        let is_good = doctor::examine(&bank.db, |finding| noted.extend(finding.named.clone())).await.expect("an answer");
        noted.retain(|named| named.starts_with("mail "));
        assert!(is_good && noted.len() == 1 && noted[0].contains("(password_changed), tried 1 times"), "{noted:?}");
        bank.tamper("update mails set next_try_at = 0").await;
        post.only(&ada.email, CHANGED).await;
        all_sent(bank).await;
    }
}

bank_tests! {
    async fn a_bank_without_mail_says_so(bank: &TestBank) {
        let ada = bank.customer().await;
        ask_for_reset(bank, &ada.email).await.expect_problem(404, "mail_not_set_up");
        ada.post("/me/email_verification", json!({})).send().await.expect_problem(404, "mail_not_set_up");
        assert_eq!(bank.get("/bank").send().await.expect_status(200).body["mail"], false);
        let path = format!("/accounts/{}", ada.account);
        change(&ada, &path, json!({"notify_above": "0"})).await.expect_status(200);
        ada.deposit("5").await.expect_status(201);
        assert_eq!(bank.number("select count(*) from mails").await, 0);
    }

    async fn mail_needs_a_sender_an_address_of_the_bank_and_a_private_connection(bank: &TestBank) {
        for (flags, named) in [
            (&["--smtp-url", "smtps://ada:hunter2@mail.example"][..], "COFFER_MAIL_FROM"),
            (&["--smtp-url", "smtps://ada:hunter2@mail.example", "--mail-from", "bank@example.org"], "COFFER_PUBLIC_URL"),
            (&["--smtp-url", "smtp://ada:hunter2@mail.example?tls=none"], "Leave out ?tls=none"),
            (&["--smtp-url", "http://ada:hunter2@mail.example"], "COFFER_SMTP_URL"),
        ] {
            let refusal = bank.refusal_of_twin_with(flags).await;
            assert!(refusal.contains(named) && !refusal.contains("hunter2"), "{refusal}");
        }
        let mut flags = flags_of("smtps://mail.example").to_vec();
        flags.extend(["--smtp-ca".to_owned(), "Cargo.toml".to_owned()]);
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        assert!(bank.refusal_of_twin_with(&flags).await.contains("COFFER_SMTP_CA"));
    }
}

/// What was committed while no server answered is sent by the next process, once.
async fn mail_outlives_the_server_and_the_bank(kind: Kind) {
    let port = PostOffice::open().port;
    let flags = flags_of(&format!("smtp://127.0.0.1:{port}?tls=none"));
    let bank = open(kind, &flags).await;
    let email = bank.customer().await.email;
    ask_for_reset(&bank, &email).await.expect_status(202);
    eventually("it was tried", async || bank.number("select sum(attempts) from mails").await >= 2).await;
    let database = bank.close().await;
    let post = PostOffice::open_with(json!({"port": port}));
    let bank = open_on(database, &flags).await;
    post.only(&email, CHECK).await;
    let token = token_in(&post.only(&email, RESET).await);
    all_sent(&bank).await;
    set_by(&bank, &token, NEW_PASSWORD).await.expect_status(204);
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_outlives_the_server_and_the_bank_on_sqlite() {
    mail_outlives_the_server_and_the_bank(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_outlives_the_server_and_the_bank_on_postgres() {
    mail_outlives_the_server_and_the_bank(Kind::Postgres).await;
}

/// A server with a certificate for localhost, and the flags of a bank that trusts it.
fn private_server(directory: &tempfile::TempDir, tls: &str, scheme: &str) -> (PostOffice, Vec<String>) {
    write_certificate(directory.path());
    let file = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
    let options = json!({"tls": tls, "cert": file("cert.pem"), "key": file("key.pem"), "login": ["bank", "pass/word"]});
    let post = PostOffice::open_with(options);
    let mut flags = flags_of(&format!("{scheme}://bank:pass%2Fword@localhost:{}", post.port)).to_vec();
    flags.extend(["--smtp-ca".to_owned(), file("cert.pem")]);
    (post, flags)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_is_handed_over_by_tls_with_a_login() {
    for (tls, scheme) in [("starttls", "smtp"), ("tls", "smtps")] {
        let directory = tempfile::TempDir::new().expect("a directory");
        let (post, flags) = private_server(&directory, tls, scheme);
        let bank = open(Kind::Sqlite, &flags).await;
        let mail = post.only(&bank.customer().await.email, CHECK).await;
        assert_eq!((&mail["tls"], &mail["login"]), (&json!(true), &json!("bank")), "{tls}");
        bank.close_with_books_right().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mail_goes_to_a_server_that_is_not_to_be_trusted() {
    let (directory, other) = (tempfile::TempDir::new().expect("one"), tempfile::TempDir::new().expect("another"));
    let (post, mut flags) = private_server(&directory, "starttls", "smtp");
    // Another certificate is trusted.
    write_certificate(other.path());
    *flags.last_mut().expect("a file") = other.path().join("cert.pem").to_str().expect("UTF-8").to_owned();
    // One without STARTTLS.
    let open_post = PostOffice::open();
    let plain = flags_of(&format!("smtp://localhost:{}", open_post.port)).to_vec();
    for flags in [flags, plain] {
        let bank = open(Kind::Sqlite, &flags).await;
        bank.customer().await;
        eventually("it was tried", async || bank.number("select sum(attempts) from mails").await >= 2).await;
        bank.close_with_books_right().await;
    }
    assert!(post.got().is_empty() && open_post.got().is_empty());
}
