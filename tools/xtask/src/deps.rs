//! `docs/dependencies.txt`: every crate that the daemon is made of.
//!
//! The list is checked in, so a dependency that comes in is a line in a review.
//! It is the daemon's own tree: what the tools and the tests pull in beside it,
//! or switch on in a crate that is shared, is not the daemon's.

use crate::process::{self, Failure, Outcome};
use crate::steps::Steps;
use crate::workspace::{locked_cargo, root};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

const DAEMON: &str = "pulse-sensor-proxy";
const TARGET: &str = "x86_64-unknown-linux-gnu";
const REMEDY: &str = "if this is meant, run `cargo xtask deps` and commit docs/dependencies.txt \
                      with the reason for each new crate in Cargo.toml";

/// `cargo xtask deps [--check]`.
pub(crate) fn run(steps: &mut Steps, arguments: &[String]) -> Outcome {
    match arguments {
        [] => steps.run("dependency list", write),
        [word] if word == "--check" => steps.run("dependency list", check),
        _ => return Err(Failure::new("deps takes --check or nothing")),
    };
    Ok(())
}

fn write() -> Outcome {
    let list = current()?;
    println!("{}", list.lines().next().unwrap_or_default());
    fs::write(file(), list)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", file().display())))
}

/// Fails when the list that is checked in is not the truth.
pub(crate) fn check() -> Outcome {
    let committed = fs::read_to_string(file()).unwrap_or_default();
    let current = current()?;
    if committed == current {
        return Ok(());
    }
    for line in difference(&committed, &current) {
        println!("{line}");
    }
    Err(Failure::new(format!(
        "the daemon's dependencies changed; {REMEDY}"
    )))
}

fn file() -> PathBuf {
    root().join("docs/dependencies.txt")
}

/// The list as it is now.
fn current() -> Outcome<String> {
    Ok(render(&Crates::of(DAEMON)?))
}

/// The crates of others that a program is made of, as `NAME VERSION`.
pub(crate) struct Crates {
    /// Linked into the program.
    linked: BTreeSet<String>,
    /// Those, and those that only run while it is built.
    all: BTreeSet<String>,
}

impl Crates {
    /// Asks cargo, twice: macros run only while the program is built, and are linked into
    /// nothing, although they are normal dependencies.
    pub(crate) fn of(program: &str) -> Outcome<Self> {
        Ok(Self {
            linked: tree(program, "normal,no-proc-macro")?,
            all: tree(program, "normal,build")?,
        })
    }

    /// One line with the numbers.
    pub(crate) fn summary(&self) -> String {
        let (inside, total) = (self.linked.len(), self.all.len());
        format!(
            "{total} crates: {inside} linked, {} that only run while it is built",
            total.saturating_sub(inside)
        )
    }
}

fn tree(program: &str, edges: &str) -> Outcome<BTreeSet<String>> {
    let mut command = locked_cargo("tree");
    // One target and no colour: the list is compared byte by byte, wherever it is made.
    command.args(["--package", program, "--edges", edges]);
    command.args(["--target", TARGET, "--prefix", "none", "--color", "never"]);
    Ok(crates(&process::capture(&mut command)?))
}

/// `name vX.Y.Z …` lines as `name X.Y.Z`; a crate with a path is one of ours.
fn crates(tree: &str) -> BTreeSet<String> {
    let name_and_version = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        // The brackets, if any, have a path, or the address of another source than crates.io.
        (!rest.contains("(/")).then_some(format!("{name} {}", rest.split(' ').next()?))
    };
    tree.lines().filter_map(name_and_version).collect()
}

fn render(crates: &Crates) -> String {
    let mut list = format!(
        "{}\n\n{DAEMON} for {TARGET}, written by `cargo xtask deps`.\n\n",
        crates.summary()
    );
    for name in &crates.all {
        let remark = if crates.linked.contains(name) {
            ""
        } else {
            " (build)"
        };
        list.push_str(&format!("{name}{remark}\n"));
    }
    list
}

/// Lines that only one side has, marked as in a patch, crates side by side.
fn difference(old: &str, new: &str) -> Vec<String> {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (old.lines().collect(), new.lines().collect());
    let mut changes = BTreeMap::new();
    for line in old.symmetric_difference(&new) {
        let mark = if old.contains(line) { '-' } else { '+' };
        changes.insert((*line, mark), format!("{mark} {line}"));
    }
    changes.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "pulse-sensor-proxy v0.1.0 (/x/crates/daemon)\n\
                        serde v1.0.2\n\
                        serde_derive v1.0.2 (proc-macro)\n\
                        serde v1.0.2 (*)\n";

    #[test]
    fn list_has_foreign_crates_once() {
        let list = render(&Crates {
            linked: BTreeSet::from(["serde 1.0.2".to_owned()]),
            all: crates(TREE),
        });
        assert!(list.starts_with("2 crates: 1 linked, 1 that only"));
        assert!(list.ends_with("\n\nserde 1.0.2\nserde_derive 1.0.2 (build)\n"));
    }

    #[test]
    fn update_is_a_pair() {
        let changes = difference("a 1\nb 1\nc 1\n", "a 1\nb 2\nc 1\nd 1\n");
        assert_eq!(changes, ["- b 1", "+ b 2", "+ d 1"]);
    }
}
