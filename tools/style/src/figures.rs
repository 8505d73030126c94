//! The figures of a checkout, as a table.

use crate::checkout::Checkout;
use crate::habits::{Habit, Habits};
use crate::lines::Lines;
use std::fmt;

/// Code bases to learn from, and their figures in the order of [`Figures::rows`]. This program
/// counted them in the checkouts ntpd-rs 68528161, sudo-rs e5a01fd7, ripgrep 3fce3b5b,
/// Firecracker 81b38b9d and rustls 6868ee84.
const MODELS: [(&str, [f64; 9]); 5] = [
    (
        "ntpd-rs",
        [1.9, 27.9, 0.0, 2.2, 40.3, 23.0, 39.0, 28106.0, 22199.0],
    ),
    (
        "sudo-rs",
        [2.9, 33.6, 0.1, 0.2, 80.6, 27.0, 52.0, 23995.0, 17623.0],
    ),
    (
        "ripgrep",
        [3.0, 16.6, 0.0, 3.5, 42.7, 16.0, 30.0, 36453.0, 25430.0],
    ),
    (
        "Firecracker",
        [3.4, 31.7, 0.2, 0.5, 127.5, 23.0, 39.0, 75047.0, 52406.0],
    ),
    (
        "rustls",
        [2.2, 20.3, 1.0, 3.6, 39.3, 31.0, 56.0, 53367.0, 38525.0],
    ),
];

/// Sums over all sources.
#[derive(Default)]
pub(crate) struct Figures {
    habits: Habits,
    lines: Lines,
}

impl Figures {
    pub(crate) fn of(checkout: &Checkout) -> Self {
        let mut figures = Self::default();
        for source in &checkout.sources {
            let (habits, tests) = Habits::count(source);
            figures.habits += habits;
            if !source.is_test {
                figures.lines += Lines::count(&source.text, &tests);
            }
        }
        figures.habits.test_names.sort_unstable();
        figures
    }

    /// Names and values, with at most one decimal.
    fn rows(&self) -> [(&'static str, f64); 9] {
        let Self { habits, lines } = self;
        let ratio = |count: usize, of: usize, scale: f64| {
            // Rounded to one decimal; without anything to count the ratio is 0.
            (count as f64 * scale * 10.0 / of.max(1) as f64).round() / 10.0
        };
        let names = &habits.test_names;
        let quantile = |tenths| {
            names
                .get(names.len() * tenths / 10)
                .map_or(0.0, |n| *n as f64)
        };
        [
            (
                "bindings used once, on the next line, per 1,000 lines",
                ratio(habits.count_of(Habit::BindingUsedOnce), lines.all, 1e3),
            ),
            (
                "private functions named once beside their definition, %",
                ratio(
                    habits.count_of(Habit::FunctionCalledOnce),
                    habits.private_functions,
                    1e2,
                ),
            ),
            (
                "`match` on bool per 1,000 lines",
                ratio(habits.count_of(Habit::MatchOnBool), lines.all, 1e3),
            ),
            (
                "doc comments that open with What, Where, Whether, How, Who, %",
                ratio(habits.count_of(Habit::Clause), habits.doc_comments, 1e2),
            ),
            (
                "`//` comments per 1,000 lines of code",
                ratio(lines.comments, lines.code, 1e3),
            ),
            ("length of test names, median", quantile(5)),
            ("length of test names, 90th percentile", quantile(9)),
            ("lines outside tests", lines.all as f64),
            ("lines of code outside tests", lines.code as f64),
        ]
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| sign | here |")?;
        for (name, _) in MODELS {
            write!(f, " {name} |")?;
        }
        writeln!(f, "\n|---|{}", "---|".repeat(1 + MODELS.len()))?;
        for (index, (name, here)) in self.rows().into_iter().enumerate() {
            write!(f, "| {name} | {here} |")?;
            for (_, values) in MODELS {
                write!(f, " {} |", values[index])?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
