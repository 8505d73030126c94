//! The programs that the tests start, and the prerequisites of tests.
//!
//! `cargo xtask test` builds ours, passes their directory (`PULSE_BIN_DIR`) and the names of
//! counterparts that could not be installed (`PULSE_TEST_MISSING`). Under a plain
//! `cargo test` ours are built on first use, and tests that lack a program are skipped.

use crate::control_group::ControlGroup;
use crate::unit;
use std::env;
use std::fmt::Display;
use std::io::Write;
use std::net::{Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Directories that an unprivileged user's `PATH` may not have.
pub(crate) const SYSTEM_PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// A prerequisite of a test.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// A program that `cargo xtask test` installs.
    Program(&'static str),
    /// A program that `cargo xtask test` does not install.
    Optional(&'static str),
    /// A module for Python, and its package.
    PythonModule(&'static str),
    /// Root, for acting as other users.
    Root,
    /// IPv6 on loopback.
    Ipv6,
    /// Permission to make control groups.
    ControlGroups,
    /// OpenSSH's server, and a user whom it lets log in.
    Sshd,
    /// rsyslog with RELP and syslog over TLS, and `openssl`.
    Collector,
    /// A daemon outside the systemd unit, so not `cargo xtask unit-test`; with the reason.
    NoUnit(&'static str),
    /// Daemons under the systemd unit: `cargo xtask unit-test`.
    Unit,
    /// The whole machine for a while: a variable that a command of `cargo xtask` sets, and
    /// the command.
    WholeMachine(&'static str, &'static str),
    /// The virtual machine of `cargo xtask vm-test`, in which the service is installed.
    VirtualMachine,
}

/// True when a prerequisite is missing. The reason is printed; the test then returns, and
/// passes.
///
/// # Panics
/// When a program is missing that `cargo xtask test` has installed.
#[must_use]
pub fn skipped(needs: &[Need]) -> bool {
    let Some(why) = needs.iter().find_map(|need| need.missing()) else {
        return false;
    };
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    // Not captured: the runner hides the output of tests that pass.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
    true
}

impl Need {
    fn missing(self) -> Option<String> {
        match self {
            Self::Program(name) => missing_program(name),
            Self::Optional(name) => find(name).is_none().then(|| not_installed(name)),
            Self::PythonModule(name) => missing_if(name, || {
                Command::new("python3")
                    .args(["-c", &format!("import {name}")])
                    .output()
                    .is_ok_and(|output| output.status.success())
            }),
            Self::Root if is_root() => None,
            Self::Root => Some("it needs root".to_owned()),
            Self::Ipv6 => TcpListener::bind((Ipv6Addr::LOCALHOST, 0))
                .is_err()
                .then(|| "there is no IPv6".to_owned()),
            Self::ControlGroups if ControlGroup::is_available() => None,
            Self::ControlGroups => Some("no control group can be made here".to_owned()),
            Self::Sshd => missing_program("sshd").or_else(locked_account),
            Self::Collector => {
                let mut programs = ["openssl", "rsyslogd"].into_iter();
                programs.find_map(missing_program).or_else(missing_modules)
            }
            Self::NoUnit(why) => unit::wanted().map(|_| format!("no unit: {why}")),
            Self::Unit => {
                let why = "it needs systemd: `cargo xtask unit-test`";
                unit::wanted().is_none().then(|| why.to_owned())
            }
            Self::WholeMachine(variable, command) => env::var_os(variable)
                .is_none()
                .then(|| format!("it needs the whole machine: `{command}`")),
            Self::VirtualMachine => {
                let why = "it needs a virtual machine: `cargo xtask vm-test`";
                shared_directory().is_none().then(|| why.to_owned())
            }
        }
    }
}

fn missing_program(name: &str) -> Option<String> {
    missing_if(name, || find(name).is_some())
}

fn missing_if(name: &str, is_there: impl FnOnce() -> bool) -> Option<String> {
    if is_there() {
        return None;
    }
    // Otherwise the tests that need a missing program would be skipped unnoticed.
    let promised = env::var("PULSE_TEST_MISSING")
        .is_ok_and(|list| !list.split(',').any(|missing| missing == name));
    assert!(
        !promised,
        "{name} is not installed, and PULSE_TEST_MISSING does not name it"
    );
    Some(not_installed(name))
}

/// A missing package of rsyslog's modules for RELP and TLS.
fn missing_modules() -> Option<String> {
    let is_module = |name: &str| {
        // Debian has a directory for each architecture.
        let mut libraries = std::fs::read_dir("/usr/lib")
            .into_iter()
            .flatten()
            .flatten();
        libraries.any(|library| library.path().join(format!("rsyslog/{name}.so")).is_file())
    };
    [("imrelp", "rsyslog-relp"), ("lmnsd_gtls", "rsyslog-gnutls")]
        .into_iter()
        .find(|(module, _)| !is_module(module))
        .map(|(_, package)| not_installed(package))
}

fn not_installed(name: &str) -> String {
    format!("{name} is not installed")
}

/// A reason when sshd refuses the tests' user: without PAM it refuses an account whose
/// password field starts with `!`.
fn locked_account() -> Option<String> {
    let shadow = std::fs::read_to_string("/etc/shadow").unwrap_or_default();
    let user = user_name();
    let password = shadow
        .lines()
        .find(|line| line.split(':').next() == Some(user.as_str()))?
        .split(':')
        .nth(1)?;
    password
        .starts_with('!')
        .then(|| format!("sshd refuses the locked account \"{user}\""))
}

/// Finds a program on the path.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    env::split_paths(&[SYSTEM_PATH, &env::var("PATH").unwrap_or_default()].join(":"))
        .map(|place| place.join(name))
        .find(|program| program.is_file())
}

/// Copies a program, which can be started at once.
///
/// # Panics
/// When cp(1) fails.
pub fn copy(program: &Path, to: &Path) {
    // Not `fs::copy`: a thread of another test that forks meanwhile hands the open copy to its
    // child, and execve(2) fails with ETXTBSY for as long as anybody can write the file.
    let copied = Command::new("cp").arg(program).arg(to).output();
    assert_success("cp", &copied.unwrap());
}

/// Asserts that a program succeeded, and prints its standard error if it did not.
///
/// # Panics
/// When it failed.
pub fn assert_success(what: impl Display, output: &Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {errors}");
}

/// In the virtual machine: the directory that it shares with the host, for the files to
/// install and for results.
#[must_use]
pub fn shared_directory() -> Option<PathBuf> {
    env::var_os("PULSE_TEST_MACHINE").map(PathBuf::from)
}

/// True when the tests run as root.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The user who runs the tests. The daemon logs in to nodes under this name.
#[must_use]
pub fn user_name() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()
        .flatten()
        .expect("the user who runs the tests has a name")
        .name
}

/// The daemon.
#[must_use]
pub fn daemon() -> PathBuf {
    directory().join("pulse-sensor-proxy")
}

/// The static build of the daemon, in `PULSE_STATIC_BIN_DIR`: its C library makes other
/// system calls than that of the dynamic build.
#[must_use]
pub fn static_daemon() -> Option<PathBuf> {
    Some(Path::new(&env::var_os("PULSE_STATIC_BIN_DIR")?).join("pulse-sensor-proxy"))
}

/// The daemon without its audit log, for the benchmarks.
#[must_use]
pub fn unrecorded_daemon() -> PathBuf {
    directory().join("pulse-unrecorded")
}

/// The daemon with one rule of its confinement removed.
#[must_use]
pub fn lacking_daemon() -> PathBuf {
    directory().join("pulse-lacking")
}

/// The operator's tool.
#[must_use]
pub fn control() -> PathBuf {
    directory().join("pulse-sensorctl")
}

/// The helper on nodes.
#[must_use]
pub fn helper() -> PathBuf {
    directory().join("pulse-sensor-node")
}

/// The directory of our programs.
pub(crate) fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| match env::var_os("PULSE_BIN_DIR") {
        Some(directory) => directory.into(),
        None => build(),
    })
}

/// Builds our programs. Cargo's lock keeps two test programs from building at once.
fn build() -> PathBuf {
    let this = env::current_exe().expect("a process knows its program");
    // <target>/<profile>/deps/<this>
    let target = this.ancestors().nth(3).expect("cargo runs tests there");
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--quiet", "--locked", "--profile", "e2e"])
        .args(["-p", "pulse-sensor-proxy", "-p", "pulse-sensor-node"])
        .args(["-p", "pulse-sensorctl", "-p", "pulse-test-daemons"])
        .arg("--target-dir")
        .arg(target)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "the programs under test cannot be built: see above, or run `cargo xtask test`"
    );
    target.join("e2e")
}
