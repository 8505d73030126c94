//! The progress of a long command: one line on stderr, redrawn, so that the result can go
//! elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Fewer bytes are read before anybody could read the line.
const MIN_BYTES: u64 = 8 * 1024 * 1024;

/// Between two drawings.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

const CLEAR_LINE: &str = "\r\x1b[K";

/// The width of the bar, in columns.
const BAR: u64 = 24;

/// A progress bar, or a count where the total is not known.
pub(crate) struct Progress {
    /// The command's work, as a participle.
    what: &'static str,
    /// The bytes that there are, where that is known.
    total: Option<u64>,
    done: u64,
    began: Instant,
    /// When it was drawn last; none when stderr is no terminal.
    drawn: Option<Instant>,
    is_drawn: bool,
}

impl Progress {
    /// On standard error, if that is a terminal and there is much to do.
    pub(crate) fn on_stderr(what: &'static str, total: Option<u64>) -> Self {
        let is_long = total.is_none_or(|total| total >= MIN_BYTES);
        let now = Instant::now();
        Self {
            what,
            total,
            done: 0,
            began: now,
            drawn: (is_long && io::stderr().is_terminal()).then_some(now),
            is_drawn: false,
        }
    }

    /// Counts bytes that were read.
    pub(crate) fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        let Some(drawn) = &mut self.drawn else { return };
        // Bytes come in pieces of some KiB, and each drawing is a system call.
        if drawn.elapsed() < REDRAW_INTERVAL {
            return;
        }
        *drawn = Instant::now();
        self.is_drawn = true;
        let text = text(self.what, self.done, self.total, self.began.elapsed());
        // The result does not depend on it.
        let _ = write!(io::stderr(), "{CLEAR_LINE}{text}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // The result begins on a line of its own.
        if self.is_drawn {
            let _ = write!(io::stderr(), "{CLEAR_LINE}");
        }
    }
}

fn text(what: &str, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    // The rate since the beginning, not that of the last moment, whose estimate would jump.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = done as f64 / seconds;
    let rate_text = format!("{:.0} MiB/s", rate / 1_048_576.0);
    let Some(total) = total.filter(|total| *total > 0) else {
        return format!("{what}: {}, {rate_text}", mebibytes(done));
    };
    // A live log grows meanwhile.
    let total = total.max(done);
    let filled = usize::try_from(done * BAR / total).unwrap_or(0);
    let rest = usize::try_from(BAR).unwrap_or(0) - filled;
    #[expect(clippy::cast_precision_loss, reason = "a guess for people")]
    let left = (total - done) as f64 / rate.max(1.0);
    format!(
        "{what} [{}{}] {:>3} % of {}, {rate_text}, {left:.0} s left",
        "=".repeat(filled),
        " ".repeat(rest),
        done * 100 / total,
        mebibytes(total),
    )
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes / 1_048_576)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1_048_576;

    #[test]
    fn progress_has_share_rate_and_rest() {
        let second = Duration::from_secs(1);
        assert_eq!(
            text("verifying", 256 * MIB, Some(1024 * MIB), second),
            "verifying [======                  ]  25 % of 1024 MiB, 256 MiB/s, 3 s left"
        );
        assert_eq!(
            text("verifying", 10 * MIB, None, second),
            "verifying: 10 MiB, 10 MiB/s"
        );
        // The log grew while it was read.
        let grown = text("verifying", 20 * MIB, Some(10 * MIB), second);
        assert!(grown.contains("100 % of 20 MiB"), "{grown}");
        assert!(text("verifying", 0, Some(0), Duration::ZERO).starts_with("verifying: 0 MiB"));
    }
}
