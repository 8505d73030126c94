//! One connection of a caller: lines in, lines out, within bounds and deadlines.

use pulse_core::rpc::{MAX_REQUEST_BYTES, RpcError};
use socket2::SockRef;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a caller that was answered may go on sending before we close.
const LINGER: Duration = Duration::from_secs(1);
/// How much of that is taken, in bytes.
const LINGER_BYTES: usize = 1 << 20;
const CHUNK: usize = 4096;

/// A caller's connection, with what was received beyond the last line.
pub struct Connection {
    stream: UnixStream,
    pending: Vec<u8>,
    ended: bool,
}

/// What came instead of a line.
#[derive(Debug)]
pub enum NoLine {
    /// The caller sent nothing more and is done.
    Ended,
    /// An error that the caller is told.
    Refused(RpcError),
}

impl Connection {
    /// Takes a fresh connection.
    #[must_use]
    pub fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            pending: Vec::new(),
            ended: false,
        }
    }

    /// The next line, without its newline. A caller that shuts down its side
    /// after a request without newline has ended the line too; one that is gone
    /// altogether in the middle of a line has said nothing.
    ///
    /// # Errors
    /// [`NoLine`] when the line is too long, too late, or never came.
    pub async fn line(&mut self, deadline: Instant) -> Result<Vec<u8>, NoLine> {
        match timeout_at(deadline, self.receive_line()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(NoLine::Refused(RpcError::ReadTimeout)),
        }
    }

    async fn receive_line(&mut self) -> Result<Vec<u8>, NoLine> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.pending[searched..].iter().position(|b| *b == b'\n') {
                let rest = self.pending.split_off(searched + at + 1);
                let mut line = std::mem::replace(&mut self.pending, rest);
                line.pop();
                return Ok(line);
            }
            searched = self.pending.len();
            if searched >= MAX_REQUEST_BYTES {
                return Err(NoLine::Refused(RpcError::PayloadTooLarge));
            }
            if self.ended {
                return self.last_line();
            }
            self.receive(MAX_REQUEST_BYTES - searched).await;
        }
    }

    fn last_line(&mut self) -> Result<Vec<u8>, NoLine> {
        if self.pending.is_empty() || self.is_gone() {
            Err(NoLine::Ended)
        } else {
            Ok(std::mem::take(&mut self.pending))
        }
    }

    /// Whether nobody could read an answer: then even nothing cannot be sent.
    fn is_gone(&self) -> bool {
        SockRef::from(&self.stream).send(&[]).is_err()
    }

    async fn receive(&mut self, most: usize) {
        let mut chunk = [0; CHUNK];
        match read(&self.stream, &mut chunk[..most.min(CHUNK)]).await {
            Ok(0) | Err(_) => self.ended = true,
            Ok(count) => self.pending.extend_from_slice(&chunk[..count]),
        }
    }

    /// Whether no part of another line has come.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.pending.is_empty()
    }

    /// Sends a whole line.
    ///
    /// # Errors
    /// `TimedOut` when the caller does not take it in time, or whatever the
    /// socket says when it is gone.
    pub async fn send(&mut self, line: &[u8], within: Duration) -> io::Result<()> {
        timeout(within, self.write_all(line))
            .await
            .unwrap_or_else(|_| {
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the reply was not taken",
                ))
            })
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        // The first write asks the kernel itself: `gone` has spent the readiness
        // that the runtime would wait for, and none comes while there is room.
        let mut outcome = SockRef::from(&self.stream).send(bytes);
        loop {
            match outcome {
                Ok(sent) if sent == bytes.len() => return Ok(()),
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.writable().await?;
                }
                Err(error) => return Err(error),
            }
            let send = || SockRef::from(&self.stream).send(bytes);
            outcome = self.stream.try_io(Interest::WRITABLE, send);
        }
    }

    /// Completes when the caller has closed both directions. One that has only
    /// shut down its sending side still reads, and is waited for.
    pub async fn gone(&self) {
        loop {
            match self.stream.ready(Interest::WRITABLE).await {
                Ok(ready) if !ready.is_write_closed() => {
                    // Spends the readiness, so that the next one is news.
                    let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                    let _ = self.stream.try_io(Interest::WRITABLE, nothing);
                }
                _ => return,
            }
        }
    }

    /// Ends the connection so that the caller surely gets what was sent: closing
    /// with unread input would reset it (unix(7): `ECONNRESET`), and one that is
    /// about to write would get `EPIPE` instead of its answer.
    pub async fn finish(mut self, patience: Duration) {
        // One that is gone already needs no goodbye.
        let _ = self.stream.shutdown().await;
        if !self.ended {
            let _ = timeout(patience, self.drain()).await;
        }
    }

    /// [`Connection::finish`] after an ordinary reply.
    pub async fn finish_soon(self) {
        self.finish(LINGER).await;
    }

    async fn drain(&mut self) {
        let mut chunk = [0; CHUNK];
        let mut taken = 0;
        while taken < LINGER_BYTES {
            match read(&self.stream, &mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(count) => taken += count,
            }
        }
    }
}

