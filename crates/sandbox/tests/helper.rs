//! Actions that injected code could take in the helper, under the helper's tables: each has to
//! fail.
//!
//! Confinement is irrevocable, so the test runner must not confine itself: this program starts
//! itself once for each mode of the helper.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "this test has no runner that reports")]

use pulse_sandbox::tables::Syscall;
use pulse_sandbox::tables::helper::{IPMITOOL_SYSCALLS, SYSCALLS};
use pulse_sandbox::{Kernel, LandlockRules, LayerStatus, Layers};
use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;

const EPERM: i32 = 1;
const EACCES: i32 = 13;

/// The helper's modes.
const MODES: [&str; 2] = ["reading", "ipmitool"];

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("reading") => attempt_all(&LandlockRules::for_reading(Path::new("/sys")), SYSCALLS),
        Some("ipmitool") => attempt_all(
            &LandlockRules::for_ipmitool(),
            &[SYSCALLS, IPMITOOL_SYSCALLS].concat(),
        ),
        _ if std::env::args().any(|word| word == "--list") => list(),
        // Other arguments are those of a test runner.
        _ => in_each_mode(),
    }
}

/// The list of tests, as nextest requests it; no test is ignored.
fn list() -> ExitCode {
    if !std::env::args().any(|word| word == "--ignored") {
        println!("helper_tables_refuse_attacks: test");
    }
    ExitCode::SUCCESS
}

fn in_each_mode() -> ExitCode {
    let this = std::env::current_exe().unwrap();
    let passes = |mode| Command::new(&this).arg(mode).status().unwrap().success();
    ExitCode::from(u8::from(!MODES.into_iter().all(passes)))
}

fn attempt_all(rules: &LandlockRules, calls: &[Syscall]) -> ExitCode {
    if let LayerStatus::Missing(why) = Kernel.restrict_access(rules) {
        println!("skipped: {why}");
        return ExitCode::SUCCESS;
    }
    let program = Command::new("/bin/true").status();
    let mut failed = Vec::new();
    if code(&program) != Some(EACCES) {
        failed.push(format!(
            "execute another program than ipmitool: {program:?}"
        ));
    }
    assert!(matches!(Kernel.filter_calls(calls), LayerStatus::Full(_)));
    for (what, attempt, error) in ATTEMPTS {
        let outcome = attempt();
        if code(&outcome) != Some(*error) {
            failed.push(format!("{what}: {outcome:?}"));
        }
    }
    if thread::Builder::new().spawn(|| ()).is_err() {
        failed.push("create a thread, which has to work".to_owned());
    }
    println!("let through: {failed:?}");
    ExitCode::from(u8::from(!failed.is_empty()))
}

fn code<T>(outcome: &io::Result<T>) -> Option<i32> {
    outcome.as_ref().err()?.raw_os_error()
}

type Attempt = fn() -> io::Result<()>;

const ATTEMPTS: &[(&str, Attempt, i32)] = &[
    (
        "read /etc/passwd",
        || File::open("/etc/passwd").map(drop),
        EACCES,
    ),
    ("list /proc", || fs::read_dir("/proc").map(drop), EACCES),
    (
        "read /sys/kernel",
        || File::open("/sys/kernel/profiling").map(drop),
        EACCES,
    ),
    (
        "write a sensor file",
        || write("/sys/devices/system/cpu/uevent"),
        EPERM,
    ),
    ("write /dev/null", || write("/dev/null"), EPERM),
    (
        "create a file",
        || File::create("/tmp/pulse-helper-probe").map(drop),
        EPERM,
    ),
    (
        "create a directory",
        || fs::create_dir("/tmp/pulse-helper-probe"),
        EPERM,
    ),
    (
        "remove a file",
        || fs::remove_file("/tmp/pulse-helper-probe"),
        EPERM,
    ),
    (
        "rename a file",
        || fs::rename("/tmp/pulse-helper-a", "/tmp/pulse-helper-b"),
        EPERM,
    ),
    (
        "create a hard link",
        || fs::hard_link("/etc/passwd", "/tmp/pulse-helper-probe"),
        EPERM,
    ),
    (
        "change a file's mode",
        || change_mode("/tmp/pulse-helper-probe"),
        EPERM,
    ),
    (
        "change the directory",
        || std::env::set_current_dir("/"),
        EPERM,
    ),
    ("start ipmitool", || start("/usr/bin/ipmitool"), EPERM),
    ("start a shell", || start("/bin/sh"), EPERM),
    (
        "connect",
        || TcpStream::connect("127.0.0.1:22").map(drop),
        EPERM,
    ),
    (
        "listen",
        || TcpListener::bind("127.0.0.1:0").map(drop),
        EPERM,
    ),
    (
        "UDP socket",
        || UdpSocket::bind("127.0.0.1:0").map(drop),
        EPERM,
    ),
    (
        "Unix socket",
        || UnixStream::connect("/run/x").map(drop),
        EPERM,
    ),
    ("socket pair", || UnixStream::pair().map(drop), EPERM),
    ("pipe", || io::pipe().map(drop), EPERM),
    ("signal the parent", signal_parent, EPERM),
    (
        "become root",
        || Ok(nix::unistd::setuid(nix::unistd::Uid::from_raw(0))?),
        EPERM,
    ),
];

fn write(path: &str) -> io::Result<()> {
    File::options().write(true).open(path).map(drop)
}

fn change_mode(path: &str) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))
}

fn start(program: &str) -> io::Result<()> {
    Command::new(program).status().map(drop)
}

/// Signal 0 checks the permission and sends nothing (kill(2)).
fn signal_parent() -> io::Result<()> {
    Ok(nix::sys::signal::kill(nix::unistd::getppid(), None)?)
}
