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
    pub(crate) kind: Kind,
    pub(crate) package: &'static str,
    pub(crate) serves: &'static str,
}

pub(crate) enum Kind {
    Program,
    PythonModule,
    RsyslogModule,
}

const COUNTERPARTS: [Counterpart; 23] = [
    Counterpart {
        name: "sshd",
        kind: Kind::Program,
        package: "openssh-server",
        serves: "readings from a real node",
    },
    Counterpart {
        name: "strace",
        kind: Kind::Program,
        package: "strace",
        serves: "a disk that fails",
    },
    Counterpart {
        name: "socat",
        kind: Kind::Program,
        package: "socat",
        serves: "the socket behind socat",
    },
    Counterpart {
        name: "python3",
        kind: Kind::Program,
        package: "python3",
        serves: "clients in another language",
    },
    Counterpart {
        name: "cryptography",
        kind: Kind::PythonModule,
        package: "python3-cryptography",
        serves: "the audit log's independent verifier",
    },
    Counterpart {
        name: "jsonschema",
        kind: Kind::PythonModule,
        package: "python3-jsonschema",
        serves: "the schemas of the tool's JSON",
    },
    Counterpart {
        name: "sensors",
        kind: Kind::Program,
        package: "lm-sensors",
        serves: "what lm-sensors really prints",
    },
    Counterpart {
        name: "promtool",
        kind: Kind::Program,
        package: "prometheus",
        serves: "the metrics' format",
    },
    Counterpart {
        name: "openssl",
        kind: Kind::Program,
        package: "openssl",
        serves: "certificates",
    },
    Counterpart {
        name: "rsyslogd",
        kind: Kind::Program,
        package: "rsyslog",
        serves: "a collector of records",
    },
    Counterpart {
        name: "imrelp",
        kind: Kind::RsyslogModule,
        package: "rsyslog-relp",
        serves: "a collector of records",
    },
    Counterpart {
        name: "lmnsd_gtls",
        kind: Kind::RsyslogModule,
        package: "rsyslog-gnutls",
        serves: "a collector of syslog over TLS",
    },
    Counterpart {
        name: "nft",
        kind: Kind::Program,
        package: "nftables",
        serves: "a cable that is cut",
    },
    Counterpart {
        name: "linux.uml",
        kind: Kind::Program,
        package: "user-mode-linux",
        serves: "AppArmor, enforced",
    },
    Counterpart {
        name: "apparmor_parser",
        kind: Kind::Program,
        package: "apparmor",
        serves: "AppArmor's profiles",
    },
    Counterpart {
        name: "buildah",
        kind: Kind::Program,
        package: "buildah",
        serves: "the container's image",
    },
    Counterpart {
        name: "podman",
        kind: Kind::Program,
        package: "podman",
        serves: "the daemon in a container",
    },
    Counterpart {
        name: "runc",
        kind: Kind::Program,
        package: "runc",
        serves: "the daemon in a container",
    },
    // The client alone is not enough: other packages have it, too.
    Counterpart {
        name: "dockerd",
        kind: Kind::Program,
        package: "docker.io",
        serves: "root in a container of Docker",
    },
    Counterpart {
        name: "containerd",
        kind: Kind::Program,
        package: "containerd",
        serves: "root in containers of containerd and Docker",
    },
    Counterpart {
        name: "ctr",
        kind: Kind::Program,
        package: "containerd",
        serves: "root in a container of containerd",
    },
    Counterpart {
        name: "lxc-execute",
        kind: Kind::Program,
        package: "lxc",
        serves: "root in a container of LXC",
    },
    Counterpart {
        name: "systemd-nspawn",
        kind: Kind::Program,
        package: "systemd-container",
        serves: "root in a container of systemd-nspawn",
    },
];

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
    try_install(&before);
    missing(needs)
}

fn missing(needs: &'static [Counterpart]) -> Vec<&'static Counterpart> {
    let is_missing = |need: &&Counterpart| !need.is_here();
    needs.iter().filter(is_missing).collect()
}

impl Counterpart {
    fn is_here(&self) -> bool {
        match self.kind {
            Kind::Program => workspace::find_program(self.name).is_some(),
            Kind::PythonModule => {
                let import = format!("import {}", self.name);
                process::succeeds(Command::new("python3").args(["-c", &import]))
            }
            Kind::RsyslogModule => workspace::is_rsyslog_module(self.name),
        }
    }
}

fn try_install(missing: &[&Counterpart]) {
    let packages: Vec<_> = missing.iter().map(|missing| missing.package).collect();
    let list = packages.join(" ");
    if !workspace::is_root() {
        println!("not root, so nothing is installed; by hand: apt-get install {list}");
    } else if workspace::find_program("apt-get").is_none() {
        println!("no apt-get here; install what this system calls: {list}");
    } else if let Err(failure) = install(&packages) {
        eprintln!("cannot install {list}: {failure}");
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
        let ours = fs::read(POLICY)? == FORBID.as_bytes();
        Ok(Self { ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours && fs::remove_file(Path::new(POLICY)).is_err() {
            eprintln!("could not remove {POLICY}: remove it, or no service will start");
        }
    }
}
