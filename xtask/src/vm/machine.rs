//! The machine while it runs: started, listened to, never left behind.
//!
//! It has no network and no keyboard. What the tests print comes through the shared
//! directory as they print it; what the kernel and systemd print goes to a file that
//! stays, for whoever has to find out why a machine did not come up.
//!
//! QEMU emulates the processor (TCG): slower than the processor's own help, but there
//! on every machine, and what is tested here is not speed.

use super::directory;
use super::image::Image;
use super::job::Job;
use crate::process::{Failure, Outcome};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Until the first test says something. It takes about half a minute.
const BOOT_LIMIT: Duration = Duration::from_secs(240);

/// For everything.
const LIMIT: Duration = Duration::from_secs(20 * 60);

const PAUSE: Duration = Duration::from_millis(100);

/// The machine's last line of output, before the tests' exit code.
const ENDED: &str = "JOB_ENDED=";

/// How a machine ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What the tests printed.
    pub(crate) output: String,
    status: Option<String>,
}

impl Ended {
    /// Whether the tests passed; if not, where to look.
    pub(crate) fn outcome(&self) -> Outcome {
        let console = console_log();
        let console = console.display();
        match self.status.as_deref() {
            Some("0") => Ok(()),
            Some(status) => Err(Failure::new(format!(
                "the tests ended with {status}; the machine's console: {console}"
            ))),
            None => Err(Failure::new(format!(
                "the machine ended before the tests did; its console: {console}"
            ))),
        }
    }
}

/// Boots the image and returns when the machine has switched itself off.
pub(crate) fn run(image: &Image, job: &Job) -> Outcome<Ended> {
    let mut machine = Machine::start(image, job)?;
    let mut output = Output::open(&job.output())?;
    let start = Instant::now();
    loop {
        let ended = machine.has_ended();
        output.show_new();
        if ended {
            return Ok(Ended {
                output: output.text,
                status: output.status,
            });
        }
        let limit = if output.text.is_empty() {
            BOOT_LIMIT
        } else {
            LIMIT
        };
        if start.elapsed() > limit {
            return Err(too_long(limit));
        }
        sleep(PAUSE);
    }
}

fn too_long(limit: Duration) -> Failure {
    let (seconds, console) = (limit.as_secs(), console_log());
    let console = console.display();
    Failure::new(format!(
        "the machine was stopped after {seconds} s; its console: {console}"
    ))
}

fn console_log() -> PathBuf {
    directory().join("console.log")
}

/// A running QEMU; it is killed when dropped, and when we are.
struct Machine(Child);

impl Machine {
    fn start(image: &Image, job: &Job) -> Outcome<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        command.args(HARDWARE);
        command.arg("-kernel").arg(image.kernel());
        command.arg("-initrd").arg(image.initial());
        command.args(["-append", KERNEL_COMMAND_LINE]);
        // What is written to the disk is forgotten.
        let options = "format=raw,if=virtio,snapshot=on";
        command.args(["-drive", &file_option(&image.disk(), options)]);
        let share = job.directory().display();
        let share = format!("local,id=job,security_model=none,path={share}");
        command.args(["-fsdev", &share]);
        command.args(["-serial", &format!("file:{}", console_log().display())]);
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.map_err(|error| Failure::new(format!("cannot run QEMU: {error}")))?;
        Ok(Self(child))
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const KERNEL_COMMAND_LINE: &str = "root=/dev/vda rw quiet console=ttyS0 panic=-1 mitigations=off \
     log_buf_len=4M systemd.show_status=error systemd.mask=e2scrub_reap.service";

/// Two processors, a shared directory, and a disk with a thermometer.
const HARDWARE: [&str; 20] = [
    "-nodefaults",
    "-display",
    "none",
    "-no-reboot",
    "-accel",
    "tcg,thread=multi",
    "-smp",
    "2",
    "-m",
    "1024",
    "-device",
    "virtio-9p-pci,fsdev=job,mount_tag=job",
    "-device",
    "virtio-rng-pci",
    "-blockdev",
    "driver=null-co,node-name=nothing,size=1048576",
    "-device",
    "nvme,serial=1,drive=nothing",
    "-name",
    "pulse-vm-test",
];

fn file_option(file: &Path, options: &str) -> String {
    // QEMU separates options with commas, and doubles them where they are meant.
    let file = file.display().to_string().replace(',', ",,");
    format!("file={file},{options}")
}

/// The tests' output, as it grows.
struct Output {
    file: File,
    pending: Vec<u8>,
    text: String,
    status: Option<String>,
}

impl Output {
    fn open(path: &Path) -> Outcome<Self> {
        let file = File::open(path);
        let file = file.map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        Ok(Self {
            file,
            pending: Vec::new(),
            text: String::new(),
            status: None,
        })
    }

    /// Shows the whole lines that have come, and keeps them.
    fn show_new(&mut self) {
        // What cannot be read now can be read in a moment, or is missed at the end.
        let _ = self.file.read_to_end(&mut self.pending);
        while let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            self.take(&String::from_utf8_lossy(&line));
        }
    }

    fn take(&mut self, line: &str) {
        if let Some(status) = line.strip_prefix(ENDED) {
            self.status = Some(status.trim_end().to_owned());
            return;
        }
        print!("{line}");
        let _ = std::io::stdout().flush();
        self.text.push_str(line);
    }
}
