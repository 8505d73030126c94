//! The SSH key as a systemd credential, which the daemon only reads.

use crate::guest;
use crate::service::{AppArmor, CREDENTIAL, Service, write};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sshd::make_key;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[test]
fn stored_credential_is_used() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Enforces);
    let directory = tempfile::tempdir().unwrap();
    make_key(directory.path(), "key");
    let key = fs::read_to_string(directory.path().join("key")).unwrap();
    write(CREDENTIAL, &key);
    fs::set_permissions(CREDENTIAL, Permissions::from_mode(0o600)).unwrap();

    service.start_with_nodes();
    assert!(service.temperature("pve1").is_ok());
    let public = fs::read_to_string(directory.path().join("key.pub")).unwrap();
    let shown = guest::run("pulse-sensorctl", &["keys", "show", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["public_key"], public.trim_end());
    let own = "/var/lib/pulse-sensor-proxy/ssh/id_ed25519";
    assert!(!Path::new(own).exists(), "the daemon made another key");
    assert_eq!(service.kernel_log().denied(), [""; 0]);
}
