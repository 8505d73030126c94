//! `cargo xtask policy`: what confines the daemon from outside, and its configuration's packaged
//! file, written from their tables.
//!
//! The program `pulse-policy` of the crate `sandbox` does it; this only starts it.

use crate::process::{self, Failure, Outcome};
use crate::steps::Steps;
use crate::workspace::{locked_cargo, root};

/// `cargo xtask policy [--check]`.
pub(crate) fn run(steps: &mut Steps, arguments: &[String]) -> Outcome {
    match arguments {
        [] => steps.run("policy", || tool("write")),
        [word] if word == "--check" => steps.run("policy", check),
        _ => return Err(Failure::new("policy takes --check or nothing")),
    };
    Ok(())
}

/// Fails when what is checked in is not what the tables say.
pub(crate) fn check() -> Outcome {
    tool("check")
        .map_err(|_| Failure::new("run `cargo xtask policy`, look at what changes, and commit it"))
}

fn tool(word: &str) -> Outcome {
    let mut command = locked_cargo("run");
    command.args([
        "--quiet",
        "--package",
        "pulse-sandbox",
        "--features",
        "render",
    ]);
    command.args(["--bin", "pulse-policy", "--", word]);
    process::run(command.arg(root()))
}
