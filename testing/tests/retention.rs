//! Retention: the log stays within its limit, removals are recorded, and the rest verifies with
//! the first key. A log without a limit has a warning of a full disk.

use nix::sys::signal::Signal;
use pulse_audit::{Body, Directory, Log, Settings, Timestamp};
use pulse_core::event::Event;
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, Daemon, Home, control, service, wait};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SEGMENT: u64 = 6_000;
const LIMIT: u64 = 30_000;

fn bytes(daemon: &Daemon) -> f64 {
    daemon.metric("pulse_proxy_audit_log_bytes")
}

fn removed(daemon: &Daemon) -> f64 {
    daemon.metric("pulse_proxy_audit_removed_segments_total")
}

/// A daemon with one node, whose log is pruned to a limit.
fn limited() -> Fleet {
    let config = Config::new()
        .set_audit("segment_bytes", &SEGMENT.to_string())
        .set_audit("retain_bytes", &LIMIT.to_string());
    Fleet::start(config, [("pve1", sim::healthy())])
}

/// The key in the log's first record, which retention removes later.
fn first_key(home: &Home) -> String {
    let records = home.records();
    let key = records[0]["key"].as_str();
    key.expect("the log's first record").to_owned()
}

/// The report of `pulse-sensorctl audit verify`.
fn verified(home: &Home, key: &str) -> Value {
    let config = home.config_file();
    let config = config.to_str().unwrap();
    let words = [
        "audit", "verify", "--key", key, "--config", config, "--json",
    ];
    let ended = control::run(home, &words);
    serde_json::from_str(&ended.output).unwrap_or_else(|_| panic!("{ended:?}"))
}

#[test]
fn limited_log_stays_verifiable() {
    let fleet = limited();
    let home = fleet.daemon.home();
    let key = first_key(home);
    let read = |daemon: &Daemon| {
        assert!(sim::is_document(&daemon.temperature("pve1").unwrap()));
    };
    let mut most = 0.0_f64;
    wait::until("many segments to have come and gone", || {
        (0..20).for_each(|_| read(&fleet.daemon));
        most = most.max(bytes(&fleet.daemon));
        removed(&fleet.daemon) >= 20.0
    });
    // The limit, the live segment, and records that are written during a removal.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let bound = (LIMIT + 6 * SEGMENT) as f64;
    assert!(most < bound, "{most}");
    let report = verified(home, &key);
    assert_eq!(report["verdict"], "intact", "{report:#}");
    let first = report["first_seq"].as_u64().unwrap();
    assert!(first > 100, "{report:#}");
    assert_eq!(report["pruned_through"], first - 1);
    assert_eq!(report["key"], key.as_str());
    wait::until("the message", || {
        let said = "removed old segments of the audit log";
        fleet.daemon.log().contains(said)
    });
    let log = fleet.daemon.log();
    assert!(!log.contains("ERROR"), "{log}");
    // Retention continues after a restart.
    let home = Arc::clone(home);
    fleet.daemon.stop();
    let daemon = Daemon::start_with(&home, &[service::SETTING]);
    let report = verified(&home, &key);
    assert_eq!(report["verdict"], "intact", "{report:#}");
    wait::until("another removal", || {
        (0..20).for_each(|_| assert!(daemon.temperature("pve1").is_ok()));
        removed(&daemon) > 0.0
    });
}

#[test]
fn reload_changes_and_lifts_limits() {
    let config = Config::new().set_audit("segment_bytes", &SEGMENT.to_string());
    let daemon = Daemon::start(&config);
    let home = daemon.home();
    let write = || {
        for _ in 0..20 {
            assert!(daemon.temperature("nowhere").is_err());
        }
    };
    wait::until("some segments", || {
        write();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let much = (2 * LIMIT) as f64;
        bytes(&daemon) > much
    });
    assert!(removed(&daemon) < 0.5);
    home.write_config(&config.clone().set_audit("retain_bytes", &LIMIT.to_string()));
    daemon.signal(Signal::SIGHUP);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let limit = LIMIT as f64;
    wait::until("removals", || bytes(&daemon) <= limit);
    assert!(
        !daemon.log().contains("restart required"),
        "{}",
        daemon.log()
    );
    home.write_config(&config);
    daemon.signal(Signal::SIGHUP);
    wait::until("the reload", || {
        daemon.log().matches("reloaded the configuration").count() == 2
    });
    let before = removed(&daemon);
    wait::until("the log to grow again", || {
        write();
        bytes(&daemon) > 2.0 * limit
    });
    assert!((removed(&daemon) - before).abs() < 0.5);
}