async fn read(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    const SOON: Duration = Duration::from_secs(5);

    fn pair() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Connection::new(ours), theirs)
    }

    #[tokio::test]
    async fn lines_come_one_by_one_and_the_last_needs_no_newline() {
        let (mut connection, mut client) = pair();
        client.write_all(b"one\ntwo\nthree").await.unwrap();
        client.shutdown().await.unwrap();
        let deadline = Instant::now() + SOON;
        for expected in ["one", "two", "three"] {
            assert_eq!(
                connection.line(deadline).await.unwrap(),
                expected.as_bytes()
            );
        }
        assert!(matches!(
            connection.line(deadline).await,
            Err(NoLine::Ended)
        ));
    }

    #[tokio::test]
    async fn a_caller_that_is_gone_in_the_middle_of_a_line_has_said_nothing() {
        let (mut connection, mut client) = pair();
        client.write_all(b"{\"meth").await.unwrap();
        drop(client);
        let line = connection.line(Instant::now() + SOON).await;
        assert!(matches!(line, Err(NoLine::Ended)));
    }

    #[tokio::test]
    async fn a_line_may_fill_the_limit_and_not_a_byte_more() {
        let deadline = Instant::now() + SOON;
        for (length, fits) in [(MAX_REQUEST_BYTES, true), (MAX_REQUEST_BYTES + 1, false)] {
            let (mut connection, mut client) = pair();
            let mut line = vec![b' '; length - 1];
            line.push(b'\n');
            client.write_all(&line).await.unwrap();
            assert_eq!(connection.line(deadline).await.is_ok(), fits, "{length}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_caller_runs_into_the_deadline() {
        let (mut connection, _client) = pair();
        let outcome = connection.line(Instant::now() + SOON).await;
        assert!(matches!(
            outcome,
            Err(NoLine::Refused(RpcError::ReadTimeout))
        ));
    }

    #[tokio::test]
    async fn a_caller_that_only_stopped_sending_is_not_gone() {
        let (mut connection, mut client) = pair();
        client.write_all(b"x\n").await.unwrap();
        client.shutdown().await.unwrap();
        connection.line(Instant::now() + SOON).await.unwrap();
        let waited = timeout(Duration::from_millis(50), connection.gone()).await;
        assert!(waited.is_err(), "still reading");
        drop(client);
        timeout(SOON, connection.gone()).await.unwrap();
    }

    #[tokio::test]
    async fn a_reply_that_took_time_is_sent_at_once_and_whole() {
        let (mut connection, mut client) = pair();
        let waited = timeout(Duration::from_millis(20), connection.gone()).await;
        assert!(waited.is_err());
        let line = vec![b'x'; 3 << 20];
        let reading = tokio::spawn(async move {
            let mut taken = vec![0; 3 << 20];
            client.read_exact(&mut taken).await.map(|_| taken)
        });
        connection.send(&line, SOON).await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), line);
    }

    #[tokio::test]
    async fn a_caller_with_unread_input_still_gets_its_answer() {
        let (mut connection, mut client) = pair();
        client.write_all(&[b'x'; 100_000]).await.unwrap();
        connection.send(b"no\n", SOON).await.unwrap();
        let closing = tokio::spawn(connection.finish_soon());
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "no\n");
        drop(client);
        closing.await.unwrap();
    }
}
