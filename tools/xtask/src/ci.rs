//! `cargo xtask ci`: everything a change has to pass, the quick answers first.
//!
//! A step that fails does not hide what the later ones would say.

use crate::process::{self, Failure, Outcome};
use crate::steps::Steps;
use crate::workspace::{cargo, find_program, locked_cargo, root};
use crate::{deny, deps, fuzz, lints, package, policy, products, siege, test, unit};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// The time that each fuzz target runs: enough to see that it builds, that the corpus
/// passes, and that no shallow mistake came in.
const FUZZ_SECONDS: u64 = 10;

/// Runs every check.
pub(crate) fn run(steps: &mut Steps, _arguments: &[String]) -> Outcome {
    steps.run("format", || {
        process::run(cargo("fmt").args(["--all", "--check"]))?;
        // The fuzz targets are a workspace of their own, which `--all` does not reach.
        process::run(cargo("fmt").args(["--manifest-path", "fuzz/Cargo.toml", "--check"]))
    });
    steps.run("lock files", lock_files);
    steps.run("dependency list", deps::check);
    steps.run("policy", policy::check);
    steps.run("fuzzing figures", fuzz::check_table);
    steps.run("clippy", lints::everything);
    steps.run("clippy, shipped code", lints::shipped);
    steps.run("workflow", || {
        // Where it is installed: it is written in Go, and neither cargo nor Debian 12 has it.
        let Some(actionlint) = find_program("actionlint") else {
            println!("NOT CHECKED: actionlint is not here");
            return Ok(());
        };
        process::run(Command::new(actionlint).current_dir(root()))
    });
    steps.run("documentation", || {
        let mut command = locked_cargo("doc");
        command.args(["--workspace", "--no-deps"]);
        process::run(command.env("RUSTDOCFLAGS", "-D warnings"))
    });
    deny::check(steps);
    test::run(steps, &[])?;
    unit::check(steps);
    package::life::check(steps);
    siege::check(steps);
    fuzz::short(steps, FUZZ_SECONDS);
    steps.run("benchmarks, briefly", products::bench_smoke);
    Ok(())
}

/// Ours and the fuzz targets', which the rest of the build never looks at.
fn lock_files() -> Outcome {
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let mut command = locked_cargo("metadata");
        // With --locked it fails if the lock file does not fit the manifests; it builds nothing.
        command.args(["--format-version", "1", "--manifest-path", manifest]);
        let (status, said) = process::quietly(&mut command)?;
        if !status.success() {
            return Err(Failure::new(format!(
                "{said}run `cargo metadata --manifest-path {manifest}` and commit the lock file"
            )));
        }
    }
    let read = |file: &str| {
        fs::read_to_string(root().join(file))
            .map_err(|error| Failure::new(format!("{file}: {error}")))
    };
    let others = other_versions(&read("Cargo.lock")?, &read("fuzz/Cargo.lock")?);
    if others.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the fuzz targets are built with other versions than the daemon: {}; run \
         `cp Cargo.lock fuzz/ && cargo metadata --manifest-path fuzz/Cargo.toml`",
        others.join(", ")
    )))
}

/// Crates of the second lock file that are in the first, but not with this version.
fn other_versions(first: &str, second: &str) -> Vec<String> {
    let known: BTreeSet<_> = packages(first).collect();
    let names: BTreeSet<_> = known.iter().map(|(name, _)| *name).collect();
    let others = packages(second).filter(|package| !known.contains(package));
    let others = others.filter(|(name, _)| names.contains(name));
    others
        .map(|(name, version)| format!("{name} {version}"))
        .collect()
}

/// Names and versions.
fn packages(lock: &str) -> impl Iterator<Item = (&str, &str)> {
    lock.split("[[package]]").skip(1).filter_map(|package| {
        let value = |key: &str| {
            let mut lines = package.lines().filter_map(|line| line.strip_prefix(key));
            Some(lines.next()?.trim_matches(['=', ' ', '"']))
        };
        Some((value("name")?, value("version")?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_are_found() {
        let package =
            |name, version| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\n");
        let ours = [
            package("a", "1.0.0"),
            package("b", "1.0.0"),
            package("b", "2.0.0"),
        ]
        .concat();
        let fuzz = [
            package("a", "1.0.1"),
            package("b", "2.0.0"),
            package("c", "9.0.0"),
        ]
        .concat();
        assert_eq!(other_versions(&ours, &fuzz), ["a 1.0.1"]);
        assert!(other_versions(&ours, &ours).is_empty());
    }

    #[test]
    fn fuzzed_versions_are_shipped() {
        let read = |file: &str| fs::read_to_string(root().join(file)).unwrap();
        let others = other_versions(&read("Cargo.lock"), &read("fuzz/Cargo.lock"));
        assert!(others.is_empty(), "{others:?}");
    }
}
