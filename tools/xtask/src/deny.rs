//! `cargo xtask deny`: licences, duplicates, sources and advisories.
//!
//! The rules are in `deny.toml`.

use crate::process::{self, Outcome};
use crate::steps::Steps;
use crate::tool::Tool;
use crate::workspace::{root, tools_dir};
use std::path::Path;
use std::process::Command;

/// In one version, since its rules' names change.
const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};

/// The name of cargo-deny's clone of the `RustSec` database, below `db-path` of `deny.toml`.
const CLONE: &str = "advisory-db-3157b0e258782691";

/// `cargo xtask deny`.
pub(crate) fn run(steps: &mut Steps, _arguments: &[String]) -> Outcome {
    check(steps);
    Ok(())
}

/// Gets cargo-deny if need be, and runs every check that this machine can.
pub(crate) fn check(steps: &mut Steps) {
    if let Some(tool) = steps.run("cargo-deny", || DENY.get()) {
        steps.run("licences, duplicates, sources", || {
            process::run(&mut checking(
                &tool,
                &["check", "bans", "licenses", "sources"],
            ))
        });
        steps.run("advisories", || advisories(&tool));
    }
}

/// Without a network the last clone decides, until it is older than `deny.toml` permits.
fn advisories(tool: &Path) -> Outcome {
    let mut fetch = Command::new(tool);
    let (status, said) = process::quietly(fetch.current_dir(root()).args(["fetch", "db"]))?;
    let database = tools_dir().join("advisory-dbs").join(CLONE);
    if !status.success() && !database.is_dir() {
        println!(
            "NOT CHECKED: the advisory database cannot be fetched. Where there is a network, run \
             this once, or clone https://github.com/RustSec/advisory-db to {}\n{said}",
            database.display()
        );
        return Ok(());
    }
    process::run(&mut checking(tool, &["--offline", "check", "advisories"]))
}

fn checking(tool: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(tool);
    command.current_dir(root()).arg("--locked").args(arguments);
    command
}
