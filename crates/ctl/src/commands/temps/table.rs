//! The table of temperatures: node, sensor, temperature, limits, age.

use super::heat::Heat;
use super::reading::NodeReading;
use super::rows::{Row, Value, rows};
use super::state::{reason, summary};
use crate::client::seconds_up;
use crate::ui::age::ago;
use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use crate::ui::width::{cut, pad, width};
use crate::ui::wrap::wrapped;
use pulse_sensors::document::SensorState;
use std::borrow::Cow;
use std::time::Duration;

/// The form of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// Every sensor, rather than a summary.
    pub(super) all: bool,
    /// The terminal's columns. In a file or pipe, the table is as wide as it has to be and
    /// names the node in each line, so that grep finds it.
    pub(super) columns: Option<usize>,
}

/// The least width that labels are cut to.
const MIN_LABEL: usize = 8;

/// The gap between two columns.
const GAP: &str = "  ";

/// Widths of the columns that have a fixed one.
const DEGREES: usize = 6;
const MARK: usize = 2;
const LIMIT: usize = 5;
const AGE: usize = 6;

/// Everything right of the labels, with the gaps before.
const RIGHT: usize = 2 + DEGREES + 1 + MARK + LIMIT + 2 + LIMIT + 2 + AGE;

/// The text of a node that has not answered yet.
pub(super) const STILL_READING: &str = "still being read";

/// The lines of the table.
pub(super) fn table(nodes: &[NodeReading], style: Style) -> Vec<Line> {
    let (head, bodies) = parts(nodes, style);
    let mut lines = vec![head];
    lines.extend(bodies.into_iter().flatten());
    lines
}

/// The head of the table, and the lines of each node.
pub(super) fn parts(nodes: &[NodeReading], style: Style) -> (Line, Vec<Vec<Line>>) {
    let entries: Vec<Entry> = nodes
        .iter()
        .map(|reading| Entry {
            node: escape(&reading.node),
            tone: if reading.is_pending {
                Tone::Faint
            } else {
                Tone::Bad
            },
            body: match &reading.outcome {
                Ok(sample) => Ok(Body {
                    rows: rows(&sample.document, style.all),
                    age: sample.age,
                    state: &sample.document.state,
                }),
                Err(_) if reading.is_pending => Err(STILL_READING.to_owned()),
                Err(error) => {
                    // The first column has the node's name.
                    let error = error
                        .strip_prefix(&format!("node \"{}\" ", reading.node))
                        .unwrap_or(error);
                    let remedy = node_remedy(error, reading.retry_in);
                    Err(escape(&format!("{error}{remedy}")))
                }
            },
        })
        .collect();
    let table = Table::measure(&entries, style);
    let node = pad("NODE", table.node);
    let names = table.names("CHIP OR DISK", "SENSOR");
    let numbers = format!(
        "{:>DEGREES$} {:MARK$}{:>LIMIT$}{GAP}{:>LIMIT$}{GAP}{:>AGE$}",
        "°C", "", "max", "crit", "age"
    );
    let head = Line::new(Tone::Faint, format!("{node}{GAP}{names}{GAP}{numbers}"));
    (
        head,
        entries.iter().map(|entry| table.entry(entry)).collect(),
    )
}

/// One node's rows, or its error.
struct Entry<'a> {
    node: String,
    /// The tone of an error.
    tone: Tone,
    body: Result<Body<'a>, String>,
}

struct Body<'a> {
    rows: Vec<Row>,
    /// The age of the reading.
    age: Duration,
    state: &'a SensorState,
}

impl Entry<'_> {
    fn rows(&self) -> &[Row] {
        self.body.as_ref().map_or(&[], |body| &body.rows)
    }
}

/// The widths of the columns.
struct Table {
    node: usize,
    source: usize,
    label: usize,
    style: Style,
}

