//! One connection to a peer: TCP, or TLS over it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpUserTimeout;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Unconnected;
use super::tls;
use crate::gateway::settings::Tls;
use crate::sip::frame::{Frame, Framer};
use crate::sip::{Hop, Transport};

/// How long a peer may take to accept a connection, and then once more for TLS.
const CONNECT: Duration = Duration::from_secs(2);

/// How long who connects to us may take for TLS.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long a peer may leave untaken what we send. Its machine, not its program, is asked: the
/// system watches that what was sent is acknowledged, pings too.
const UNTAKEN: Duration = Duration::from_secs(10);

/// What is read at once.
const CHUNK: usize = 8 * 1024;

trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// An open connection.
pub struct Connection {
    /// Our own address on it.
    pub local: SocketAddr,
    bytes: Box<dyn Bytes>,
    framer: Framer,
    buffer: Vec<u8>,
}

/// Opens a connection. For TLS, `name` is what the peer's certificate must be for, unless the
/// settings name another.
///
/// # Errors
/// Why it cannot be had.
pub async fn connect(hop: Hop, tls: &Tls, name: &str) -> Result<Connection, Unconnected> {
    connect_from(None, hop, tls, name).await
}

/// The same, from an address of ours.
pub(super) async fn connect_from(
    source: Option<IpAddr>,
    hop: Hop,
    tls: &Tls,
    name: &str,
) -> Result<Connection, Unconnected> {
    let opened = timeout(CONNECT, tcp(source, hop.address)).await;
    let stream = opened.map_err(|_| Unconnected::TimedOut)?.map_err(|error| tls::why(&error))?;
    let local = stream.local_addr().map_err(|error| tls::why(&error))?;
    match hop.transport {
        Transport::Udp => Err(Unconnected::NoListener(hop)),
        Transport::Tcp => Ok(Connection::new(local, stream)),
        Transport::Tls => {
            let name = tls::name(tls.name.as_deref().unwrap_or(name))?;
            let connector = TlsConnector::from(tls::client(tls)?);
            let shaken = timeout(CONNECT, connector.connect(name, stream)).await;
            let secure = shaken.map_err(|_| Unconnected::NotTls)?;
            Ok(Connection::new(local, secure.map_err(|error| tls::why(&error))?))
        }
    }
}

async fn tcp(source: Option<IpAddr>, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(ip) = source {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    let stream = socket.connect(peer).await?;
    tune(&stream)?;
    Ok(stream)
}

/// Each message at once, and a peer that is gone is noticed.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let untaken = u32::try_from(UNTAKEN.as_millis()).unwrap_or(u32::MAX);
    setsockopt(stream, TcpUserTimeout, &untaken).map_err(io::Error::from)
}

impl Connection {
    fn new(local: SocketAddr, bytes: impl Bytes + 'static) -> Self {
        let buffer = vec![0; CHUNK];
        Self { local, bytes: Box::new(bytes), framer: Framer::default(), buffer }
    }

    /// Takes a connection that someone opened to us.
    pub(super) async fn accept(
        stream: TcpStream,
        secure: Option<Arc<ServerConfig>>,
    ) -> Result<Self, Unconnected> {
        tune(&stream).map_err(|error| tls::why(&error))?;
        let local = stream.local_addr().map_err(|error| tls::why(&error))?;
        let Some(config) = secure else { return Ok(Self::new(local, stream)) };
        let shaken = timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await;
        let secure = shaken.map_err(|_| Unconnected::TimedOut)?;
        Ok(Self::new(local, secure.map_err(|error| tls::why(&error))?))
    }

    /// Sends.
    ///
    /// # Errors
    /// Why the connection is of no use any more.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Unconnected> {
        let sending = async {
            self.bytes.write_all(bytes).await?;
            self.bytes.flush().await
        };
        let sent = timeout(UNTAKEN, sending).await.map_err(|_| Unconnected::TimedOut)?;
        sent.map_err(|error| tls::why(&error))
    }

    /// Waits for what comes next, and appends what is whole of it, which may be nothing. Nothing is
    /// lost when it is not waited for to the end.
    ///
    /// # Errors
    /// Why the connection is of no use any more. What came before that is appended.
    pub async fn read(&mut self, out: &mut Vec<Frame>) -> Result<(), Unconnected> {
        let read = self.bytes.read(&mut self.buffer).await.map_err(|error| tls::why(&error))?;
        if read == 0 {
            return Err(Unconnected::Closed);
        }
        let chunk = self.buffer.get(..read).unwrap_or_default();
        self.framer.push(chunk, out).map_err(|why| Unconnected::NotSip(why.to_string()))
    }

    /// Whether a message has begun, and has no end yet.
    pub(super) fn is_amid(&self) -> bool {
        self.framer.is_amid()
    }
}
