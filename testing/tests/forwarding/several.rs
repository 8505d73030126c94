//! Several collectors, syslog collectors, and the daemon's own messages.

use super::hostile_collector::{HostileCollector, Misbehaviour};
use super::{NEEDS, RELP, write};
use nix::sys::signal::Signal;
use pulse_e2e::certificates::{Authority, Validity};
use pulse_e2e::forwarding::{
    ForwardingHost, SENDER, collected_seqs, forward_to_all, install_valid_credentials,
    is_queue_empty, replay, status, wait_for_all,
};
use pulse_e2e::programs::skipped;
use pulse_e2e::rsyslog::{Collector, Input, Rsyslog, TlsLibrary};
use pulse_e2e::{Config, Daemon, Home, wait};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

const NAMES: [&str; 2] = ["first.test", "second.test"];

/// A host with two collectors.
struct TwoCollectors {
    collectors: [Rsyslog; 2],
    home: Arc<Home>,
    config: Config,
    authority: Authority,
}

impl TwoCollectors {
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
        install_valid_credentials(&home, &authority);
        let named = [0, 1].map(|index| (NAMES[index], collectors[index].address(), "relp"));
        Self {
            config: forward_to_all(&named),
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

    /// The records that the two have together.
    fn together(&self) -> BTreeSet<u64> {
        self.collectors.iter().flat_map(collected_seqs).collect()
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
    let mut host = TwoCollectors::new();
    let daemon = host.start();
    wait_for_all(&daemon, &host.collectors[0]);
    assert_eq!(collected_seqs(&host.collectors[1]), [0; 0]);
    host.collectors[0].stop(Signal::SIGKILL);
    write(&daemon, 20);
    wait::until("the second", || is_up(&daemon, 1));
    wait::until("everything at both", || {
        host.together() == everything(&daemon)
    });
    assert!(!collected_seqs(&host.collectors[1]).is_empty());
    host.collectors[0].restart();
    daemon.signal(Signal::SIGHUP);
    wait::until("the first again", || is_up(&daemon, 0));
    assert!(!is_up(&daemon, 1));
    let first = collected_seqs(&host.collectors[0]).len();
    // Requests may be summed into no new record; a reload always is one.
    daemon.signal(Signal::SIGHUP);
    wait::until("the reload at the first", || {
        collected_seqs(&host.collectors[0]).len() > first
    });
    wait::until("everything at both", || {
        host.together() == everything(&daemon)
    });
    let mut twice = host
        .collectors
        .iter()
        .flat_map(collected_seqs)
        .collect::<Vec<_>>();
    let all = twice.len();
    twice.sort_unstable();
    twice.dedup();
    // Only records in flight when the first was killed are sent to both.
    assert!(all - twice.len() <= 128, "{all} of {}", twice.len());
}

#[test]
fn useless_collector_is_passed_over() {
    if skipped(&NEEDS) {
        return;
    }
    let host = TwoCollectors::new();
    let certificate = host.authority.sign(NAMES[0], Validity::Good);
    let collector = HostileCollector::start(&certificate, Misbehaviour::WrongNumbers);
    let daemon = Daemon::start_in(
        &host.home,
        &forward_to_all(&[
            (NAMES[0], collector.address(), "relp"),
            (NAMES[1], host.collectors[1].address(), "relp"),
        ]),
    );
    write(&daemon, 20);
    wait_for_all(&daemon, &host.collectors[1]);
    assert!(collector.connections() > 0);
}

#[test]
fn all_collectors_get_everything() {
    if skipped(&NEEDS) {
        return;
    }
    let mut host = TwoCollectors::new();
    let daemon = host.start_for_all();
    host.collectors
        .iter()
        .for_each(|one| wait_for_all(&daemon, one));
    host.collectors[0].stop(Signal::SIGKILL);
    write(&daemon, 20);
    wait_for_all(&daemon, &host.collectors[1]);
    // Each stream looks for new records by itself.
    wait::until("the first one's queue", || {
        status(&daemon)["streams"][0]["queue"].as_u64() > Some(0)
    });
    let labels = "stream=\"second.test\",collector=\"second.test\"";
    assert!(daemon.metric(&format!("pulse_proxy_audit_forward_remote_up{{{labels}}}")) > 0.5);
    // Each collector has its own cursor.
    daemon.stop();
    let daemon = host.start_for_all();
    wait_for_all(&daemon, &host.collectors[1]);
    host.collectors[0].restart();
    daemon.signal(Signal::SIGHUP);
    wait_for_all(&daemon, &host.collectors[0]);
    wait::until("both", || is_queue_empty(&daemon));
}

#[test]
fn replay_completes_killed_syslog() {
    if skipped(&NEEDS) {
        return;
    }
    let mut host = ForwardingHost::new(Input::Syslog)
        .configured(|config| config.set_forward("timeout", "'1s'"));
    let daemon = host.start();
    write(&daemon, 100);
    wait_for_all(&daemon, &host.rsyslog);
    let written = host.home.records().len() as u64;
    wait::until("all records to count", || {
        status(&daemon)["streams"][0]["acknowledged_seq"].as_u64() >= Some(written)
    });
    // Messages in the collector's memory are lost with it, although they counted.
    std::fs::write(host.rsyslog.file(), lines(&host.rsyslog, 40)).unwrap();
    host.rsyslog.stop(Signal::SIGKILL);
    write(&daemon, 100);
    host.rsyslog.restart();
    daemon.signal(Signal::SIGHUP);
    let last = host.home.records().len() as u64;
    wait::until("the later records", || {
        collected_seqs(&host.rsyslog).contains(&last)
    });
    assert!(!collected_seqs(&host.rsyslog).contains(&41));
    replay(&daemon, 41);
    wait_for_all(&daemon, &host.rsyslog);
}

/// The first lines of the collected file.
fn lines(rsyslog: &Rsyslog, count: usize) -> String {
    rsyslog.collected()[..count]
        .iter()
        .map(|line| format!("{line}\n"))
        .collect()
}

/// A host that forwards the daemon's own messages too.
fn forwards_messages() -> ForwardingHost {
    ForwardingHost::new(RELP).configured(|config| config.set_forward("application_log", "true"))
}

const DROPPED: &str = "pulse_proxy_audit_forward_messages_dropped_total{stream=\"failover\"}";

#[test]
fn messages_survive_an_absence() {
    if skipped(&NEEDS) {
        return;
    }
    let mut host = forwards_messages();
    host.rsyslog
        .edit(|text| text.replace("%msg%\\n", "%msgid% %syslogseverity-text% %msg%\\n"));
    host.rsyslog.stop(Signal::SIGTERM);
    host.rsyslog.restart();
    let daemon = host.start();
    let has = |rsyslog: &Rsyslog, words: &str| {
        let collected = rsyslog.collected();
        let found = |line: &String| line.starts_with("log ") && line.contains(words);
        collected.iter().filter(|line| found(line)).count()
    };
    wait::until("the daemon's first message", || {
        has(&host.rsyslog, "serving") == 1
    });
    wait::until("the message about this", || {
        has(&host.rsyslog, "records go to the collector") == 1
    });
    host.rsyslog.stop(Signal::SIGKILL);
    daemon.reload();
    wait::until("the trouble", || super::trouble(&daemon) != Value::Null);
    host.rsyslog.restart();
    daemon.reload();
    wait::until("the messages in between", || {
        has(&host.rsyslog, "reloaded the configuration") >= 2
            && has(&host.rsyslog, "records do not get to the collector") >= 1
    });
    let warned = host.rsyslog.collected();
    let warned = warned
        .iter()
        .find(|line| line.contains("records do not get"));
    assert!(warned.unwrap().starts_with("log warning "), "{warned:?}");
    let dropped = format!("{DROPPED} 0");
    assert!(daemon.scrape().lines().any(|line| line == dropped));
    wait::until("an empty queue", || {
        status(&daemon)["streams"][0]["messages"]["queue"] == 0
    });
}

#[test]
fn messages_survive_a_killed_daemon() {
    if skipped(&NEEDS) {
        return;
    }
    let mut host = forwards_messages();
    host.rsyslog.stop(Signal::SIGTERM);
    let mut daemon = host.start();
    let stored = host.home.audit_state().join("messages");
    wait::until("the message about this", || {
        std::fs::read_to_string(&stored).is_ok_and(|text| text.contains("do not get to"))
    });
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    let daemon = host.start();
    host.rsyslog.restart();
    daemon.reload();
    let count = |words: &str| {
        let collected = host.rsyslog.collected();
        collected.iter().filter(|line| line.contains(words)).count()
    };
    wait::until("both starts, and the first run's trouble", || {
        count("serving") == 2 && count("records do not get to the collector") >= 1
    });
    let dropped = format!("{DROPPED} 0");
    assert!(daemon.scrape().lines().any(|line| line == dropped));
}
