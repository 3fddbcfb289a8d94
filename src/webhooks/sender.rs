//! Sends one message to a webhook, and says what came of it.

use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};
use std::vec;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio_rustls::rustls::ClientConfig;
use tower::Service;
use uuid::Uuid;

use super::destinations::{Destinations, Protection, RefusedAddress, WebhookUrl};
use super::schedule;
use super::secret::{WebhookSecret, signatures};
use coffer_core::text;
use coffer_core::timestamp::Timestamp;

/// A receiver has so long to answer, from the look at its name on (Standard Webhooks, "Timeouts").
pub const TIMEOUT: Duration = Duration::from_secs(15);
/// What is read of an answer, in bytes and in time, so that its connection can be used again. Nothing in it counts.
const READ_OF_ANSWER: usize = 16 * 1024;
const READ_FOR: Duration = Duration::from_secs(1);
/// A connection is kept so long for the next message.
const IDLE_FOR: Duration = Duration::from_secs(30);
/// The longest text about what went wrong, in characters.
const MAX_ERROR_LENGTH: usize = 200;

/// Connections to receivers. Clones share them.
#[derive(Clone)]
pub struct Sender {
    destinations: Destinations,
    over_tls: HttpClient,
    plain: HttpClient,
    /// Nothing is sent, whatever is asked for.
    is_drill: bool,
}

type HttpClient = Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>;

/// What is sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// The same however often it is sent, so that receivers know it again.
    pub id: Uuid,
    /// JSON.
    pub body: String,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// None when there was no answer.
    pub status: Option<StatusCode>,
    /// What went wrong, for people; None when it is delivered.
    pub error: Option<String>,
    /// How long the receiver asks to wait.
    pub retry_after: Option<Duration>,
    pub took: Duration,
}

impl Outcome {
    /// Any 2xx, and nothing else.
    pub fn is_delivered(&self) -> bool {
        self.status.is_some_and(|status| status.is_success())
    }

    /// The receiver wants nothing any more.
    pub fn is_gone(&self) -> bool {
        self.status == Some(StatusCode::GONE)
    }
}

impl Sender {
    pub fn new(destinations: Destinations, tls: ClientConfig, is_drill: bool) -> Self {
        let tls = Arc::new(tls);
        let client = |protection| client(Resolver { destinations: destinations.clone(), protection }, tls.clone());
        Self { over_tls: client(Protection::Tls), plain: client(Protection::Plain), destinations, is_drill }
    }

    /// Whether nothing is sent, because the bank is only tried out.
    pub fn is_drill(&self) -> bool {
        self.is_drill
    }

    /// Why this URL cannot be reached, as far as it says that itself: a name may lead elsewhere by the time of sending.
    pub fn check(&self, url: &WebhookUrl) -> Result<(), RefusedAddress> {
        url.address().map_or(Ok(()), |address| self.destinations.check(address, url.protection()))
    }

    /// Never fails: what went wrong is part of the outcome. Redirects are not followed, they would lead past the checks.
    pub async fn send(&self, url: &WebhookUrl, secrets: &[WebhookSecret], message: &Message) -> Outcome {
        let began = Instant::now();
        let sent = tokio::time::timeout(TIMEOUT, self.request(url, secrets, message)).await;
        let took = began.elapsed();
        let failed = |error: String| Outcome { status: None, error: Some(error), retry_after: None, took };
        match sent {
            Ok(Ok(answer)) => outcome_of(answer, took).await,
            Ok(Err(error)) => failed(text::quoted(&error, MAX_ERROR_LENGTH)),
            Err(_) => failed(format!("no answer within {} seconds", TIMEOUT.as_secs())),
        }
    }

    async fn request(
        &self,
        url: &WebhookUrl,
        secrets: &[WebhookSecret],
        message: &Message,
    ) -> Result<Response<Incoming>, String> {
        if self.is_drill {
            return Err("nothing is sent in a drill (COFFER_DRILL)".to_owned());
        }
        // A literal address is not looked up, so the resolver does not see it.
        self.check(url).map_err(|refused| refused.to_string())?;
        let now = Timestamp::now();
        let request = Request::builder()
            .method(Method::POST)
            .uri(url.as_str())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("Coffer/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", message.id.to_string())
            .header("webhook-timestamp", now.as_unix_seconds())
            .header("webhook-signature", signatures(secrets, message.id, now, &message.body))
            .body(Full::from(message.body.clone()))
            .map_err(|error| error.to_string())?;
        let client = match url.protection() {
            Protection::Tls => &self.over_tls,
            Protection::Plain => &self.plain,
        };
        client.request(request).await.map_err(|error| innermost(&error))
    }
}

fn client(resolver: Resolver, tls: Arc<ClientConfig>) -> HttpClient {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_FOR)
        .pool_timer(TokioTimer::new())
        .build(HttpsConnector::from((tcp, tls)))
}

async fn outcome_of(answer: Response<Incoming>, took: Duration) -> Outcome {
    let status = answer.status();
    let header = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = header.and_then(|value| schedule::retry_after(value, SystemTime::now()));
    let rest = Limited::new(answer.into_body(), READ_OF_ANSWER).collect();
    // If it does not end in time, the connection does.
    let _ = tokio::time::timeout(READ_FOR, rest).await;
    let error = (!status.is_success()).then(|| format!("answered {status}"));
    Outcome { status: Some(status), error, retry_after, took }
}

/// What a chain of errors says in the end, which is where the reason is.
fn innermost(error: &hyper_util::client::legacy::Error) -> String {
    let mut reason: &dyn Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

/// Looks names up, and leaves only the addresses that may be connected to.
#[derive(Clone)]
struct Resolver {
    destinations: Destinations,
    protection: Protection,
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
enum ResolveError {
    #[error("the name cannot be looked up: {0}")]
    Lookup(String),
    #[error("the name leads to no address")]
    NoAddress,
    #[error("{0}")]
    Refused(RefusedAddress),
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ResolveError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { destinations, protection } = self.clone();
        Box::pin(async move {
            // The port comes from the URL.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found = found.map_err(|error| ResolveError::Lookup(error.to_string()))?;
            let admitted = destinations.admitted(found, protection);
            let refused = |refused: Option<_>| refused.map_or(ResolveError::NoAddress, ResolveError::Refused);
            admitted.map(Vec::into_iter).map_err(refused)
        })
    }
}
