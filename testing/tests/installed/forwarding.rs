//! Forwarding by the installed service, as `docs/operations.md` documents it.

use crate::guest;
use crate::service::{AppArmor, Service};
use pulse_e2e::certificates::{Authority, Validity, key_of};
use pulse_e2e::forwarding::{COLLECTOR, SENDER, collected_seqs, collector};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::rsyslog::{Input, TlsLibrary};
use pulse_e2e::wait;
use serde_json::{Value, json};
use std::path::Path;

const CREDENTIALS: &str = "/etc/pulse/log-forwarding";

#[test]
fn service_forwards_across_renewal() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Enforces);
    let authority = Authority::new();
    let rsyslog = collector(&authority, Input::Relp(TlsLibrary::OpenSsl));
    install_credentials(&authority);
    let (ip, port) = (rsyslog.address().ip(), rsyslog.address().port());
    service.configure(&format!(
        "forward = {{ collectors = [{{ name = '{COLLECTOR}', address = '{ip}', port = {port} }}] }}"
    ));
    service.start_with_nodes();
    service.temperature("pve1").unwrap();
    wait::until("the records", || stream(&service)["queue"] == 0);

    install_credentials(&authority);
    wait::until("the new certificate", || {
        stream(&service)["connections"] == 2
    });
    service.temperature("pve1").unwrap();
    wait::until("the later records", || stream(&service)["queue"] == 0);

    let collected = collected_seqs(&rsyslog);
    assert_eq!(collected, (1..=collected.len() as u64).collect::<Vec<_>>());
    assert_eq!(service.kernel_log().denied(), Vec::<String>::new());
}

fn stream(service: &Service) -> Value {
    let answer = service.administer(&json!({"method": "get_forwarding"}));
    answer["data"]["forwarding"]["streams"][0].clone()
}

/// Installs a new certificate and key, readable by root and the service's group only.
fn install_credentials(authority: &Authority) {
    let certificate = authority.sign(SENDER, Validity::Good);
    let group = ["-o", "root", "-g", "pulse-sensor-proxy"];
    guest::run(
        "install",
        &[&["-d", "-m", "0750"], &group[..], &[CREDENTIALS]].concat(),
    );
    for (from, name) in [
        (authority.certificate(), "ca.pem"),
        (certificate.clone(), "certificate.pem"),
        (key_of(&certificate), "key.pem"),
    ] {
        let to = Path::new(CREDENTIALS).join(name);
        let files = [from.to_str().unwrap(), to.to_str().unwrap()];
        guest::run(
            "install",
            &[&["-m", "0640"], &group[..], &files[..]].concat(),
        );
    }
}
