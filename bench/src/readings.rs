//! Readings of a node with a real sshd: through the daemon, and with ssh instead. A reading
//! without records is measured on a daemon without an audit log, so that it does not depend on
//! the disk; a reading with durable records on the shipped daemon, which writes two.
//!
//! The kinds alternate, so that all of them meet the same load of the machine.

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

/// A node, a daemon that reads it, and an ssh client that can read it too.
pub(crate) struct MeasuredNode {
    node: RealNode,
    master: Child,
    _devices: TempDir,
}

impl MeasuredNode {
    fn with_helper(daemon: &Path) -> Self {
        Self::with_helper_and(daemon, Config::new())
    }

    pub(crate) fn with_helper_and(daemon: &Path, config: Config) -> Self {
        Self::with_helper_in(&Arc::new(Home::new()), daemon, config)
    }

    pub(crate) fn with_helper_in(home: &Arc<Home>, daemon: &Path, config: Config) -> Self {
        Self::with_devices(home, daemon, config, devices::server())
    }

    fn with_devices(home: &Arc<Home>, daemon: &Path, config: Config, devices: TempDir) -> Self {
        Self::start(
            home,
            daemon,
            config,
            &helper_command(devices.path()),
            devices,
        )
    }

    /// A node whose forced command prints what `sensors -j` printed.
    fn without_helper(daemon: &Path) -> Self {
        let devices = devices::server();
        let output = devices::printed(devices.path(), &["sensors", "-j"]);
        let command = format!("cat {}", output.display());
        Self::start(
            &Arc::new(Home::new()),
            daemon,
            Config::new(),
            &command,
            devices,
        )
    }

