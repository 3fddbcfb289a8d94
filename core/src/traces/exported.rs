//! Spans, and their way to a collector by OTLP over HTTP.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    Link, Span, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

use super::Outcome;
use crate::tls;

/// Under which the SDK is switched off, whatever else is set.
const DISABLED: &str = "OTEL_SDK_DISABLED";
/// Where spans go: they are traced if one of these is set.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// The name of the service unless `OTEL_SERVICE_NAME` has another.
const SERVICE: &str = "coffer";
/// How long a collector may take to answer, unless the variables of the exporter say less.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What is read of a collector's answer, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// How long the last spans may take when the bank closes.
const LAST_SPANS_WITHIN: Duration = Duration::from_secs(3);

/// Set once, when the bank opens with an endpoint.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Sends spans while the bank is open. Without an endpoint there are none.
pub struct Exporter(Option<SdkTracerProvider>);

impl Exporter {
    /// Says what is wrong with the variables, if they name an endpoint that cannot be one.
    pub fn start() -> Result<Self, String> {
        let is_disabled = std::env::var(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
        if is_disabled || ENDPOINTS.iter().all(|name| std::env::var_os(name).is_none()) {
            return Ok(Self(None));
        }
        let exporter = SpanExporter::builder().with_http().with_http_client(Collector::new()?).build();
        let exporter = exporter.map_err(|error| format!("{}: {error}", ENDPOINTS[0]))?;
        let resource = Resource::builder();
        let is_named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
        let resource = if is_named { resource } else { resource.with_service_name(SERVICE) };
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = resource.with_attribute(version).build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let _ = TRACER.set(provider.tracer(SERVICE));
        Ok(Self(Some(provider)))
    }

    /// Sends what is left.
    pub async fn end(self) {
        let Some(provider) = self.0 else { return };
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_SPANS_WITHIN)).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last traces did not reach the collector");
        }
    }
}

/// The span of a request. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct RequestTrace(Option<Context>);

impl RequestTrace {
    /// The span begins now.
    pub fn begin(headers: &HeaderMap) -> Self {
        Self(TRACER.get().map(|tracer| {
            let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
            let request = SpanBuilder::from_name("request").with_kind(SpanKind::Server);
            let span = tracer.build_with_context(request, &parent);
            Context::new().with_span(span)
        }))
    }

    /// By which lines of the log and spans find each other.
    pub fn trace_id(&self) -> Option<String> {
        self.0.as_ref().map(|context| context.span().span_context().trace_id().to_string())
    }

    /// Names and attributes are those of OpenTelemetry's conventions for HTTP spans, 1.23.
    pub fn end(&self, outcome: Outcome<'_>) {
        let Some(context) = &self.0 else { return };
        let span = context.span();
        span.update_name(format!("{} {}", outcome.method, outcome.route));
        span.set_attributes([
            KeyValue::new("http.request.method", outcome.method),
            KeyValue::new("http.route", outcome.route.to_owned()),
            KeyValue::new("http.response.status_code", i64::from(outcome.status.as_u16())),
            KeyValue::new("coffer.request_id", outcome.request_id.to_owned()),
        ]);
        if let Some(user_id) = outcome.user_id {
            span.set_attribute(KeyValue::new("user.id", user_id.to_string()));
        }
        if outcome.status.is_server_error() {
            span.set_status(Status::error(outcome.status.as_str().to_owned()));
        }
        span.end();
    }

    fn span_context(&self) -> Option<SpanContext> {
        let context = self.0.as_ref()?.span().span_context().clone();
        context.is_sampled().then_some(context)
    }
}

/// The trace of a batch, if one of its requests is traced.
pub struct BatchTrace(Option<Context>);

impl BatchTrace {
    pub fn begin<'a>(requests: impl Iterator<Item = &'a RequestTrace>) -> Self {
        let Some(tracer) = TRACER.get() else { return Self(None) };
        let links: Vec<Link> = requests.filter_map(RequestTrace::span_context).map(Link::with_context).collect();
        if links.is_empty() {
            return Self(None);
        }
        let batch = SpanBuilder::from_name("batch").with_links(links);
        Self(Some(Context::new().with_span(tracer.build_with_context(batch, &Context::new()))))
    }

    /// A stage that has ended now, after so long.
    pub fn stage(&self, name: &'static str, took: Duration) {
        if let (Some(batch), Some(tracer)) = (&self.0, TRACER.get()) {
            let stage = SpanBuilder::from_name(name).with_start_time(SystemTime::now() - took);
            tracer.build_with_context(stage, batch).end();
        }
    }

    /// It is booked now. Each request gets a span for as long as it has waited for that.
    pub fn end<'a>(self, requests: impl Iterator<Item = (&'a RequestTrace, Duration)>) {
        let (Some(batch), Some(tracer)) = (self.0, TRACER.get()) else { return };
        batch.span().end();
        for (request, waited) in requests {
            let Some(context) = &request.0 else { continue };
            let booking = SpanBuilder::from_name("book")
                .with_start_time(SystemTime::now() - waited)
                .with_links(vec![Link::with_context(batch.span().span_context().clone())]);
            tracer.build_with_context(booking, context).end();
        }
    }
}

/// The way to the collector, by the TLS and the authorities that webhooks use.
#[derive(Debug)]
struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// The SDK sends from a thread of its own, where no connection can be driven.
    runtime: Handle,
}

impl Collector {
    fn new() -> Result<Self, String> {
        let tls = tls::client_config(None).map_err(|error| error.to_string())?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let client = Client::builder(TokioExecutor::new()).build(HttpsConnector::from((tcp, tls)));
        Ok(Self { client, runtime: Handle::current() })
    }
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.client.request(request.map(Full::new));
        let exchange = async move {
            let (parts, body) = answer.await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
            Ok(Response::from_parts(parts, body))
        };
        self.runtime.spawn(async { tokio::time::timeout(ANSWER_WITHIN, exchange).await }).await??
    }
}
