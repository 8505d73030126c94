//! Every line of the helper's tables is needed: without it, the helper fails.
//!
//! The program has two roles. With a line in its environment it is the helper, confined by the
//! tables without that line. Otherwise it starts itself once for each line and runs everything that
//! the helper does, until something fails.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "this test has no runner that reports")]

mod common;

use common::Tree;
use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use pulse_sandbox::tables::helper::{IPMITOOL_SYSCALLS, PATHS, SYSCALLS};
use pulse_sandbox::tables::{ConfiguredPath, Need, Syscall};
use pulse_sandbox::{Kernel, LandlockRules, LayerStatus, Layers, ServiceUser};
use pulse_sensor_node::{HelperError, ipmitool, run_under};
use pulse_sensors::command::NodeCommand;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The line that is left out: the constant of a system call, a path, or nothing.
const LEFT_OUT: &str = "PULSE_LEFT_OUT";
/// The script in the place of `ipmitool`.
const STAND_IN: &str = "PULSE_STAND_IN";
/// The limit of open files.
const FILES: &str = "PULSE_FILES";

/// The timeout with all lines.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The timeout without a line: a slower reply counts as missing.
const SHORT_TIMEOUT: Duration = Duration::from_secs(3);

/// Fewer open files than a scan opens, more than it keeps open.
const FEW: &str = "64";
/// The usual limit.
const USUAL: &str = "1024";

/// `EX_OSERR`: the kernel lacks a layer.
const NOT_CONFINED: i32 = 71;

fn main() -> ExitCode {
    if let Ok(files) = std::env::var(FILES) {
        let files = files.parse().unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, files, files).unwrap();
    }
    let left_out = std::env::var(LEFT_OUT);
    match (left_out, std::env::var(STAND_IN)) {
        (Ok(left_out), Ok(program)) => run_script(&program, &left_out),
        (Ok(left_out), Err(_)) => ExitCode::from(run_under(&Without(&left_out))),
        _ if std::env::args().any(|word| word == "--list") => list(),
        _ => every_line(),
    }
}

/// The list of tests, as nextest requests it; no test is ignored.
fn list() -> ExitCode {
    if !std::env::args().any(|word| word == "--ignored") {
        println!("no_line_is_redundant: test");
    }
    ExitCode::SUCCESS
}

/// The kernel, with tables that lack a line.
struct Without<'a>(&'a str);

impl Layers for Without<'_> {
    fn drop_privileges(&self, user: &ServiceUser) -> LayerStatus {
        Kernel.drop_privileges(user)
    }

    fn forbid_new_privileges(&self) -> LayerStatus {
        Kernel.forbid_new_privileges()
    }

    fn restrict_access(&self, rules: &LandlockRules) -> LayerStatus {
        let mut rules = rules.clone();
        // The paths of the rules are below the root of a tree instead of /sys.
        if let Some(below) = self.0.strip_prefix("/sys/") {
            rules.paths.retain(|(path, _)| !path.ends_with(below));
        }
        Kernel.restrict_access(&rules)
    }

    fn set_limits(&self) -> LayerStatus {
        Kernel.set_limits()
    }

    fn filter_calls(&self, calls: &[Syscall]) -> LayerStatus {
        Kernel.filter_calls(&without(calls, self.0))
    }
}

fn without(calls: &[Syscall], left_out: &str) -> Vec<Syscall> {
    let others = calls.iter().filter(|call| call.constant != left_out);
    others.copied().collect()
}

/// Runs a script in the place of `ipmitool`, under the seccomp filter alone: Landlock would refuse
/// to execute it.
fn run_script(program: &str, left_out: &str) -> ExitCode {
    let limits = ipmitool::Limits {
        time: Duration::from_millis(100),
        output: 4096,
    };
    let running = ipmitool::start(&[program], NodeCommand::IpmitoolSensor, limits).unwrap();
    let calls = without(&[SYSCALLS, IPMITOOL_SYSCALLS].concat(), left_out);
    let status = Kernel.filter_calls(&calls);
    assert!(matches!(status, LayerStatus::Full(_)), "{status:?}");
    match running.output() {
        Err(HelperError::IpmitoolSlow) => ExitCode::from(75),
        _ => ExitCode::FAILURE,
    }
}

fn every_line() -> ExitCode {
    let nodes = Nodes::new();
    match nodes.try_everything("") {
        Ok(()) => (),
        Err(Fault::Ended(Some(NOT_CONFINED))) => {
            println!("skipped: this kernel lacks Landlock or seccomp");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            println!("with every line: {why:?}");
            return ExitCode::FAILURE;
        }
    }
    let mut redundant = lines();
    redundant.retain(|line| match nodes.try_everything(line) {
        Ok(()) => true,
        Err(why) => {
            println!("{line}: {why:?}");
            false
        }
    });
    println!("not needed: {redundant:?}");
    ExitCode::from(u8::from(!redundant.is_empty()))
}

