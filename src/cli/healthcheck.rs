//! `coffer healthcheck`: asks the server whether it is ready.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use coffer::config::Settings;

use super::AnyError;
use super::output::tell;

const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// A plain request over a plain socket: a container's health check needs no more. With TLS it only sees whether the
/// server accepts connections, because it has no way to know which certificate to trust.
pub fn run(settings: &Settings) -> Result<ExitCode, AnyError> {
    let listen = settings.listen;
    let ip = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    let address = SocketAddr::new(ip, listen.port());
    let unreachable = |error: std::io::Error| format!("no answer from {address}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, HEALTHCHECK_TIMEOUT).map_err(unreachable)?;
    if settings.tls_cert.is_some() {
        tell(format_args!("{address}: accepts connections"));
        return Ok(ExitCode::SUCCESS);
    }
    stream.set_read_timeout(Some(HEALTHCHECK_TIMEOUT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").map_err(unreachable)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(unreachable)?;
    let status = answer.lines().next().unwrap_or_default();
    tell(format_args!("{address}: {status}"));
    Ok(if status.starts_with("HTTP/1.1 200") { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
