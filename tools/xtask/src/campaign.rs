//! `cargo xtask forward-campaign`: a test of the suite, with many more records.

use crate::packages;
use crate::process::{self, Failure, Outcome};
use crate::products::{self, Profile};
use crate::steps::Steps;
use crate::test::{BIN_DIR, MISSING};
use crate::workspace::locked_cargo;

/// The number of records that the issue of forwarding asks for.
const RECORDS: &str = "100000";

/// Tells the test how many.
const VARIABLE: &str = "PULSE_CAMPAIGN_RECORDS";

/// Prepares the machine and runs it; it prints what it found.
pub(crate) fn run(steps: &mut Steps, arguments: &[String]) -> Outcome {
    let records = arguments.first().map_or(RECORDS, String::as_str);
    if records.parse::<u64>().is_err() {
        return Err(Failure::new(format!("{records:?} is no number of records")));
    }
    let missing = steps.run("counterparts", packages::ensure);
    let missing = missing.unwrap_or_default().join(",");
    let build = products::build_for_tests;
    if steps.run("programs for the tests", build).is_none() {
        return Ok(());
    }
    let mut test = locked_cargo("test");
    test.args(["--package", "pulse-e2e", "--test", "end_to_end", "--"])
        .args(["--nocapture", "forwarding::campaign"])
        .env(BIN_DIR, products::directory(Profile::EndToEnd))
        .env(MISSING, missing)
        .env(VARIABLE, records);
    steps.run("campaign", || process::run(&mut test));
    Ok(())
}
