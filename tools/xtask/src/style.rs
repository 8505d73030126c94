//! `cargo xtask style`: signs of habits, and the crates that the programs are made of.

use crate::deps;
use crate::process::{self, Outcome};
use crate::products::PRODUCTS;
use crate::steps::Steps;
use crate::workspace::locked_cargo;

/// Prints the figures; arguments go to the counting program.
pub(crate) fn run(steps: &mut Steps, arguments: &[String]) -> Outcome {
    let mut count = locked_cargo("run");
    count.args(["--quiet", "--package", "pulse-style", "--"]);
    steps.run("signs", || process::run(count.args(arguments)));
    steps.run("crates", || {
        for program in PRODUCTS {
            println!("{program}: {}", deps::Crates::of(program)?.summary());
        }
        Ok(())
    });
    Ok(())
}
