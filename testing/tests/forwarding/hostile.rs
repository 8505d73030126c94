//! Collectors that break the rules: they cost no memory, are left, and a good one at the
//! same address gets everything.

use super::NEEDS;
use super::villain::{Villain, Way};
use pulse_e2e::certificates::{Authority, Validity};
use pulse_e2e::forwarding::{
    COLLECTOR, SENDER, equip_well, failures, status, to_all, trouble, wait_for_all,
};
use pulse_e2e::programs::skipped;
use pulse_e2e::rsyslog::{Collector, Input, Rsyslog, TlsLibrary};
use pulse_e2e::{Daemon, Home, wait};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a collector may cost for whatever it does, in KiB: a window of the longest
/// records, and what the allocator keeps.
const BEARABLE_KIB: u64 = 8 * 1024;

/// A daemon at the mercy of a collector.
struct Site {
    authority: Authority,
    villain: Villain,
    daemon: Daemon,
    /// What it took before, in KiB.
    resident: u64,
}

impl Site {
    fn new(way: Way) -> Self {
        let authority = Authority::new();
        let villain = Villain::start(&authority.sign(COLLECTOR, Validity::Good), way);
        let home = Arc::new(Home::new());
        equip_well(&home, &authority);
        let config = to_all(&[(COLLECTOR, villain.address(), "relp")]);
        let daemon = Daemon::start_in(&home, &config.set_forward("timeout", "'1s'"));
        let resident = daemon.resident_kib();
        Self {
            authority,
            villain,
            daemon,
            resident,
        }
    }

    /// It is left at this step and tried again, at no great cost.
    fn endures(&self, step: &str) {
        let hurried = || {
            write(&self.daemon, 1);
            self.daemon.reload();
        };
        wait::until("three connections, two of them left", || {
            hurried();
            self.villain.connections() > 2 && failures(&self.daemon, step) > 1.5
        });
        wait::until("the trouble", || {
            hurried();
            trouble(&self.daemon)["step"] == step
        });
        let resident = self.daemon.resident_kib();
        let limit = self.resident + BEARABLE_KIB;
        assert!(resident < limit, "{resident} KiB, {} before", self.resident);
    }

    /// A good collector at the same address gets everything.
    fn recovers(self) {
        let address = self.villain.end();
        let rsyslog = Rsyslog::start_at(
            &Collector {
                input: Input::Relp(TlsLibrary::OpenSsl),
                ca: &self.authority.certificate(),
                certificate: &self.authority.sign(COLLECTOR, Validity::Good),
                sender: SENDER,
            },
            address,
        );
        self.daemon.reload();
        wait_for_all(&self.daemon, &rsyslog);
    }
}

/// Puts something on record.
fn write(daemon: &Daemon, times: usize) {
    for _ in 0..times {
        assert!(daemon.temperature("nowhere").is_err());
    }
}

fn is_endured(way: Way, step: &str) {
    if skipped(&NEEDS) {
        return;
    }
    let site = Site::new(way);
    site.endures(step);
    site.recovers();
}

#[test]
fn endless_frames_are_cut_short() {
    is_endured(Way::EndlessFrames, "open");
}

#[test]
fn unterminated_frame_is_cut_short() {
    is_endured(Way::EndlessFrame, "open");
}

#[test]
fn huge_length_allocates_nothing() {
    is_endured(Way::HugeLength, "open");
}

#[test]
fn wrong_number_acknowledges_nothing() {
    is_endured(Way::WrongNumbers, "records");
}

#[test]
fn unsent_number_acknowledges_nothing() {
    is_endured(Way::Forward, "records");
}

#[test]
fn mute_collector_is_dropped() {
    is_endured(Way::Mute, "open");
}

#[test]
fn silent_collector_is_dropped() {
    is_endured(Way::SilentOnceOpen, "records");
}

#[test]
fn unreading_collector_is_dropped() {
    is_endured(Way::NeverReads, "records");
}

#[test]
fn dripping_collector_gains_no_time() {
    is_endured(Way::DripsOnceOpen, "records");
}

#[test]
fn dripping_opening_gains_no_time() {
    is_endured(Way::Drips, "open");
}

#[test]
fn acknowledged_records_are_not_resent() {
    if skipped(&NEEDS) {
        return;
    }
    let site = Site::new(Way::ClosesAfterAnAcknowledgement);
    site.endures("records");
    let acknowledged = || status(&site.daemon)["streams"][0]["acknowledged_seq"].as_u64();
    let connections = site.villain.connections();
    wait::until("some progress", || {
        site.daemon.reload();
        site.villain.connections() > connections + 3
    });
    assert!(acknowledged().unwrap() >= 3);
    let received = site.villain.received();
    assert!(received.iter().all(|(_, count)| *count >= 1));
    let first = received.iter().find(|(seq, _)| *seq == 1).unwrap();
    assert_eq!(first.1, 1, "the first record was acknowledged at once");
    site.villain.change(Way::Good);
    wait::until("the rest", || {
        site.daemon.reload();
        status(&site.daemon)["streams"][0]["queue"] == 0
    });
}

#[test]
fn shutdown_waits_for_no_collector() {
    if skipped(&NEEDS) {
        return;
    }
    for way in [Way::SilentOnceOpen, Way::NeverReads, Way::NoGoodbye] {
        let authority = Authority::new();
        let villain = Villain::start(&authority.sign(COLLECTOR, Validity::Good), way);
        let home = Arc::new(Home::new());
        equip_well(&home, &authority);
        let config = to_all(&[(COLLECTOR, villain.address(), "relp")]);
        let daemon = Daemon::start_in(&home, &config);
        wait::until("the connection", || {
            status(&daemon)["streams"][0]["collectors"][0]["up"] == true
        });
        write(&daemon, 300);
        let asked = Instant::now();
        daemon.stop();
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{way:?}: {:?}",
            asked.elapsed()
        );
    }
}
