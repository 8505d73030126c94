//! Forwarding of the audit log to collectors, by the daemon.

mod campaign;
mod continued;
mod health;
mod hostile;
pub(crate) mod hostile_collector;
mod load;
mod lost;
pub(crate) mod machine;
mod refused;
mod renewed;
mod retained;
mod several;
mod spoilt;

use nix::sys::signal::Signal;
use pulse_e2e::forwarding::{ForwardingHost, collected_seqs, is_queue_empty, status, trouble};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::rsyslog::{Input, TlsLibrary};
use pulse_e2e::{Daemon, wait};
use serde_json::Value;

const NEEDS: [Need; 1] = [Need::Collector];
const RELP: Input = Input::Relp(TlsLibrary::OpenSsl);

/// Has the daemon write this many records, of refused readings.
fn write(daemon: &Daemon, records: usize) {
    for _ in 0..records {
        assert!(daemon.temperature("nowhere").is_err());
    }
}

#[test]
fn records_arrive_byte_for_byte() {
    if skipped(&NEEDS) {
        return;
    }
    let host = ForwardingHost::new(RELP);
    let daemon = host.start();
    wait::until("the first records", || is_queue_empty(&daemon));
    write(&daemon, 10);
    wait::until("the same bytes in both files", || {
        let collected = std::fs::read_to_string(host.rsyslog.file()).unwrap();
        let written = std::fs::read_to_string(host.home.audit_log()).unwrap();
        collected.lines().count() > 10 && collected == written
    });
    let collector = &status(&daemon)["streams"][0]["collectors"][0];
    assert_eq!(collector["up"], true);
    assert_eq!(collector["trouble"], Value::Null);
}

#[test]
fn absent_collector_gets_records_later() {
    if skipped(&NEEDS) {
        return;
    }
    let mut host = ForwardingHost::new(RELP);
    let daemon = host.start();
    wait::until("the first records", || is_queue_empty(&daemon));
    host.rsyslog.stop(Signal::SIGTERM);
    write(&daemon, 300);
    wait::until("the trouble", || trouble(&daemon)["step"] == "tcp");
    host.rsyslog.restart();
    daemon.signal(Signal::SIGHUP);
    wait::until("all records, in order", || {
        let written = host.home.records().len() as u64;
        collected_seqs(&host.rsyslog) == (1..=written).collect::<Vec<_>>()
    });
}
