//! The passbook as `GET /transactions` shows it.

use serde_json::Value;

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
        assert_eq!((sequences(&last), &last["has_more"], &last["next_cursor"]), (vec![1], &Value::Bool(false), &Value::Null));
        assert_eq!(ada.history().await.len(), 8);
    }

    async fn the_link_header_leads_to_the_next_page(bank: &TestBank) {
        let ada = bank.customer().await;
        for _ in 0..3 {
            ada.deposit("1").await.expect_status(201);
        }
        let path = format!("/transactions?account_number={}&limit=2&type=deposit&from=2001-01-01T00:00:00Z", ada.account);
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
