//! Renewal of certificates while records are sent.

use super::load::{Load, Nodes};
use super::{NEEDS, RELP};
use nix::sys::signal::Signal;
use pulse_e2e::certificates::Validity;
use pulse_e2e::forwarding::{
    ForwardingHost, SENDER, collected_seqs, install_credentials, install_valid_credentials, status,
    wait_for_all,
};
use pulse_e2e::programs::skipped;
use pulse_e2e::rsyslog::{Input, TlsLibrary};
use pulse_e2e::{Daemon, wait};
use serde_json::Value;
use std::time::Duration;

fn connections(daemon: &Daemon) -> u64 {
    status(daemon)["streams"][0]["connections"]
        .as_u64()
        .unwrap()
}

#[test]
fn renewal_under_load_loses_nothing() {
    if skipped(&NEEDS) {
        return;
    }
    for library in [TlsLibrary::OpenSsl, TlsLibrary::GnuTls] {
        let nodes = Nodes::start();
        let mut host = ForwardingHost::new(Input::Relp(library));
        host.config = nodes.join(&host.home, host.config);
        let daemon = host.start();
        wait::until("the first connection", || connections(&daemon) == 1);
        let load = Load::start(&host.home, Duration::ZERO);
        for exchange in 1..=5 {
            let before = load.readings();
            wait::until("some readings", || load.readings() > before + 50);
            install_valid_credentials(&host.home, &host.authority);
            daemon.signal(Signal::SIGHUP);
            wait::until("the next connection", || connections(&daemon) > exchange);
        }
        let readings = load.end();
        wait_for_all(&daemon, &host.rsyslog);
        let got = collected_seqs(&host.rsyslog);
        assert!(got.len() as u64 > 2 * readings, "{readings} readings");
        let in_order: Vec<u64> = (1..=got.len() as u64).collect();
        assert_eq!(got, in_order, "{library:?}");
    }
}

#[test]
fn renewal_needs_no_signal() {
    if skipped(&NEEDS) {
        return;
    }
    let host = ForwardingHost::new(RELP);
    let daemon = host.start();
    wait::until("the first connection", || connections(&daemon) == 1);
    install_valid_credentials(&host.home, &host.authority);
    wait::until("the second connection", || connections(&daemon) == 2);
    wait_for_all(&daemon, &host.rsyslog);
}

#[test]
fn bad_renewal_keeps_connection() {
    if skipped(&NEEDS) {
        return;
    }
    let host = ForwardingHost::new(RELP);
    let daemon = host.start();
    wait::until("the first connection", || connections(&daemon) == 1);
    let good = host.authority.sign(SENDER, Validity::Good);
    install_credentials(&host.home, &host.authority, &good);
    std::fs::write(host.home.credentials().join("key.pem"), "no key").unwrap();
    daemon.signal(Signal::SIGHUP);
    wait::until("the complaint", || {
        status(&daemon)["certificates"]["error"] != Value::Null
    });
    assert!(daemon.log().contains("the new certificates cannot be used"));
    assert_eq!(connections(&daemon), 1);
    wait_for_all(&daemon, &host.rsyslog);
    install_credentials(&host.home, &host.authority, &good);
    daemon.signal(Signal::SIGHUP);
    wait::until("the second connection", || connections(&daemon) == 2);
    assert_eq!(status(&daemon)["certificates"]["error"], Value::Null);
}