/// Gives a directory and its files to the service.
fn give(directory: &Path) {
    service::give(directory);
    for entry in fs::read_dir(directory).unwrap() {
        service::give(&entry.unwrap().path());
    }
}

/// Writes a log of ten days at a steady rate.
fn old_log(home: &Home) {
    let (log, state) = (home.audit_log(), home.audit_state());
    let log = log.parent().unwrap();
    fs::create_dir_all(log).unwrap();
    let begin = Timestamp::now().as_micros() - 10 * 86_400 * 1_000_000;
    let begin = Timestamp::from_micros(begin);
    let storage = Directory::lock(log, &state).unwrap();
    let mut written = Log::open(storage, Settings::default(), begin).unwrap();
    for hour in 0..240 {
        let now = begin.plus(Duration::from_secs(hour * 3600));
        let bodies: Vec<Body> = (0..100).map(|_| Body::of(&Event::ProxyStart)).collect();
        written.append(now, &bodies).unwrap();
    }
    written
        .seal(begin.plus(Duration::from_secs(240 * 3600)))
        .unwrap();
    drop(written);
    give(log);
    give(&state);
}

#[test]
fn unlimited_log_predicts_a_full_disk() {
    let home = Arc::new(Home::new());
    old_log(&home);
    let daemon = Daemon::start_in(&home, &Config::new());
    let directory = home.audit_log();
    let directory = directory.parent().unwrap().display().to_string();
    let warning = |daemon: &Daemon| {
        let log = daemon.log();
        let found = log
            .lines()
            .find(|line| line.contains("its disk is full in"));
        found.map(str::to_owned)
    };
    let said = wait::until_some("the warning", || warning(&daemon));
    for part in [
        &*format!("the audit log in {directory} has "),
        " and grows by ",
        " a day: ",
        " days; set [audit] retain_days or retain_bytes",
        "WARN",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let seconds = daemon.metric("pulse_proxy_audit_disk_full_seconds");
    assert!(seconds.is_finite() && seconds > 0.0, "{seconds}");
    assert!(daemon.metric("pulse_proxy_audit_disk_free_bytes") > 0.5);
    daemon.stop();
    let daemon = Daemon::start_in(&home, &Config::new().set_audit("retain_bytes", "100000000"));
    wait::until("the limit to count", || {
        daemon
            .metric("pulse_proxy_audit_disk_full_seconds")
            .is_infinite()
    });
    assert_eq!(warning(&daemon), None);
    assert!(removed(&daemon) < 0.5);
}

#[test]
fn altered_segment_is_kept() {
    let fleet = limited();
    let home = fleet.daemon.home();
    let log = home.audit_log();
    let first = log.with_file_name("audit.log-000000000001");
    wait::until("the first segment", || {
        assert!(fleet.daemon.temperature("pve1").is_ok());
        first.exists()
    });
    let text = fs::read_to_string(&first).unwrap();
    fs::write(&first, text.replacen("allowed", "refused", 1)).unwrap();
    wait::until("the complaint", || {
        (0..20).for_each(|_| assert!(fleet.daemon.temperature("pve1").is_ok()));
        let log = fleet.daemon.log();
        log.contains("cannot remove segments of the audit log: audit.log-000000000001 is not as")
    });
    assert!(first.exists());
    assert!(fleet.daemon.metric("pulse_proxy_audit_retention_held") > 0.5);
}
