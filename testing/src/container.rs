//! The daemon in a container as `docs/hardening.md` documents it: the image of
//! `packaging/container`, under Debian's podman and runc, with the daemon's directories as
//! volumes.
//!
//! The engine's state is in a temporary directory, so nothing remains and tests can run in
//! parallel. The container uses the host's network, where the nodes and the tests are.

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

/// The prerequisites of making an image and running a container.
pub const NEEDS: [Need; 5] = [
    Need::NoUnit("the daemon runs in a container"),
    Need::Root,
    Need::Program("buildah"),
    Need::Program("podman"),
    Need::Program("runc"),
];

/// The way a container is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// With the documented options.
    Documented,
    /// With every other restriction lifted, so that only the seccomp filter applies.
    FilterAlone,
}

/// A volume: its path in the container, and `ro` or `rw`.
pub type Volume = (&'static str, &'static str);

impl Setting {
    /// The options of `podman run`, without the filter and the volumes.
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
                // Without it runc installs the filter before it has set up the container.
                "--security-opt=no-new-privileges",
                "--security-opt=unmask=all",
                "--user=0:0",
            ],
        }
    }

    /// The program's user and group in the container.
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
            Self::FilterAlone => VOLUMES
                .iter()
                .map(|(path, _)| *path)
                .chain(HOST_FILES)
                .map(|path| (path, "rw"))
                .collect(),
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

/// Files of a host that the image does not have: access to a missing file is not denied.
const HOST_FILES: [&str; 4] = ["/bin", "/etc/shadow", "/root", "/tmp"];

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const IMAGE: &str = "pulse-sensor-proxy";
/// The user and group of the image.
const SERVICE: u32 = 995;

/// Options of every container of a daemon.
const COMMON_OPTIONS: [&str; 4] = [
    "--rm",
    "--network=host",
    "--log-driver=none",
    "--read-only-tmpfs=false",
];

/// Limits that work where the engine may not raise its own.
pub(crate) const LIMITS: [&str; 2] = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"];

/// An engine with one image and the files of one daemon.
#[derive(Debug)]
pub struct Engine {
    state: TempDir,
    home: Arc<Home>,
    /// Shared libraries of the program; the image has none.
    libraries: Vec<PathBuf>,
}

impl Engine {
    /// Makes an image with this program.
    #[must_use]
    pub fn new(program: &Path) -> Self {
        let state = tempfile::Builder::new().prefix("pulse-oci-").tempdir();
        let ldd = Command::new(programs::find("ldd").unwrap())
            .arg(program)
            .output()
            .unwrap();
        let engine = Self {
            state: state.unwrap(),
            home: Arc::new(Home::contained()),
            // Lines such as `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`; none for a
            // static program.
            libraries: str::from_utf8(&ldd.stdout)
                .unwrap()
                .split_whitespace()
                .filter(|word| word.starts_with('/'))
                .map(PathBuf::from)
                .collect(),
        };
        let context = engine.state.path().join("context");
        fs::create_dir(&context).unwrap();
        fs::copy(program, context.join(IMAGE)).unwrap();
        let file = Path::new(REPOSITORY).join("packaging/container/Containerfile");
        let mut build = storing("buildah", engine.state.path());
        // chroot(2) instead of a container for each step of the file (buildah-build(1)).
        build.args(["bud", "--isolation=chroot", "--tag", IMAGE, "--file"]);
        programs::assert_success("buildah", &build.arg(file).arg(context).output().unwrap());
        for (volume, _) in VOLUMES {
            fs::create_dir_all(engine.home.host_path(volume)).unwrap();
        }
        for directory in ["/bin", "/root", "/tmp"] {
            fs::create_dir_all(engine.home.host_path(directory)).unwrap();
        }
        fs::write(engine.home.host_path("/etc/shadow"), "root:*:::::::\n").unwrap();
        let shell = engine.home.host_path("/bin/sh");
        fs::write(&shell, "no program\n").unwrap();
        fs::set_permissions(shell, Permissions::from_mode(0o755)).unwrap();
        engine
    }

    /// The daemon's files.
    #[must_use]
    pub fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// The files of the image.
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

