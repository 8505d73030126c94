//! Certificates that change while records are sent.

use super::NEEDS;
use super::load::{Load, Nodes};
use nix::sys::signal::Signal;
use pulse_e2e::certificates::{Authority, Validity};
use pulse_e2e::forwarding::{
    SENDER, collector, equip, equip_well, numbers, status, to, wait_for_all,
};
use pulse_e2e::programs::skipped;
use pulse_e2e::rsyslog::{Input, TlsLibrary};
use pulse_e2e::{Daemon, Home, wait};
use serde_json::Value;
use std::sync::Arc;
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
        let authority = Authority::new();
        let rsyslog = collector(&authority, Input::Relp(library));
        let (home, nodes) = (Arc::new(Home::new()), Nodes::start());
        equip_well(&home, &authority);
        let config = nodes.join(&home, to(rsyslog.address()));
        let daemon = Daemon::start_in(&home, &config);
        wait::until("the first connection", || connections(&daemon) == 1);
        let load = Load::start(&home, Duration::ZERO);
        for exchange in 1..=5 {
            let before = load.readings();
            wait::until("some readings", || load.readings() > before + 50);
            equip_well(&home, &authority);
            daemon.signal(Signal::SIGHUP);
            wait::until("the next connection", || connections(&daemon) > exchange);
        }
        let readings = load.end();
        wait_for_all(&daemon, &rsyslog);
        let got = numbers(&rsyslog);
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
    let authority = Authority::new();
    let rsyslog = collector(&authority, Input::Relp(TlsLibrary::OpenSsl));
    let home = Arc::new(Home::new());
    equip_well(&home, &authority);
    let daemon = Daemon::start_in(&home, &to(rsyslog.address()));
    wait::until("the first connection", || connections(&daemon) == 1);
    equip_well(&home, &authority);
    wait::until("the second connection", || connections(&daemon) == 2);
    wait_for_all(&daemon, &rsyslog);
}

#[test]
fn bad_renewal_keeps_connection() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let rsyslog = collector(&authority, Input::Relp(TlsLibrary::OpenSsl));
    let home = Arc::new(Home::new());
    equip_well(&home, &authority);
    let daemon = Daemon::start_in(&home, &to(rsyslog.address()));
    wait::until("the first connection", || connections(&daemon) == 1);
    let good = authority.sign(SENDER, Validity::Good);
    equip(&home, &authority, &good);
    std::fs::write(home.credentials().join("key.pem"), "no key").unwrap();
    daemon.signal(Signal::SIGHUP);
    wait::until("the complaint", || {
        status(&daemon)["certificates"]["error"] != Value::Null
    });
    assert!(daemon.log().contains("the new certificates are of no use"));
    assert_eq!(connections(&daemon), 1);
    wait_for_all(&daemon, &rsyslog);
    equip(&home, &authority, &good);
    daemon.signal(Signal::SIGHUP);
    wait::until("the second connection", || connections(&daemon) == 2);
    assert_eq!(status(&daemon)["certificates"]["error"], Value::Null);
}
