//! The daemon's own messages, on their way to collectors.

use pulse_core::config::Forward;
use pulse_forward::Journal;
use pulse_forward::journal::Message;
use pulse_relp::message::Severity;
use std::io;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// One for each stream, if that is wanted.
pub(crate) fn journals(forward: &Forward) -> Vec<Journal> {
    let count = match forward.application_log {
        true => pulse_forward::forwarder::streams(forward),
        false => 0,
    };
    (0..count).map(|_| Journal::default()).collect()
}

/// Takes messages as lines of text.
#[derive(Clone)]
pub(crate) struct ToCollectors(pub(crate) Vec<Journal>);

/// One message, while it is written.
pub(crate) struct Line<'a> {
    journals: &'a [Journal],
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
            journals: &self.0,
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
        let text = String::from_utf8_lossy(&self.text).into_owned();
        let when = pulse_audit::Timestamp::now().to_string();
        for journal in self.journals {
            journal.push(Message {
                severity: self.severity,
                when: when.clone(),
                text: text.clone(),
            });
        }
    }
}
