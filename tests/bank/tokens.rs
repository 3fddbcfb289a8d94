//! Tokens that must not open anything.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Customer, JWT_SECRET, PASSWORD, bank_tests, claims_of};

fn seconds_from_now(seconds: i64) -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64 + seconds
}

fn sign(header: &Header, claims: &Value, secret: &str) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).expect("a token")
}

fn header_of_ours() -> Header {
    Header { typ: Some("at+jwt".to_owned()), ..Header::new(Algorithm::HS256) }
}

/// Signed with our secret, whatever the header says.
fn sign_under(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("a signature");
    format!("{message}.{signature}")
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

    async fn no_forgery_opens_any_route(bank: &TestBank) {
        let ada = bank.customer().await;
        let good = claims_of(&ada.token);
        bank.get("/me").bearer(&sign(&header_of_ours(), &good, JWT_SECRET)).send().await.expect_status(200);
        let barely = with(&good, "exp", json!(seconds_from_now(-2)));
        bank.get("/me").bearer(&sign(&header_of_ours(), &barely, JWT_SECRET)).send().await.expect_status(200);
        let forgeries = forgeries(&ada, &good);
        assert!(forgeries.len() >= 30, "{}", forgeries.len());
        for (method, path) in protected_routes() {
            for (name, token) in &forgeries {
                let answer = bank.request(method.clone(), &path).bearer(token).raw("{}").send().await;
                assert_eq!(answer.status, 401, "{name} at {method} {path}");
                answer.expect_problem(401, "invalid_token");
            }
        }
    }

    async fn a_new_secret_logs_nobody_out(bank: &TestBank) {
        let ada = bank.customer().await;
        let newer = "the secret that comes after, as long as it must be";
        let flags = ["--jwt-secret", newer, "--jwt-secret-previous", JWT_SECRET];
        let (address, twin) = bank.twin_with(&flags).await;
        let me = |token: &str| bank.request_to(address, Method::GET, "/me").bearer(token).send();
        me(&ada.token).await.expect_status(200);
        let body = json!({"email": ada.email, "password": PASSWORD});
        let tokens = bank.request_to(address, Method::POST, "/login").json(body).send().await.expect_status(200);
        me(&tokens.text_at("/access_token")).await.expect_status(200);
        // It is signed with the new secret alone, and a third secret opens nothing.
        bank.get("/me").bearer(&tokens.text_at("/access_token")).send().await.expect_problem(401, "invalid_token");
        let forged = sign(&header_of_ours(), &claims_of(&ada.token), "another secret, just as long as ours");
        me(&forged).await.expect_problem(401, "invalid_token");
        twin.close().await;
    }
}

/// Every operation of the OpenAPI document that takes a token, with something in place of its parameters.
fn protected_routes() -> Vec<(Method, String)> {
    let document = coffer::api::docs::openapi::document(coffer_core::money::DEFAULT_MAXIMUM);
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            // An empty one says that the call may do without.
            let ways = operation["security"].as_array();
            if ways.is_some_and(|ways| !ways.is_empty() && ways.iter().all(|way| way.get("bearer").is_some())) {
                let path = path.replace("{account_number}", "10000000000180").replace(['{', '}'], "");
                routes.push((method.to_uppercase().parse().expect("a method"), path));
            }
        }
    }
    assert!(routes.len() > 20, "{routes:?}");
    routes
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

