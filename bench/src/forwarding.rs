//! Forwarding: rate, cost, and effect on readings.
//!
//! Both senders, the daemon and rsyslog, alternate in sending the same log to the same
//! collector. rsyslog has its default settings, not the careful ones that `forward render`
//! writes, which would slow it down.

mod backlog;
mod senders;

use crate::Effort;
use crate::audit::Reading;
use crate::promise::{FORWARD_CPU, FORWARD_MEMORY, FORWARD_RATE, FORWARD_READING};
use crate::report::{Report, rounded};
use pulse_audit::{Body, Directory, Log, Settings, Timestamp};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::{Home, service};
use senders::{LogAndCollector, Transfer};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

/// Records of one write of the prepared log.
const BATCH: u64 = 1_000;

pub(crate) fn measure(effort: Effort, report: &mut Report) {
    if skipped(&[Need::Collector, Need::Sshd]) {
        return;
    }
    let (records, turns, backlog) = effort.forwarded;
    report.step("forwarding to a collector, by the daemon and by rsyslog");
    let mut site = LogAndCollector::new(records);
    let [mut ours, mut theirs] = <[Vec<Transfer>; 2]>::default();
    for _ in 0..turns {
        ours.push(site.by_the_daemon());
        theirs.push(site.by_rsyslog());
    }
    let rate = |sendings: &[Transfer]| median(sendings, |sending| sending.rate);
    let cpu = |sendings: &[Transfer]| median(sendings, |sending| sending.cpu);
    report.figure(FORWARD_RATE, rate(&ours) / rate(&theirs) * 100.0);
    report.figure(FORWARD_CPU, cpu(&ours) / cpu(&theirs) * 100.0);
    for (sendings, who) in [(&ours, "the daemon"), (&theirs, "rsyslog")] {
        report.note(format!(
            "forwarding by {who}: {} records/s, {} us of CPU per record (median of {turns} runs with {records} records)",
            rounded(rate(sendings)),
            rounded(cpu(sendings))
        ));
    }
    // Its collector would take processor time from the next measurement.
    drop(site);
    report.step("readings while a backlog is forwarded");
    let drained = backlog::drain(backlog);
    report.figure(FORWARD_MEMORY, drained.memory);
    report.figure(
        FORWARD_READING,
        (drained.during.median() / drained.between.median() - 1.0) * 100.0,
    );
    report.note(
        drained
            .during
            .described("reading with durable records while a backlog is forwarded"),
    );
    report.note(
        drained
            .between
            .described("the same while the collector is suspended"),
    );
    report.note(format!(
        "RSS with a backlog of {backlog} records: {} MiB with forwarding, {} MiB without; all records arrived",
        rounded(drained.resident),
        rounded(drained.resident - drained.memory)
    ));
}

fn median(sendings: &[Transfer], figure: impl Fn(&Transfer) -> f64) -> f64 {
    let mut figures: Vec<f64> = sendings.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A home with a log of this many records of outcomes.
fn home_with_a_log(records: u64) -> Arc<Home> {
    let home = Arc::new(Home::new());
    let log = home.audit_log();
    let directory = log.parent().unwrap();
    fs::create_dir_all(directory).unwrap();
    let storage = Directory::lock(directory, &home.audit_state()).unwrap();
    let settings = Settings {
        host: "bench".to_owned(),
        segment_age: Duration::MAX,
        ..Settings::default()
    };
    // Written by the library: a daemon would need a request for each record.
    let mut log = Log::open(storage, settings, Timestamp::now()).unwrap();
    let reading = Reading::sample();
    for _ in 0..records / BATCH.min(records) {
        let bodies: Vec<Body> = (0..BATCH.min(records))
            .map(|_| Body::of(&reading.event()))
            .collect();
        let now = Timestamp::now();
        log.append(now, &bodies).unwrap();
        if log.rotation_is_due(now) {
            log.rotate(now).unwrap();
        }
    }
    // Dropped, so that its lock is free for the daemon, which runs as another user: the files
    // become that user's.
    drop(log);
    for directory in [directory, &home.audit_state()] {
        service::give(directory);
        for file in fs::read_dir(directory).unwrap() {
            service::give(&file.unwrap().path());
        }
    }
    home
}

/// The bytes of all segments of a log.
fn log_bytes(home: &Home) -> u64 {
    home.read_log(|file| Ok(fs::metadata(file)?.len()))
        .into_iter()
        .sum()
}
