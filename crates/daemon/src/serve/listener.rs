//! The accept loops of the two sockets: identify the caller, then hand it to its session.

use super::backlog::{Accepted, Guards, Sieve};
use super::session::welcome;
use super::socket::Socket;
use crate::state::Daemon;
use crate::sys::accept::{AFTER_ACCEPT_ERROR, after_accept_error};
use crate::sys::watched::watched;
use pulse_core::accept::Standing;
use pulse_core::peer::{ProcessFacts, SocketRole};
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::sync::watch;

/// Connections that are taken off the backlog before other tasks have their turn.
const BATCH: usize = 32;

/// So many batches in a row that did not empty the backlog are a flood, or like one.
const FULL_BATCHES: usize = 2;

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
                let around = crate::sys::process_facts(&stream, credentials);
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

/// Whoever cannot have a capability is not worth a look at its process.
fn welcome_caller(accepted: Accepted, daemon: &Arc<Daemon>, draining: &watch::Receiver<bool>) {
    let Accepted {
        stream,
        credentials,
        standing,
    } = accepted;
    let facts = match standing {
        Standing::Stranger => ProcessFacts::default(),
        Standing::Eligible => crate::sys::process_facts(&stream, credentials),
    };
    let peer = daemon
        .snapshot()
        .policy
        .identify(SocketRole::Callers, credentials, facts);
    welcome(stream, peer, daemon, draining);
}