impl Table {
    fn measure(entries: &[Entry<'_>], style: Style) -> Self {
        let widest = |texts: &mut dyn Iterator<Item = &str>, least: &str| {
            texts.map(width).max().unwrap_or(0).max(width(least))
        };
        let rows = || entries.iter().flat_map(Entry::rows);
        let node = widest(&mut entries.iter().map(|e| e.node.as_str()), "NODE");
        let source = widest(&mut rows().map(|row| row.source.as_str()), "CHIP OR DISK");
        let label = widest(&mut rows().map(|row| row.label.as_str()), "SENSOR");
        // Labels are shortened first: names of nodes and devices identify a row, and the numbers
        // are the result.
        let others = node + 2 + source + 2 + RIGHT;
        let room = style
            .columns
            .map_or(usize::MAX, |columns| columns.saturating_sub(others));
        Self {
            node,
            source,
            label: label.min(room.max(MIN_LABEL)),
            style,
        }
    }

    fn entry(&self, entry: &Entry<'_>) -> Vec<Line> {
        match &entry.body {
            Err(error) => self.text(&entry.node, entry.tone, error),
            Ok(body) => {
                let mut lines = self.body(&entry.node, body);
                if !self.style.all
                    && let Some(text) = summary(body.state, self.room())
                {
                    // In a file or pipe each line has the node's name.
                    let node = match self.style.columns {
                        None => entry.node.as_str(),
                        Some(_) => "",
                    };
                    lines.extend(self.text(node, Tone::Warm, &text));
                }
                lines
            }
        }
    }

    fn body(&self, node: &str, body: &Body<'_>) -> Vec<Line> {
        if body.rows.is_empty() {
            return self.text(node, Tone::Faint, "answered, but has no temperatures");
        }
        let line = |(place, row): (usize, &Row)| {
            let own_age = row.age.map(|own_age| body.age + own_age);
            if place == 0 || self.style.columns.is_none() {
                self.row(node, row, &ago(own_age.unwrap_or(body.age)))
            } else {
                self.row("", row, &own_age.map(ago).unwrap_or_default())
            }
        };
        body.rows.iter().enumerate().map(line).collect()
    }

    fn row(&self, node: &str, row: &Row, age: &str) -> Line {
        let start = Line::new(Tone::Strong, pad(node, self.node)).and(Tone::Plain, GAP);
        if let Value::Note(text) = &row.value {
            let source = pad(&escape(&row.source), self.source);
            return start
                .and(Tone::Plain, format!("{source}{GAP}"))
                .and(Tone::Warm, text.as_str());
        }
        let start = start
            .and(
                Tone::Plain,
                self.names(&escape(&row.source), &escape(&row.label)),
            )
            .and(Tone::Plain, GAP);
        // Aligned at the decimal point: whole degrees have two blanks in its place.
        let degrees = match &row.value {
            Value::Degrees(degrees) => format!("{degrees:.1}"),
            Value::Whole(degrees) => format!("{degrees}  "),
            Value::Asleep => "asleep".to_owned(),
            Value::Unknown | Value::Note(_) => "?  ".to_owned(),
            Value::Dropped(degrees, why) => {
                let text = format!("{degrees:>DEGREES$.1} dropped: {}", reason(*why));
                return start.and(Tone::Faint, text);
            }
        };
        // The mark says without colours what the tone says.
        let (tone, mark) = match row.heat {
            Heat::Unknown => (Tone::Plain, ""),
            Heat::Normal => (Tone::Good, ""),
            Heat::Warm => (Tone::Warm, "!"),
            Heat::Critical => (Tone::Bad, "!!"),
        };
        let limit =
            |limit: Option<f64>| limit.map_or_else(String::new, |limit| format!("{limit:.0}"));
        let right = format!(
            "{:>LIMIT$}{GAP}{:>LIMIT$}{GAP}{age:>AGE$}",
            limit(row.limits.max),
            limit(row.limits.critical)
        );
        start
            .and(tone, format!("{degrees:>DEGREES$} {mark:MARK$}"))
            .and(Tone::Faint, right)
    }

    /// A text in place of rows, wrapped on a terminal.
    fn text(&self, node: &str, tone: Tone, text: &str) -> Vec<Line> {
        let mut node = node;
        wrapped(text, self.room())
            .into_iter()
            .map(|part| {
                // The first line has the name; the others continue below the text.
                Line::new(Tone::Strong, pad(std::mem::take(&mut node), self.node))
                    .and(Tone::Plain, GAP)
                    .and(tone, part)
            })
            .collect()
    }

    /// The columns right of the nodes' names.
    fn room(&self) -> Option<usize> {
        Some(self.style.columns?.saturating_sub(self.node + 2))
    }

    fn names(&self, source: &str, label: &str) -> String {
        let label = if width(label) <= self.label {
            Cow::from(label)
        } else {
            format!("{}…", cut(label, self.label.saturating_sub(1)).trim_end()).into()
        };
        format!(
            "{}{GAP}{}",
            pad(source, self.source),
            pad(&label, self.label)
        )
    }
}

/// The remedy for an error that concerns one node, where the error does not name it itself.
/// The texts are fixed by the protocol (docs/protocol.md).
fn node_remedy(error: &str, retry_in: Option<Duration>) -> Cow<'static, str> {
    let has = |part| error.contains(part);
    if let Some(time) = retry_in {
        return format!(": ask again in {}", seconds_up(time)).into();
    }
    if has("address_not_permitted") {
        ": its address is outside what the daemon may connect to"
    } else if has("rate limit exceeded") {
        ": ask again in some seconds (see [rate_limit] in the configuration)"
    } else if has("audit log unavailable") {
        ": the daemon's log says why"
    } else {
        ""
    }
    .into()
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

    fn drawn(columns: Option<usize>) -> String {
        let style = Style {
            all: false,
            columns,
        };
        drawn_as(DATA, style)
    }

