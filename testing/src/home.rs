//! The files of one daemon, which outlive it: a test may start another on them.

use crate::config::Config;
use crate::service;
use nix::sys::stat::{Mode, umask};
use serde_json::Value;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use tempfile::TempDir;

/// A directory with everything that a daemon reads and makes.
#[derive(Debug)]
pub struct Home {
    directory: TempDir,
    places: Places,
    /// What the daemon takes for the whole file system.
    root: PathBuf,
    metrics: SocketAddr,
}

/// Where its files are.
#[derive(Debug)]
struct Places {
    socket: PathBuf,
    control_socket: PathBuf,
    config: PathBuf,
    ssh: PathBuf,
    log: PathBuf,
    state: PathBuf,
    credentials: PathBuf,
}

impl Places {
    fn below(directory: &Path) -> Self {
        Self {
            socket: directory.join("run/pulse-sensor-proxy.sock"),
            control_socket: directory.join("admin/control.sock"),
            config: directory.join("etc/config.toml"),
            ssh: directory.join("ssh"),
            log: directory.join("log/audit.log"),
            state: directory.join("audit"),
            credentials: directory.join("forwarding"),
        }
    }

    /// As the package has them.
    fn installed(root: &Path) -> Self {
        Self {
            socket: root.join("run/pulse-sensor-proxy/pulse-sensor-proxy.sock"),
            control_socket: root.join("run/pulse-sensor-proxy-admin/control.sock"),
            config: root.join("etc/pulse-sensor-proxy/config.toml"),
            ssh: root.join("var/lib/pulse-sensor-proxy/ssh"),
            log: root.join("var/log/pulse/sensor-proxy/audit.log"),
            state: root.join("var/lib/pulse-sensor-proxy/audit"),
            credentials: root.join("etc/pulse/log-forwarding"),
        }
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// As a package leaves it: the socket's directory is there, and the service's.
    /// What else the daemon needs it makes.
    #[must_use]
    pub fn new() -> Self {
        let home = Self::empty();
        service::own(&home.path("run"));
        home
    }

    /// Other users may pass through, as through `/run`.
    fn empty() -> Self {
        // Whatever umask the tests' user has: what its group may write is refused.
        umask(Mode::from_bits_truncate(0o022));
        let directory = tempfile::Builder::new().prefix("pulse-").tempdir().unwrap();
        let home = Self {
            places: Places::below(directory.path()),
            root: "/".into(),
            directory,
            metrics: unused_address(),
        };
        let open = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o755));
        open(home.directory.path()).unwrap();
        // The configuration has a directory to itself: all of that may be read.
        for below in ["etc", "run"] {
            fs::create_dir(home.path(below)).unwrap();
            open(&home.path(below)).unwrap();
        }
        home
    }

    /// That of a daemon which is installed: its files are where packages, profiles
    /// and units expect them, so this is for machines of our own. Only what the
    /// daemon does not know of is below a directory of its own.
    #[must_use]
    pub fn installed() -> Self {
        Self {
            places: Places::installed(Path::new("/")),
            ..Self::empty()
        }
    }

    /// That of a daemon which is installed where its container's volumes show it
    /// parts of a directory.
    pub(crate) fn contained() -> Self {
        let home = Self::empty();
        let root = home.path("root");
        Self {
            places: Places::installed(&root),
            root,
            ..home
        }
    }

    /// The name that a file of ours has for the daemon.
    pub(crate) fn seen(&self, path: &Path) -> PathBuf {
        let below = path.strip_prefix(&self.root).unwrap();
        Path::new("/").join(below)
    }

    /// Where we find what has this name for the daemon.
    pub(crate) fn shown(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether its files are where they are installed.
    pub(crate) fn is_installed(&self) -> bool {
        self.seen(&self.config_file()).starts_with("/etc")
    }

    /// A path below the directory.
    #[must_use]
    pub fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// A path that no other call has given, for a file of this kind.
    #[must_use]
    pub fn unused_path(&self, kind: &str) -> PathBuf {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        self.path(&format!("{kind}-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// The callers' socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.places.socket.clone()
    }

    /// The administrators' socket.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.places.control_socket.clone()
    }

    /// The configuration.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.places.config.clone()
    }

    /// The key store.
    #[must_use]
    pub fn ssh_dir(&self) -> PathBuf {
        self.places.ssh.clone()
    }

    /// Certificates for collectors.
    #[must_use]
    pub fn credentials(&self) -> PathBuf {
        self.places.credentials.clone()
    }

    /// The audit log's live file.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.places.log.clone()
    }

    /// Where the key of its next seal is.
    #[must_use]
    pub fn audit_state(&self) -> PathBuf {
        self.places.state.clone()
    }

    /// What is on record in the live file, a line that is being written left out.
    #[must_use]
    pub fn records(&self) -> Vec<Value> {
        records_in(&self.audit_log())
    }

    /// All records, those of segments that have ended first. No segment may end meanwhile.
    #[must_use]
    pub fn all_records(&self) -> Vec<Value> {
        let live = self.audit_log();
        let files = fs::read_dir(live.parent().unwrap()).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let is_segment = |file: &PathBuf| {
            let name = file.file_name().unwrap().to_string_lossy();
            name.starts_with("audit.log-")
        };
        let mut segments: Vec<_> = files.filter(is_segment).collect();
        segments.sort();
        segments.push(live);
        segments.iter().flat_map(|file| records_in(file)).collect()
    }

    /// The records of one kind in the live file.
    #[must_use]
    pub fn records_of(&self, event_type: &str) -> Vec<Value> {
        let mut records = self.records();
        records.retain(|record| record["event_type"] == event_type);
        records
    }

    /// Where metrics are served unless the configuration says otherwise.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics
    }

    /// Writes the configuration.
    pub fn write_config(&self, config: &Config) {
        fs::write(self.config_file(), config.text(self)).unwrap();
        service::let_read(&self.config_file());
    }

    /// Adds a line to the daemon's `known_hosts`, as an operator does.
    pub fn trust(&self, line: &str) {
        service::make_private(&self.ssh_dir());
        append(&self.known_hosts(), &format!("{line}\n"));
        service::let_read(&self.known_hosts());
    }

    /// The daemon's `known_hosts`.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.ssh_dir().join("known_hosts")
    }

    /// The daemon's public key; it makes one when it first starts.
    #[must_use]
    pub fn public_key(&self) -> String {
        let file = self.ssh_dir().join("id_ed25519.pub");
        fs::read_to_string(file).unwrap().trim_end().to_owned()
    }
}

fn records_in(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn append(file: &Path, text: &str) {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).open(file);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

/// An address of loopback that nobody else listens on: all of 127/8 is ours, so
/// each process of the tests has an address, and counts its ports. Asking the
/// kernel for a free port and using it later would be a race.
#[must_use]
pub fn unused_address() -> SocketAddr {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(20_000);
    // A process id has 22 bits at most.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 64 | (high & 0x3f), middle, low);
    (address, NEXT_PORT.fetch_add(1, Ordering::Relaxed)).into()
}
