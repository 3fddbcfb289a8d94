//! Extractors that answer bad input in the user's words: what was wrong, where, and what to send instead.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_path_to_error::Segment;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use validator::Validate;

use crate::api::http::error::{Error, Result};
use crate::api::http::problem::FieldError;
use crate::api::http::protocol::tokens;
use crate::email;
use coffer_core::auth::passwords;
use coffer_core::books::tags;
use coffer_core::problem_code::ProblemCode;
use coffer_core::text::{MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH, MAX_REFERENCE_LENGTH};

/// No request of this API needs more, but for batches.
pub const MAX_BODY_BYTES: usize = 24 * 1024;
/// For requests that carry passwords or tokens, which are read before anybody has shown who they are. A name and a
/// password fit, or two passwords, however their characters are escaped.
pub const MAX_AUTH_BODY_BYTES: usize = 4 * 1024;
const _: () = {
    const FRAME_BYTES: usize = 256;
    let sign_up = (MAX_NAME_LENGTH + passwords::MAX_LENGTH) * MAX_CHARACTER_BYTES + email::MAX_LENGTH;
    let change = 2 * passwords::MAX_LENGTH * MAX_CHARACTER_BYTES;
    assert!(sign_up + FRAME_BYTES <= MAX_AUTH_BODY_BYTES && change + FRAME_BYTES <= MAX_AUTH_BODY_BYTES);
    let pair = MAX_DESCRIPTION_LENGTH * MAX_CHARACTER_BYTES + tags::MAX_KEY_LENGTH + FRAME_BYTES / 16;
    let texts = (MAX_DESCRIPTION_LENGTH + MAX_REFERENCE_LENGTH) * MAX_CHARACTER_BYTES;
    assert!(texts + tags::MAX_PAIRS * pair + FRAME_BYTES <= MAX_BODY_BYTES);
};
/// How much of a body that is too large is read before the connection is closed.
const MAX_DISCARDED_BYTES: usize = 8 * 1024 * 1024;
/// The most that a character of a JSON string takes on the wire: two escapes of six, `\ud83d\ude00`.
pub const MAX_CHARACTER_BYTES: usize = 12;
/// Fields that one answer names: more than any form has, and few, because each costs another reading of the body.
const MAX_ERRORS: usize = 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the body of a refused request may take to arrive.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest Idempotency-Key, in characters.
const MAX_KEY_LENGTH: usize = 255;

/// A JSON body of at most `MAX` bytes: read, parsed and validated. Also answers with JSON.
pub struct Json<T, const MAX: usize = MAX_BODY_BYTES>(pub T);

/// The query string, parsed and validated.
pub struct Query<T>(pub T);

/// The one parameter of the path.
pub struct PathParam<T>(pub T);

/// The parameters of a path that has two, in their order.
pub struct PathParams<A, B>(pub A, pub B);

/// The `Idempotency-Key` header, if there is one.
#[derive(Default)]
pub struct IdempotencyKey(Option<String>);

impl<S, T, const MAX: usize> FromRequest<S> for Json<T, MAX>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate,
{
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let value: T = parse_object(&json_body(request, MAX).await?)?;
        value.validate().map_err(|errors| invalid(&errors, "/"))?;
        Ok(Self(value))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match json_line(&self.0) {
            Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => Error::Internal(error.to_string()).into_response(),
        }
    }
}

/// JSON with a line break behind it: whoever sees an answer in a terminal has the prompt on a line of its own.
pub fn json_line(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut body = serde_json::to_vec(value)?;
    body.push(b'\n');
    Ok(body)
}

/// The body of a request that says it is JSON.
async fn json_body(request: Request, max_bytes: usize) -> Result<Vec<u8>> {
    let (parts, body) = request.into_parts();
    let body = read_body(body, max_bytes).await?;
    require_plain(&parts.headers)?;
    require_json(&parts.headers)?;
    Ok(body)
}

