//! Audit logs as the daemon writes them, and hands that change them.

use super::{Run, control};
use pulse_audit::{
    Body, Directory, LIVE, Log, PruneStatus, PruneStep, PublicKey, Settings, Timestamp,
};
use pulse_core::audit_log::retention::Limits;
use pulse_core::callers::capability::Capabilities;
use pulse_core::callers::limiter::Refusal;
use pulse_core::callers::peer::{Credentials, Peer, PeerId};
use pulse_core::event::{Access, Event, Exchange, RequestId, Suppressed};
use pulse_core::nodes::name::NodeName;
use pulse_core::rpc::Retry;
use pulse_sensors::command::NodeCommand;
use std::fs;
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A directory with a log, its private directory and what is copied from them.
pub(crate) struct Home {
    directory: TempDir,
    pub(crate) key: PublicKey,
}

/// A log that is open for writing, at a time of its own.
pub(crate) struct Open {
    open: Option<Log<Directory>>,
    state: PathBuf,
    pub(crate) now: Timestamp,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.open = None;
        wait_until_free(&self.state);
    }
}

/// A program that another test starts just now has our lock until it is itself.
fn wait_until_free(state: &Path) {
    let file = format!(":{} ", fs::metadata(state).unwrap().ino());
    let is_locked = || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        let mut locks = locks.lines();
        locks.any(|lock| lock.contains("FLOCK") && lock.contains(&file))
    };
    while is_locked() {
        std::thread::yield_now();
    }
}

impl Home {
    /// A log that is just begun, and is not written.
    pub(crate) fn begun() -> Self {
        Self::begun_at(Timestamp::now())
    }

    pub(crate) fn begun_at(now: Timestamp) -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("log")).unwrap();
        let key = Open::at(directory.path(), now).log().public_key();
        Self { directory, key }
    }

    /// A sealed log of three segments, with two readings in each. The records of
    /// a reading have the ids `first-<segment>` and `second-<segment>`.
    pub(crate) fn sample() -> Self {
        let home = Self::begun();
        let mut open = home.open();
        for segment in 0..3 {
            open.reading("pve1", &format!("first-{segment}"));
            open.seal();
            open.reading("pve2", &format!("second-{segment}"));
            open.seal();
            if segment < 2 {
                open.rotate();
            }
        }
        home
    }

    pub(crate) fn open(&self) -> Open {
        self.open_at(Timestamp::now())
    }

    pub(crate) fn open_at(&self, now: Timestamp) -> Open {
        Open::at(self.directory.path(), now)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path("log")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn live(&self) -> PathBuf {
        self.log().join(LIVE)
    }

    /// All files of the log, in their order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut names: Vec<PathBuf> = fs::read_dir(self.log())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path != &self.live())
            .collect();
        names.sort();
        names.push(self.live());
        names
    }

    /// The same in one.
    pub(crate) fn joined(&self) -> Vec<u8> {
        let files = self.files().into_iter();
        files.flat_map(|path| fs::read(path).unwrap()).collect()
    }

    /// The epoch of the one private key that there is.
    pub(crate) fn epoch(&self) -> u64 {
        let names = fs::read_dir(self.state()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut epochs = names.filter_map(|name| name.strip_prefix("seal-key-")?.parse().ok());
        let epoch = epochs.next().unwrap();
        assert!(epochs.next().is_none());
        epoch
    }

    /// An audit command, about this log.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = control();
        let (name, rest) = arguments.split_first().unwrap();
        command.args(["audit", name, "--log"]).arg(self.live());
        // The others are refused the option, since they do not use the directory.
        if ["accept-loss", "init", "verify", "rotate"].contains(name) {
            command.arg("--state-dir").arg(self.state());
        }
        command.args(rest);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.command(arguments).output().unwrap().into()
    }

    pub(crate) fn verify(&self, arguments: &[&str]) -> Run {
        let key = self.key.to_string();
        self.run(&[&["verify", "--key", &key], arguments].concat())
    }
}

