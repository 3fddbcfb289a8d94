//! What people write: one policy at every field, and finding it again.

use coffer_core::account_number::AccountNumber;
use coffer_core::books::account::Account;
use coffer_core::money::{Currency, CurrentCurrency};
use coffer_core::timestamp::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Answer, Customer, PASSWORD, Request, TestBank, bank_tests};

/// Texts that show nothing, hide something, or make what follows read otherwise, by the end of their code.
const HOSTILE: [(&str, &str); 24] = [
    ("", "blank"),
    (" \u{a0}\u{3000}", "blank"),
    ("\u{200b}", "blank"),
    ("\u{200d}\u{200c}", "blank"),
    ("\u{2060}\u{feff}", "blank"),
    ("\u{3164}", "blank"),
    ("\u{2800}\u{2800}", "blank"),
    ("\u{301}", "blank"),
    ("\u{ad}", "blank"),
    ("\u{e0041}\u{e0042}", "blank"),
    ("Ada\u{0}", "control_characters"),
    ("Ada\nLovelace", "control_characters"),
    ("Ada\u{2028}Lovelace", "control_characters"),
    ("Ada\u{2029}", "control_characters"),
    ("Ada\u{85}", "control_characters"),
    ("A\u{200b}da", "control_characters"),
    ("\u{feff}Ada", "control_characters"),
    ("Ada\u{200d}", "control_characters"),
    ("Rent \u{202e}00.1", "control_characters"),
    ("Rent \u{2067}001\u{2069}", "control_characters"),
    ("\u{200f}Ada", "control_characters"),
    ("Ada\u{3164}", "control_characters"),
    ("Ada\u{e000}", "control_characters"),
    ("Ada\u{fdd0}\u{10ffff}", "control_characters"),
];

/// A field where a text comes in: how its request is made, the beginning of its codes, and where its error points.
struct Field<'a> {
    code: &'static str,
    pointer: &'static str,
    max: usize,
    ask: Box<dyn Fn(&str) -> Request + 'a>,
}

fn query(path: &str, name: &str, text: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair(name, text).finish();
    format!("{path}{}{query}", if path.contains('?') { '&' } else { '?' })
}

/// Every field of the API that takes a text of people.
fn fields<'a>(
    ada: &'a Customer<'a>,
    bob: &'a Customer<'a>,
    admin: &'a Customer<'a>,
    bobs_id: &'a str,
    booked: &'a str,
) -> Vec<Field<'a>> {
    fn field<'a>(
        code: &'static str,
        pointer: &'static str,
        max: usize,
        ask: impl Fn(&str) -> Request + 'a,
    ) -> Field<'a> {
        Field { code, pointer, max, ask: Box::new(ask) }
    }
    let number = &ada.account;
    let bank = ada.bank;
    vec![
        field("name", "/name", 100, |text| {
            bank.post("/create_account", json!({"name": text, "email": "t@example.com", "password": PASSWORD}))
        }),
        field("name", "/name", 100, |text| ada.request(Method::PATCH, "/me").json(json!({"name": text}))),
        field("label", "/label", 50, |text| ada.post("/accounts", json!({"label": text}))),
        field("label", "/label", 50, move |text| {
            ada.request(Method::PATCH, &format!("/accounts/{number}")).json(json!({"label": text}))
        }),
        field("description", "/description", 140, move |text| {
            ada.post("/deposit", json!({"account_number": number, "amount": "1", "description": text}))
        }),
        field("description", "/description", 140, move |text| {
            ada.post("/withdraw", json!({"account_number": number, "amount": "1", "description": text}))
        }),
        field("description", "/description", 140, move |text| {
            let body = json!({"from_account": number, "to_account": bob.account, "amount": "1", "description": text});
            ada.post("/transfer", body)
        }),
        field("reference", "/reference", 64, move |text| {
            ada.post("/deposit", json!({"account_number": number, "amount": "1", "reference": text}))
        }),
        field("reference", "/transactions/0/reference", 64, move |text| {
            let item = json!({"type": "deposit", "account_number": number, "amount": "1", "reference": text});
            ada.post("/transactions/batch", json!({"transactions": [item]}))
        }),
        field("reference", "?reference", 64, move |text| {
            ada.get(&query(&format!("/transactions?account_number={number}"), "reference", text))
        }),
        field("metadata", "/metadata/order", 140, move |text| {
            ada.post("/deposit", json!({"account_number": number, "amount": "1", "metadata": {"order": text}}))
        }),
        field("metadata", "/metadata/order", 140, move |text| {
            ada.request(Method::PATCH, &format!("/accounts/{number}")).json(json!({"metadata": {"order": text}}))
        }),
        field("metadata", "?metadata[order]", 140, move |text| {
            ada.get(&query(&format!("/transactions?account_number={number}"), "metadata[order]", text))
        }),
        field("description", "/transactions/0/description", 140, move |text| {
            let item = json!({"type": "deposit", "account_number": number, "amount": "1", "description": text});
            ada.post("/transactions/batch", json!({"transactions": [item]}))
        }),
        field("reason", "/reason", 140, move |text| {
            admin.post(&format!("/transactions/{booked}/reverse"), json!({"reason": text}))
        }),
        field("reason", "/reason", 140, move |text| {
            let path = format!("/users/{bobs_id}/status");
            admin.request(Method::PUT, &path).json(json!({"status": "active", "reason": text}))
        }),
        field("reason", "/reason", 140, move |text| {
            let path = format!("/accounts/{}/status", bob.account);
            admin.request(Method::PUT, &path).json(json!({"status": "open", "reason": text}))
        }),
        field("search", "?search", 100, |text| admin.get(&query("/users", "search", text))),
        field("text", "?text", 140, move |text| {
            ada.get(&query(&format!("/transactions?account_number={number}"), "text", text))
        }),
    ]
}

