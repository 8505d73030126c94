//! No line of the helper's tables is there for nothing: without it, something that
//! the helper does comes out differently.
//!
//! This program is both sides. With a line named in the environment it is the helper,
//! confined by the tables without that line. Otherwise it starts itself once for each
//! line and lets it do everything that a helper does, until something goes wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "this test has no runner that reports")]

mod common;

use common::Tree;
use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use pulse_sandbox::tables::helper::{BESIDE_IPMITOOL, PATHS, SYSCALLS};
use pulse_sandbox::tables::{Need, Syscall, Whose};
use pulse_sandbox::{Hold, Kernel, Layers, Rules, ServiceUser};
use pulse_sensor_node::{Failure, ipmitool, run_under};
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

/// The line that is left out: a system call's constant, a path, or nothing.
const LEFT_OUT: &str = "PULSE_LEFT_OUT";
/// The program that stands for `ipmitool`.
const STAND_IN: &str = "PULSE_STAND_IN";
/// How many files it may open.
const FILES: &str = "PULSE_FILES";

/// How long anything may take when no line is left out.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long with one line less: what is slower then counts as gone.
const IMPATIENCE: Duration = Duration::from_secs(3);

/// Fewer files than one look at the devices opens, more than it keeps open.
const FEW: &str = "64";
/// As many as usual.
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
        (Ok(left_out), Ok(program)) => beside(&program, &left_out),
        (Ok(left_out), Err(_)) => ExitCode::from(run_under(&Without(&left_out))),
        _ if std::env::args().any(|word| word == "--list") => list(),
        _ => every_line(),
    }
}

/// What nextest asks of a test program: its tests, and those that are left out.
fn list() -> ExitCode {
    if !std::env::args().any(|word| word == "--ignored") {
        println!("no_line_is_redundant: test");
    }
    ExitCode::SUCCESS
}

/// The kernel, with a line of the tables left out.
struct Without<'a>(&'a str);

impl Layers for Without<'_> {
    fn drop_privileges(&self, user: &ServiceUser) -> Hold {
        Kernel.drop_privileges(user)
    }

    fn refuse_privileges(&self) -> Hold {
        Kernel.refuse_privileges()
    }

    fn restrict_access(&self, rules: &Rules) -> Hold {
        let mut rules = rules.clone();
        // Trees lie elsewhere, with what is below /sys below them.
        if let Some(below) = self.0.strip_prefix("/sys/") {
            rules.paths.retain(|(path, _)| !path.ends_with(below));
        }
        Kernel.restrict_access(&rules)
    }

    fn limit(&self) -> Hold {
        Kernel.limit()
    }

    fn filter_calls(&self, calls: &[Syscall]) -> Hold {
        Kernel.filter_calls(&without(calls, self.0))
    }
}

fn without(calls: &[Syscall], left_out: &str) -> Vec<Syscall> {
    let others = calls.iter().filter(|call| call.constant != left_out);
    others.copied().collect()
}

/// The helper beside a program that stands for `ipmitool`, which Landlock would not
/// let run: so under the filter alone.
fn beside(program: &str, left_out: &str) -> ExitCode {
    let limits = ipmitool::Limits {
        time: Duration::from_millis(100),
        output: 4096,
    };
    let running = ipmitool::start(&[program], NodeCommand::IpmitoolSensor, limits).unwrap();
    let calls = without(&[SYSCALLS, BESIDE_IPMITOOL].concat(), left_out);
    let held = Kernel.filter_calls(&calls);
    assert!(matches!(held, Hold::Whole(_)), "{held:?}");
    match running.output() {
        Err(Failure::IpmitoolSlow) => ExitCode::from(75),
        _ => ExitCode::FAILURE,
    }
}

fn every_line() -> ExitCode {
    let nodes = Nodes::new();
    match nodes.try_everything("") {
        Ok(()) => (),
        Err(Why::Ended(Some(NOT_CONFINED))) => {
            println!("skipped: this kernel lacks Landlock or seccomp");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            println!("with every line: {why:?}");
            return ExitCode::FAILURE;
        }
    }
    let mut idle = lines();
    idle.retain(|line| match nodes.try_everything(line) {
        Ok(()) => true,
        Err(why) => {
            println!("{line}: {why:?}");
            false
        }
    });
    println!("needed by nothing: {idle:?}");
    ExitCode::from(u8::from(!idle.is_empty()))
}

/// The lines that this machine and this build can show to be needed.
fn lines() -> Vec<&'static str> {
    let calls = SYSCALLS.iter().chain(BESIDE_IPMITOOL);
    let here = calls.filter(|call| call.need == Need::Everywhere);
    let paths = PATHS.iter().filter_map(|path| match path.whose {
        Whose::Fixed(path) => Some(path),
        _ => None,
    });
    here.map(|call| call.constant).chain(paths).collect()
}

/// Made-up nodes, and what is to come out of them.
struct Nodes {
    trees: Vec<Tree>,
    expected: Vec<serde_json::Value>,
}

type Outcome<T = ()> = Result<T, Why>;

/// What went wrong.
#[derive(Debug)]
enum Why {
    OtherReading,
    NoAnswer,
    NoEnd,
    Ended(Option<i32>),
    DidNotHang,
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

