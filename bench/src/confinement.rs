//! The cost of confinement: starts and readings of the daemon, and starts of the node helper.
//! The programs are the same on both sides; only the setting `confinement` differs.

use crate::Effort;
use crate::devices;
use crate::measure::Times;
use crate::process::ended_children_cpu;
use crate::promise::{CONFINED_READING, CONFINED_START};
use crate::readings::MeasuredNode;
use crate::report::{Report, rounded};
use pulse_e2e::programs::{self, Need, skipped};
use pulse_e2e::{Config, Home, service};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

/// Readings are short, so there are more of them than of starts; they alternate one by one.
const READINGS_PER_SAMPLE: usize = 20;

/// Processor time is reported in steps of 10 ms, so it is summed over many starts.
const TURNS: usize = 4;

/// Runs the suite.
pub(crate) fn measure(effort: Effort, report: &mut Report) {
    starts(effort, report);
    if !skipped(&[Need::Sshd]) {
        readings(effort, report);
    }
    helpers(effort, report);
}

fn config(mode: &str) -> Config {
    Config::new().set("confinement", &format!("'{mode}'"))
}

fn starts(effort: Effort, report: &mut Report) {
    report.step("starts of the daemon, with confinement and without");
    let (confined, free) = (Starter::new("best-effort"), Starter::new("off"));
    // The first start makes the keys and the log.
    end(confined.start());
    end(free.start());
    let [mut with, mut without] = <[Times; 2]>::default();
    for _ in 0..effort.samples / 4 {
        for (times, starter) in [(&mut with, &confined), (&mut without, &free)] {
            // Its end is not measured.
            let mut started = None;
            times.add(1, || started = Some(starter.start()));
            if let Some(daemon) = started {
                end(daemon);
            }
        }
    }
    report.figure(CONFINED_START, with.median() - without.median());
    report.note(with.described("start of the daemon to READY=1, with confinement"));
    report.note(without.described("the same, without confinement"));
}

fn readings(effort: Effort, report: &mut Report) {
    report.step("readings, with confinement and without");
    let daemon = programs::unrecorded_daemon();
    let confined = MeasuredNode::with_helper_and(&daemon, config("best-effort"));
    let free = MeasuredNode::with_helper_and(&daemon, config("off"));
    let [mut with, mut without] = <[Times; 2]>::default();
    // The first readings connect to the node.
    confined.read();
    free.read();
    for _ in 0..effort.samples * READINGS_PER_SAMPLE {
        with.add(1, || confined.read());
        without.add(1, || free.read());
    }
    report.figure(
        CONFINED_READING,
        (with.median() / without.median() - 1.0) * 100.0,
    );
    report.note(with.described("reading without records, with confinement"));
    report.note(without.described("the same, without confinement"));
}

/// Starts of the helper for one reading each, without sshd.
fn helpers(effort: Effort, report: &mut Report) {
    report.step("starts of the node helper, with confinement and without");
    let devices = devices::server();
    let count = effort.samples / TURNS;
    let [mut with, mut without] = <[Starts; 2]>::default();
    let read_once = |mode: &str| {
        let output = Command::new(programs::helper())
            .args(["--confinement", mode, "--sys-root"])
            .arg(devices.path())
            .arg("read")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    for _ in 0..TURNS {
        with.add(count, || read_once("best-effort"));
        without.add(count, || read_once("off"));
    }
    report.note(with.described("start of a node helper for one reading, with confinement"));
    report.note(without.described("the same, without confinement"));
}

/// Durations and processor time of programs that have ended.
#[derive(Default)]
struct Starts {
    times: Times,
    /// The sum of processor time in milliseconds.
    cpu: f64,
}

impl Starts {
    fn add(&mut self, count: usize, start: impl FnMut()) {
        let before = ended_children_cpu();
        self.times.add(count, start);
        self.cpu += ended_children_cpu() - before;
    }

    fn described(&self, what: &str) -> String {
        format!(
            "{}; {} ms of CPU each",
            self.times.described(what),
            rounded(self.cpu / self.times.count() as f64)
        )
    }
}

/// A daemon that is started repeatedly.
struct Starter {
    home: Home,
    ready: UnixDatagram,
}

impl Starter {
    fn new(mode: &str) -> Self {
        let home = Home::new();
        home.write_config(&config(mode).set("log_level", "'warn'"));
        Self {
            ready: UnixDatagram::bind(home.path("notify")).unwrap(),
            home,
        }
    }

    /// Starts the daemon and waits for READY=1.
    fn start(&self) -> Child {
        let child = Command::new(programs::daemon())
            .arg("--config")
            .arg(self.home.config_file())
            .env_clear()
            .envs([service::SETTING])
            .env("NOTIFY_SOCKET", self.home.path("notify"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The daemon may send other states before (sd_notify(3)).
        let mut message = [0; 256];
        loop {
            let length = self.ready.recv(&mut message).unwrap();
            if message[..length].starts_with(b"READY=1") {
                break;
            }
        }
        child
    }
}

fn end(mut daemon: Child) {
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}
