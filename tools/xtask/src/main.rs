//! The project's chores: `cargo xtask <word>`.
//!
//! One program runs what a contributor types and what CI runs, so the two cannot
//! drift apart. It has no dependency, so that it is there within seconds on a
//! fresh machine, and it starts programs by their argument vectors: there is no
//! shell here either.

#![allow(
    clippy::print_stdout,
    reason = "what this program does is talk to a terminal"
)]

mod campaign;
mod ci;
mod deny;
mod deps;
mod fuzz;
mod guest;
mod lints;
#[cfg(test)]
mod log_calls;
mod manual;
mod matrix;
mod package;
mod packages;
#[cfg(test)]
mod pages;
mod policy;
mod process;
mod products;
mod siege;
mod steps;
mod style;
mod tally;
mod test;
mod tool;
mod unit;
mod vm;
mod workspace;

use process::Outcome;
use std::process::ExitCode;
use steps::Steps;

/// One word of `cargo xtask`.
struct Word {
    name: &'static str,
    arguments: &'static str,
    purpose: &'static str,
    run: fn(&mut Steps, &[String]) -> Outcome,
}

/// The one table: what is understood and what `help` prints.
const WORDS: [Word; 20] = [
    Word {
        name: "test",
        arguments: "[ARGUMENT…]",
        purpose: "all tests, against real counterparts; arguments go to the test runner",
        run: test::run,
    },
    Word {
        name: "vm-test",
        arguments: "[--fresh] [--stock-kernel] [TEST…]",
        purpose: "the installed service, under Debian's systemd and AppArmor, in a virtual machine",
        run: vm::run,
    },
    Word {
        name: "unit-test",
        arguments: "[ARGUMENT…]",
        purpose: "the end-to-end tests, with every daemon under its systemd unit, in a container",
        run: unit::run,
    },
    Word {
        name: "siege",
        arguments: "[SECONDS]",
        purpose: "hostile callers, nodes, scrapers and a collector at once, for a minute",
        run: siege::run,
    },
    Word {
        name: "forward-campaign",
        arguments: "[RECORDS]",
        purpose: "everything that can go wrong on the way to a collector, with 100,000 records",
        run: campaign::run,
    },
    Word {
        name: "demo",
        arguments: "[ARGUMENT…]",
        purpose: "build for release and run the demo",
        run: products::demo,
    },
    Word {
        name: "bench",
        arguments: "[ARGUMENT…]",
        purpose: "build for release and measure what SPECIFICATION.md promises",
        run: products::bench,
    },
    Word {
        name: "manual",
        arguments: "[DIRECTORY]",
        purpose: "manual pages and completions, in target/manual",
        run: manual::run,
    },
    Word {
        name: "package",
        arguments: "[--arch amd64|arm64] [--out DIRECTORY]",
        purpose: "Debian packages with static programs, in target/debian",
        run: package::run,
    },
    Word {
        name: "package-test",
        arguments: "[--static] [RELEASE…]",
        purpose: "packages checked by lintian, installed, upgraded and purged in a fresh Debian",
        run: package::life::run,
    },
    Word {
        name: "fuzz",
        arguments: "[TARGET [FILE…]] [--seconds N] [--asan] [--campaign [--hours N]] [--minimise] [--table]",
        purpose: "fuzz every target, or one; run FILEs through it; go on with the campaign; or minimise the corpus",
        run: fuzz::run,
    },
    Word {
        name: "deny",
        arguments: "",
        purpose: "licences, duplicates, sources and advisories of the dependencies",
        run: deny::run,
    },
    Word {
        name: "deps",
        arguments: "[--check]",
        purpose: "write docs/dependencies.txt, or compare it with the truth",
        run: deps::run,
    },
    Word {
        name: "style",
        arguments: "[DIRECTORY]",
        purpose: "signs of habits (a report, no check), beside code bases to learn from; crates in the programs",
        run: style::run,
    },
    Word {
        name: "policy",
        arguments: "[--check]",
        purpose: "write the AppArmor profiles, units, filters and packaging/config.toml from their tables",
        run: policy::run,
    },
    Word {
        name: "layers",
        arguments: "",
        purpose: "write what vm-test and test found of each layer into docs/hardening.md",
        run: products::layers,
    },
    Word {
        name: "lints",
        arguments: "",
        purpose: "clippy over everything, and stricter over shipped code",
        run: lints::run,
    },
    Word {
        name: "matrix",
        arguments: "[features] [msrv] [aarch64] [miri]",
        purpose: "crates alone, the minimum Rust version, aarch64, miri",
        run: matrix::run,
    },
    Word {
        name: "ci",
        arguments: "",
        purpose: "everything a change has to pass",
        run: ci::run,
    },
    Word {
        name: "help",
        arguments: "",
        purpose: "this list",
        run: help,
    },
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let asked = arguments.next().unwrap_or_else(|| "help".to_owned());
    let rest: Vec<String> = arguments.collect();
    let Some(word) = WORDS.iter().find(|word| word.name == asked) else {
        eprintln!("xtask: there is no {asked:?}; `cargo xtask help` lists what there is");
        return ExitCode::from(2);
    };
    let mut steps = Steps::default();
    let outcome = (word.run)(&mut steps, &rest);
    steps.close(&outcome)
}

fn help(_steps: &mut Steps, _arguments: &[String]) -> Outcome {
    println!("cargo xtask WORD\n");
    for word in &WORDS {
        println!("  {} {}\n      {}", word.name, word.arguments, word.purpose);
    }
    Ok(())
}
