//! A session on a TLS connection: the driver of [`session`] and `syslog_tls`.
//!
//! Connecting, the TLS handshake, opening the session, and waiting for acknowledgements
//! each have a deadline, so a collector that stops responding at any step is given up.
//!
//! [`session`]: crate::session

use crate::session::{Session, SessionError, WINDOW};
use crate::syslog_tls::SyslogTls;
use crate::tcp;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NamedGroup, ProtocolVersion};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Bytes per read: room for many acknowledgements.
const READ_BYTES: usize = 4096;

/// The longest time for the TCP connection. The kernel sends three packets in this time, after 0, 1
/// and 3 s, or four, after 0, 1, 2 and 3 s (`tcp_syn_linear_timeouts`, Linux 6.5 and later); where
/// the interval doubles, the next one would come after 7 s, and the next attempt comes before.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3500);

/// In TLS 1.3 the client's handshake is complete before the server has verified the
/// client's certificate, so a refusal arrives afterwards. A syslog collector sends nothing
/// else; its alert is awaited for this long.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);

/// The protocol of a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RELP: the collector acknowledges each message.
    Relp,
    /// Syslog over TLS (RFC 5425), without acknowledgements. A message counts as
    /// acknowledged when its connection is still established one and a half timeouts after
    /// the message was written: then the collector's kernel has it. Its program may still
    /// lose it.
    Syslog,
}

/// Why a connection could not be opened, or ended. The text names the step.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// TCP could not connect.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The TLS handshake failed, or the collector sent an alert.
    #[error("TLS")]
    Tls(#[source] io::Error),
    /// The collector closed the connection after the handshake, before it sent anything.
    #[error("the collector hung up after TLS; it may not take our certificate")]
    ClosedEarly(#[source] io::Error),
    /// The session could not be opened.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// An open session ended.
    #[error("the session ended")]
    SessionEnded(#[source] SessionError),
    /// The collector sent data, which a syslog collector must not.
    #[error("the collector answered, where syslog has no answers")]
    UnexpectedData,
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// A step exceeded its deadline.
    #[error("the collector did not answer in time: {0}")]
    TimedOut(Step),
}

/// A step that has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The TCP connection.
    Tcp,
    /// The TLS handshake.
    Tls,
    /// The RELP session's opening.
    Open,
    /// An acknowledgement.
    Acknowledgement,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Open => "RELP open",
            Self::Acknowledgement => "acknowledgement",
        })
    }
}

/// A collector's address and identity.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The name that its certificate must have.
    pub name: ServerName<'static>,
}

/// The negotiated parameters of a TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsParameters {
    /// The protocol version.
    pub version: ProtocolVersion,
    /// The group of the key exchange.
    pub group: NamedGroup,
}

impl std::fmt::Display for TlsParameters {
    /// As in `TLS 1.3, X25519MLKEM768`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.version {
            ProtocolVersion::TLSv1_2 => write!(f, "TLS 1.2, {:?}", self.group),
            ProtocolVersion::TLSv1_3 => write!(f, "TLS 1.3, {:?}", self.group),
            version => write!(f, "{version:?}, {:?}", self.group),
        }
    }
}

#[derive(Debug)]
enum Transport {
    Relp(Session),
    SyslogTls(SyslogTls),
}

/// An open session.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    opened: Instant,
    /// The last acknowledgement, or the last time that a message was given while none was
    /// in flight.
    last_progress: Instant,
    transport: Transport,
    out: Vec<u8>,
    /// The number of bytes of `out` that are written.
    written: usize,
    io_timeout: Duration,
}

