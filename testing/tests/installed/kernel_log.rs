//! AppArmor's lines in the kernel's log.
//!
//! The kernel writes them from a thread, a moment after each event. So the log is read after
//! an event of our own has appeared in it: then all earlier ones are there.

use crate::guest;
use pulse_e2e::wait;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

/// The log from its creation on.
#[derive(Debug)]
pub(crate) struct KernelLog {
    begin: String,
}

impl KernelLog {
    /// Starts at the present end of the log.
    pub(crate) fn from_here() -> Self {
        Self { begin: event() }
    }

    /// Lines of what AppArmor denied the service.
    pub(crate) fn denied(&self) -> Vec<String> {
        self.of("DENIED")
    }

    /// Lines of what AppArmor would have denied the service in enforce mode.
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

/// Prefix of the profile's name and of its child profiles, `pulse-sensor-proxy//…`.
const PROFILE: &str = "profile=\"pulse-sensor-proxy";

/// Loads a profile with a unique name, waits until AppArmor has logged that, and returns the
/// text by which the line is found.
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
