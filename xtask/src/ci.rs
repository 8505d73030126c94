//! `cargo xtask ci`: everything a change has to pass, the quick answers first.
//!
//! A step that fails does not hide what the later ones would say.

use crate::process::{self, Failure, Outcome};
use crate::steps::Steps;
use crate::workspace::{cargo, locked_cargo};
use crate::{deny, deps, fuzz, policy, products, siege, test, unit};

/// How long each fuzz target runs: enough to see that it builds, that the corpus
/// passes, and that no shallow mistake came in.
const FUZZ_SECONDS: u64 = 10;

/// Runs every check.
pub(crate) fn run(steps: &mut Steps, _arguments: &[String]) -> Outcome {
    steps.run("format", format);
    steps.run("lock files", lock_files);
    steps.run("dependency list", deps::check);
    steps.run("policy", policy::check);
    steps.run("fuzzing figures", fuzz::check_table);
    steps.run("clippy", clippy);
    steps.run("documentation", documentation);
    deny::check(steps);
    test::run(steps, &[])?;
    unit::check(steps);
    siege::check(steps);
    fuzz::short(steps, FUZZ_SECONDS);
    steps.run("benchmarks, briefly", products::bench_smoke);
    Ok(())
}

fn format() -> Outcome {
    process::run(cargo("fmt").args(["--all", "--check"]))?;
    let fuzz = ["--manifest-path", "fuzz/Cargo.toml", "--check"];
    process::run(cargo("fmt").args(fuzz))
}

/// Ours and the fuzz targets', which the rest of the build never looks at.
fn lock_files() -> Outcome {
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let mut command = locked_cargo("metadata");
        command.args(["--format-version", "1", "--manifest-path", manifest]);
        let (status, said) = process::quietly(&mut command)?;
        if !status.success() {
            return Err(Failure::new(format!(
                "{said}run `cargo metadata --manifest-path {manifest}` and commit the lock file"
            )));
        }
    }
    Ok(())
}

fn clippy() -> Outcome {
    let mut command = locked_cargo("clippy");
    process::run(command.args(["--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn documentation() -> Outcome {
    let mut command = locked_cargo("doc");
    command.args(["--workspace", "--no-deps"]);
    process::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}
