//! systemd's watchdog and restarts: a hung or killed daemon is replaced.

use crate::guest;
use crate::service::{AppArmor, Service, show};
use pulse_e2e::programs::{Need, skipped};

#[test]
fn hung_daemon_is_replaced() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Enforces);
    service.start_with_nodes();
    assert_eq!(show("WatchdogUSec"), "30s", "as it is shipped");
    // A shorter interval; a stopped process does not die of SIGABRT, so its timeout is short too.
    service.drop_in("soon", "[Service]\nWatchdogSec=12\nTimeoutAbortSec=2\n");
    service.restart();
    let pid = service.pid();
    guest::run("kill", &["-STOP", &pid]);
    service.wait_for_another_than(&pid);
    assert_eq!(show("NRestarts"), "1");
    assert!(service.temperature("pve1").is_ok());
}

#[test]
fn killed_daemon_continues_its_log() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Enforces);
    service.start_with_nodes();
    assert!(service.temperature("pve1").is_ok());
    let pid = service.pid();
    guest::run("kill", &["-KILL", &pid]);
    service.wait_for_another_than(&pid);
    assert!(service.temperature("pve1").is_ok());
    let journal = service.journal();
    let begun = |line: &str| line.contains("verification key").then(|| line.to_owned());
    let begun = journal.lines().find_map(begun).unwrap();
    let (_, key) = begun.rsplit_once(": ").unwrap();
    guest::run("pulse-sensorctl", &["audit", "verify", "--key", key]);
    assert_eq!(service.kernel_log().denied(), [""; 0]);
}
