//! The Unix socket: made, accepted from, and taken away again.
//!
//! A caller is identified and admitted before a byte of it is read. One that may
//! not ask gets its answer at once and has never held anything but a descriptor.

use crate::connection::{Connection, NoLine};
use crate::daemon::Daemon;
use crate::dispatch;
use crate::watched::watched;
use pulse_core::event::{Decision, Event, EventType};
use pulse_core::peer::{Peer, SocketRole};
use pulse_core::rpc::RpcError;
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::Instant;

/// The listening socket, not watched by the runtime yet: it is bound before there
/// is one, and before the daemon confines itself.
pub struct BoundSocket {
    listener: UnixListener,
    /// `None` when the file is the service manager's.
    file: Option<SocketFile>,
}

impl BoundSocket {
    /// Binds the socket, with the rights that the process has now; its directory must be
    /// there. A file left behind by a daemon that is gone is replaced; one that somebody
    /// still listens on is not.
    ///
    /// # Errors
    /// `AddrInUse` when another daemon serves it, or whatever the system says.
    pub fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = pulse_confine::bind_unix(path, mode)?;
        let file = Some(SocketFile(path.to_owned()));
        listener.set_nonblocking(true)?;
        Ok(Self { listener, file })
    }

    /// One that the service manager has bound.
    ///
    /// # Errors
    /// Whatever `fcntl(2)` says.
    pub fn inherited(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            file: None,
        })
    }

    /// Has the runtime watch it.
    ///
    /// # Errors
    /// Whatever `epoll_ctl(2)` says.
    pub fn watch(self) -> io::Result<Socket> {
        Ok(Socket {
            listener: watched(self.listener, Interest::READABLE)?,
            _file: self.file,
        })
    }
}

/// The listening socket; its file goes away with it.
pub struct Socket {
    listener: AsyncFd<UnixListener>,
    _file: Option<SocketFile>,
}

impl Socket {
    async fn accept(&self) -> io::Result<UnixStream> {
        let accept = |listener: &UnixListener| listener.accept();
        let (stream, _) = self.listener.async_io(Interest::READABLE, accept).await?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}

/// Removed when dropped.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone already. In a directory of root's it stays, and the next daemon
        // that starts as root takes its place.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is no socket",
        )),
        // Only a refusal proves that nobody listens (connect(2)): a socket that we may not
        // open, or whose queue is full, is somebody's.
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)
            }
            _ => Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another daemon serves it",
            )),
        },
    }
}

/// Accepts callers until `draining` turns true.
pub async fn serve(
    socket: Socket,
    role: SocketRole,
    daemon: Arc<Daemon>,
    mut draining: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = draining.wait_for(|draining| *draining) => return,
        };
        match accepted {
            Ok(stream) => welcome(stream, role, &daemon, &draining),
            Err(error) => after_accept_error("rpc", &error).await,
        }
    }
}

