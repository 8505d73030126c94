//! `cargo xtask manual`: manual pages and completions, which are not kept in the repository: they
//! are made from the tables of the programs.

use crate::process::{self, Failure, Outcome};
use crate::steps::Steps;
use crate::workspace::{locked_cargo, target_dir};
use std::path::{Path, PathBuf};

/// Writes them to `target/manual`, or to the directory that is named.
pub(crate) fn run(steps: &mut Steps, arguments: &[String]) -> Outcome {
    let directory = match arguments {
        [] => directory(),
        [directory] => directory.into(),
        _ => return Err(Failure::new("manual takes one directory")),
    };
    steps.run("manual pages and completions", || write(&directory));
    Ok(())
}

/// The directory in which other words look for them.
pub(crate) fn directory() -> PathBuf {
    target_dir().join("manual")
}

/// Writes `man` and `completions` into a directory.
pub(crate) fn write(directory: &Path) -> Outcome {
    let mut manual = locked_cargo("run");
    manual.args(["--quiet", "--package", "pulse-manual", "--"]);
    process::run(manual.arg(std::path::absolute(directory).unwrap_or(directory.into())))
}
