//! One client's connection: HTTP/1.1 on it, and how it ends when the bank closes.
//!
//! A request that was sent before the bank was told to close is answered. So a connection does not end while anything
//! waits to be read: not in the system's buffers, nor in those of TLS and HTTP. The first request that comes later is
//! answered with `Connection: close`, so that a client that keeps on asking goes elsewhere and misses nothing.

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONNECTION, TRANSFER_ENCODING};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use crate::log_lines::REFUSALS;
use coffer_core::presence::{ClientStream, Presence};

/// The other end of the connection that a request came by, in the request's extensions.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: IpAddr,
    pub presence: Presence,
}

/// In the extensions of a request that came with both Content-Length and Transfer-Encoding. hyper drops the former, as
/// RFC 9112 section 6.3 allows, and nothing in the request would tell.
#[derive(Clone, Copy, Debug)]
pub struct TwoLengths;

/// How long a TLS handshake may take: less than the usual deadline for closing.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take to send a request's headers, and to send the next request on a connection that stays
/// open.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may not read any of its answer: a reader that takes nothing holds memory.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Request line and headers together. A token and a few headers need less than one of them.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// When the bank closes, how long it listens to a connection that is silent, or stuck within its handshake or headers:
/// long enough for a request that is on its way across a continent.
const LAST_CALL: Duration = Duration::from_millis(250);

/// Serves one client until either side ends. `closing` turns true when the bank closes; holding it keeps the bank open.
pub async fn serve(
    stream: TcpStream,
    peer: IpAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    closing: watch::Receiver<bool>,
) {
    // Answers are written whole; waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let stream = ClientStream::new(stream);
    match tls {
        None => serve_http(stream, peer, router, closing).await,
        // In a box of its own: a connection without TLS would be three times as large.
        Some(tls) => Box::pin(serve_tls(stream, peer, tls, router, closing)).await,
    }
}

async fn serve_tls(
    stream: ClientStream,
    peer: IpAddr,
    tls: TlsAcceptor,
    router: Router,
    mut closing: watch::Receiver<bool>,
) {
    let last_call = async {
        let _ = closing.wait_for(|closing| *closing).await;
        tokio::time::sleep(LAST_CALL).await;
    };
    let handshake = tokio::select! {
        biased;
        stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)) => stream,
        // Nothing can have been asked yet.
        () = last_call => return,
    };
    match handshake {
        Ok(Ok(stream)) => serve_http(stream, peer, router, closing).await,
        Ok(Err(error)) => tracing::debug!(target: REFUSALS, address = %peer, %error, "a TLS handshake has failed"),
        // A client that says nothing is no event.
        Err(_) => {}
    }
}

async fn serve_http<S>(stream: S, peer: IpAddr, router: Router, mut closing: watch::Receiver<bool>)
where
    S: Socket,
{
    let traffic = Arc::new(Traffic::default());
    let mut connection = pin!(http(stream, peer, router, traffic.clone()));
    tokio::select! {
        biased;
        ended = connection.as_mut() => {
            note_nonsense(ended, peer);
            return;
        }
        _ = closing.wait_for(|closing| *closing) => {}
    }
    traffic.is_closing.store(true, Ordering::Relaxed);
    finish(connection, &traffic).await;
}

/// hyper answers by itself what it cannot read as a request, and no middleware sees that.
fn note_nonsense(ended: Result<(), hyper::Error>, peer: IpAddr) {
    if let Err(error) = ended
        && error.is_parse()
    {
        tracing::debug!(target: REFUSALS, address = %peer, %error, "what is no request of HTTP/1.1 is refused");
    }
}

