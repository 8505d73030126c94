//! `cargo xtask test`: every test, against real counterparts.

use crate::packages;
use crate::process::{self, Failure, Outcome};
use crate::products::{self, Profile};
use crate::steps::Steps;
use crate::tally::Tally;
use crate::workspace::{cargo, locked_cargo};
use std::io::{self, IsTerminal};
use std::process::Command;

/// The variable with the directory of the programs that the end-to-end tests start.
pub(crate) const BIN_DIR: &str = "PULSE_BIN_DIR";

/// The counterparts that are not here, with commas between: a test that needs one
/// of these skips itself, a test that misses any other fails.
pub(crate) const MISSING: &str = "PULSE_TEST_MISSING";

/// Prepares the machine and runs the tests; arguments go to the runner.
pub(crate) fn run(steps: &mut Steps, arguments: &[String]) -> Outcome {
    let missing = steps.run("counterparts", packages::ensure);
    let missing = missing.unwrap_or_default().join(",");
    let build = products::build_for_tests;
    if steps.run("programs for the tests", build).is_none() {
        steps.end_with("no test was run".to_owned());
        return Ok(());
    }
    let mut tally = Tally::default();
    steps.run("tests", || {
        add(&mut tally, &mut runner(arguments, &missing))
    });
    if arguments.is_empty() {
        steps.run("examples in the documentation", || {
            add(&mut tally, locked_cargo("test").arg("--doc"))
        });
    }
    steps.end_with(tally.to_string());
    Ok(())
}

fn runner(arguments: &[String], missing: &str) -> Command {
    // nextest runs the tests of all programs side by side; cargo's runner, which every machine
    // has, runs one program after the other.
    let mut command = if process::succeeds(cargo("nextest").arg("--version")) {
        let mut nextest = cargo("nextest");
        nextest.args(["run", "--locked"]);
        nextest
    } else {
        println!("cargo-nextest is not here: using cargo test");
        let mut test = locked_cargo("test");
        test.arg("--tests");
        test
    };
    command
        .arg("--no-fail-fast")
        .args(arguments)
        .env(BIN_DIR, products::directory(Profile::EndToEnd))
        .env(MISSING, missing);
    command
}

/// Runs a test runner and adds what it counted.
fn add(tally: &mut Tally, runner: &mut Command) -> Outcome {
    if io::stdout().is_terminal() {
        runner.env("CARGO_TERM_COLOR", "always");
    }
    let (status, output) = process::tee(runner)?;
    let counted = Tally::read(&output);
    if status.success() {
        *tally += counted;
        return Ok(());
    }
    // A runner may fail although no test did: a test that does not compile, say.
    let counted = counted.with_a_failure();
    *tally += counted;
    Err(Failure::new(counted.to_string()))
}
