//! Retention waits for collectors.

use super::{NEEDS, RELP, write};
use nix::sys::signal::Signal;
use pulse_e2e::certificates::Authority;
use pulse_e2e::forwarding::{COLLECTOR, collector, equip_well, numbers, status, to_all};
use pulse_e2e::programs::skipped;
use pulse_e2e::rsyslog::{Input, Rsyslog};
use pulse_e2e::{Config, Daemon, Home, control, wait};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const LIMIT: u32 = 20_000;

/// A daemon whose log is to have no more than [`LIMIT`], and its collector.
struct Site {
    rsyslog: Rsyslog,
    home: Arc<Home>,
    config: Config,
    _authority: Authority,
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
        let config = to_all(&[(COLLECTOR, rsyslog.address(), protocol)])
            .set_audit("segment_bytes", "5000")
            .set_audit("retain_bytes", &LIMIT.to_string());
        Self {
            rsyslog,
            home,
            config,
            _authority: authority,
        }
    }

    fn start(&self) -> Daemon {
        Daemon::start_in(&self.home, &self.config)
    }

    /// All records up to this one are at the collector.
    fn has_all(&self, last: u64) -> bool {
        let has: BTreeSet<u64> = numbers(&self.rsyslog).into_iter().collect();
        (1..=last).all(|seq| has.contains(&seq))
    }

    fn control(&self, words: &[&str]) -> pulse_e2e::Ended {
        control::run(&self.home, words)
    }
}

fn bytes(daemon: &Daemon) -> f64 {
    daemon.metric("pulse_proxy_audit_log_bytes")
}

fn first(daemon: &Daemon) -> f64 {
    daemon.metric("pulse_proxy_audit_first_sequence")
}

fn is_held(daemon: &Daemon) -> bool {
    daemon.metric("pulse_proxy_audit_retention_held") > 0.5
}

/// Writes until the log has far more than its limit.
fn exceed(daemon: &Daemon) {
    wait::until("more than the limit", || {
        write(daemon, 20);
        bytes(daemon) > 3.0 * f64::from(LIMIT)
    });
}

#[test]
fn a_segment_stays_until_the_collector_has_it() {
    if skipped(&NEEDS) {
        return;
    }
    let mut site = Site::new(RELP);
    site.rsyslog.end(Signal::SIGTERM);
    let daemon = site.start();
    let key = site.home.records()[0]["key"].as_str().unwrap().to_owned();
    exceed(&daemon);
    wait::until("the hold", || is_held(&daemon));
    assert!((first(&daemon) - 1.0).abs() < 0.5);
    site.rsyslog.start_again();
    // Certificates and collectors are looked at anew.
    daemon.signal(Signal::SIGHUP);
    wait::until("removals", || bytes(&daemon) <= f64::from(LIMIT));
    assert!(first(&daemon) > 1.0);
    // Not one record was removed that the collector has not.
    let last = status(&daemon)["seq"].as_u64().unwrap();
    wait::until("all of them at the collector", || site.has_all(last));
    let file = site.rsyslog.file();
    let log = site.home.audit_log();
    let words = ["audit", "verify", "--key", &key, "--json", "--collected"];
    let words = [
        &words[..],
        &[file.to_str().unwrap(), "--against"],
        &[log.parent().unwrap().to_str().unwrap()],
    ];
    let verified = site.control(&words.concat());
    let report: Value = serde_json::from_str(&verified.output).unwrap();
    assert_eq!(report["findings"], json!([]), "{report:#}");
    assert_eq!(report["first_seq"], 1, "{report:#}");
    assert!(
        report["against"]["pruned_through"].as_u64() > Some(0),
        "{report:#}"
    );
    wait::until("the message", || {
        let said = "old segments of the audit log were removed";
        daemon.log().contains(said)
    });
}

#[test]
fn a_record_that_was_removed_is_not_sent_again_and_the_first_that_can_be_is_named() {
    if skipped(&NEEDS) {
        return;
    }
    let site = Site::new(RELP);
    let daemon = site.start();
    exceed(&daemon);
    wait::until("a removal", || first(&daemon) > 1.0);
    let answer = daemon.administer(&json!({"method": "replay_forwarding", "params": {"from": 1}}));
    let error = answer["error"].as_str().unwrap().to_owned();
    assert!(
        error.ends_with("or more: earlier records were removed from the log"),
        "{error}"
    );
    let refused = site.control(&["forward", "replay", "--from", "1"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused
            .errors
            .contains("retention removed the records before"),
        "{refused:?}"
    );
    wait::until("nothing more to be removed", || {
        bytes(&daemon) <= f64::from(LIMIT)
    });
    assert!(status(&daemon)["first_seq"].as_u64() > Some(1));
    let text = site.control(&["forward", "status"]).output;
    assert!(text.contains("on disk       records "), "{text}");
    assert!(!text.contains("records 1 to"), "{text}");
    // The first that there is. Asking is on record, too, so one more segment may just go.
    wait::until("the first record to be sent again", || {
        let kept = status(&daemon)["first_seq"].as_u64().unwrap();
        let params = json!({"from": kept});
        let request = json!({"method": "replay_forwarding", "params": params});
        let is_sent_again = || {
            thread::sleep(Duration::from_millis(25));
            let sent = numbers(&site.rsyslog);
            sent.iter().filter(|seq| **seq == kept).count() > 1
        };
        daemon.administer(&request)["success"] == true && (0..40).any(|_| is_sent_again())
    });
}

#[test]
fn a_stream_that_acknowledges_nothing_keeps_segments_unless_it_is_to_count() {
    if skipped(&NEEDS) {
        return;
    }
    let site = Site::new(Input::Syslog);
    let daemon = site.start();
    exceed(&daemon);
    let why = "stream failover speaks syslog, which acknowledges nothing";
    wait::until("the complaint", || {
        let said = "the audit log exceeds its retention and nothing is removed: ";
        daemon.log().contains(&format!("{said}{why}"))
    });
    assert!((first(&daemon) - 1.0).abs() < 0.5);
    let shown = site.control(&["forward", "status"]);
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(shown.output.contains(why), "{shown:?}");
    let counted = site
        .config
        .clone()
        .set_audit("retain_unacknowledged", "true");
    site.home.write_config(&counted);
    daemon.signal(Signal::SIGHUP);
    // Its cursor counts now, which moves once the collector's kernel has had a record for a
    // while; from there on it is as with any other stream.
    wait::until("the stream to count", || {
        status(&daemon)["streams"][0]["keeps_segments"]
            == "no collector of stream failover has acknowledged a record yet"
    });
}

#[test]
fn a_collector_that_is_new_keeps_segments_until_it_has_them() {
    if skipped(&NEEDS) {
        return;
    }
    // The log is there before its collector.
    let site = Site::new(RELP);
    let alone = Config::new().set_audit("segment_bytes", "5000");
    let daemon = Daemon::start_in(&site.home, &alone);
    exceed(&daemon);
    daemon.stop();
    let daemon = site.start();
    wait::until("removals", || bytes(&daemon) <= f64::from(LIMIT));
    let kept = status(&daemon)["first_seq"].as_u64().unwrap();
    assert!(site.has_all(kept - 1), "{kept}");
}
