//! The files of a daemon. They outlive it: a test may start another daemon on them.

use crate::config::Config;
use crate::service;
use crate::wait;
use nix::sys::stat::{Mode, umask};
use serde_json::Value;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use tempfile::TempDir;

/// A directory with the files that a daemon reads and writes.
#[derive(Debug)]
pub struct Home {
    directory: TempDir,
    paths: Paths,
    /// The daemon's root directory: another one than ours in a container.
    root: PathBuf,
    metrics: SocketAddr,
}

/// Paths of its files.
#[derive(Debug)]
struct Paths {
    socket: PathBuf,
    control_socket: PathBuf,
    config: PathBuf,
    ssh: PathBuf,
    log: PathBuf,
    state: PathBuf,
    credentials: PathBuf,
}

impl Paths {
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

    /// The paths of the package.
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
    /// A home after installation: the socket's directory exists and belongs to the service.
    /// The daemon makes the rest.
    #[must_use]
    pub fn new() -> Self {
        let home = Self::empty();
        service::give(&home.path("run"));
        home
    }

    /// A home that other users may enter, as they may enter `/run`.
    fn empty() -> Self {
        // Independent of the user's umask: the daemon refuses files that a group may write.
        umask(Mode::from_bits_truncate(0o022));
        let directory = tempfile::Builder::new().prefix("pulse-").tempdir().unwrap();
        let home = Self {
            paths: Paths::below(directory.path()),
            root: "/".into(),
            directory,
            metrics: unused_address(),
        };
        let open = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o755));
        open(home.directory.path()).unwrap();
        // Only the configuration is in there, so every user may read it.
        for below in ["etc", "run"] {
            fs::create_dir(home.path(below)).unwrap();
            open(&home.path(below)).unwrap();
        }
        home
    }

    /// The home of an installed daemon: its files have the paths of the package, the AppArmor
    /// profile and the unit, so this is for virtual machines only. The harness's own files
    /// are in a temporary directory.
    #[must_use]
    pub fn installed() -> Self {
        Self {
            paths: Paths::installed(Path::new("/")),
            ..Self::empty()
        }
    }

    /// The home of a daemon that is installed in a container, whose volumes are parts of the
    /// temporary directory.
    pub(crate) fn contained() -> Self {
        let home = Self::empty();
        let root = home.path("root");
        Self {
            paths: Paths::installed(&root),
            root,
            ..home
        }
    }

    /// The daemon's path of one of our files.
    pub(crate) fn daemon_path(&self, path: &Path) -> PathBuf {
        Path::new("/").join(path.strip_prefix(&self.root).unwrap())
    }

    /// Our path of one of the daemon's files.
    pub(crate) fn host_path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// True when the daemon's paths are those of the package.
    pub(crate) fn is_installed(&self) -> bool {
        self.daemon_path(&self.config_file()).starts_with("/etc")
    }

    /// A path below the temporary directory.
    #[must_use]
    pub fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// A fresh path below the temporary directory, with this prefix.
    #[must_use]
    pub fn unused_path(&self, kind: &str) -> PathBuf {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        self.path(&format!("{kind}-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// The callers' socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.paths.socket.clone()
    }

    /// The administrators' socket.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.paths.control_socket.clone()
    }

    /// The configuration.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.paths.config.clone()
    }

    /// The key store.
    #[must_use]
    pub fn ssh_dir(&self) -> PathBuf {
        self.paths.ssh.clone()
    }

    /// The directory of the certificates for forwarding.
    #[must_use]
    pub fn credentials(&self) -> PathBuf {
        self.paths.credentials.clone()
    }

    /// The audit log's live file.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.paths.log.clone()
    }

    /// The audit log's state directory, which has the key of the next seal.
    #[must_use]
    pub fn audit_state(&self) -> PathBuf {
        self.paths.state.clone()
    }

    /// The records of the live file. A line that is being written is left out.
    #[must_use]
    pub fn records(&self) -> Vec<Value> {
        let live = self.audit_log();
        // A rotation renames the live file before it makes the next one.
        records_in(&wait::until_some("the live file", || {
            fs::read_to_string(&live).ok()
        }))
    }

    /// The records of all segments, oldest first.
    #[must_use]
    pub fn all_records(&self) -> Vec<Value> {
        records_in(&self.log_text())
    }

    /// The text of all segments, oldest first.
    #[must_use]
    pub fn log_text(&self) -> String {
        self.read_log(|file| fs::read_to_string(file)).concat()
    }

    /// Reads each segment, oldest first. When the daemon rotates or prunes the log in between,
    /// all of them are read again.
    ///
    /// # Panics
    /// When a file cannot be read.
    pub fn read_log<T>(&self, read: impl Fn(&Path) -> io::Result<T>) -> Vec<T> {
        loop {
            let files = self.log_files();
            let contents: io::Result<Vec<T>> = files.iter().map(|file| read(file)).collect();
            // The same files again mean that no rotation and no pruning came in between.
            match contents {
                Ok(contents) if files == self.log_files() => return contents,
                Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
                _ => {}
            }
        }
    }

    /// The segments that have ended, oldest first, and the live file.
    fn log_files(&self) -> Vec<PathBuf> {
        let live = self.audit_log();
        let files = fs::read_dir(live.parent().unwrap()).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|file| {
            *file == live
                || file
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with("audit.log-")
        });
        // The names of segments sort by age; the live file, whose name is shorter, is the newest.
        files.sort_by_key(|file| (*file == live, file.clone()));
        files
    }

    /// The records of one kind in the live file.
    #[must_use]
    pub fn records_of(&self, event_type: &str) -> Vec<Value> {
        let mut records = self.records();
        records.retain(|record| record["event_type"] == event_type);
        records
    }

    /// The metrics address, unless the configuration has another.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics
    }

    /// Writes the configuration.
    pub fn write_config(&self, config: &Config) {
        fs::write(self.config_file(), config.text(self)).unwrap();
        service::make_readable(&self.config_file());
    }

    /// The directory of the nodes' files.
    #[must_use]
    pub fn nodes_directory(&self) -> PathBuf {
        self.config_file().with_file_name("nodes.d")
    }

    /// The file of a node.
    #[must_use]
    pub fn node_file(&self, name: &str) -> PathBuf {
        self.nodes_directory().join(format!("{name}.toml"))
    }

    /// Writes the file of a node.
    pub fn write_node(&self, name: &str, text: &str) {
        let directory = self.nodes_directory();
        fs::create_dir_all(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        let file = self.node_file(name);
        fs::write(&file, text).unwrap();
        service::make_readable(&file);
    }

    /// Writes the file of a node at this address.
    pub fn list_node(&self, name: &str, address: SocketAddr) {
        let (ip, port) = (address.ip(), address.port());
        let text = format!("name = '{name}'\naddress = '{ip}'\nport = {port}\n");
        self.write_node(name, &text);
    }

    /// Adds a line to the daemon's `known_hosts`, as an operator does.
    pub fn trust(&self, line: &str) {
        service::make_private(&self.ssh_dir());
        append(&self.known_hosts(), &format!("{line}\n"));
        service::make_readable(&self.known_hosts());
    }

    /// The daemon's `known_hosts`.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.ssh_dir().join("known_hosts")
    }

    /// The daemon's public key, which it makes at its first start.
    #[must_use]
    pub fn public_key(&self) -> String {
        fs::read_to_string(self.ssh_dir().join("id_ed25519.pub"))
            .unwrap()
            .trim_end()
            .to_owned()
    }
}

/// The records in a text, without a last line that is being written.
fn records_in(text: &str) -> Vec<Value> {
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn append(file: &Path, text: &str) {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).open(file);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

/// A loopback address on which nothing listens. All of 127/8 is local, so each test process
/// has an address of its own and counts its ports. Asking the kernel for a free port and
/// using it later would be a race.
#[must_use]
pub fn unused_address() -> SocketAddr {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(20_000);
    // A process id has at most 22 bits (PID_MAX_LIMIT).
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    (
        // Apart from 127.0.0.1, and from 127.0.1.1, which Debian gives the host's own name.
        Ipv4Addr::new(127, 64 | (high & 0x3f), middle, low),
        NEXT_PORT.fetch_add(1, Ordering::Relaxed),
    )
        .into()
}
