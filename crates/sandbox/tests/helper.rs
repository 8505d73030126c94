//! What code in the helper could do that is not the helper's: each attempt, made
//! under the helper's own tables.
//!
//! They hold a process for good, so it is no test runner that goes under them but
//! this program, started by itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "this test has no runner that reports")]

use pulse_sandbox::tables::Syscall;
use pulse_sandbox::tables::helper::{BESIDE_IPMITOOL, SYSCALLS};
use pulse_sandbox::{Hold, Kernel, Layers, Rules};
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

/// The forms of the tables.
const FORMS: [&str; 2] = ["reading", "ipmitool"];

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("reading") => attempt_all(&Rules::of_reading(Path::new("/sys")), SYSCALLS),
        Some("ipmitool") => {
            attempt_all(&Rules::of_ipmitool(), &[SYSCALLS, BESIDE_IPMITOOL].concat())
        }
        _ if std::env::args().any(|word| word == "--list") => list(),
        // What a test runner is given.
        _ => in_each_form(),
    }
}

/// What nextest asks of a test program: its tests, and those that are left out.
fn list() -> ExitCode {
    if !std::env::args().any(|word| word == "--ignored") {
        println!("under_the_helpers_tables_nothing_else_can_be_done: test");
    }
    ExitCode::SUCCESS
}

fn in_each_form() -> ExitCode {
    let this = std::env::current_exe().unwrap();
    let holds = |form| Command::new(&this).arg(form).status().unwrap().success();
    ExitCode::from(u8::from(!FORMS.into_iter().all(holds)))
}

fn attempt_all(rules: &Rules, calls: &[Syscall]) -> ExitCode {
    if let Hold::Missing(why) = Kernel.restrict_access(rules) {
        println!("skipped: {why}");
        return ExitCode::SUCCESS;
    }
    let program = Command::new("/bin/true").status();
    let mut failed = Vec::new();
    if code(&program) != Some(EACCES) {
        failed.push(format!("another program than ipmitool: {program:?}"));
    }
    assert!(matches!(Kernel.filter_calls(calls), Hold::Whole(_)));
    for (what, attempt, error) in ATTEMPTS {
        let outcome = attempt();
        if code(&outcome) != Some(*error) {
            failed.push(format!("{what}: {outcome:?}"));
        }
    }
    if thread::Builder::new().spawn(|| ()).is_err() {
        failed.push("a thread is needed".to_owned());
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
        "read the users",
        || File::open("/etc/passwd").map(drop),
        EACCES,
    ),
    (
        "list the processes",
        || fs::read_dir("/proc").map(drop),
        EACCES,
    ),
    (
        "read the kernel's settings",
        || File::open("/sys/kernel/profiling").map(drop),
        EACCES,
    ),
    (
        "write a device's file",
        || write("/sys/devices/system/cpu/uevent"),
        EPERM,
    ),
    ("write the null device", || write("/dev/null"), EPERM),
    (
        "make a file",
        || File::create("/tmp/pulse-helper-probe").map(drop),
        EPERM,
    ),
    (
        "make a directory",
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
        "make a link",
        || fs::hard_link("/etc/passwd", "/tmp/pulse-helper-probe"),
        EPERM,
    ),
    (
        "change a file's mode",
        || change_mode("/tmp/pulse-helper-probe"),
        EPERM,
    ),
    (
        "go to another directory",
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
    ("UDP", || UdpSocket::bind("127.0.0.1:0").map(drop), EPERM),
    (
        "a Unix socket",
        || UnixStream::connect("/run/x").map(drop),
        EPERM,
    ),
    ("a pair of sockets", || UnixStream::pair().map(drop), EPERM),
    ("a pipe", || io::pipe().map(drop), EPERM),
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

/// With nothing, which only asks whether it may.
fn signal_parent() -> io::Result<()> {
    Ok(nix::sys::signal::kill(nix::unistd::getppid(), None)?)
}
