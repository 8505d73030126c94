//! Daemon and helper under AppArmor, in user-mode Linux.

use pulse_e2e::findings::{self, attempts};
use pulse_e2e::programs::{Need, find, skipped};
use pulse_e2e::uml::{self, Job, Mode, Report};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROFILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../security/apparmor");
const NEEDS: [Need; 5] = [
    Need::NoUnit("the daemon runs in user-mode Linux"),
    Need::Collector,
    Need::Program(uml::PROGRAM),
    Need::Program("apparmor_parser"),
    Need::Program("sshd"),
];

fn profiles() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(PROFILES).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Runs a job in the guest, under our profiles.
pub(super) fn run(name: &str, mode: Mode) -> Report {
    let profiles = Path::new(PROFILES);
    let job = Job {
        name,
        profiles,
        mode,
    };
    uml::run(Path::new(env!("CARGO_BIN_EXE_pulse-uml-guest")), job)
}

#[test]
fn parser_accepts_every_profile() {
    if skipped(&[Need::Program("apparmor_parser")]) {
        return;
    }
    let profiles = profiles();
    assert!(!profiles.is_empty());
    for profile in profiles {
        let mut parser = Command::new(find("apparmor_parser").unwrap());
        let output = parser.arg("-QKT").arg(&profile).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        // The parser's notice on kernels without AppArmor.
        let is_about_the_kernel = |line: &&str| line.is_empty() || line.contains("Kernel needs");
        let is_clean = errors.lines().all(|line| is_about_the_kernel(&line));
        assert!(output.status.success() && is_clean, "{errors}");
    }
}

/// The job did all its work, and AppArmor logged only the read of the forbidden file.
fn assert_only_the_forbidden_is_logged(report: &Report, mode: Mode, verdict: &str) {
    let answer = &report.answer;
    let under = |profile: &str| format!("{profile} ({})", mode.as_str());
    let (daemon, helper) = (under("pulse-sensor-proxy"), under("pulse-sensor-node"));
    assert_eq!(answer["profiles"], json!([daemon, helper, daemon]));
    let processor = &answer["document"]["sensors"]["coretemp-isa-0000"];
    assert_eq!(processor["Package id 0"]["temp1_input"], 52.0);
    let metrics = answer["metrics"].as_str().unwrap();
    assert!(metrics.contains("pulse_proxy_build_info{"), "{metrics}");
    assert_eq!(answer["socket_is_left"], false);
    assert!(answer["forwarded"].as_u64().unwrap() > 20, "{answer}");
    let (of_the_forbidden, of_work): (Vec<_>, Vec<_>) = report
        .lines(verdict)
        .into_iter()
        .partition(|line| line.contains(uml::FORBIDDEN));
    assert_eq!(of_work, Vec::<&str>::new());
    assert!(!of_the_forbidden.is_empty(), "AppArmor logged nothing");
}

#[test]
fn enforced_profiles_deny_no_work() {
    if skipped(&NEEDS) {
        return;
    }
    let report = run("work", Mode::Enforce);
    assert_only_the_forbidden_is_logged(&report, Mode::Enforce, "DENIED");
    let record = &report.answer["confinement"];
    let (active, missing) = (&record["reason"], &record["error"]);
    assert!(active.as_str().unwrap().contains("seccomp ("), "{record}");
    // The kernel of user-mode Linux has no Landlock.
    let missing = missing.as_str().unwrap();
    assert!(missing.starts_with("landlock missing: "), "{record}");
}

#[test]
fn complaining_profiles_log_nothing() {
    if skipped(&NEEDS) {
        return;
    }
    let report = run("work", Mode::Complain);
    assert_only_the_forbidden_is_logged(&report, Mode::Complain, "ALLOWED");
    assert_eq!(report.lines("DENIED"), Vec::<&str>::new());
}

#[test]
fn apparmor_alone_denies_and_logs() {
    if skipped(&NEEDS) {
        return;
    }
    let report = run("probe", Mode::Enforce);
    findings::save("apparmor", &report.answer);
    let stopped = attempts(&report.answer, true);
    for what in [
        "read /etc/shadow",
        "list /root",
        "list /",
        "write the configuration",
        "create a file beside the configuration",
        "create a file in /tmp",
        "start a program",
        "mount",
        "change the root (chroot)",
        "set the host name",
        "load a kernel module",
        "raw IP socket",
        "packet socket",
        "UDP socket",
        "netlink socket",
        "signal another process",
        "read another process's memory",
    ] {
        assert!(stopped.contains(&what), "{what}: {}", report.answer);
    }
    let denied = report.lines("DENIED");
    for what in [
        "name=\"/etc/shadow\"",
        "name=\"/etc/pulse-sensor-proxy/config.toml\"",
        "operation=\"exec\"",
        "operation=\"mount\"",
        "operation=\"ptrace\"",
        "operation=\"signal\"",
        "capname=\"sys_module\"",
        "sock_type=\"raw\"",
        "family=\"packet\"",
    ] {
        let logged = denied.iter().any(|line| line.contains(what));
        assert!(logged, "{what} is not in {denied:#?}");
    }
}
