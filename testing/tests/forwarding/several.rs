//! Two collectors, the other protocol, and the daemon's own messages.

use super::NEEDS;
use super::villain::{Villain, Way};
use super::write;
use nix::sys::signal::Signal;
use pulse_e2e::certificates::{Authority, Validity};
use pulse_e2e::forwarding::{
    SENDER, collector, equip_well, is_done, numbers, replay, status, to_all, wait_for_all,
};
use pulse_e2e::programs::skipped;
use pulse_e2e::rsyslog::{Collector, Input, Rsyslog, TlsLibrary};
use pulse_e2e::{Config, Daemon, Home, wait};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

const NAMES: [&str; 2] = ["first.test", "second.test"];

/// A daemon with two collectors.
struct Site {
    collectors: [Rsyslog; 2],
    home: Arc<Home>,
    config: Config,
    authority: Authority,
}

impl Site {
    fn new() -> Self {
        let authority = Authority::new();
        let libraries = [TlsLibrary::OpenSsl, TlsLibrary::GnuTls];
        let collectors = [0, 1].map(|index| {
            Rsyslog::start(&Collector {
                input: Input::Relp(libraries[index]),
                ca: &authority.certificate(),
                certificate: &authority.sign(NAMES[index], Validity::Good),
                sender: SENDER,
            })
        });
        let home = Arc::new(Home::new());
        equip_well(&home, &authority);
        let named = [0, 1].map(|index| (NAMES[index], collectors[index].address(), "relp"));
        Self {
            config: to_all(&named),
            collectors,
            home,
            authority,
        }
    }

    fn start(&self) -> Daemon {
        Daemon::start_in(&self.home, &self.config)
    }

    fn start_for_all(&self) -> Daemon {
        let config = self.config.clone().set_forward("mode", "'all'");
        Daemon::start_in(&self.home, &config)
    }

    /// What both have together.
    fn together(&self) -> BTreeSet<u64> {
        self.collectors.iter().flat_map(numbers).collect()
    }
}

fn is_up(daemon: &Daemon, index: usize) -> bool {
    status(daemon)["streams"][0]["collectors"][index]["up"] == true
}

fn everything(daemon: &Daemon) -> BTreeSet<u64> {
    (1..=daemon.home().records().len() as u64).collect()
}

#[test]
fn second_collector_takes_over() {
    if skipped(&NEEDS) {
        return;
    }
    let mut site = Site::new();
    let daemon = site.start();
    wait_for_all(&daemon, &site.collectors[0]);
    assert_eq!(numbers(&site.collectors[1]), [0; 0]);
    site.collectors[0].end(Signal::SIGKILL);
    write(&daemon, 20);
    wait::until("the second", || is_up(&daemon, 1));
    wait::until("everything at both", || {
        site.together() == everything(&daemon)
    });
    assert!(!numbers(&site.collectors[1]).is_empty());
    site.collectors[0].start_again();
    daemon.signal(Signal::SIGHUP);
    wait::until("the first again", || is_up(&daemon, 0));
    assert!(!is_up(&daemon, 1));
    let first = numbers(&site.collectors[0]).len();
    write(&daemon, 20);
    wait::until("everything at both", || {
        site.together() == everything(&daemon)
    });
    assert!(numbers(&site.collectors[0]).len() > first);
    let mut twice = site.collectors.iter().flat_map(numbers).collect::<Vec<_>>();
    let all = twice.len();
    twice.sort_unstable();
    twice.dedup();
    // Only what was on its way when the first died is sent to the second as well.
    assert!(all - twice.len() <= 128, "{all} of {}", twice.len());
}

#[test]
fn useless_collector_is_passed_over() {
    if skipped(&NEEDS) {
        return;
    }
    let site = Site::new();
    let certificate = site.authority.sign(NAMES[0], Validity::Good);
    let villain = Villain::start(&certificate, Way::WrongNumbers);
    let daemon = Daemon::start_in(
        &site.home,
        &to_all(&[
            (NAMES[0], villain.address(), "relp"),
            (NAMES[1], site.collectors[1].address(), "relp"),
        ]),
    );
    write(&daemon, 20);
    wait_for_all(&daemon, &site.collectors[1]);
    assert!(villain.connections() > 0);
}

#[test]
fn all_collectors_get_everything() {
    if skipped(&NEEDS) {
        return;
    }
    let mut site = Site::new();
    let daemon = site.start_for_all();
    site.collectors
        .iter()
        .for_each(|one| wait_for_all(&daemon, one));
    site.collectors[0].end(Signal::SIGKILL);
    write(&daemon, 20);
    wait_for_all(&daemon, &site.collectors[1]);
    let streams = status(&daemon)["streams"].clone();
    assert!(streams[0]["queue"].as_u64().unwrap() > 0, "{streams}");
    let labels = "stream=\"second.test\",collector=\"second.test\"";
    let up = format!("pulse_proxy_audit_forward_remote_up{{{labels}}}");
    assert!(daemon.metric(&up) > 0.5);
    // Each has a cursor of its own.
    daemon.stop();
    let daemon = site.start_for_all();
    wait_for_all(&daemon, &site.collectors[1]);
    site.collectors[0].start_again();
    daemon.signal(Signal::SIGHUP);
    wait_for_all(&daemon, &site.collectors[0]);
    wait::until("both", || is_done(&daemon));
}