    /// Starts the daemon and waits until it serves.
    #[must_use]
    pub fn start(&self, setting: Setting, config: &Config) -> ContainerDaemon<'_> {
        self.home.write_config(config);
        let user = Some(setting.user());
        for (volume, _) in VOLUMES.iter().filter(|(_, access)| *access == "rw") {
            chown(self.home.host_path(volume), user, user).unwrap();
        }
        let name = "daemon";
        let mut command = self.container(name, setting);
        let removal = Removal { engine: self, name };
        let mut daemon = Daemon::spawn(&self.home, command.arg(IMAGE));
        daemon.set_pid(self.pid(name));
        ContainerDaemon { daemon, removal }
    }

    /// The process id of a container. Podman forwards signals, but one that arrives before it
    /// is ready to ends podman alone.
    fn pid(&self, name: &str) -> u32 {
        wait::until_some("the container's process", || {
            let mut inspect = self.podman("inspect");
            inspect.args(["--format={{.State.Pid}}", name]);
            let pid = output_of(&mut inspect).trim().parse().unwrap();
            // 0 until podman has started it.
            (pid != 0).then_some(pid)
        })
    }

    /// Runs the program with other arguments and returns its output.
    ///
    /// # Panics
    /// When it prints nothing.
    #[must_use]
    pub fn run(&self, setting: Setting, arguments: &[&str]) -> String {
        let mut command = self.container("once", setting);
        output_of(command.arg(IMAGE).args(arguments))
    }

    /// `podman run`, without the image.
    fn container(&self, name: &str, setting: Setting) -> Command {
        let mut command = self.podman("run");
        command.arg(format!("--name={name}"));
        command.args(COMMON_OPTIONS).args(LIMITS);
        command.arg(format!(
            "--security-opt=seccomp={REPOSITORY}/security/seccomp/pulse-sensor-proxy.json"
        ));
        for (volume, access) in setting.volumes() {
            let host_path = self.home.host_path(volume);
            command.arg(format!(
                "--volume={}:{volume}:{access}",
                host_path.display()
            ));
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

/// Podman with runc and its state in this directory.
pub(crate) fn podman(state: &Path, word: &str) -> Command {
    let mut command = storing("podman", state);
    command.arg("--tmpdir").arg(state.join("tmp"));
    command.args(["--events-backend=none", "--runtime=runc"]);
    command.args(["--cgroup-manager=cgroupfs", word]);
    command
}

/// Podman or buildah, which share a store of images.
fn storing(program: &str, state: &Path) -> Command {
    let mut command = Command::new(programs::find(program).unwrap());
    for (option, directory) in [("--root", "storage"), ("--runroot", "run")] {
        command.arg(option).arg(state.join(directory));
    }
    command.arg("--storage-driver=vfs").stdin(Stdio::null());
    command.env_clear().env("PATH", programs::SYSTEM_PATH);
    command.env("HOME", state);
    command
}

/// A daemon in a container.
#[derive(Debug)]
pub struct ContainerDaemon<'a> {
    /// The daemon.
    pub daemon: Daemon,
    removal: Removal<'a>,
}

impl ContainerDaemon<'_> {
    /// Runs the program in the daemon's container and returns its output.
    ///
    /// # Panics
    /// When it prints nothing.
    #[must_use]
    pub fn exec(&self, arguments: &[&str]) -> String {
        let mut command = self.removal.engine.podman("exec");
        command.args([self.removal.name, &format!("/usr/bin/{IMAGE}")]);
        output_of(command.args(arguments))
    }
}

fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        !output.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Removes the container when dropped: it does not end with the podman that started it.
#[derive(Debug)]
struct Removal<'a> {
    engine: &'a Engine,
    name: &'a str,
}

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        let mut remove = self.engine.podman("rm");
        remove.args(["--force", "--time=0", "--ignore", self.name]);
        // It may have been removed already.
        let _ = remove.output();
    }
}

/// The files below a directory, relative to another one.
fn files_below(directory: &Path, from: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory)
        .unwrap()
        .flat_map(|entry| match entry.unwrap().path() {
            below if below.is_dir() => files_below(&below, from),
            file => vec![file.strip_prefix(from).unwrap().to_owned()],
        })
        .collect()
}
