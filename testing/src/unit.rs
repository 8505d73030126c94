//! Daemons under the systemd unit.
//!
//! `cargo xtask unit-test` boots Debian's systemd in a container and runs the end-to-end
//! tests in it. There systemd starts each daemon, as a transient service with every directive
//! of the shipped unit except those that must differ when hundreds of daemons run on one
//! machine: the user, the paths, and the restarts.

use crate::home::Home;
use crate::service;
use crate::wait;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

/// The variable that names the unit's file.
const VARIABLE: &str = "PULSE_TEST_UNIT";

/// Directives that a test sets itself: the user, the command, and restarts.
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

/// The shipped unit, when daemons are to run under it.
pub(crate) fn wanted() -> Option<PathBuf> {
    env::var_os(VARIABLE).map(PathBuf::from)
}

/// The name of a transient service.
#[derive(Debug)]
pub(crate) struct Unit(String);

impl Unit {
    /// A service for this command, and the `systemd-run` that starts it and ends with it.
    ///
    /// # Panics
    /// When there is no unit to read.
    pub(crate) fn of(unit: &Path, home: &Home, command: &Command) -> (Self, Command) {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // As `StateDirectory=` and `LogsDirectory=` do on a real host, where the control
        // socket's is systemd's.
        let (log, control) = (home.audit_log(), home.control_socket());
        for directory in [
            &home.ssh_dir(),
            &home.audit_state(),
            log.parent().unwrap(),
            control.parent().unwrap(),
        ] {
            service::make_private(directory);
        }
        let name = format!(
            "pulse-{}-{}.service",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let mut systemd = Command::new("systemd-run");
        systemd.args(["--quiet", "--wait", "--pipe", "--collect"]);
        systemd.args(["--service-type=notify", "--unit", &name]);
        let files = home.path("");
        let files = files.display();
        // The directives that differ from the shipped unit's.
        let differences = [
            format!("User={}", service::NOBODY),
            format!(
                "BindReadOnlyPaths={}",
                Path::new(command.get_program()).display()
            ),
            format!("BindPaths={files}"),
            format!("ReadWritePaths={files}"),
            "IPAddressAllow=localhost".to_owned(),
        ];
        for property in directives(&fs::read_to_string(unit).unwrap()).chain(differences) {
            systemd.arg("--property").arg(property);
        }
        for (name, value) in command.get_envs() {
            let value = value.unwrap_or_default().to_str().unwrap();
            systemd.arg(format!("--setenv={}={value}", name.display()));
        }
        systemd.arg(command.get_program()).args(command.get_args());
        (Self(name), systemd)
    }

    /// Kills the service, if it runs.
    pub(crate) fn kill(&self) -> io::Result<()> {
        let mut systemctl = Command::new("systemctl");
        systemctl.args(["kill", "--signal=KILL", &self.0]);
        systemctl.stderr(Stdio::null()).status().map(drop)
    }

    /// The id of its main process, once it has one.
    pub(crate) fn pid(&self) -> u32 {
        wait::until_some("the service's process", || {
            let mut systemctl = Command::new("systemctl");
            systemctl.args(["show", "--value", "--property=MainPID", &self.0]);
            // 0 while the service starts.
            String::from_utf8(systemctl.output().unwrap().stdout)
                .unwrap()
                .trim()
                .parse()
                .ok()
                .filter(|pid| *pid != 0)
        })
    }
}

/// The directives of the unit's `[Service]` section, without [`OURS`].
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
