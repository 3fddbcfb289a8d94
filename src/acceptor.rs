//! Accepts connections, refuses those that are too many, and has all of them end when the bank closes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::time::Duration;

use axum::Router;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use crate::api::http::problem::count_refusal;
use crate::connection;
use crate::connection_limits::{ConnectionLimits, Slot};
use crate::log_lines::REFUSALS;
use coffer_core::problem_code::ProblemCode;

/// After an accept fails (out of file descriptors, say): long enough not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that may wait to be accepted when the bank closes: more than fit into the queue that tokio asks for.
/// They come in order, so that whoever connects later does not keep it open.
const MAX_WAITING: usize = 1_100;
/// How much of a request is read from a connection that is refused: a client that is hung up on with its request unread
/// may never see the answer.
const MAX_UNREAD: usize = 16 * 1024;

/// Accepts and serves the clients of one listener.
pub struct Acceptor {
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: ConnectionLimits,
    /// Turns true when the bank closes. Each connection holds a receiver.
    closing: watch::Sender<bool>,
}

impl Acceptor {
    pub fn new(router: Router, tls: Option<TlsAcceptor>, limits: ConnectionLimits) -> Self {
        Self { router, tls, limits, closing: watch::Sender::new(false) }
    }

    /// Accepts connections for ever. Never waits for a slot: a client that gets none is told so, and the next is
    /// accepted.
    pub async fn accept(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.admit_or_refuse(stream, peer.ip()),
                Err(error) if has_gone(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit_or_refuse(&self, stream: TcpStream, peer: IpAddr) {
        match self.limits.take_slot(peer) {
            Some(slot) => self.admit(stream, peer, slot),
            None => self.refuse(stream, peer),
        }
    }

    fn admit(&self, stream: TcpStream, peer: IpAddr, slot: Slot) {
        let client = connection::serve(stream, peer, self.tls.clone(), self.router.clone(), self.closing.subscribe());
        tokio::spawn(async move {
            client.await;
            drop(slot);
        });
    }

    /// A bare 503, written without waiting for anything. Over TLS a handshake would cost more than the connection, so
    /// that is just closed.
    fn refuse(&self, stream: TcpStream, peer: IpAddr) {
        let (code, request_id) = (ProblemCode::TooManyConnections, Uuid::now_v7());
        metrics::counter!("coffer_connections_refused_total").increment(1);
        count_refusal(code);
        tracing::debug!(target: REFUSALS, address = %peer, code = code.name(), %request_id, "a connection is refused");
        if self.tls.is_none()
            && let Ok(mut stream) = stream.into_std()
        {
            let _ = stream.write(refusal(code, request_id).as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read(&mut [0; MAX_UNREAD]);
        }
    }

    /// Has all connections end, and waits for it. Nothing can be asked of the bank here afterwards.
    pub async fn close(self, listener: TcpListener) {
        self.closing.send_replace(true);
        if let Err(error) = self.accept_waiting(listener) {
            tracing::warn!(%error, "cannot accept the connections that are waiting");
        }
        self.closing.closed().await;
    }

    /// Accepts those that are waiting to be: to its client a connection is open, and it may have carried a request
    /// already. Then nobody can connect any more.
    fn accept_waiting(&self, listener: TcpListener) -> io::Result<()> {
        // The runtime may not have heard of the last ones yet. The system has.
        let listener = listener.into_std()?;
        for _ in 0..MAX_WAITING {
            match listener.accept() {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(true)?;
                    let stream = TcpStream::from_std(stream)?;
                    self.admit_or_refuse(stream, peer.ip());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if has_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether it is about one connection, whose client has gone before it was accepted.
fn has_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}

/// Written by hand: no request has been read that it could be an answer to.
fn refusal(code: ProblemCode, request_id: Uuid) -> String {
    let body = json!({
        "type": format!("/problems/{code}"),
        "title": code.title(),
        "status": 503,
        "detail": "There are too many connections, from your network or from all. Close some, or try again.",
        "code": code.name(),
        "request_id": request_id,
    })
    .to_string();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n\
         Cache-Control: no-store\r\nConnection: close\r\nX-Request-Id: {request_id}\r\n\
         Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\n\
         Referrer-Policy: no-referrer\r\nCross-Origin-Opener-Policy: same-origin\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_gets_a_whole_problem_document() {
        let answer = refusal(ProblemCode::TooManyConnections, Uuid::now_v7());
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let code = body["code"].as_str().and_then(ProblemCode::from_name).expect("a code");
        assert_eq!(body["title"], code.title());
        assert_eq!(body["type"], format!("/problems/{code}"));
    }
}
