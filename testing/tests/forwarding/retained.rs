//! Retention removes no segment before its collectors have it.

use super::{NEEDS, RELP, write};
use nix::sys::signal::Signal;
use pulse_e2e::forwarding::{ForwardingHost, collected_seqs, status};
use pulse_e2e::programs::skipped;
use pulse_e2e::rsyslog::Input;
use pulse_e2e::{Config, Daemon, wait};
use serde_json::{Value, json};
use std::thread;
use std::time::Duration;

const LIMIT: u32 = 20_000;

/// A host whose log is limited to [`LIMIT`].
fn limited(input: Input) -> ForwardingHost {
    ForwardingHost::new(input).configured(|config| {
        config
            .set_audit("segment_bytes", "5000")
            .set_audit("retain_bytes", &LIMIT.to_string())
    })
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

/// Writes until the log has three times its limit.
fn exceed(daemon: &Daemon) {
    wait::until("more than the limit", || {
        write(daemon, 20);
        bytes(daemon) > 3.0 * f64::from(LIMIT)
    });
}

#[test]
fn segment_stays_until_delivered() {
    if skipped(&NEEDS) {
        return;
    }
    let mut host = limited(RELP);
    host.rsyslog.stop(Signal::SIGTERM);
    let daemon = host.start();
    let key = host.home.records()[0]["key"].as_str().unwrap().to_owned();
    exceed(&daemon);
    wait::until("the hold", || is_held(&daemon));
    assert!((first(&daemon) - 1.0).abs() < 0.5);
    host.rsyslog.restart();
    // Reconnects at once.
    daemon.signal(Signal::SIGHUP);
    wait::until("removals", || bytes(&daemon) <= f64::from(LIMIT));
    assert!(first(&daemon) > 1.0);
    // No record was removed that the collector lacks.
    let last = status(&daemon)["seq"].as_u64().unwrap();
    wait::until("all of them at the collector", || host.has_all(last));
    let file = host.rsyslog.file();
    let log = host.home.audit_log();
    let words = ["audit", "verify", "--key", &key, "--json", "--collected"];
    let words = [
        &words[..],
        &[file.to_str().unwrap(), "--against"],
        &[log.parent().unwrap().to_str().unwrap()],
    ];
    let report: Value = serde_json::from_str(&host.control(&words.concat()).output).unwrap();
    assert_eq!(report["findings"], json!([]), "{report:#}");
    assert_eq!(report["first_seq"], 1, "{report:#}");
    assert!(
        report["against"]["pruned_through"].as_u64() > Some(0),
        "{report:#}"
    );
    wait::until("the message", || {
        let said = "removed old segments of the audit log";
        daemon.log().contains(said)
    });
}

#[test]
fn replay_names_first_kept_record() {
    if skipped(&NEEDS) {
        return;
    }
    let host = limited(RELP);
    let daemon = host.start();
    exceed(&daemon);
    wait::until("a removal", || first(&daemon) > 1.0);
    let answer = daemon.administer(&json!({"method": "replay_forwarding", "params": {"from": 1}}));
    let error = answer["error"].as_str().unwrap().to_owned();
    assert!(
        error.ends_with("or more: earlier records were removed from the log"),
        "{error}"
    );
    let refused = host.control(&["forward", "replay", "--from", "1"]);
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
    let text = host.control(&["forward", "status"]).output;
    assert!(text.contains("on disk       records "), "{text}");
    assert!(!text.contains("records 1 to"), "{text}");
    // The first record that is kept. Asking adds records, so another segment may be removed.
    wait::until("the first record to be sent again", || {
        let kept = status(&daemon)["first_seq"].as_u64().unwrap();
        let params = json!({"from": kept});
        let request = json!({"method": "replay_forwarding", "params": params});
        let is_sent_again = || {
            thread::sleep(Duration::from_millis(25));
            let sent = collected_seqs(&host.rsyslog);
            sent.iter().filter(|seq| **seq == kept).count() > 1
        };
        daemon.administer(&request)["success"] == true && (0..40).any(|_| is_sent_again())
    });
}

#[test]
fn syslog_stream_keeps_segments() {
    if skipped(&NEEDS) {
        return;
    }
    let host = limited(Input::Syslog);
    let daemon = host.start();
    exceed(&daemon);
    let why = "stream failover speaks syslog, which acknowledges nothing";
    wait::until("the complaint", || {
        let said = "the audit log exceeds its retention and no segment is removed: ";
        daemon.log().contains(&format!("{said}{why}"))
    });
    assert!((first(&daemon) - 1.0).abs() < 0.5);
    let shown = host.control(&["forward", "status"]);
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(shown.output.contains(why), "{shown:?}");
    let counted = host
        .config
        .clone()
        .set_audit("retain_unacknowledged", "true");
    host.home.write_config(&counted);
    daemon.signal(Signal::SIGHUP);
    // Its cursor counts now, and moves once a record has been written for a while.
    wait::until("the stream to count", || {
        status(&daemon)["streams"][0]["keeps_segments"]
            == "no collector of stream failover has acknowledged a record yet"
    });
}

#[test]
fn new_collector_misses_removed_records() {
    if skipped(&NEEDS) {
        return;
    }
    let host = limited(RELP);
    let alone = Config::new()
        .set_audit("segment_bytes", "5000")
        .set_audit("retain_bytes", &LIMIT.to_string());
    let daemon = Daemon::start_in(&host.home, &alone);
    wait::until("a removal", || {
        write(&daemon, 20);
        first(&daemon) > 1.0
    });
    daemon.stop();
    let daemon = host.start();
    let said = "were removed from the audit log before stream failover had sent them";
    wait::until("the warning", || daemon.log().contains(said));
}

#[test]
fn new_collector_keeps_segments() {
    if skipped(&NEEDS) {
        return;
    }
    // The log is older than its collector.
    let host = limited(RELP);
    let alone = Config::new().set_audit("segment_bytes", "5000");
    let daemon = Daemon::start_in(&host.home, &alone);
    exceed(&daemon);
    daemon.stop();
    let daemon = host.start();
    wait::until("removals", || bytes(&daemon) <= f64::from(LIMIT));
    let kept = status(&daemon)["first_seq"].as_u64().unwrap();
    assert!(host.has_all(kept - 1), "{kept}");
}
