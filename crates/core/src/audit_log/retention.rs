//! Retention of the audit log: the conditions under which a segment is removed.
//!
//! The log is a list of segments, oldest first, and a live file. Only the oldest segment is
//! judged, because a log may lose its beginning and nothing else. It is removed if it
//! exceeds a limit, if a seal on disk covers it, and if every configured stream has
//! forwarded it to its collector.

use std::fmt;
use std::time::Duration;

/// The operator's limits (`[audit] retain_…`). Without a limit nothing is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The greatest age of a segment's last record.
    pub age: Option<Duration>,
    /// The most bytes of all segments together.
    pub bytes: Option<u64>,
    /// The cursors of streams without acknowledgements count as well.
    pub unacknowledged: bool,
}

impl Limits {
    /// True if there is a limit.
    #[must_use]
    pub fn are_set(&self) -> bool {
        self.age.is_some() || self.bytes.is_some()
    }
}

/// The limit that a segment exceeds; the `reason` of its `log.pruned` record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// `retain_days`.
    Age,
    /// `retain_bytes`.
    Size,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::Age, Self::Size];

    /// The word in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Size => "size",
        }
    }

    /// The reason with this word in the record.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// The oldest segment of a log, with facts about the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// The number of its last record.
    pub last: u64,
    /// The age of its last record; zero if its time is in the future.
    pub age: Duration,
    /// The bytes of all segments and the live file.
    pub total: u64,
    /// The last record that a seal on disk covers.
    pub sealed: u64,
}

/// A configured stream of records to collectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its name in `forward status`.
    pub name: String,
    /// True if all of its collectors acknowledge records (RELP).
    pub acknowledges: bool,
    /// The last record before its cursor on disk, if there is a cursor.
    pub passed: Option<u64>,
}

/// The verdict on the oldest segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No limit is exceeded.
    Keep,
    /// It exceeds a limit and is removed.
    Remove(Reason),
    /// It exceeds a limit and is kept.
    Hold(Reason, Hold),
}

/// The condition that keeps a segment although it exceeds a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// No seal covers its last record yet.
    Unsealed,
    /// The stream has no cursor: nothing is acknowledged yet.
    NoCursor {
        /// Its name.
        stream: String,
    },
    /// The stream's cursor is before the end of the segment.
    Behind {
        /// Its name.
        stream: String,
        /// The last record before its cursor.
        passed: u64,
        /// The segment's last record.
        last: u64,
    },
    /// The stream has no acknowledgements (syslog), so its cursor does not count.
    Unacknowledged {
        /// Its name.
        stream: String,
    },
}

impl Hold {
    /// The stream that the condition is about.
    #[must_use]
    pub fn stream(&self) -> Option<&str> {
        match self {
            Self::Unsealed => None,
            Self::NoCursor { stream }
            | Self::Behind { stream, .. }
            | Self::Unacknowledged { stream } => Some(stream),
        }
    }

    /// True if both differ in numbers at most.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && self.stream() == other.stream()
    }

    /// True if it normally ends without an operator.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unsealed | Self::Behind { .. })
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsealed => f.write_str("no seal covers the oldest segment yet"),
            Self::NoCursor { stream } => write!(
                f,
                "no collector of stream {stream} has acknowledged a record yet"
            ),
            Self::Behind {
                stream,
                passed,
                last,
            } => write!(
                f,
                "stream {stream} has forwarded records up to {passed} only, and the oldest \
                 segment ends with record {last}"
            ),
            Self::Unacknowledged { stream } => write!(
                f,
                "stream {stream} speaks syslog, which acknowledges nothing: set \
                 [audit] retain_unacknowledged = true to have its cursor count"
            ),
        }
    }
}

/// Judges the oldest segment.
#[must_use]
pub fn judge(oldest: &Oldest, limits: &Limits, streams: &[Stream]) -> Verdict {
    let is_too_old = limits.age.is_some_and(|limit| oldest.age > limit);
    let is_too_much = limits.bytes.is_some_and(|limit| oldest.total > limit);
    // A record has one reason; a segment that exceeds both limits is removed for its age.
    let reason = if is_too_old {
        Reason::Age
    } else if is_too_much {
        Reason::Size
    } else {
        return Verdict::Keep;
    };
    // An unsealed record could be removed without a trace: nothing would prove its loss.
    if oldest.last > oldest.sealed {
        return Verdict::Hold(reason, Hold::Unsealed);
    }
    match streams
        .iter()
        .find_map(|stream| stream.hold(oldest.last, limits))
    {
        Some(hold) => Verdict::Hold(reason, hold),
        None => Verdict::Remove(reason),
    }
}