impl Connection {
    /// Connects and opens a session. Each step may take `io_timeout`, and the TCP connection at most
    /// 3.5 s; so may the peer, later, take `io_timeout` to acknowledge what was sent. `reached` is
    /// called after each completed step; syslog has no [`Step::Open`].
    ///
    /// # Errors
    /// [`ConnectionError`] names the step that failed.
    pub async fn open(
        peer: &Peer,
        config: &Arc<ClientConfig>,
        protocol: Protocol,
        io_timeout: Duration,
        mut reached: impl FnMut(Step),
    ) -> Result<Self, ConnectionError> {
        // Each step has its own deadline, so that the error names the one that took too long.
        let late = |step| move |_| ConnectionError::TimedOut(step);
        let tcp = timeout(
            io_timeout.min(CONNECT_TIMEOUT),
            tcp::connect(peer.address, io_timeout),
        )
        .await
        .map_err(late(Step::Tcp))?
        .map_err(ConnectionError::Connect)?;
        reached(Step::Tcp);
        let stream = timeout(
            io_timeout,
            TlsConnector::from(Arc::clone(config)).connect(peer.name.clone(), tcp),
        )
        .await
        .map_err(late(Step::Tls))?
        .map_err(ConnectionError::Tls)?;
        reached(Step::Tls);
        let mut out = Vec::new();
        let transport = match protocol {
            Protocol::Relp => Transport::Relp(Session::start(WINDOW, &mut out)),
            Protocol::Syslog => Transport::SyslogTls(SyslogTls::start(io_timeout)),
        };
        let mut connection = Self {
            stream,
            opened: Instant::now(),
            last_progress: Instant::now(),
            transport,
            out,
            written: 0,
            io_timeout,
        };
        match protocol {
            Protocol::Relp => {
                let open = async {
                    connection.flush().await?;
                    while !matches!(&connection.transport, Transport::Relp(session) if session.is_open())
                    {
                        connection.read().await?;
                    }
                    Ok(())
                };
                timeout(io_timeout, open)
                    .await
                    .map_err(late(Step::Open))?
                    .map_err(closed_early)?;
                reached(Step::Open);
            }
            // Without an alert in this time, our certificate counts as accepted.
            Protocol::Syslog => timeout(io_timeout.min(REFUSAL_TIMEOUT), connection.read())
                .await
                .unwrap_or(Ok(()))
                .map_err(closed_early)?,
        }
        Ok(connection)
    }

    /// The negotiated TLS parameters; always present after a handshake.
    #[must_use]
    pub fn tls_parameters(&self) -> Option<TlsParameters> {
        let (_, connection) = self.stream.get_ref();
        Some(TlsParameters {
            version: connection.protocol_version()?,
            group: connection.negotiated_key_exchange_group()?.name(),
        })
    }

    /// The number of messages that may be given now. With syslog there is always room after
    /// [`flush`](Self::flush).
    #[must_use]
    pub fn room(&self) -> usize {
        match &self.transport {
            Transport::Relp(session) => session.room(),
            Transport::SyslogTls(syslog) => syslog.room(),
        }
    }

