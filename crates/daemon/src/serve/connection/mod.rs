//! One connection of a caller: lines in, lines out, within bounds and deadlines.

mod stream;

use pulse_core::rpc::{MAX_REQUEST_BYTES, RpcError, Violation};
use pulse_sensors::lines::LineBuffer;
use socket2::SockRef;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use stream::Stream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long a caller that was answered may go on sending before we close.
const LINGER: Duration = Duration::from_secs(1);
/// How much of that is taken, in bytes.
const LINGER_BYTES: usize = 1 << 20;
/// Only one that waits for longer is watched for going away.
const UNWATCHED: Duration = Duration::from_millis(250);

/// A caller's connection, with what was received beyond the last line.
pub(super) struct Connection {
    stream: Stream,
    pending: LineBuffer,
    ended: bool,
}

/// What came instead of a line.
#[derive(Debug)]
pub(super) enum NoLine {
    /// The caller sent nothing more and is done.
    Ended,
    /// An error that the caller is told.
    Refused(RpcError),
}

impl Connection {
    /// Takes a fresh connection, which must not block.
    #[must_use]
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            stream: Stream::new(socket),
            pending: LineBuffer::new(),
            ended: false,
        }
    }

    /// The next line, without its newline. A caller that shuts down its side
    /// after a request without newline has ended the line too; one that is gone
    /// altogether in the middle of a line has said nothing.
    ///
    /// # Errors
    /// [`NoLine`] when the line is too long, too late, or never came.
    pub(super) async fn line(&mut self, deadline: Instant) -> Result<Vec<u8>, NoLine> {
        match timeout_at(deadline, self.receive_line()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(NoLine::Refused(RpcError::ReadTimeout)),
        }
    }

    async fn receive_line(&mut self) -> Result<Vec<u8>, NoLine> {
        loop {
            if let Some(line) = self.pending.line() {
                return Ok(line);
            }
            let room = MAX_REQUEST_BYTES.saturating_sub(self.pending.len());
            if room == 0 {
                return Err(NoLine::Refused(Violation::PayloadTooLarge.into()));
            }
            if self.ended {
                return self.last_line();
            }
            let received = self.stream.read(self.pending.pending(), room).await;
            self.ended = matches!(received, Ok(0) | Err(_));
        }
    }

    fn last_line(&mut self) -> Result<Vec<u8>, NoLine> {
        if self.pending.is_empty() || self.is_gone() {
            return Err(NoLine::Ended);
        }
        Ok(self.pending.rest())
    }

    /// Whether nobody could read an answer: then even nothing cannot be sent.
    fn is_gone(&self) -> bool {
        SockRef::from(self.stream.socket()).send(&[]).is_err()
    }

    /// Whether no part of another line has come.
    #[must_use]
    pub(super) fn is_quiet(&self) -> bool {
        self.pending.is_empty()
    }

    /// Sends a whole line.
    ///
    /// # Errors
    /// `TimedOut` when the caller does not take it in time, or whatever the
    /// socket says when it is gone.
    pub(super) async fn send(&mut self, line: &[u8], within: Duration) -> io::Result<()> {
        timeout(within, self.stream.write_all(line))
            .await
            .unwrap_or_else(|_| {
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the reply was not taken",
                ))
            })
    }

    /// Completes when a caller that has waited for a while is gone.
    pub(super) async fn gone(&mut self) {
        sleep(UNWATCHED).await;
        self.stream.gone().await;
    }

    /// Ends the connection of a caller that has its answer. One that sends on is
    /// given time; for all others closing is enough, and the answer stays theirs.
    pub(super) async fn close(mut self) {
        let _ = self.stream.try_read(self.pending.pending(), LINGER_BYTES);
        if !self.pending.is_empty() {
            self.finish(LINGER).await;
        }
    }

    /// [`Connection::finish`] for one whose request was cut short.
    pub(super) async fn finish_soon(self) {
        self.finish(LINGER).await;
    }

    /// Ends the connection so that a caller that may still be sending surely gets
    /// its answer: closing with unread input would reset it (unix(7):
    /// `ECONNRESET`), and one that is about to write would get `EPIPE` instead.
    pub(super) async fn finish(mut self, patience: Duration) {
        self.stream.end();
        if !self.ended {
            let _ = timeout(patience, self.drain()).await;
        }
    }

    async fn drain(&mut self) {
        let mut taken = 0;
        while taken < LINGER_BYTES {
            self.pending.rest();
            match self.stream.read(self.pending.pending(), LINGER_BYTES).await {
                Ok(0) | Err(_) => return,
                Ok(count) => taken += count,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream as Client;

    const SOON: Duration = Duration::from_secs(5);

    fn pair() -> (Connection, Client) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        (Connection::new(ours), Client::from_std(theirs).unwrap())
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
    async fn lines_in_pieces_come_whole_and_once() {
        let (mut connection, mut client) = pair();
        let deadline = Instant::now() + SOON;
        for request in ["one\n", "two\nthr", "ee\n", "four\n"] {
            client.write_all(request.as_bytes()).await.unwrap();
            let line = connection.line(deadline).await.unwrap();
            let expected = if request == "ee\n" {
                "three"
            } else {
                &request[..request.find('\n').unwrap()]
            };
            assert_eq!(line, expected.as_bytes());
            connection.send(b"yes\n", SOON).await.unwrap();
            client.read_exact(&mut [0; 4]).await.unwrap();
        }
        connection.close().await;
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "and no reset");
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
