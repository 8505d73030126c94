//! A caller's connection: lines in, lines out, within bounds and deadlines.

mod stream;

use pulse_core::rpc::{MAX_REQUEST_BYTES, RpcError, Violation};
use pulse_sensors::lines::LineBuffer;
use socket2::SockRef;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use stream::Stream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// The time for which a caller may go on sending after its answer.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are discarded of that.
const LINGER_BYTES: usize = 1 << 20;
/// The wait after which a caller's leaving is watched for.
const WATCH_AFTER: Duration = Duration::from_millis(250);

/// A caller's connection, with the input after the last line.
pub(super) struct Connection {
    stream: Stream,
    pending: LineBuffer,
    ended: bool,
}

/// The reason that there is no line.
#[derive(Debug)]
pub(super) enum NoLine {
    /// The caller has ended its input.
    Ended,
    /// An error to answer with.
    Refused(RpcError),
}

impl Connection {
    /// Takes a new, non-blocking connection.
    #[must_use]
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            stream: Stream::new(socket),
            pending: LineBuffer::new(),
            ended: false,
        }
    }

    /// The next line, without its newline. Shutting down the sending side ends a line too;
    /// closing the connection in the middle of a line discards it.
    ///
    /// # Errors
    /// [`NoLine`] when the line is too long, too late, or absent.
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
                // Sending an empty message fails if the caller has closed its end. A caller that has
                // only shut down its sending side waits for the reply.
                let socket = SockRef::from(self.stream.socket());
                if self.pending.is_empty() || socket.send(&[]).is_err() {
                    return Err(NoLine::Ended);
                }
                return Ok(self.pending.rest());
            }
            self.ended = matches!(
                self.stream.read(self.pending.pending(), room).await,
                Ok(0) | Err(_)
            );
        }
    }

    /// True if there is no input after the last line.
    #[must_use]
    pub(super) fn is_quiet(&self) -> bool {
        self.pending.is_empty()
    }

    /// Sends a whole line.
    ///
    /// # Errors
    /// `TimedOut` when the caller does not read it in time, else those of write(2).
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

    /// Completes when a caller that has waited for [`WATCH_AFTER`] closes its end.
    pub(super) async fn gone(&mut self) {
        // Most replies are sent before: their connections are never registered with epoll(7).
        sleep(WATCH_AFTER).await;
        self.stream.gone().await;
    }

    /// Closes the connection of a caller that has its answer. One that goes on sending is
    /// given time; for all others closing is enough, since sent data stays readable.
    pub(super) async fn close(mut self) {
        // One read shows whether there is unread input; most callers have sent none.
        let _ = self.stream.try_read(self.pending.pending(), LINGER_BYTES);
        if !self.pending.is_empty() {
            self.finish(LINGER).await;
        }
    }

    /// [`Connection::finish`] for one whose request was cut short.
    pub(super) async fn finish_soon(self) {
        self.finish(LINGER).await;
    }

    /// Closes the connection so that a caller that is still sending gets its answer: closing
    /// with unread input would reset it (`ECONNRESET`, unix(7)), and the caller's next write
    /// would fail with `EPIPE`.
    pub(super) async fn finish(mut self, patience: Duration) {
        self.stream.end();
        if self.ended {
            return;
        }
        let _ = timeout(patience, async {
            let mut taken = 0;
            while taken < LINGER_BYTES {
                // Discarded, so that memory holds one chunk at most.
                self.pending.rest();
                match self.stream.read(self.pending.pending(), LINGER_BYTES).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => taken += count,
                }
            }
        })
        .await;
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
    async fn last_line_needs_no_newline() {
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
    async fn lines_in_pieces_come_whole() {
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
    async fn unfinished_line_is_discarded() {
        let (mut connection, mut client) = pair();
        client.write_all(b"{\"meth").await.unwrap();
        drop(client);
        let line = connection.line(Instant::now() + SOON).await;
        assert!(matches!(line, Err(NoLine::Ended)));
    }

    #[tokio::test]
    async fn line_may_fill_the_limit() {
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
    async fn silent_caller_meets_the_deadline() {
        let (mut connection, _client) = pair();
        let outcome = connection.line(Instant::now() + SOON).await;
        assert!(matches!(
            outcome,
            Err(NoLine::Refused(RpcError::ReadTimeout))
        ));
    }

    #[tokio::test]
    async fn half_closed_caller_is_not_gone() {
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
    async fn late_reply_is_sent_whole() {
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
    async fn unread_input_loses_no_answer() {
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
