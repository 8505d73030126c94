//! What a command on a node prints: taken line by line, or whole when it has ended.
//!
//! The node decides what comes, in which pieces, and whether it ends; so there is a bound on
//! a line and on the whole, and of what it says on stderr only the beginning is kept.

use crate::lines::LineBuffer;

/// How much of stderr is kept, in bytes, for the error message.
pub const MAX_STDERR_BYTES: usize = 512;

/// The member that only the helper's greeting has.
const GREETING: &str = "pulse_sensor_node";

/// More came than is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {limit} bytes were printed")]
pub struct Oversized {
    /// The most that is taken.
    pub limit: usize,
}

/// A command that prints.
#[derive(Clone, Debug)]
pub struct Printing {
    limit: usize,
    stdout: LineBuffer,
    stderr: Vec<u8>,
    exit_code: Option<u32>,
}

/// What a finished command left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// All that was not taken as lines.
    pub stdout: Vec<u8>,
    /// Its beginning.
    pub stderr: Vec<u8>,
    /// How the command ended, if the node said so.
    pub exit_code: Option<u32>,
}

impl Printing {
    /// A command that has printed nothing yet. A line, or the whole where no lines are taken,
    /// may have `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            stdout: LineBuffer::new(),
            stderr: Vec::new(),
            exit_code: None,
        }
    }

    /// Adds what came on stdout. The caller asks after each piece whether it was too much:
    /// [`line`](Self::line) or [`check`](Self::check).
    pub fn add_stdout(&mut self, data: &[u8]) {
        self.stdout.pending().extend_from_slice(data);
    }

    /// Adds what came on stderr, as far as it is kept.
    pub fn add_stderr(&mut self, data: &[u8]) {
        let room = MAX_STDERR_BYTES.saturating_sub(self.stderr.len());
        self.stderr.extend(data.iter().take(room));
    }

    /// The command has ended, and with this code.
    pub fn exit(&mut self, code: u32) {
        self.exit_code = Some(code);
    }

    /// Takes the next line, without its newline, if one is whole.
    ///
    /// # Errors
    /// [`Oversized`] when it is longer than a line may be, or is going to be.
    pub fn line(&mut self) -> Result<Option<Vec<u8>>, Oversized> {
        let line = self.stdout.line();
        let length = line.as_ref().map_or(self.stdout.len(), Vec::len);
        self.fits(length).map(|()| line)
    }

    /// Puts a line back that was no line but the beginning of the whole. An empty one is
    /// nothing.
    pub fn put_back(&mut self, line: Vec<u8>) {
        if line.is_empty() {
            return;
        }
        let rest = std::mem::replace(&mut self.stdout, LineBuffer::new()).rest();
        let pending = self.stdout.pending();
        *pending = line;
        pending.push(b'\n');
        pending.extend(rest);
    }

    /// Fails when there is more than the whole may be.
    ///
    /// # Errors
    /// [`Oversized`].
    pub fn check(&self) -> Result<(), Oversized> {
        self.fits(self.stdout.len())
    }

    fn fits(&self, length: usize) -> Result<(), Oversized> {
        let limit = self.limit;
        if length > limit {
            Err(Oversized { limit })
        } else {
            Ok(())
        }
    }

    /// What it has said on stderr.
    #[must_use]
    pub fn stderr(&self) -> &[u8] {
        &self.stderr
    }

    /// How it ended, if the node said so.
    #[must_use]
    pub fn exit_code(&self) -> Option<u32> {
        self.exit_code
    }

    /// Nothing more comes.
    #[must_use]
    pub fn finish(mut self) -> Printed {
        Printed {
            stdout: self.stdout.rest(),
            stderr: self.stderr,
            exit_code: self.exit_code,
        }
    }
}

/// Whether a line is the helper's greeting: a JSON object with the one member that no
/// document has.
#[must_use]
pub fn is_greeting(line: &[u8]) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    value.is_some_and(|value| value.get(GREETING).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERSIZED: Oversized = Oversized { limit: 4 };

    fn printing(data: &[u8]) -> Printing {
        let mut printing = Printing::new(4);
        printing.add_stdout(data);
        printing
    }

    #[test]
    fn a_line_may_have_as_much_as_the_limit() {
        assert_eq!(printing(b"1234\nx").line(), Ok(Some(b"1234".to_vec())));
        assert_eq!(printing(b"1234").line(), Ok(None));
        for data in [&b"12345\n"[..], b"12345"] {
            assert_eq!(printing(data).line(), Err(OVERSIZED), "{data:?}");
        }
    }

    #[test]
    fn a_line_that_is_put_back_comes_first() {
        let mut printing = printing(b"ab\nc");
        let line = printing.line().unwrap().unwrap();
        printing.put_back(Vec::new());
        printing.put_back(line);
        assert_eq!(printing.check(), Ok(()));
        printing.add_stdout(b"d");
        assert_eq!(printing.check(), Err(OVERSIZED));
        assert_eq!(printing.finish().stdout, b"ab\ncd");
    }

    #[test]
    fn only_the_beginning_of_stderr_is_kept() {
        let mut printing = Printing::new(4);
        for _ in 0..100 {
            printing.add_stderr(&[b'x'; 100]);
        }
        printing.exit(3);
        let printed = printing.finish();
        assert_eq!(
            (printed.stderr.len(), printed.exit_code),
            (MAX_STDERR_BYTES, Some(3))
        );
    }

    #[test]
    fn a_document_is_no_greeting() {
        assert!(is_greeting(
            br#"{"pulse_sensor_node":"0.1.0","protocol":1}"#
        ));
        for line in [
            &b"{}"[..],
            b"",
            b"[]",
            br#"{"sensors":{"pulse_sensor_node":1}}"#,
            b"\"pulse_sensor_node\"",
        ] {
            assert!(!is_greeting(line), "{line:?}");
        }
    }
}
