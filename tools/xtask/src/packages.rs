//! The real counterparts that the tests talk to, from Debian's packages.
//!
//! A machine that has them is left alone. As root, what is missing is installed,
//! and no service is started by it: the tests start their own on loopback. When
//! something stays missing, the tests that need it are told so and skip
//! themselves; in CI that is a failure, since a skipped test looks like a passed one.

use crate::process::{self, Failure, Outcome};
use crate::workspace;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Something that tests need, and the package that has it.
pub(crate) struct Counterpart {
    pub(crate) name: &'static str,
    kind: Kind,
    package: &'static str,
    serves: &'static str,
}

/// Its place on a machine.
pub(crate) enum Kind {
    /// On `PATH` or in `/usr/sbin`.
    Program,
    /// At the path that is its name.
    File,
    /// Of Debian's Python.
    PythonModule,
    /// Of Debian's rsyslog.
    RsyslogModule,
}

/// Debian's Python.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

const COUNTERPARTS: [Counterpart; 24] = [
    program("sshd", "openssh-server", "readings from a real node"),
    program("strace", "strace", "a disk that fails"),
    program("socat", "socat", "the socket behind socat"),
    program("python3", "python3", "clients in another language"),
    Counterpart::new(
        Kind::PythonModule,
        "cryptography",
        "python3-cryptography",
        "the audit log's independent verifier",
    ),
    Counterpart::new(
        Kind::PythonModule,
        "jsonschema",
        "python3-jsonschema",
        "the schemas of the tool's JSON",
    ),
    program("sensors", "lm-sensors", "what lm-sensors really prints"),
    program("promtool", "prometheus", "the metrics' format"),
    program("prometheus", "prometheus", "alerts that fire"),
    program("openssl", "openssl", "certificates"),
    program("rsyslogd", "rsyslog", "a collector of records"),
    Counterpart::new(
        Kind::RsyslogModule,
        "imrelp",
        "rsyslog-relp",
        "a collector of records",
    ),
    Counterpart::new(
        Kind::RsyslogModule,
        "lmnsd_gtls",
        "rsyslog-gnutls",
        "a collector of syslog over TLS",
    ),
    program("nft", "nftables", "a cable that is cut"),
    program("linux.uml", "user-mode-linux", "AppArmor, enforced"),
    program("apparmor_parser", "apparmor", "AppArmor's profiles"),
    program("buildah", "buildah", "the container's image"),
    program("podman", "podman", "the daemon in a container"),
    program("runc", "runc", "the daemon in a container"),
    // The client alone is not enough: other packages have it, too.
    program("dockerd", "docker.io", "root in a container of Docker"),
    program(
        "containerd",
        "containerd",
        "root in containers of containerd and Docker",
    ),
    program("ctr", "containerd", "root in a container of containerd"),
    program("lxc-execute", "lxc", "root in a container of LXC"),
    program(
        "systemd-nspawn",
        "systemd-container",
        "root in a container of systemd-nspawn",
    ),
];

impl Counterpart {
    pub(crate) const fn new(
        kind: Kind,
        name: &'static str,
        package: &'static str,
        serves: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            package,
            serves,
        }
    }
}

/// A program: most are.
pub(crate) const fn program(
    name: &'static str,
    package: &'static str,
    serves: &'static str,
) -> Counterpart {
    Counterpart::new(Kind::Program, name, package, serves)
}

/// Installs what is missing, if we may, and returns the names of what is
/// missing still.
pub(crate) fn ensure() -> Outcome<Vec<&'static str>> {
    let still = install_missing(&COUNTERPARTS);
    for Counterpart { name, serves, .. } in &still {
        println!("{name} is not here: tests of {serves} are skipped");
    }
    if !workspace::is_root() {
        println!("not root: tests that act as several users are skipped");
    }
    if still.is_empty() {
        println!("all counterparts are here");
    } else if workspace::is_ci() {
        return Err(Failure::new("in CI nothing is skipped"));
    }
    Ok(still.iter().map(|counterpart| counterpart.name).collect())
}

/// Installs what is missing of `needs`, if we may; whatever stays missing is a
/// failure.
pub(crate) fn require(needs: &'static [Counterpart]) -> Outcome {
    match install_missing(needs).first() {
        None => Ok(()),
        Some(Counterpart { name, serves, .. }) => {
            Err(Failure::new(format!("{name} is not here: it {serves}")))
        }
    }
}

fn install_missing(needs: &'static [Counterpart]) -> Vec<&'static Counterpart> {
    let before = missing(needs);
    if before.is_empty() {
        return before;
    }
    let packages: Vec<_> = before.iter().map(|missing| missing.package).collect();
    let list = packages.join(" ");
    if !workspace::is_root() {
        println!("not root, so nothing is installed; by hand: apt-get install {list}");
    } else if workspace::find_program("apt-get").is_none() {
        println!("no apt-get here; install what this system calls: {list}");
    } else if let Err(failure) = install(&packages) {
        eprintln!("cannot install {list}: {failure}");
    }
    // Checked again, whatever apt-get reported: the program counts, not the package.
    missing(needs)
}

fn missing(needs: &'static [Counterpart]) -> Vec<&'static Counterpart> {
    needs.iter().filter(|need| !need.is_here()).collect()
}

impl Counterpart {
    fn is_here(&self) -> bool {
        match self.kind {
            Kind::Program => workspace::find_program(self.name).is_some(),
            Kind::File => Path::new(self.name).is_file(),
            Kind::PythonModule => {
                let has = |python| {
                    let mut python = Command::new(python);
                    process::succeeds(python.args(["-c", &format!("import {}", self.name)]))
                };
                // Under the unit the tests run Debian's, which may not be the first of `PATH`.
                has("python3") && (!Path::new(SYSTEM_PYTHON).is_file() || has(SYSTEM_PYTHON))
            }
            Kind::RsyslogModule => workspace::is_rsyslog_module(self.name),
        }
    }
}

fn install(packages: &[&str]) -> Outcome {
    println!("installing {}", packages.join(" "));
    let _no_services = NoServices::new()
        .map_err(|error| Failure::new(format!("cannot write {POLICY}: {error}")))?;
    // An update that fails for one source may well have reached the others.
    if let Err(failure) = process::run(apt_get("update").arg("-q")) {
        eprintln!("{failure}; going on with the package lists that are here");
    }
    let mut install = apt_get("install");
    install.args(["-q", "--yes", "--no-install-recommends"]);
    // A question nobody can answer would end the installation.
    install.args(["-o", "Dpkg::Options::=--force-confdef"]);
    install.args(["-o", "Dpkg::Options::=--force-confold"]);
    process::run(install.args(packages))
}

fn apt_get(word: &str) -> Command {
    let mut command = Command::new("apt-get");
    command
        .arg(word)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    command
}

/// Debian asks this program whether a package may start its service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// 101: the action is forbidden.
const FORBID: &str =
    "#!/bin/sh\n# Written by `cargo xtask` while it installs; safe to remove.\nexit 101\n";

/// No package starts a service while this lives.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn new() -> io::Result<Self> {
        let mut options = OpenOptions::new();
        match options
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(POLICY)
        {
            Ok(mut file) => file.write_all(FORBID.as_bytes())?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        // An administrator's own policy stays; one that an interrupted run left does not.
        Ok(Self {
            ours: fs::read(POLICY)? == FORBID.as_bytes(),
        })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours && fs::remove_file(Path::new(POLICY)).is_err() {
            eprintln!("could not remove {POLICY}: remove it, or no service will start");
        }
    }
}
