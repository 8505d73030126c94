//! `cargo xtask siege`: everybody hostile at once, against one daemon under its unit.

use crate::process::{Failure, Outcome};
use crate::steps::Steps;
use crate::unit;

/// The duration in CI, and the default, in seconds.
const MINUTE: &str = "60";

/// Tells the test for how long.
const VARIABLE: &str = "PULSE_SIEGE_SECONDS";

/// Runs it; it prints what it found.
pub(crate) fn run(steps: &mut Steps, arguments: &[String]) -> Outcome {
    let seconds = arguments.first().map_or(MINUTE, String::as_str);
    if seconds.parse::<u64>().is_err() {
        return Err(Failure::new(format!("{seconds:?} is no number of seconds")));
    }
    unit::run_with(steps, &test(), &[(VARIABLE, seconds)])
}

/// CI's part, after the tests under the unit, which have built and installed everything.
pub(crate) fn check(steps: &mut Steps) {
    unit::check_with(steps, "siege", &test(), &[(VARIABLE, MINUTE)]);
}

/// The arguments of the test runner.
fn test() -> [String; 2] {
    ["siege::", "--nocapture"].map(str::to_owned)
}
