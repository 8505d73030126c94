//! The log goes on, under whatever name and after whatever end; so does the stream.

use super::{NEEDS, RELP, write};
use nix::sys::signal::Signal;
use pulse_e2e::certificates::Authority;
use pulse_e2e::forwarding::{
    collector, equip_well, is_done, numbers, replay, status, to, wait_for_all,
};
use pulse_e2e::programs::skipped;
use pulse_e2e::rsyslog::Rsyslog;
use pulse_e2e::{Config, Daemon, Home, service, wait};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

struct Site {
    rsyslog: Rsyslog,
    home: Arc<Home>,
    config: Config,
    _authority: Authority,
}

impl Site {
    fn new() -> Self {
        let authority = Authority::new();
        let rsyslog = collector(&authority, RELP);
        let home = Arc::new(Home::new());
        equip_well(&home, &authority);
        Self {
            config: to(rsyslog.address()),
            rsyslog,
            home,
            _authority: authority,
        }
    }

    fn start(&self) -> Daemon {
        Daemon::start_in(&self.home, &self.config)
    }

    fn cursor(&self) -> PathBuf {
        self.home.audit_state().join("forward-failover.cursor")
    }

    /// Whether each line of the log is there, unchanged, whatever else.
    fn has_all(&self) -> bool {
        let collected: BTreeSet<String> = self.rsyslog.collected().into_iter().collect();
        logged(&self.home)
            .iter()
            .all(|line| collected.contains(line))
    }

    /// How often each record came, from the first to the last.
    fn counts(&self) -> Vec<usize> {
        let numbers = numbers(&self.rsyslog);
        let last = numbers.iter().max().copied().unwrap_or(0);
        let count = |seq| numbers.iter().filter(|number| **number == seq).count();
        (1..=last).map(count).collect()
    }
}

/// Kills a daemon with what it has not written.
fn kill(mut daemon: Daemon) {
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
}

fn last(daemon: &Daemon) -> u64 {
    status(daemon)["seq"].as_u64().unwrap()
}

/// The lines of the log, whichever segment they are in.
fn logged(home: &Home) -> Vec<String> {
    let log = home.audit_log();
    let files = fs::read_dir(log.parent().unwrap()).unwrap();
    let mut segments: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    segments.retain(|path| path.file_name().unwrap() != "audit.reserve" && *path != log);
    segments.sort();
    segments.push(log);
    let text: String = segments.iter().flat_map(fs::read_to_string).collect();
    text.lines().map(str::to_owned).collect()
}

/// The segments that have ended.
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
    let mut site = Site::new();
    site.config = site.config.set_audit("segment_bytes", "8192");
    let daemon = site.start();
    reload(&daemon, 80);
    wait::until("everything, in order", || {
        site.rsyslog.collected() == logged(&site.home)
    });
    let before = segments(&site.home);
    assert!(before > 1);
    site.rsyslog.end(Signal::SIGTERM);
    reload(&daemon, 80);
    assert!(segments(&site.home) > before + 1);
    site.rsyslog.start_again();
    daemon.signal(Signal::SIGHUP);
    wait::until("what came meanwhile", || site.has_all());
    // Also from a segment that ended long ago.
    replay(&daemon, 3);
    let until = logged(&site.home).len() - 5;
    wait::until("everything once more", || {
        let counts = site.counts();
        site.has_all() && counts[2..until].iter().all(|count| *count >= 2)
    });
}

/// Puts so many records on the log, which no limit sums up.
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
    let site = Site::new();
    let daemon = site.start();
    write(&daemon, 20);
    wait_for_all(&daemon, &site.rsyslog);
    // The cursor follows within seconds. To ask the daemon would be on record again.
    wait::until("the cursor", || {
        let at = site.home.records().len();
        let cursor = fs::read_to_string(site.cursor()).unwrap_or_default();
        cursor.contains(&format!("\"seq\":{at},"))
    });
    kill(daemon);
    let daemon = site.start();
    write(&daemon, 5);
    wait_for_all(&daemon, &site.rsyslog);
    assert!(
        site.counts().iter().all(|count| *count == 1),
        "{:?}",
        site.counts()
    );
    kill(daemon);
    // And with a torn end, which is accounted for.
    let mut log = fs::OpenOptions::new()
        .append(true)
        .open(site.home.audit_log())
        .unwrap();
    std::io::Write::write_all(&mut log, b"{\"seq\":99,\"ts\":\"20").unwrap();
    drop(log);
    let daemon = site.start();
    wait::until("what was recovered", || {
        is_done(&daemon)
            && site
                .rsyslog
                .collected()
                .iter()
                .any(|line| line.contains("log.recovered"))
    });
    wait_for_all(&daemon, &site.rsyslog);
    let highest = numbers(&site.rsyslog).into_iter().max();
    let written = site.home.records().len() as u64;
    assert!(highest <= Some(written), "{highest:?}: the torn one, too");
}

#[test]
fn bad_cursor_resends_everything() {
    if skipped(&NEEDS) {
        return;
    }
    let site = Site::new();
    let daemon = site.start();
    write(&daemon, 5);
    wait_for_all(&daemon, &site.rsyslog);
    let mut before = last(&daemon);
    daemon.stop();
    for (round, damage) in [None, Some(""), Some("{\"log_id\":"), Some("\0\0\0\0")]
        .iter()
        .enumerate()
    {
        match damage {
            None => fs::remove_file(site.cursor()).unwrap(),
            Some(text) => fs::write(site.cursor(), text).unwrap(),
        }
        let daemon = site.start();
        wait::until("everything again", || {
            let counts = site.counts();
            is_done(&daemon) && counts.iter().take(5).all(|count| *count == round + 2)
        });
        wait_for_all(&daemon, &site.rsyslog);
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
    let mut site = Site::new();
    fs::create_dir(site.home.audit_state()).unwrap();
    service::own(&site.home.audit_state());
    fs::create_dir(site.cursor()).unwrap();
    let mut daemon = site.start();
    let told = |daemon: &Daemon| daemon.log().matches("cannot be stored").count();
    for _ in 0..2 {
        wait_for_all(&daemon, &site.rsyslog);
        site.rsyslog.end(Signal::SIGTERM);
        wait::until("the complaint", || told(&daemon) == 1);
        site.rsyslog.start_again();
        daemon.reload();
    }
    wait_for_all(&daemon, &site.rsyslog);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    assert_eq!(told(&daemon), 1, "{}", daemon.log());
}

#[test]
fn new_log_is_sent_from_its_start() {
    if skipped(&NEEDS) {
        return;
    }
    let site = Site::new();
    let daemon = site.start();
    write(&daemon, 5);
    wait_for_all(&daemon, &site.rsyslog);
    daemon.stop();
    assert!(site.cursor().exists());
    let log = site.home.audit_log();
    fs::remove_dir_all(log.parent().unwrap()).unwrap();
    let state = fs::read_dir(site.home.audit_state()).unwrap();
    for file in state.map(|file| file.unwrap().path()) {
        if file != site.cursor() {
            fs::remove_file(file).unwrap();
        }
    }
    let daemon = site.start();
    let first = site.home.records()[0].clone();
    wait::until("the new log's first record", || {
        is_done(&daemon)
            && site
                .rsyslog
                .collected()
                .iter()
                .any(|line| line.contains(first["event_hash"].as_str().unwrap()))
    });
}
