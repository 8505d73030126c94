//! Forwarding: how fast, at what cost, and whether readings feel it.
//!
//! Both senders, the daemon and rsyslog, bring the same log to the same collector, in
//! turns. rsyslog's settings are its own, not the careful ones that we render: it is
//! the speed that is compared, so nothing of it is held back.

mod backlog;
mod senders;

use crate::Effort;
use crate::audit::Reading;
use crate::promise::{FORWARD_CPU, FORWARD_MEMORY, FORWARD_RATE, FORWARD_READING};
use crate::report::{Report, rounded};
use pulse_audit::{Body, Directory, Log, Settings, Timestamp};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::{Home, service};
use senders::{Sending, Site};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

/// Records in one write of a log that is made for this.
const BATCH: u64 = 1_000;

pub(crate) fn measure(effort: Effort, report: &mut Report) {
    if skipped(&[Need::Collector, Need::Sshd]) {
        return;
    }
    let (records, turns, backlog) = effort.forwarded;
    report.step("records to rsyslog, by the daemon and by rsyslog");
    let mut site = Site::new(records);
    let [mut ours, mut theirs] = <[Vec<Sending>; 2]>::default();
    for _ in 0..turns {
        ours.push(site.by_the_daemon());
        theirs.push(site.by_rsyslog());
    }
    let rate = |sendings: &[Sending]| median(sendings, |sending| sending.rate);
    let cpu = |sendings: &[Sending]| median(sendings, |sending| sending.cpu);
    report.figure(FORWARD_RATE, rate(&ours) / rate(&theirs) * 100.0);
    report.figure(FORWARD_CPU, cpu(&ours) / cpu(&theirs) * 100.0);
    for (sendings, who) in [(&ours, "the daemon"), (&theirs, "rsyslog")] {
        report.note(format!(
            "{who}: {} records/s, {} us of CPU each ({turns} times {records})",
            rounded(rate(sendings)),
            rounded(cpu(sendings))
        ));
    }
    drop(site);
    report.step("readings while a backlog drains");
    let drained = backlog::drain(backlog);
    report.figure(FORWARD_MEMORY, drained.memory);
    let more = (drained.during.median() / drained.between.median() - 1.0) * 100.0;
    report.figure(FORWARD_READING, more);
    report.note(drained.during.described("a whole reading while it drains"));
    report.note(
        drained
            .between
            .described("the same while the collector sleeps"),
    );
    report.note(format!(
        "{backlog} records behind: {} MiB with forwarding, {} MiB without; all arrived",
        rounded(drained.resident),
        rounded(drained.resident - drained.memory)
    ));
}

fn median(sendings: &[Sending], figure: impl Fn(&Sending) -> f64) -> f64 {
    let mut figures: Vec<f64> = sendings.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A home whose log has so many records of outcomes.
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
    drop(log);
    for place in [directory, &home.audit_state()] {
        service::own(place);
        for file in fs::read_dir(place).unwrap() {
            service::own(&file.unwrap().path());
        }
    }
    home
}

/// The bytes of a log's files that records are in.
fn log_bytes(home: &Home) -> u64 {
    let log = home.audit_log();
    let files = fs::read_dir(log.parent().unwrap()).unwrap();
    let files = files.map(|file| file.unwrap());
    let records = files.filter(|file| {
        let name = file.file_name();
        name == "audit.log" || name.to_string_lossy().starts_with("audit.log-")
    });
    records.map(|file| file.metadata().unwrap().len()).sum()
}
