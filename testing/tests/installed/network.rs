//! `IPAddressAllow=`: the kernel drops packets to addresses that the unit does not list.

use crate::node::ADDRESSES;
use crate::service::{AppArmor, Service};
use pulse_e2e::programs::{Need, skipped};

#[test]
fn unit_blocks_unlisted_address() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Enforces);
    service.start_with_nodes();
    assert!(
        service.temperature("pve2").is_ok(),
        "permitted by the other settings"
    );

    let [first, _] = ADDRESSES;
    let narrow = format!("[Service]\nIPAddressAllow=\nIPAddressAllow={first}\n");
    service.drop_in("narrow", &narrow);
    service.restart();
    assert!(service.temperature("pve1").is_ok());
    let error = service.temperature("pve2").unwrap_err();
    assert_dropped(&error, "pve2");
}

#[test]
fn unit_without_addresses_blocks_all() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Enforces);
    service.drop_in("nothing", "[Service]\nIPAddressAllow=\n");
    service.start_with_nodes();
    let error = service.temperature("pve1").unwrap_err();
    assert_dropped(&error, "pve1");
}

/// The error of a node from which nothing comes back.
fn assert_dropped(error: &str, name: &str) {
    let start = format!("node \"{name}\" did not answer in time: no answer from");
    assert!(error.starts_with(&start), "{error}");
    assert!(error.contains("IPAddressAllow="), "{error}");
}
