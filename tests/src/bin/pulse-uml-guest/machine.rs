//! The machine as our package leaves it: programs in `/usr/bin`, a user for the
//! service, its configuration's directory. Everything else is the host's, and
//! read-only.

use nix::mount::{MsFlags, mount};
use pulse_e2e::programs;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The host's files, where no mount of ours hides them.
const HOST: &str = "/run/host";
/// What both sides see.
const EXCHANGE: &str = "/run/exchange";
/// The daemon and the helper are mounted here; the rest are links to the host's.
const PROGRAMS: &str = "/usr/bin";
const OURS: [&str; 2] = ["pulse-sensor-proxy", "pulse-sensor-node"];
const THEIRS: [&str; 4] = ["sh", "bash", "ssh-keygen", "setpriv"];

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
        kernel("securityfs", "/sys/kernel/security");
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
        // Or lines of AppArmor's are left out when there are many.
        fs::write("/proc/sys/kernel/printk_ratelimit", "0").unwrap();
        Self
    }

    /// Loads an AppArmor profile of the host's.
    pub(crate) fn load_profile(&self, profile: &str, mode: &str) {
        let complain: &[&str] = if mode == "complain" {
            &["--complain"]
        } else {
            &[]
        };
        parser(&[&["--add"], complain].concat(), &on_host(profile));
    }

    /// Takes it away again: the kernel logs that after all that it was asked before.
    pub(crate) fn unload_profile(&self, profile: &str) {
        parser(&["--remove"], &on_host(profile));
    }

    /// Leaves a file to the host.
    pub(crate) fn hand_back(&self, name: &str, text: &str) {
        fs::write(Path::new(EXCHANGE).join(name), text).unwrap();
    }
}

fn parser(words: &[&str], profile: &Path) {
    let program = programs::find("apparmor_parser").unwrap();
    let mut parser = Command::new(program);
    parser.args(words).arg("--skip-cache").arg(profile);
    let output = parser.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", profile.display());
}

fn on_host(path: &str) -> PathBuf {
    Path::new(HOST).join(path.trim_start_matches('/'))
}

fn install_programs(from: &Path) {
    kernel("tmpfs", PROGRAMS);
    for ours in OURS {
        let here = Path::new(PROGRAMS).join(ours);
        fs::write(&here, "").unwrap();
        bind(from.join(ours).to_str().unwrap(), here.to_str().unwrap());
    }
    for theirs in THEIRS {
        let here = Path::new(PROGRAMS).join(theirs);
        symlink(on_host(PROGRAMS).join(theirs), here).unwrap();
    }
}

/// Puts a made-up node's devices where the kernel shows this machine's.
pub(crate) fn show_devices(tree: &Path) {
    for part in ["class", "bus", "devices", "block"] {
        let from = tree.join(part);
        bind(from.to_str().unwrap(), &format!("/sys/{part}"));
    }
}

/// Puts the helper where a node has it.
pub(crate) fn install_helper() -> &'static str {
    const HELPER: &str = "/usr/libexec/pulse-sensor-node";
    kernel("tmpfs", "/usr/libexec");
    fs::write(HELPER, "").unwrap();
    bind("/usr/bin/pulse-sensor-node", HELPER);
    HELPER
}

fn write_etc() {
    kernel("tmpfs", "/etc");
    for directory in ["/etc/apparmor.d", "/etc/pulse-sensor-proxy"] {
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
    // What profiles include.
    bind(
        on_host("/etc/apparmor.d").to_str().unwrap(),
        "/etc/apparmor.d",
    );
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
