//! An account's history as `GET /transactions` shows it.

use serde_json::{Value, json};

use crate::harness::{Customer, bank_tests};

async fn page(customer: &Customer<'_>, query: &str) -> Value {
    let path = format!("/transactions?account_number={}{query}", customer.account);
    customer.get(&path).send().await.expect_status(200).body
}

fn sequences(page: &Value) -> Vec<i64> {
    page["data"].as_array().expect("a list").iter().filter_map(|entry| entry["sequence"].as_i64()).collect()
}

bank_tests! {
    async fn entries_come_newest_first_in_pages_without_gaps_or_repeats(bank: &TestBank) {
        let ada = bank.customer().await;
        for _ in 0..7 {
            ada.deposit("1").await.expect_status(201);
        }
        let first = page(&ada, "&limit=3").await;
        assert_eq!((sequences(&first), &first["has_more"]), (vec![7, 6, 5], &Value::Bool(true)));
        let cursor = first["next_cursor"].as_str().expect("a cursor");
        // What is booked between two pages changes nothing about the older ones.
        ada.deposit("1").await.expect_status(201);
        let second = page(&ada, &format!("&limit=3&cursor={cursor}")).await;
        assert_eq!(sequences(&second), [4, 3, 2]);
        let cursor = second["next_cursor"].as_str().expect("a cursor");
        let last = page(&ada, &format!("&limit=3&cursor={cursor}")).await;
        assert_eq!(
            (sequences(&last), &last["has_more"], &last["next_cursor"]),
            (vec![1], &Value::Bool(false), &Value::Null)
        );
        assert_eq!(ada.history().await.len(), 8);
    }

    /// On SQLite the last entries of an account are in another table than those before them.
    async fn a_history_is_one_wherever_its_entries_are(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        for _ in 0..18 {
            ada.deposit("1").await.expect_status(201);
        }
        ada.deposit_many(20).await.expect_status(200);
        for _ in 0..3 {
            ada.deposit("1").await.expect_status(201);
            ada.transfer(&bob.account, "1").await.expect_status(201);
        }
        let whole = page(&ada, "&limit=100").await;
        assert_eq!(sequences(&whole), (1..=44).rev().collect::<Vec<_>>());
        let mut paged = Vec::new();
        let mut cursor = String::new();
        for _ in 0..4 {
            let next = page(&ada, &format!("&limit=11{cursor}")).await;
            paged.extend(sequences(&next));
            cursor = format!("&cursor={}", next["next_cursor"].as_str().unwrap_or_default());
        }
        assert_eq!(paged, sequences(&whole));
        for entry in whole["data"].as_array().expect("a list") {
            let path = format!("/transactions/{}", entry["id"].as_str().expect("an id"));
            let alone = ada.get(&path).send().await.expect_status(200).body;
            assert_eq!(alone["sequence"], entry["sequence"]);
            // Several may have the same moment: the last of them counts.
            let at = entry["created_at"].as_str().expect("a moment");
            let path = format!("/balance?account_number={}&at={at}", ada.account);
            let balance = ada.get(&path).send().await.expect_status(200).body;
            assert!(balance["sequence"].as_i64() >= entry["sequence"].as_i64(), "{balance} for {entry}");
        }
        assert_eq!(sequences(&page(&ada, "&type=transfer").await), [44, 42, 40]);
        assert_eq!(page(&bob, "").await["data"].as_array().map(Vec::len), Some(3));
    }

    async fn the_link_header_leads_to_the_next_page(bank: &TestBank) {
        let ada = bank.customer().await;
        for _ in 0..3 {
            ada.deposit("1").await.expect_status(201);
        }
        let path =
            format!("/transactions?account_number={}&limit=2&type=deposit&from=2001-01-01T00:00:00Z", ada.account);
        let first = ada.get(&path).send().await.expect_status(200);
        let link = first.header("link").expect("a link");
        let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).expect("a next link");
        let second = ada.get(next).send().await.expect_status(200);
        assert_eq!(sequences(&second.body), [1]);
        assert_eq!(second.header("link"), None);
    }

    async fn entries_can_be_filtered_by_type(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("10").await.expect_status(201);
        ada.withdraw("1").await.expect_status(201);
        ada.transfer(&bob.account, "1").await.expect_status(201);
        ada.deposit("10").await.expect_status(201);
        for (kind, expected) in [("deposit", vec![4, 1]), ("withdrawal", vec![2]), ("transfer", vec![3])] {
            assert_eq!(sequences(&page(&ada, &format!("&type={kind}")).await), expected, "{kind}");
        }
        let path = format!("/transactions?account_number={}&type=gift", ada.account);
        let answer = ada.get(&path).send().await.expect_status(422);
        assert_eq!(answer.pointers(), ["?type"]);
    }

    async fn entries_can_be_filtered_by_time(bank: &TestBank) {
        let ada = bank.customer().await;
        let mut moments = Vec::new();
        for _ in 0..5 {
            moments.push(ada.deposit("1").await.expect_status(201).text_at("/created_at"));
        }
        // `from` counts in, `to` does not: two neighbouring periods share no entry.
        for (query, expected) in [
            (format!("&from={}", moments[2]), vec![5, 4, 3]),
            (format!("&to={}", moments[2]), vec![2, 1]),
            (format!("&from={}&to={}", moments[1], moments[3]), vec![3, 2]),
            (format!("&from={}&to={}", moments[3], moments[1]), vec![]),
            ("&from=2999-01-01T00:00:00Z".to_owned(), vec![]),
            ("&to=2001-01-01T00:00:00Z".to_owned(), vec![]),
        ] {
            assert_eq!(sequences(&page(&ada, &query).await), expected, "{query}");
        }
        for bad in ["yesterday", "2026-01-01", "2026-13-01T00:00:00Z"] {
            let path = format!("/transactions?account_number={}&from={bad}", ada.account);
            ada.get(&path).send().await.expect_problem(422, "timestamp_malformed");
        }
    }

    async fn entries_can_be_filtered_by_text(bank: &TestBank) {
        let ada = bank.customer().await;
        for description in ["Rent January", "Salary", "rent february", "Straße 7", "100% _real_", "RENT März"] {
            let body = json!({"account_number": ada.account, "amount": "1", "description": description});
            ada.post("/deposit", body).send().await.expect_status(201);
        }
        ada.withdraw("1").await.expect_status(201);
        for (query, expected) in [
            ("text=rent", vec![6, 3, 1]),
            ("text=RENT%20J", vec![1]),
            ("text=STRASSE", vec![4]),
            ("text=M%C3%84RZ", vec![6]),
            ("text=%25", vec![5]),
            ("text=_real_", vec![5]),
            ("text=no%20such%20thing", vec![]),
            ("text=rent&type=deposit", vec![6, 3, 1]),
            ("text=rent&type=withdrawal", vec![]),
        ] {
            let page = page(&ada, &format!("&{query}")).await;
            assert_eq!((sequences(&page), &page["has_more"]), (expected, &Value::Bool(false)), "{query}");
        }
        for (text, code) in [
            ("", "text_blank"),
            ("%20", "text_blank"),
            (&*"x".repeat(141), "text_too_long"),
            ("a%00", "text_control_characters"),
        ] {
            let path = format!("/transactions?account_number={}&text={text}", ada.account);
            let answer = ada.get(&path).send().await.expect_problem(422, code);
            assert_eq!(answer.pointers(), ["?text"]);
        }
        // The link keeps what was asked for.
        let path = format!("/transactions?account_number={}&limit=2&text=rent", ada.account);
        let first = ada.get(&path).send().await.expect_status(200);
        assert_eq!(sequences(&first.body), [6, 3]);
        let link = first.header("link").expect("a link");
        let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).expect("a next link");
        let second = ada.get(next).send().await.expect_status(200);
        assert_eq!((sequences(&second.body), second.header("link")), (vec![1], None));
    }

    async fn a_search_looks_through_only_so_much_at_a_time_and_misses_nothing(bank: &TestBank) {
        let ada = bank.customer().await;
        let described = |description: &str| json!({"type": "deposit", "account_number": ada.account, "amount": "1", "description": description});
        let mut all = vec![described("coffee"); 11_000];
        for at in [0, 5_999, 6_000, 10_999] {
            all[at] = described("The needle");
        }
        for chunk in all.chunks(1_000) {
            ada.post("/transactions/batch", json!({"transactions": chunk})).send().await.expect_status(200);
        }
        let (mut found, mut pages, mut cursor) = (Vec::new(), 0, String::new());
        loop {
            let page = page(&ada, &format!("&text=needle&limit=2{cursor}")).await;
            found.extend(sequences(&page));
            pages += 1;
            assert_eq!(page["has_more"], page["next_cursor"].is_string());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        // 11,000 to 6,001, 6,000 to 1,001, and the rest.
        assert_eq!((found, pages), (vec![11_000, 6_001, 6_000, 1], 3));
        let nothing = page(&ada, "&text=haystack").await;
        assert_eq!((sequences(&nothing), &nothing["has_more"]), (vec![], &Value::Bool(true)));
    }

    async fn a_cursor_counts_only_where_it_was_given(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        for customer in [&ada, &bob] {
            customer.deposit("1").await.expect_status(201);
            customer.deposit("1").await.expect_status(201);
        }
        let cursor = page(&bob, "&limit=1").await["next_cursor"].as_str().expect("a cursor").to_owned();
        for bad in [&*cursor, "AAAA", "%00", "🦀", &"A".repeat(500), ""] {
            let path = format!("/transactions?account_number={}&cursor={bad}", ada.account);
            let answer = ada.get(&path).send().await.expect_problem(422, "cursor_invalid");
            assert_eq!(answer.pointers(), ["?cursor"]);
        }
    }

    async fn an_unknown_movement_is_not_found(bank: &TestBank) {
        let ada = bank.customer().await;
        let path = "/transactions/019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88";
        ada.get(path).send().await.expect_problem(404, "transaction_not_found");
        ada.get("/transactions/42").send().await.expect_problem(422, "id_malformed");
    }

    async fn each_entrys_hash_differs_even_for_equal_movements(bank: &TestBank) {
        let ada = bank.customer().await;
        for _ in 0..3 {
            ada.deposit("1").await.expect_status(201);
        }
        let mut hashes: Vec<String> = ada.history().await.iter().map(|entry| entry["hash"].to_string()).collect();
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), 3);
    }
}
