//! A caller, byte by byte: what it sends and when is up to the test.

use crate::wait;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// One connection to the daemon.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(wait::patience())).unwrap();
        stream.set_write_timeout(Some(wait::patience())).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// When they are not taken.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Sends nothing more.
    pub fn end_sending(&mut self) {
        self.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    /// One line, its newline included.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the line was cut: {line:?}");
        line
    }

    /// One response.
    #[must_use]
    pub fn answer(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// The text of the error in one response.
    ///
    /// # Panics
    /// When the response has none.
    #[must_use]
    pub fn error(&mut self) -> String {
        let answer = self.answer();
        assert_eq!(answer["success"], false, "{answer}");
        answer["error"].as_str().unwrap().to_owned()
    }

    /// Everything until the daemon closes.
    #[must_use]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        rest
    }
}
