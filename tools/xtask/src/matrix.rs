//! `cargo xtask matrix`: what needs another toolchain, target or tool than the rest of CI.
//!
//! Each part builds into a directory of its own, so that the next `cargo build` finds its own
//! artifacts. A part that cannot be done here says so and is skipped; in CI that is a failure.

use crate::packages::{self, Counterpart, Kind, program};
use crate::process::{self, Failure, Outcome};
use crate::steps::Steps;
use crate::tool::Tool;
use crate::workspace::{self, locked_cargo, root, target_dir};
use std::fs;
use std::process::Command;

const HACK: Tool = Tool {
    name: "cargo-hack",
    version: "0.6.46",
};

/// The other architecture that is shipped, and how Debian compiles and runs it.
const AARCH64: &str = "aarch64-unknown-linux-gnu";
pub(crate) const COMPILER: &str = "aarch64-linux-gnu-gcc";
pub(crate) const EMULATOR: &str = "qemu-aarch64";
const CROSS: [Counterpart; 3] = [
    program(
        COMPILER,
        "gcc-aarch64-linux-gnu",
        "compiles C and links for aarch64",
    ),
    // The compiler only recommends it.
    Counterpart::new(
        Kind::File,
        "/usr/aarch64-linux-gnu/include/stdlib.h",
        "libc6-dev-arm64-cross",
        "is the C library of aarch64",
    ),
    program(EMULATOR, "qemu-user", "runs programs of aarch64"),
];

/// Crates without files, sockets and clocks: miri interprets them as they are.
const PURE: [&str; 2] = ["pulse-sensors", "pulse-core"];

/// Tests that take miri many minutes to hours: floods of connections, requests and scrapers, a file
/// of 10,000 ranges, each key of the configuration in each section, a day of polling 50 nodes, two
/// days of a log that is measured every second, retention with every size of a log.
const SIMULATIONS: [&str; 10] = [
    "accept::",
    "audit_log::growth::tests::rate_is_that_of_the_last_day",
    "audit_log::retention::tests::no_more_is_removed_than_needed",
    "callers::limiter::tests::poller_of_50_nodes_is_served",
    "callers::subid::tests::huge_file_is_cut",
    "config::table::tests::misplaced_key_is_told_its_place",
    "metrics::scrapers::tests::reconnecting_clients_block_none",
    "summary::tests::a_flood_does_not_hide_another_access",
    "summary::tests::strangers_are_bounded_together",
    "summary::tests::strangers_take_nothing_from_the_known",
];

type Part = (&'static str, fn() -> Outcome);

const PARTS: [Part; 4] = [
    ("features", features),
    ("msrv", minimum_version),
    ("aarch64", aarch64),
    ("miri", miri),
];

/// All parts, or those that are named.
pub(crate) fn run(steps: &mut Steps, arguments: &[String]) -> Outcome {
    if let Some(unknown) = arguments
        .iter()
        .find(|word| PARTS.iter().all(|(name, _)| name != word))
    {
        let names = PARTS.map(|(name, _)| name).join(", ");
        return Err(Failure::new(format!(
            "no part {unknown:?}; there are {names}"
        )));
    }
    for (name, part) in PARTS {
        if arguments.is_empty() || arguments.iter().any(|word| word == name) {
            steps.run(name, part);
        }
    }
    Ok(())
}

/// Each crate by itself, with each of its features: in a workspace cargo builds a dependency
/// once, with the features that all of them want, and hides that one of them does not ask.
fn features() -> Outcome {
    let mut hack = Command::new(HACK.get()?);
    hack.current_dir(root())
        .args(["hack", "check", "--workspace", "--each-feature", "--locked"]);
    process::run(own_target(&mut hack, "features"))
}

/// The workspace, tests included, with the version that `Cargo.toml` states.
fn minimum_version() -> Outcome {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))
        .map_err(|error| Failure::new(format!("Cargo.toml: {error}")))?;
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .ok_or_else(|| Failure::new("Cargo.toml states no rust-version"))?
        .trim_matches('"');
    if !rustup(&["toolchain", "install", version, "--profile", "minimal"])? {
        return skip(&format!("the toolchain {version}"));
    }
    let mut check = with_toolchain(version, &["check"]);
    check.args(["--workspace", "--all-targets"]);
    process::run(own_target(&mut check, "msrv"))
}

