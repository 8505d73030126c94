//! `systemctl reload`: it applies a changed configuration, and fails on an invalid one.

use crate::service::{AppArmor, Service, UNIT, systemctl, try_systemctl};
use pulse_e2e::programs::{Need, skipped};

#[test]
fn reload_applies_changes() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Enforces);
    service.start_with_nodes();
    let pid = service.pid();
    assert!(service.temperature("pve1").is_ok());
    service.configure("read_timeout = '1s'");
    systemctl(&["reload", UNIT]);
    assert_eq!(service.connect().error(), "read timeout");
    assert_eq!(service.pid(), pid, "it is the same process");
}

#[test]
fn bad_reload_fails_with_reason() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Enforces);
    service.start_with_nodes();
    service.configure("mystery = 1");
    let refused = try_systemctl(&["reload", UNIT]);
    assert!(!refused.status.success());
    let journal = service.journal();
    let is_reason = |line: &str| line.contains("mystery") && line.contains("unknown");
    assert!(journal.lines().any(is_reason), "{journal}");
    assert!(
        service.temperature("pve1").is_ok(),
        "the previous configuration applies"
    );
}
