//! The stream of records across rotation, restarts, lost cursors and a new log.

use super::{NEEDS, RELP, write};
use nix::sys::signal::Signal;
use pulse_e2e::forwarding::{
    ForwardingHost, collected_seqs, is_queue_empty, replay, status, wait_for_all,
};
use pulse_e2e::programs::skipped;
use pulse_e2e::rsyslog::Rsyslog;
use pulse_e2e::{Daemon, Home, service, wait};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

fn cursor(home: &Home) -> PathBuf {
    home.audit_state().join("forward-failover.cursor")
}

/// True when each line of the log is at the collector, in any order.
fn has_every_line(host: &ForwardingHost) -> bool {
    let collected: BTreeSet<String> = host.rsyslog.collected().into_iter().collect();
    logged(&host.home)
        .iter()
        .all(|line| collected.contains(line))
}

/// The number of copies of each record, from the first to the last.
fn copies(rsyslog: &Rsyslog) -> Vec<usize> {
    let seqs = collected_seqs(rsyslog);
    let last = seqs.iter().max().copied().unwrap_or(0);
    let count = |seq| seqs.iter().filter(|other| **other == seq).count();
    (1..=last).map(count).collect()
}

/// Kills a daemon, so that it flushes nothing.
fn kill(mut daemon: Daemon) {
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
}

fn last(daemon: &Daemon) -> u64 {
    status(daemon)["seq"].as_u64().unwrap()
}

/// The lines of the log, in all segments.
fn logged(home: &Home) -> Vec<String> {
    home.log_text().lines().map(str::to_owned).collect()
}

/// The number of segments that have ended.
fn segments(home: &Home) -> usize {
    let lines = logged(home);
    let ended = |line: &&String| line.contains("\"event_type\":\"log.rotated\"");
    lines.iter().filter(ended).count()
}

#[test]
fn rotation_while_sending_loses_none() {
    if skipped(&NEEDS) {
        return;
    }
    let mut host =
        ForwardingHost::new(RELP).configured(|config| config.set_audit("segment_bytes", "8192"));
    let daemon = host.start();
    reload(&daemon, 80);
    wait::until("all records, in order", || {
        host.rsyslog.collected() == logged(&host.home)
    });
    let before = segments(&host.home);
    assert!(before > 1);
    host.rsyslog.stop(Signal::SIGTERM);
    reload(&daemon, 80);
    assert!(segments(&host.home) > before + 1);
    host.rsyslog.restart();
    daemon.signal(Signal::SIGHUP);
    wait::until("the records in between", || has_every_line(&host));
    // From a segment that ended before.
    replay(&daemon, 3);
    let until = logged(&host.home).len() - 5;
    wait::until("all records twice", || {
        let counts = copies(&host.rsyslog);
        has_every_line(&host) && counts[2..until].iter().all(|count| *count >= 2)
    });
}

/// Has the daemon write records that no limit sums up: one for each reload.
fn reload(daemon: &Daemon, times: usize) {
    for _ in 0..times {
        let before = logged(daemon.home()).len();
        daemon.signal(Signal::SIGHUP);
        wait::until("the record", || logged(daemon.home()).len() > before);
    }
}

#[test]
fn killed_daemon_resumes_at_cursor() {
    if skipped(&NEEDS) {
        return;
    }
    let host = ForwardingHost::new(RELP);
    let daemon = host.start();
    write(&daemon, 20);
    wait_for_all(&daemon, &host.rsyslog);
    // The cursor is stored within seconds. Asking the daemon would add a record.
    wait::until("the cursor", || {
        let at = host.home.records().len();
        let cursor = fs::read_to_string(cursor(&host.home)).unwrap_or_default();
        cursor.contains(&format!("\"seq\":{at},"))
    });
    kill(daemon);
    let daemon = host.start();
    write(&daemon, 5);
    wait_for_all(&daemon, &host.rsyslog);
    assert!(
        copies(&host.rsyslog).iter().all(|count| *count == 1),
        "{:?}",
        copies(&host.rsyslog)
    );
    kill(daemon);
    // A torn record at the end of the log.
    let mut log = fs::OpenOptions::new()
        .append(true)
        .open(host.home.audit_log())
        .unwrap();
    std::io::Write::write_all(&mut log, b"{\"seq\":99,\"ts\":\"20").unwrap();
    drop(log);
    let daemon = host.start();
    wait::until("the record of the recovery", || {
        is_queue_empty(&daemon)
            && host
                .rsyslog
                .collected()
                .iter()
                .any(|line| line.contains("log.recovered"))
    });
    wait_for_all(&daemon, &host.rsyslog);
    let highest = collected_seqs(&host.rsyslog).into_iter().max();
    let written = host.home.records().len() as u64;
    assert!(
        highest <= Some(written),
        "{highest:?}: the torn record was sent"
    );
}

#[test]
fn bad_cursor_resends_everything() {
    if skipped(&NEEDS) {
        return;
    }
    let host = ForwardingHost::new(RELP);
    let daemon = host.start();
    write(&daemon, 5);
    wait_for_all(&daemon, &host.rsyslog);
    let mut before = last(&daemon);
    daemon.stop();
    for (round, damage) in [None, Some(""), Some("{\"log_id\":"), Some("\0\0\0\0")]
        .iter()
        .enumerate()
    {
        match damage {
            None => fs::remove_file(cursor(&host.home)).unwrap(),
            Some(text) => fs::write(cursor(&host.home), text).unwrap(),
        }
        let daemon = host.start();
        wait::until("all records again", || {
            let counts = copies(&host.rsyslog);
            is_queue_empty(&daemon) && counts.iter().take(5).all(|count| *count == round + 2)
        });
        wait_for_all(&daemon, &host.rsyslog);
        assert!(last(&daemon) > before);
        before = last(&daemon);
        daemon.stop();
    }
}

#[test]
fn unwritable_cursor_is_reported_once() {
    if skipped(&NEEDS) {
        return;
    }
    let mut host = ForwardingHost::new(RELP);
    fs::create_dir(host.home.audit_state()).unwrap();
    service::give(&host.home.audit_state());
    fs::create_dir(cursor(&host.home)).unwrap();
    let mut daemon = host.start();
    let told = |daemon: &Daemon| daemon.log().matches("cannot write the cursor").count();
    for _ in 0..2 {
        wait_for_all(&daemon, &host.rsyslog);
        host.rsyslog.stop(Signal::SIGTERM);
        wait::until("the complaint", || told(&daemon) == 1);
        host.rsyslog.restart();
        daemon.reload();
    }
    wait_for_all(&daemon, &host.rsyslog);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    assert_eq!(told(&daemon), 1, "{}", daemon.log());
}

#[test]
fn new_log_is_sent_from_its_start() {
    if skipped(&NEEDS) {
        return;
    }
    let host = ForwardingHost::new(RELP);
    let daemon = host.start();
    write(&daemon, 5);
    wait_for_all(&daemon, &host.rsyslog);
    daemon.stop();
    assert!(cursor(&host.home).exists());
    let log = host.home.audit_log();
    fs::remove_dir_all(log.parent().unwrap()).unwrap();
    let state = fs::read_dir(host.home.audit_state()).unwrap();
    for file in state.map(|file| file.unwrap().path()) {
        if file != cursor(&host.home) {
            fs::remove_file(file).unwrap();
        }
    }
    let daemon = host.start();
    let first = host.home.records()[0].clone();
    wait::until("the new log's first record", || {
        is_queue_empty(&daemon)
            && host
                .rsyslog
                .collected()
                .iter()
                .any(|line| line.contains(first["event_hash"].as_str().unwrap()))
    });
}
