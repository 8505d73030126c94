//! Container engines from Debian's packages, with root in their containers as a caller.
//!
//! Each engine has its state, its sockets and its configuration in a temporary directory,
//! and a mount namespace with its own `/run`, so that none of its mounts remains. A
//! container has this machine's `/usr`, read-only, and the directories of callers' sockets;
//! it needs no downloaded image and no network.

mod containers;
mod mount_namespace;
mod servers;

use crate::control_group;
use crate::home::Home;
use crate::programs::{self, Need};
use crate::python;
use crate::wait;
use mount_namespace::MountNamespace;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// A kind of container engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// Podman with runc.
    Podman,
    /// Docker's daemon and client, with containerd.
    Docker,
    /// containerd with its own client, `ctr`.
    Containerd,
    /// LXC alone, without LXD or Proxmox VE.
    Lxc,
    /// systemd-nspawn without a service manager.
    Nspawn,
}

/// Pid and cgroup namespaces of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// Its own, the engines' default.
    Own,
    /// The host's.
    Host,
}

impl Namespaces {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Own, Self::Host];
}

const CGROUPS: &str = "the engine needs the control groups of a whole machine";

impl EngineKind {
    /// The prerequisites of its tests.
    #[must_use]
    pub fn needs(self) -> Vec<Need> {
        let programs: &[&'static str] = match self {
            Self::Podman => &["podman", "runc"],
            Self::Docker => &["dockerd", "containerd", "runc"],
            Self::Containerd => &["containerd", "ctr", "runc"],
            Self::Lxc => &["lxc-execute"],
            Self::Nspawn => &["systemd-nspawn"],
        };
        let mut needs = vec![Need::Root, Need::Program("python3")];
        // nspawn makes its groups below the tests' own group, which a container has too.
        if self != Self::Nspawn {
            needs.extend([Need::NoUnit(CGROUPS), Need::ControlGroups]);
        }
        needs.extend(programs.iter().map(|name| Need::Program(name)));
        // The client is a separate package from Debian 13 on.
        if self == Self::Docker {
            needs.push(Need::Optional("docker"));
        }
        needs
    }
}

/// The responses that root in a container received.
#[derive(Debug)]
pub struct ContainerAnswers {
    /// For each socket, the response to each request.
    pub answers: Vec<Vec<Value>>,
    /// The paths of control sockets that exist in the container.
    pub control_sockets: Value,
    /// The control group that the engine made for the container; none for nspawn.
    pub group: Option<String>,
}

/// A running engine; its processes, mounts and groups are removed when it is dropped.
#[derive(Debug)]
pub struct ContainerEngine {
    kind: EngineKind,
    /// Its name is in the arguments of each process of the engine and its containers: this
    /// is how they are found and killed.
    directory: TempDir,
    mounts: MountNamespace,
    servers: Vec<Child>,
    /// Control groups to remove.
    groups: Vec<String>,
}

/// Ten seconds in total.
const KILL_ATTEMPTS: u32 = 2_000;
const KILL_PAUSE: Duration = Duration::from_millis(5);

/// The image that Docker imports.
const IMAGE: &str = "pulse";

/// Mount points in a container of the directories of callers' sockets.
const SOCKET_MOUNTS: [&str; 2] = ["/mnt/pulse-proxy", "/mnt/pulse-proxy-2"];

