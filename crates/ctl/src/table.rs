//! The table of temperatures: who, what, how hot, how hot it may become.

use crate::failure::node_remedy;
use crate::heat::Heat;
use crate::line::{Line, Tone};
use crate::reading::NodeReading;
use crate::rows::{Row, Shown, rows};
use crate::shown::shown;
use crate::wrap::wrapped;
use std::time::Duration;

/// How the table is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Every sensor, rather than a summary.
    pub(crate) all: bool,
    /// How wide it may be. A table that nobody looks at may be as wide as it is,
    /// and names the node in each line, so that grep finds it.
    pub(crate) columns: Option<usize>,
}

/// What no label is cut to less than.
const LEAST_LABEL: usize = 8;

/// Between two columns.
const GAP: &str = "  ";

/// Widths of the columns that have a fixed one.
const DEGREES: usize = 6;
const MARK: usize = 2;
const LIMIT: usize = 5;
const AGE: usize = 6;

/// Everything right of the labels, with the gaps before.
const RIGHT: usize = 2 + DEGREES + 1 + MARK + LIMIT + 2 + LIMIT + 2 + AGE;

/// The lines of the table.
pub(crate) fn table(nodes: &[NodeReading], style: Style) -> Vec<Line> {
    let entries: Vec<Entry> = nodes
        .iter()
        .map(|node| Entry::of(node, style.all))
        .collect();
    let table = Table::measure(&entries, style);
    let bodies = entries.iter().flat_map(|entry| table.entry(entry));
    std::iter::once(table.head()).chain(bodies).collect()
}

/// Whether any node failed.
pub(crate) fn any_failed(nodes: &[NodeReading]) -> bool {
    nodes.iter().any(|node| node.outcome.is_err())
}

/// One node, ready to be laid out.
struct Entry {
    node: String,
    body: Result<(Vec<Row>, Duration), String>,
}

impl Entry {
    fn of(reading: &NodeReading, all: bool) -> Self {
        let body = match &reading.outcome {
            Ok(sample) => Ok((rows(&sample.document, all), sample.age)),
            Err(error) => {
                let error = without_node(error, &reading.node);
                Err(format!("{}{}", shown(error), node_remedy(error)))
            }
        };
        Self {
            node: shown(&reading.node),
            body,
        }
    }

    fn rows(&self) -> &[Row] {
        self.body.as_ref().map_or(&[], |(rows, _)| rows)
    }
}

/// The error without what the first column says already.
fn without_node<'a>(error: &'a str, node: &str) -> &'a str {
    error
        .strip_prefix(&format!("node \"{node}\" "))
        .unwrap_or(error)
}

/// The widths of the columns.
struct Table {
    node: usize,
    source: usize,
    label: usize,
    style: Style,
}

impl Table {
    fn measure(entries: &[Entry], style: Style) -> Self {
        let widest = |texts: &mut dyn Iterator<Item = &str>, least: &str| {
            texts.map(count).max().unwrap_or(0).max(count(least))
        };
        let rows = || entries.iter().flat_map(Entry::rows);
        let node = widest(&mut entries.iter().map(|e| e.node.as_str()), "NODE");
        let source = widest(&mut rows().map(|row| row.source.as_str()), "CHIP OR DISK");
        let label = widest(&mut rows().map(|row| row.label.as_str()), "SENSOR");
        let others = node + 2 + source + 2 + RIGHT;
        let room = style
            .columns
            .map_or(usize::MAX, |columns| columns.saturating_sub(others));
        Self {
            node,
            source,
            label: label.min(room.max(LEAST_LABEL)),
            style,
        }
    }

    fn head(&self) -> Line {
        let left = self.left("NODE", "CHIP OR DISK", "SENSOR");
        let text = format!(
            "{left}{GAP}{:>DEGREES$} {:MARK$}{:>LIMIT$}{GAP}{:>LIMIT$}{GAP}{:>AGE$}",
            "°C", "", "max", "crit", "age"
        );
        Line::of(Tone::Faint, text)
    }

    fn entry(&self, entry: &Entry) -> Vec<Line> {
        match &entry.body {
            Err(error) => self.text(&entry.node, Tone::Bad, error),
            Ok((rows, _)) if rows.is_empty() => self.text(
                &entry.node,
                Tone::Faint,
                "answered, but has no temperatures",
            ),
            Ok((rows, age)) => {
                let line = |(place, row): (usize, &Row)| {
                    let named = place == 0 || self.style.columns.is_none();
                    let (node, age) = if named {
                        (entry.node.as_str(), ago(*age))
                    } else {
                        ("", String::new())
                    };
                    self.row(node, row, &age)
                };
                rows.iter().enumerate().map(line).collect()
            }
        }
    }

    fn row(&self, node: &str, row: &Row, age: &str) -> Line {
        let (tone, mark) = look(row.heat);
        let degrees = degrees(row.shown);
        let right = format!(
            "{:>LIMIT$}{GAP}{:>LIMIT$}{GAP}{age:>AGE$}",
            limit(row.limits.max),
            limit(row.limits.critical)
        );
        Line::of(Tone::Strong, left_in(self.node, node))
            .and(Tone::Plain, GAP)
            .and(
                Tone::Plain,
                self.names(&shown(&row.source), &shown(&row.label)),
            )
            .and(Tone::Plain, GAP)
            .and(tone, format!("{degrees:>DEGREES$} {mark:MARK$}"))
            .and(Tone::Faint, right)
    }