#[test]
fn replay_completes_killed_syslog() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let mut rsyslog = collector(&authority, Input::Syslog);
    let home = Arc::new(Home::new());
    equip_well(&home, &authority);
    let named = [(super::COLLECTOR, rsyslog.address(), "syslog")];
    let config = to_all(&named).set_forward("timeout", "'1s'");
    let daemon = Daemon::start_in(&home, &config);
    write(&daemon, 100);
    wait_for_all(&daemon, &rsyslog);
    let written = home.records().len() as u64;
    wait::until("that it counts", || {
        status(&daemon)["streams"][0]["acknowledged_seq"].as_u64() >= Some(written)
    });
    // What was in its memory is lost with it, whatever counted.
    std::fs::write(rsyslog.file(), lines(&rsyslog, 40)).unwrap();
    rsyslog.end(Signal::SIGKILL);
    write(&daemon, 100);
    rsyslog.start_again();
    daemon.signal(Signal::SIGHUP);
    let last = home.records().len() as u64;
    wait::until("what followed", || numbers(&rsyslog).contains(&last));
    assert!(!numbers(&rsyslog).contains(&41));
    replay(&daemon, 41);
    wait_for_all(&daemon, &rsyslog);
}

/// The first so many lines of what it has.
fn lines(rsyslog: &Rsyslog, count: usize) -> String {
    let collected = rsyslog.collected();
    collected[..count]
        .iter()
        .map(|line| format!("{line}\n"))
        .collect()
}

const DROPPED: &str = "pulse_proxy_audit_forward_messages_dropped_total{stream=\"failover\"}";

#[test]
fn messages_survive_an_absence() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let mut rsyslog = collector(&authority, super::RELP);
    rsyslog.edit(|text| text.replace("%msg%\\n", "%msgid% %syslogseverity-text% %msg%\\n"));
    rsyslog.end(Signal::SIGTERM);
    rsyslog.start_again();
    let home = Arc::new(Home::new());
    equip_well(&home, &authority);
    let named = [(super::COLLECTOR, rsyslog.address(), "relp")];
    let config = to_all(&named).set_forward("application_log", "true");
    let daemon = Daemon::start_in(&home, &config);
    let has = |rsyslog: &Rsyslog, words: &str| {
        let collected = rsyslog.collected();
        let found = |line: &String| line.starts_with("log ") && line.contains(words);
        collected.iter().filter(|line| found(line)).count()
    };
    wait::until("the daemon's first words", || has(&rsyslog, "serving") == 1);
    wait::until("what it says of this", || {
        has(&rsyslog, "records go to the collector") == 1
    });
    rsyslog.end(Signal::SIGKILL);
    daemon.reload();
    wait::until("the trouble", || super::trouble(&daemon) != Value::Null);
    rsyslog.start_again();
    daemon.reload();
    wait::until("what it said meanwhile", || {
        has(&rsyslog, "reloaded the configuration") >= 2
            && has(&rsyslog, "records do not get to the collector") >= 1
    });
    let warned = rsyslog.collected();
    let warned = warned
        .iter()
        .find(|line| line.contains("records do not get"));
    assert!(warned.unwrap().starts_with("log warning "), "{warned:?}");
    let dropped = format!("{DROPPED} 0");
    assert!(daemon.scrape().lines().any(|line| line == dropped));
    wait::until("that none waits", || {
        status(&daemon)["streams"][0]["messages"]["queue"] == 0
    });
}

#[test]
fn messages_survive_a_killed_daemon() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let mut rsyslog = collector(&authority, super::RELP);
    rsyslog.end(Signal::SIGTERM);
    let home = Arc::new(Home::new());
    equip_well(&home, &authority);
    let named = [(super::COLLECTOR, rsyslog.address(), "relp")];
    let config = to_all(&named).set_forward("application_log", "true");
    let mut daemon = Daemon::start_in(&home, &config);
    let stored = home.audit_state().join("messages");
    wait::until("what it says of this", || {
        std::fs::read_to_string(&stored).is_ok_and(|text| text.contains("do not get to"))
    });
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    let daemon = Daemon::start_in(&home, &config);
    rsyslog.start_again();
    daemon.reload();
    let count = |words: &str| {
        let collected = rsyslog.collected();
        collected.iter().filter(|line| line.contains(words)).count()
    };
    wait::until("both starts, and the first run's trouble", || {
        count("serving") == 2 && count("records do not get to the collector") >= 1
    });
    let dropped = format!("{DROPPED} 0");
    assert!(daemon.scrape().lines().any(|line| line == dropped));
}
