//! The sender of syslog over TLS (RFC 5425), which has no acknowledgements.
//!
//! A message that was written may still be in our kernel. But TCP breaks a connection
//! whose peer does not acknowledge segments for `TCP_USER_TIMEOUT`. So when a connection is
//! established for longer than that after a write, the message has reached the collector's
//! kernel. The protocol offers no more: whether the collector's program stored the message,
//! only its file shows.
//!
//! Messages themselves are not kept, only their tags. Messages of one second share a
//! checkpoint, and the number of checkpoints is bounded.

use crate::message::push_octet_counted;
use std::collections::VecDeque;
use std::time::Duration;

/// Messages that may be given between two writes.
const BATCH: usize = 128;

/// Checkpoints that are kept. With a timeout of more seconds than this, messages count
/// later, never sooner.
const MAX_CHECKPOINTS: usize = 128;

/// Messages that were written within one second.
#[derive(Clone, Copy, Debug)]
struct Checkpoint {
    /// The second's end, since the connection was opened.
    second: u64,
    /// The last message's tag.
    tag: u64,
    messages: usize,
}

/// Messages on one connection.
#[derive(Debug)]
pub(crate) struct SyslogTls {
    /// The time after its write at which a message counts as delivered.
    delay: Duration,
    /// Messages given and not yet written, and the last one's tag.
    given: usize,
    latest: u64,
    written: VecDeque<Checkpoint>,
}

impl SyslogTls {
    /// For a connection whose `TCP_USER_TIMEOUT` is `io_timeout`.
    pub(crate) fn start(io_timeout: Duration) -> Self {
        Self {
            // The kernel's timeout runs from the first retransmission, which comes a little
            // after the write.
            delay: io_timeout + io_timeout / 2,
            given: 0,
            latest: 0,
            written: VecDeque::new(),
        }
    }

    /// The number of messages that may be given before the next write.
    pub(crate) fn room(&self) -> usize {
        BATCH - self.given
    }

