//! The machine as after installation of daemon and helper: programs, the service's user and
//! directories. Its `/sys` is a made-up tree; everything else is the host's, read-only.

use nix::mount::{MsFlags, mount};
use pulse_e2e::programs;
use pulse_e2e::sim::tree;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The host's files, not hidden by our mounts.
const HOST: &str = "/run/host";
/// The directory shared with the host.
const EXCHANGE: &str = "/run/exchange";
/// Directories that have our programs, and links to some of the host's.
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

const SECURITY: &str = "/sys/kernel/security";

/// The service's user and group, as below.
const SERVICE: u32 = 995;

const USERS: &str = "root:*:0:0::/:/bin/sh\n\
    sshd:*:100:65534::/run/sshd:/usr/sbin/nologin\n\
    pulse-sensor-proxy:*:995:995::/:/usr/sbin/nologin\n";
const GROUPS: &str = "root:*:0:\npulse-sensor-proxy:*:995:\nnogroup:*:65534:\n";

pub(crate) struct Machine;

impl Machine {
    /// Mounts a machine's file systems over the host's read-only files.
    pub(crate) fn prepare(exchange: &str, programs: &str) -> Self {
        mount_fs("proc", "/proc");
        mount_fs("sysfs", "/sys");
        for own in ["/run", "/tmp", "/var"] {
            mount_fs("tmpfs", own);
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
        // User-mode Linux's file system for a directory of the host.
        mount_with("hostfs", EXCHANGE, Some(exchange));
        install_programs(&on_host(programs));
        write_etc();
        // As systemd makes them for the unit.
        for (directory, mode) in [
            ("/run/pulse-sensor-proxy", 0o755),
            ("/var/lib/pulse-sensor-proxy", 0o700),
            ("/var/log/pulse/sensor-proxy", 0o750),
        ] {
            fs::create_dir_all(directory).unwrap();
            fs::set_permissions(directory, Permissions::from_mode(mode)).unwrap();
            chown(directory, Some(SERVICE), Some(SERVICE)).unwrap();
        }
        // Brings the interface up; the kernel adds 127.0.0.1.
        fs::write("/sys/class/net/lo/flags", "0x1").unwrap();
        // From here on a made-up node's `/sys` covers the real one: user-mode Linux has no sensors.
        mount_fs("tmpfs", "/sys");
        let [(_, node), ..] = tree::all();
        tree::unpack(node, Path::new("/sys")).unwrap();
        fs::create_dir_all(SECURITY).unwrap();
        mount_fs("securityfs", SECURITY);
        // Without it the kernel drops lines of AppArmor when there are many.
        fs::write("/proc/sys/kernel/printk_ratelimit", "0").unwrap();
        Self
    }

    /// Loads the AppArmor profiles of a host's directory.
    pub(crate) fn load_profiles(&self, profiles: &str, mode: &str) {
        let complain: &[&str] = if mode == "complain" {
            &["--complain"]
        } else {
            &[]
        };
        parser(&[&["--add"], complain].concat(), &on_host(profiles));
    }

    /// Removes the profiles, which the kernel logs after every earlier event.
    pub(crate) fn unload_profiles(&self, profiles: &str) {
        parser(&["--remove"], &on_host(profiles));
    }

    /// Writes a file for the host.
    pub(crate) fn export(&self, name: &str, text: &str) {
        fs::write(Path::new(EXCHANGE).join(name), text).unwrap();
    }
}

fn parser(words: &[&str], profiles: &Path) {
    let mut parser = Command::new(programs::find("apparmor_parser").unwrap());
    parser.args(words).arg("--skip-cache").arg(profiles);
    programs::assert_success(profiles.display(), &parser.output().unwrap());
}

fn on_host(path: &str) -> PathBuf {
    Path::new(HOST).join(path.trim_start_matches('/'))
}

fn install_programs(from: &Path) {
    for directory in PROGRAMS {
        mount_fs("tmpfs", directory);
    }
    for ours in OURS {
        // A mount point: AppArmor knows the program by the path that it is bound to.
        fs::write(ours, "").unwrap();
        bind(
            from.join(Path::new(ours).file_name().unwrap())
                .to_str()
                .unwrap(),
            ours,
        );
    }
    for theirs in THEIRS {
        symlink(on_host(theirs), theirs).unwrap();
    }
}

fn write_etc() {
    mount_fs("tmpfs", "/etc");
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
    // The files that profiles include, and OpenSSL's configuration.
    for theirs in ["/etc/apparmor.d", "/etc/ssl"] {
        bind(on_host(theirs).to_str().unwrap(), theirs);
    }
}

fn mount_fs(kind: &str, at: &str) {
    mount_with(kind, at, None);
}

fn mount_with(kind: &str, at: &str, data: Option<&str>) {
    mount(Some(kind), at, Some(kind), MsFlags::empty(), data)
        .unwrap_or_else(|error| panic!("cannot mount {kind} at {at}: {error}"));
}

fn bind(from: &str, at: &str) {
    mount(Some(from), at, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .unwrap_or_else(|error| panic!("cannot bind {from} to {at}: {error}"));
}
