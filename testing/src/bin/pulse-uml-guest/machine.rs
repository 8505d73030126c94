//! The machine as our packages leave it, daemon and helper on the same one: programs in
//! their places, a user for the service, its directories. Its devices are made up;
//! everything else is the host's, and read-only.

use nix::mount::{MsFlags, mount};
use pulse_e2e::programs;
use pulse_e2e::sim::tree;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The host's files, where no mount of ours hides them.
const HOST: &str = "/run/host";
/// What both sides see.
const EXCHANGE: &str = "/run/exchange";
/// Ours are mounted in these; the rest are links to the host's.
const PROGRAMS: [&str; 2] = ["/usr/bin", "/usr/libexec"];
const OURS: [&str; 3] = [
    "/usr/bin/pulse-sensor-proxy",
    "/usr/bin/pulse-sensorctl",
    "/usr/libexec/pulse-sensor-node",
];
const THEIRS: [&str; 5] = [
    "/usr/bin/sh",
    "/usr/bin/bash",
    "/usr/bin/ssh-keygen",
    "/usr/bin/setpriv",
    "/usr/bin/openssl",
];

/// The service's user and group, as below.
const SERVICE: u32 = 995;

const USERS: &str = "root:*:0:0::/:/bin/sh\n\
    sshd:*:100:65534::/run/sshd:/usr/sbin/nologin\n\
    pulse-sensor-proxy:*:995:995::/:/usr/sbin/nologin\n";
const GROUPS: &str = "root:*:0:\npulse-sensor-proxy:*:995:\nnogroup:*:65534:\n";

pub(crate) struct Machine;

impl Machine {
    /// Mounts what a machine has, over the host's read-only files.
    pub(crate) fn prepare(exchange: &str, programs: &str) -> Self {
        kernel("proc", "/proc");
        kernel("sysfs", "/sys");
        for own in ["/run", "/tmp", "/var"] {
            kernel("tmpfs", own);
        }
        fs::set_permissions("/tmp", Permissions::from_mode(0o1777)).unwrap();
        for directory in [
            HOST,
            EXCHANGE,
            "/run/sshd",
            "/var/tmp",
            "/var/log",
            "/var/lib",
        ] {
            fs::create_dir_all(directory).unwrap();
        }
        bind("/", HOST);
        mount_with("hostfs", EXCHANGE, Some(exchange));
        install_programs(&on_host(programs));
        write_etc();
        make_service_directories();
        // An interface comes with its address.
        fs::write("/sys/class/net/lo/flags", "0x1").unwrap();
        make_devices();
        // Or lines of AppArmor's are left out when there are many.
        fs::write("/proc/sys/kernel/printk_ratelimit", "0").unwrap();
        Self
    }

    /// Loads the AppArmor profiles of a directory of the host's.
    pub(crate) fn load_profiles(&self, profiles: &str, mode: &str) {
        let complain: &[&str] = if mode == "complain" {
            &["--complain"]
        } else {
            &[]
        };
        parser(&[&["--add"], complain].concat(), &on_host(profiles));
    }

    /// Takes them away again: the kernel logs that after all that it was asked before.
    pub(crate) fn unload_profiles(&self, profiles: &str) {
        parser(&["--remove"], &on_host(profiles));
    }

    /// Leaves a file to the host.
    pub(crate) fn hand_back(&self, name: &str, text: &str) {
        fs::write(Path::new(EXCHANGE).join(name), text).unwrap();
    }
}

fn parser(words: &[&str], profiles: &Path) {
    let program = programs::find("apparmor_parser").unwrap();
    let mut parser = Command::new(program);
    parser.args(words).arg("--skip-cache").arg(profiles);
    let output = parser.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", profiles.display());
}

fn on_host(path: &str) -> PathBuf {
    Path::new(HOST).join(path.trim_start_matches('/'))
}

fn install_programs(from: &Path) {
    for directory in PROGRAMS {
        kernel("tmpfs", directory);
    }
    for ours in OURS {
        fs::write(ours, "").unwrap();
        let program = from.join(Path::new(ours).file_name().unwrap());
        bind(program.to_str().unwrap(), ours);
    }
    for theirs in THEIRS {
        symlink(on_host(theirs), theirs).unwrap();
    }
}

fn write_etc() {
    kernel("tmpfs", "/etc");
    for directory in ["/etc/apparmor.d", "/etc/pulse-sensor-proxy", "/etc/ssl"] {
        fs::create_dir(directory).unwrap();
    }
    for (file, text) in [
        ("/etc/passwd", USERS),
        ("/etc/group", GROUPS),
        ("/etc/shadow", "root:*:::::::\n"),
        ("/etc/hosts", "127.0.0.1 localhost\n"),
    ] {
        fs::write(file, text).unwrap();
    }
    // What profiles include, and what openssl begins with.
    for theirs in ["/etc/apparmor.d", "/etc/ssl"] {
        bind(on_host(theirs).to_str().unwrap(), theirs);
    }
}

/// Those of a node, in place of a machine's that has none.
fn make_devices() {
    const SECURITY: &str = "/sys/kernel/security";
    kernel("tmpfs", "/sys");
    let [(_, node), ..] = tree::all();
    tree::unpack(node, Path::new("/sys")).unwrap();
    fs::create_dir_all(SECURITY).unwrap();
    kernel("securityfs", SECURITY);
}

/// As the service's unit has systemd make them.
fn make_service_directories() {
    for (directory, mode) in [
        ("/run/pulse-sensor-proxy", 0o755),
        ("/var/lib/pulse-sensor-proxy", 0o700),
        ("/var/log/pulse/sensor-proxy", 0o750),
    ] {
        fs::create_dir_all(directory).unwrap();
        fs::set_permissions(directory, Permissions::from_mode(mode)).unwrap();
        chown(directory, Some(SERVICE), Some(SERVICE)).unwrap();
    }
}

fn kernel(kind: &str, at: &str) {
    mount_with(kind, at, None);
}

fn mount_with(kind: &str, at: &str, data: Option<&str>) {
    let flags = MsFlags::empty();
    mount(Some(kind), at, Some(kind), flags, data)
        .unwrap_or_else(|error| panic!("cannot mount {kind} at {at}: {error}"));
}

fn bind(from: &str, at: &str) {
    mount(Some(from), at, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .unwrap_or_else(|error| panic!("cannot show {from} at {at}: {error}"));
}
