//! The three programs we ship: built, shown and measured.
//!
//! What is measured is built one program at a time: built together they would share
//! cargo's features, and the daemon that is measured would not be the daemon that is
//! shipped. Tests are content with one build for all.

use crate::process::{self, Failure, Outcome};
use crate::steps::Steps;
use crate::test::BIN_DIR;
use crate::workspace::{locked_cargo, target_dir};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// The programs that are installed.
pub(crate) const PRODUCTS: [&str; 3] =
    ["pulse-sensor-proxy", "pulse-sensorctl", "pulse-sensor-node"];

/// The programs whose speed and size are promised, and the daemon without its audit log.
const MEASURED: [&str; 3] = ["pulse-sensor-proxy", TEST_DAEMONS, "pulse-sensor-node"];

/// The target of static builds, and the variable that names its C compiler.
const STATIC: &str = "x86_64-unknown-linux-musl";
const STATIC_CC: &str = "CC_x86_64_unknown_linux_musl";

/// Simulated nodes, in a process of their own.
const SIMULATOR: &str = "pulse-simnode";

/// The demo.
const DEMO: &str = "pulse-demo";

/// The daemon with one rule of confinement less, and without its audit log.
const TEST_DAEMONS: &str = "pulse-test-daemons";

/// The package that measures, and its program.
const BENCH: &str = "pulse-bench";

/// A profile that the programs are built with.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// The profile of the programs that are shipped.
    Release,
    /// Nearly that, quicker to build, with assertions.
    EndToEnd,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::EndToEnd => "e2e",
        }
    }
}

/// The directory of a profile's programs.
pub(crate) fn directory(profile: Profile) -> PathBuf {
    target_dir().join(profile.name())
}

/// Builds what the tests start.
pub(crate) fn build_for_tests() -> Outcome {
    build(
        Profile::EndToEnd,
        &[&PRODUCTS[..], &[SIMULATOR, TEST_DAEMONS, DEMO]].concat(),
    )
}

fn build(profile: Profile, packages: &[&str]) -> Outcome {
    let mut command = locked_cargo("build");
    command.args(["--profile", profile.name()]);
    for package in packages {
        command.args(["--package", package]);
    }
    process::run(&mut command)
}

/// A program of tests, as `cargo xtask test` builds it, so that it is done once: a test
/// cannot be built as our programs are, which do not unwind.
pub(crate) fn tests(name: &str) -> Outcome<PathBuf> {
    let mut command = locked_cargo("test");
    command.args(["--no-run", "--workspace", "--test", name]);
    // Messages for this program on stdout, those for people on stderr as ever.
    command.arg("--message-format=json-render-diagnostics");
    executable(&process::capture(&mut command)?, name)
        .ok_or_else(|| Failure::new("cargo did not say where the tests are"))
}

/// The tests among what cargo made; paths with quotes or backslashes are not ours.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let ours = format!("\"name\":\"{name}\"");
    let mut ours = messages.lines().filter(|line| line.contains(&ours));
    let (_, rest) = ours.find_map(|line| line.split_once("\"executable\":\""))?;
    let (path, _) = rest.split_once('"')?;
    Some(PathBuf::from(path))
}

/// `cargo xtask demo`: the demo takes our place, so that it alone gets Ctrl-C.
pub(crate) fn demo(steps: &mut Steps, arguments: &[String]) -> Outcome {
    let built = steps.run("build for release", || {
        build(Profile::Release, &[&PRODUCTS[..], &[DEMO]].concat())
    });
    if built.is_none() {
        return Ok(());
    }
    let program = directory(Profile::Release).join(DEMO);
    // exec(3) returns only to say why it failed.
    let error = Command::new(&program).args(arguments).exec();
    let program = program.display();
    Err(Failure::new(format!("cannot run {program}: {error}")))
}

/// `cargo xtask bench`: what `SPECIFICATION.md` promises, measured on release builds;
/// static ones, as they are shipped, where the target for them is installed.
pub(crate) fn bench(steps: &mut Steps, arguments: &[String]) -> Outcome {
    let target = static_target();
    if target.is_none() {
        println!("no static builds: add them with `rustup target add {STATIC}`");
    }
    let built = steps.run("programs to measure", || {
        // One package at a time, or cargo would unite their features.
        for package in [&MEASURED[..], &[SIMULATOR, BENCH]].concat() {
            let mut command = locked_cargo("build");
            command.args(["--release", "--package", package]);
            if let Some(target) = target {
                // Cargo has no C compiler for it by that name; gcc is one.
                command.args(["--target", target]).env(STATIC_CC, "gcc");
            }
            process::run(&mut command)?;
        }
        Ok(())
    });
    if built.is_some() {
        let directory = target_dir()
            .join(target.unwrap_or_default())
            .join("release");
        let mut bench = Command::new(directory.join(BENCH));
        bench.args(arguments).env(BIN_DIR, &directory);
        steps.run("benchmarks", || process::run(&mut bench));
    }
    Ok(())
}

/// The target of static builds, if it is installed.
fn static_target() -> Option<&'static str> {
    let rustc = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    // The library itself instead of rustup's list: a machine may have Rust without rustup.
    let libraries = PathBuf::from(str::from_utf8(&rustc.stdout).ok()?.trim())
        .join("lib/rustlib")
        .join(STATIC);
    libraries.is_dir().then_some(STATIC)
}

/// `cargo xtask layers`: which layer stops which attempt, for people.
pub(crate) fn layers(steps: &mut Steps, _arguments: &[String]) -> Outcome {
    let mut layers = locked_cargo("run");
    layers.args(["--quiet", "--package", "pulse-e2e", "--bin", "pulse-matrix"]);
    layers.env(BIN_DIR, directory(Profile::EndToEnd));
    steps.run("layers", || process::run(&mut layers));
    Ok(())
}

/// In CI the benchmarks are run to see that they run, with what the tests have
/// built already; their numbers mean nothing there.
pub(crate) fn bench_smoke() -> Outcome {
    let mut bench = locked_cargo("run");
    bench.args(["--bin", BENCH, "--", "--smoke"]);
    process::run(bench.env(BIN_DIR, directory(Profile::EndToEnd)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_in_messages() {
        let messages = r#"{"target":{"name":"installed"},"executable":null}
{"target":{"name":"installed"},"executable":"/t/debug/deps/installed-1","fresh":true}
{"target":{"name":"guest"},"executable":"/t/debug/guest","fresh":true}
{"reason":"build-finished","success":true}"#;
        let expected = PathBuf::from("/t/debug/deps/installed-1");
        assert_eq!(executable(messages, "installed"), Some(expected));
        assert_eq!(executable("{}", "installed"), None);
    }
}
