//! Reference and metadata of movements, by which they are found, and the metadata of accounts.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::databases::Kind;
use crate::harness::{Answer, Customer, TestBank, bank_tests, eventually};
use crate::privacy::leave_and_be_erased;

impl Customer<'_> {
    /// A deposit with these fields, too.
    async fn tagged(&self, amount: &str, tags: Value) -> Answer {
        self.post("/deposit", with(json!({"account_number": self.account, "amount": amount}), tags)).send().await
    }

    /// The ids of the movements that are found on the account.
    async fn found(&self, query: &str) -> Vec<String> {
        ids(&self.get(&format!("/transactions?account_number={}&{query}", self.account)).send().await)
    }

    async fn update_account(&self, body: Value) -> Answer {
        self.request(Method::PATCH, &format!("/accounts/{}", self.account)).json(body).send().await
    }
}

/// The object with the fields of another.
fn with(mut body: Value, more: Value) -> Value {
    let fields = more.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(fields);
    body
}

fn ids(page: &Answer) -> Vec<String> {
    assert_eq!(page.status, 200, "{}", page.body);
    let data = page.body["data"].as_array().expect("a list");
    data.iter().map(|entry| entry["id"].as_str().expect("an id").to_owned()).collect()
}

/// The address of the next page, if there is one.
fn next(page: &Answer) -> Option<String> {
    let link = page.header("link")?.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
    Some(link.expect("a next link").to_owned())
}

fn row(bank: &TestBank, column: &str, id: &str) -> String {
    match bank.kind {
        Kind::Sqlite => format!("{column} = x'{}'", id.replace('-', "")),
        Kind::Postgres => format!("{column} = '{id}'"),
    }
}

/// Takes away what keeps honest programs from changing tags.
async fn disarm(bank: &TestBank) {
    let triggers: [(&str, &[&str]); 2] = [
        (
            "tags",
            &[
                "tags_refuse_change",
                "tags_refuse_other_metadata",
                "tags_refuse_other_names",
                "tags_refuse_delete",
                "tags_refuse_replace",
            ],
        ),
        ("tagged_entries", &["tagged_entries_refuse_change", "tagged_entries_refuse_delete"]),
    ];
    for (table, names) in triggers {
        for name in names {
            let on = if bank.kind == Kind::Postgres { format!(" on {table}") } else { String::new() };
            bank.tamper(&format!("drop trigger if exists {name}{on}")).await;
        }
    }
}