/// Compressed bodies are not taken: a small one can become a large one.
fn require_plain(headers: &HeaderMap) -> Result<()> {
    if tokens(headers, CONTENT_ENCODING).all(|coding| coding.eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    let detail = "Send the body as it is, without compressing it, and leave the header Content-Encoding out.";
    Err(Error::client(StatusCode::UNSUPPORTED_MEDIA_TYPE, ProblemCode::ContentEncodingUnsupported, detail))
}

fn require_json(headers: &HeaderMap) -> Result<()> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let only = types.next().filter(|_| types.next().is_none());
    let content_type = only.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = "Send the body as JSON, with one header \"Content-Type: application/json\".";
    Err(Error::client(StatusCode::UNSUPPORTED_MEDIA_TYPE, ProblemCode::UnsupportedMediaType, detail))
}

/// The whole body. One that is too large is read to its end all the same, up to a limit, and thrown away: a client that
/// is still sending when the connection closes would never see the answer.
async fn read_body(mut body: Body, max_bytes: usize) -> Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut length = 0;
    let reading = async {
        while let Some(frame) = body.frame().await {
            let chunk = frame?.into_data().unwrap_or_default();
            length += chunk.len();
            if length > MAX_DISCARDED_BYTES {
                break;
            }
            if length <= max_bytes {
                kept.extend_from_slice(&chunk);
            }
        }
        Ok::<_, axum::Error>(())
    };
    let read = tokio::time::timeout(BODY_TIMEOUT, reading).await;
    match read {
        _ if length > max_bytes => {
            let detail = format!("The body may have at most {max_bytes} bytes.");
            Err(Error::client(StatusCode::PAYLOAD_TOO_LARGE, ProblemCode::BodyTooLarge, detail))
        }
        Ok(Ok(())) => Ok(kept),
        Ok(Err(_)) => {
            Err(Error::client(StatusCode::BAD_REQUEST, ProblemCode::BodyIncomplete, "The body did not arrive whole."))
        }
        Err(_) => {
            let detail = "The body took too long to arrive.";
            Err(Error::client(StatusCode::REQUEST_TIMEOUT, ProblemCode::RequestTimeout, detail))
        }
    }
}

/// Reads the body of a request that is refused in any case, as far as it arrives soon: a client that is still sending
/// when the connection closes may never see the answer.
pub async fn discard(body: Body) {
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, read_body(body, 0)).await;
}

/// A struct within a body. Only an object is one: serde's own structs also take an array, by position.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Parses a JSON object. Fast when all is well; only a body that is refused is read again, to find the field.
fn parse_object<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    // serde would also fill a struct from an array, by position.
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match (first, serde_json::from_slice(body)) {
        (Some(b'{'), Ok(value)) => Ok(value),
        _ => Err(explain(body, first_error::<T>)),
    }
}

/// Gives the first error that serde finds when it reads an object as the type of a body. None if it finds none.
type FirstError = fn(&[u8]) -> Option<FieldError>;

/// A [`FirstError`].
fn first_error<T: DeserializeOwned>(object: &[u8]) -> Option<FieldError> {
    let mut deserializer = serde_json::Deserializer::from_slice(object);
    serde_path_to_error::deserialize::<_, T>(&mut deserializer).err().map(|error| body_error(&error))
}

/// Knows the body's type by [`FirstError`] alone: so it is compiled once, not for every type of body.
fn explain(body: &[u8], first_error: FirstError) -> Error {
    // Whether it is JSON at all comes first: a field cannot be wrong in a text that is none.
    let value = match serde_json::from_slice::<serde_json::Value>(body) {
        Err(syntax) => {
            let (line, column) = (syntax.line(), syntax.column());
            let detail = if body.iter().all(u8::is_ascii_whitespace) {
                "The body is empty. Send one JSON object.".to_owned()
            } else {
                format!("The body is not valid JSON from line {line}, column {column} on. Send one JSON object.")
            };
            return Error::client(StatusCode::BAD_REQUEST, ProblemCode::MalformedJson, detail);
        }
        Ok(value) if !value.is_object() => {
            return Error::invalid(
                "",
                ProblemCode::BodyMustBeAnObject,
                "send one JSON object, such as {\"name\": \"value\"}",
            );
        }
        Ok(value) => value,
    };
    let Some(first) = first_error(body) else {
        let detail = "The body has something after its JSON object. Send one JSON object.";
        return Error::client(StatusCode::BAD_REQUEST, ProblemCode::MalformedJson, detail);
    };
    Error::Invalid(all_errors(value, first, first_error))
}

