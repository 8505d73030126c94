//! One caller, from admission to the end of its connection.
//!
//! A caller is admitted before a byte of it is read. One that may not ask gets its answer
//! at once and has never held anything but a descriptor.

use super::connection::{Connection, NoLine};
use super::dispatch;
use crate::state::Daemon;
use pulse_core::callers::limiter::Refusal;
use pulse_core::callers::peer::Peer;
use pulse_core::event::Access;
use pulse_core::rpc::{RpcError, ServiceRefusal};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Admits a caller and serves it, or turns it away with the reason. With a `refusal`, its
/// request is read and refused: the answer has to name the node that was asked for.
pub(super) fn admit_or_refuse(
    stream: UnixStream,
    peer: Peer,
    refusal: Option<ServiceRefusal>,
    daemon: &Arc<Daemon>,
    draining: &watch::Receiver<bool>,
) {
    let (daemon, peer) = (Arc::clone(daemon), Arc::new(peer));
    match admit(&daemon, &peer) {
        Ok(admitted) => {
            if refusal.is_none() {
                daemon.note(Access::Accepted, &peer);
            }
            tokio::spawn(serve(
                Connection::new(stream),
                daemon,
                peer,
                refusal,
                admitted,
                draining.clone(),
            ));
        }
        Err(error) => turn_away(stream, daemon, &peer, &error),
    }
}

/// A caller's place among the open connections; released when dropped.
struct Admitted {
    daemon: Arc<Daemon>,
    peer: Arc<Peer>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.daemon.connections().close(&self.peer.id);
    }
}

fn admit(daemon: &Arc<Daemon>, peer: &Arc<Peer>) -> Result<Admitted, RpcError> {
    if peer.capabilities.is_empty() {
        return Err(daemon.unauthorised(peer));
    }
    // A penalty is checked once the line is read: its refusal names the node that was asked for.
    if daemon.connections().open(&peer.id).is_err() {
        return Err(daemon.limited(peer, Refusal::Connections.into()));
    }
    Ok(Admitted {
        daemon: Arc::clone(daemon),
        peer: Arc::clone(peer),
    })
}

/// Answers with the error and waits, within bounds, until the caller has read it.
fn turn_away(stream: UnixStream, daemon: Arc<Daemon>, peer: &Peer, error: &RpcError) {
    daemon.metrics.turned_away(error.label());
    // The buffer of a new socket has room for a line.
    let _ = (&stream).write(&dispatch::refusal(error));
    let user = peer.id.clone();
    if daemon.rejections().open(&user).is_err() {
        // Too many of this user are waited for already: this one may get a reset.
        return;
    }
    tokio::spawn(async move {
        let patience = daemon.config().timeouts.read;
        Connection::new(stream).finish(patience).await;
        daemon.rejections().close(&user);
    });
}

/// The time for the first line of a caller that connected just before the daemon ends: clients
/// connect and send at once.
const LAST_LINE: Duration = Duration::from_millis(250);

/// Completes when the daemon is to end, and a caller without an answer has had time for its line:
/// it would take the closed connection for a failure, and the next daemon cannot serve it.
async fn drained(draining: &mut watch::Receiver<bool>, is_answered: bool) {
    // The sender outlives the callers.
    let _ = draining.wait_for(|draining| *draining).await;
    if !is_answered {
        sleep(LAST_LINE).await;
    }
}

/// Serves one caller until it is done.
async fn serve(
    mut connection: Connection,
    daemon: Arc<Daemon>,
    peer: Arc<Peer>,
    refusal: Option<ServiceRefusal>,
    admitted: Admitted,
    mut draining: watch::Receiver<bool>,
) {
    let (mut answered, mut cut_short) = (false, false);
    loop {
        let timeouts = daemon.config().timeouts;
        let line = tokio::select! {
            // A request that was received is answered even if the daemon is to end.
            biased;
            line = connection.line(Instant::now() + timeouts.read) => line,
            () = drained(&mut draining, answered) => return,
        };
        let reply = match line {
            Ok(line) => tokio::select! {
                reply = dispatch::answer(&daemon, &peer, &line, refusal) => reply,
                () = connection.gone() => return,
            },
            // A kept connection that is idle ends without an error.
            Err(NoLine::Refused(RpcError::ReadTimeout)) if answered && connection.is_quiet() => {
                break;
            }
            Err(NoLine::Ended) => return,
            Err(NoLine::Refused(error)) => {
                cut_short = true;
                if error == RpcError::ReadTimeout {
                    daemon.metrics.read_timeouts.inc();
                }
                dispatch::refuse(&daemon, &peer, error)
            }
        };
        // Not raced with `draining`: the outcome is on record, so the caller should get it.
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
    // The caller has its answer: what follows no longer counts as its connection.
    drop(admitted);
    if cut_short {
        connection.finish_soon().await;
    } else {
        connection.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fixture, SECOND, Step, peer};
    use pulse_core::callers::capability::Capabilities;
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream as Client;

    #[tokio::test(start_paused = true)]
    async fn exhausted_daemon_denies_nobody() {
        let config = "allowed_nodes = ['a']";
        let fixture = Fixture::new(config, |_| Step::succeeds_after(SECOND));
        for (line, error) in [
            (
                r#"{"method":"get_temperature","params":{"node":"a"}}"#,
                "node \"a\" not read: out of file descriptors",
            ),
            (
                r#"{"method":"get_status","keep_alive":true}"#,
                "out of file descriptors",
            ),
        ] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            theirs.set_nonblocking(true).unwrap();
            let caller = Peer::clone(&peer(7, Capabilities::read_only()));
            let refusal = Some(ServiceRefusal::OutOfDescriptors);
            let draining = fixture.drain.subscribe();
            admit_or_refuse(ours, caller, refusal, &fixture.daemon, &draining);
            let mut client = Client::from_std(theirs).unwrap();
            client
                .write_all(format!("{line}\n").as_bytes())
                .await
                .unwrap();
            // Up to the end: the connection does not stay.
            let mut reply = String::new();
            client.read_to_string(&mut reply).await.unwrap();
            let reply: Value = serde_json::from_str(&reply).unwrap();
            assert_eq!(reply["error"], error);
        }
        assert!(fixture.script.asked().is_empty());
        let lines = fixture.records.lines();
        assert!(
            lines.iter().all(|line| !line.contains("denied")),
            "{lines:?}"
        );
    }
}