/// The lines that this build on this machine needs.
fn lines() -> Vec<&'static str> {
    let calls = SYSCALLS.iter().chain(IPMITOOL_SYSCALLS);
    let here = calls.filter(|call| call.need == Need::Everywhere);
    let paths = PATHS.iter().filter_map(|path| match path.path {
        ConfiguredPath::Fixed(path) => Some(path),
        _ => None,
    });
    here.map(|call| call.constant).chain(paths).collect()
}

/// Simulated nodes and their expected documents.
struct Nodes {
    trees: Vec<Tree>,
    expected: Vec<serde_json::Value>,
}

type Outcome<T = ()> = Result<T, Fault>;

/// A fault of the helper.
#[derive(Debug)]
enum Fault {
    OtherReading,
    NoAnswer,
    NoEnd,
    Ended(Option<i32>),
    DidNotHang,
    NoName,
    ThreadStays,
    NeverRests,
    NoCrash,
}

impl Nodes {
    fn new() -> Self {
        let trees: Vec<Tree> = ["ryzen", "pi"].map(Tree::of).into();
        let unconfined = |tree: &Tree| {
            let words = ["--confinement", "off", "read"];
            sensors(&common::by_words(tree.root(), &words).stdout)
        };
        let expected = trees.iter().map(unconfined).collect();
        Self { trees, expected }
    }

    /// Runs everything that the helper does, fast operations first.
    fn try_everything(&self, left_out: &str) -> Outcome {
        for (tree, expected) in self.trees.iter().zip(&self.expected) {
            let printed = Trial::start(left_out, FEW, &reading(tree, "read")).end(0)?;
            if sensors(printed.as_bytes()) != *expected {
                return Err(Fault::OtherReading);
            }
        }
        self.serve(left_out)?;
        for name in ["silent", "slow"] {
            stop_in_time(left_out, name)?;
        }
        hang_and_come_back(left_out)
    }

    fn serve(&self, left_out: &str) -> Outcome {
        let mut trial = Trial::start(left_out, FEW, &reading(&self.trees[0], "serve"));
        trial.line()?;
        for _ in 0..3 {
            if sensors(trial.ask()?.as_bytes()) != self.expected[0] {
                return Err(Fault::OtherReading);
            }
        }
        trial.rest()?;
        // The first SIGSEGV of a process runs the handler of the standard library, which restores
        // the default action; the second one ends the process.
        trial.signal(Signal::SIGSEGV);
        trial.ask()?;
        trial.signal(Signal::SIGSEGV);
        match trial.end(0) {
            Err(Fault::Ended(None)) => Ok(()),
            _ => Err(Fault::NoCrash),
        }
    }
}

/// The parts of a document that do not change with time, or null.
fn sensors(document: &[u8]) -> serde_json::Value {
    let document = serde_json::from_slice(document).unwrap_or(serde_json::Value::Null);
    let disks = document["smart"].as_array().into_iter().flatten();
    let disks = disks.map(|disk| [&disk["device"], &disk["serial"], &disk["temperature"]]);
    serde_json::json!([document["sensors"], disks.collect::<Vec<_>>()])
}

fn reading<'a>(tree: &'a Tree, word: &'a str) -> [&'a str; 5] {
    let root = tree.root().to_str().unwrap();
    ["--confinement", "required", "--sys-root", root, word]
}

/// A script that hangs is stopped, and leaves no process.
fn stop_in_time(left_out: &str, name: &str) -> Outcome {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ipmitool-");
    let mut command = Trial::command(left_out, USUAL);
    command.env(STAND_IN, format!("{fixtures}{name}"));
    Trial::of(command, left_out).end(75).map(drop)
}