impl Stream {
    fn hold(&self, last: u64, limits: &Limits) -> Option<Hold> {
        let stream = self.name.clone();
        // Without acknowledgements the cursor says what was sent, not what arrived. Only the
        // operator can accept that.
        if !self.acknowledges && !limits.unacknowledged {
            return Some(Hold::Unacknowledged { stream });
        }
        match self.passed {
            None => Some(Hold::NoCursor { stream }),
            Some(passed) if passed < last => Some(Hold::Behind {
                stream,
                passed,
                last,
            }),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn limits(days: Option<u32>, bytes: Option<u64>) -> Limits {
        Limits {
            age: days.map(|days| DAY * days),
            bytes,
            unacknowledged: false,
        }
    }

    fn oldest(age_days: u32, total: u64) -> Oldest {
        Oldest {
            last: 100,
            age: DAY * age_days,
            total,
            sealed: 1000,
        }
    }

    fn relp(name: &str, passed: Option<u64>) -> Stream {
        Stream {
            name: name.to_owned(),
            acknowledges: true,
            passed,
        }
    }

    fn syslog(passed: Option<u64>) -> Stream {
        Stream {
            acknowledges: false,
            ..relp("s", passed)
        }
    }

    #[test]
    fn nothing_is_removed_by_default() {
        let verdict = judge(&oldest(40_000, u64::MAX), &limits(None, None), &[]);
        assert_eq!(verdict, Verdict::Keep);
        let only_flag = Limits {
            unacknowledged: true,
            ..Limits::default()
        };
        assert!(!only_flag.are_set());
        let verdict = judge(&oldest(40_000, u64::MAX), &only_flag, &[]);
        assert_eq!(verdict, Verdict::Keep);
    }

    #[test]
    fn limits_have_to_be_exceeded() {
        let both = limits(Some(30), Some(5000));
        for (age, total, verdict) in [
            (30, 5000, Verdict::Keep),
            (31, 0, Verdict::Remove(Reason::Age)),
            (0, 5001, Verdict::Remove(Reason::Size)),
            (31, 5001, Verdict::Remove(Reason::Age)),
        ] {
            assert_eq!(judge(&oldest(age, total), &both, &[]), verdict);
        }
        let old = limits(Some(30), None);
        assert_eq!(judge(&oldest(30, u64::MAX), &old, &[]), Verdict::Keep);
        let big = limits(None, Some(5000));
        assert_eq!(judge(&oldest(9999, 5000), &big, &[]), Verdict::Keep);
    }

    #[test]
    fn unsealed_record_keeps_segment() {
        let due = limits(Some(1), None);
        let unsealed = Oldest {
            sealed: 99,
            ..oldest(2, 0)
        };
        assert_eq!(
            judge(&unsealed, &due, &[]),
            Verdict::Hold(Reason::Age, Hold::Unsealed)
        );
        let sealed = Oldest {
            sealed: 100,
            ..unsealed
        };
        assert_eq!(judge(&sealed, &due, &[]), Verdict::Remove(Reason::Age));
    }

    #[test]
    fn every_stream_has_to_pass_it() {
        let due = limits(None, Some(10));
        let judged = |streams: &[Stream]| judge(&oldest(0, 11), &due, streams);
        let passed = [relp("a", Some(100)), relp("b", Some(101))];
        assert_eq!(judged(&passed), Verdict::Remove(Reason::Size));
        let behind = [relp("a", Some(100)), relp("b", Some(99))];
        let hold = Hold::Behind {
            stream: "b".to_owned(),
            passed: 99,
            last: 100,
        };
        assert_eq!(judged(&behind), Verdict::Hold(Reason::Size, hold));
        let new = [relp("a", Some(100)), relp("b", None)];
        let stream = "b".to_owned();
        let hold = Hold::NoCursor { stream };
        assert_eq!(judged(&new), Verdict::Hold(Reason::Size, hold));
    }

    #[test]
    fn syslog_cursor_counts_if_allowed() {
        let due = limits(Some(1), None);
        let allowed = Limits {
            unacknowledged: true,
            ..due
        };
        let stream = "s".to_owned();
        for passed in [None, Some(5), Some(100)] {
            let hold = Hold::Unacknowledged {
                stream: stream.clone(),
            };
            assert_eq!(
                judge(&oldest(2, 0), &due, &[syslog(passed)]),
                Verdict::Hold(Reason::Age, hold)
            );
        }
        // Its cursor counts then, and still has to have passed.
        let verdict = |passed| judge(&oldest(2, 0), &allowed, &[syslog(passed)]);
        assert_eq!(verdict(Some(100)), Verdict::Remove(Reason::Age));
        assert!(matches!(verdict(Some(99)), Verdict::Hold(..)));
        assert!(matches!(verdict(None), Verdict::Hold(..)));
    }

    #[test]
    fn hold_names_stream_and_remedy() {
        let hold = Hold::Unacknowledged {
            stream: "logs".to_owned(),
        };
        let text = hold.to_string();
        assert!(text.contains("stream logs") && text.contains("retain_unacknowledged = true"));
        assert_eq!(hold.stream(), Some("logs"));
        assert!(!hold.is_passing() && Hold::Unsealed.is_passing());
    }

    #[test]
    fn reasons_have_distinct_words() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::from_name("boredom"), None);
    }