    fn drawn_as(data: &str, style: Style) -> String {
        let data = RawValue::from_string(data.to_owned()).unwrap();
        let lines = table(&super::super::reading::parse(&data).unwrap().1, style);
        let lines: Vec<String> = lines.iter().map(|line| line.render(false)).collect();
        format!("\n{}\n", lines.join("\n"))
    }

    #[test]
    fn a_table_fits_its_terminal() {
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
            assert!(width(line) <= 63, "{line}");
        }
    }

    const STATES: &str = r#"{"nodes":[
        {"node":"pve1","age_ms":300,"temperature":{"sensors":{
            "acpitz-acpi-0":{"temp1":{"temp1_input":45.0}},
            "coretemp-isa-0000":{"Package id 0":{"temp1_input":52.0,"temp1_max":84.0,"temp1_crit":94.0}},
            "drivetemp-scsi-0-0":{"temp1":{"temp1_input":38.0}}},
            "smart":[{"device":"/dev/sda","model":"ST4000","type":"sata","temperature":null}],
            "sensor_state":{
                "chips":[{"chip":"nouveau-pci-0100","state":"unreadable","age_ms":125000},
                    {"chip":"drivetemp-scsi-0-0","state":"stale","age_ms":41000},
                    {"chip":"w1_slave_temp-virtual-0","state":"pending"}],
                "dropped":[{"chip":"acpitz-acpi-0","sensor":"temp6","value":127.0,"reason":"open_input"},
                    {"chip":"/dev/sda","sensor":"temperature","value":-128.0,"reason":"out_of_range"}],
                "omitted":[{"chip":"coretemp-isa-0000","sensors":65}]}}},
        {"node":"pve2","age_ms":300,"temperature":{"sensors":{},"smart":[],
            "sensor_state":{"chips":[{"chip":"k10temp-pci-00c3","state":"unreadable"}]}}}]}"#;

    #[test]
    fn states_have_a_line() {
        let style = |columns| Style {
            all: false,
            columns,
        };
        let expected = "
NODE  CHIP OR DISK  SENSOR            °C     max   crit     age
pve1  coretemp      Package id 0    52.0      84     94   0.3 s
      acpitz        temp1           45.0
      drivetemp     temp1           38.0                   41 s
      2 chips do not answer: nouveau-pci-0100, …; 1 chip not read yet; 65 sensors omitted; 2 values dropped; see --all
pve2  answered, but has no temperatures
      1 chip does not answer: k10temp-pci-00c3; see --all
";
        let wide = drawn_as(STATES, style(Some(118)));
        assert_eq!(wide, expected);
        let piped = drawn_as(STATES, style(None));
        let line = "\npve1  2 chips do not answer: nouveau-pci-0100, drivetemp-scsi-0-0; 1 chip ";
        assert!(piped.contains(line), "{piped}");
    }

    #[test]
    fn all_shows_everything() {
        let style = Style {
            all: true,
            columns: Some(80),
        };
        let expected = "
NODE  CHIP OR DISK             SENSOR            °C     max   crit     age
pve1  coretemp-isa-0000        Package id 0    52.0      84     94   0.3 s
      coretemp-isa-0000        65 more sensors, omitted
      acpitz-acpi-0            temp1           45.0
      acpitz-acpi-0            temp6          127.0 dropped: open input
      drivetemp-scsi-0-0       temp1           38.0                   41 s
      drivetemp-scsi-0-0       does not answer, last value 41 s old
      sda                      ST4000           ?
      sda                      temperature   -128.0 dropped: out of range
      nouveau-pci-0100         does not answer, last value 2 min old
      w1_slave_temp-virtual-0  not read yet
pve2  k10temp-pci-00c3         does not answer
";
        let drawn = drawn_as(STATES, style);
        assert_eq!(drawn, expected);
        for line in drawn.lines() {
            assert!(width(line) <= 80, "{line}");
        }
    }

    #[test]
    fn a_pipe_gets_whole_lines() {
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
    fn a_tiny_window_is_usable() {
        assert!(drawn(Some(1)).contains("ST4000V…"));
    }

    #[test]
    fn a_node_error_has_a_remedy() {
        let text = node_remedy("rejected by validator (address_not_permitted)", None);
        assert!(text.contains("may connect to"), "{text}");
        let text = node_remedy(
            "not read: rate limit exceeded",
            Some(Duration::from_millis(1200)),
        );
        assert_eq!(text, ": ask again in 2 s");
    }

    #[test]
    fn control_characters_are_escaped() {
        let node = NodeReading {
            node: "a\u{1b}[H".into(),
            outcome: Err("x\ny".into()),
            retry_in: None,
            is_pending: false,
        };
        let style = Style {
            all: true,
            columns: None,
        };
        let lines = table(&[node], style);
        assert_eq!(lines[1].render(false), "a\\u{1b}[H  x\\u{a}y");
    }
}
