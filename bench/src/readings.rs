//! Readings of real sshd: through the socket, and as they would be made without
//! the daemon. Reading alone is measured on a daemon that records nothing, so that
//! its figure does not hang on the disk; a whole reading on the one that is shipped,
//! with two durable records.
//!
//! Each kind is measured in turns with the others, so that a machine that is
//! slower for a while is slower for all of them.

use crate::Effort;
use crate::devices;
use crate::measure::Times;
use crate::process::{ended_children_cpu, own_cpu, titled, tree_cpu};
use crate::promise::{
    CPU_VS_MASTER, DURABLE_VS_MASTER, DURABLE_VS_SSH, EXEC_VS_MASTER, HELPER_VS_MASTER,
    HELPER_VS_SSH, STATUS,
};
use crate::report::{Report, rounded};
use pulse_e2e::programs::{self, Need, skipped};
use pulse_e2e::sshd::{helper_command, make_key};
use pulse_e2e::{Config, Daemon, Home, RealNode, SshdOptions};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

const TURNS: usize = 4;

const READ: &[u8] = b"{\"method\":\"get_temperature\",\"params\":{\"node\":\"pve1\"}}\n";
const STATUS_REQUEST: &[u8] = b"{\"method\":\"get_status\"}\n";

/// A node, the daemon that reads it, and ssh that can read it too.
pub(crate) struct Place {
    node: RealNode,
    master: Child,
    _devices: TempDir,
}

impl Place {
    fn with_helper(daemon: &Path) -> Self {
        Self::with_helper_and(daemon, Config::new())
    }

    pub(crate) fn with_helper_and(daemon: &Path, config: Config) -> Self {
        Self::with_helper_in(&Arc::new(Home::new()), daemon, config)
    }

    pub(crate) fn with_helper_in(home: &Arc<Home>, daemon: &Path, config: Config) -> Self {
        let devices = devices::server();
        let command = helper_command(devices.path());
        Self::start(home, daemon, config, &command, devices)
    }

    /// A node whose forced command prints what `sensors -j` printed.
    fn without_helper(daemon: &Path) -> Self {
        let devices = devices::server();
        let file = devices::printed(devices.path(), &["sensors", "-j"]);
        let command = format!("cat {}", file.display());
        let home = Arc::new(Home::new());
        Self::start(&home, daemon, Config::new(), &command, devices)
    }

    fn start(
        home: &Arc<Home>,
        daemon: &Path,
        config: Config,
        command: &str,
        devices: TempDir,
    ) -> Self {
        // The harness waits for the line that sshd logs when it listens.
        let options = SshdOptions {
            lines: vec!["LogLevel INFO".into()],
            ..SshdOptions::default()
        };
        let config = config.set("log_level", "'warn'");
        let node = RealNode::start_program_in(daemon, home, config, &options);
        let home = node.daemon.home();
        make_key(home.ssh_dir().as_path(), "client");
        let client = std::fs::read_to_string(home.ssh_dir().join("client.pub")).unwrap();
        let options = format!("restrict,command=\"{command}\"");
        let keys = format!("{} \n{options} {}", home.public_key(), client.trim());
        node.sshd.authorize(&options, &keys);
        home.trust(&node.sshd.host_key_line("pve1"));
        let master = start_master(&node);
        Self {
            node,
            master,
            _devices: devices,
        }
    }

    /// As Pulse does: connect, one line, one line back. What it does with the
    /// line is its own time.
    pub(crate) fn read(&self) {
        let line = self.ask(READ);
        assert!(line.contains("\\\"sensors\\\":"), "{line}");
    }

    pub(crate) fn daemon(&self) -> &Daemon {
        &self.node.daemon
    }

    fn ask(&self, request: &[u8]) -> String {
        let mut client = self.node.daemon.connect();
        client.send(request);
        client.line()
    }

    fn ssh(&self) -> Command {
        let mut ssh = self
            .node
            .sshd
            .client(&self.node.daemon.home().ssh_dir().join("client"));
        ssh.stderr(Stdio::null());
        ssh
    }

    /// A connection of its own for each reading.
    fn read_by_ssh(&self) {
        run(self.ssh().args(["-S", "none", "pulse-sensor-node read"]));
    }

    /// A session on the connection that is open.
    fn read_by_master(&self) {
        run(self
            .ssh()
            .args(["-S", &control_path(&self.node), "pulse-sensor-node read"]));
    }

