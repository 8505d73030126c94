//! The accept loops of the two sockets: identify the caller, then hand it to its session.

use super::backlog::{Accepted, Acceptor, Guards};
use super::session::admit_or_refuse;
use super::socket::Socket;
use crate::state::Daemon;
use crate::sys::accept;
use crate::sys::watched::watched;
use pulse_core::callers::accept::Standing;
use pulse_core::callers::peer::{ProcessFacts, SocketRole};
use pulse_core::rpc::ServiceRefusal;
use pulse_files::Exhaustion;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::sync::watch;

/// Connections that are accepted before other tasks have their turn.
const BATCH: usize = 32;

/// Batches in a row that do not empty the backlog: more count as a flood.
const FULL_BATCHES: usize = 2;

/// Serves administrators until `draining` turns true. Only root can open their socket, so
/// they have no accept budget.
pub(crate) async fn serve_administrators(
    socket: Socket,
    daemon: Arc<Daemon>,
    mut draining: watch::Receiver<bool>,
) {
    let watch = match watched(Arc::clone(&socket.listener), Interest::READABLE) {
        Ok(watch) => watch,
        Err(error) => {
            tracing::error!("cannot serve the control socket: {error}");
            // Callers are served all the same. The sender outlives this task.
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
                // Whoever can open this socket is an administrator: the facts are for records.
                let facts = crate::sys::process_facts(&stream, credentials).unwrap_or_default();
                let peer =
                    daemon
                        .snapshot()
                        .policy
                        .identify(SocketRole::Control, credentials, facts);
                admit_or_refuse(stream, peer, None, &daemon, &draining);
            }
            Err(error) => accept::CONTROL.pause(&error).await,
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
        // The sender outlives this task.
        let _ = draining.wait_for(|draining| *draining).await;
    };
    let (listener, handed_on) = (&socket.listener, draining.clone());
    let mut acceptor = Acceptor::new(&daemon, 1);
    loop {
        tokio::select! {
            ended = accept_until_flooded(listener, &mut acceptor, &daemon, &handed_on) => {
                if let Err(error) = ended {
                    // The guards accept what is there; then the runtime tries again.
                    accept::CALLERS.report(&error);
                    tokio::time::sleep(accept::RETRY_DELAY).await;
                }
            }
            () = is_draining(&mut draining) => break,
        }
        // The guards have budgets of their own, and this acceptor may be unused for long.
        acceptor.record_closed();
        let mut handed_over = guards.accept(listener, &daemon);
        let serve_all = async {
            while let Some(accepted) = handed_over.next().await {
                identify_caller(accepted, &daemon, &handed_on);
            }
        };
        tokio::select! {
            () = serve_all => (),
            () = is_draining(&mut draining) => {
                // The connections that they close are on record before the end.
                handed_over.end().await;
                break;
            }
        }
    }
    acceptor.record_closed();
}

/// Serves callers until one is over its budget, or so many come that others should wait
/// for the runtime instead of the backlog. The runtime watches the socket only that long:
/// it would be woken for each connection that a guard takes.
async fn accept_until_flooded(
    listener: &Arc<UnixListener>,
    acceptor: &mut Acceptor,
    daemon: &Arc<Daemon>,
    draining: &watch::Receiver<bool>,
) -> io::Result<()> {
    let watch = watched(Arc::clone(listener), Interest::READABLE)?;
    let mut full_batches = 0;
    while !acceptor.is_flooded() && full_batches < FULL_BATCHES {
        let mut ready = watch.readable().await?;
        full_batches += 1;
        for _ in 0..BATCH {
            match acceptor.accept(listener) {
                Ok(Some(accepted)) => identify_caller(accepted, daemon, draining),
                Ok(None) => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    full_batches = 0;
                    break;
                }
                Err(error) => {
                    accept::CALLERS.report(&error);
                    tokio::time::sleep(accept::RETRY_DELAY).await;
                    break;
                }
            }
        }
        // The sessions get a turn, so that they answer the connections that were accepted.
        drop(ready);
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Identifies a caller; `/proc` is not read for one that cannot have a capability.
fn identify_caller(accepted: Accepted, daemon: &Arc<Daemon>, draining: &watch::Receiver<bool>) {
    let Accepted {
        stream,
        credentials,
        standing,
    } = accepted;
    let (facts, refusal) = match standing {
        Standing::Stranger => (ProcessFacts::default(), None),
        // Without the facts, a process of another container could pass for a permitted one, and
        // a permitted one be counted together with others.
        Standing::Eligible => match crate::sys::process_facts(&stream, credentials) {
            Ok(facts) => (facts, None),
            Err(error) => (ProcessFacts::default(), Some(refusal_of(&error))),
        },
    };
    let peer = daemon
        .snapshot()
        .policy
        .identify(SocketRole::Callers, credentials, facts);
    admit_or_refuse(stream, peer, refusal, daemon, draining);
}

/// The refusal of a caller that cannot be identified for lack of a resource.
fn refusal_of(error: &io::Error) -> ServiceRefusal {
    match Exhaustion::of(error) {
        Some(Exhaustion::System) => ServiceRefusal::HostOutOfDescriptors,
        Some(Exhaustion::Memory) => ServiceRefusal::OutOfMemory,
        // No other error than exhaustion is reported.
        Some(Exhaustion::Process) | None => ServiceRefusal::OutOfDescriptors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn each_lack_has_its_refusal() {
        for (errno, text) in [
            (Errno::EMFILE, "out of file descriptors"),
            (Errno::ENFILE, "the host is out of file descriptors"),
            (Errno::ENOMEM, "out of memory"),
            (Errno::ENOBUFS, "out of memory"),
        ] {
            let error = io::Error::from(errno);
            let refusal = refusal_of(&error);
            assert_eq!(refusal.to_string(), text, "{errno}");
            // The text that nodes and the log have for the same lack.
            let exhaustion = Exhaustion::of(&error).unwrap();
            assert_eq!(refusal.to_string(), exhaustion.to_string());
        }
    }
}