    /// A segment of a log that is pruned until nothing more is removed.
    #[derive(Clone, Copy, Debug)]
    struct Segment {
        last: u64,
        age: u64,
        bytes: u64,
    }

    fn pruned(
        mut segments: &[Segment],
        live: u64,
        sealed: u64,
        limits: &Limits,
        streams: &[Stream],
    ) -> usize {
        let before = segments.len();
        while let [first, rest @ ..] = segments {
            let total = segments.iter().map(|one| one.bytes).sum::<u64>() + live;
            let oldest = Oldest {
                last: first.last,
                age: Duration::from_secs(first.age),
                total,
                sealed,
            };
            match judge(&oldest, limits, streams) {
                Verdict::Remove(_) => segments = rest,
                _ => break,
            }
        }
        before - segments.len()
    }

    proptest! {
        /// The kept log is within the limits or held, and keeps as many segments as possible.
        #[test]
        fn no_more_is_removed_than_needed(
            sizes in proptest::collection::vec((1u64..50, 1u64..1000, 0u64..90), 0..20),
            live in 0u64..1000,
            age in proptest::option::of(0u64..100),
            bytes in proptest::option::of(0u64..8000),
            sealed in 0u64..600,
            passed in proptest::option::of(0u64..600),
        ) {
            let (mut last, mut old) = (0, 2000);
            let segments: Vec<Segment> = sizes
                .iter()
                .map(|(records, bytes, younger)| {
                    last += records;
                    old -= younger;
                    Segment { last, age: old, bytes: *bytes }
                })
                .collect();
            let limits = Limits {
                age: age.map(|age| Duration::from_secs(age * 20)),
                bytes,
                unacknowledged: false,
            };
            let streams = [relp("a", passed)];
            let gone = pruned(&segments, live, sealed, &limits, &streams);
            let rest = &segments[gone..];
            let size = |of: &[Segment]| of.iter().map(|one| one.bytes).sum::<u64>() + live;
            let is_over = |of: &[Segment]| {
                of.first().is_some_and(|first| {
                    limits.age.is_some_and(|age| Duration::from_secs(first.age) > age)
                        || bytes.is_some_and(|bytes| size(of) > bytes)
                })
            };
            for count in 0..gone {
                prop_assert!(is_over(&segments[count..]), "{count} of {gone}");
                prop_assert!(segments[count].last <= sealed);
                prop_assert!(passed.is_some_and(|passed| segments[count].last <= passed));
            }
            if is_over(rest) {
                let held = rest[0].last > sealed
                    || passed.is_none_or(|passed| rest[0].last > passed);
                prop_assert!(held, "{rest:?}");
            }
        }
    }
}