/// Without descriptors left, accepting again at once would only spin.
pub(crate) async fn after_accept_error(listener: &str, error: &io::Error) {
    tracing::warn!(listener, %error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn welcome(
    stream: UnixStream,
    role: SocketRole,
    daemon: &Arc<Daemon>,
    draining: &watch::Receiver<bool>,
) {
    // A caller that the kernel cannot name is nobody.
    let Ok(peer) = identify(&stream, role, daemon) else {
        return;
    };
    let daemon = Arc::clone(daemon);
    match admit(&daemon, &peer) {
        Ok(admitted) => {
            tokio::spawn(attend(
                Connection::new(stream),
                daemon,
                peer,
                admitted,
                draining.clone(),
            ));
        }
        Err(error) => turn_away(stream, daemon, &peer, &error),
    }
}

fn identify(stream: &UnixStream, role: SocketRole, daemon: &Daemon) -> io::Result<Arc<Peer>> {
    let credentials = pulse_confine::credentials(stream)?;
    let around = pulse_confine::surroundings(stream, credentials);
    let policy = &daemon.snapshot().policy;
    Ok(Arc::new(policy.identify(role, credentials, around)))
}

/// A caller's place among the connections; given back when dropped.
struct Admitted {
    daemon: Arc<Daemon>,
    peer: Arc<Peer>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.daemon.gate().leave(&self.peer.id);
    }
}

fn admit(daemon: &Arc<Daemon>, peer: &Arc<Peer>) -> Result<Admitted, RpcError> {
    if peer.capabilities.is_empty() {
        return Err(daemon.unauthorised(peer));
    }
    let penalty = daemon
        .limiter()
        .check_penalty(&peer.id, std::time::Instant::now());
    penalty.map_err(|refusal| daemon.limited(peer, refusal))?;
    let entered = daemon.gate().enter(&peer.id);
    entered.map_err(|_| daemon.crowded(peer))?;
    let event = Event::new(EventType::ConnectionAccepted, Decision::Allowed);
    daemon.note_summed(Event {
        peer: Some(peer),
        ..event
    });
    Ok(Admitted {
        daemon: Arc::clone(daemon),
        peer: Arc::clone(peer),
    })
}

/// Answers with the error and waits, within bounds, until the caller has read it.
fn turn_away(stream: UnixStream, daemon: Arc<Daemon>, peer: &Peer, error: &RpcError) {
    daemon.metrics.turned_away(error.label());
    let line = dispatch::refusal(error);
    // A fresh socket's buffer has room for a line.
    let _ = (&stream).write(&line);
    let uid = peer.credentials.uid;
    if daemon.door().enter(&uid).is_err() {
        // Too many of this user linger already: this one may get a reset.
        return;
    }
    tokio::spawn(async move {
        let patience = daemon.config().timeouts.read;
        Connection::new(stream).finish(patience).await;
        daemon.door().leave(&uid);
    });
}

/// Serves one caller until it is done.
async fn attend(
    mut connection: Connection,
    daemon: Arc<Daemon>,
    peer: Arc<Peer>,
    admitted: Admitted,
    mut draining: watch::Receiver<bool>,
) {
    let (mut answered, mut cut_short) = (false, false);
    loop {
        let timeouts = daemon.config().timeouts;
        let line = tokio::select! {
            biased;
            line = connection.line(Instant::now() + timeouts.read) => line,
            _ = draining.wait_for(|draining| *draining) => return,
        };
        let reply = match line {
            Ok(line) => tokio::select! {
                reply = dispatch::answer(&daemon, &peer, &line) => reply,
                () = connection.gone() => return,
            },
            // One that keeps its connection need not ask again.
            Err(NoLine::Refused(RpcError::ReadTimeout)) if answered && connection.is_quiet() => {
                break;
            }
            Err(NoLine::Ended) => return,
            Err(NoLine::Refused(error)) => {
                cut_short = true;
                refuse(&daemon, &peer, &error)
            }
        };
        if let Err(error) = connection.send(&reply.line, timeouts.write).await {
            if error.kind() == io::ErrorKind::TimedOut {
                daemon.metrics.write_timeouts.inc();
            }
            return;
        }
        answered = true;
        if !reply.keep_alive || *draining.borrow() {
            break;
        }
    }
    // What follows is courtesy and takes nobody's place.
    drop(admitted);
    if cut_short {
        connection.finish_soon().await;
    } else {
        connection.close().await;
    }
}

/// The reply to a line that never came whole.
fn refuse(daemon: &Daemon, peer: &Peer, error: &RpcError) -> dispatch::Reply {
    if *error == RpcError::ReadTimeout {
        daemon.metrics.read_timeouts.inc();
    }
    if error.is_penalised() {
        daemon
            .limiter()
            .penalise(&peer.id, std::time::Instant::now());
        daemon.metrics.penalised(error.label(), &peer.id);
    }
    daemon.metrics.rpc("invalid", error.label(), Duration::ZERO);
    dispatch::Reply {
        line: dispatch::refusal(error),
        keep_alive: false,
    }
}
