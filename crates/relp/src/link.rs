//! A session on a connection: the thin part, which carries out what [`session`] decides.
//!
//! A step is either connecting, TLS, the session's opening, or messages and their
//! acknowledgements; each has its deadline, so that a collector that falls silent at any
//! of them is left and not waited for.
//!
//! [`session`]: crate::session

use crate::session::{Session, SessionError, WINDOW};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What is read at a time, in bytes: many acknowledgements.
const READ: usize = 4096;

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
    /// It speaks no RELP, or refused.
    #[error("{0}")]
    Session(#[from] SessionError),
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

/// An open session.
#[derive(Debug)]
pub struct Link {
    stream: TlsStream<TcpStream>,
    session: Session,
    out: Vec<u8>,
    patience: Duration,
}

impl Link {
    /// Connects, and opens a session; each step may take `patience`. `reached` is told
    /// of each step that was made.
    ///
    /// # Errors
    /// [`LinkError`] says at which step it ended.
    pub async fn open(
        peer: &Peer,
        config: &Arc<ClientConfig>,
        patience: Duration,
        mut reached: impl FnMut(Step),
    ) -> Result<Self, LinkError> {
        let silent = |step| move |_| LinkError::Silent(step);
        let tcp = timeout(patience, TcpStream::connect(peer.address)).await;
        let tcp = tcp
            .map_err(silent(Step::Tcp))?
            .map_err(LinkError::Connect)?;
        tcp.set_nodelay(true).map_err(LinkError::Connect)?;
        reached(Step::Tcp);
        let tls = TlsConnector::from(Arc::clone(config)).connect(peer.name.clone(), tcp);
        let stream = timeout(patience, tls).await;
        let stream = stream.map_err(silent(Step::Tls))?.map_err(LinkError::Tls)?;
        reached(Step::Tls);
        let mut out = Vec::new();
        let session = Session::begin(WINDOW, &mut out);
        let mut link = Self {
            stream,
            session,
            out,
            patience,
        };
        link.begin().await?;
        reached(Step::Open);
        Ok(link)
    }

    /// With TLS 1.3 a collector that does not take our certificate says so only now.
    async fn begin(&mut self) -> Result<(), LinkError> {
        self.flush().await?;
        while !self.session.is_open() {
            let read = timeout(self.patience, self.read()).await;
            read.map_err(|_| LinkError::Silent(Step::Open))??;
        }
        Ok(())
    }

    /// How many messages may be given now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.session.room()
    }

    /// How many messages wait for their acknowledgement.
    #[must_use]
    pub fn on_their_way(&self) -> usize {
        self.session.on_their_way()
    }

    /// Takes a message; false when there is no [room](Self::room).
    pub fn give(&mut self, tag: u64, message: &[u8]) -> bool {
        self.session.send(tag, message, &mut self.out)
    }

    /// Sends what was given.
    ///
    /// # Errors
    /// [`LinkError`] ends the link.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        let out = std::mem::take(&mut self.out);
        let sent = timeout(self.patience, async {
            self.stream.write_all(&out).await?;
            self.stream.flush().await
        });
        let sent = sent.await;
        // The buffer is used again.
        self.out = out;
        self.out.clear();
        let late = |_| LinkError::Silent(Step::Acknowledgement);
        sent.map_err(late)?.map_err(LinkError::Broken)
    }

    /// Waits until the collector has acknowledged something, and gives the tag up to
    /// which everything is acknowledged by now. Nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// [`LinkError`] ends the link: also when messages are on their way and nothing comes
    /// for as long as there is patience.
    pub async fn acknowledged(&mut self) -> Result<u64, LinkError> {
        loop {
            if let Some(tag) = self.session.acknowledged() {
                return Ok(tag);
            }
            match self.session.on_their_way() {
                0 => self.read().await?,
                _ => {
                    let read = timeout(self.patience, self.read()).await;
                    read.map_err(|_| LinkError::Silent(Step::Acknowledgement))??;
                }
            }
        }
    }

    /// Says goodbye, and waits for the answer as long as there is patience.
    pub async fn close(mut self) {
        self.session.close(&mut self.out);
        let patience = self.patience;
        let goodbye = async {
            self.flush().await?;
            while !self.session.is_closed() {
                self.read().await?;
            }
            Ok::<_, LinkError>(())
        };
        // Whoever does not answer a goodbye is left without one.
        let _ = timeout(patience, goodbye).await;
    }

    async fn read(&mut self) -> Result<(), LinkError> {
        let mut bytes = [0; READ];
        match self.stream.read(&mut bytes).await {
            Ok(0) => Err(LinkError::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(length) => Ok(self.session.receive(&bytes[..length])?),
            Err(error) => Err(LinkError::Broken(error)),
        }
    }
}