    /// A text in place of rows, wrapped where somebody looks at it.
    fn text(&self, node: &str, tone: Tone, text: &str) -> Vec<Line> {
        let columns = self.style.columns;
        let room = columns.map(|columns| columns.saturating_sub(self.node + 2));
        let parts = wrapped(text, room).into_iter();
        let line = |(place, part)| {
            let node = if place == 0 { node } else { "" };
            Line::of(Tone::Strong, left_in(self.node, node))
                .and(Tone::Plain, GAP)
                .and(tone, part)
        };
        parts.enumerate().map(line).collect()
    }

    fn left(&self, node: &str, source: &str, label: &str) -> String {
        format!(
            "{}{GAP}{}",
            left_in(self.node, node),
            self.names(source, label)
        )
    }

    fn names(&self, source: &str, label: &str) -> String {
        let label = shorten(label, self.label);
        format!(
            "{}{GAP}{}",
            left_in(self.source, source),
            left_in(self.label, &label)
        )
    }
}

/// The colour of a heat, and the mark that says the same without colours.
fn look(heat: Heat) -> (Tone, &'static str) {
    match heat {
        Heat::Unknown => (Tone::Plain, ""),
        Heat::Normal => (Tone::Good, ""),
        Heat::Warm => (Tone::Warm, "!"),
        Heat::Critical => (Tone::Bad, "!!"),
    }
}

/// The units stand below each other, whether there are tenths or not.
fn degrees(shown: Shown) -> String {
    match shown {
        Shown::Degrees(degrees) => format!("{degrees:.1}"),
        Shown::Whole(degrees) => format!("{degrees}  "),
        Shown::Asleep => "asleep".to_owned(),
        Shown::Unknown => "?  ".to_owned(),
    }
}

fn limit(limit: Option<f64>) -> String {
    limit.map_or_else(String::new, |limit| format!("{limit:.0}"))
}

/// A length of time in the unit that fits it.
pub(crate) fn ago(age: Duration) -> String {
    match age.as_secs() {
        0..10 => format!("{:.1} s", age.as_secs_f64()),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

fn count(text: &str) -> usize {
    text.chars().count()
}

fn left_in(width: usize, text: &str) -> String {
    format!("{text:width$}")
}

fn shorten(text: &str, width: usize) -> String {
    if count(text) <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    const DATA: &str = r#"{"nodes":[
        {"node":"pve1","age_ms":340,"temperature":{"sensors":{
            "coretemp-isa-0000":{
                "Package id 0":{"temp1_input":52.0,"temp1_max":84.0,"temp1_crit":94.0},
                "Core 0":{"temp2_input":95.5,"temp2_max":84.0,"temp2_crit":94.0}}},
            "smart":[{"device":"/dev/sda","model":"ST4000VN008-2DR1","type":"sata","temperature":51}]}},
        {"node":"pve2","error":"node \"pve2\" cannot be reached at 192.0.2.2:22: connection refused; next attempt in 12 s"},
        {"node":"pve3","age_ms":125000,"temperature":{"sensors":{},"smart":[]}}]}"#;

    fn nodes() -> Vec<NodeReading> {
        NodeReading::parse_all(&RawValue::from_string(DATA.to_owned()).unwrap()).unwrap()
    }

    fn drawn(columns: Option<usize>) -> String {
        let style = Style {
            all: false,
            columns,
        };
        let lines = table(&nodes(), style);
        let lines: Vec<String> = lines.iter().map(|line| line.render(false)).collect();
        format!("\n{}\n", lines.join("\n"))
    }

    #[test]
    fn a_terminal_gets_a_table_that_fits_it() {
        let expected = "
NODE  CHIP OR DISK  SENSOR            °C     max   crit     age
pve1  coretemp      Package id 0    52.0      84     94   0.3 s
      coretemp      Core 0          95.5 !!   84     94
      sda           ST4000VN008…    51   !
pve2  cannot be reached at 192.0.2.2:22: connection refused;
      next attempt in 12 s
pve3  answered, but has no temperatures
";
        assert_eq!(drawn(Some(63)), expected);
        for line in drawn(Some(63)).lines() {
            assert!(count(line) <= 63, "{line}");
        }
    }

    #[test]
    fn a_pipe_gets_whole_lines_that_grep_can_use() {
        let text = drawn(None);
        assert!(text.contains("\npve1  sda "), "{text}");
        assert!(text.contains("ST4000VN008-2DR1"), "{text}");
        assert!(text.contains("next attempt in 12 s\n"), "{text}");
        assert!(
            text.lines().skip(2).all(|line| line.starts_with("pve")),
            "{text}"
        );
    }

    #[test]
    fn a_window_too_small_breaks_nothing() {
        assert!(drawn(Some(1)).contains("ST4000V…"));
    }

    #[test]
    fn a_failed_node_is_noticed() {
        assert!(any_failed(&nodes()));
        assert!(!any_failed(&nodes()[..1]));
    }

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        let ago = |ms| ago(Duration::from_millis(ms));
        assert_eq!(ago(0), "0.0 s");
        assert_eq!(ago(9_940), "9.9 s");
        assert_eq!(ago(10_000), "10 s");
        assert_eq!(ago(125_000), "2 min");
        assert_eq!(ago(7_200_000), "2 h");
    }

    #[test]
    fn what_a_node_says_cannot_move_the_cursor() {
        let node = NodeReading {
            node: "a\u{1b}[H".into(),
            outcome: Err("x\ny".into()),
        };
        let style = Style {
            all: true,
            columns: None,
        };
        let lines = table(&[node], style);
        assert_eq!(lines[1].render(false), "a\\u{1b}[H  x\\u{a}y");
    }
}
