//! The daemon in a container, as `docs/hardening.md` says: the image that
//! `packaging/container` makes, under Debian's podman and runc, with the daemon's
//! directories as volumes.
//!
//! The engine's own state is in a directory of the test's, so nothing stays behind
//! and several tests may run at once. The container has the host's network: there
//! the nodes and the tests are, on loopback.

use crate::config::Config;
use crate::daemon::Daemon;
use crate::home::Home;
use crate::programs::{self, Need};
use crate::wait;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// What makes an image and runs a container, and users that files can be given to.
pub const NEEDS: [Need; 5] = [
    Need::NoUnit("a container holds it"),
    Need::Root,
    Need::Program("buildah"),
    Need::Program("podman"),
    Need::Program("runc"),
];

/// How a container is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// As the documentation says.
    Documented,
    /// So that nothing but the filter stops anything.
    FilterAlone,
}

/// A volume: as the daemon sees it, and whether it may only be read.
pub type Volume = (&'static str, &'static str);

impl Setting {
    /// The options of `podman run`, but for the filter and the volumes.
    #[must_use]
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Documented => &[
                "--read-only",
                "--cap-drop=all",
                "--security-opt=no-new-privileges",
            ],
            Self::FilterAlone => &[
                "--cap-add=all",
                // Or runc puts the filter on itself, too early.
                "--security-opt=no-new-privileges",
                "--security-opt=unmask=all",
                "--user=0:0",
            ],
        }
    }

    /// The user and the group that the program is in the container.
    fn user(self) -> u32 {
        match self {
            Self::Documented => SERVICE,
            Self::FilterAlone => 0,
        }
    }

    /// The volumes.
    #[must_use]
    pub fn volumes(self) -> Vec<Volume> {
        match self {
            Self::Documented => VOLUMES.to_vec(),
            Self::FilterAlone => {
                let own = VOLUMES.iter().map(|(place, _)| *place);
                own.chain(FURNITURE).map(|place| (place, "rw")).collect()
            }
        }
    }
}

const VOLUMES: [Volume; 5] = [
    ("/etc/pulse-sensor-proxy", "ro"),
    ("/var/lib/pulse-sensor-proxy", "rw"),
    ("/var/log/pulse/sensor-proxy", "rw"),
    ("/run/pulse-sensor-proxy", "rw"),
    ("/run/pulse-sensor-proxy-admin", "rw"),
];

/// What a host has and the image has not: what is not there cannot be refused.
const FURNITURE: [&str; 4] = ["/bin", "/etc/shadow", "/root", "/tmp"];

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const IMAGE: &str = "pulse-sensor-proxy";
/// The user and the group that the image starts the program as.
const SERVICE: u32 = 995;

/// What every container of a daemon has, besides limits: the host's network.
const ALWAYS: [&str; 4] = [
    "--rm",
    "--network=host",
    "--log-driver=none",
    "--read-only-tmpfs=false",
];

/// Limits that a machine gives which does not let them be raised.
pub(crate) const LIMITS: [&str; 2] = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"];

/// An engine with one image and one daemon's files.
#[derive(Debug)]
pub struct Engine {
    state: TempDir,
    home: Arc<Home>,
    /// What the program needs that is not in the image.
    libraries: Vec<PathBuf>,
}

impl Engine {
    /// Makes an image of this program.
    #[must_use]
    pub fn new(program: &Path) -> Self {
        let state = tempfile::Builder::new().prefix("pulse-oci-").tempdir();
        let engine = Self {
            state: state.unwrap(),
            home: Arc::new(Home::contained()),
            libraries: libraries(program),
        };
        engine.build_image(program);
        for (volume, _) in VOLUMES {
            fs::create_dir_all(engine.home.shown(volume)).unwrap();
        }
        engine.make_furniture();
        engine
    }

    fn make_furniture(&self) {
        for directory in ["/bin", "/root", "/tmp"] {
            fs::create_dir_all(self.home.shown(directory)).unwrap();
        }
        fs::write(self.home.shown("/etc/shadow"), "root:*:::::::\n").unwrap();
        let shell = self.home.shown("/bin/sh");
        fs::write(&shell, "no program\n").unwrap();
        fs::set_permissions(shell, Permissions::from_mode(0o755)).unwrap();
    }

    fn build_image(&self, program: &Path) {
        let context = self.state.path().join("context");
        fs::create_dir(&context).unwrap();
        fs::copy(program, context.join(IMAGE)).unwrap();
        let file = Path::new(REPOSITORY).join("packaging/container/Containerfile");
        let mut build = storing("buildah", self.state.path());
        build.args(["bud", "--isolation=chroot", "--tag", IMAGE, "--file"]);
        let output = build.arg(file).arg(context).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
    }

