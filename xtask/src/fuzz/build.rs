//! Building instrumented programs with a stable compiler.

use super::target::Target;
use crate::process::{self, Failure, Outcome};
use crate::workspace::{locked_cargo, target_dir};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Coverage for libFuzzer, comparisons included, as cargo-fuzz asks for it, with
/// `AddressSanitizer` for the libraries below us that are not all safe code.
const FLAGS: [&str; 11] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-sanitizer-coverage-stack-depth",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Zsanitizer=address",
    "-Cdebug-assertions",
    "-Ccodegen-units=1",
];

/// Builds the targets.
pub(super) fn build(targets: &[Target]) -> Outcome {
    let host = host()?;
    let mut command = locked_cargo("build");
    command.args(["--release", "--manifest-path", "fuzz/Cargo.toml"]);
    // With a target named, build scripts and macros are not instrumented.
    command.args(["--target", host, "--target-dir"]);
    command.arg(build_dir());
    for target in targets {
        command.args(["--bin", target.name()]);
    }
    command
        // The flags above that begin with -Z, and sancov, are unstable.
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", FLAGS.join(" "));
    process::run(&mut command)
}

/// The program of a target.
pub(super) fn program(name: &str) -> PathBuf {
    let host = host().unwrap_or_default();
    build_dir().join(host).join("release").join(name)
}

fn build_dir() -> PathBuf {
    target_dir().join("fuzz/build")
}

/// The triple of this machine.
fn host() -> Outcome<&'static str> {
    static HOST: OnceLock<String> = OnceLock::new();
    if let Some(host) = HOST.get() {
        return Ok(host);
    }
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let text = process::capture(Command::new(rustc).arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Failure::new("rustc does not say what host this is"))?;
    Ok(HOST.get_or_init(|| host.to_owned()))
}
