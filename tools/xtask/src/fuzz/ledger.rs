//! The results of all runs of a campaign, target by target: `fuzz/campaign.tsv`.
//!
//! The file is checked in, and `SPECIFICATION.md` has its table. A run adds to it, so a
//! campaign goes on where the last one ended, on whatever machine.

use super::execution::Statistics;
use crate::process::{self, Failure, Outcome};
use crate::workspace::root;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Processor time for each target, in seconds.
pub(super) const GOAL_SECONDS: u64 = 3600;
/// Executions of all targets together.
pub(super) const GOAL_EXECUTIONS: u64 = 100_000_000;

const COLUMNS: &str = "target\texecutions\tcpu_seconds\tedges\tfeatures\tdate\tcommit";
const PAGE: &str = "SPECIFICATION.md";
const BEGIN: &str = "<!-- what `cargo xtask fuzz --table` writes -->";
const END: &str = "<!-- until here -->";

/// One target's line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) executions: u64,
    pub(super) cpu_seconds: u64,
    edges: u64,
    features: u64,
    /// The last run's, and the commit that it was of.
    date: String,
    commit: String,
}

/// All of them, by target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger(BTreeMap<String, Entry>);

/// The day and the commit of a run.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    date: String,
    commit: String,
}

impl Stamp {
    #[cfg(test)]
    pub(super) fn of(date: &str, commit: &str) -> Self {
        Self {
            date: date.to_owned(),
            commit: commit.to_owned(),
        }
    }

    /// Today, and what is checked out.
    pub(super) fn now() -> Outcome<Self> {
        // date(1) and git, since this program has no dependency that knows calendars.
        let line = |program: &str, arguments: &[&str]| {
            let text = process::capture(Command::new(program).args(arguments).current_dir(root()));
            text.map(|text| text.trim().to_owned())
        };
        Ok(Self {
            date: line("date", &["-u", "+%F"])?,
            commit: line("git", &["rev-parse", "--short=10", "HEAD"])?,
        })
    }
}

impl Ledger {
    /// Reads the file that is checked in.
    pub(super) fn load() -> Outcome<Self> {
        match fs::read_to_string(file()) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::new(format!("{}: {error}", file().display()))),
        }
    }

    fn parse(text: &str) -> Outcome<Self> {
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, line)| line) != Some(COLUMNS) {
            return Err(Failure::new(format!("{}: other columns", file().display())));
        }
        // Lines are counted from 1, and the header is one of them.
        let wrong = |number: usize| {
            let file = file();
            Failure::new(format!(
                "{}:{}: no line of the campaign",
                file.display(),
                number + 1
            ))
        };
        lines
            .map(|(number, line)| parse_line(line).ok_or_else(|| wrong(number)))
            .collect::<Outcome<_>>()
            .map(Self)
    }

    /// Writes it, whole or not at all.
    pub(super) fn store(&self) -> Outcome {
        let unfinished = file().with_extension("new");
        fs::write(&unfinished, self.to_text())
            .and_then(|()| fs::rename(&unfinished, file()))
            .map_err(|error| Failure::new(format!("{}: {error}", file().display())))
    }

    fn to_text(&self) -> String {
        let mut text = format!("{COLUMNS}\n");
        for (target, entry) in &self.0 {
            let Entry {
                executions,
                cpu_seconds,
                edges,
                features,
                date,
                commit,
            } = entry;
            text.push_str(&format!(
                "{target}\t{executions}\t{cpu_seconds}\t{edges}\t{features}\t{date}\t{commit}\n"
            ));
        }
        text
    }

    /// Adds a run. Coverage is that of the last one: code changes.
    pub(super) fn add(&mut self, target: &str, run: &Statistics, stamp: &Stamp) {
        let entry = self.0.entry(target.to_owned()).or_default();
        *entry = Entry {
            executions: entry.executions + run.executions,
            cpu_seconds: entry.cpu_seconds + run.cpu_seconds,
            edges: run.edges,
            features: run.features,
            date: stamp.date.clone(),
            commit: stamp.commit.clone(),
        };
    }

    /// The sums of a target; nothing yet for a new one.
    pub(super) fn of(&self, target: &str) -> Entry {
        self.0.get(target).cloned().unwrap_or_default()
    }

    /// All targets' executions.
    pub(super) fn executions(&self) -> u64 {
        self.0.values().map(|entry| entry.executions).sum()
    }

    fn cpu_seconds(&self) -> u64 {
        self.0.values().map(|entry| entry.cpu_seconds).sum()
    }

    /// The table for the page, with a line for each of these targets.
    pub(super) fn table(&self, targets: &[&str]) -> String {
        let reached = targets
            .iter()
            .filter(|target| self.of(target).cpu_seconds >= GOAL_SECONDS);
        let mut table = format!(
            "{} of {} targets have had an hour of processor time; {} executions of {} in all.\n\n\
             | target | executions | processor time | edges | features | last run | commit |\n\
             |---|---|---|---|---|---|---|\n",
            reached.count(),
            targets.len(),
            grouped(self.executions()),
            grouped(GOAL_EXECUTIONS),
        );
        for target in targets {
            let entry = self.of(target);
            table.push_str(&format!(
                "| `{target}` | {} | {} | {} | {} | {} | {} |\n",
                grouped(entry.executions),
                duration(entry.cpu_seconds),
                grouped(entry.edges),
                grouped(entry.features),
                or_dash(&entry.date),
                or_dash(&entry.commit),
            ));
        }
        table.push_str(&format!(
            "| all | {} | {} | | | | |\n",
            grouped(self.executions()),
            duration(self.cpu_seconds())
        ));
        table
    }
}