/// Programs, and unit tests under an emulator, which knows neither Landlock nor seccomp: their
/// tests are those of the end-to-end suite.
fn aarch64() -> Outcome {
    packages::require(&CROSS)?;
    if !rustup(&["target", "add", AARCH64])? {
        return skip(&format!("the standard library of {AARCH64}"));
    }
    // Under the emulator /proc shows the emulator's signal handlers.
    let skipped = [
        "--",
        "--skip",
        "would_die_of_the_signal",
        "--skip",
        "a_process_without_handler_is_spared",
    ];
    for words in [&["build"][..], &["test", "--no-fail-fast"]] {
        let mut command = locked_cargo(words[0]);
        command.args(&words[1..]);
        command.args(["--target", AARCH64, "--lib", "--bins"]);
        for package in crate::lints::packages()? {
            command.args(["--package", &package]);
        }
        command
            .env("CC_aarch64_unknown_linux_gnu", COMPILER)
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", COMPILER)
            .env(
                "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER",
                format!("{EMULATOR} -L /usr/aarch64-linux-gnu"),
            );
        if words[0] == "test" {
            command.args(skipped);
        }
        process::run(own_target(&mut command, "aarch64"))?;
    }
    Ok(())
}

/// Undefined behaviour has no place to come from in crates without `unsafe`; miri looks at the
/// crates below them, too, and at what depends on addresses or their order.
fn miri() -> Outcome {
    let components = ["--component", "miri", "--component", "rust-src"];
    let install = [
        &["toolchain", "install", "nightly", "--profile", "minimal"],
        &components[..],
    ];
    if !rustup(&install.concat())? {
        return skip("miri");
    }
    let mut miri = with_toolchain("nightly", &["miri", "test"]);
    miri.arg("--lib");
    for package in PURE {
        miri.args(["--package", package]);
    }
    // proptest looks for the cases that failed before, for which miri's isolation has no directory.
    // Its usual number of cases would take hours; that of a run beyond miri is not changed.
    miri.env("MIRIFLAGS", "-Zmiri-disable-isolation")
        .env("PROPTEST_CASES", "4");
    miri.arg("--");
    for simulation in SIMULATIONS {
        miri.args(["--skip", simulation]);
    }
    process::run(own_target(&mut miri, "miri"))
}

fn with_toolchain(toolchain: &str, words: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command
        .current_dir(root())
        .args(["run", toolchain, "cargo"])
        .args(words)
        .arg("--locked")
        // Cargo's own, of the toolchain that runs this program.
        .env_remove("CARGO")
        .env_remove("RUSTC");
    command
}

fn own_target<'a>(command: &'a mut Command, name: &str) -> &'a mut Command {
    command.env("CARGO_TARGET_DIR", target_dir().join("matrix").join(name))
}

/// Runs rustup; false if it is not installed, or cannot install what is requested.
fn rustup(arguments: &[&str]) -> Outcome<bool> {
    if workspace::find_program("rustup").is_none() {
        return Ok(false);
    }
    let (status, said) = process::quietly(Command::new("rustup").args(arguments))?;
    if !status.success() {
        println!("{said}");
    }
    Ok(status.success())
}

fn skip(missing: &str) -> Outcome {
    if workspace::is_ci() {
        return Err(Failure::new(format!("{missing} cannot be had here")));
    }
    println!("NOT CHECKED: {missing} cannot be had here");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that no test has would skip nothing, and miri would not come to its end.
    #[test]
    fn skipped_simulations_exist() {
        for name in SIMULATIONS {
            let words: Vec<&str> = name.split("::").collect();
            let wanted = match words[..] {
                [module, ""] => format!("pub mod {module};"),
                [.., function] => format!("fn {function}("),
                [] => unreachable!("a text has a first word"),
            };
            let mut found = Command::new("grep");
            found
                .args(["-rqF", &wanted])
                .arg(root().join("crates/core/src"));
            assert!(process::succeeds(&mut found), "{name}");
        }
    }
}
