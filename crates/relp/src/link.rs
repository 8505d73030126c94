//! A session on a connection: the thin part, which carries out what [`session`] and
//! [`counted`] decide.
//!
//! A step is either connecting, TLS, the session's opening, or messages and their
//! acknowledgements; each has its deadline, so that a collector that falls silent at any
//! of them is left and not waited for.
//!
//! [`session`]: crate::session
//! [`counted`]: crate::counted

use crate::counted::Counted;
use crate::session::{Session, SessionError, WINDOW};
use crate::tcp;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, NamedGroup, ProtocolVersion};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What is read at a time, in bytes: many acknowledgements.
const READ: usize = 4096;

/// With TLS 1.3 a collector that does not take our certificate says so only after the
/// handshake. One that says nothing else either is given so long to say it.
const REFUSAL: Duration = Duration::from_millis(500);

/// What a collector speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RELP: every message is acknowledged.
    Relp,
    /// Syslog over TLS (RFC 5425): nothing is. A message counts as acknowledged when the
    /// connection has stood for half as long again as there is patience, since it was
    /// written: then the collector's kernel has it. Its program may lose it even so.
    Syslog,
}

/// Why a connection could not be opened, or is of no use any more. Its words say at
/// which step.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The collector's address did not answer.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// It is not the collector that it should be, or does not take us.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// It went away before it said anything.
    #[error("the collector hung up after TLS; it may not take our certificate: {0}")]
    HungUp(io::Error),
    /// It speaks no RELP, or refused.
    #[error("{0}")]
    Session(#[from] SessionError),
    /// It said something that ends an open session, or ended it.
    #[error("the session is over: {0}")]
    Over(SessionError),
    /// It speaks something else than syslog.
    #[error("the collector answered, where syslog has no answers")]
    Answered,
    /// It went away.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// It says nothing.
    #[error("the collector did not answer in time: {0}")]
    Silent(Step),
}

/// What was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A TCP connection.
    Tcp,
    /// TLS.
    Tls,
    /// The session.
    Open,
    /// Acknowledgements.
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

/// Where a collector is, and who it has to be.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The name that its certificate must have.
    pub name: ServerName<'static>,
}

/// What TLS agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The version.
    pub version: ProtocolVersion,
    /// How keys were exchanged.
    pub group: NamedGroup,
}

impl Agreed {
    fn of(connection: &ClientConnection) -> Option<Self> {
        Some(Self {
            version: connection.protocol_version()?,
            group: connection.negotiated_key_exchange_group()?.name(),
        })
    }

    /// Whether a quantum computer would not be enough to read along.
    #[must_use]
    pub fn is_post_quantum(self) -> bool {
        self.group == NamedGroup::X25519MLKEM768
    }
}

impl std::fmt::Display for Agreed {
    /// As in `TLS 1.3, X25519MLKEM768`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.version {
            ProtocolVersion::TLSv1_2 => write!(f, "TLS 1.2, {:?}", self.group),
            ProtocolVersion::TLSv1_3 => write!(f, "TLS 1.3, {:?}", self.group),
            version => write!(f, "{version:?}, {:?}", self.group),
        }
    }
}

/// Where a session is kept, or what there is instead of one.
#[derive(Debug)]
enum Dialogue {
    Relp(Session),
    Syslog(Counted),
}

/// An open session.
#[derive(Debug)]
pub struct Link {
    stream: TlsStream<TcpStream>,
    opened: Instant,
    /// When it last acknowledged something, or nothing was waited for any more.
    heard: Instant,
    dialogue: Dialogue,
    out: Vec<u8>,
    /// Of which so much is written.
    written: usize,
    patience: Duration,
}