impl ContainerEngine {
    /// Starts an engine and waits until it serves.
    #[must_use]
    pub fn start(kind: EngineKind) -> Self {
        let directory = tempfile::Builder::new().prefix("pulse-engine-").tempdir();
        // Groups that the engine makes for all of its containers and does not remove. Those of
        // podman are not listed: concurrent tests may be using them.
        let mut groups = match kind {
            EngineKind::Podman => Vec::new(),
            EngineKind::Docker => vec!["docker".to_owned()],
            EngineKind::Containerd => vec!["default".to_owned()],
            EngineKind::Lxc => vec!["lxc.pivot".to_owned()],
            EngineKind::Nspawn => {
                let own = control_group::own();
                vec![format!("{own}/payload"), format!("{own}/supervisor")]
            }
        };
        // A group that exists already belongs to the host.
        groups.retain(|group| control_group::is_absent(group));
        let mut engine = Self {
            kind,
            directory: directory.unwrap(),
            mounts: MountNamespace::new(),
            servers: Vec::new(),
            groups,
        };
        // A container's root directory: mount points, and links into `/usr`.
        let root = engine.path("root");
        for directory in ["dev", "etc", "mnt", "proc", "run", "sys", "tmp", "usr"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for link in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{link}"), root.join(link)).unwrap();
        }
        match kind {
            EngineKind::Podman | EngineKind::Nspawn => {}
            EngineKind::Lxc => fs::create_dir(engine.path("lxc")).unwrap(),
            EngineKind::Containerd => engine.start_containerd(),
            EngineKind::Docker => {
                engine.start_containerd();
                engine.start_docker();
            }
        }
        engine
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// The path of a file as text, as options and configurations take it.
    fn text(&self, below: &str) -> String {
        self.path(below).to_str().unwrap().to_owned()
    }

    fn name(&self) -> &str {
        self.directory.path().file_name().unwrap().to_str().unwrap()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(programs::find(program).unwrap());
        command.env_clear().env("PATH", programs::SYSTEM_PATH);
        command.env("HOME", self.directory.path()).current_dir("/");
        command
    }

    /// Runs a program of the engine to its end and returns its output.
    fn finish(&self, command: &mut Command) -> String {
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.mounts.spawn(command);
        let program = command.get_program().display();
        // Its output fits a pipe, so it can end before anybody reads.
        let status = wait::until_some(&format!("{program} to end"), || child.try_wait().unwrap());
        let output = child.wait_with_output().unwrap();
        programs::assert_success(format_args!("{program}: {status}"), &output);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Sends these requests from a container to the callers' sockets in these homes.
    ///
    /// # Panics
    /// When the container does not run, or its user is not root.
    #[must_use]
    pub fn ask(
        &mut self,
        namespaces: Namespaces,
        homes: &[&Home],
        requests: &[Value],
    ) -> ContainerAnswers {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let name = format!("{}-{}", self.name(), NEXT.fetch_add(1, Ordering::Relaxed));
        let sockets: Vec<_> = homes.iter().map(|home| home.socket()).collect();
        let sockets = || sockets.iter().zip(SOCKET_MOUNTS);
        let mounts: Vec<_> = sockets()
            .map(|(socket, place)| (socket.parent().unwrap(), place))
            .collect();
        let seen =
            sockets().map(|(socket, place)| Path::new(place).join(socket.file_name().unwrap()));
        let controls = homes.iter().map(|home| home.control_socket());
        let usual = "/run/pulse-sensor-proxy-admin/control.sock".into();
        let task = json!({
            "sockets": seen.collect::<Vec<_>>(),
            "requests": requests,
            "paths": controls.chain([usual]).collect::<Vec<PathBuf>>(),
        });
        let mut command = self.container(namespaces, &name, &mounts);
        command.args(["/usr/bin/python3", "-I", "-c", python::CONTAINED]);
        command.args([&name, &task.to_string()]);
        // Noted before the container starts, so that they are removed after any failure.
        match self.kind {
            EngineKind::Containerd => self.groups.insert(0, format!("default/{name}")),
            EngineKind::Lxc => {
                self.groups.insert(0, format!("lxc.monitor.{name}"));
                self.groups.insert(0, format!("lxc.payload.{name}"));
            }
            EngineKind::Podman | EngineKind::Docker | EngineKind::Nspawn => {}
        }
        let report: Value = serde_json::from_str(&self.finish(&mut command)).unwrap();
        assert_eq!(report["uid"], 0, "{report}");
        ContainerAnswers {
            answers: serde_json::from_value(report["answers"].clone()).unwrap(),
            control_sockets: report["there"].clone(),
            group: self.group(&name),
        }
    }

    /// The control group of a container that has run.
    fn group(&self, name: &str) -> Option<String> {
        let id = || fs::read_to_string(self.id_file(name)).unwrap();
        match self.kind {
            EngineKind::Podman => Some(format!("libpod_parent/libpod-{}", id())),
            EngineKind::Docker => Some(format!("docker/{}", id())),
            EngineKind::Containerd => Some(format!("default/{name}")),
            EngineKind::Lxc => Some(format!("lxc.payload.{name}")),
            EngineKind::Nspawn => None,
        }
    }

    /// Running processes of the engine: servers, shims, monitors and containers.
    fn processes(&self) -> Vec<Pid> {
        let name = self.name().as_bytes();
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                let id = entry.file_name().to_str()?.parse().ok()?;
                // A zombie has no arguments.
                fs::read(entry.path().join("cmdline"))
                    .ok()?
                    .windows(name.len())
                    .any(|part| part == name)
                    .then_some(Pid::from_raw(id))
            })
            .collect()
    }
}

impl Drop for ContainerEngine {
    fn drop(&mut self) {
        // A killed process may just have started another, so this repeats. It gives up after
        // ten seconds and does not panic: a test may be panicking already.
        for _ in 0..KILL_ATTEMPTS {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for process in left {
                // It may have ended in between.
                let _ = kill(process, Signal::SIGKILL);
            }
            thread::sleep(KILL_PAUSE);
        }
        for server in &mut self.servers {
            let _ = server.wait();
        }
        // Each file `NAME.id` stands for a container. Groups of podman and Docker have its ID in
        // their names.
        for file in fs::read_dir(self.directory.path()).into_iter().flatten() {
            let path = file.map(|file| file.path()).unwrap_or_default();
            let name = path.file_stem().and_then(|name| name.to_str());
            if let (Some("id"), Some(name)) = (path.extension().and_then(|e| e.to_str()), name) {
                self.groups.splice(0..0, self.group(name));
            }
        }
        for group in &self.groups {
            control_group::remove(group);
        }
    }
}
