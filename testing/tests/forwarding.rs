//! The audit log at its collectors, as the daemon brings it there.

mod campaign;
mod continued;
mod hostile;
mod load;
mod machine;
mod refused;
mod renewed;
mod retained;
mod several;
mod spoilt;
pub(crate) mod villain;

use nix::sys::signal::Signal;
use pulse_e2e::certificates::Authority;
use pulse_e2e::forwarding::{
    COLLECTOR, collector, equip_well, is_done, numbers, status, to_all, trouble,
};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::rsyslog::{Input, Rsyslog, TlsLibrary};
use pulse_e2e::{Daemon, Home, wait};
use serde_json::Value;
use std::sync::Arc;

const NEEDS: [Need; 1] = [Need::Collector];
const RELP: Input = Input::Relp(TlsLibrary::OpenSsl);

/// A daemon whose collector is there.
struct Site {
    /// Its files are the collector's certificates.
    _authority: Authority,
    rsyslog: Rsyslog,
    daemon: Daemon,
}

impl Site {
    fn new(input: Input) -> Self {
        let authority = Authority::new();
        let rsyslog = collector(&authority, input);
        let home = Arc::new(Home::new());
        equip_well(&home, &authority);
        let protocol = match input {
            Input::Relp(_) => "relp",
            Input::Syslog => "syslog",
        };
        let config = to_all(&[(COLLECTOR, rsyslog.address(), protocol)]);
        Self {
            _authority: authority,
            rsyslog,
            daemon: Daemon::start_in(&home, &config),
        }
    }

    fn has_everything(&self) -> bool {
        let on_disk = self.daemon.home().records().len() as u64;
        numbers(&self.rsyslog) == (1..=on_disk).collect::<Vec<_>>()
    }
}

/// Puts some refusals on record.
fn write(daemon: &Daemon, records: usize) {
    for _ in 0..records {
        let answer = daemon.temperature("nowhere");
        assert!(answer.is_err());
    }
}

#[test]
fn records_arrive_byte_for_byte() {
    if skipped(&NEEDS) {
        return;
    }
    let site = Site::new(RELP);
    wait::until("the first records", || is_done(&site.daemon));
    write(&site.daemon, 10);
    let log = site.daemon.home().audit_log();
    wait::until("the later ones, byte for byte", || {
        let collected = std::fs::read_to_string(site.rsyslog.file()).unwrap();
        collected.lines().count() > 10 && collected == std::fs::read_to_string(&log).unwrap()
    });
    let status = status(&site.daemon);
    assert_eq!(status["streams"][0]["collectors"][0]["up"], true);
    assert_eq!(
        status["streams"][0]["collectors"][0]["trouble"],
        Value::Null
    );
}

#[test]
fn absent_collector_gets_records_later() {
    if skipped(&NEEDS) {
        return;
    }
    let mut site = Site::new(RELP);
    wait::until("the first records", || is_done(&site.daemon));
    site.rsyslog.end(Signal::SIGTERM);
    write(&site.daemon, 300);
    wait::until("the trouble", || trouble(&site.daemon)["step"] == "tcp");
    site.rsyslog.start_again();
    site.daemon.signal(Signal::SIGHUP);
    wait::until("all of it", || site.has_everything());
}
