//! The daemon's own probe, under each of the layers that stand outside it.
//!
//! With `--only outside` it puts no layer on itself: what is stopped was stopped by the
//! surroundings. Each report is brought out of the machine.

use crate::guest;
use crate::service::{AppArmor, PROXY, Service, UNIT, show, systemctl, try_systemctl};
use pulse_e2e::programs::{Need, skipped};
use serde_json::Value;
use std::collections::BTreeSet;

const OUTSIDE: &str = "confine-probe --only outside --json";
const ALL: &str = "confine-probe --json";

/// Attempts that `AppArmor` stops, whoever makes them, and what its refusal looks like
/// in the kernel's log.
const REFUSALS: [(&str, &str); 7] = [
    ("read the passwords", "name=\"/etc/shadow\""),
    ("list root's home, where .ssh is", "name=\"/root/\""),
    ("list the file system", "name=\"/\""),
    ("write the configuration", "name=\"/etc/pulse-sensor-proxy/"),
    ("UDP", "family=\"inet\" sock_type=\"dgram\""),
    ("raw packets", "family=\"inet\" sock_type=\"raw\""),
    ("packets of the link", "family=\"packet\""),
];

/// Attempts that the unit stops, with or without a profile.
const STOPPED_BY_THE_UNIT: [&str; 10] = [
    "start a program",
    "fork",
    "writable and executable memory",
    "read the passwords",
    "list root's home, where .ssh is",
    "write the configuration",
    "raw packets",
    "packets of the link",
    "mount",
    "reboot",
];

#[test]
fn apparmor_alone_stops_what_the_profile_does_not_list_and_says_so() {
    if skipped(&[Need::OwnMachine]) {
        return;
    }
    let service = lived_in(AppArmor::Enforces);
    let aa_exec = ["-p", "pulse-sensor-proxy", "--", PROXY];
    let words: Vec<_> = aa_exec.into_iter().chain(OUTSIDE.split(' ')).collect();
    let ended = guest::try_run("aa-exec", &words);
    let (text, errors) = (guest::text(&ended.stdout), guest::text(&ended.stderr));
    let report = Report::new("apparmor-alone", &format!("{text}\n{errors}"));
    let denied = service.kernel_log().denied();
    for (attempt, refusal) in REFUSALS {
        assert!(report.stopped().contains(attempt), "{attempt}");
        let told = denied.iter().any(|line| line.contains(refusal));
        assert!(told, "{attempt}: {denied:#?}");
    }
}

#[test]
fn no_layer_at_all_stops_little() {
    if skipped(&[Need::OwnMachine]) {
        return;
    }
    let _service = lived_in(AppArmor::Absent);
    let ended = guest::try_run(PROXY, &OUTSIDE.split(' ').collect::<Vec<_>>());
    let report = Report::new("nothing", &guest::text(&ended.stdout));
    for (attempt, _) in REFUSALS {
        assert!(!report.stopped().contains(attempt), "{attempt}");
    }
}

#[test]
fn the_unit_alone_stops_programs_privileges_and_foreign_files() {
    if skipped(&[Need::OwnMachine]) {
        return;
    }
    let service = lived_in(AppArmor::Absent);
    let report = in_unit(&service, "unit-alone", OUTSIDE);
    for attempt in STOPPED_BY_THE_UNIT {
        assert!(report.stopped().contains(attempt), "{attempt}");
    }
}

#[test]
fn the_unit_and_apparmor_leave_little_to_the_daemon() {
    if skipped(&[Need::OwnMachine]) {
        return;
    }
    let service = lived_in(AppArmor::Enforces);
    let report = in_unit(&service, "unit-and-apparmor", OUTSIDE);
    println!("let through: {:#?}", report.let_through());
}

#[test]
fn everything_together_lets_nothing_through() {
    if skipped(&[Need::OwnMachine]) {
        return;
    }
    let service = lived_in(AppArmor::Enforces);
    let report = in_unit(&service, "everything", ALL);
    assert_eq!(report.let_through(), BTreeSet::new());
    assert_eq!(report.0["tight"], true);
}

/// The service after its first start: what is not there cannot be refused.
fn lived_in(apparmor: AppArmor) -> Service {
    let service = Service::installed(apparmor);
    service.start_with_nodes();
    systemctl(&["stop", UNIT]);
    service
}

/// Runs the probe in the daemon's place, with everything that the unit puts on it.
fn in_unit(service: &Service, name: &str, words: &str) -> Report {
    // A probe is no daemon: it ends, and with 1 if anything was let through.
    let instead = format!(
        "[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nSuccessExitStatus=1\n\
         ExecStart=\nExecStart={PROXY} {words}\n"
    );
    service.drop_in("probe", &instead);
    let ended = try_systemctl(&["start", UNIT]);
    let said = service.journal();
    assert!(ended.status.success(), "{}: {said}", show("Result"));
    Report::new(name, &said)
}

/// What a probe found.
struct Report(Value);

impl Report {
    fn new(name: &str, text: &str) -> Self {
        let line = text.lines().find(|line| line.starts_with('{'));
        let line = line.unwrap_or_else(|| panic!("no report: {text}"));
        guest::bring_out(&format!("{name}.json"), &format!("{line}\n"));
        let report = Self(serde_json::from_str(line).unwrap());
        let (stopped, rest) = (report.stopped().len(), report.let_through().len());
        println!("{name}: {stopped} stopped, {rest} not");
        report
    }

    fn stopped(&self) -> BTreeSet<&str> {
        self.those(true)
    }

    /// Also what was not even tried.
    fn let_through(&self) -> BTreeSet<&str> {
        self.those(false)
    }

    fn those(&self, stopped: bool) -> BTreeSet<&str> {
        let attempts = self.0["attempts"].as_array().unwrap();
        attempts
            .iter()
            .filter(|attempt| attempt["stopped"] == stopped)
            .map(|attempt| attempt["attempt"].as_str().unwrap())
            .collect()
    }
}