/// The names of those who are found, in the order of the alphabet.
async fn found(staff: &Customer<'_>, search: &str) -> Vec<String> {
    let answer = staff.get(&query("/users", "search", search)).send().await.expect_status(200);
    let mut names: Vec<_> = answer.body["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|user| user["name"].as_str().expect("a name").to_owned())
        .collect();
    names.sort();
    names
}

async fn sign_up(bank: &TestBank, name: &str, email: &str) -> Answer {
    let body = json!({"name": name, "email": email, "password": PASSWORD});
    bank.post("/create_account", body).send().await.expect_status(201)
}

/// An account as a version opened it that took any currency.
async fn open_in_kuna(bank: &TestBank, owner: Uuid) -> String {
    let kuna = Currency::from_code("HRK").expect("a currency");
    let number = AccountNumber::random().expect("random numbers");
    let mut tx = bank.db.begin().await.expect("a transaction");
    let account = Account::open(number, owner, kuna, None, Timestamp::now());
    assert!(tx.insert_account(&account).await.expect("an account"));
    tx.commit().await.expect("an account");
    number.to_string()
}

/// As programs write JSON that keep to ASCII: Python, Ruby and PHP unless they are told otherwise.
fn escaped(body: &Value) -> String {
    let mut escaped = String::new();
    for c in body.to_string().chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped.push_str(&format!("\\u{unit:04x}")));
        }
    }
    escaped
}

