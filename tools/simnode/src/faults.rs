//! Misbehaviour that does not wait for the client.

use std::sync::Arc;
use std::time::Duration;

use russh::Error;
use russh::server::Handle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::behaviour::Behaviour;
use crate::connection::ControlledStream;
use crate::server::NodeState;
use crate::writer::ChannelWriter;

/// Channels that a hostile node opens at the same time.
const OPENERS: usize = 32;

/// Any bytes without a newline.
static FLOOD: [u8; 16 * 1024] = [b'x'; 16 * 1024];

const BANNER_LINE: &[u8] = b"This node has much to say before it gets to the point.\r\n";

/// Reads and discards a connection's data, and sends nothing.
pub(crate) async fn say_nothing(mut wire: ControlledStream) {
    let mut ignored = [0_u8; 256];
    while wire.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
}

/// Sends lines before the SSH version until the client closes the connection.
pub(crate) async fn print_banner(mut wire: ControlledStream, every: Duration) {
    while wire.write_all(BANNER_LINE).await.is_ok() {
        // Even a sleep of zero takes a tick of the timer.
        if every.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(every).await;
        }
    }
}

/// Sends a text and closes the connection.
pub(crate) async fn speak(mut wire: ControlledStream, text: Arc<str>) {
    let _ = wire.write_all(text.as_bytes()).await;
}

/// Sends bytes on a channel while the behaviour is [`Behaviour::Flood`].
pub(crate) async fn flood(writer: ChannelWriter) {
    while matches!(*writer.shared.behaviour(), Behaviour::Flood) {
        // Waits while the client's window is full.
        if writer
            .handle
            .data(writer.channel, &FLOOD[..])
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Starts tasks that open channels towards the client.
pub(crate) fn open_channels(handle: &Handle, shared: &Arc<NodeState>) -> JoinSet<()> {
    // One after another in each task. A channel takes a round trip, so several tasks run.
    let keep_opening = |handle: Handle, shared: Arc<NodeState>| async move {
        while shared.behaviour().opens_channels() {
            // The kind that a server opens for a port that it forwards (RFC 4254, section 7.2).
            let opened = handle.channel_open_forwarded_tcpip("127.0.0.1", 22, "127.0.0.1", 1);
            match opened.await {
                Ok(_) => shared
                    .counters
                    .note(|counters| counters.channels_taken += 1),
                Err(Error::ChannelOpenFailure(_)) => {
                    shared
                        .counters
                        .note(|counters| counters.channels_refused += 1);
                }
                // The connection is gone.
                Err(_) => return,
            }
        }
    };
    (0..OPENERS)
        .map(|_| keep_opening(handle.clone(), Arc::clone(shared)))
        .collect()
}
