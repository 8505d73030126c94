//! Readings of a node whose devices hang or are slow, by its helper alone.

use crate::Effort;
use crate::measure::{Times, milliseconds};
use crate::promise::{HUNG_FIRST, HUNG_LATER, SLOW_DISKS};
use crate::report::Report;
use pulse_e2e::programs;
use pulse_e2e::sim::{slow_files::NEVER, slow_files::SlowFiles, tree};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The devices of the node with devices that hang, and how many of them do.
const DEVICES: usize = 20;
const HUNG: usize = 3;

/// The time that no later reading exceeds, however busy the machine is.
const MAX_LATER: Duration = Duration::from_millis(500);

/// The slow disks, and the time that each takes.
const DISKS: usize = 60;
const DISK_TIME: Duration = Duration::from_millis(60);

/// The interval between readings of the slow disks, and their number.
const INTERVAL: Duration = Duration::from_secs(2);
const INTERVALS: u32 = 10;

/// Measures both, which needs root.
pub(crate) fn measure(effort: Effort, report: &mut Report) {
    let Some(none) = SlowFiles::mark(&[]) else {
        eprintln!("skipped: only root can make files slow");
        return;
    };
    drop(none);
    hung(effort, report);
    slow_disks(effort, report);
}

/// Any three of twenty devices hang.
fn hung(effort: Effort, report: &mut Report) {
    report.step("readings of a node with devices that hang");
    let [mut first, mut later] = <[Times; 2]>::default();
    for offset in 0..effort.samples.div_ceil(24) {
        let node = Node::with_disks(DEVICES);
        let files = (0..HUNG).map(|hung| (node.input((offset + 7 * hung) % DEVICES), NEVER));
        let files: Vec<_> = files.collect();
        let slow = SlowFiles::mark(&files);
        let mut helper = Helper::start(node.root());
        first.add(1, || drop(helper.read()));
        for _ in 0..effort.samples {
            let began = Instant::now();
            helper.read();
            let took = began.elapsed();
            // A median would hide a reading that waits for the devices now and then.
            assert!(took < MAX_LATER, "{took:?}");
            later.push(milliseconds(took));
        }
        drop(slow);
    }
    // Medians in milliseconds.
    report.figure(HUNG_FIRST, first.median() / 1000.0);
    report.figure(HUNG_LATER, later.median());
}

/// The oldest temperature of 60 disks that take 60 ms each.
fn slow_disks(effort: Effort, report: &mut Report) {
    report.step("readings of a node with 60 slow disks");
    let node = Node::with_disks(DISKS);
    let files: Vec<_> = (0..DISKS)
        .map(|disk| (node.input(disk), DISK_TIME))
        .collect();
    let _slow = SlowFiles::mark(&files);
    let mut helper = Helper::start(node.root());
    let mut times = Times::default();
    let mut oldest: f64 = 0.0;
    for _ in 0..INTERVALS.min(effort.intervals * INTERVALS + 1) {
        let mut document = Value::Null;
        times.add(1, || document = helper.read());
        oldest = oldest.max(oldest_disk(&document));
        std::thread::sleep(INTERVAL);
    }
    report.figure(SLOW_DISKS, oldest);
    report.note(times.described("reading of 60 disks at 60 ms each, by the helper"));
}

/// The age in seconds of the oldest temperature; every disk must have one.
fn oldest_disk(document: &Value) -> f64 {
    let disks = document["smart"].as_array().unwrap();
    assert!(disks.len() == DISKS && disks.iter().all(|disk| disk["temperature"] == 30));
    let oldest = document["sensor_state"]["chips"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|chip| chip["age_ms"].as_f64())
        .fold(0.0, f64::max);
    oldest / 1000.0
}

/// A device tree of a node with a processor and disks.
struct Node(TempDir);

impl Node {
    fn with_disks(count: usize) -> Self {
        let processor = "[class/hwmon]\nhwmon0 -> ../../devices/cpu\n\
                         [devices/cpu]\nname = coretemp\ntemp1_input = 50000\n";
        let directory = tempfile::tempdir().unwrap();
        for manifest in [processor, &tree::disks(count)] {
            tree::unpack(manifest, directory.path()).unwrap();
        }
        Self(directory)
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    /// The temperature of a disk.
    fn input(&self, disk: usize) -> PathBuf {
        self.root().join(tree::disk_input(disk))
    }
}

/// A helper that serves, as sshd runs it.
struct Helper {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    fn start(root: &Path) -> Self {
        let mut child = Command::new(programs::helper())
            .arg("--sys-root")
            .arg(root)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut helper = Self {
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        helper.line();
        helper
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line
    }

    fn read(&mut self) -> Value {
        self.child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"read\n")
            .unwrap();
        serde_json::from_str(&self.line()).unwrap()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Its input is closed, so it ends although reads are under way.
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}
