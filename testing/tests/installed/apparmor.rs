//! The AppArmor profile in complain and enforce mode permits everything that the daemon does.

use crate::guest;
use crate::service::{AppArmor, LOG, Service, UNIT, show, systemctl};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::wait;
use std::fs;

/// Has the service read, reload, rotate its log, restart and stop.
fn exercise(service: &Service) {
    service.start_with_nodes();
    let document = service.temperature("pve1").unwrap();
    let mut chips = document["sensors"].as_object().unwrap().keys();
    assert!(chips.any(|chip| chip.starts_with("nvme")), "{document}");
    assert!(service.scrape().contains("pulse_proxy_build_info"));
    systemctl(&["reload", UNIT]);
    assert!(service.temperature("pve2").is_ok());
    rotate(service);
    assert!(service.temperature("pve1").is_ok());
    // The second start finds the files of the first.
    systemctl(&["restart", UNIT]);
    assert!(service.temperature("pve1").is_ok());
    systemctl(&["stop", UNIT]);
    assert_eq!(show("Result"), "success");
}

fn rotate(service: &Service) {
    let before = service.segments();
    fs::rename(format!("{LOG}/audit.log"), format!("{LOG}/audit.log.1")).unwrap();
    systemctl(&["kill", "--kill-who=main", "--signal=SIGUSR1", UNIT]);
    wait::until("a new segment", || service.segments() > before);
}

/// The profile of a process, with its mode.
fn confinement(pid: &str) -> String {
    let file = format!("/proc/{pid}/attr/apparmor/current");
    fs::read_to_string(file).unwrap().trim_end().to_owned()
}

#[test]
fn complaining_profile_logs_nothing() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Complains);
    exercise(&service);
    assert_eq!(service.kernel_log().allowed(), [""; 0]);
    service.start();
    assert_eq!(confinement(&service.pid()), "pulse-sensor-proxy (complain)");
}

#[test]
fn enforced_profile_denies_no_work() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Enforces);
    exercise(&service);
    assert_eq!(service.kernel_log().denied(), [""; 0]);
    service.start();
    assert_eq!(confinement(&service.pid()), "pulse-sensor-proxy (enforce)");
}

#[test]
fn service_runs_without_profile() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Absent);
    exercise(&service);
    service.start();
    assert_eq!(confinement(&service.pid()), "unconfined");
}

#[test]
fn profile_denies_and_logs_exec() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Enforces);
    // `env` runs under the profile, which denies it another exec.
    let words = [
        "-p",
        "pulse-sensor-proxy",
        "--",
        "/usr/bin/env",
        "/usr/bin/true",
    ];
    let errors = guest::text(&guest::try_run("aa-exec", &words).stderr);
    assert!(errors.contains("Permission denied"), "{errors}");
    let denied = service.kernel_log().denied();
    let is_exec = |line: &String| {
        line.contains("operation=\"exec\"") && line.contains("name=\"/usr/bin/true\"")
    };
    assert!(denied.iter().any(is_exec), "{denied:?}");
}