/// HTTP/1.1 on a stream. The released `axum::serve` sets no header timeout, which is why this is spelled out.
fn http<S>(
    stream: S,
    peer: IpAddr,
    router: Router,
    traffic: Arc<Traffic>,
) -> impl GracefulConnection<Error = hyper::Error>
where
    S: Socket,
{
    let heads = Heads::default();
    let peer = Peer { address: peer, presence: stream.client().presence() };
    let mut stream = TimeoutStream::new(Listening { stream, traffic: traffic.clone(), heads });
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        if traffic.has_two_lengths.load(Ordering::Relaxed) && request.headers().contains_key(TRANSFER_ENCODING) {
            request.extensions_mut().insert(TwoLengths);
        }
        let is_last = traffic.is_late.load(Ordering::Relaxed);
        traffic.is_handling.store(true, Ordering::Relaxed);
        let (router, traffic) = (router.clone(), traffic.clone());
        async move {
            let mut answer = router.oneshot(request).await;
            traffic.is_handling.store(false, Ordering::Relaxed);
            if let (true, Ok(answer)) = (is_last, &mut answer) {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            answer
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        // A client may end its side once it has sent its request (RFC 9112 section 9.6). Without this, hyper takes that
        // for a hang-up and drops the request, whose movement may be booked all the same.
        .half_close(true)
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
}

/// Answers all that has been asked, waits a moment for what is on its way, and ends the connection. hyper's own
/// graceful end looks at its buffer only: a request that has arrived and was not read yet would be lost.
async fn finish<C: GracefulConnection>(mut connection: Pin<&mut C>, traffic: &Traffic) {
    let mut last_call = pin!(tokio::time::sleep(LAST_CALL));
    let mut was_silent = false;
    let has_ended = std::future::poll_fn(|context| {
        if connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(true);
        }
        let is_silent = traffic.is_silent();
        if is_silent && !was_silent {
            last_call.as_mut().reset(Instant::now() + LAST_CALL);
        }
        was_silent = is_silent;
        if is_silent { last_call.as_mut().poll(context).map(|()| false) } else { Poll::Pending }
    });
    if has_ended.await {
        return;
    }
    // Says goodbye, which over TLS is a message. There is nothing to wait for: headers that came by halves are dropped.
    connection.as_mut().graceful_shutdown();
    std::future::poll_fn(|context| Poll::Ready(connection.as_mut().poll(context).is_ready())).await;
}

/// The state of a connection beside that of hyper. All of it belongs to one task.
#[derive(Default)]
struct Traffic {
    /// The bank closes.
    is_closing: AtomicBool,
    /// A handler is at work.
    is_handling: AtomicBool,
    /// Since the bank closes: hyper has asked for more, and there was nothing.
    is_drained: AtomicBool,
    /// Since the bank closes: something came after there had been nothing.
    is_late: AtomicBool,
    /// The last time that hyper asked for more, there was nothing.
    is_waiting: AtomicBool,
    /// A head with two lengths has come.
    has_two_lengths: AtomicBool,
}

impl Traffic {
    /// Idle, or stopped in the middle of a request's headers.
    fn is_silent(&self) -> bool {
        self.is_waiting.load(Ordering::Relaxed) && !self.is_handling.load(Ordering::Relaxed)
    }
}

/// A stream over TCP.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn client(&self) -> &ClientStream;
}

impl Socket for ClientStream {
    fn client(&self) -> &ClientStream {
        self
    }
}

impl Socket for TlsStream<ClientStream> {
    fn client(&self) -> &ClientStream {
        self.get_ref().0
    }
}

/// A stream that notes what hyper does not tell: two lengths in one head and, once the bank closes, whether anything is
/// left to read.
struct Listening<S> {
    stream: S,
    traffic: Arc<Traffic>,
    heads: Heads,
}

impl<S: Socket> AsyncRead for Listening<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.heads.have_two_lengths(&buffer.filled()[before..]) {
            self.traffic.has_two_lengths.store(true, Ordering::Relaxed);
        }
        if self.traffic.is_closing.load(Ordering::Relaxed) {
            let length = buffer.filled().len() - before;
            self.note(&read, length, context);
        }
        read
    }
}

