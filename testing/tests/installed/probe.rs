//! The confinement probe under each layer outside the daemon.
//!
//! With `--only outside` the probe applies none of the daemon's own layers, so a stopped
//! attempt was stopped by the unit or by AppArmor.

use crate::guest;
use crate::service::{AppArmor, PROXY, Service, UNIT, show, systemctl, try_systemctl};
use pulse_e2e::findings::{self, attempts};
use pulse_e2e::programs::{Need, skipped};
use serde_json::Value;

const OUTSIDE: &str = "confine-probe --only outside --json";
const ALL: &str = "confine-probe --json";

/// Attempts that AppArmor stops for any user, with a part of its line in the kernel's log.
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
fn profile_alone_denies_and_logs() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = started_once(AppArmor::Enforces);
    let aa_exec = ["aa-exec", "-p", "pulse-sensor-proxy", "--"];
    let findings = alone("vm-apparmor", &aa_exec, "outside");
    let denied = service.kernel_log().denied();
    for (attempt, refusal) in REFUSALS {
        assert!(attempts(&findings, true).contains(&attempt), "{attempt}");
        let is_logged = denied.iter().any(|line| line.contains(refusal));
        assert!(is_logged, "{attempt}: {denied:#?}");
    }
}

#[test]
fn no_layer_stops_little() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let _service = started_once(AppArmor::Absent);
    let ended = guest::try_run(PROXY, &OUTSIDE.split(' ').collect::<Vec<_>>());
    let findings = findings_in(&guest::text(&ended.stdout), "vm-nothing");
    for (attempt, _) in REFUSALS {
        assert!(!attempts(&findings, true).contains(&attempt), "{attempt}");
    }
}

#[test]
fn unit_alone_stops_its_part() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = started_once(AppArmor::Absent);
    let findings = in_unit(&service, "vm-unit", OUTSIDE);
    for attempt in STOPPED_BY_THE_UNIT {
        assert!(attempts(&findings, true).contains(&attempt), "{attempt}");
    }
}

#[test]
fn unit_and_apparmor_stop_most() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = started_once(AppArmor::Enforces);
    let findings = in_unit(&service, "vm-unit-and-apparmor", OUTSIDE);
    for attempt in STOPPED_BY_THE_UNIT.into_iter().chain(REFUSALS.map(first)) {
        assert!(attempts(&findings, true).contains(&attempt), "{attempt}");
    }
}

#[test]
fn all_layers_stop_everything() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = started_once(AppArmor::Enforces);
    let findings = in_unit(&service, "vm-everything", ALL);
    assert_eq!(attempts(&findings, false), [""; 0]);
    assert_eq!(findings["tight"], true);
}

/// Attempts that one layer alone stops, and why no second one does. AppArmor and the unit
/// apply from the start, so they permit everything that the daemon does before it confines
/// itself.
const ONE_LAYER: [(&str, &str); 15] = [
    (
        "SCTP socket",
        "AppArmor mediates the type of a socket, not its protocol",
    ),
    (
        "connect to an abstract socket",
        "this AppArmor does not mediate Unix sockets",
    ),
    ("install another seccomp filter", "the daemon installs one"),
    (
        "set the dumpable flag",
        "the daemon needs prctl(2) to become undumpable",
    ),
    (
        "change a file's mode",
        "the daemon sets the mode of its socket",
    ),
    (
        "connect by sendto (TCP Fast Open)",
        "the unit permits this address, for metrics",
    ),
    (
        "connect to another port",
        "the unit permits this address, for metrics",
    ),
    (
        "connect to another port over IPv6",
        "the unit permits this address, for metrics",
    ),
    (
        "map executable memory",
        "MDWE denies only memory that was writable",
    ),
    ("listen", "the daemon listens"),
    ("create a file in ssh_dir", "the daemon makes its key"),
    (
        "map a program's code",
        "the mapped program is the daemon's own",
    ),
    (
        "MPTCP socket",
        "AppArmor mediates the type of a socket, not its protocol",
    ),
    ("Unix socket", "the daemon uses Unix sockets itself"),
    (
        "type into a terminal (TIOCSTI)",
        "there is none that it could be refused",
    ),
];

#[test]
fn two_layers_stop_every_attempt() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = started_once(AppArmor::Enforces);
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
    // RLIMIT_NPROC does not apply to root.
    settings.push(alone("vm-limits", &service_user, "limits"));
    for layer in ["landlock", "seccomp"] {
        settings.push(alone(&format!("vm-{layer}"), &service_user[4..], layer));
    }
    drop(service);
    settings.push(in_unit(&started_once(AppArmor::Absent), "vm-unit", OUTSIDE));
    if settings[2]["layers"][0]["state"] != "whole" {
        println!("SKIPPED: this kernel's Landlock is older than the daemon's rules");
        return;
    }
    let layers = findings::layer_counts(&settings);
    let single = layers.iter().filter(|(_, layers)| **layers < 2);
    let single: Vec<_> = single.map(|(attempt, _)| *attempt).collect();
    assert_eq!(single, ONE_LAYER.map(first));
}

/// The probe under one layer, started by a program like `aa-exec` or `setpriv`.
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

/// A service that was started once: access to a missing file is not denied.
fn started_once(apparmor: AppArmor) -> Service {
    let service = Service::installed(apparmor);
    service.start();
    systemctl(&["stop", UNIT]);
    service
}

/// Runs the probe in place of the daemon, under the unit's restrictions.
fn in_unit(service: &Service, setting: &str, words: &str) -> Value {
    // The probe ends, with exit code 1 when an attempt was not stopped.
    let instead = format!(
        "[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nSuccessExitStatus=1\n\
         ExecStart=\nExecStart={PROXY} {words}\n"
    );
    service.drop_in("probe", &instead);
    let ended = try_systemctl(&["start", UNIT]);
    let journal = service.journal();
    assert!(ended.status.success(), "{}: {journal}", show("Result"));
    findings_in(&journal, setting)
}

/// Parses a probe's output and stores it for the table in `docs/hardening.md`.
fn findings_in(text: &str, setting: &str) -> Value {
    let line = text.lines().find(|line| line.starts_with('{'));
    let line = line.unwrap_or_else(|| panic!("no findings: {text}"));
    let findings = serde_json::from_str(line).unwrap();
    findings::save(setting, &findings);
    let (stopped, rest) = (attempts(&findings, true), attempts(&findings, false));
    println!("{setting}: {} stopped, {} not", stopped.len(), rest.len());
    findings
}