/// Tokens that look like ours and are not.
fn forgeries(ada: &Customer, good: &Value) -> Vec<(String, String)> {
    let ours = header_of_ours();
    let mut forgeries: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, token: String| forgeries.push((name.to_owned(), token));

    // Claims that do not hold, well signed.
    for (name, claim, value) in [
        ("expired by 6 s", "exp", json!(seconds_from_now(-6))),
        ("exp as text", "exp", json!("9999999999")),
        ("exp null", "exp", json!(null)),
        ("exp negative", "exp", json!(-1)),
        ("not yet valid", "nbf", json!(seconds_from_now(60))),
        ("wrong issuer", "iss", json!("evil")),
        ("wrong audience", "aud", json!("evil")),
        ("many audiences, none ours", "aud", json!(["evil", "worse"])),
        ("unknown role", "role", json!("root")),
        ("subject of another kind", "sub", json!("ada")),
    ] {
        add(name, sign(&ours, &with(good, claim, value), JWT_SECRET));
    }
    for claim in ["exp", "iss", "aud", "sub", "sid", "role"] {
        let mut claims = good.clone();
        claims.as_object_mut().expect("an object").remove(claim);
        add(&format!("no {claim}"), sign(&ours, &claims, JWT_SECRET));
    }

    // RFC 7515 4.1.11: whoever does not understand what a header calls critical must refuse it.
    for critical in
        [json!(["exp"]), json!(["b64"]), json!(["https://example.com/ext"]), json!([]), json!("exp"), json!(null)]
    {
        let head = json!({"typ": "at+jwt", "alg": "HS256", "crit": critical, "b64": true, "exp": 1});
        add(&format!("crit {critical}"), sign_under(&head, good));
    }
    add("b64 false", sign_under(&json!({"typ": "at+jwt", "alg": "HS256", "b64": false}), good));
    add("zip", sign_under(&json!({"typ": "at+jwt", "alg": "HS256", "zip": "DEF"}), good));
    add("kid, well signed", sign_under(&json!({"typ": "at+jwt", "alg": "HS256", "kid": "1"}), good));

    // Headers that ask for another treatment.
    let header = |change: fn(&mut Header)| {
        let mut header = header_of_ours();
        change(&mut header);
        header
    };
    add("plain JWT", sign(&header(|h| h.typ = Some("JWT".into())), good, JWT_SECRET));
    add("no typ", sign(&header(|h| h.typ = None), good, JWT_SECRET));
    add("HS384", sign(&header(|h| h.alg = Algorithm::HS384), good, JWT_SECRET));
    add("HS512", sign(&header(|h| h.alg = Algorithm::HS512), good, JWT_SECRET));
    let evil = "another secret, just as long as ours";
    add("another secret", sign(&ours, good, evil));
    add("empty secret", sign(&ours, good, ""));
    add("kid to a file", sign(&header(|h| h.kid = Some("../../dev/null".into())), good, ""));
    add("kid with SQL", sign(&header(|h| h.kid = Some("' union select 'evil' --".into())), good, evil));
    add("jku of the forger", sign(&header(|h| h.jku = Some("https://evil.example/keys".into())), good, evil));
    add("x5u of the forger", sign(&header(|h| h.x5u = Some("https://evil.example/cert".into())), good, evil));
    let (their_head, rest) = ada.token.split_once('.').expect("a header");
    let (payload, signature) = rest.split_once('.').expect("a signature");
    let own_key = json!({"alg": "HS256", "typ": "at+jwt", "jwk": {"kty": "oct", "k": URL_SAFE_NO_PAD.encode(evil)}});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    add("jwk of the forger", format!("{}.{payload}.{signature}", part(&own_key)));
    for algorithm in ["RS256", "ES256", "PS256", "EdDSA", "hs256"] {
        let head = json!({"alg": algorithm, "typ": "at+jwt"});
        add(&format!("our secret as a key of {algorithm}"), format!("{}.{payload}.{signature}", part(&head)));
    }
    for spelling in ["none", "None", "NONE", "nOnE", ""] {
        add("alg none", unsigned(json!({"alg": spelling, "typ": "at+jwt"}), good));
        let head = json!({"alg": spelling, "typ": "at+jwt"});
        add("alg none, signed", format!("{}.{payload}.{signature}", part(&head)));
    }

    // Pieces and other tokens.
    add("no signature", format!("{their_head}.{payload}."));
    add("two parts", format!("{their_head}.{payload}"));
    add("four parts", format!("{}.{signature}", ada.token));
    add("cut signature", format!("{their_head}.{payload}.{}", &signature[..signature.len() - 4]));
    add("changed role", format!("{their_head}.{}.{signature}", part(&with(good, "role", json!("admin")))));
    for position in (0..ada.token.len() - 1).step_by(17) {
        let mut bytes = ada.token.clone().into_bytes();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(bytes).expect("ASCII");
        if flipped != ada.token {
            add("another letter", flipped);
        }
    }
    add("refresh token", ada.refresh_token.clone());
    add("nonsense", "a.b.c".to_owned());
    add("empty parts", "..".to_owned());
    add("very long", "x".repeat(8_000));
    forgeries
}