impl Link {
    /// Connects, and opens a session; each step may take `patience`, and so may a peer to
    /// take what was sent. `reached` is told of each step that was made; with syslog there
    /// is nothing to [open](Step::Open).
    ///
    /// # Errors
    /// [`LinkError`] says at which step it ended.
    pub async fn open(
        peer: &Peer,
        config: &Arc<ClientConfig>,
        protocol: Protocol,
        patience: Duration,
        mut reached: impl FnMut(Step),
    ) -> Result<Self, LinkError> {
        let silent = |step| move |_| LinkError::Silent(step);
        let tcp = timeout(patience, tcp::connect(peer.address, patience)).await;
        let tcp = tcp
            .map_err(silent(Step::Tcp))?
            .map_err(LinkError::Connect)?;
        reached(Step::Tcp);
        let tls = TlsConnector::from(Arc::clone(config)).connect(peer.name.clone(), tcp);
        let stream = timeout(patience, tls).await;
        let stream = stream.map_err(silent(Step::Tls))?.map_err(LinkError::Tls)?;
        reached(Step::Tls);
        let mut out = Vec::new();
        let dialogue = match protocol {
            Protocol::Relp => Dialogue::Relp(Session::begin(WINDOW, &mut out)),
            Protocol::Syslog => Dialogue::Syslog(Counted::begin(patience)),
        };
        let mut link = Self {
            stream,
            opened: Instant::now(),
            heard: Instant::now(),
            dialogue,
            out,
            written: 0,
            patience,
        };
        match protocol {
            Protocol::Relp => {
                link.begin().await?;
                reached(Step::Open);
            }
            Protocol::Syslog => link.hear_refusal().await?,
        }
        Ok(link)
    }

    /// With TLS 1.3 a collector that does not take our certificate says so only now.
    async fn begin(&mut self) -> Result<(), LinkError> {
        let opened = timeout(self.patience, self.open_session()).await;
        let opened = opened.map_err(|_| LinkError::Silent(Step::Open))?;
        opened.map_err(hung_up)
    }

    async fn open_session(&mut self) -> Result<(), LinkError> {
        self.flush().await?;
        while !matches!(&self.dialogue, Dialogue::Relp(session) if session.is_open()) {
            self.read().await?;
        }
        Ok(())
    }

    async fn hear_refusal(&mut self) -> Result<(), LinkError> {
        let heard = timeout(self.patience.min(REFUSAL), self.read()).await;
        heard.unwrap_or(Ok(())).map_err(hung_up)
    }

    /// What TLS agreed on; after a handshake there is always something.
    #[must_use]
    pub fn agreed(&self) -> Option<Agreed> {
        Agreed::of(self.stream.get_ref().1)
    }

    /// How many messages may be given now. With syslog there is always room after
    /// [`flush`](Self::flush).
    #[must_use]
    pub fn room(&self) -> usize {
        match &self.dialogue {
            Dialogue::Relp(session) => session.room(),
            Dialogue::Syslog(counted) => counted.room(),
        }
    }

    /// How many messages wait for their acknowledgement.
    #[must_use]
    pub fn on_their_way(&self) -> usize {
        match &self.dialogue {
            Dialogue::Relp(session) => session.on_their_way(),
            Dialogue::Syslog(counted) => counted.on_their_way(),
        }
    }

    /// Takes a message; false when there is no [room](Self::room).
    pub fn give(&mut self, tag: u64, message: &[u8]) -> bool {
        if self.on_their_way() == 0 {
            self.heard = Instant::now();
        }
        match &mut self.dialogue {
            Dialogue::Relp(session) => session.send(tag, message, &mut self.out),
            Dialogue::Syslog(counted) => counted.send(tag, message, &mut self.out),
        }
    }

