//! What is wrong with a stream, apart from its collectors.

use super::overview::{ago, indented};
use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use pulse_forward::status::{LostRange, StreamStatus};

/// True when an operator has to do something now.
pub(super) fn has_finding(stream: &StreamStatus) -> bool {
    stream.keeps_segments.is_some() || !stream.lost.is_empty()
}

/// True when records reach the collector, but too slowly, or its progress cannot be stored.
pub(super) fn has_warning(stream: &StreamStatus) -> bool {
    stream.queue_grows_since.is_some() || stream.cursor_error.is_some()
}

/// The lines about it.
pub(super) fn warnings(stream: &StreamStatus, now: i64, columns: Option<usize>) -> Vec<Line> {
    let name = escape(&stream.name);
    let mut lines = Vec::new();
    let mut add = |head: String, tone: Tone, text: &str| {
        lines.extend([Line::default(), Line::new(Tone::Strong, head)]);
        lines.extend(indented(tone, text, columns));
    };
    if let Some(since) = stream.queue_grows_since {
        let head = format!(
            "records for {name} have been overdue for {}",
            ago(since, now)
        );
        let text = "its collector acknowledges nothing, or is slower than records are written";
        add(head, Tone::Warm, text);
    }
    if let Some(error) = &stream.cursor_error {
        let head = format!("the cursor of {name} cannot be written");
        let text = format!(
            "{}: after a restart records are sent again, and old segments stay until then; is the state directory full or read-only?",
            escape(error)
        );
        add(head, Tone::Warm, &text);
    }
    if !stream.lost.is_empty() {
        let head = format!(
            "{name} has lost {}: removed from the log before they were delivered",
            records(stream.lost_records())
        );
        add(
            head,
            Tone::Bad,
            &format!("records {}", ranges(&stream.lost)),
        );
        lines.extend(indented(
            Tone::Plain,
            &format!(
                "what to do: find out who removed them; if a copy exists, restore the segment and run `pulse-sensorctl forward replay --from {}`, else run `pulse-sensorctl forward accept-loss`",
                stream.lost.first().map_or(1, |range| range.first)
            ),
            columns,
        ));
    }
    if let Some(reason) = &stream.keeps_segments {
        lines.extend([
            Line::default(),
            Line::new(
                Tone::Strong,
                "old segments of the log stay, though they exceed its retention",
            ),
        ]);
        lines.extend(indented(Tone::Warm, &escape(reason), columns));
    }
    lines
}

/// A number of records, as a text.
pub(super) fn records(count: u64) -> String {
    match count {
        1 => "1 record".to_owned(),
        count => format!("{count} records"),
    }
}

/// Ranges of records, as a text: the first of many.
pub(super) fn ranges(lost: &[LostRange]) -> String {
    const MAX_SHOWN: usize = 16;
    let mut texts: Vec<String> = lost
        .iter()
        .take(MAX_SHOWN)
        .map(LostRange::to_string)
        .collect();
    if let Some(more @ 1..) = lost.len().checked_sub(MAX_SHOWN) {
        texts.push(format!("and {more} more ranges"));
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::overview::outcome;
    use super::super::overview::tests::{NOW, drawn, fine, site};
    use super::*;
    use crate::error::Outcome;
    use pulse_forward::status::CollectorState;

    #[test]
    fn kept_segments_are_named() {
        let mut status = site();
        status.first_seq = 900;
        let reason = "stream failover speaks syslog: set retain_unacknowledged = true";
        status.streams[0].keeps_segments = Some(reason.to_owned());
        status.streams[0].collectors[0].state = CollectorState::Idle;
        assert_eq!(outcome(&status, NOW), Outcome::Finding);
        let text = drawn(&status, None);
        assert!(text.contains("records 900 to 1204"), "{text}");
        assert!(
            text.ends_with(&format!("retention\n  {reason}\n")),
            "{text}"
        );
    }

    #[test]
    fn lost_records_are_a_finding() {
        let mut status = fine();
        let range = |first, last| LostRange { first, last };
        status.streams[0].lost = vec![range(6, 10), range(14, 14)];
        assert_eq!(outcome(&status, NOW), Outcome::Finding);
        let text = drawn(&status, None);
        assert!(text.contains("\nfailover has lost 6 records: "), "{text}");
        assert!(text.contains("\n  records 6 to 10, 14\n"), "{text}");
        assert!(text.contains("forward accept-loss"), "{text}");
        status.streams[0].lost = (0..20).map(|seq| range(seq * 2, seq * 2)).collect();
        let text = drawn(&status, None);
        assert!(text.contains(" 30, and 4 more ranges\n"), "{text}");
    }

    #[test]
    fn warnings_do_not_depend_on_the_state() {
        let mut status = fine();
        status.streams[0].queue_grows_since = u64::try_from(NOW - 300).ok();
        assert_eq!(outcome(&status, NOW), Outcome::Unproven);
        let text = drawn(&status, None);
        assert!(
            text.contains("records for failover have been overdue for 5 min\n"),
            "{text}"
        );
        let mut status = fine();
        status.streams[0].cursor_error = Some("No space left on device".to_owned());
        assert_eq!(outcome(&status, NOW), Outcome::Unproven);
        let text = drawn(&status, None);
        assert!(
            text.contains("the cursor of failover cannot be written\n  No space"),
            "{text}"
        );
    }
}
