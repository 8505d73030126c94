//! Commands to a stream, and its checks for new certificates.

use super::{CloseReason, SHUTDOWN_TIMEOUT, Stream};
use crate::credentials;
use crate::cursor::ResumePoint;
use crate::forwarder::StreamCommand;
use pulse_core::causes::Causes;
use tokio::time::Instant;

impl Stream {
    /// Handles a command while connected. Gives the reason when the connection must be closed.
    pub(super) fn handle_command(
        &mut self,
        command: Option<StreamCommand>,
        index: usize,
    ) -> Option<CloseReason> {
        match command {
            Some(StreamCommand::CheckCertificates) => {
                self.failback_at = Instant::now();
                self.check_certificates(index)
            }
            command => self.handle_unconnected(command),
        }
    }

    /// Handles a command while not connected.
    pub(super) fn handle_unconnected(
        &mut self,
        command: Option<StreamCommand>,
    ) -> Option<CloseReason> {
        match command {
            None | Some(StreamCommand::Stop) => {
                self.stop_at
                    .get_or_insert_with(|| Instant::now() + SHUTDOWN_TIMEOUT);
                None
            }
            // Certificates are read for each connection.
            Some(StreamCommand::CheckCertificates) => None,
            Some(StreamCommand::Replay(from)) => {
                // A replay only goes back: going forward would leave records out.
                let from = from.min(self.acknowledged.seq() + 1);
                tracing::info!(
                    "stream {} sends records from {from} on again",
                    self.stream_name()
                );
                self.acknowledged = ResumePoint::From(from);
                self.config.loss.keep_delivered();
                self.in_flight.forget_records();
                // At once: after a kill the replay would otherwise be forgotten.
                self.store();
                self.publish();
                Some(CloseReason::Replay)
            }
            Some(StreamCommand::AcceptLoss(ranges)) => {
                self.accept_loss(&ranges);
                None
            }
        }
    }

    pub(super) fn has_other_certificates(&self) -> bool {
        credentials::fingerprint(&self.config.files) != self.fingerprint
    }

    /// The reason to reconnect when there are new certificates. Unusable ones do not end a
    /// connection that works.
    pub(super) fn check_certificates(&self, index: usize) -> Option<CloseReason> {
        if !self.has_other_certificates() {
            return None;
        }
        match credentials::load(&self.config.files, &self.config.routes[index].collector) {
            Ok(_) => Some(CloseReason::CertificatesRenewed),
            Err(error) => {
                let error = Causes(&error).to_string();
                let mut status = self.config.board.lock();
                // Logged once, not at each check.
                if status.certificates.error.as_ref() != Some(&error) {
                    tracing::warn!(
                        "the new certificates cannot be used, the connection to the collector {} with the old ones stays: {error}",
                        self.collector_name(index)
                    );
                }
                status.certificates.error = Some(error);
                None
            }
        }
    }
}