    /// Sends what was given. When the wait is given up, the next one goes on with it.
    ///
    /// # Errors
    /// [`LinkError`] ends the link.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        let sent = timeout(self.patience, self.write()).await;
        let late = |_| LinkError::Silent(Step::Acknowledgement);
        sent.map_err(late)?.map_err(broken)?;
        self.out.clear();
        self.written = 0;
        if let Dialogue::Syslog(counted) = &mut self.dialogue {
            counted.written(self.opened.elapsed());
        }
        Ok(())
    }

    async fn write(&mut self) -> io::Result<()> {
        while let Some(left @ [_, ..]) = self.out.get(self.written..) {
            self.written += self.stream.write(left).await?;
        }
        self.stream.flush().await
    }

    /// Waits until the collector has acknowledged something, and gives the tag up to
    /// which everything is acknowledged by now. Nothing is lost when the wait is given up.
    /// What acknowledged means is said at [`Protocol`].
    ///
    /// # Errors
    /// [`LinkError`] ends the link: also when messages are on their way and nothing comes
    /// for as long as there is patience, and when the collector hangs up.
    pub async fn acknowledged(&mut self) -> Result<u64, LinkError> {
        loop {
            if let Dialogue::Relp(session) = &mut self.dialogue
                && let Some(tag) = session.acknowledged()
            {
                return Ok(tag);
            }
            let Some(deadline) = self.deadline() else {
                self.read().await?;
                continue;
            };
            // What came is read first, however late it is.
            match timeout_at(deadline, self.read()).await {
                Ok(read) => read?,
                Err(_) => {
                    if let Some(tag) = self.nothing_came()? {
                        return Ok(tag);
                    }
                    // The runtime has yet to see what the kernel has.
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Until when something has to come, or nothing may.
    fn deadline(&self) -> Option<Instant> {
        match &self.dialogue {
            Dialogue::Relp(session) => {
                (session.on_their_way() > 0).then(|| self.heard + self.patience)
            }
            Dialogue::Syslog(counted) => counted.due().map(|due| self.opened + due),
        }
    }

    fn nothing_came(&mut self) -> Result<Option<u64>, LinkError> {
        let Dialogue::Syslog(counted) = &mut self.dialogue else {
            return Err(LinkError::Silent(Step::Acknowledgement));
        };
        if tcp::stands(self.stream.get_ref().0).map_err(LinkError::Broken)? {
            Ok(counted.stood(self.opened.elapsed()))
        } else {
            Ok(None)
        }
    }

    /// Says goodbye, and waits for the answer as long as there is patience.
    pub async fn close(mut self) {
        if let Dialogue::Relp(session) = &mut self.dialogue {
            session.close(&mut self.out);
        }
        // Whoever does not answer a goodbye is left without one.
        let _ = timeout(self.patience, self.goodbye()).await;
    }

    async fn goodbye(&mut self) -> Result<(), LinkError> {
        self.flush().await?;
        if matches!(self.dialogue, Dialogue::Syslog(_)) {
            self.stream.shutdown().await.map_err(broken)?;
        }
        while !matches!(&self.dialogue, Dialogue::Relp(session) if session.is_closed()) {
            self.read().await?;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), LinkError> {
        let mut bytes = [0; READ];
        let length = self.stream.read(&mut bytes).await.map_err(broken)?;
        // librelp's next acknowledgement waits for our kernel's of the last: 40 ms, if that
        // has its way. Where it cannot be told, it is only slower.
        let _ = self.stream.get_ref().0.set_quickack(true);
        let session = match &mut self.dialogue {
            _ if length == 0 => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
            Dialogue::Relp(session) => session,
            Dialogue::Syslog(_) => return Err(LinkError::Answered),
        };
        let (before, was_open) = (session.answers(), session.is_open());
        session
            .receive(bytes.get(..length).unwrap_or_default())
            .map_err(|error| {
                if was_open {
                    LinkError::Over(error)
                } else {
                    LinkError::Session(error)
                }
            })?;
        // Whoever drips bytes that acknowledge nothing is as good as silent.
        if session.answers() > before {
            self.heard = Instant::now();
        }
        Ok(())
    }
}

/// What TLS has to say comes as any other error of reading or writing.
fn broken(error: io::Error) -> LinkError {
    match error.get_ref() {
        Some(inner) if inner.is::<rustls::Error>() => LinkError::Tls(error),
        _ => LinkError::Broken(error),
    }
}

/// So early, there is a likely reason.
fn hung_up(error: LinkError) -> LinkError {
    match error {
        LinkError::Broken(error) => LinkError::HungUp(error),
        error => error,
    }
}