fn body_error(error: &serde_path_to_error::Error<serde_json::Error>) -> FieldError {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        other => format!("/{other}"),
    };
    let path = error.path().iter().map(step).collect::<String>();
    let message = error.inner().to_string();
    let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
    field_error(path, "/", message)
}

/// Every field that is refused, by name: whoever fills in a form is told all at once. serde stops at the first, so that
/// is taken out and the rest read again, until nothing is wrong but what was taken out.
fn all_errors(mut value: serde_json::Value, first: FieldError, first_error: FirstError) -> Vec<FieldError> {
    let mut errors = vec![first];
    while errors.len() < MAX_ERRORS && errors.last().is_some_and(|last| take_out(&mut value, &last.pointer)) {
        let Some(next) = serde_json::to_vec(&value).ok().and_then(|rest| first_error(&rest)) else { break };
        if errors.iter().any(|known| known.pointer == next.pointer) {
            break;
        }
        errors.push(next);
    }
    errors.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    errors
}

/// Takes a member out of the object that has it.
fn take_out(value: &mut serde_json::Value, pointer: &str) -> bool {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return false };
    let object = value.pointer_mut(parent).and_then(serde_json::Value::as_object_mut);
    object.is_some_and(|object| object.remove(name).is_some())
}

/// Turns serde's words into ours. `separator` stands between the path and the name of a field: `/` in bodies, `?` in
/// queries.
fn field_error(path: String, separator: &'static str, message: &str) -> FieldError {
    let named = |rest: &str| {
        let name = rest.split('`').next().unwrap_or_default();
        // A path that stops at the object lacks the name; one that ends in the field has it.
        if path.ends_with(&format!("{separator}{name}")) { path.clone() } else { format!("{path}{separator}{name}") }
    };
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let expected = rest.split_once("expected ").map_or("no fields", |(_, expected)| expected);
        FieldError::new(named(rest), ProblemCode::UnknownField, format!("leave it out; known here: {expected}"))
    } else if let Some(rest) = message.strip_prefix("missing field `") {
        FieldError::new(named(rest), ProblemCode::MissingField, "this field is required")
    } else if let Some(rest) = message.strip_prefix("duplicate field `") {
        FieldError::new(named(rest), ProblemCode::DuplicateField, "send it once")
    } else if let Some(rest) = message.strip_prefix("invalid type: ") {
        // The answer does not repeat the value that was sent: it may be a password.
        let sent = rest.split([' ', ',']).next().unwrap_or_default();
        let expected = rest.rsplit_once("expected ").map_or("another type", |(_, expected)| expected);
        FieldError::new(path, ProblemCode::WrongType, format!("this is of type {sent}; send {expected}"))
    } else if let Some((_, known)) = message.strip_prefix("unknown variant `").and_then(|m| m.split_once("expected ")) {
        FieldError::new(path, ProblemCode::UnknownValue, format!("send {known}"))
    } else {
        FieldError::coded(path, message)
    }
}

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parse_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// Parses a query string, and validates what it says.
pub fn parse_query<T: DeserializeOwned + Validate>(query: &str) -> Result<T> {
    let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    let value: T = serde_path_to_error::deserialize(deserializer).map_err(|error| query_error(&error))?;
    value.validate().map_err(|errors| invalid(&errors, "?"))?;
    Ok(value)
}

fn query_error(error: &serde_path_to_error::Error<serde_urlencoded::de::Error>) -> Error {
    let path = match error.path().to_string() {
        root if root == "." => String::new(),
        name => format!("?{name}"),
    };
    Error::Invalid(vec![field_error(path, "?", &error.inner().to_string())])
}

impl<S, T> FromRequestParts<S> for PathParam<T>
where
    S: Send + Sync,
    T: FromStr<Err: Display> + Send,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let parameters = raw_path_params(parts, state).await?;
        parse_next(&mut parameters.iter()).map(Self)
    }
}

