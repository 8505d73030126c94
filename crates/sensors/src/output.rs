//! Output of a command on a node, taken line by line or as a whole once the command has ended.
//!
//! The node decides how much it prints, in which pieces, and whether it ends. So a line and the
//! whole output have a limit, and only the beginning of stderr is kept.

use crate::lines::LineBuffer;

/// The maximum length of stderr that is kept for the error message, in bytes.
pub const MAX_STDERR_BYTES: usize = 512;

/// The maximum length of a signal's name. RFC 4254, section 6.10, has names of up to four letters.
pub const MAX_SIGNAL_CHARS: usize = 16;

/// A member that the helper's greeting has and no document.
const GREETING: &str = "pulse_sensor_node";

/// The output exceeds its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {limit} bytes were printed")]
pub struct Oversized {
    /// The limit, in bytes.
    pub limit: usize,
}

/// The output of a running command.
#[derive(Clone, Debug)]
pub struct OutputBuffer {
    limit: usize,
    stdout: LineBuffer,
    stderr: Vec<u8>,
    exit_code: Option<u32>,
    signal: Option<String>,
}

/// The output of a command that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandOutput {
    /// Everything that was not taken as lines.
    pub stdout: Vec<u8>,
    /// The beginning of stderr.
    pub stderr: Vec<u8>,
    /// The exit code, if the node sent one.
    pub exit_code: Option<u32>,
    /// The name of the signal that ended it, such as `KILL`, if the node sent one.
    pub signal: Option<String>,
}

impl OutputBuffer {
    /// An empty buffer. A line may have `limit` bytes, and so may the whole output if it is not
    /// taken as lines.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            stdout: LineBuffer::new(),
            stderr: Vec::new(),
            exit_code: None,
            signal: None,
        }
    }

    /// Appends to stdout. The caller checks the limit after each piece, with
    /// [`line`](Self::line) or [`check`](Self::check).
    pub fn add_stdout(&mut self, data: &[u8]) {
        self.stdout.pending().extend_from_slice(data);
    }

    /// Appends to stderr, up to [`MAX_STDERR_BYTES`].
    pub fn add_stderr(&mut self, data: &[u8]) {
        let room = MAX_STDERR_BYTES.saturating_sub(self.stderr.len());
        self.stderr.extend(data.iter().take(room));
    }

    /// Stores the exit code of the command.
    pub fn exit(&mut self, code: u32) {
        self.exit_code = Some(code);
    }

    /// Stores the name of the signal that ended the command, up to [`MAX_SIGNAL_CHARS`].
    pub fn killed(&mut self, signal: &str) {
        self.signal = Some(signal.chars().take(MAX_SIGNAL_CHARS).collect());
    }

    /// Takes the next complete line, without its newline.
    ///
    /// # Errors
    /// [`Oversized`] if the line, complete or not, exceeds the limit.
    pub fn line(&mut self) -> Result<Option<Vec<u8>>, Oversized> {
        let line = self.stdout.line();
        // An incomplete line counts too: otherwise a node that never sends a newline would fill
        // memory.
        self.check_length(line.as_ref().map_or(self.stdout.len(), Vec::len))
            .map(|()| line)
    }

    /// Returns a line to the front of stdout, for a caller that takes the output as a whole
    /// instead. An empty line is dropped.
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

    /// Checks the length of the whole output.
    ///
    /// # Errors
    /// [`Oversized`] if it exceeds the limit.
    pub fn check(&self) -> Result<(), Oversized> {
        self.check_length(self.stdout.len())
    }

    fn check_length(&self, length: usize) -> Result<(), Oversized> {
        let limit = self.limit;
        if length > limit {
            Err(Oversized { limit })
        } else {
            Ok(())
        }
    }

    /// The beginning of stderr.
    #[must_use]
    pub fn stderr(&self) -> &[u8] {
        &self.stderr
    }

    /// The exit code, if the node sent one.
    #[must_use]
    pub fn exit_code(&self) -> Option<u32> {
        self.exit_code
    }

    /// The name of the signal that ended the command, if the node sent one.
    #[must_use]
    pub fn signal(&self) -> Option<&str> {
        self.signal.as_deref()
    }

    /// The output, once the command has ended.
    #[must_use]
    pub fn finish(mut self) -> CommandOutput {
        CommandOutput {
            stdout: self.stdout.rest(),
            stderr: self.stderr,
            exit_code: self.exit_code,
            signal: self.signal,
        }
    }
}

/// True if a line is the helper's greeting: a JSON object with a member that no document has.
#[must_use]
pub fn is_greeting(line: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(line)
        .is_ok_and(|value| value.get(GREETING).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERSIZED: Oversized = Oversized { limit: 4 };

    fn buffer(data: &[u8]) -> OutputBuffer {
        let mut buffer = OutputBuffer::new(4);
        buffer.add_stdout(data);
        buffer
    }

    #[test]
    fn line_has_at_most_the_limit() {
        assert_eq!(buffer(b"1234\nx").line(), Ok(Some(b"1234".to_vec())));
        assert_eq!(buffer(b"1234").line(), Ok(None));
        for data in [&b"12345\n"[..], b"12345"] {
            assert_eq!(buffer(data).line(), Err(OVERSIZED), "{data:?}");
        }
    }

    #[test]
    fn put_back_line_comes_first() {
        let mut buffer = buffer(b"ab\nc");
        let line = buffer.line().unwrap().unwrap();
        buffer.put_back(Vec::new());
        buffer.put_back(line);
        assert_eq!(buffer.check(), Ok(()));
        buffer.add_stdout(b"d");
        assert_eq!(buffer.check(), Err(OVERSIZED));
        assert_eq!(buffer.finish().stdout, b"ab\ncd");
    }

    #[test]
    fn stderr_is_cut_off() {
        let mut buffer = OutputBuffer::new(4);
        for _ in 0..100 {
            buffer.add_stderr(&[b'x'; 100]);
        }
        buffer.exit(3);
        let output = buffer.finish();
        assert_eq!(
            (output.stderr.len(), output.exit_code),
            (MAX_STDERR_BYTES, Some(3))
        );
    }

    #[test]
    fn signal_name_is_cut_off() {
        let mut buffer = OutputBuffer::new(4);
        buffer.killed(&"K".repeat(1000));
        let kept = buffer.finish().signal.unwrap_or_default();
        assert_eq!(kept.len(), MAX_SIGNAL_CHARS);
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
