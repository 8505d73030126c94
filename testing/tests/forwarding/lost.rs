//! Records that are removed before they are delivered are named until somebody accepts the loss.

use super::{NEEDS, RELP, trouble, write};
use nix::sys::signal::Signal;
use pulse_e2e::forwarding::{ForwardingHost, is_queue_empty, replay, status};
use pulse_e2e::programs::skipped;
use pulse_e2e::rsyslog::Input;
use pulse_e2e::{Daemon, wait};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// The log's segments, oldest first.
fn segments(host: &ForwardingHost) -> Vec<PathBuf> {
    let log = host.home.audit_log();
    let files = fs::read_dir(log.parent().unwrap()).unwrap();
    let mut segments: Vec<PathBuf> = files
        .map(|file| file.unwrap().path())
        .filter(|path| first_of(path).is_some())
        .collect();
    segments.sort();
    segments
}

/// The number of a segment's first record, from its name.
fn first_of(segment: &Path) -> Option<u64> {
    let name = segment.file_name()?.to_str()?;
    name.rsplit_once('-')?.1.parse().ok()
}

fn lost(daemon: &Daemon) -> Value {
    status(daemon)["streams"][0]["lost"].clone()
}

/// A daemon whose collector is away, with three segments of which it has none.
fn absent_collector(host: &mut ForwardingHost) -> Daemon {
    host.rsyslog.stop(Signal::SIGTERM);
    let daemon = host.start();
    wait::until("the trouble", || trouble(&daemon)["step"] == "tcp");
    wait::until("three segments", || {
        write(&daemon, 10);
        segments(host).len() >= 3
    });
    daemon
}

fn host() -> ForwardingHost {
    ForwardingHost::new(RELP).configured(|config| config.set_audit("segment_bytes", "5000"))
}

#[test]
fn lost_records_are_named_until_accepted() {
    if skipped(&NEEDS) {
        return;
    }
    let mut host = host();
    let daemon = absent_collector(&mut host);
    let segments = segments(&host);
    let (first, next) = (first_of(&segments[1]).unwrap(), first_of(&segments[2]));
    let last = next.unwrap() - 1;
    daemon.stop();
    fs::remove_file(&segments[1]).unwrap();
    host.rsyslog.restart();
    // The audit log does not continue before its loss is accepted, which is another one.
    let config = host.home.config_file();
    let accept = ["audit", "accept-loss", "--config", config.to_str().unwrap()];
    for code in [73, 0] {
        let ended = host.control(&accept);
        assert_eq!(ended.code, code, "{ended:?}");
    }
    let daemon = host.start();
    let expected = json!([{"first": first, "last": last}]);
    wait::until("the loss", || lost(&daemon) == expected);
    let metric = "pulse_proxy_audit_forward_lost_records{stream=\"failover\"}";
    let assert_metric = |daemon: &Daemon, count: u64| {
        let line = format!("{metric} {count}");
        assert!(daemon.scrape().lines().any(|found| found == line), "{line}");
    };
    assert_metric(&daemon, last - first + 1);
    wait::until("an empty queue", || is_queue_empty(&daemon));
    let named = format!("records {first} to {last}");
    let shown = host.control(&["forward", "status"]);
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(shown.output.contains(&named), "{shown:?}");
    assert!(daemon.log().contains(&format!("the {named}")));
    // After a restart and after a replay, it is still the same loss.
    daemon.stop();
    let daemon = host.start();
    assert_eq!(lost(&daemon), expected);
    replay(&daemon, 1);
    wait::until("the replay", || is_queue_empty(&daemon));
    assert_eq!(lost(&daemon), expected);
    let accepted = host.control(&["forward", "accept-loss"]);
    assert_eq!(accepted.code, 0, "{accepted:?}");
    wait::until("no loss", || lost(&daemon) == json!([]));
    assert_metric(&daemon, 0);
    let records = host.home.records_of("forwarding.loss_accepted");
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["reason"], format!("failover: {first} to {last}"));
    let shown = host.control(&["forward", "status"]);
    assert!(shown.code != 1, "{shown:?}");
    let accepted = host.control(&["forward", "accept-loss"]);
    assert!(
        accepted.output.contains("no records are lost"),
        "{accepted:?}"
    );
}

#[test]
fn restored_records_are_not_lost() {
    if skipped(&NEEDS) {
        return;
    }
    for input in [RELP, Input::Syslog] {
        assert_restored(input);
    }
}

/// Removes records that a collector with this input has not got, restores them, and expects that
/// they are delivered and no longer lost.
fn assert_restored(input: Input) {
    let mut host = ForwardingHost::new(input).configured(|config| {
        config
            .set_audit("segment_bytes", "5000")
            .set_forward("timeout", "'1s'")
    });
    let daemon = absent_collector(&mut host);
    // The beginning of the log, which no cursor has passed yet.
    let (segment, aside) = (segments(&host).remove(0), host.home.path("aside"));
    let first = first_of(&segment).unwrap();
    // If the log stops for it, it continues when the segment is back.
    fs::rename(&segment, &aside).unwrap();
    host.rsyslog.restart();
    daemon.reload();
    wait::until("the loss", || lost(&daemon)[0]["first"] == first);
    wait::until("an empty queue", || is_queue_empty(&daemon));
    fs::rename(&aside, &segment).unwrap();
    // As soon as the daemon has noticed that the log begins there again.
    let request = json!({"method": "replay_forwarding", "params": {"from": first}});
    wait::until("the replay", || {
        daemon.administer(&request)["success"] == true
    });
    wait::until("the delivery", || lost(&daemon) == json!([]));
    let last = status(&daemon)["seq"].as_u64().unwrap();
    wait::until("all records at the collector", || host.has_all(last));
}
