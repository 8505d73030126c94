//! Collectors that break the protocol: the daemon drops them in bounded memory, and a good
//! one at the same address gets every record.

use super::hostile_collector::{HostileCollector, Misbehaviour};
use super::{NEEDS, RELP, write};
use pulse_e2e::certificates::{Authority, Validity};
use pulse_e2e::forwarding::{
    COLLECTOR, SENDER, failures, forward_to, install_valid_credentials, status, trouble,
    wait_for_all,
};
use pulse_e2e::programs::skipped;
use pulse_e2e::rsyslog::{Collector, Rsyslog};
use pulse_e2e::{Daemon, Home, wait};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most that a collector may make the daemon grow, in KiB: a window of the longest
/// records, and memory that the allocator keeps.
const MAX_GROWTH_KIB: u64 = 8 * 1024;

/// A daemon whose collector misbehaves.
struct Attacked {
    authority: Authority,
    collector: HostileCollector,
    daemon: Daemon,
    /// The daemon's resident memory at its start, in KiB.
    resident: u64,
}

impl Attacked {
    fn new(misbehaviour: Misbehaviour) -> Self {
        let authority = Authority::new();
        let certificate = authority.sign(COLLECTOR, Validity::Good);
        let collector = HostileCollector::start(&certificate, misbehaviour);
        let home = Arc::new(Home::new());
        install_valid_credentials(&home, &authority);
        let config = forward_to(collector.address()).set_forward("timeout", "'1s'");
        let daemon = Daemon::start_in(&home, &config);
        let resident = daemon.resident_kib();
        Self {
            authority,
            collector,
            daemon,
            resident,
        }
    }

    /// The collector is dropped at this step and tried again, in bounded memory.
    fn assert_dropped(&self, step: &str) {
        let write_and_retry = || {
            write(&self.daemon, 1);
            self.daemon.reload();
        };
        wait::until("three connections, two of them dropped", || {
            write_and_retry();
            self.collector.connections() > 2 && failures(&self.daemon, step) > 1.5
        });
        wait::until("the trouble", || {
            write_and_retry();
            trouble(&self.daemon)["step"] == step
        });
        let resident = self.daemon.resident_kib();
        let limit = self.resident + MAX_GROWTH_KIB;
        assert!(resident < limit, "{resident} KiB, {} before", self.resident);
    }

    /// A good collector at the same address gets every record.
    fn assert_recovers(self) {
        let address = self.collector.end();
        let rsyslog = Rsyslog::start_at(
            &Collector {
                input: RELP,
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

fn assert_tolerated(misbehaviour: Misbehaviour, step: &str) {
    if skipped(&NEEDS) {
        return;
    }
    let attacked = Attacked::new(misbehaviour);
    attacked.assert_dropped(step);
    attacked.assert_recovers();
}

#[test]
fn endless_frames_are_cut_short() {
    assert_tolerated(Misbehaviour::EndlessFrames, "open");
}

#[test]
fn unterminated_frame_is_cut_short() {
    assert_tolerated(Misbehaviour::EndlessFrame, "open");
}

#[test]
fn huge_length_allocates_nothing() {
    assert_tolerated(Misbehaviour::HugeLength, "open");
}

#[test]
fn wrong_number_acknowledges_nothing() {
    assert_tolerated(Misbehaviour::WrongNumbers, "records");
}

#[test]
fn unsent_number_acknowledges_nothing() {
    assert_tolerated(Misbehaviour::Forward, "records");
}

#[test]
fn mute_collector_is_dropped() {
    assert_tolerated(Misbehaviour::Mute, "open");
}

#[test]
fn silent_collector_is_dropped() {
    assert_tolerated(Misbehaviour::SilentOnceOpen, "records");
}

#[test]
fn unreading_collector_is_dropped() {
    assert_tolerated(Misbehaviour::NeverReads, "records");
}

#[test]
fn dripping_collector_gains_no_time() {
    assert_tolerated(Misbehaviour::DripsOnceOpen, "records");
}

#[test]
fn dripping_opening_gains_no_time() {
    assert_tolerated(Misbehaviour::Drips, "open");
}

#[test]
fn broken_connection_is_closed_at_once() {
    if skipped(&NEEDS) {
        return;
    }
    let attacked = Attacked::new(Misbehaviour::WrongNumbers);
    // Each failure doubles the pause before the next attempt, to 24 seconds at least.
    wait::until("six connections", || {
        attacked.daemon.reload();
        attacked.collector.connections() >= 6
    });
    let begun = Instant::now();
    wait::until("the end of the last one", || attacked.collector.open() == 0);
    // Not only when the pause ends.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn acknowledged_records_are_not_resent() {
    if skipped(&NEEDS) {
        return;
    }
    let attacked = Attacked::new(Misbehaviour::ClosesAfterAnAcknowledgement);
    attacked.assert_dropped("records");
    let acknowledged = || status(&attacked.daemon)["streams"][0]["acknowledged_seq"].as_u64();
    let connections = attacked.collector.connections();
    wait::until("some progress", || {
        attacked.daemon.reload();
        attacked.collector.connections() > connections + 3
    });
    assert!(acknowledged().unwrap() >= 3);
    let received = attacked.collector.received();
    assert!(received.iter().all(|(_, count)| *count >= 1));
    let first = received.iter().find(|(seq, _)| *seq == 1).unwrap();
    assert_eq!(
        first.1, 1,
        "the first record is acknowledged, and not resent"
    );
    attacked.collector.change(Misbehaviour::Good);
    wait::until("the rest", || {
        attacked.daemon.reload();
        status(&attacked.daemon)["streams"][0]["queue"] == 0
    });
}

#[test]
fn shutdown_waits_for_no_collector() {
    if skipped(&NEEDS) {
        return;
    }
    for misbehaviour in [
        Misbehaviour::SilentOnceOpen,
        Misbehaviour::NeverReads,
        Misbehaviour::NoGoodbye,
    ] {
        let authority = Authority::new();
        let collector =
            HostileCollector::start(&authority.sign(COLLECTOR, Validity::Good), misbehaviour);
        let home = Arc::new(Home::new());
        install_valid_credentials(&home, &authority);
        let daemon = Daemon::start_in(&home, &forward_to(collector.address()));
        wait::until("the connection", || {
            status(&daemon)["streams"][0]["connections"] == 1
        });
        write(&daemon, 300);
        let asked = Instant::now();
        daemon.stop();
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{misbehaviour:?}: {:?}",
            asked.elapsed()
        );
    }
}