fn parse_line(line: &str) -> Option<(String, Entry)> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [
        target,
        executions,
        cpu_seconds,
        edges,
        features,
        date,
        commit,
    ] = fields[..]
    else {
        return None;
    };
    let entry = Entry {
        executions: executions.parse().ok()?,
        cpu_seconds: cpu_seconds.parse().ok()?,
        edges: edges.parse().ok()?,
        features: features.parse().ok()?,
        date: date.to_owned(),
        commit: commit.to_owned(),
    };
    Some((target.to_owned(), entry))
}

/// Writes the table into the page.
pub(super) fn write_table(targets: &[&str]) -> Outcome {
    let page = root().join(PAGE);
    let text = read(&page)?;
    let text = with_table(&text, &Ledger::load()?.table(targets))?;
    fs::write(&page, text).map_err(|error| Failure::new(format!("{PAGE}: {error}")))
}

/// Fails when the page does not say what the ledger does.
pub(super) fn check_table(targets: &[&str]) -> Outcome {
    let text = read(&root().join(PAGE))?;
    if with_table(&text, &Ledger::load()?.table(targets))? == text {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{PAGE} does not say what fuzz/campaign.tsv does: run `cargo xtask fuzz --table`"
    )))
}

fn read(page: &Path) -> Outcome<String> {
    fs::read_to_string(page).map_err(|error| Failure::new(format!("{PAGE}: {error}")))
}

fn with_table(page: &str, table: &str) -> Outcome<String> {
    let parts = page.split_once(BEGIN);
    let parts = parts.and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| {
        Failure::new(format!(
            "{PAGE} has no place for the table: {BEGIN} … {END}"
        ))
    })?;
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

fn file() -> PathBuf {
    root().join("fuzz/campaign.tsv")
}

/// `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 h 02 min`, `59 min`; below a minute, `7 s`.
fn duration(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes:02} min"),
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "–" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::target;

    fn run(executions: u64, cpu_seconds: u64) -> Statistics {
        Statistics {
            executions,
            cpu_seconds,
            edges: 7,
            features: 9,
            ..Statistics::default()
        }
    }

    fn stamp(date: &str) -> Stamp {
        Stamp::of(date, "0123456789")
    }

    #[test]
    fn runs_add_up_on_disk() {
        let mut ledger = Ledger::default();
        ledger.add("b", &run(10, 5), &stamp("2026-01-01"));
        ledger.add("a", &run(1, 1), &stamp("2026-01-01"));
        ledger.add("b", &run(1000, 3600), &stamp("2026-01-02"));
        let text = ledger.to_text();
        assert_eq!(Ledger::parse(&text).unwrap(), ledger);
        assert!(text.ends_with("\nb\t1010\t3605\t7\t9\t2026-01-02\t0123456789\n"));
        assert_eq!(
            (ledger.executions(), ledger.of("b").cpu_seconds),
            (1011, 3605)
        );
    }

    #[test]
    fn bad_line_is_named() {
        for (text, place) in [
            ("target\texecutions\n", "other columns"),
            (&format!("{COLUMNS}\na\t1\t2\t3\t4\tx\n"), "campaign.tsv:2:"),
            (
                &format!("{COLUMNS}\na\tx\t2\t3\t4\tx\ty\n"),
                "campaign.tsv:2:",
            ),
        ] {
            let error = Ledger::parse(text).unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
    }

    #[test]
    fn table_replaces_its_place() {
        let mut ledger = Ledger::default();
        ledger.add("a", &run(1_234_567, 3720), &stamp("2026-01-01"));
        let table = ledger.table(&["a", "b"]);
        for line in [
            "1 of 2 targets have had an hour of processor time; 1,234,567 executions of 100,000,000 in all.",
            "| `a` | 1,234,567 | 1 h 02 min | 7 | 9 | 2026-01-01 | 0123456789 |",
            "| `b` | 0 | 0 s | 0 | 0 | – | – |",
            "| all | 1,234,567 | 1 h 02 min | | | | |",
        ] {
            assert!(table.contains(&format!("{line}\n")), "{table}");
        }
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = with_table(&page, &table).unwrap();
        assert!(new.starts_with("before\n") && new.ends_with(&format!("{END}\nafter\n")));
        assert!(new.contains("| `a` |") && !new.contains("old"));
        assert!(with_table("no place", &table).is_err());
    }

    #[test]
    fn page_matches_ledger() {
        let targets = target::names().unwrap();
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        check_table(&targets).unwrap();
        for (target, _) in Ledger::load().unwrap().0 {
            assert!(
                targets.contains(&target.as_str()),
                "{target} is no target any more"
            );
        }
    }
}
