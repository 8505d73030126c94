//! The daemon's own log messages, queued for collectors.

use pulse_core::config::Forward;
use pulse_forward::Journal;
use pulse_relp::message::Severity;
use std::io;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The queue, if messages are to be forwarded.
pub(crate) fn journal(forward: &Forward) -> Option<Journal> {
    (forward.application_log && forward.is_wanted()).then(Journal::default)
}

/// A writer of log messages into the queue.
#[derive(Clone)]
pub(crate) struct ToCollectors(pub(crate) Journal);

/// A message while it is written.
pub(crate) struct Line<'a> {
    journal: &'a Journal,
    severity: Severity,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for ToCollectors {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        self.line(Severity::Info)
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        self.line(match *metadata.level() {
            Level::ERROR => Severity::Error,
            Level::WARN => Severity::Warning,
            Level::INFO => Severity::Info,
            _ => Severity::Debug,
        })
    }
}

impl ToCollectors {
    fn line(&self, severity: Severity) -> Line<'_> {
        Line {
            journal: &self.0,
            severity,
            text: Vec::new(),
        }
    }
}

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        // The writer has no call for the end of a message: dropping it is the end.
        self.journal.push(
            self.severity,
            pulse_audit::Timestamp::now().to_string(),
            String::from_utf8_lossy(&self.text).into_owned(),
        );
    }
}
