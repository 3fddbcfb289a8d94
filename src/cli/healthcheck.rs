//! `coffer healthcheck`: asks the server whether it is ready.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::config::Settings;
use crate::config::listen::ListenAddress;
use coffer_core::tls;

use super::AnyError;
use super::output::tell;

/// Connecting, asking and reading the answer, all together.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The answer is a small document.
const MAX_ANSWER: u64 = 64 * 1024;

pub fn run(settings: &Settings) -> Result<ExitCode, AnyError> {
    // The other listener, if there is one, is kept for this.
    let (listen, with_tls) = match &settings.admin_listen {
        Some(listen) => (listen, false),
        None => (&settings.listen, settings.tls_cert.is_some()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = async { timeout(TIMEOUT, ask(listen, with_tls)).await };
    let answered = runtime.block_on(asked).unwrap_or_else(|_| {
        let reason = format!("it took longer than {} s", TIMEOUT.as_secs());
        Err(io::Error::new(ErrorKind::TimedOut, reason))
    });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    let answer = answered.map_err(|error| format!("no answer from {listen}: {error}"))?;
    tell(format_args!("{listen}: {}", summary(&answer)));
    Ok(if answer.starts_with("HTTP/1.1 200 ") { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask(listen: &ListenAddress, with_tls: bool) -> io::Result<String> {
    if listen.port == 0 {
        return Err(io::Error::new(ErrorKind::InvalidInput, "port 0 stands for any; name the one that is served on"));
    }
    let stream = connect(listen).await?;
    let address = stream.peer_addr()?;
    if !with_tls {
        return get_readyz(stream, address).await;
    }
    // Nothing secret is sent, and the answer decides about nothing but health: a certificate that has expired, or was
    // renewed a second ago, does not make a bank unfit.
    let connector = tls::connector_to_anybody().map_err(io::Error::other)?;
    let stream = connector.connect(ServerName::from(address.ip()), stream).await?;
    get_readyz(stream, address).await
}

/// To where a server that listens there can be reached from the same machine.
async fn connect(listen: &ListenAddress) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((&*listen.host, listen.port)).await? {
        for ip in reachable(address.ip()) {
            match TcpStream::connect((ip, address.port())).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
    }
    Err(failed)
}

/// A server on all of IPv6 is usually on all of IPv4 as well, and there may be no IPv6 here.
fn reachable(ip: IpAddr) -> Vec<IpAddr> {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![Ipv4Addr::LOCALHOST.into()],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()],
        ip => vec![ip],
    }
}

async fn get_readyz(mut stream: impl AsyncRead + AsyncWrite + Unpin, host: impl Display) -> io::Result<String> {
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    let read = stream.take(MAX_ANSWER).read_to_end(&mut answer).await;
    // A server that closes without TLS's farewell has answered all the same.
    if answer.is_empty() {
        read?;
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed without one"));
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The status, and the reason if it is not ready.
fn summary(answer: &str) -> String {
    let status = answer.lines().next().unwrap_or_default();
    let problem = answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str::<Value>(body).ok());
    match problem.as_ref().and_then(|problem| problem["detail"].as_str()) {
        Some(detail) => format!("{status}: {detail}"),
        None => status.to_owned(),
    }
}
