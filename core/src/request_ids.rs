//! The ids of a request. While it is being answered, every line of the log that is written on its behalf carries them.

use std::future::Future;

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::traces::RequestTrace;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header of an answer that repeats the client's own [`REQUEST_ID`].
pub const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");
/// A client's own request id is repeated if it is no longer than this and plain.
const MAX_REQUEST_ID_LENGTH: usize = 128;
/// What machines ask for all day long, and nobody looks for among traces.
const UNTRACED: [&str; 3] = ["/livez", "/readyz", "/metrics"];

tokio::task_local! {
    /// Not a tracing span: that is made, and its fields are formatted, whether or not any line is written. It takes a
    /// microsecond, this a tenth of one.
    static CURRENT: RequestIds;
}

/// The ids of a request: from the bank, and from the client if it sent one. The bank's own is always made here, so that
/// no client can choose one, or use that of another request. Clones share the text.
#[derive(Clone, Debug)]
pub struct RequestIds {
    own: HeaderValue,
    client: Option<HeaderValue>,
    trace: RequestTrace,
}

impl RequestIds {
    pub fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        let mut buffer = Uuid::encode_buffer();
        let id: &str = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
        let own = HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static("unknown"));
        let is_plain = |id: &&HeaderValue| {
            (1..=MAX_REQUEST_ID_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        let client = headers.get(REQUEST_ID).filter(is_plain).cloned();
        let is_traced = !UNTRACED.contains(&request.uri().path());
        let trace = if is_traced { RequestTrace::begin(headers) } else { RequestTrace::default() };
        Self { own, client, trace }
    }

    pub fn own(&self) -> &str {
        self.own.to_str().unwrap_or_default()
    }

    pub fn client(&self) -> Option<&str> {
        self.client.as_ref().and_then(|id| id.to_str().ok())
    }

    pub fn trace(&self) -> &RequestTrace {
        &self.trace
    }

    /// In the headers of the answer.
    pub fn tell(self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.own);
        if let Some(client) = self.client {
            headers.insert(CLIENT_REQUEST_ID, client);
        }
    }

    /// Runs a part of the request, whose lines in the log then carry the ids, but for those of other tasks: see [`spawn`].
    pub async fn scope<T>(self, part: impl Future<Output = T>) -> T {
        CURRENT.scope(self, part).await
    }

    /// The same for what does not wait.
    pub fn sync_scope<T>(&self, part: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), part)
    }

    /// Of the request that the current task answers, if it answers one.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }
}

/// The trace of the request that the current task answers, if it answers one.
pub fn current_trace() -> RequestTrace {
    CURRENT.try_with(|ids| ids.trace.clone()).unwrap_or_default()
}

/// Spawns a task that goes on with what the current one does, under the ids of the same request.
pub fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    match RequestIds::current() {
        Some(ids) => tokio::spawn(ids.scope(task)),
        None => tokio::spawn(task),
    }
}