    /// The number of messages that are not acknowledged yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        match &self.transport {
            Transport::Relp(session) => session.in_flight(),
            Transport::SyslogTls(syslog) => syslog.in_flight(),
        }
    }

    /// Takes a message; false when there is no [room](Self::room).
    pub fn give(&mut self, tag: u64, message: &[u8]) -> bool {
        // The time for an acknowledgement begins now, not when the last one arrived.
        if self.in_flight() == 0 {
            self.last_progress = Instant::now();
        }
        match &mut self.transport {
            Transport::Relp(session) => session.send(tag, message, &mut self.out),
            Transport::SyslogTls(syslog) => syslog.send(tag, message, &mut self.out),
        }
    }

    /// Writes what was given. Cancel safe: the next call continues where this one stopped.
    ///
    /// # Errors
    /// [`ConnectionError`] ends the connection.
    pub async fn flush(&mut self) -> Result<(), ConnectionError> {
        // A collector that reads nothing fills the kernel's buffers, and then the write blocks.
        timeout(self.io_timeout, self.write())
            .await
            .map_err(|_| ConnectionError::TimedOut(Step::Acknowledgement))?
            .map_err(broken)?;
        self.out.clear();
        self.written = 0;
        if let Transport::SyslogTls(syslog) = &mut self.transport {
            syslog.written(self.opened.elapsed());
        }
        Ok(())
    }

    async fn write(&mut self) -> io::Result<()> {
        // `write_all` is not cancel safe: the count of written bytes is kept in `self` instead.
        while let Some(left @ [_, ..]) = self.out.get(self.written..) {
            self.written += self.stream.write(left).await?;
        }
        self.stream.flush().await
    }

    /// Waits for the next acknowledgement, and gives the tag up to which all messages are
    /// acknowledged. Cancel safe. [`Protocol`] says what acknowledged means.
    ///
    /// # Errors
    /// [`ConnectionError`] ends the connection: also when messages are in flight and none is
    /// acknowledged within the timeout, and when the collector closes the connection.
    pub async fn acknowledged(&mut self) -> Result<u64, ConnectionError> {
        loop {
            if let Transport::Relp(session) = &mut self.transport
                && let Some(tag) = session.acknowledged()
            {
                return Ok(tag);
            }
            let Some(deadline) = self.deadline() else {
                self.read().await?;
                continue;
            };
            // timeout_at polls the read first: data that is there counts, however late it is.
            match timeout_at(deadline, self.read()).await {
                Ok(read) => read?,
                Err(_) => {
                    let Transport::SyslogTls(syslog) = &mut self.transport else {
                        return Err(ConnectionError::TimedOut(Step::Acknowledgement));
                    };
                    let (socket, _) = self.stream.get_ref();
                    if tcp::is_established(socket).map_err(ConnectionError::Broken)?
                        && let Some(tag) = syslog.delivered(self.opened.elapsed())
                    {
                        return Ok(tag);
                    }
                    // The kernel has data that the runtime has not been told of yet.
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// With RELP, when an acknowledgement is due. With syslog, when messages count as
    /// delivered if nothing was received until then.
    fn deadline(&self) -> Option<Instant> {
        match &self.transport {
            Transport::Relp(session) => {
                (session.in_flight() > 0).then(|| self.last_progress + self.io_timeout)
            }
            Transport::SyslogTls(syslog) => syslog.due().map(|due| self.opened + due),
        }
    }

    /// Closes the session, and waits for the collector to do so, up to the timeout.
    pub async fn close(mut self) {
        let limit = self.io_timeout;
        if let Transport::Relp(session) = &mut self.transport {
            session.close(&mut self.out);
        }
        let finishing = async {
            self.flush().await?;
            // Syslog has no request to close. TLS has: `close_notify`.
            if matches!(self.transport, Transport::SyslogTls(_)) {
                self.stream.shutdown().await.map_err(broken)?;
            }
            // Syslog has no response: there the loop ends with the error of reading the peer's end.
            while !matches!(&self.transport, Transport::Relp(session) if session.is_closed()) {
                self.read().await?;
            }
            Ok::<(), ConnectionError>(())
        };
        // The connection is dropped either way.
        let _ = timeout(limit, finishing).await;
    }

    async fn read(&mut self) -> Result<(), ConnectionError> {
        let mut bytes = [0; READ_BYTES];
        let length = self.stream.read(&mut bytes).await.map_err(broken)?;
        // librelp sends its next acknowledgement when our kernel has acknowledged the last
        // one, which a delayed TCP ACK does after 40 ms. Without the option it is only slower.
        let _ = self.stream.get_ref().0.set_quickack(true);
        let session = match &mut self.transport {
            _ if length == 0 => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
            Transport::Relp(session) => session,
            Transport::SyslogTls(_) => return Err(ConnectionError::UnexpectedData),
        };
        let (before, was_open) = (session.acknowledgements(), session.is_open());
        session
            .receive(bytes.get(..length).unwrap_or_default())
            .map_err(|error| {
                if was_open {
                    ConnectionError::SessionEnded(error)
                } else {
                    ConnectionError::Session(error)
                }
            })?;
        // Bytes alone are no progress: a peer could send one a second and acknowledge nothing.
        if session.acknowledgements() > before {
            self.last_progress = Instant::now();
        }
        Ok(())
    }
}

/// rustls reports its errors as those of reading and writing.
fn broken(error: io::Error) -> ConnectionError {
    match error.get_ref() {
        Some(inner) if inner.is::<rustls::Error>() => ConnectionError::Tls(error),
        _ => ConnectionError::Broken(error),
    }
}

/// A connection that breaks right after the handshake was most likely refused.
fn closed_early(error: ConnectionError) -> ConnectionError {
    match error {
        ConnectionError::Broken(error) => ConnectionError::ClosedEarly(error),
        error => error,
    }
}
