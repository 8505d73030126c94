//! A caller on the Unix socket: the test decides each byte that it sends.

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
    /// When nothing listens on the socket.
    #[must_use]
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        // A daemon that hangs fails the test instead of stopping it.
        stream.set_read_timeout(Some(wait::timeout())).unwrap();
        stream.set_write_timeout(Some(wait::timeout())).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// When they cannot be sent.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The error of write(2).
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Shuts the sending side down.
    pub fn end_sending(&mut self) {
        self.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    /// Reads one line, its newline included.
    ///
    /// # Panics
    /// When none arrives.
    #[must_use]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "incomplete line: {line:?}");
        line
    }

    /// Reads one response.
    #[must_use]
    pub fn answer(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Reads one response and returns its error text.
    ///
    /// # Panics
    /// When the request succeeded.
    #[must_use]
    pub fn error(&mut self) -> String {
        let answer = self.answer();
        assert_eq!(answer["success"], false, "{answer}");
        answer["error"].as_str().unwrap().to_owned()
    }

    /// Reads everything until the daemon closes the connection.
    #[must_use]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        rest
    }
}
