//! Container engines from Debian's packages, with root in their containers as a caller.
//!
//! Each engine has its state, its sockets and its configuration in a temporary directory,
//! and a mount namespace with its own `/run`, so that none of its mounts remains. A
//! container has this machine's `/usr`, read-only, and the directories of callers' sockets;
//! it needs no downloaded image and no network.

use crate::container;
use crate::control_group;
use crate::home::Home;
use crate::programs::{self, Need};
use crate::python;
use crate::wait;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
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

/// A mount namespace with its own `/run`.
#[derive(Debug)]
struct MountNamespace(File);

impl MountNamespace {
    fn new() -> Self {
        // A separate thread, because unshare(2) changes the calling thread's namespace.
        let enter = || {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            // Private first: the mount over `/run` must not reach the host's namespace.
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            let (tmpfs, flags) = (Some("tmpfs"), MsFlags::empty());
            mount(tmpfs, "/run", tmpfs, flags, Some("mode=755")).unwrap();
            Self(File::open("/proc/thread-self/ns/mnt").unwrap())
        };
        thread::scope(|scope| scope.spawn(enter).join().unwrap())
    }

    fn spawn(&self, command: &mut Command) -> Child {
        let enter = || {
            // setns(2) requires a thread that shares no file system attributes with others.
            unshare(CloneFlags::CLONE_FS).unwrap();
            setns(&self.0, CloneFlags::CLONE_NEWNS).unwrap();
            command.spawn().unwrap()
        };
        thread::scope(|scope| scope.spawn(enter).join().unwrap())
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

    fn start_containerd(&mut self) {
        let config = self.path("containerd.toml");
        let (root, state) = (self.text("containerd"), self.text("containerd-state"));
        let socket = self.text("containerd.sock");
        // The CRI plugin, which serves Kubernetes, needs a network.
        let text = format!(
            "version = 2\nroot = {root:?}\nstate = {state:?}\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri']\n\
             [grpc]\naddress = {socket:?}\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = self.command("containerd");
        command.arg("--config").arg(config);
        self.serve(command, "containerd");
    }

    /// Starts Docker's daemon and imports an image, which `docker run` requires.
    fn start_docker(&mut self) {
        // Replaces /etc/docker/daemon.json, the host's configuration.
        fs::write(self.path("docker.json"), "{}").unwrap();
        let mut command = self.command("dockerd");
        for (option, below) in [
            ("config-file", "docker.json"),
            ("containerd", "containerd.sock"),
            ("data-root", "docker"),
            ("exec-root", "docker-exec"),
            ("pidfile", "docker.pid"),
        ] {
            command.arg(format!("--{option}={}", self.text(below)));
        }
        command.arg(format!("--host=unix://{}", self.text("docker.sock")));
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
        command.args(["--storage-driver=vfs", "--group=root"]);
        self.serve(command, "docker");
        let archive = self.path("image.tar");
        let mut tar = self.command("tar");
        tar.arg("--create").arg("--file").arg(&archive);
        tar.arg("--directory").arg(self.path("root")).arg(".");
        self.finish(&mut tar);
        let mut import = self.docker("import");
        self.finish(import.arg(archive).arg(IMAGE));
    }

    /// Starts a server and waits until its socket is open.
    fn serve(&mut self, mut command: Command, name: &str) {
        let log = self.path(&format!("{name}.log"));
        let file = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = self.mounts.spawn(command.stderr(file));
        let socket = self.path(&format!("{name}.sock"));
        wait::until(&format!("{name} to serve"), || {
            if let Some(status) = child.try_wait().unwrap() {
                let log = fs::read_to_string(&log).unwrap();
                panic!("{name} ended at once ({status}):\n{log}");
            }
            UnixStream::connect(&socket).is_ok()
        });
        self.servers.push(child);
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

    /// The command that runs a container, up to the program in it.
    fn container(&self, namespaces: Namespaces, name: &str, mounts: &[(&Path, &str)]) -> Command {
        match self.kind {
            EngineKind::Podman => {
                let mut command = container::podman(self.directory.path(), "run");
                command.args(container::LIMITS).arg("--log-driver=none");
                self.add_oci_options(&mut command, namespaces, name, mounts);
                command.arg("--rootfs").arg(self.path("root"));
                command
            }
            EngineKind::Docker => {
                let mut command = self.docker("run");
                self.add_oci_options(&mut command, namespaces, name, mounts);
                command.arg(IMAGE);
                command
            }
            EngineKind::Containerd => self.ctr(namespaces, name, mounts),
            EngineKind::Lxc => self.lxc(namespaces, name, mounts),
            EngineKind::Nspawn => self.nspawn(namespaces, name, mounts),
        }
    }

    fn docker(&self, word: &str) -> Command {
        let mut command = self.command("docker");
        command.arg(format!("--host=unix://{}", self.text("docker.sock")));
        command.arg(word);
        command
    }

    /// The options of `run` that podman and Docker have in common.
    fn add_oci_options(
        &self,
        command: &mut Command,
        namespaces: Namespaces,
        name: &str,
        mounts: &[(&Path, &str)],
    ) {
        command.args(["--rm", "--network=none", "--volume=/usr:/usr:ro"]);
        command.arg(format!("--name={name}"));
        command.arg(format!("--cidfile={}", self.id_file(name).display()));
        match namespaces {
            Namespaces::Own => command.arg("--cgroupns=private"),
            Namespaces::Host => command.args(["--pid=host", "--cgroupns=host"]),
        };
        for (source, place) in mounts {
            command.arg(format!("--volume={}:{place}", source.display()));
        }
    }

    fn id_file(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.id"))
    }

    fn ctr(&self, namespaces: Namespaces, name: &str, mounts: &[(&Path, &str)]) -> Command {
        let mut command = self.command("ctr");
        command.args(["--address", &self.text("containerd.sock"), "run", "--rm"]);
        // An empty path stands for a new namespace.
        let of_host = |kind| match namespaces {
            Namespaces::Own => String::new(),
            Namespaces::Host => format!("/proc/{}/ns/{kind}", std::process::id()),
        };
        for kind in ["pid", "cgroup"] {
            command.arg("--with-ns");
            command.arg(format!("{kind}:{}", of_host(kind)));
        }
        let usr = (Path::new("/usr"), "/usr");
        for ((source, place), access) in [(&usr, "ro")]
            .into_iter()
            .chain(mounts.iter().map(|mount| (mount, "rw")))
        {
            let source = source.display();
            command.arg("--mount").arg(format!(
                "type=bind,src={source},dst={place},options=rbind:{access}"
            ));
        }
        command.arg("--rootfs").arg(self.path("root")).arg(name);
        command
    }

    fn lxc(&self, namespaces: Namespaces, name: &str, mounts: &[(&Path, &str)]) -> Command {
        let mut config = format!(
            "lxc.rootfs.path = dir:{}\n\
             lxc.net.0.type = none\n\
             lxc.autodev = 0\n\
             lxc.mount.entry = proc proc proc nosuid,nodev,noexec 0 0\n\
             lxc.mount.entry = /dev/null dev/null none bind,create=file 0 0\n\
             lxc.mount.entry = /usr usr none bind,ro 0 0\n",
            self.text("root")
        );
        for (source, place) in mounts {
            let (source, place) = (source.display(), place.trim_start_matches('/'));
            config += &format!("lxc.mount.entry = {source} {place} none bind,create=dir 0 0\n");
        }
        if namespaces == Namespaces::Host {
            // Namespaces that are not listed are made anew, a user namespace included.
            config += "lxc.namespace.keep = pid cgroup user net\n";
        }
        let file = self.path(&format!("{name}.conf"));
        fs::write(&file, config).unwrap();
        let mut command = self.command("lxc-execute");
        command.args(["--lxcpath", &self.text("lxc"), "--name", name]);
        command.arg("--rcfile").arg(file).arg("--");
        command
    }

    fn nspawn(&self, namespaces: Namespaces, name: &str, mounts: &[(&Path, &str)]) -> Command {
        let mut command = self.command("systemd-nspawn");
        command.args(["--quiet", "--register=no", "--keep-unit", "--pipe"]);
        command.args(["--settings=no", "--link-journal=no"]);
        command.args(["--resolv-conf=off", "--timezone=off", "--bind-ro=/usr"]);
        command.arg(format!("--machine={name}"));
        command.arg(format!("--directory={}", self.text("root")));
        // These variables make it share namespaces; systemd-nspawn(1) has no option for it.
        let (shared, own) = match namespaces {
            Namespaces::Own => ("0", "1"),
            Namespaces::Host => ("1", "0"),
        };
        command.env("SYSTEMD_NSPAWN_SHARE_NS_PID", shared);
        // Otherwise it mounts v1 hierarchies, which the host may not have.
        command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
        command.env("SYSTEMD_NSPAWN_USE_CGNS", own);
        for (source, place) in mounts {
            command.arg(format!("--bind={}:{place}", source.display()));
        }
        command
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
