//! The daemon's own probe, under each of the layers that stand outside it.
//!
//! With `--only outside` it puts no layer on itself: what is stopped was stopped by the
//! surroundings.

use crate::guest;
use crate::service::{AppArmor, PROXY, Service, UNIT, show, systemctl, try_systemctl};
use pulse_e2e::findings::{self, attempts};
use pulse_e2e::programs::{Need, skipped};
use serde_json::Value;

const OUTSIDE: &str = "confine-probe --only outside --json";
const ALL: &str = "confine-probe --json";

/// Attempts that AppArmor stops, whoever makes them, and what its refusal looks like
/// in the kernel's log.
const REFUSALS: [(&str, &str); 7] = [
    ("read /etc/shadow", "name=\"/etc/shadow\""),
    ("list /root", "name=\"/root/\""),
    ("list /", "name=\"/\""),
    ("write the configuration", "name=\"/etc/pulse-sensor-proxy/"),
    ("UDP socket", "family=\"inet\" sock_type=\"dgram\""),
    ("raw IP socket", "family=\"inet\" sock_type=\"raw\""),
    ("packet socket", "family=\"packet\""),
];

/// Attempts that the unit stops, with or without a profile.
const STOPPED_BY_THE_UNIT: [&str; 10] = [
    "start a program",
    "fork",
    "map writable, executable memory",
    "read /etc/shadow",
    "list /root",
    "write the configuration",
    "raw IP socket",
    "packet socket",
    "mount",
    "reboot",
];