/// A disk that blocks and then responds: its thread is left behind, and ends afterwards.
fn hang_and_come_back(left_out: &str) -> Outcome {
    let tree = Tree::empty();
    let disk = with_a_disk_that_is_opened_again(&tree);
    let mut trial = Trial::start(left_out, USUAL, &reading(&tree, "serve"));
    trial.line()?;
    trial.ask()?;
    let (aside, pipe) = (disk.with_extension("aside"), disk.with_extension("pipe"));
    mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    fs::rename(&disk, &aside).unwrap();
    fs::rename(&pipe, &disk).unwrap();
    let document = trial.ask()?;
    if !document.contains(r#"{"chip":"drivetemp-scsi-0-0","state":"stale""#) {
        return Err(Fault::DidNotHang);
    }
    // The thread that hangs tells the device.
    let names = trial
        .tasks()
        .map(|task| fs::read_to_string(task.join("comm")));
    if !names.flatten().any(|name| name == "hwmon0\n") {
        return Err(Fault::NoName);
    }
    // Another thread reads the rest and then waits; so the first one ends.
    trial.ask()?;
    let threads = trial.tasks().count();
    let mut without_waiting = fs::File::options();
    without_waiting
        .write(true)
        .custom_flags(OFlag::O_NONBLOCK.bits());
    drop(without_waiting.open(&disk).map_err(|_| Fault::DidNotHang)?);
    let until = Instant::now() + trial.timeout;
    while trial.tasks().count() == threads {
        if Instant::now() > until {
            return Err(Fault::ThreadStays);
        }
        thread::sleep(Duration::from_millis(5));
    }
    trial.end(0).map(drop)
}

/// A tree with a disk that has more values than files are kept open, so that the file of the last
/// one is opened for each reading. Returns its path.
fn with_a_disk_that_is_opened_again(tree: &Tree) -> PathBuf {
    let disk = "devices/scsi/0:0:0:0";
    let mut manifest = format!(
        "[{disk}]\nmodel = disk\nsubsystem -> ../../../bus/scsi\n\
         [{disk}/block/sda]\ndevice -> ../..\n\
         [bus/scsi]\ndevices/\n\
         [class/hwmon]\nhwmon0 -> ../../{disk}/hwmon/hwmon0\n\
         [block]\nsda -> ../{disk}/block/sda\n\
         [{disk}/hwmon/hwmon0]\nname = drivetemp\ndevice -> ../../../0:0:0:0\n"
    );
    for channel in 1..=257 {
        let _ = write!(
            manifest,
            "temp{channel}_input = 1000\ntemp{channel}_lowest = 0\n"
        );
    }
    tree.add(&manifest);
    tree.path(disk).join("hwmon/hwmon0/temp257_input")
}

/// A running helper whose tables lack a line.
struct Trial {
    child: Child,
    /// Its output and that of its child processes; ends when all of them have exited.
    lines: mpsc::Receiver<String>,
    timeout: Duration,
    ended: bool,
}

impl Trial {
    fn command(left_out: &str, files: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .env_clear()
            .env(LEFT_OUT, left_out)
            .env(FILES, files);
        command
    }

    fn start(left_out: &str, files: &str, words: &[&str]) -> Self {
        let mut command = Self::command(left_out, files);
        command.args(words);
        Self::of(command, left_out)
    }

    fn of(mut command: Command, left_out: &str) -> Self {
        let (output, both) = std::io::pipe().unwrap();
        command.stdout(both.try_clone().unwrap()).stderr(both);
        command.stdin(Stdio::piped()).process_group(0);
        let child = command.spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let mut output = BufReader::new(output).lines().map_while(Result::ok);
        thread::spawn(move || output.try_for_each(|line| sender.send(line)));
        Self {
            child,
            lines,
            timeout: if left_out.is_empty() {
                TIMEOUT
            } else {
                SHORT_TIMEOUT
            },
            ended: false,
        }
    }

    fn line(&self) -> Outcome<String> {
        self.lines
            .recv_timeout(self.timeout)
            .map_err(|_| Fault::NoAnswer)
    }

    fn ask(&mut self) -> Outcome<String> {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(b"read\n").map_err(|_| Fault::NoAnswer)?;
        self.line()
    }

    fn tasks(&self) -> impl Iterator<Item = PathBuf> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        tasks.unwrap().map(|task| task.unwrap().path())
    }

    /// Waits until every thread sleeps.
    fn rest(&self) -> Outcome {
        let until = Instant::now() + self.timeout;
        while Instant::now() < until {
            let states = self
                .tasks()
                .map(|task| fs::read_to_string(task.join("stat")).unwrap_or_default());
            if states.into_iter().all(|state| state.contains(") S ")) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(Fault::NeverRests)
    }

    fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        // The process group exists until the process is waited for.
        killpg(group, signal).unwrap();
    }

    /// Closes its input. Returns the rest of its output if it exits with this code.
    fn end(mut self, code: i32) -> Outcome<String> {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        let until = Instant::now() + self.timeout;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => rest.push_str(&line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => return Err(Fault::NoEnd),
            }
        }
        self.ended = true;
        match self.child.wait().unwrap().code() {
            ended if ended == Some(code) => Ok(rest),
            ended => Err(Fault::Ended(ended)),
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !self.ended {
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}
