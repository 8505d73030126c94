//! The numbers of tests that passed and failed, read from what the runners print.
//!
//! `cargo test` sums up each of its programs in a line of its own, nextest all of
//! them in one; together with the documentation's tests there is no single number
//! that a reader, or a program, could find at the end. So we add up.

use std::fmt;

/// Tests that passed and tests that did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
}

/// The runners' words for a test that went wrong.
const WRONG: [&str; 3] = ["failed", "timed out", "exec failed"];

impl Tally {
    /// Reads nextest's summary if there is one, or sums up those of `cargo test`.
    ///
    /// nextest repeats what a failed test printed, which is a summary as well.
    pub(crate) fn read(output: &str) -> Self {
        let plain = without_colour(output);
        // `Summary [   0.1s] 3 tests run: 2 passed (1 slow), 1 failed, 0 skipped`, the last one:
        // a test may print such a line.
        if let Some(counts) = plain.lines().rev().find_map(|line| {
            let (_, counts) = line
                .trim_start()
                .strip_prefix("Summary [")?
                .split_once(" run: ")?;
            Some(counts)
        }) {
            return count(counts);
        }
        // `test result: ok. 3 passed; 0 failed; …`
        let mut tally = Self::default();
        for line in plain.lines() {
            if let Some(result) = line.trim_start().strip_prefix("test result: ")
                && let Some((_, counts)) = result.split_once(". ")
            {
                tally += count(counts);
            }
        }
        tally
    }

    /// Counts one failure at least: for a runner that ended badly without a
    /// summary that says why.
    pub(crate) fn with_a_failure(self) -> Self {
        Self {
            failed: self.failed.max(1),
            ..self
        }
    }
}

fn count(counts: &str) -> Tally {
    let mut tally = Tally::default();
    for part in counts.split([';', ',', '(']) {
        let Some((number, what)) = part.trim().split_once(' ') else {
            continue;
        };
        let number = number.parse().unwrap_or(0);
        match what.trim_end().trim_end_matches(')') {
            "passed" => tally.passed += number,
            what if WRONG.contains(&what) => tally.failed += number,
            _ => {}
        }
    }
    tally
}

/// Drops the sequences that colour a terminal: `ESC [ … m`.
fn without_colour(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(output: &str, passed: u64, failed: u64) {
        assert_eq!(Tally::read(output), Tally { passed, failed });
    }

    #[test]
    fn cargo_test_programs_add_up() {
        let text = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s\n\
                    noise 5 passed; 5 failed\n\
                    test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        reads(text, 15, 2);
    }

    #[test]
    fn nextest_summary_is_read() {
        reads(
            "     Summary [   0.006s] 1 test run: 1 passed, 0 skipped",
            1,
            0,
        );
        reads(
            "     Summary [  10.1s] 9/12 tests run: 6 passed (1 slow, 2 leaky), 1 failed, 2 timed out, 4 skipped",
            6,
            3,
        );
        reads(
            "\x1b[31;1m     Summary\x1b[0m [   1.0s] \x1b[1m3\x1b[0m tests run: \x1b[1m2\x1b[0m \x1b[32;1mpassed\x1b[0m, \x1b[1m1\x1b[0m \x1b[31;1mfailed\x1b[0m, 0 skipped",
            2,
            1,
        );
    }

    #[test]
    fn failure_counts_once() {
        let text = "        FAIL [   0.1s] (1/2) x::y\n\
                    \x20   test result: FAILED. 0 passed; 1 failed; 0 ignored\n\
                    \x20    Summary [   0.1s] 2 tests run: 1 passed, 1 failed, 0 skipped\n";
        reads(text, 1, 1);
    }

    #[test]
    fn no_summary_is_a_failure() {
        let tally = Tally::read("no summary").with_a_failure();
        assert_eq!(tally.to_string(), "0 passed, 1 failed");
        let one = Tally::read("test result: FAILED. 0 passed; 2 failed;");
        assert_eq!(one.with_a_failure(), one);
    }
}
