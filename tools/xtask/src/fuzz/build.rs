//! Building instrumented programs with a stable compiler.

use super::target::Target;
use crate::process::{self, Failure, Outcome};
use crate::workspace::{locked_cargo, target_dir};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Coverage for libFuzzer, comparisons included, as cargo-fuzz asks for it.
const FLAGS: [&str; 10] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-sanitizer-coverage-stack-depth",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Cdebug-assertions",
    "-Ccodegen-units=1",
];

/// A check in addition to the programs' own assertions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sanitizer {
    /// Nothing: our code is safe, and this runs five times as often in the same time.
    #[default]
    None,
    /// Memory errors, for the libraries below us that are not all safe code.
    Address,
}

impl Sanitizer {
    /// A directory for each, since the programs have the same names with both.
    fn build_dir(self) -> PathBuf {
        target_dir().join(match self {
            Self::None => "fuzz/build",
            Self::Address => "fuzz/build-asan",
        })
    }
}

/// Builds the targets.
pub(super) fn build(targets: &[Target], sanitizer: Sanitizer) -> Outcome {
    let host = host()?;
    let mut command = locked_cargo("build");
    command.args(["--release", "--manifest-path", "fuzz/Cargo.toml"]);
    // With a target named, build scripts and macros are not instrumented.
    command.args(["--target", host, "--target-dir"]);
    command.arg(sanitizer.build_dir());
    for target in targets {
        command.args(["--bin", target.name()]);
    }
    let sanitizer_flag = match sanitizer {
        Sanitizer::None => "",
        Sanitizer::Address => " -Zsanitizer=address",
    };
    command
        // Sancov and what begins with -Z are unstable.
        .env("RUSTC_BOOTSTRAP", "1")
        // Cargo prefers it to RUSTFLAGS.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", FLAGS.join(" ") + sanitizer_flag);
    process::run(&mut command)
}

/// The program of a target.
pub(super) fn program(name: &str, sanitizer: Sanitizer) -> PathBuf {
    let triple = host().unwrap_or_default();
    sanitizer
        .build_dir()
        .join(triple)
        .join("release")
        .join(name)
}

/// The triple of this machine.
fn host() -> Outcome<&'static str> {
    static HOST: OnceLock<String> = OnceLock::new();
    if let Some(host) = HOST.get() {
        return Ok(host);
    }
    let text = process::capture(
        Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into())).arg("-vV"),
    )?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Failure::new("rustc does not say what host this is"))?;
    Ok(HOST.get_or_init(|| host.to_owned()))
}