bank_tests! {
    async fn a_text_that_hides_something_is_refused_at_every_field(bank: &TestBank) {
        let (ada, bob, admin) = (bank.customer().await, bank.customer().await, bank.employee("admin").await);
        let booked = ada.deposit("500").await.expect_status(201).text_at("/id");
        let bobs_id = bob.get("/me").send().await.text_at("/id");
        for Field { code, pointer, max, ask } in fields(&ada, &bob, &admin, &bobs_id, &booked) {
            let too_long = "𝒳".repeat(max + 1);
            for (text, end) in HOSTILE.into_iter().chain([(&*too_long, "too_long")]) {
                let answer = ask(text).send().await;
                let expected = format!("{code}_{end}");
                assert_eq!(answer.body["code"], *expected, "{pointer} {text:?}: {}", answer.body);
                assert_eq!(answer.pointers(), [pointer]);
                answer.expect_problem(422, &expected);
            }
            let answer = ask("Rent\u{202e}").send().await;
            assert!(answer.text_at("/detail").contains("U+202E (RIGHT-TO-LEFT OVERRIDE)"), "{}", answer.body);
        }
        assert_eq!((ada.balance().await, ada.history().await.len()), ("500.00".to_owned(), 1));
        // Not one of them has been stored.
        let log = admin.get("/audit?limit=200").send().await.expect_status(200).body.to_string();
        assert!(!log.contains("Rent"), "{log}");
    }

    async fn texts_of_every_script_are_taken_and_kept_in_one_form(bank: &TestBank) {
        let ada = bank.customer().await;
        for (sent, kept) in [
            ("Özil", "Özil"),
            ("O\u{308}zil", "Özil"),
            ("  山田\u{3000}太郎 ", "山田 太郎"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("क\u{94d}\u{200d}ष", "क\u{94d}\u{200d}ष"),
            ("👩\u{200d}💻 ❤\u{fe0f}", "👩\u{200d}💻 ❤\u{fe0f}"),
            ("\u{212a}elvin", "Kelvin"),
            ("김철수", "김철수"),
        ] {
            let body = json!({"account_number": ada.account, "amount": "1", "description": sent});
            let booked = ada.post("/deposit", body).send().await.expect_status(201);
            assert_eq!(booked.text_at("/description"), kept);
            assert_eq!(ada.history().await[0]["description"], kept);
            let named = ada.request(Method::PATCH, "/me").json(json!({"name": sent})).send().await;
            assert_eq!(named.expect_status(200).text_at("/name"), kept);
            assert_eq!(ada.open_account(json!({"label": sent})).await.expect_status(201).text_at("/label"), kept);
        }
        let longest = json!({"name": "e\u{301}".repeat(100)});
        let named = ada.request(Method::PATCH, "/me").json(longest).send().await.expect_status(200);
        assert_eq!(named.text_at("/name"), "é".repeat(100));
    }

    async fn one_request_in_two_normal_forms_is_one_request(bank: &TestBank) {
        let ada = bank.customer().await;
        let deposit = |description: &str| {
            let body = json!({"account_number": ada.account, "amount": "1", "description": description});
            ada.post("/deposit", body).header("idempotency-key", "k")
        };
        let first = deposit("Zoë").send().await.expect_status(201);
        for again in ["Zoe\u{308}", " Zoë\u{a0}"] {
            let again = deposit(again).send().await.expect_status(201);
            assert_eq!((again.header("idempotent-replayed"), &again.body["id"]), (Some("true"), &first.body["id"]));
        }
        deposit("Zoe").send().await.expect_problem(422, "idempotency_key_reused");
        assert_eq!(ada.balance().await, "1.00");
    }

    async fn people_are_found_in_any_script_case_and_accent(bank: &TestBank) {
        let staff = bank.employee("staff").await;
        for (name, local_part) in [
            ("Mesut Özil", "mesut"),
            ("Анна Каренина", "anna"),
            ("Élodie Dûval", "elodie.d"),
            ("Ωμέγα Αγγελόπουλος", "omega"),
            ("Łukasz Żółć", "lukasz"),
            ("Jürgen Groß", "jg"),
            ("İbrahim Işık", "ib"),
            ("山田 太郎", "taro"),
            ("100% Søren_", "soeren"),
        ] {
            sign_up(bank, name, &format!("{local_part}@example.net")).await;
        }
        for (search, name) in [
            ("Özil", "Mesut Özil"),
            ("ozil", "Mesut Özil"),
            ("ÖZIL", "Mesut Özil"),
            ("O\u{308}zil", "Mesut Özil"),
            ("MESUT@example.net", "Mesut Özil"),
            ("Анна", "Анна Каренина"),
            ("КАРЕНИНА", "Анна Каренина"),
            ("Élodie", "Élodie Dûval"),
            ("elodie  duval", "Élodie Dûval"),
            ("Ωμέγα", "Ωμέγα Αγγελόπουλος"),
            ("ωμεγα", "Ωμέγα Αγγελόπουλος"),
            ("ΑΓΓΕΛΌΠΟΥΛΟΣ", "Ωμέγα Αγγελόπουλος"),
            ("Łukasz", "Łukasz Żółć"),
            ("LUKASZ ZOLC", "Łukasz Żółć"),
            ("JÜRGEN GROSS", "Jürgen Groß"),
            ("groß", "Jürgen Groß"),
            ("ibrahim isik", "İbrahim Işık"),
            ("山田", "山田 太郎"),
            ("０% ｓøｒｅｎ", "100% Søren_"),
            ("n_ ", "100% Søren_"),
        ] {
            assert_eq!(found(&staff, search).await, [name], "{search}");
        }
        for search in ["Çelik", "山太", "%_%", "¨", "!"] {
            assert_eq!(found(&staff, search).await, Vec::<String>::new(), "{search}");
        }
        let ada = bank.customer().await;
        let rename = |name: &str| ada.request(Method::PATCH, "/me").json(json!({"name": name}));
        rename("Čeněk").send().await.expect_status(200);
        rename("ČENĚK Švejk").send().await.expect_status(200);
        assert_eq!(found(&staff, "cenek svejk").await, ["ČENĚK Švejk"]);
        rename("Somebody Else").send().await.expect_status(200);
        assert_eq!(found(&staff, "cenek").await, Vec::<String>::new());
    }

    async fn an_account_number_finds_its_owner(bank: &TestBank) {
        let staff = bank.employee("staff").await;
        let number = sign_up(bank, "Ada Lovelace", "al@example.net").await.text_at("/account/account_number");
        sign_up(bank, "Somebody Else", "else@example.net").await;
        let groups = |between: &str| {
            let groups: Vec<_> = number.as_bytes().chunks(4).map(|digits| String::from_utf8_lossy(digits)).collect();
            groups.join(between)
        };
        for search in [number.clone(), groups(" "), groups("\u{a0}"), format!(" {} ", groups("-"))] {
            assert_eq!(found(&staff, &search).await, ["Ada Lovelace"], "{search}");
        }
        let mistyped = format!("{}{}", &number[..13], (number.as_bytes()[13] - b'0' + 1) % 10);
        for search in [&*mistyped, &number[..13], "10000000000180"] {
            assert_eq!(found(&staff, search).await, Vec::<String>::new(), "{search}");
        }
    }

    async fn descriptions_are_found_without_case_and_accents(bank: &TestBank) {
        let ada = bank.customer().await;
        for description in ["Café Ümlaut", "Аренда", "ΕΝΟΊΚΙΟ", "Straße"] {
            let body = json!({"account_number": ada.account, "amount": "1", "description": description});
            ada.post("/deposit", body).send().await.expect_status(201);
        }
        for (text, description) in [
            ("cafe u", "Café Ümlaut"),
            ("CAFE\u{301}", "Café Ümlaut"),
            ("аренда", "Аренда"),
            ("ενοικιο", "ΕΝΟΊΚΙΟ"),
            ("strasse", "Straße"),
        ] {
            let path = query(&format!("/transactions?account_number={}", ada.account), "text", text);
            let page = ada.get(&path).send().await.expect_status(200);
            assert_eq!(page.body["data"].as_array().map(Vec::len), Some(1), "{text}");
            assert_eq!(page.text_at("/data/0/description"), description);
        }
    }

    async fn an_address_that_only_looks_like_another_is_not_that_one(bank: &TestBank) {
        sign_up(bank, "Kate", "kate@example.net").await;
        bank.sign_in(" KATE@Example.net ", PASSWORD).await.expect_status(200);
        let staff = bank.employee("staff").await;
        for lookalike in [
            "\u{212a}ate@example.net",
            "kate@e\u{ff58}ample.net",
            "\u{ff4b}ate@example.net",
            "kate@example.net\u{200b}",
        ] {
            bank.sign_in(lookalike, PASSWORD).await.expect_problem(401, "invalid_credentials");
            let body = json!({"name": "Kate", "email": lookalike, "password": PASSWORD});
            bank.post("/create_account", body).send().await.expect_problem(422, "email_malformed");
            let change = json!({"email": lookalike, "current_password": PASSWORD});
            staff.request(Method::PATCH, "/me").json(change).send().await.expect_problem(422, "email_malformed");
        }
    }

    async fn no_account_is_opened_in_a_currency_that_was_withdrawn(bank: &TestBank) {
        let ada = bank.customer().await;
        for (code, successor) in [
            ("HRK", "EUR"),
            ("BGN", "EUR"),
            ("CUC", "CUP"),
            ("SLL", "SLE"),
            ("ZWL", "ZWG"),
            ("ANG", "XCG"),
            ("DEM", "EUR"),
        ] {
            let refused = ada.open_account(json!({"currency": code})).await.expect_problem(422, "currency_withdrawn");
            assert!(refused.text_at("/detail").contains(&format!("\"{successor}\"")), "{}", refused.body);
            let body = json!({"name": "B", "email": "b@example.com", "password": PASSWORD, "currency": code});
            let refused = bank.post("/create_account", body).send().await.expect_problem(422, "currency_withdrawn");
            assert_eq!(refused.pointers(), ["/currency"]);
            ada.open_account(json!({"currency": successor})).await.expect_status(201);
        }
        for code in ["XXX", "XTS", "XAU", "XDR"] {
            ada.open_account(json!({"currency": code})).await.expect_problem(422, "unknown_currency");
        }
        // Accounts from before keep working, to the last cent.
        let owner = ada.get("/me").send().await.text_at("/id").parse().expect("an id");
        let (one, other) = (open_in_kuna(bank, owner).await, open_in_kuna(bank, owner).await);
        let body = json!({"account_number": one, "amount": "10", "currency": "HRK"});
        ada.post("/deposit", body).send().await.expect_status(201);
        let body = json!({"from_account": one, "to_account": other, "amount": "4"});
        assert_eq!(ada.post("/transfer", body).send().await.expect_status(201).text_at("/currency"), "HRK");
        let body = json!({"account_number": one, "amount": "6"});
        assert_eq!(ada.post("/withdraw", body).send().await.expect_status(201).text_at("/balance"), "0.00");
        assert_eq!(ada.balance_of(&other).await, "4.00");
        ada.request(Method::DELETE, &format!("/accounts/{one}")).send().await.expect_status(204);
    }

    async fn what_fits_every_field_fits_the_body_however_it_is_escaped(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("1000000000").await.expect_status(201);
        let item = json!({
            "type": "transfer", "from_account": ada.account, "to_account": bob.account, "amount": "999999.99",
            "currency": "USD", "description": "😀".repeat(140),
        });
        let body = escaped(&json!({"atomic": true, "transactions": vec![item.clone(); 1000]}));
        assert!(body.len() > 1_680_000, "{}", body.len());
        let batch = || ada.request(Method::POST, "/transactions/batch");
        assert_eq!(batch().raw(body).send().await.expect_status(200).body["booked"], 1000);
        // The same as people would print it.
        let printed = serde_json::to_string_pretty(&json!({"transactions": vec![item; 1000]})).expect("JSON");
        assert_eq!(
            batch().raw(printed.replace('😀', "\\ud83d\\ude00")).send().await.expect_status(200).body["refused"],
            1000
        );
        batch().raw(vec![b' '; 2_100_000]).send().await.expect_problem(413, "body_too_large");

        let (name, email) = ("😀".repeat(100), format!("{}@{}.example.com", "a".repeat(64), "b".repeat(63)));
        let password = "😀".repeat(128);
        let sign_up = escaped(&json!({"name": name, "email": email, "password": password, "currency": "USD"}));
        bank.request(Method::POST, "/create_account").raw(sign_up).send().await.expect_status(201);
        let login = escaped(&json!({"email": email, "password": password}));
        let tokens = bank.request(Method::POST, "/login").raw(login).send().await.expect_status(200);
        let token = tokens.text_at("/access_token");
        let change = escaped(&json!({"current_password": password, "new_password": "😁".repeat(128)}));
        bank.request(Method::PUT, "/me/password").bearer(&token).raw(change).send().await.expect_status(204);
    }

    async fn a_spreadsheet_knows_that_csv_is_in_utf_8(bank: &TestBank) {
        let ada = bank.customer().await;
        let body = json!({"account_number": ada.account, "amount": "1", "description": "Müller"});
        ada.post("/deposit", body).send().await.expect_status(201);
        let path = format!("/accounts/{}/statement.csv", ada.account);
        let answer = ada.get(&path).send().await.expect_status(200);
        assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
        assert!(answer.bytes.starts_with(b"\xef\xbb\xbfdate,"), "{:?}", &answer.bytes[..20]);
        assert!(answer.body.as_str().is_some_and(|text| text.contains("Müller")));
    }
}

#[test]
fn the_web_app_offers_no_currency_that_was_withdrawn() {
    let list = include_str!("../../web/domain/currencies.js");
    let codes: Vec<_> =
        list.split('\'').filter(|part| part.len() == 3 && part.bytes().all(|b| b.is_ascii_uppercase())).collect();
    assert!(codes.len() > 30, "{codes:?}");
    for code in codes {
        assert!(code.parse::<CurrentCurrency>().is_ok(), "{code}");
    }
}