bank_tests! {
    async fn who_sends_tags_finds_them_everywhere_and_the_receiver_nowhere(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let plain = ada.deposit("100").await.expect_status(201);
        assert_eq!((&plain.body["reference"], &plain.body["metadata"]), (&Value::Null, &json!({})));
        let tags = json!({"reference": " INV-1 ", "metadata": {"order": "42", "channel": "web"}});
        let body = json!({"from_account": ada.account, "to_account": bob.account, "amount": "5"});
        let sent = ada.post("/transfer", with(body, tags)).send().await.expect_status(201);
        let id = sent.text_at("/id");
        let kept = json!({"channel": "web", "order": "42"});
        let seen = |body: &Value| (body["reference"].clone(), body["metadata"].clone());
        assert_eq!(seen(&sent.body), (json!("INV-1"), kept.clone()));
        assert_eq!(seen(&ada.history().await[0]), (json!("INV-1"), kept.clone()));
        assert_eq!(seen(&ada.movement(&id).await), (json!("INV-1"), kept.clone()));
        assert_eq!(seen(&bob.history().await[0]), (Value::Null, json!({})));
        assert_eq!(seen(&bob.movement(&id).await), (Value::Null, json!({})));
        for query in ["reference=INV-1", "metadata[order]=42"] {
            assert_eq!(ada.found(query).await, std::slice::from_ref(&id), "{query}");
            assert!(bob.found(query).await.is_empty(), "{query}");
        }
        let statement = ada.get(&format!("/accounts/{}/statement", ada.account)).send().await.expect_status(200);
        assert_eq!(seen(&statement.body["movements"][1]), (json!("INV-1"), kept));
        let statement = bob.get(&format!("/accounts/{}/statement", bob.account)).send().await.expect_status(200);
        assert_eq!(seen(&statement.body["movements"][0]), (Value::Null, json!({})));
        assert!(!format!("{}{}", bob.history().await[0], statement.body).contains("INV-1"));
    }

    async fn a_reference_names_one_movement_of_a_caller_for_good(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let first = ada.tagged("100", json!({"reference": "A-1"})).await.expect_status(201).text_at("/id");
        let second_account = ada.open_account(json!({})).await.expect_status(201).text_at("/account_number");
        let body = json!({"account_number": second_account, "amount": "7", "reference": "A-1"});
        for answer in [ada.tagged("100", json!({"reference": "A-1"})).await, ada.post("/deposit", body).send().await] {
            let refused = answer.expect_problem(409, "reference_taken");
            assert_eq!(refused.header("location"), Some(&*format!("/transactions/{first}")));
            assert_eq!(refused.body["transaction_id"], json!(first));
            assert!(refused.text_at("/detail").contains(&first), "{}", refused.body);
        }
        // Others have their own, and capitals count.
        bob.tagged("1", json!({"reference": "A-1"})).await.expect_status(201);
        ada.tagged("1", json!({"reference": "a-1"})).await.expect_status(201);
        // What was refused takes no reference.
        let body = json!({"account_number": ada.account, "amount": "5000", "reference": "A-2"});
        ada.post("/withdraw", body).send().await.expect_problem(409, "insufficient_funds");
        ada.tagged("1", json!({"reference": "A-2"})).await.expect_status(201);
        // A key that comes again is answered first.
        let keyed = async |amount: &str, reference: &str| {
            let body = json!({"account_number": ada.account, "amount": amount, "reference": reference});
            ada.post("/deposit", body).header("Idempotency-Key", "k").send().await
        };
        let id = keyed("3", "A-3").await.expect_status(201).text_at("/id");
        let again = keyed("3.0", "A-3").await.expect_status(201);
        assert_eq!((again.text_at("/id"), again.text_at("/reference")), (id, "A-3".to_owned()));
        keyed("3", "A-4").await.expect_problem(422, "idempotency_key_reused");
        assert_eq!(ada.balance().await, "105.00");
    }

    async fn every_kind_of_movement_has_tags(bank: &TestBank) {
        let (ada, bob, clerk) = (bank.customer().await, bank.customer().await, bank.employee("staff").await);
        ada.deposit("100").await.expect_status(201);
        let tags = |reference: &str| json!({"reference": reference, "metadata": {"kind": "all"}});
        let own = json!({"account_number": ada.account, "amount": "1"});
        let withdrawal = ada.post("/withdraw", with(own.clone(), tags("W"))).send().await.expect_status(201);
        let hold = json!({"from_account": ada.account, "to_account": bob.account, "amount": "5"});
        let hold = ada.post("/holds", with(hold, tags("H"))).send().await.expect_status(201);
        let held = hold.text_at("/id");
        assert_eq!((hold.text_at("/reference"), &hold.body["metadata"]), ("H".to_owned(), &json!({"kind": "all"})));
        let released = ada.post("/holds", with(own.clone(), tags("R"))).send().await.expect_status(201).text_at("/id");
        let ended = ada.request(Method::POST, &format!("/holds/{released}/release")).send().await.expect_status(200);
        assert_eq!(ended.text_at("/reference"), "R");
        let listed = ada.get(&format!("/holds?account_number={}", ada.account)).send().await.expect_status(200);
        assert_eq!(
            (listed.text_at("/data/0/reference"), listed.text_at("/data/1/reference")),
            ("R".to_owned(), "H".to_owned())
        );
        assert_eq!(ada.get(&format!("/holds/{held}")).send().await.text_at("/metadata/kind"), "all");
        assert_eq!(ada.movement(&released).await["reference"], "R");
        // Nothing is posted of them yet; their references are taken all the same.
        assert!(ada.found("reference=H").await.is_empty());
        for (taken, by) in [("H", &held), ("R", &released)] {
            let refused = ada.tagged("1", tags(taken)).await.expect_problem(409, "reference_taken");
            assert_eq!(refused.header("location"), Some(&*format!("/transactions/{by}")));
        }
        let captured =
            ada.post(&format!("/holds/{held}/capture"), json!({"amount": "2"})).send().await.expect_status(201);
        assert_eq!(
            (captured.text_at("/reference"), captured.text_at("/metadata/kind")),
            ("H".to_owned(), "all".to_owned())
        );
        let path = format!("/transactions/{}/reverse", withdrawal.text_at("/id"));
        let reversed = clerk.post(&path, tags("V")).send().await.expect_status(201);
        assert_eq!(reversed.text_at("/reference"), "V");
        let items = json!([
            with(with(json!({"type": "deposit"}), own.clone()), tags("B")),
            with(with(json!({"type": "withdrawal"}), own.clone()), tags("B")),
            with(with(json!({"type": "hold"}), own.clone()), tags("C")),
        ]);
        let batch = ada.post("/transactions/batch", json!({"transactions": items})).send().await.expect_status(200);
        let booked = batch.text_at("/data/0/transaction/id");
        assert_eq!(batch.text_at("/data/1/problem/code"), "reference_taken");
        // It might have been refused, too: so the problem names none.
        assert_eq!(batch.body["data"][1]["problem"].get("transaction_id"), None);
        assert_eq!(batch.text_at("/data/2/transaction/reference"), "C");
        ada.post("/transactions/batch", json!({"atomic": true, "transactions": items}))
            .send()
            .await
            .expect_problem(409, "batch_refused");
        let expected = [&booked, &reversed.text_at("/id"), &held, &withdrawal.text_at("/id")].map(Clone::clone);
        assert_eq!(ada.found("metadata[kind]=all").await, expected);
        assert_eq!(ada.found("reference=V").await, [reversed.text_at("/id")]);
    }

    async fn an_atomic_batch_that_is_refused_takes_no_reference(bank: &TestBank) {
        let ada = bank.customer().await;
        let item = |kind: &str, amount: &str, reference: &str| json!({"type": kind, "account_number": ada.account, "amount": amount, "reference": reference});
        let items = json!([item("deposit", "1", "X"), item("withdrawal", "9", "Y")]);
        ada.post("/transactions/batch", json!({"atomic": true, "transactions": items}))
            .send()
            .await
            .expect_problem(409, "batch_refused");
        let items = json!([item("deposit", "1", "X"), item("withdrawal", "1", "Y")]);
        let done = ada
            .post("/transactions/batch", json!({"atomic": true, "transactions": items}))
            .send()
            .await
            .expect_status(200);
        assert_eq!(done.body["booked"], 2);
        assert_eq!(bank.number("select count(*) from tags").await, 2);
    }

    async fn tags_that_nobody_can_use_are_refused(bank: &TestBank) {
        let ada = bank.customer().await;
        let long = "x".repeat(65);
        let eleven: serde_json::Map<_, _> = (0..11).map(|key| (format!("k{key}"), json!("v"))).collect();
        for (tags, code, pointer) in [
            (json!({"reference": ""}), "reference_blank", "/reference"),
            (json!({"reference": long}), "reference_too_long", "/reference"),
            (json!({"reference": "a\u{202e}b"}), "reference_control_characters", "/reference"),
            (json!({"reference": 42}), "wrong_type", "/reference"),
            (json!({"metadata": {"order": ""}}), "metadata_blank", "/metadata/order"),
            (json!({"metadata": {"order": "x".repeat(141)}}), "metadata_too_long", "/metadata/order"),
            (json!({"metadata": {"order": "a\nb"}}), "metadata_control_characters", "/metadata/order"),
            (json!({"metadata": {"order": 42}}), "wrong_type", "/metadata/order"),
            (json!({"metadata": {"order": null}}), "wrong_type", "/metadata/order"),
            (json!({"metadata": {"Order": "42"}}), "metadata_key_malformed", "/metadata"),
            (json!({"metadata": eleven}), "metadata_too_large", "/metadata"),
            (json!({"metadata": "order"}), "wrong_type", "/metadata"),
        ] {
            let refused = ada.tagged("1", tags.clone()).await.expect_problem(422, code);
            assert_eq!(refused.pointers(), [pointer], "{tags}");
        }
        let twice =
            format!(r#"{{"account_number": "{}", "amount": "1", "metadata": {{"a": "1", "a": "2"}}}}"#, ada.account);
        ada.request(Method::POST, "/deposit").raw(twice).send().await.expect_problem(422, "duplicate_field");
        for (query, code, pointer) in [
            ("metadata[Order]=42", "metadata_key_malformed", "?metadata[Order]"),
            ("metadata[]=42", "metadata_key_malformed", "?metadata[]"),
            ("metadata[order]=", "metadata_blank", "?metadata[order]"),
            ("metadata[order]=1&metadata[order]=2", "duplicate_field", "?metadata[order]"),
            ("metadata=42", "unknown_field", "?metadata"),
            ("reference=", "reference_blank", "?reference"),
            ("min_amount=-1", "amount_negative", "?min_amount"),
            ("max_amount=1e3", "amount_exponent", "?max_amount"),
            ("direction=up", "unknown_value", "?direction"),
            ("counterparty=1", "account_number_malformed", "?counterparty"),
        ] {
            let path = format!("/transactions?account_number={}&{query}", ada.account);
            let refused = ada.get(&path).send().await.expect_problem(422, code);
            assert_eq!(refused.pointers(), [pointer], "{query}");
        }
        // The longest of everything, however it is escaped, is taken.
        let pairs: serde_json::Map<_, _> = (0..10).map(|key| (format!("{key:0>32}"), json!("𝒳".repeat(140)))).collect();
        let body = json!({"account_number": ada.account, "amount": "1", "description": "𝒳".repeat(140),
            "reference": "𝒳".repeat(64), "metadata": pairs});
        let escaped = body.to_string().replace('𝒳', "\\ud835\\udcb3");
        ada.request(Method::POST, "/deposit").raw(escaped).send().await.expect_status(201);
        assert_eq!(ada.found(&format!("metadata[{:0>32}]={}", 7, "𝒳".repeat(140))).await.len(), 1);
    }

    async fn filters_combine_and_the_link_keeps_them(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let mut sent = Vec::new();
        for (index, amount) in ["10", "20", "30", "40", "50", "60"].into_iter().enumerate() {
            let metadata = json!({"parity": if index % 2 == 0 { "even" } else { "odd" }, "shop": "Zürich & Co"});
            let tags = json!({"reference": format!("R{index}"), "metadata": metadata, "description": "Buch"});
            sent.push(ada.tagged(amount, tags).await.expect_status(201).text_at("/id"));
        }
        let to_bob = ada.transfer(&bob.account, "25").await.expect_status(201).text_at("/id");
        let of = |indices: &[usize]| indices.iter().map(|index| sent[*index].clone()).collect::<Vec<_>>();
        for (query, expected) in [
            ("reference=R3", of(&[3])),
            ("reference=R9", of(&[])),
            ("metadata[parity]=odd", of(&[5, 3, 1])),
            ("metadata[parity]=odd&metadata[shop]=Z%C3%BCrich+%26+Co", of(&[5, 3, 1])),
            ("metadata[parity]=odd&metadata[shop]=Bern", of(&[])),
            ("metadata[parity]=odd&reference=R3", of(&[3])),
            ("metadata[parity]=odd&reference=R2", of(&[])),
            ("metadata[parity]=odd&min_amount=30", of(&[5, 3])),
            ("metadata[parity]=odd&min_amount=40.00&max_amount=40", of(&[3])),
            ("metadata[parity]=odd&type=withdrawal", of(&[])),
            ("metadata[parity]=even&text=BUCH&max_amount=49.99", of(&[2, 0])),
            ("min_amount=25&max_amount=30", vec![to_bob.clone(), sent[2].clone()]),
            ("min_amount=25&max_amount=30&direction=debit", vec![to_bob.clone()]),
            ("min_amount=0.0000001&direction=credit&max_amount=10", of(&[0])),
        ] {
            assert_eq!(ada.found(query).await, expected, "{query}");
        }
        assert_eq!(ada.found(&format!("counterparty={}", bob.account)).await, std::slice::from_ref(&to_bob));
        assert_eq!(bob.found(&format!("counterparty={}&direction=credit", ada.account)).await, [to_bob]);
        assert!(ada.found(&format!("counterparty={}&direction=credit", bob.account)).await.is_empty());

        let filters = "metadata[shop]=Z%C3%BCrich+%26+Co&metadata[parity]=odd&min_amount=20&direction=credit&text=buch";
        let first = ada.get(&format!("/transactions?account_number={}&limit=2&{filters}", ada.account)).send().await;
        assert_eq!(ids(&first), of(&[5, 3]));
        let second = ada.get(&next(&first).expect("another page")).send().await;
        assert_eq!((ids(&second), next(&second)), (of(&[1]), None));
        // By one index alone, and between two moments.
        let first = ada
            .get(&format!("/transactions?account_number={}&limit=1&metadata[parity]=even", ada.account))
            .send()
            .await;
        let second = ada.get(&next(&first).expect("another page")).send().await;
        assert_eq!((ids(&first), ids(&second)), (of(&[4]), of(&[2])));
        let moment = ada.movement(&sent[2]).await["created_at"].as_str().expect("a moment").to_owned();
        assert_eq!(ada.found(&format!("metadata[parity]=even&to={moment}")).await, of(&[0]));
        assert_eq!(ada.found(&format!("metadata[parity]=even&from={moment}")).await, of(&[4, 2]));
    }

    async fn a_search_by_many_tags_misses_nothing_however_common_they_are(bank: &TestBank) {
        let ada = bank.customer().await;
        let item = |index: usize| {
            let rare = if index.is_multiple_of(900) { "yes" } else { "no" };
            json!({"type": "deposit", "account_number": ada.account, "amount": "1",
                   "metadata": {"common": "all", "half": if index.is_multiple_of(2) { "a" } else { "b" }, "rare": rare}})
        };
        for start in [0, 900] {
            let items: Vec<_> = (start..start + 900).map(item).collect();
            ada.post("/transactions/batch", json!({"transactions": items})).send().await.expect_status(200);
        }
        assert_eq!(ada.found("metadata[common]=all&metadata[rare]=yes").await.len(), 2);
        assert_eq!(ada.found("metadata[common]=all&metadata[rare]=yes&metadata[half]=b").await.len(), 0);
        let mut found = 0;
        let mut path = Some(format!(
            "/transactions?account_number={}&limit=200&metadata[common]=all&metadata[half]=a",
            ada.account
        ));
        while let Some(address) = path {
            let page = ada.get(&address).send().await;
            found += ids(&page).len();
            path = next(&page);
        }
        assert_eq!(found, 900);
    }

    async fn staff_look_through_the_whole_bank_on_record(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer_in("JPY").await);
        let (clerk, auditor) = (bank.employee("staff").await, bank.employee("auditor").await);
        let (cleo, metadata) = (bank.customer().await, json!({"order": "42"}));
        let first = ada
            .tagged("10", json!({"reference": "same", "metadata": metadata}))
            .await
            .expect_status(201)
            .text_at("/id");
        let second = bob
            .tagged("1500", json!({"reference": "same", "metadata": metadata}))
            .await
            .expect_status(201)
            .text_at("/id");
        let third = ada.transfer(&cleo.account, "4").await.expect_status(201).text_at("/id");
        let fourth = clerk
            .post("/deposit", json!({"account_number": cleo.account, "amount": "70", "description": "Rent"}))
            .send()
            .await;
        let fourth = fourth.expect_status(201).text_at("/id");
        let found = async |query: &str| ids(&auditor.get(&format!("/transactions?{query}")).send().await);
        let all = [&fourth, &third, &second, &first].map(Clone::clone);
        assert_eq!(found("").await, all);
        for (query, expected) in [
            ("reference=same", vec![&second, &first]),
            ("metadata[order]=42", vec![&second, &first]),
            ("metadata[order]=42&reference=same&min_amount=10.5", vec![&second]),
            ("type=transfer", vec![&third]),
            ("direction=debit", vec![&third]),
            ("text=rent", vec![&fourth]),
            ("min_amount=10&max_amount=70.00", vec![&fourth, &first]),
            ("from=2999-01-01T00:00:00Z", vec![]),
            ("to=2001-01-01T00:00:00Z", vec![]),
            ("from=2001-01-01T00:00:00Z&to=2999-01-01T00:00:00Z&text=rent", vec![&fourth]),
        ] {
            assert_eq!(found(query).await.iter().collect::<Vec<_>>(), expected, "{query}");
        }
        assert_eq!(found(&format!("counterparty={}", cleo.account)).await, std::slice::from_ref(&third));
        // As the sender's account saw it.
        let page = clerk.get("/transactions?type=transfer").send().await.expect_status(200);
        assert_eq!(
            (page.text_at("/data/0/account_number"), page.text_at("/data/0/direction")),
            (ada.account.clone(), "debit".to_owned())
        );
        let (mut paged, mut path) = (Vec::new(), Some("/transactions?limit=1&max_amount=5000".to_owned()));
        while let Some(address) = path {
            let page = clerk.get(&address).send().await;
            paged.extend(ids(&page));
            path = next(&page);
        }
        assert_eq!(paged, all);

        let refused = ada.get("/transactions").send().await.expect_problem(422, "missing_field");
        assert_eq!(refused.pointers(), ["?account_number"]);
        assert!(refused.text_at("/detail").contains("/accounts"));
        for number in [&ada.account, &bob.account, &cleo.account] {
            let path = format!("/audit?action=movements_listed&account_number={number}");
            eventually("the look is on record", async || {
                let log = auditor.get(&path).send().await.expect_status(200);
                log.body["data"].as_array().is_some_and(|records| !records.is_empty())
            })
            .await;
        }
    }

    async fn of_requests_with_one_reference_that_come_at_once_one_is_booked(bank: &TestBank) {
        let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
        let customers = [bank.customer().await, bank.customer().await, bank.customer().await];
        let (address, twin) = bank.twin().await;
        for round in 0..6 {
            // By staff on three accounts: no lock of an account keeps them from one another.
            let requests = (0..50).map(|index: usize| {
                let there = if index.is_multiple_of(2) { address } else { bank.address };
                let (number, reference) = (&customers[index % 3].account, format!("round {round}"));
                let body = json!({"account_number": number, "amount": "1", "reference": reference});
                bank.request_to(there, Method::POST, "/deposit").bearer(&clerk.token).json(body).send()
            });
            let answers = join_all(requests).await;
            let booked: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
            assert_eq!(booked.len(), 1, "{:?}", answers.iter().map(|answer| &answer.body).collect::<Vec<_>>());
            let location = format!("/transactions/{}", booked[0].text_at("/id"));
            let taken = |answer: &&Answer| {
                answer.body["code"] == "reference_taken" && answer.header("location") == Some(&location)
            };
            assert_eq!(answers.iter().filter(taken).count(), 49);
        }
        // Batches that name the same references in opposite orders do not wait for each other in a circle.
        let batches = (0..8).map(|index: usize| {
            let there = if index.is_multiple_of(2) { address } else { bank.address };
            let reference = |at: usize| if index.is_multiple_of(2) { at } else { 49 - at };
            let number = &customers[index % 3].account;
            let item = |at: usize| {
                let reference = format!("B{}", reference(at));
                json!({"type": "deposit", "account_number": number, "amount": "1", "reference": reference})
            };
            let items: Vec<_> = (0..50).map(item).collect();
            let request = bank.request_to(there, Method::POST, "/transactions/batch").bearer(&clerk.token);
            request.json(json!({"transactions": items})).send()
        });
        let booked = |answer: Answer| answer.expect_status(200).body["booked"].as_i64().expect("a number");
        let booked: i64 = join_all(batches).await.into_iter().map(booked).sum();
        assert_eq!(booked, 50);
        assert_eq!(ada.balance().await, "0.00");
        twin.close().await;
    }

    /// Nothing of a movement without tags reads or writes their tables: it is booked where there are none.
    async fn who_sends_no_tags_pays_nothing_for_them(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        for table in ["tags", "tagged_entries", "account_metadata"] {
            bank.tamper(&format!("alter table {table} rename to hidden_{table}")).await;
        }
        let body = json!({"account_number": ada.account, "amount": "10", "description": "Salary"});
        ada.post("/deposit", body).header("Idempotency-Key", "k").send().await.expect_status(201);
        ada.withdraw("1").await.expect_status(201);
        ada.transfer(&bob.account, "1").await.expect_status(201);
        ada.post("/holds", json!({"account_number": ada.account, "amount": "1"})).send().await.expect_status(201);
        ada.deposit_many(20).await.expect_status(200);
        assert_eq!(ada.balance().await, "28.00");
        for table in ["tags", "tagged_entries", "account_metadata"] {
            bank.tamper(&format!("alter table hidden_{table} rename to {table}")).await;
        }
    }

    async fn the_doctor_finds_each_forged_tag(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let id = ada
            .tagged("10", json!({"reference": "INV-1", "metadata": {"order": "42"}}))
            .await
            .expect_status(201)
            .text_at("/id");
        let plain = ada.deposit("1").await.expect_status(201).text_at("/id");
        let described = ada.tagged("1", json!({"description": "Rent"})).await.expect_status(201).text_at("/id");
        let hold = json!({"account_number": ada.account, "amount": "1", "reference": "H-1"});
        let hold = ada.post("/holds", hold).send().await.expect_status(201).text_at("/id");
        disarm(bank).await;
        let (texts, owned, found) = (
            "texts are as they were written, or erased",
            "references, groups and metadata belong to movements, and each reference to one",
            "movements are found by reference, group and metadata",
        );
        let is = |id: &str| row(bank, "id", id);
        let literal = |id: &str| row(bank, "", id).trim_start_matches(" = ").to_owned();
        let user = ada.get("/me").send().await.text_at("/id");
        let nobody = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88";
        let change = |set: &str, id: &str| format!("update tags set {set} where {}", is(id));
        let by = |user: &str| format!("requested_by = {}", literal(user));
        let add = |id: &str, reference: &str, metadata: &str| {
            format!(
                "insert into tags (id, requested_by, reference, metadata) values ({}, {}, '{reference}', '{metadata}')",
                literal(id),
                literal(&user)
            )
        };
        let remove = |id: &str| format!("delete from tags where {}", is(id));
        let entry = |sequence: i64| format!("account_number = {} and sequence = {sequence}", ada.account);
        let (first, second) = (entry(1), entry(2));
        let (of_reference, is_plain, is_tagged) =
            (format!("{first} and key = ''"), row(bank, "transaction_id", &plain), row(bank, "transaction_id", &id));
        let change_entry = |set: &str, at: &str| format!("update tagged_entries set {set} where {at}");
        let add_entry = |value: &str, sequence: i64, id: &str| {
            format!(
                "insert into tagged_entries values ({}, 'order', '{value}', {sequence}, {})",
                ada.account,
                literal(id)
            )
        };
        let of = |number: &str| format!("account_number = {number}");
        let order = |value: &str| format!("metadata = '{{\"order\":\"{value}\"}}'");
        let (is_inv_1, is_inv_2) = ("reference = 'INV-1'", "reference = 'INV-2'");
        let swapped = format!("{is_inv_1}, {}", order("42"));
        let (all, both, found_only, owned_only) = ([texts, owned, found], [texts, found], [found], [owned]);
        let forgeries: [(String, String, &[&str]); 18] = [
            (change(is_inv_2, &id), change(is_inv_1, &id), &both),
            (change("reference = null", &id), change(is_inv_1, &id), &both),
            (change(&order("43"), &id), change(&order("42"), &id), &both),
            (change("metadata = null", &id), change(&order("42"), &id), &both),
            (change("metadata = 'INV-1', reference = null", &id), change(&swapped, &id), &both),
            (change(&by(nobody), &id), change(&by(&user), &id), &owned_only),
            (change(&by(nobody), &hold), change(&by(&user), &hold), &owned_only),
            (change(&is(nobody), &id), change(&is(&id), nobody), &all),
            (add(&plain, "forged", "{}"), remove(&plain), &both),
            (add(&described, "forged", "{}"), remove(&described), &both),
            (add(nobody, "forged", "{}"), remove(nobody), &owned_only),
            (remove(&id), add(&id, "INV-1", "{\"order\":\"42\"}"), &both),
            (
                change_entry("value = 'INV-2'", &of_reference),
                change_entry("value = 'INV-1'", &of_reference),
                &found_only,
            ),
            (change_entry("sequence = 2", &first), change_entry("sequence = 1", &second), &found_only),
            (change_entry(&of(&bob.account), &first), change_entry(&of(&ada.account), &of(&bob.account)), &found_only),
            (change_entry(&is_plain, &first), change_entry(&is_tagged, &first), &found_only),
            (add_entry("7", 2, &plain), "delete from tagged_entries where value = '7'".to_owned(), &found_only),
            (
                format!("delete from tagged_entries where {first} and key = 'order'"),
                add_entry("42", 1, &id),
                &found_only,
            ),
        ];
        for (forged, undone, invariants) in forgeries {
            bank.tamper(&forged).await;
            let wrong: Vec<_> = bank.books_wrong().await.into_iter().map(|(invariant, _)| invariant).collect();
            assert_eq!(wrong, invariants, "{forged}");
            bank.tamper(&undone).await;
            assert_eq!(bank.books_wrong().await, [], "{undone}");
        }
        bank.tamper("drop index tags_by_reference").await;
        bank.tamper(&format!("update tags set reference = 'INV-1' where {}", is(&hold))).await;
        let wrong = bank.books_wrong().await;
        assert_eq!(wrong.iter().map(|(invariant, _)| *invariant).collect::<Vec<_>>(), [owned], "{wrong:?}");
        bank.tamper(&format!("update tags set reference = 'H-1' where {}", is(&hold))).await;
    }

    async fn the_database_refuses_to_change_tags(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.tagged("10", json!({"reference": "INV-1", "metadata": {"order": "42"}})).await.expect_status(201);
        for sql in [
            "update tags set reference = 'INV-2'",
            "update tags set reference = null",
            "update tags set metadata = '{}'",
            "update tags set requested_by = id",
            "delete from tags",
            "update tagged_entries set value = '43'",
            "delete from tagged_entries where key = ''",
        ] {
            assert!(bank.try_to_tamper(sql).await.is_err(), "{sql} was let through");
        }
    }

    async fn erased_metadata_leaves_the_books_right_and_the_reference_taken(bank: &TestBank) {
        let ada = bank.customer().await;
        let tags = json!({"reference": "INV-1", "metadata": {"name": "Grace"}, "description": "For Grace"});
        let id = ada.tagged("10", tags).await.expect_status(201).text_at("/id");
        let other = ada.tagged("1", json!({"metadata": {"name": "Grace"}})).await.expect_status(201).text_at("/id");
        bank.tamper("update transactions set description = null, text_salt = null").await;
        bank.tamper("update tags set metadata = null").await;
        bank.tamper("delete from tagged_entries where key <> ''").await;
        let wrong: Vec<_> = bank.books_wrong().await.into_iter().map(|(invariant, _)| invariant).collect();
        assert_eq!(wrong, ["erased texts are of people whose erasure is on record"]);
        let shown = ada.movement(&id).await;
        assert_eq!((&shown["metadata"], &shown["description"]), (&json!({}), &Value::Null));
        assert_eq!(ada.movement(&other).await["metadata"], json!({}));
        assert!(ada.found("metadata[name]=Grace").await.is_empty());
        assert_eq!(shown["reference"], "INV-1");
        for query in ["reference=INV-1", "reference=INV-1&type=deposit"] {
            assert_eq!(ada.found(query).await, std::slice::from_ref(&id), "{query}");
        }
        let refused = ada.tagged("1", json!({"reference": "INV-1"})).await.expect_problem(409, "reference_taken");
        assert_eq!(refused.body["transaction_id"], json!(id));
        leave_and_be_erased(&ada).await;
    }

    async fn metadata_of_accounts_is_merged_key_by_key(bank: &TestBank) {
        let (ada, bob, clerk, auditor) = (
            bank.customer().await,
            bank.customer().await,
            bank.employee("staff").await,
            bank.employee("auditor").await,
        );
        let path = format!("/accounts/{}", ada.account);
        assert_eq!(ada.get(&path).send().await.expect_status(200).body["metadata"], json!({}));
        let changed =
            ada.update_account(json!({"metadata": {"project": "x", "team": "blue"}})).await.expect_status(200);
        assert_eq!(changed.body["metadata"], json!({"project": "x", "team": "blue"}));
        ada.update_account(json!({"label": "Holidays"})).await.expect_status(200);
        let by_staff =
            clerk.request(Method::PATCH, &path).json(json!({"metadata": {"project": null, "cost_centre": "4711"}}));
        let expected = json!({"cost_centre": "4711", "team": "blue"});
        assert_eq!(by_staff.send().await.expect_status(200).body["metadata"], expected);
        let other = ada.open_account(json!({})).await.expect_status(201);
        assert_eq!(other.body["metadata"], json!({}));
        for answer in [ada.get(&path).send().await, ada.update_account(json!({})).await] {
            let account = answer.expect_status(200).body;
            assert_eq!((&account["metadata"], &account["label"]), (&expected, &json!("Holidays")));
        }
        let listed = ada.get("/accounts").send().await.expect_status(200);
        let of_ada =
            listed.body["data"].as_array().expect("a list").iter().find(|it| it["account_number"] == *ada.account);
        assert_eq!(of_ada.expect("the account")["metadata"], expected);
        let both = ada
            .update_account(json!({"label": null, "metadata": {"team": null, "cost_centre": null}}))
            .await
            .expect_status(200);
        assert_eq!((&both.body["label"], &both.body["metadata"]), (&Value::Null, &json!({})));

        let many: serde_json::Map<_, _> = (0..10).map(|key| (format!("k{key}"), json!("v"))).collect();
        ada.update_account(json!({"metadata": many})).await.expect_status(200);
        let refused =
            ada.update_account(json!({"metadata": {"k10": "v"}})).await.expect_problem(422, "metadata_too_large");
        assert_eq!(refused.pointers(), ["/metadata"]);
        ada.update_account(json!({"metadata": {"k10": "v", "k0": null}})).await.expect_status(200);
        ada.update_account(json!({"metadata": {"K": "v"}})).await.expect_problem(422, "metadata_key_malformed");
        ada.update_account(json!({"metadata": {"k": " "}})).await.expect_problem(422, "metadata_blank");
        bob.request(Method::PATCH, &path)
            .json(json!({"metadata": {"a": "b"}}))
            .send()
            .await
            .expect_problem(404, "account_not_found");
        auditor.request(Method::PATCH, &path).json(json!({"metadata": {"a": "b"}})).send().await.expect_status(403);
        let log = auditor.get("/audit?action=account_metadata_changed").send().await.expect_status(200);
        assert_eq!(log.text_at("/data/0/detail"), "k0, k10");

        // Two who note something at once lose nothing of each other's.
        let notes = (0..10).map(|index| bob.update_account(json!({"metadata": {format!("k{index}"): "v"}})));
        for answer in join_all(notes).await {
            answer.expect_status(200);
        }
        let noted =
            bob.get(&format!("/accounts/{}", bob.account)).send().await.expect_status(200).body["metadata"].clone();
        assert_eq!(noted.as_object().map(serde_json::Map::len), Some(10));
    }
}

