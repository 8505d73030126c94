//! Sending to a channel from a task.
//!
//! The session itself must not wait, so what takes time runs in a task that sends through a
//! [`ChannelWriter`]. Sending waits while the client's window is full.

use std::sync::Arc;

use russh::ChannelId;
use russh::server::Handle;

use crate::behaviour::Reply;
use crate::server::NodeState;

/// The number of standard error in extended data (RFC 4254, section 5.2).
pub(crate) const STDERR: u32 = 1;

/// One channel of one connection.
#[derive(Clone, Debug)]
pub(crate) struct ChannelWriter {
    pub(crate) handle: Handle,
    pub(crate) channel: ChannelId,
    pub(crate) shared: Arc<NodeState>,
}

/// An output stream of a program.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Output,
    Errors,
}

/// The connection is gone.
#[derive(Debug)]
pub(crate) struct Disconnected;

impl ChannelWriter {
    /// Sends bytes as one of the program's streams.
    pub(crate) async fn send(&self, stream: Stream, bytes: Vec<u8>) -> Result<(), Disconnected> {
        let (handle, channel) = (&self.handle, self.channel);
        let sent = match stream {
            Stream::Output => handle.data(channel, bytes).await,
            Stream::Errors => handle.extended_data(channel, STDERR, bytes).await,
        };
        sent.map_err(|_| Disconnected)
    }

    /// Sends the exit status and closes the channel.
    pub(crate) async fn exit(&self, status: u32) {
        // Each of these fails when the connection is closed; then nothing waits for it.
        let _ = self.handle.exit_status_request(self.channel, status).await;
        let _ = self.handle.eof(self.channel).await;
        let _ = self.handle.close(self.channel).await;
    }

    /// Sends a reply after its delay.
    pub(crate) async fn reply_later(self, reply: Reply) {
        tokio::time::sleep(reply.after).await;
        self.count_readings(reply.readings);
        if self.send(Stream::Output, reply.output).await.is_ok()
            && let Some(status) = reply.exit
        {
            self.exit(status).await;
        }
    }

    pub(crate) fn count_readings(&self, readings: u64) {
        let counters = &self.shared.counters;
        counters.note(|counters| counters.readings += readings);
    }
}
