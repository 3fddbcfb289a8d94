//! TLS to a PostgreSQL server whose certificate the driver cannot read: X.509 version 1, as Citus makes them.
//!
//! `sslmode=require` takes any certificate, as libpq documents it, but the driver reads it before it takes it. So the
//! bank speaks TLS itself: the driver connects to a port of this process on loopback, and what passes there is
//! encrypted on its way to the server.

use std::io;
use std::net::Ipv4Addr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::tls;

/// PostgreSQL's request to go on with TLS: its length, and a protocol version that no protocol has.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Starts the relay, which lasts as long as the program, and returns how the driver reaches the server by it.
pub async fn start(server: &PgConnectOptions) -> io::Result<PgConnectOptions> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let connector = tls::connector_to_anybody().map_err(io::Error::other)?;
    let (host, server_port) = (server.get_host().to_owned(), server.get_port());
    let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
    tokio::spawn(async move {
        while let Ok((driver, _)) = listener.accept().await {
            let relayed = relay(driver, host.clone(), server_port, connector.clone(), name.clone());
            tokio::spawn(async move {
                if let Err(error) = relayed.await {
                    tracing::debug!(%error, "a connection to PostgreSQL has ended");
                }
            });
        }
    });
    Ok(server.clone().host("127.0.0.1").port(port).ssl_mode(PgSslMode::Disable))
}

/// Passes bytes both ways until either side ends.
async fn relay(
    mut driver: TcpStream,
    host: String,
    port: u16,
    connector: TlsConnector,
    name: ServerName<'static>,
) -> io::Result<()> {
    driver.set_nodelay(true)?;
    let mut server = TcpStream::connect((host, port)).await?;
    server.set_nodelay(true)?;
    server.write_all(&SSL_REQUEST).await?;
    let mut answer = [0];
    server.read_exact(&mut answer).await?;
    if answer != *b"S" {
        return Err(io::Error::other("the server does not speak TLS any more"));
    }
    let server = connector.connect(name, server).await?;
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let (mut from_driver, mut to_driver) = driver.split();
    tokio::select! {
        ended = copy(&mut from_driver, &mut to_server) => ended.map(drop),
        ended = copy(&mut from_server, &mut to_driver) => ended.map(drop),
    }
}