bank_tests! {
    with &["--approval-above", "1000"];

    async fn what_waits_for_approval_keeps_its_tags(bank: &TestBank) {
        let (ada, clerk, other) = (bank.customer().await, bank.employee("staff").await, bank.employee("staff").await);
        let tags = |reference: &str| json!({"reference": reference, "metadata": {"case": "7"}});
        let large = |reference: &str| with(json!({"account_number": ada.account, "amount": "5000"}), tags(reference));
        let waiting = clerk.post("/deposit", large("L-1")).send().await.expect_status(202);
        let id = waiting.text_at("/id");
        assert_eq!(
            (waiting.text_at("/reference"), waiting.text_at("/metadata/case")),
            ("L-1".to_owned(), "7".to_owned())
        );
        let approval = other.get(&format!("/approvals/{id}")).send().await.expect_status(200);
        assert_eq!(
            (approval.text_at("/reference"), approval.text_at("/metadata/case")),
            ("L-1".to_owned(), "7".to_owned())
        );
        assert!(ada.found("reference=L-1").await.is_empty());
        clerk.post("/deposit", large("L-1")).send().await.expect_problem(409, "reference_taken");
        let decide =
            async |id: &str, what: &str| other.request(Method::POST, &format!("/approvals/{id}/{what}")).send().await;
        assert_eq!(decide(&id, "approve").await.expect_status(200).text_at("/reference"), "L-1");
        assert_eq!(ada.found("reference=L-1&metadata[case]=7").await, std::slice::from_ref(&id));
        assert_eq!(ada.movement(&id).await["metadata"], json!({"case": "7"}));

        let rejected = clerk.post("/deposit", large("L-2")).send().await.expect_status(202).text_at("/id");
        assert_eq!(decide(&rejected, "reject").await.expect_status(200).text_at("/reference"), "L-2");
        let refused = clerk.post("/deposit", large("L-2")).send().await.expect_problem(409, "reference_taken");
        assert_eq!(refused.header("location"), Some(&*format!("/transactions/{rejected}")));
        assert_eq!(other.movement(&rejected).await["reference"], "L-2");

        // A hold that waits, is approved, and is captured by somebody else.
        let hold = with(json!({"account_number": ada.account, "amount": "2000"}), tags("L-3"));
        let hold = clerk.post("/holds", hold).send().await.expect_status(202).text_at("/id");
        decide(&hold, "approve").await.expect_status(200);
        let captured = other.post(&format!("/holds/{hold}/capture"), json!({})).send().await.expect_status(201);
        assert_eq!(
            (captured.text_at("/reference"), captured.text_at("/metadata/case")),
            ("L-3".to_owned(), "7".to_owned())
        );
        assert_eq!(ada.found("metadata[case]=7").await, [hold, id]);
    }
}