    /// Processor time of the node with all its sessions, the daemon, and the ssh
    /// processes that were started here.
    fn cpu(&self) -> f64 {
        let sshd = titled(&self.node.sshd.path("sshd_config"));
        let ours = [sshd, self.node.daemon.pid(), self.master.id()];
        tree_cpu(&ours) + ended_children_cpu()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.master.kill();
        let _ = self.master.wait();
    }
}

fn control_path(node: &RealNode) -> String {
    node.sshd.path("control").display().to_string()
}

fn start_master(node: &RealNode) -> Child {
    let key = node.daemon.home().ssh_dir().join("client");
    let mut ssh = node.sshd.client(&key);
    ssh.args(["-M", "-N", "-S", &control_path(node)]);
    let master = ssh
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    pulse_e2e::wait::until("the master connection", || {
        node.sshd.path("control").exists()
    });
    master
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success() && output.stdout.len() > 100,
        "{command:?}: {output:?}"
    );
}

/// Measures and reports.
pub(crate) fn measure(effort: Effort, report: &mut Report) {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let unrecorded = programs::unrecorded_daemon();
    let places = Places {
        helper: Place::with_helper(&unrecorded),
        plain: Place::without_helper(&unrecorded),
        durable: Place::with_helper(&programs::daemon()),
    };
    latency(effort, report, &places);
    cpu(effort, report, &places.helper);
    status(effort, report, &places.durable);
}

/// What is compared.
struct Places {
    /// A node with the helper, and nothing recorded.
    helper: Place,
    /// A node without it, and nothing recorded.
    plain: Place,
    /// A node with the helper, and the daemon as it is shipped.
    durable: Place,
}

fn latency(effort: Effort, report: &mut Report, places: &Places) {
    let Places {
        helper,
        plain,
        durable,
    } = places;
    report.step("readings by socket, ssh and ControlMaster (about a minute and a half)");
    let mut kinds: [Times; 6] = Default::default();
    for place in [helper, plain, durable] {
        place.read();
    }
    for _ in 0..TURNS {
        let count = effort.samples / TURNS;
        let [socket, recorded, ssh, master, exec, exec_master] = &mut kinds;
        socket.add(count, || helper.read());
        recorded.add(count, || durable.read());
        ssh.add(count, || helper.read_by_ssh());
        master.add(count, || helper.read_by_master());
        exec.add(count, || plain.read());
        exec_master.add(count, || plain.read_by_master());
    }
    let [socket, recorded, ssh, master, exec, exec_master] = kinds;
    report.figure(HELPER_VS_SSH, ssh.median() / socket.median());
    report.figure(HELPER_VS_MASTER, master.median() / socket.median());
    report.figure(DURABLE_VS_SSH, ssh.median() / recorded.median());
    report.figure(DURABLE_VS_MASTER, master.median() / recorded.median());
    report.figure(EXEC_VS_MASTER, exec_master.median() / exec.median());
    for (times, what) in [
        (&socket, "through the socket, node helper, nothing recorded"),
        (
            &recorded,
            "through the socket, node helper, durable records",
        ),
        (&ssh, "ssh per reading, node helper"),
        (&master, "ssh over ControlMaster, node helper"),
        (&exec, "through the socket, no helper, nothing recorded"),
        (&exec_master, "ssh over ControlMaster, no helper"),
    ] {
        report.note(times.described(what));
    }
}

fn cpu(effort: Effort, report: &mut Report, helper: &Place) {
    report.step("processor time per reading");
    let spent = |count: usize, read: &dyn Fn()| {
        let before = helper.cpu();
        for _ in 0..count {
            read();
        }
        (helper.cpu() - before) / count as f64
    };
    let daemon = own_cpu(helper.node.daemon.pid());
    let socket = spent(effort.cpu_samples, &|| helper.read());
    let daemon = (own_cpu(helper.node.daemon.pid()) - daemon) / effort.cpu_samples as f64;
    let master = spent(effort.samples, &|| helper.read_by_master());
    report.figure(CPU_VS_MASTER, master / socket);
    report.note(format!(
        "CPU per reading: {} ms through the socket ({} of it the daemon), {} ms over ControlMaster",
        rounded(socket),
        rounded(daemon),
        rounded(master)
    ));
}

fn status(effort: Effort, report: &mut Report, place: &Place) {
    report.step("get_status");
    let mut times = Times::default();
    times.add(effort.samples * 10, || {
        assert!(place.ask(STATUS_REQUEST).contains("\"success\":true"));
    });
    report.figure(STATUS, times.median());
    report.note(times.described("get_status"));
}
