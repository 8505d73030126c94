//! The way from a task to a channel.
//!
//! The session itself must not wait, so whatever takes time runs in a task and
//! sends through one of these. Sending waits while the client's window is full.

use std::sync::Arc;

use russh::ChannelId;
use russh::server::Handle;

use crate::behaviour::Reply;
use crate::server::Shared;

/// The number of standard error in extended data (RFC 4254, section 5.2).
pub(crate) const STDERR: u32 = 1;

/// One channel of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    pub(crate) handle: Handle,
    pub(crate) channel: ChannelId,
    pub(crate) shared: Arc<Shared>,
}

/// The stream of a program that bytes come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Output,
    Errors,
}

/// The connection is gone.
#[derive(Debug)]
pub(crate) struct Gone;

impl Outlet {
    /// Sends bytes as one of the program's streams.
    pub(crate) async fn send(&self, stream: Stream, bytes: Vec<u8>) -> Result<(), Gone> {
        let (handle, channel) = (&self.handle, self.channel);
        let sent = match stream {
            Stream::Output => handle.data(channel, bytes).await,
            Stream::Errors => handle.extended_data(channel, STDERR, bytes).await,
        };
        sent.map_err(|_| Gone)
    }

    /// Says how the program ended and closes the channel.
    pub(crate) async fn exit(&self, status: u32) {
        // Any of these fails when the connection is gone: then nobody waits.
        let _ = self.handle.exit_status_request(self.channel, status).await;
        let _ = self.handle.eof(self.channel).await;
        let _ = self.handle.close(self.channel).await;
    }

    /// Sends a reply when its time has come.
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
        let tally = &self.shared.tally;
        tally.note(|counters| counters.readings += readings);
    }
}
