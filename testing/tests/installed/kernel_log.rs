//! What AppArmor says in the kernel's log, from some moment on.
//!
//! A thread of the kernel writes it, a little after the fact. So a look at the log is
//! preceded by an event of our own, which comes after everything before it.

use crate::guest;
use pulse_e2e::wait;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

/// The log from here on.
#[derive(Debug)]
pub(crate) struct KernelLog {
    begin: String,
}

impl KernelLog {
    /// Begins here.
    pub(crate) fn from_here() -> Self {
        Self { begin: event() }
    }

    /// What AppArmor has refused the service.
    pub(crate) fn denied(&self) -> Vec<String> {
        self.of("DENIED")
    }

    /// What AppArmor would have refused the service, had it not been told to
    /// complain only.
    pub(crate) fn allowed(&self) -> Vec<String> {
        self.of("ALLOWED")
    }

    fn of(&self, verdict: &str) -> Vec<String> {
        event();
        let verdict = format!("apparmor=\"{verdict}\"");
        let log = log();
        let lines = log.lines().skip_while(|line| !line.contains(&self.begin));
        let ours = |line: &&str| line.contains(&verdict) && line.contains(PROFILE);
        lines.filter(ours).map(str::to_owned).collect()
    }
}

/// Also those of its children, `pulse-sensor-proxy//…`.
const PROFILE: &str = "profile=\"pulse-sensor-proxy";

/// Has AppArmor put something unmistakable on its record, and waits until it is
/// there.
fn event() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("event-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let file = std::env::temp_dir().join("event.apparmor");
    fs::write(&file, format!("profile {name} {{ }}\n")).unwrap();
    guest::run(
        "apparmor_parser",
        &["--replace", "--skip-cache", file.to_str().unwrap()],
    );
    let marked = format!("name=\"{name}\"");
    wait::until("AppArmor's own event", || log().contains(&marked));
    marked
}

fn log() -> String {
    guest::run("dmesg", &["--raw"])
}
