//! The Unix socket: made, accepted from, and taken away again.
//!
//! A caller is identified and admitted before a byte of it is read. One that may
//! not ask gets its answer at once and has never held anything but a descriptor.

use crate::backlog::{Accepted, Guards, Sieve};
use crate::connection::{Connection, NoLine};
use crate::daemon::Daemon;
use crate::dispatch;
use crate::watched::watched;
use pulse_core::accept::Standing;
use pulse_core::limiter::Refusal;
use pulse_core::peer::{Peer, SocketRole, Surroundings};
use pulse_core::rpc::RpcError;
use pulse_core::summary::Occurrence;
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
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
        let listener = crate::sys::bind_unix(path, mode)?;
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

    /// The listening socket itself.
    #[must_use]
    pub fn into_socket(self) -> Socket {
        Socket {
            listener: Arc::new(self.listener),
            _file: self.file,
        }
    }
}

/// The listening socket; its file goes away with it.
pub struct Socket {
    listener: Arc<UnixListener>,
    _file: Option<SocketFile>,
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

/// Connections that are taken off the backlog before other tasks have their turn.
const BATCH: usize = 32;

/// So many batches in a row that did not empty the backlog are a flood, or like one.
const FULL_BATCHES: usize = 2;

/// The pause after a connection could not be accepted: without descriptors left, accepting
/// again at once would only spin.
pub(crate) const AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(50);

/// Serves administrators until `draining` turns true. Nobody else can open their socket,
/// so none of them is closed out.
pub(crate) async fn serve_administrators(
    socket: Socket,
    daemon: Arc<Daemon>,
    mut draining: watch::Receiver<bool>,
) {
    let watch = match watched(Arc::clone(&socket.listener), Interest::READABLE) {
        Ok(watch) => watch,
        Err(error) => {
            tracing::error!("cannot watch the control socket: {error}: nobody can administer");
            // Callers are served all the same. The sender lives longer than we do.
            let _ = draining.wait_for(|draining| *draining).await;
            return;
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = watch.async_io(Interest::READABLE, |listener| listener.accept()) => accepted,
            _ = draining.wait_for(|draining| *draining) => return,
        };
        let accepted = accepted.and_then(|(stream, _)| {
            stream.set_nonblocking(true)?;
            let credentials = crate::sys::credentials(&stream)?;
            Ok((stream, credentials))
        });
        match accepted {
            Ok((stream, credentials)) => {
                let around = crate::sys::surroundings(&stream, credentials);
                let peer =
                    daemon
                        .snapshot()
                        .policy
                        .identify(SocketRole::Control, credentials, around);
                welcome(stream, peer, &daemon, &draining);
            }
            Err(error) => after_accept_error("control", &error).await,
        }
    }
}

/// Serves callers until `draining` turns true.
pub(crate) async fn serve_callers(
    socket: Socket,
    guards: Guards,
    daemon: Arc<Daemon>,
    mut draining: watch::Receiver<bool>,
) {
    let is_draining = async |draining: &mut watch::Receiver<bool>| {
        // Its sender lives longer than we do.
        let _ = draining.wait_for(|draining| *draining).await;
    };
    let (listener, handed_on) = (&socket.listener, draining.clone());
    let mut sieve = Sieve::new(&daemon, 1);
    loop {
        tokio::select! {
            ended = accept_until_flooded(listener, &mut sieve, &daemon, &handed_on) => {
                if let Err(error) = ended {
                    // The guards accept what is there, and then it is tried again.
                    sieve.warn(&error);
                    tokio::time::sleep(AFTER_ACCEPT_ERROR).await;
                }
            }
            () = is_draining(&mut draining) => break,
        }
        sieve.put_on_record();
        let mut handed_over = guards.accept(listener, &daemon);
        let welcome_all = async {
            while let Some(accepted) = handed_over.next().await {
                welcome_caller(accepted, &daemon, &handed_on);
            }
        };
        tokio::select! {
            () = welcome_all => (),
            () = is_draining(&mut draining) => {
                // What they close is on record before the end.
                handed_over.end().await;
                break;
            }
        }
    }
    sieve.put_on_record();
}

/// Serves callers until one is over its budget, or so many come that others should wait
/// for the runtime instead of the backlog. The runtime watches the socket only that long:
/// it would be woken for each connection that a guard takes.
async fn accept_until_flooded(
    listener: &Arc<UnixListener>,
    sieve: &mut Sieve,
    daemon: &Arc<Daemon>,
    draining: &watch::Receiver<bool>,
) -> io::Result<()> {
    let watch = watched(Arc::clone(listener), Interest::READABLE)?;
    let mut full_batches = 0;
    while !sieve.is_flooded() && full_batches < FULL_BATCHES {
        let mut ready = watch.readable().await?;
        full_batches += 1;
        for _ in 0..BATCH {
            match sieve.accept(listener) {
                Ok(Some(accepted)) => welcome_caller(accepted, daemon, draining),
                Ok(None) => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    full_batches = 0;
                    break;
                }
                Err(error) => {
                    sieve.warn(&error);
                    tokio::time::sleep(AFTER_ACCEPT_ERROR).await;
                    break;
                }
            }
        }
        drop(ready);
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Says why a connection could not be accepted, and waits a little.
pub(crate) async fn after_accept_error(listener: &str, error: &io::Error) {
    warn_of_accept_error(listener, error);
    tokio::time::sleep(AFTER_ACCEPT_ERROR).await;
}

pub(crate) fn warn_of_accept_error(listener: &str, error: &io::Error) {
    tracing::warn!(listener, %error, "cannot accept a connection");
}

/// Whoever cannot have a capability is not worth a look at its process.
fn welcome_caller(accepted: Accepted, daemon: &Arc<Daemon>, draining: &watch::Receiver<bool>) {
    let Accepted {
        stream,
        credentials,
        standing,
    } = accepted;
    let around = match standing {
        Standing::Stranger => Surroundings::default(),
        Standing::Eligible => crate::sys::surroundings(&stream, credentials),
    };
    let peer = daemon
        .snapshot()
        .policy
        .identify(SocketRole::Callers, credentials, around);
    welcome(stream, peer, daemon, draining);
}

fn welcome(stream: UnixStream, peer: Peer, daemon: &Arc<Daemon>, draining: &watch::Receiver<bool>) {
    let (daemon, peer) = (Arc::clone(daemon), Arc::new(peer));
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
    entered.map_err(|_| daemon.limited(peer, Refusal::Connections))?;
    daemon.note(Occurrence::Accepted, peer);
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
    let user = peer.id.clone();
    if daemon.door().enter(&user).is_err() {
        // Too many of this user linger already: this one may get a reset.
        return;
    }
    tokio::spawn(async move {
        let patience = daemon.config().timeouts.read;
        Connection::new(stream).finish(patience).await;
        daemon.door().leave(&user);
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
