//! What the daemon's confinement of itself costs: at the start, and with each reading.
//! The daemon is the same; only its configuration differs.

use crate::Effort;
use crate::measure::Times;
use crate::promise::{CONFINED_READING, CONFINED_START};
use crate::readings::Place;
use crate::report::Report;
use pulse_e2e::programs::{self, Need, skipped};
use pulse_e2e::{Config, Home, service};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

/// Readings are short: more of them than of anything else, in turns of one.
const READINGS_PER_SAMPLE: usize = 20;

/// Measures and reports.
pub(crate) fn measure(effort: Effort, report: &mut Report) {
    starts(effort, report);
    if !skipped(&[Need::Sshd]) {
        readings(effort, report);
    }
}

fn config(mode: &str) -> Config {
    Config::new().set("confinement", &format!("'{mode}'"))
}

fn starts(effort: Effort, report: &mut Report) {
    report.step("starts, confined and not");
    let (confined, free) = (Starter::new("best-effort"), Starter::new("off"));
    // The first makes keys and the log.
    end(confined.start());
    end(free.start());
    let [mut with, mut without] = <[Times; 2]>::default();
    for _ in 0..effort.samples / 4 {
        for (times, starter) in [(&mut with, &confined), (&mut without, &free)] {
            let mut started = None;
            times.add(1, || started = Some(starter.start()));
            if let Some(daemon) = started {
                end(daemon);
            }
        }
    }
    report.figure(CONFINED_START, with.median() - without.median());
    report.note(with.described("from the start to READY=1, confined"));
    report.note(without.described("the same, not confined"));
}

fn readings(effort: Effort, report: &mut Report) {
    report.step("readings, confined and not");
    let daemon = programs::unrecorded_daemon();
    let confined = Place::with_helper_and(&daemon, config("best-effort"));
    let free = Place::with_helper_and(&daemon, config("off"));
    let [mut with, mut without] = <[Times; 2]>::default();
    confined.read();
    free.read();
    for _ in 0..effort.samples * READINGS_PER_SAMPLE {
        with.add(1, || confined.read());
        without.add(1, || free.read());
    }
    let more = (with.median() / without.median() - 1.0) * 100.0;
    report.figure(CONFINED_READING, more);
    report.note(with.described("reading alone, confined"));
    report.note(without.described("the same, not confined"));
}

/// A daemon that is started again and again.
struct Starter {
    home: Home,
    ready: UnixDatagram,
}

impl Starter {
    fn new(mode: &str) -> Self {
        let home = Home::new();
        home.write_config(&config(mode).set("log_level", "'warn'"));
        let ready = UnixDatagram::bind(home.path("notify")).unwrap();
        Self { home, ready }
    }

    /// Until it says that it is ready.
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
