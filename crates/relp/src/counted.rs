//! The sender's side where nobody acknowledges: syslog over TLS (RFC 5425).
//!
//! What was written is not yet with the collector. But TCP breaks a connection whose peer
//! does not take what was sent, and its patience is ours to set: so a message that was
//! written, and whose connection stood for longer than that, has reached the collector's
//! machine. More is not to be had; whether its program took it, only its file tells.
//!
//! Nothing is kept of a message but the tag. Messages of one second share a checkpoint,
//! and there are never more than a few of these.

use crate::message::count_octets;
use std::collections::VecDeque;
use std::time::Duration;

/// As many messages may be given between two writes.
pub const BATCH: usize = 128;

/// As many checkpoints are kept: with more than so many seconds of patience, messages
/// count later, not sooner.
const MOST: usize = 128;

/// What was written up to a whole second.
#[derive(Clone, Copy, Debug)]
struct Checkpoint {
    /// The second's end, since the connection was opened.
    second: u64,
    tag: u64,
    messages: usize,
}

/// Messages on one connection.
#[derive(Debug)]
pub struct Counted {
    stands: Duration,
    /// Given, and not yet written.
    given: usize,
    latest: u64,
    written: VecDeque<Checkpoint>,
}

impl Counted {
    /// On a connection that TCP breaks when its peer takes nothing for `patience`.
    #[must_use]
    pub fn begin(patience: Duration) -> Self {
        Self {
            // TCP counts from its first re-send, which comes a little later.
            stands: patience + patience / 2,
            given: 0,
            latest: 0,
            written: VecDeque::new(),
        }
    }

    /// How many messages may be given before the next write.
    #[must_use]
    pub fn room(&self) -> usize {
        BATCH - self.given
    }

    /// How many messages do not count as delivered yet.
    #[must_use]
    pub fn on_their_way(&self) -> usize {
        let written = self.written.iter().map(|checkpoint| checkpoint.messages);
        self.given + written.sum::<usize>()
    }

    /// Appends a message to `out`; false, and nothing, when there is no
    /// [room](Self::room). Tags grow.
    pub fn send(&mut self, tag: u64, message: &[u8], out: &mut Vec<u8>) -> bool {
        if self.room() == 0 {
            return false;
        }
        count_octets(out, message);
        self.given += 1;
        self.latest = tag;
        true
    }

    /// All that was given is written. `now` is the time since the connection was opened,
    /// here and below.
    pub fn written(&mut self, now: Duration) {
        let messages = std::mem::take(&mut self.given);
        if messages == 0 {
            return;
        }
        let second = now.as_secs() + 1;
        let (tag, is_full) = (self.latest, self.written.len() == MOST);
        match self.written.back_mut() {
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

    /// When something will count as delivered, if the connection stands until then.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let first = self.written.front()?;
        Some(Duration::from_secs(first.second) + self.stands)
    }

    /// The connection stands: the tag up to which everything counts as delivered, if that
    /// has grown.
    pub fn stood(&mut self, now: Duration) -> Option<u64> {
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

    const PATIENCE: Duration = Duration::from_secs(20);

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn write(counted: &mut Counted, tag: u64, now: f64) {
        assert!(counted.send(tag, b"m", &mut Vec::new()));
        counted.written(seconds(now));
    }

    #[test]
    fn a_message_counts_when_its_connection_has_stood_and_not_before() {
        let mut counted = Counted::begin(PATIENCE);
        assert_eq!((counted.due(), counted.stood(seconds(1e6))), (None, None));
        write(&mut counted, 7, 0.0);
        assert_eq!(counted.on_their_way(), 1);
        assert_eq!(counted.due(), Some(seconds(31.0)));
        assert_eq!(counted.stood(seconds(30.999)), None);
        assert_eq!(counted.stood(seconds(31.0)), Some(7));
        assert_eq!((counted.on_their_way(), counted.due()), (0, None));
    }

    #[test]
    fn what_is_given_but_not_written_never_counts() {
        let mut counted = Counted::begin(PATIENCE);
        assert!(counted.send(7, b"m", &mut Vec::new()));
        assert_eq!((counted.due(), counted.stood(seconds(1e6))), (None, None));
        assert_eq!(counted.on_their_way(), 1);
        counted.written(seconds(100.0));
        assert_eq!(counted.stood(seconds(120.0)), None);
    }

    #[test]
    fn messages_of_one_second_count_together_with_the_last_of_them() {
        let mut counted = Counted::begin(PATIENCE);
        for (tag, now) in [(1, 3.0), (2, 3.5), (3, 3.999), (4, 4.0)] {
            write(&mut counted, tag, now);
        }
        assert_eq!(counted.stood(seconds(33.999)), None);
        assert_eq!(counted.stood(seconds(34.0)), Some(3));
        assert_eq!(counted.stood(seconds(35.0)), Some(4));
    }

    #[test]
    fn between_two_writes_there_is_room_for_a_batch() {
        let mut counted = Counted::begin(PATIENCE);
        let mut out = Vec::new();
        for tag in 0..BATCH as u64 {
            assert!(counted.send(tag, b"m", &mut out));
        }
        let length = out.len();
        assert!(!counted.send(999, b"m", &mut out) && out.len() == length);
        counted.written(seconds(0.0));
        assert_eq!((counted.room(), counted.on_their_way()), (BATCH, BATCH));
    }

    #[test]
    fn however_long_nobody_asks_the_memory_is_bounded_and_nothing_counts_early() {
        let mut counted = Counted::begin(PATIENCE);
        for second in 0..100_000_u32 {
            write(&mut counted, u64::from(second), f64::from(second));
        }
        assert_eq!(counted.written.len(), MOST);
        assert_eq!(counted.on_their_way(), 100_000);
        assert_eq!(counted.stood(seconds(100_000.0)), Some(MOST as u64 - 2));
        assert_eq!(counted.stood(seconds(100_029.9)), None);
        assert_eq!(counted.stood(seconds(100_030.0)), Some(99_999));
    }

    proptest! {
        /// Whoever asks, and when: no tag counts before its time, tags only grow, and in
        /// the end all of them count.
        #[test]
        fn no_message_counts_early_and_every_one_does(
            steps in prop::collection::vec((0_u64..3000, 0_u8..4), 1..300),
        ) {
            let mut counted = Counted::begin(PATIENCE);
            let (mut now, mut tag, mut last) = (Duration::ZERO, 0, 0);
            let mut written = Vec::new();
            for (pause, action) in steps {
                now += Duration::from_millis(pause);
                if action == 0 {
                    let Some(stood) = counted.stood(now) else { continue };
                    prop_assert!(stood > last);
                    let at: Duration = written[usize::try_from(stood).unwrap() - 1];
                    prop_assert!(at + PATIENCE + PATIENCE / 2 <= now);
                    last = stood;
                } else {
                    tag += 1;
                    prop_assert!(counted.send(tag, b"m", &mut Vec::new()));
                    counted.written(now);
                    written.push(now);
                }
            }
            let end = counted.stood(now + Duration::from_secs(1) + PATIENCE * 2);
            prop_assert_eq!(end.unwrap_or(last), tag);
        }
    }
}