    fn start(
        home: &Arc<Home>,
        daemon: &Path,
        config: Config,
        command: &str,
        devices: TempDir,
    ) -> Self {
        // At this level sshd still logs the line that the harness waits for.
        let options = SshdOptions {
            lines: vec!["LogLevel INFO".into()],
            ..SshdOptions::default()
        };
        let config = config.set("log_level", "'warn'");
        let node = RealNode::start_program_in(daemon, home, config, &options);
        let home = node.daemon.home();
        // The client has a key of its own, with the same forced command.
        make_key(home.ssh_dir().as_path(), "client");
        let client = std::fs::read_to_string(home.ssh_dir().join("client.pub")).unwrap();
        let options = format!("restrict,command=\"{command}\"");
        node.sshd.authorize(
            &options,
            &format!("{} \n{options} {}", home.public_key(), client.trim()),
        );
        home.trust(&node.sshd.host_key_line("pve1"));
        // A master without a session of its own (-N): readings open theirs.
        let master = node
            .sshd
            .client(&home.ssh_dir().join("client"))
            .args(["-M", "-N", "-S", &control_path(&node)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        pulse_e2e::wait::until("the master connection", || {
            node.sshd.path("control").exists()
        });
        Self {
            node,
            master,
            _devices: devices,
        }
    }

    /// Reads as Pulse does: connects, sends a line, receives a line. Parsing is not measured.
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

    /// Reads with ssh on a new connection.
    fn read_by_ssh(&self) {
        // "none" disables the sharing of connections (ssh_config(5), ControlPath).
        run(self.ssh().args(["-S", "none", "pulse-sensor-node read"]));
    }

    /// Reads with ssh on the open connection of its `ControlMaster`.
    fn read_by_master(&self) {
        run(self
            .ssh()
            .args(["-S", &control_path(&self.node), "pulse-sensor-node read"]));
    }

    /// Processor time of the node with all its sessions, the daemon, and the ssh
    /// processes that were started here.
    fn cpu(&self) -> f64 {
        // sshd's sessions are its descendants; the processes of ssh(1) have ended.
        let sshd = titled(&self.node.sshd.path("sshd_config"));
        tree_cpu(&[sshd, self.node.daemon.pid(), self.master.id()]) + ended_children_cpu()
    }
}

impl Drop for MeasuredNode {
    fn drop(&mut self) {
        let _ = self.master.kill();
        let _ = self.master.wait();
    }
}

fn control_path(node: &RealNode) -> String {
    node.sshd.path("control").display().to_string()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    // A document is longer: an error of the node would be a short line.
    assert!(
        output.status.success() && output.stdout.len() > 100,
        "{command:?}: {output:?}"
    );
}

/// Runs the suite.
pub(crate) fn measure(effort: Effort, report: &mut Report) {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let unrecorded = programs::unrecorded_daemon();
    let nodes = MeasuredNodes {
        helper: MeasuredNode::with_helper(&unrecorded),
        plain: MeasuredNode::without_helper(&unrecorded),
        durable: MeasuredNode::with_helper(&programs::daemon()),
    };
    latency(effort, report, &nodes);
    cpu(effort, report, &nodes.helper);
    status(effort, report, &nodes.durable);
    large(effort, report);
}

/// Readings of a server with eight processors of 60 cores, with durable records.
fn large(effort: Effort, report: &mut Report) {
    report.step("readings of 8 processors with 60 cores each");
    let home = Arc::new(Home::new());
    let node = MeasuredNode::with_devices(
        &home,
        &programs::daemon(),
        Config::new(),
        devices::processors(8, 60),
    );
    node.read();
    let mut times = Times::default();
    times.add(effort.samples, || node.read());
    report.note(times.described("whole reading of 8 processors with 60 cores each"));
}

/// The compared nodes and daemons.
struct MeasuredNodes {
    /// With the node helper, without records.
    helper: MeasuredNode,
    /// Without the node helper, without records.
    plain: MeasuredNode,
    /// With the node helper and durable records: the shipped daemon.
    durable: MeasuredNode,
}

fn latency(effort: Effort, report: &mut Report, nodes: &MeasuredNodes) {
    let MeasuredNodes {
        helper,
        plain,
        durable,
    } = nodes;
    report.step("readings through the daemon, with ssh and over ControlMaster (about 90 s)");
    let mut kinds: [Times; 6] = Default::default();
    // The first readings connect to the node.
    for measured in [helper, plain, durable] {
        measured.read();
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
        (&socket, "through the daemon, node helper, without records"),
        (
            &recorded,
            "through the daemon, node helper, with durable records",
        ),
        (&ssh, "one ssh per reading, node helper"),
        (&master, "ssh over ControlMaster, node helper"),
        (&exec, "through the daemon, no node helper, without records"),
        (&exec_master, "ssh over ControlMaster, no node helper"),
    ] {
        report.note(times.described(what));
    }
}

fn cpu(effort: Effort, report: &mut Report, helper: &MeasuredNode) {
    report.step("processor time per reading");
    let spent = |count: usize, read: &dyn Fn()| {
        let before = helper.cpu();
        for _ in 0..count {
            read();
        }
        (helper.cpu() - before) / count as f64
    };
    // One run on the daemon's side gives both figures: its own time, and that of all processes.
    let daemon = own_cpu(helper.node.daemon.pid());
    let socket = spent(effort.cpu_samples, &|| helper.read());
    let daemon = (own_cpu(helper.node.daemon.pid()) - daemon) / effort.cpu_samples as f64;
    let master = spent(effort.samples, &|| helper.read_by_master());
    report.figure(CPU_VS_MASTER, master / socket);
    report.note(format!(
        "CPU per reading: {} ms through the daemon ({} ms of it in the daemon), {} ms with ssh over ControlMaster",
        rounded(socket),
        rounded(daemon),
        rounded(master)
    ));
}

fn status(effort: Effort, report: &mut Report, measured: &MeasuredNode) {
    report.step("get_status requests");
    let mut times = Times::default();
    times.add(effort.samples * 10, || {
        assert!(measured.ask(STATUS_REQUEST).contains("\"success\":true"));
    });
    report.figure(STATUS, times.median());
    report.note(times.described("get_status, on a new connection"));
}
