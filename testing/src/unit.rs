//! The daemon under its systemd unit, for every test that starts one.
//!
//! `cargo xtask unit-test` boots Debian's systemd in a container and runs the end-to-end
//! tests in it. There the daemon is not started by a test but, for a test, by systemd: a
//! service of its own with each directive that the shipped unit has, but for what has to
//! differ where hundreds of daemons live on one machine: whose user it is, where its files
//! are, and that it is not started again.

use crate::home::Home;
use crate::service;
use crate::wait;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

/// Names the unit.
const VARIABLE: &str = "PULSE_TEST_UNIT";

/// What a test says for itself: whose it is, what is started, and how often.
const OURS: [&str; 8] = [
    "Sockets",
    "User",
    "Group",
    "Type",
    "ExecStart",
    "ExecReload",
    "Restart",
    "RestartPreventExitStatus",
];

/// The shipped unit, where daemons are to be held by it.
pub(crate) fn wanted() -> Option<PathBuf> {
    env::var_os(VARIABLE).map(PathBuf::from)
}

/// A service that systemd runs for us.
#[derive(Debug)]
pub(crate) struct Unit(String);

impl Unit {
    /// The command that has systemd start another one, and lasts as long as that does.
    ///
    /// # Panics
    /// When there is no unit to read.
    pub(crate) fn of(unit: &Path, home: &Home, command: &Command) -> (Self, Command) {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        make_directories(home);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pulse-{}-{number}.service", std::process::id());
        let mut systemd = Command::new("systemd-run");
        systemd.args(["--quiet", "--wait", "--pipe", "--collect"]);
        systemd.args(["--service-type=notify", "--unit", &name]);
        let text = fs::read_to_string(unit).unwrap();
        for property in directives(&text).chain(differences(home, command)) {
            systemd.arg("--property").arg(property);
        }
        for (name, value) in command.get_envs() {
            let value = value.unwrap_or_default().to_str().unwrap();
            systemd.arg(format!("--setenv={}={value}", name.display()));
        }
        systemd.arg(command.get_program()).args(command.get_args());
        (Self(name), systemd)
    }

    /// Kills it, if it has not ended.
    pub(crate) fn kill(&self) -> io::Result<()> {
        let mut systemctl = Command::new("systemctl");
        systemctl.args(["kill", "--signal=KILL", &self.0]);
        systemctl.stderr(Stdio::null()).status().map(drop)
    }

    /// Its process, once it has one.
    pub(crate) fn pid(&self) -> u32 {
        wait::until_some("the service's process", || {
            let mut systemctl = Command::new("systemctl");
            systemctl.args(["show", "--value", "--property=MainPID", &self.0]);
            let output = systemctl.output().unwrap();
            let pid = String::from_utf8(output.stdout).unwrap();
            pid.trim().parse().ok().filter(|pid| *pid != 0)
        })
    }
}

/// As `StateDirectory=` and `LogsDirectory=` do where they are installed.
fn make_directories(home: &Home) {
    let (log, control) = (home.audit_log(), home.control_socket());
    for directory in [
        &home.ssh_dir(),
        &home.audit_state(),
        log.parent().unwrap(),
        // Where it is installed, this is systemd's socket.
        control.parent().unwrap(),
    ] {
        service::make_private(directory);
    }
}

/// What stands in the unit's section about the service, and is not ours to say.
fn directives(unit: &str) -> impl Iterator<Item = String> {
    let (_, service) = unit.split_once("\n[Service]\n").unwrap();
    let (service, _) = service.split_once("\n[").unwrap();
    let lines = service.lines().filter(|line| line.contains('='));
    let is_comment = |line: &&str| line.starts_with('#');
    lines
        .filter(move |line| !is_comment(line))
        .filter(|line| !OURS.contains(&line.split('=').next().unwrap()))
        .map(str::to_owned)
}

/// What has to differ.
fn differences(home: &Home, command: &Command) -> impl Iterator<Item = String> {
    let program = Path::new(command.get_program()).display();
    let files = home.path("");
    let files = files.display();
    [
        format!("User={}", service::NOBODY),
        format!("BindReadOnlyPaths={program}"),
        format!("BindPaths={files}"),
        format!("ReadWritePaths={files}"),
        "IPAddressAllow=localhost".to_owned(),
    ]
    .into_iter()
}