impl<S: Socket> Listening<S> {
    fn note(&self, read: &Poll<io::Result<()>>, length: usize, context: &Context<'_>) {
        let Self { stream, traffic, .. } = self;
        let mut is_waiting = read.is_pending();
        if is_waiting && stream.client().has_unread() {
            // The system has more, which the runtime has not heard of yet.
            is_waiting = false;
            context.waker().wake_by_ref();
        }
        traffic.is_waiting.store(is_waiting, Ordering::Relaxed);
        if is_waiting {
            traffic.is_drained.store(true, Ordering::Relaxed);
        } else if length > 0 && traffic.is_drained.load(Ordering::Relaxed) {
            traffic.is_late.store(true, Ordering::Relaxed);
        }
    }
}

impl<S: Socket> AsyncWrite for Listening<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

const CONTENT_LENGTH_LINE: &[u8] = b"content-length:";
const TRANSFER_ENCODING_LINE: &[u8] = b"transfer-encoding:";

/// Looks for heads with two lengths. It does not know where a head begins, and takes all lines up to an empty one for
/// one: a body can look like a head, but no head can hide.
#[derive(Default)]
struct Heads {
    /// The beginning of the line so far, as much as the longer name needs, and the length of the whole.
    line: [u8; TRANSFER_ENCODING_LINE.len()],
    length: usize,
    has_content_length: bool,
    has_transfer_encoding: bool,
}

impl Heads {
    /// Whether a head with both ends in these bytes, or has so far.
    fn have_two_lengths(&mut self, mut bytes: &[u8]) -> bool {
        let mut found = false;
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.extend_line(&bytes[..end]);
            found |= self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.extend_line(bytes);
        found
    }

    fn extend_line(&mut self, part: &[u8]) {
        if let Some(room) = self.line.get_mut(self.length..) {
            let kept = room.len().min(part.len());
            room[..kept].copy_from_slice(&part[..kept]);
        }
        self.length += part.len();
    }

    fn end_line(&mut self) -> bool {
        let line = &self.line[..self.length.min(self.line.len())];
        if matches!(line, [] | [b'\r']) {
            (self.has_content_length, self.has_transfer_encoding) = (false, false);
        } else {
            let begins = |name: &[u8]| line.get(..name.len()).is_some_and(|line| line.eq_ignore_ascii_case(name));
            self.has_content_length |= begins(CONTENT_LENGTH_LINE);
            self.has_transfer_encoding |= begins(TRANSFER_ENCODING_LINE);
        }
        self.length = 0;
        self.has_content_length && self.has_transfer_encoding
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: &str =
        "POST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 5\r\nX: y\r\nTransfer-encoding: chunked\r\n\r\n0\r\n\r\n";

    #[test]
    fn two_lengths_count_within_one_head() {
        let found = |text: &str| Heads::default().have_two_lengths(text.as_bytes());
        assert!(found(BOTH));
        assert!(found(&BOTH.replace('\r', "")));
        assert!(found(&format!("POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n{{\"a\":1}}{BOTH}")));
        for apart in ["content-LENGTH", "Transfer-encoding"] {
            assert!(!found(&BOTH.replace(apart, "X-Other")));
        }
        assert!(!found(&BOTH.replace("X: y", "")));
        assert!(!found(&BOTH.replace("Transfer-encoding", "X-Transfer-encoding")));
        assert!(!found("content-length\n transfer-encoding:\n"));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_come(cuts in prop::collection::vec(1..20usize, 0..60), before in "[a-z:\r\n]{0,40}") {
            let text = format!("{before}\n\n{BOTH}");
            let (mut heads, mut rest, mut found) = (Heads::default(), text.as_bytes(), false);
            for cut in cuts {
                let (part, left) = rest.split_at(cut.min(rest.len()));
                found |= heads.have_two_lengths(part);
                rest = left;
            }
            prop_assert!(found | heads.have_two_lengths(rest));
        }
    }
}