    /// The number of messages that do not count as delivered yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.written
            .iter()
            .map(|checkpoint| checkpoint.messages)
            .sum::<usize>()
            + self.given
    }

    /// Appends a message to `out`; false, and nothing, when there is no
    /// [room](Self::room). Tags must increase.
    pub(crate) fn send(&mut self, tag: u64, message: &[u8], out: &mut Vec<u8>) -> bool {
        if self.room() == 0 {
            return false;
        }
        push_octet_counted(out, message);
        self.given += 1;
        self.latest = tag;
        true
    }

    /// All messages that were given are written. `now` is the time since the connection was
    /// opened, here and below.
    pub(crate) fn written(&mut self, now: Duration) {
        let messages = std::mem::take(&mut self.given);
        if messages == 0 {
            return;
        }
        // Rounded up, so that no message of the second counts too early.
        let second = now.as_secs() + 1;
        let (tag, is_full) = (self.latest, self.written.len() == MAX_CHECKPOINTS);
        match self.written.back_mut() {
            // When all checkpoints are in use, the last one moves to the later second.
            Some(last) if is_full || last.second == second => {
                last.second = second;
                last.tag = tag;
                last.messages += messages;
            }
            _ => self.written.push_back(Checkpoint {
                second,
                tag,
                messages,
            }),
        }
    }

    /// When the oldest messages count as delivered, if the connection is established then.
    pub(crate) fn due(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.written.front()?.second) + self.delay)
    }

    /// The tag up to which all messages count as delivered, on a connection that is
    /// established at `now`; none when it has not grown.
    pub(crate) fn delivered(&mut self, now: Duration) -> Option<u64> {
        let mut delivered = None;
        while self.due().is_some_and(|due| due <= now) {
            delivered = self.written.pop_front();
        }
        delivered.map(|checkpoint| checkpoint.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn write(syslog: &mut SyslogTls, tag: u64, now: f64) {
        assert!(syslog.send(tag, b"m", &mut Vec::new()));
        syslog.written(seconds(now));
    }

    #[test]
    fn a_message_counts_after_the_delay() {
        let mut syslog = SyslogTls::start(TIMEOUT);
        assert_eq!((syslog.due(), syslog.delivered(seconds(1e6))), (None, None));
        write(&mut syslog, 7, 0.0);
        assert_eq!(syslog.in_flight(), 1);
        assert_eq!(syslog.due(), Some(seconds(31.0)));
        assert_eq!(syslog.delivered(seconds(30.999)), None);
        assert_eq!(syslog.delivered(seconds(31.0)), Some(7));
        assert_eq!((syslog.in_flight(), syslog.due()), (0, None));
    }

    #[test]
    fn an_unwritten_message_never_counts() {
        let mut syslog = SyslogTls::start(TIMEOUT);
        assert!(syslog.send(7, b"m", &mut Vec::new()));
        assert_eq!((syslog.due(), syslog.delivered(seconds(1e6))), (None, None));
        assert_eq!(syslog.in_flight(), 1);
        syslog.written(seconds(100.0));
        assert_eq!(syslog.delivered(seconds(120.0)), None);
    }

    #[test]
    fn one_second_is_one_checkpoint() {
        let mut syslog = SyslogTls::start(TIMEOUT);
        for (tag, now) in [(1, 3.0), (2, 3.5), (3, 3.999), (4, 4.0)] {
            write(&mut syslog, tag, now);
        }
        assert_eq!(syslog.delivered(seconds(33.999)), None);
        assert_eq!(syslog.delivered(seconds(34.0)), Some(3));
        assert_eq!(syslog.delivered(seconds(35.0)), Some(4));
    }

    #[test]
    fn a_batch_fits_between_writes() {
        let mut syslog = SyslogTls::start(TIMEOUT);
        let mut out = Vec::new();
        for tag in 0..BATCH as u64 {
            assert!(syslog.send(tag, b"m", &mut out));
        }
        let length = out.len();
        assert!(!syslog.send(999, b"m", &mut out) && out.len() == length);
        syslog.written(seconds(0.0));
        assert_eq!((syslog.room(), syslog.in_flight()), (BATCH, BATCH));
    }

    #[test]
    fn checkpoints_are_bounded() {
        let mut syslog = SyslogTls::start(TIMEOUT);
        for second in 0..100_000_u32 {
            write(&mut syslog, u64::from(second), f64::from(second));
        }
        assert_eq!(syslog.written.len(), MAX_CHECKPOINTS);
        assert_eq!(syslog.in_flight(), 100_000);
        assert_eq!(
            syslog.delivered(seconds(100_000.0)),
            Some(MAX_CHECKPOINTS as u64 - 2)
        );
        assert_eq!(syslog.delivered(seconds(100_029.9)), None);
        assert_eq!(syslog.delivered(seconds(100_030.0)), Some(99_999));
    }

    proptest! {
        /// Whenever it is asked, no tag counts before its time, tags increase, and in
        /// the end all of them count.
        #[test]
        fn none_early_and_all_in_the_end(
            steps in prop::collection::vec((0_u64..3000, 0_u8..4), 1..300),
        ) {
            let mut syslog = SyslogTls::start(TIMEOUT);
            let (mut now, mut tag, mut last) = (Duration::ZERO, 0, 0);
            let mut written = Vec::new();
            for (pause, action) in steps {
                now += Duration::from_millis(pause);
                if action == 0 {
                    let Some(stood) = syslog.delivered(now) else { continue };
                    prop_assert!(stood > last);
                    let at: Duration = written[usize::try_from(stood).unwrap() - 1];
                    prop_assert!(at + TIMEOUT + TIMEOUT / 2 <= now);
                    last = stood;
                } else {
                    tag += 1;
                    prop_assert!(syslog.send(tag, b"m", &mut Vec::new()));
                    syslog.written(now);
                    written.push(now);
                }
            }
            let end = syslog.delivered(now + Duration::from_secs(1) + TIMEOUT * 2);
            prop_assert_eq!(end.unwrap_or(last), tag);
        }
    }
}