#[test]
fn apparmor_alone_stops_what_the_profile_does_not_list_and_says_so() {
    if skipped(&[Need::OwnMachine]) {
        return;
    }
    let service = lived_in(AppArmor::Enforces);
    let aa_exec = ["aa-exec", "-p", "pulse-sensor-proxy", "--"];
    let findings = alone("vm-apparmor", &aa_exec, "outside");
    let denied = service.kernel_log().denied();
    for (attempt, refusal) in REFUSALS {
        assert!(attempts(&findings, true).contains(&attempt), "{attempt}");
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
    let findings = findings_in(&guest::text(&ended.stdout), "vm-nothing");
    for (attempt, _) in REFUSALS {
        assert!(!attempts(&findings, true).contains(&attempt), "{attempt}");
    }
}

#[test]
fn the_unit_alone_stops_programs_privileges_and_foreign_files() {
    if skipped(&[Need::OwnMachine]) {
        return;
    }
    let service = lived_in(AppArmor::Absent);
    let findings = in_unit(&service, "vm-unit", OUTSIDE);
    for attempt in STOPPED_BY_THE_UNIT {
        assert!(attempts(&findings, true).contains(&attempt), "{attempt}");
    }
}

#[test]
fn the_unit_and_apparmor_leave_little_to_the_daemon() {
    if skipped(&[Need::OwnMachine]) {
        return;
    }
    let service = lived_in(AppArmor::Enforces);
    let findings = in_unit(&service, "vm-unit-and-apparmor", OUTSIDE);
    for attempt in STOPPED_BY_THE_UNIT.into_iter().chain(REFUSALS.map(first)) {
        assert!(attempts(&findings, true).contains(&attempt), "{attempt}");
    }
}

#[test]
fn everything_together_lets_nothing_through() {
    if skipped(&[Need::OwnMachine]) {
        return;
    }
    let service = lived_in(AppArmor::Enforces);
    let findings = in_unit(&service, "vm-everything", ALL);
    assert_eq!(attempts(&findings, false), [""; 0]);
    assert_eq!(findings["tight"], true);
}

/// Attempts that one layer alone stops, and why there is no second: AppArmor and the
/// unit were there before the daemon was confined, and permit what it did till then.
const ONE_LAYER: [(&str, &str); 15] = [
    (
        "SCTP socket",
        "AppArmor looks at the type of a socket, not at its protocol",
    ),
    (
        "connect to an abstract socket",
        "this AppArmor does not tell Unix sockets apart",
    ),
    ("install another seccomp filter", "the daemon puts one on"),
    (
        "set the dumpable flag",
        "prctl(2) is needed to be the contrary",
    ),
    (
        "change a file's mode",
        "the daemon lets everybody connect to its socket",
    ),
    (
        "connect by sendto (TCP Fast Open)",
        "this address is permitted, for metrics",
    ),
    (
        "connect to another port",
        "this address is permitted, for metrics",
    ),
    (
        "connect to another port over IPv6",
        "this address is permitted, for metrics",
    ),
    (
        "map executable memory",
        "the kernel's own refusal is of what is written, too",
    ),
    ("listen", "the daemon listens"),
    ("create a file in ssh_dir", "the daemon makes its key"),
    ("map a program's code", "the daemon's own is what is mapped"),
    (
        "MPTCP socket",
        "AppArmor looks at the type of a socket, not at its protocol",
    ),
    ("Unix socket", "the daemon has some itself"),
    (
        "type into a terminal (TIOCSTI)",
        "there is none that it could be refused",
    ),
];

#[test]
fn every_attempt_is_stopped_by_two_layers_where_the_kernel_offers_two() {
    if skipped(&[Need::OwnMachine]) {
        return;
    }
    let service = lived_in(AppArmor::Enforces);
    let aa_exec = ["aa-exec", "-p", "pulse-sensor-proxy", "--"];
    let mut settings = vec![alone("vm-apparmor", &aa_exec, "outside")];
    let service_user = [
        "setpriv",
        "--reuid=pulse-sensor-proxy",
        "--regid=pulse-sensor-proxy",
        "--clear-groups",
        "aa-exec",
        "-p",
        "unconfined",
        "--",
    ];
    // The kernel does not count root's tasks.
    settings.push(alone("vm-limits", &service_user, "limits"));
    for layer in ["landlock", "seccomp"] {
        settings.push(alone(&format!("vm-{layer}"), &service_user[4..], layer));
    }
    drop(service);
    settings.push(in_unit(&lived_in(AppArmor::Absent), "vm-unit", OUTSIDE));
    if settings[2]["layers"][0]["state"] != "whole" {
        println!("not asked: Landlock of this kernel is an older one");
        return;
    }
    let layers = findings::layers_of(&settings);
    let single = layers.iter().filter(|(_, layers)| **layers < 2);
    let single: Vec<_> = single.map(|(attempt, _)| *attempt).collect();
    assert_eq!(single, ONE_LAYER.map(first));
}

/// The probe under one layer, or under what these words put around it.
fn alone(setting: &str, around: &[&str], layer: &str) -> Value {
    let probe = [PROXY, "confine-probe", "--json", "--only", layer];
    let words = [&around[1..], &probe].concat();
    let ended = guest::try_run(around[0], &words);
    let (text, errors) = (guest::text(&ended.stdout), guest::text(&ended.stderr));
    findings_in(&format!("{text}\n{errors}"), setting)
}

fn first((attempt, _): (&'static str, &str)) -> &'static str {
    attempt
}

/// The service after its first start: what is not there cannot be refused.
fn lived_in(apparmor: AppArmor) -> Service {
    let service = Service::installed(apparmor);
    service.start();
    systemctl(&["stop", UNIT]);
    service
}

/// Runs the probe in the daemon's place, with everything that the unit puts on it.
fn in_unit(service: &Service, setting: &str, words: &str) -> Value {
    // A probe is no daemon: it ends, and with 1 if anything was let through.
    let instead = format!(
        "[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nSuccessExitStatus=1\n\
         ExecStart=\nExecStart={PROXY} {words}\n"
    );
    service.drop_in("probe", &instead);
    let ended = try_systemctl(&["start", UNIT]);
    let said = service.journal();
    assert!(ended.status.success(), "{}: {said}", show("Result"));
    findings_in(&said, setting)
}

/// What a probe printed, kept for the page that puts the settings side by side.
fn findings_in(text: &str, setting: &str) -> Value {
    let line = text.lines().find(|line| line.starts_with('{'));
    let line = line.unwrap_or_else(|| panic!("no findings: {text}"));
    let findings = serde_json::from_str(line).unwrap();
    findings::keep(setting, &findings);
    let (stopped, rest) = (attempts(&findings, true), attempts(&findings, false));
    println!("{setting}: {} stopped, {} not", stopped.len(), rest.len());
    findings
}