impl<S, A, B> FromRequestParts<S> for PathParams<A, B>
where
    S: Send + Sync,
    A: FromStr<Err: Display> + Send,
    B: FromStr<Err: Display> + Send,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let parameters = raw_path_params(parts, state).await?;
        let mut parameters = parameters.iter();
        Ok(Self(parse_next(&mut parameters)?, parse_next(&mut parameters)?))
    }
}

async fn raw_path_params<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams> {
    let not_found = |_| Error::not_found(ProblemCode::PathNotFound, "The path is not valid UTF-8.");
    RawPathParams::from_request_parts(parts, state).await.map_err(not_found)
}

fn parse_next<'p, T: FromStr<Err: Display>>(parameters: &mut impl Iterator<Item = (&'p str, &'p str)>) -> Result<T> {
    let (name, text) = parameters.next().unwrap_or_default();
    text.parse()
        .map_err(|error: T::Err| Error::Invalid(vec![FieldError::coded(format!("{{{name}}}"), &error.to_string())]))
}

/// Turns the findings of the `validator` crate into a problem: one error per field, in the order of the fields' names.
fn invalid(errors: &validator::ValidationErrors, separator: &str) -> Error {
    let mut fields: Vec<FieldError> = errors
        .field_errors()
        .into_iter()
        .filter_map(|(field, errors)| {
            let first = errors.first()?;
            let detail = first.message.clone().unwrap_or(Cow::Borrowed("send another value")).into_owned();
            let code = ProblemCode::from_name(&first.code).unwrap_or(ProblemCode::InvalidValue);
            Some(FieldError::new(format!("{separator}{field}"), code, detail))
        })
        .collect();
    fields.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    Error::Invalid(fields)
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(Self(None)),
            (Some(value), None) => {
                let key = value.to_str().ok().and_then(parse_key).ok_or_else(invalid_key)?;
                Ok(Self(Some(key.to_owned())))
            }
            _ => Err(invalid_key()),
        }
    }
}

fn invalid_key() -> Error {
    let detail = format!("send one key of 1 to {MAX_KEY_LENGTH} visible ASCII characters, such as a UUID");
    Error::invalid("Idempotency-Key", ProblemCode::IdempotencyKeyMalformed, detail)
}

/// The key itself: bare, or a quoted string as draft-ietf-httpapi-idempotency-key-header has it.
fn parse_key(value: &str) -> Option<&str> {
    let key = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => value,
    };
    let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    (is_visible && (1..=MAX_KEY_LENGTH).contains(&key.len())).then_some(key)
}

impl IdempotencyKey {
    /// The key as the ledger knows it: the first 16 bytes of SHA-256(caller, key). Two callers never share one.
    pub fn of_caller(&self, user_id: Uuid) -> Option<[u8; 16]> {
        self.digest(user_id, &[])
    }

    /// The same for one of several movements, by its index in a batch, or by the id of the movement that it reverses. No key
    /// has a line break, so no key of a single request is equal to it.
    pub fn of_item(&self, user_id: Uuid, item: impl std::fmt::Display) -> Option<[u8; 16]> {
        self.digest(user_id, format!("\n{item}").as_bytes())
    }

    fn digest(&self, user_id: Uuid, suffix: &[u8]) -> Option<[u8; 16]> {
        let key = self.0.as_ref()?;
        let digest = Sha256::new().chain_update(user_id).chain_update(key).chain_update(suffix).finalize();
        <[u8; 32]>::from(digest).first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_visible_ascii_bare_or_quoted() {
        assert_eq!(parse_key("abc-123"), Some("abc-123"));
        assert_eq!(parse_key("\"abc-123\""), Some("abc-123"));
        assert_eq!(parse_key(&"k".repeat(255)), Some(&*"k".repeat(255)));
        for bad in ["", "\"\"", "\"", "\"abc", "abc\"", "a b", "a\\b", "a\u{7f}", &"k".repeat(256)] {
            assert_eq!(parse_key(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_key_parser_panic(text in "\\PC*|[\"\\\\ a]{0,8}") {
            let _ = parse_key(&text);
        }
    }
}
