//! What is asked of a stream while it works, and new certificates, which nobody has to
//! ask for.

use super::{FAREWELL, Over, Stream};
use crate::credentials;
use crate::cursor::Place;
use crate::forwarder::Command;
use pulse_relp::identity::IdentityError;
use tokio::time::Instant;

impl Stream {
    /// Carries out what is asked while a collector is connected; why the connection has to
    /// be made anew, if it has.
    pub(super) fn obey(&mut self, command: Option<Command>, index: usize) -> Option<Over> {
        match command {
            Some(Command::Look) => {
                self.prefer = Instant::now();
                self.renewed(index)
            }
            command => self.heed(command),
        }
    }

    /// Carries out what is asked at any time.
    pub(super) fn heed(&mut self, command: Option<Command>) -> Option<Over> {
        match command {
            None | Some(Command::End) => {
                self.end.get_or_insert_with(|| Instant::now() + FAREWELL);
                None
            }
            // Certificates are looked at before each connection.
            Some(Command::Look) => None,
            Some(Command::Replay(from)) => {
                self.replay(from);
                Some(Over::Replayed)
            }
        }
    }

    /// Goes back to a record. What comes after it is sent again.
    fn replay(&mut self, from: u64) {
        tracing::info!(stream = %self.stream_name(), from, "records are sent again");
        // Going forward would leave records out.
        let from = from.min(self.acknowledged.seq() + 1);
        self.acknowledged = Place::From(from);
        self.flight.forget_records();
        self.store();
        self.publish();
    }

    pub(super) fn has_other_certificates(&self) -> bool {
        credentials::look(&self.parts.files) != self.seen
    }

    /// Whether a connection with other certificates has to be made. Those that are of no use
    /// do not end one that is.
    pub(super) fn renewed(&self, index: usize) -> Option<Over> {
        if !self.has_other_certificates() {
            return None;
        }
        let collector = &self.parts.routes[index].collector;
        match credentials::load(&self.parts.files, collector) {
            Ok(_) => Some(Over::Renewed),
            Err(error) => {
                self.regret(&error);
                None
            }
        }
    }

    fn regret(&self, error: &IdentityError) {
        let said = Some(error.to_string());
        let mut status = self.parts.board.lock();
        let is_news = status.certificates.error != said;
        status.certificates.error = said;
        drop(status);
        if is_news {
            tracing::warn!(%error, "the new certificates are of no use: the connection with the old ones goes on");
        }
    }
}
