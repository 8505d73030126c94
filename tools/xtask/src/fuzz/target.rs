//! A fuzz target and where its things are.

use super::build::{self, Sanitizer};
use crate::process::{Failure, Outcome};
use crate::workspace::{root, target_dir};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A request line may have 16,384 bytes; the fuzzer has to get past that.
const MAX_LENGTH: &str = "-max_len=20000";

/// An input that takes longer than this, in seconds, is a hang.
const TIMEOUT: &str = "-timeout=10";

/// An input that takes more memory than this, in MiB, is a leak or a bomb.
const MEMORY: &str = "-rss_limit_mb=2048";

/// A target: a file in `fuzz/fuzz_targets`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    name: String,
    sanitizer: Sanitizer,
}

/// All targets, or the one that was named.
pub(super) fn chosen(name: Option<&str>, sanitizer: Sanitizer) -> Outcome<Vec<Target>> {
    let mut targets = all(sanitizer)?;
    let names: Vec<_> = targets.iter().map(|target| target.name.clone()).collect();
    if let Some(name) = name {
        targets.retain(|target| target.name == name);
        if targets.is_empty() {
            let names = names.join(", ");
            return Err(Failure::new(format!(
                "there is no fuzz target {name:?}; there are: {names}"
            )));
        }
    }
    Ok(targets)
}

/// All targets' names, in order.
pub(super) fn names() -> Outcome<Vec<String>> {
    Ok(all(Sanitizer::None)?
        .into_iter()
        .map(|target| target.name)
        .collect())
}

fn all(sanitizer: Sanitizer) -> Outcome<Vec<Target>> {
    let mut targets = Vec::new();
    for file in files(&root().join("fuzz/fuzz_targets"))? {
        if file.extension().is_some_and(|extension| extension == "rs") {
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            let name = name.into_owned();
            targets.push(Target { name, sanitizer });
        }
    }
    targets.sort();
    Ok(targets)
}

/// The files in a directory.
pub(super) fn files(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", dir.display())))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// Creates a directory unless it is there.
pub(super) fn create(dir: &Path) -> Outcome {
    fs::create_dir_all(dir)
        .map_err(|error| Failure::new(format!("cannot create {}: {error}", dir.display())))
}

impl Target {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The corpus that is checked in.
    pub(super) fn corpus(&self) -> PathBuf {
        root().join("fuzz/corpus").join(&self.name)
    }

    /// The directory of the inputs that runs find.
    pub(super) fn found(&self) -> PathBuf {
        self.output("corpus")
    }

    /// This target's part of the output directory.
    pub(super) fn output(&self, kind: &str) -> PathBuf {
        target_dir().join("fuzz").join(kind).join(&self.name)
    }

    /// The program with the limits that every run has.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(build::program(&self.name, self.sanitizer));
        command
            .args([MAX_LENGTH, TIMEOUT, MEMORY])
            // Leaks are the memory limit's business: looking for them needs
            // ptrace, which containers do not always grant.
            .env("ASAN_OPTIONS", "detect_leaks=0:detect_odr_violation=0");
        let dictionary = root().join(format!("fuzz/dictionaries/{}.dict", self.name));
        if dictionary.is_file() {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        command
    }
}
