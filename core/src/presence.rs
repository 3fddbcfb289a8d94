//! Whether the client of a request is still there: work that nobody waits for is not begun.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// The state of a client, as far as the server knows without asking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Here,
    /// It has ended its side. It may be reading all the same (RFC 9112 section 9.6), or have gone: nothing tells before
    /// the answer is sent.
    EndedItsSide,
    /// The connection is reset, or over.
    Gone,
}

/// Looks at a request's connection, and does not keep it open.
#[derive(Clone, Debug, Default)]
pub struct Presence(Option<Weak<Mutex<TcpStream>>>);

impl Presence {
    /// Always here when there is no connection: the command line, say.
    pub fn look(&self) -> Client {
        let Some(stream) = &self.0 else { return Client::Here };
        let Some(stream) = stream.upgrade() else { return Client::Gone };
        // Asks the runtime, without a system call. A side that was closed stays closed.
        let known = lock(&stream).ready(Interest::READABLE | Interest::WRITABLE).now_or_never();
        match known {
            Some(Ok(ready)) if ready.is_write_closed() => Client::Gone,
            Some(Ok(ready)) if ready.is_read_closed() => Client::EndedItsSide,
            Some(Err(_)) => Client::Gone,
            Some(Ok(_)) | None => Client::Here,
        }
    }
}

/// A TCP connection that can be looked at while something else reads and writes it. Its lock is held for a read or a
/// write that does not wait, and for a look.
pub struct ClientStream(Arc<Mutex<TcpStream>>);

impl ClientStream {
    pub fn new(stream: TcpStream) -> Self {
        Self(Arc::new(Mutex::new(stream)))
    }

    pub fn presence(&self) -> Presence {
        Presence(Some(Arc::downgrade(&self.0)))
    }

    /// Whether the system has bytes that nobody has read yet.
    pub fn has_unread(&self) -> bool {
        rustix::io::ioctl_fionread(&*lock(&self.0)).is_ok_and(|bytes| bytes > 0)
    }
}

fn lock(stream: &Mutex<TcpStream>) -> MutexGuard<'_, TcpStream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.0)).poll_read(context, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock(&self.0)).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.0)).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.0)).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock(&self.0)).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        lock(&self.0).is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn becomes(presence: &Presence, expected: Client) {
        let waiting = async {
            while presence.look() != expected {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("in time");
    }

    #[tokio::test]
    async fn a_client_is_seen_to_end_its_side_and_to_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut client = TcpStream::connect(address).await.expect("a connection");
        let stream = ClientStream::new(listener.accept().await.expect("a client").0);
        let presence = stream.presence();
        client.write_all(b"something that nobody reads").await.expect("sent");
        becomes(&presence, Client::Here).await;
        client.shutdown().await.expect("its side ended");
        becomes(&presence, Client::EndedItsSide).await;
        client.set_zero_linger().expect("a setting");
        drop(client);
        becomes(&presence, Client::Gone).await;

        let client = TcpStream::connect(address).await.expect("a connection");
        let stream = ClientStream::new(listener.accept().await.expect("a client").0);
        let presence = stream.presence();
        becomes(&presence, Client::Here).await;
        drop(stream);
        becomes(&presence, Client::Gone).await;
        drop(client);
        assert_eq!(Presence::default().look(), Client::Here);
    }
}
