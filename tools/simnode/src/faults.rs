//! Misbehaviour that goes on by itself, without waiting for the client.

use std::sync::Arc;
use std::time::Duration;

use russh::Error;
use russh::server::Handle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::behaviour::Behaviour;
use crate::connection::Wire;
use crate::outlet::Outlet;
use crate::server::Shared;

/// Channels that a hostile node opens at the same time.
const OPENERS: usize = 32;

/// Any of them: what counts is that there is no newline.
static FLOOD: [u8; 16 * 1024] = [b'x'; 16 * 1024];

const BANNER_LINE: &[u8] = b"This node has much to say before it gets to the point.\r\n";

/// Holds a connection and takes whatever the client sends.
pub(crate) async fn say_nothing(mut wire: Wire) {
    let mut ignored = [0_u8; 256];
    while wire.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
}

/// Sends lines before the SSH version for as long as the client listens.
pub(crate) async fn print_banner(mut wire: Wire, every: Duration) {
    while wire.write_all(BANNER_LINE).await.is_ok() {
        // Even a sleep of nothing takes a tick of the timer.
        if every.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(every).await;
        }
    }
}

/// Sends bytes on a channel while the node is one that floods.
pub(crate) async fn flood(outlet: Outlet) {
    while matches!(*outlet.shared.behaviour(), Behaviour::Flood) {
        let sent = outlet.handle.data(outlet.channel, &FLOOD[..]).await;
        if sent.is_err() {
            return;
        }
    }
}

/// Starts opening channels towards the client.
pub(crate) fn open_channels(handle: &Handle, shared: &Arc<Shared>) -> JoinSet<()> {
    (0..OPENERS)
        .map(|_| keep_opening(handle.clone(), Arc::clone(shared)))
        .collect()
}

/// One of several: a channel costs a round trip, and they overlap.
async fn keep_opening(handle: Handle, shared: Arc<Shared>) {
    while shared.behaviour().opens_channels() {
        let opened = handle.channel_open_forwarded_tcpip("127.0.0.1", 22, "127.0.0.1", 1);
        match opened.await {
            Ok(_) => shared.tally.note(|counters| counters.channels_taken += 1),
            Err(Error::ChannelOpenFailure(_)) => {
                shared.tally.note(|counters| counters.channels_refused += 1);
            }
            Err(_) => return,
        }
    }
}
