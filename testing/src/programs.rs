//! The programs that the tests start, ours and others'.
//!
//! `cargo xtask test` builds ours, says where they are (`PULSE_BIN_DIR`) and which
//! counterparts could not be had (`PULSE_TEST_MISSING`). Under a plain `cargo test`
//! ours are built on first use and whatever is missing is skipped.

use crate::control_group::ControlGroup;
use crate::unit;
use std::env;
use std::io::Write;
use std::net::{Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where an unprivileged user's `PATH` does not lead.
pub(crate) const MORE_PLACES: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// Something a test cannot run without.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// A program that others wrote, and that `cargo xtask test` sees to.
    Program(&'static str),
    /// A program that often comes with another one.
    Companion(&'static str),
    /// A module for Python, and its package.
    PythonModule(&'static str),
    /// Acting as other users takes root.
    Root,
    /// IPv6 on loopback.
    Ipv6,
    /// Making control groups.
    ControlGroups,
    /// OpenSSH's server, and an account that it lets in.
    Sshd,
    /// rsyslog with RELP and syslog over TLS, and what makes certificates.
    Collector,
    /// A daemon that no unit of systemd holds, and why: not under `cargo xtask unit-test`.
    NoUnit(&'static str),
    /// The unit, where `cargo xtask unit-test` has it hold every daemon.
    Unit,
    /// The whole machine for a while, and so a command of its own: a variable that the
    /// command sets, and the command.
    WholeMachine(&'static str, &'static str),
    /// A machine to install the service in, which `cargo xtask vm-test` boots.
    OwnMachine,
}

/// Whether a test cannot run here. Then this has said why, and the test passes.
///
/// # Panics
/// When `cargo xtask test` promised a program that is not there.
#[must_use]
pub fn skipped(needs: &[Need]) -> bool {
    let Some(why) = needs.iter().find_map(|need| need.missing()) else {
        return false;
    };
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    // Straight to the terminal: the runner hides what passing tests print.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
    true
}

impl Need {
    fn missing(self) -> Option<String> {
        match self {
            Self::Program(name) => missing_program(name),
            Self::Companion(name) => find(name).is_none().then(|| not_installed(name)),
            Self::PythonModule(name) => missing_if(name, || {
                let import = format!("import {name}");
                let python = Command::new("python3").args(["-c", &import]).output();
                python.is_ok_and(|output| output.status.success())
            }),
            Self::Root if is_root() => None,
            Self::Root => Some("it takes root".to_owned()),
            Self::Ipv6 => {
                let bound = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
                bound.is_err().then(|| "there is no IPv6".to_owned())
            }
            Self::ControlGroups if ControlGroup::can_be_made() => None,
            Self::ControlGroups => Some("no control group can be made here".to_owned()),
            Self::Sshd => missing_program("sshd").or_else(locked_account),
            Self::Collector => {
                let programs = ["openssl", "rsyslogd"].into_iter();
                programs
                    .filter_map(missing_program)
                    .next()
                    .or_else(missing_modules)
            }
            Self::NoUnit(why) => unit::wanted().map(|_| format!("no unit: {why}")),
            Self::Unit => {
                let why = "it takes systemd: `cargo xtask unit-test`";
                unit::wanted().is_none().then(|| why.to_owned())
            }
            Self::WholeMachine(variable, command) => env::var_os(variable)
                .is_none()
                .then(|| format!("it takes the whole machine: `{command}`")),
            Self::OwnMachine => {
                let why = "it takes a machine of its own: `cargo xtask vm-test`";
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
    let known = env::var("PULSE_TEST_MISSING");
    let promised = known.is_ok_and(|list| !list.split(',').any(|missing| missing == name));
    assert!(!promised, "{name} is neither here nor known to be missing");
    Some(not_installed(name))
}

/// rsyslog's modules for RELP, and for TLS.
fn missing_modules() -> Option<String> {
    let modules = [("imrelp", "rsyslog-relp"), ("lmnsd_gtls", "rsyslog-gnutls")];
    let mut missing = modules.into_iter().filter(|(module, _)| !is_module(module));
    missing.next().map(|(_, package)| not_installed(package))
}

/// Debian keeps modules in a directory for each architecture.
fn is_module(name: &str) -> bool {
    let libraries = std::fs::read_dir("/usr/lib").into_iter().flatten();
    let module = format!("rsyslog/{name}.so");
    libraries
        .flatten()
        .any(|library| library.path().join(&module).is_file())
}

fn not_installed(name: &str) -> String {
    format!("{name} is not installed")
}

/// Without PAM, sshd lets nobody into an account whose password starts with `!`.
fn locked_account() -> Option<String> {
    let shadow = std::fs::read_to_string("/etc/shadow").unwrap_or_default();
    let user = user_name();
    let mine = |line: &&str| line.split(':').next() == Some(user.as_str());
    let password = shadow.lines().find(mine)?.split(':').nth(1)?;
    let locked = password.starts_with('!');
    locked.then(|| format!("sshd lets nobody into the locked account \"{user}\""))
}

/// Finds a program that others wrote.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var("PATH").unwrap_or_default();
    let places = [MORE_PLACES, &path].join(":");
    env::split_paths(&places)
        .map(|place| place.join(name))
        .find(|program| program.is_file())
}

/// Within a machine of our own: the directory that it shares with the one outside,
/// which has what is to be installed and takes results.
#[must_use]
pub fn shared_directory() -> Option<PathBuf> {
    env::var_os("PULSE_TEST_MACHINE").map(PathBuf::from)
}

/// Whether we may act as other users.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The user who runs the tests: nodes are logged in to as this one.
#[must_use]
pub fn user_name() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    user.ok()
        .flatten()
        .expect("the user who runs the tests has a name")
        .name
}

/// The daemon.
#[must_use]
pub fn daemon() -> PathBuf {
    directory().join("pulse-sensor-proxy")
}

/// The daemon as a static program, from where `PULSE_STATIC_BIN_DIR` says: it calls
/// the kernel in other ways than the dynamic build.
#[must_use]
pub fn static_daemon() -> Option<PathBuf> {
    let directory = env::var_os("PULSE_STATIC_BIN_DIR")?;
    Some(Path::new(&directory).join("pulse-sensor-proxy"))
}

/// The daemon without its audit log: for benchmarks, and only beside their program.
#[must_use]
pub fn unrecorded_daemon() -> PathBuf {
    directory().join("pulse-unrecorded")
}

/// The daemon with one rule of its confinement left out.
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

/// Where ours are.
pub(crate) fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| match env::var_os("PULSE_BIN_DIR") {
        Some(directory) => directory.into(),
        None => build(),
    })
}

/// Cargo itself sees to it that two test programs do not build at once.
fn build() -> PathBuf {
    let this = env::current_exe().expect("a process knows its program");
    // <target>/<profile>/deps/<this>
    let target = this.ancestors().nth(3).expect("cargo runs tests there");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--quiet", "--locked", "--profile", "e2e"])
        .args(["-p", "pulse-sensor-proxy", "-p", "pulse-sensor-node"])
        .args(["-p", "pulse-sensorctl", "-p", "pulse-lacking"])
        .arg("--target-dir")
        .arg(target)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "the programs under test cannot be built: see above, or run `cargo xtask test`"
    );
    target.join("e2e")
}
