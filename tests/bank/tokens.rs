//! Tokens that must not open anything.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::harness::{Customer, JWT_SECRET, bank_tests};

fn seconds_from_now(seconds: i64) -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64 + seconds
}

fn sign(header: &Header, claims: &Value, secret: &str) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).expect("a token")
}

fn header_of_ours() -> Header {
    Header { typ: Some("at+jwt".to_owned()), ..Header::new(Algorithm::HS256) }
}

/// The claims of a real token, to be bent.
fn claims_of(customer: &Customer) -> Value {
    let payload = customer.token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("claims")
}

fn unsigned(header: Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&header), part(claims))
}

bank_tests! {
    async fn a_request_without_a_token_is_told_how_to_get_one(bank: &TestBank) {
        let answer = bank.get("/me").send().await.expect_problem(401, "missing_token");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        for header in ["Bearer", "Bearer ", "Basic YTpi", "token", "Bearer\ttoken"] {
            bank.get("/me").header("authorization", header).send().await.expect_problem(401, "missing_token");
        }
        let ada = bank.customer().await;
        let twice = ada.get("/me").header("authorization", "Bearer other");
        twice.send().await.expect_problem(401, "missing_token");
        let lower = bank.get("/me").header("authorization", &format!("bearer {}", ada.token));
        lower.send().await.expect_status(200);
    }

    async fn forged_expired_and_foreign_tokens_open_nothing(bank: &TestBank) {
        let ada = bank.customer().await;
        let good = claims_of(&ada);
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            sign(&header_of_ours(), &claims, JWT_SECRET)
        };
        let without = |name: &str| {
            let mut claims = good.clone();
            claims.as_object_mut().expect("an object").remove(name);
            sign(&header_of_ours(), &claims, JWT_SECRET)
        };
        bank.get("/me").bearer(&sign(&header_of_ours(), &good, JWT_SECRET)).send().await.expect_status(200);
        bank.get("/me").bearer(&with("exp", json!(seconds_from_now(-2)))).send().await.expect_status(200);

        let mut forgeries = vec![
            ("another secret", sign(&header_of_ours(), &good, "another secret, just as long as ours")),
            ("HS384", sign(&Header { typ: Some("at+jwt".into()), ..Header::new(Algorithm::HS384) }, &good, JWT_SECRET)),
            ("plain JWT", sign(&Header::new(Algorithm::HS256), &good, JWT_SECRET)),
            ("expired by 6 s", with("exp", json!(seconds_from_now(-6)))),
            ("exp as text", with("exp", json!("9999999999"))),
            ("no exp", without("exp")),
            ("not yet valid", with("nbf", json!(seconds_from_now(60)))),
            ("wrong issuer", with("iss", json!("evil"))),
            ("no issuer", without("iss")),
            ("wrong audience", with("aud", json!("evil"))),
            ("no audience", without("aud")),
            ("no subject", without("sub")),
            ("no session", without("sid")),
            ("unknown role", with("role", json!("root"))),
            ("nonsense", "a.b.c".to_owned()),
            ("empty parts", "..".to_owned()),
            ("very long", "x".repeat(8000)),
        ];
        for spelling in ["none", "None", "NONE", "nOnE", ""] {
            forgeries.push(("alg none", unsigned(json!({"alg": spelling, "typ": "at+jwt"}), &good)));
        }
        let (unsigned_part, signature) = ada.token.rsplit_once('.').expect("a signature");
        forgeries.push(("no signature", format!("{unsigned_part}.")));
        forgeries.push(("cut signature", format!("{unsigned_part}.{}", &signature[..signature.len() - 4])));
        let mut admin = good.clone();
        admin["role"] = json!("admin");
        let (header, rest) = ada.token.split_once('.').expect("a header");
        let (_, signature) = rest.split_once('.').expect("a signature");
        forgeries.push(("changed role", format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(admin.to_string()))));
        for (name, token) in forgeries {
            let answer = bank.get("/me").bearer(&token).send().await;
            assert_eq!(answer.status, 401, "{name}");
            answer.expect_problem(401, "invalid_token");
        }
    }
}