    /// The daemon's files.
    #[must_use]
    pub fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Every file of the image.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let layers = self.state.path().join("storage/vfs/dir");
        let mut files = Vec::new();
        for layer in fs::read_dir(layers).unwrap() {
            let layer = layer.unwrap().path();
            files.extend(files_below(&layer, &layer));
        }
        files
    }

    /// Starts the daemon in this setting and waits until it serves.
    #[must_use]
    pub fn start(&self, setting: Setting, config: &Config) -> Contained<'_> {
        self.home.write_config(config);
        let user = Some(setting.user());
        for (volume, _) in VOLUMES.iter().filter(|(_, access)| *access == "rw") {
            chown(self.home.shown(volume), user, user).unwrap();
        }
        let name = "daemon";
        let mut command = self.container(name, setting);
        let removal = Removal { engine: self, name };
        let mut daemon = Daemon::spawn(&self.home, command.arg(IMAGE));
        daemon.set_pid(self.pid(name));
        Contained { daemon, removal }
    }

    /// The process of a container that serves. Podman hands signals on as well, but not
    /// from the beginning: one that comes before ends podman alone.
    fn pid(&self, name: &str) -> u32 {
        wait::until_some("the container's process", || {
            let mut inspect = self.podman("inspect");
            inspect.args(["--format={{.State.Pid}}", name]);
            let pid = printed_by(&mut inspect).trim().parse().unwrap();
            (pid != 0).then_some(pid)
        })
    }

    /// Runs the program with other arguments until it ends; gives what it printed.
    ///
    /// # Panics
    /// When it printed nothing.
    #[must_use]
    pub fn run(&self, setting: Setting, arguments: &[&str]) -> String {
        let mut command = self.container("once", setting);
        printed_by(command.arg(IMAGE).args(arguments))
    }

    /// `podman run`, up to the image.
    fn container(&self, name: &str, setting: Setting) -> Command {
        let mut command = self.podman("run");
        command.arg(format!("--name={name}"));
        command.args(ALWAYS).args(LIMITS);
        let filter = Path::new(REPOSITORY).join("security/seccomp/pulse-sensor-proxy.json");
        command.arg(format!("--security-opt=seccomp={}", filter.display()));
        for (volume, access) in setting.volumes() {
            let shown = self.home.shown(volume);
            command.arg(format!("--volume={}:{volume}:{access}", shown.display()));
        }
        for library in &self.libraries {
            let library = library.display();
            command.arg(format!("--volume={library}:{library}:ro"));
        }
        command.args(setting.options());
        command
    }

    fn podman(&self, word: &str) -> Command {
        podman(self.state.path(), word)
    }
}

/// Podman with runc, and its state in this directory.
pub(crate) fn podman(state: &Path, word: &str) -> Command {
    let mut command = storing("podman", state);
    command.arg("--tmpdir").arg(state.join("tmp"));
    command.args(["--events-backend=none", "--runtime=runc"]);
    command.args(["--cgroup-manager=cgroupfs", word]);
    command
}

/// Podman and buildah keep images in the same place.
fn storing(program: &str, state: &Path) -> Command {
    let mut command = Command::new(programs::find(program).unwrap());
    for (option, directory) in [("--root", "storage"), ("--runroot", "run")] {
        command.arg(option).arg(state.join(directory));
    }
    command.arg("--storage-driver=vfs").stdin(Stdio::null());
    command.env_clear().env("PATH", programs::MORE_PLACES);
    command.env("HOME", state);
    command
}

/// A daemon in a container.
#[derive(Debug)]
pub struct Contained<'a> {
    /// The daemon.
    pub daemon: Daemon,
    removal: Removal<'a>,
}

impl Contained<'_> {
    /// Runs the program beside the daemon; gives what it printed.
    ///
    /// # Panics
    /// When it printed nothing.
    #[must_use]
    pub fn exec(&self, arguments: &[&str]) -> String {
        let mut command = self.removal.engine.podman("exec");
        let program = format!("/usr/bin/{IMAGE}");
        printed_by(command.args([self.removal.name, &program]).args(arguments))
    }
}

fn printed_by(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.stdout.is_empty(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A container does not end with the podman that started it.
#[derive(Debug)]
struct Removal<'a> {
    engine: &'a Engine,
    name: &'a str,
}

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        let mut remove = self.engine.podman("rm");
        remove.args(["--force", "--time=0", "--ignore", self.name]);
        // It may be gone already.
        let _ = remove.output();
    }
}

/// The files below a directory, by their names from another.
fn files_below(directory: &Path, from: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let files = entries.flat_map(|entry| match entry.unwrap().path() {
        below if below.is_dir() => files_below(&below, from),
        file => vec![file.strip_prefix(from).unwrap().to_owned()],
    });
    files.collect()
}

/// What the dynamic loader would load, and itself; nothing for a static program.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new(programs::find("ldd").unwrap())
        .arg(program)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}