    /// Everything that a helper does; the quick things first.
    fn try_everything(&self, left_out: &str) -> Outcome {
        for (tree, expected) in self.trees.iter().zip(&self.expected) {
            let printed = Trial::start(left_out, FEW, &reading(tree, "read")).end(0)?;
            if sensors(printed.as_bytes()) != *expected {
                return Err(Why::OtherReading);
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
                return Err(Why::OtherReading);
            }
        }
        trial.rest()?;
        // Sent by somebody, it is no crash the first time.
        trial.signal(Signal::SIGSEGV);
        trial.ask()?;
        trial.signal(Signal::SIGSEGV);
        match trial.end(0) {
            Err(Why::Ended(None)) => Ok(()),
            _ => Err(Why::NoCrash),
        }
    }
}

/// A document's part that does not change with time, or nothing.
fn sensors(document: &[u8]) -> serde_json::Value {
    let document = serde_json::from_slice(document).unwrap_or(serde_json::Value::Null);
    document["sensors"].clone()
}

fn reading<'a>(tree: &'a Tree, word: &'a str) -> [&'a str; 5] {
    let root = tree.root().to_str().unwrap();
    ["--confinement", "required", "--sys-root", root, word]
}

/// A program that does not end is stopped, and nothing of it stays.
fn stop_in_time(left_out: &str, name: &str) -> Outcome {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ipmitool-");
    let mut command = Trial::command(left_out, USUAL);
    command.env(STAND_IN, format!("{fixtures}{name}"));
    Trial::of(command, left_out).end(75).map(drop)
}

/// A disk that hangs and comes back: its thread is left behind, and then ends.
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
    if !sensors(trial.ask()?.as_bytes())["drivetemp-scsi-0-0"].is_null() {
        return Err(Why::DidNotHang);
    }
    let threads = trial.tasks().count();
    let mut without_waiting = fs::File::options();
    without_waiting
        .write(true)
        .custom_flags(OFlag::O_NONBLOCK.bits());
    drop(without_waiting.open(&disk).map_err(|_| Why::DidNotHang)?);
    let until = Instant::now() + trial.patience;
    while trial.tasks().count() == threads {
        if Instant::now() > until {
            return Err(Why::ThreadStays);
        }
        thread::sleep(Duration::from_millis(5));
    }
    trial.end(0).map(drop)
}

/// A tree with so many values that the files of its last one, a disk's, are not kept
/// open. Gives that file.
fn with_a_disk_that_is_opened_again(tree: &Tree) -> PathBuf {
    let (many, one) = ("devices/virtual/hwmon/hwmon0", "devices/scsi/0:0:0:0");
    let mut manifest = format!("[{many}]\nname = many\n");
    for channel in 1..=256 {
        let _ = write!(
            manifest,
            "temp{channel}_input = 1000\ntemp{channel}_lowest = 0\n"
        );
    }
    let _ = write!(
        manifest,
        "[{one}]\nmodel = disk\nsubsystem -> ../../../bus/scsi\n\
         [{one}/block/sda]\ndevice -> ../..\n\
         [{one}/hwmon/hwmon1]\nname = drivetemp\ntemp1_input = 30000\ndevice -> ../..\n\
         [bus/scsi]\ndevices/\n[class/hwmon]\nhwmon0 -> ../../{many}\n\
         hwmon1 -> ../../{one}/hwmon/hwmon1\n[block]\nsda -> ../{one}/block/sda\n"
    );
    tree.add(&manifest);
    tree.path(one).join("hwmon/hwmon1/temp1_input")
}

/// A helper that lacks a line.
struct Trial {
    child: Child,
    /// What it says, and what it started; ends when all of them have.
    lines: mpsc::Receiver<String>,
    patience: Duration,
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
            patience: if left_out.is_empty() {
                PATIENCE
            } else {
                IMPATIENCE
            },
            ended: false,
        }
    }

    fn line(&self) -> Outcome<String> {
        self.lines
            .recv_timeout(self.patience)
            .map_err(|_| Why::NoAnswer)
    }

    fn ask(&mut self) -> Outcome<String> {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(b"read\n").map_err(|_| Why::NoAnswer)?;
        self.line()
    }

    fn tasks(&self) -> impl Iterator<Item = PathBuf> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        tasks.unwrap().map(|task| task.unwrap().path())
    }

    /// Waits until every thread waits.
    fn rest(&self) -> Outcome {
        let until = Instant::now() + self.patience;
        while Instant::now() < until {
            let states = self
                .tasks()
                .map(|task| fs::read_to_string(task.join("stat")).unwrap_or_default());
            if states.into_iter().all(|state| state.contains(") S ")) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(Why::NeverRests)
    }

    fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        // Until it is waited for, the group is its own.
        killpg(group, signal).unwrap();
    }

    /// Closes its input; gives the rest of its output when it ends with this code.
    fn end(mut self, code: i32) -> Outcome<String> {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        let until = Instant::now() + self.patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => rest.push_str(&line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => return Err(Why::NoEnd),
            }
        }
        self.ended = true;
        match self.child.wait().unwrap().code() {
            ended if ended == Some(code) => Ok(rest),
            ended => Err(Why::Ended(ended)),
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