impl Open {
    fn at(home: &Path, now: Timestamp) -> Self {
        let storage = Directory::lock(&home.join("log"), &home.join("state")).unwrap();
        let settings = Settings {
            host: "host1".to_owned(),
            ..Settings::default()
        };
        Self {
            open: Some(Log::open(storage, settings, now).unwrap()),
            state: home.join("state"),
            now,
        }
    }

    fn log(&mut self) -> &mut Log<Directory> {
        self.open.as_mut().unwrap()
    }

    /// The number of the last record.
    pub(crate) fn seq(&mut self) -> u64 {
        self.log().head().seq
    }

    pub(crate) fn seal(&mut self) {
        let now = self.now;
        self.log().seal(now).unwrap();
    }

    pub(crate) fn rotate(&mut self) {
        let now = self.now;
        self.log().rotate(now).unwrap();
    }

    /// Removes the oldest segment, as the daemon does.
    pub(crate) fn prune(&mut self) {
        let (now, limits) = (
            self.now,
            Limits {
                bytes: Some(1),
                ..Limits::default()
            },
        );
        loop {
            match self.log().prune_status(now, &limits, &[]).unwrap() {
                PruneStatus::Reading => (),
                PruneStatus::Due(reason) => {
                    if let PruneStep::Removed(_) = self.log().prune(now, reason).unwrap() {
                        return;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Writes a record, a millisecond later.
    pub(crate) fn write(&mut self, event: &Event<'_>) {
        let now = self.now.plus(Duration::from_millis(1));
        self.now = now;
        self.log().append(now, &[Body::of(event)]).unwrap();
    }

    /// Both records of a reading that worked.
    pub(crate) fn reading(&mut self, node: &str, id: &str) {
        self.start(node, id);
        let exchange = exchange();
        let (node, peer) = (NodeName::parse(node).unwrap(), peer());
        self.write(&Event::CommandFinish {
            request: RequestId {
                correlation_id: id,
                peer: &peer,
            },
            node: &node,
            duration: Duration::from_micros(12_034),
            outcome: Ok(&exchange),
        });
    }

    pub(crate) fn start(&mut self, node: &str, id: &str) {
        let (node, peer) = (NodeName::parse(node).unwrap(), peer());
        self.write(&Event::CommandStart {
            request: RequestId {
                correlation_id: id,
                peer: &peer,
            },
            node: &node,
            retry: Retry::WhenDue,
        });
    }

    /// A caller is refused, for the 42nd time.
    pub(crate) fn refusal(&mut self) {
        self.write(&Event::Access {
            access: Access::Limited(Refusal::Rate),
            peer: &peer(),
            suppressed: NonZeroU64::new(41).map(|count| Suppressed { count, peers: None }),
        });
    }

    /// An error that would drive a terminal.
    pub(crate) fn hostile_error(&mut self) {
        self.write(&Event::ConfigReloaded {
            error: Some("it\u{1b}[2J\u{9b}31m\u{202e}said"),
        });
    }
}

pub(crate) fn peer() -> Peer {
    let (uid, gid, pid) = (1000, 1001, 4242);
    Peer {
        credentials: Credentials { uid, gid, pid },
        id: PeerId::Uid(uid),
        container: None,
        capabilities: Capabilities::read_only(),
    }
}

pub(crate) fn exchange() -> Exchange {
    Exchange {
        address: "192.0.2.7:22".to_owned(),
        host_key: "SHA256:uvOxn+FzSVQUbEoYjF7iTFQCCNXFmBNgsTLvm5H0f2A".to_owned(),
        command: NodeCommand::SensorsJson,
        exit_code: Some(0),
        stdout_sha256: [0xab; 32],
        stdout_bytes: 3071,
    }
}

/// Changes one line of a file.
pub(crate) fn edit(path: &Path, line: usize, change: impl FnOnce(&str) -> String) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[line] = change(&lines[line]);
    fs::write(path, lines.join("\n") + "\n").unwrap();
}
