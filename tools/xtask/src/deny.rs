//! `cargo xtask deny`: licences, duplicates, sources and advisories.
//!
//! The rules are in `deny.toml`.

use crate::process::{self, Failure, Outcome};
use crate::steps::Steps;
use crate::tool::Tool;
use crate::workspace::{root, tools_dir};
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// In one version, since its rules' names change.
const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};

/// A clone of the advisory database, for machines that cannot fetch it.
const DATABASE: &str = "PULSE_ADVISORY_DB";

/// The name that cargo-deny gives its clone of the `RustSec` database.
const CLONE: &str = "advisory-db-3157b0e258782691";

/// `cargo xtask deny`.
pub(crate) fn run(steps: &mut Steps, _arguments: &[String]) -> Outcome {
    check(steps);
    Ok(())
}

/// Gets cargo-deny if need be, and runs every check that this machine can.
pub(crate) fn check(steps: &mut Steps) {
    if let Some(tool) = steps.run("cargo-deny", || DENY.get()) {
        steps.run("licences, duplicates, sources", || rules(&tool));
        steps.run("advisories", || advisories(&tool));
    }
}

fn rules(tool: &Path) -> Outcome {
    process::run(&mut checking(tool, &["bans", "licenses", "sources"]))
}

fn advisories(tool: &Path) -> Outcome {
    let Some(database) = database()? else {
        println!(
            "NOT CHECKED: there is no advisory database here.\n\
             With a network: git clone https://github.com/RustSec/advisory-db DIR\n\
             then: {DATABASE}=DIR cargo xtask deny"
        );
        return Ok(());
    };
    println!("using {}", database.display());
    let cannot = |error| Failure::new(format!("cannot link the database: {error}"));
    link(&database).map_err(cannot)?;
    process::run(&mut checking(tool, &["advisories"]))
}

fn checking(tool: &Path, what: &[&str]) -> Command {
    let mut command = Command::new(tool);
    command.current_dir(root()).arg("--locked");
    if what.contains(&"advisories") {
        command.arg("--offline");
    }
    command.arg("check").args(what);
    command
}

/// The clone that the user named, or one that cargo-deny or cargo-audit made.
fn database() -> Outcome<Option<PathBuf>> {
    if let Some(named) = env::var_os(DATABASE).map(PathBuf::from) {
        let shown = named.display().to_string();
        let no_database =
            || Failure::new(format!("{DATABASE}={shown} is no clone of the database"));
        return is_database(&named)
            .then_some(Some(named))
            .ok_or_else(no_database);
    }
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let home = home.unwrap_or_default();
    let known = [
        databases_dir().join(CLONE),
        home.join("advisory-dbs").join(CLONE),
        home.join("advisory-db"),
    ];
    Ok(known.into_iter().find(|dir| is_database(dir)))
}

fn is_database(dir: &Path) -> bool {
    dir.join(".git").exists() && dir.join("crates").is_dir()
}

/// As `db-path` in `deny.toml`.
fn databases_dir() -> PathBuf {
    tools_dir().join("advisory-dbs")
}

/// Puts the database where cargo-deny looks for it.
fn link(database: &Path) -> std::io::Result<()> {
    let link = databases_dir().join(CLONE);
    if link == database {
        return Ok(());
    }
    fs::create_dir_all(databases_dir())?;
    if link.is_symlink() {
        fs::remove_file(&link)?;
    }
    symlink(fs::canonicalize(database)?, link)
}
