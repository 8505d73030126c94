//! The daemon's audit log: no action without its record.

use nix::sys::signal::Signal;
use pulse_audit::verify::{Options, Report, StateKeys, Verdict, open_directory, verify};
use pulse_e2e::programs::{self, Need, skipped};
use pulse_e2e::sim::{self, Behaviour, Fleet};
use pulse_e2e::{Config, Daemon, Home, run_in, service, wait};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const UNAVAILABLE: &str = "audit log unavailable";

/// The answer to [`reading`] then.
pub(super) const NOT_READ: &str = "node \"pve1\" not read: audit log unavailable";

pub(super) fn reading() -> Value {
    json!({"method": "get_temperature", "params": {"node": "pve1"}})
}

fn is_available(daemon: &Daemon) -> bool {
    daemon.metric("pulse_proxy_audit_available") > 0.5
}

fn fleet() -> Fleet {
    Fleet::start(Config::new(), [("pve1", sim::healthy())])
}

/// The verifier's report on a daemon's log.
fn verified(home: &Home, state: &Path) -> Report {
    let log = home.audit_log();
    // Read before the log: the log must be at least as new as its state.
    let state = StateKeys::read(state).unwrap();
    let sources = open_directory(log.parent().unwrap()).unwrap();
    let first = &home.all_records()[0];
    let options = Options {
        key: Some(first["key"].as_str().unwrap().parse().unwrap()),
        state: Some(state),
        live: true,
        ..Options::default()
    };
    verify(sources, &options, &mut |_| ()).unwrap()
}

pub(super) fn assert_intact(home: &Home) {
    assert_intact_with(home, &home.audit_state());
}

/// The same with another state directory.
pub(super) fn assert_intact_with(home: &Home, state: &Path) {
    let report = verified(home, state);
    assert_eq!(report.verdict, Verdict::Intact, "{report:?}");
}

#[test]
fn records_trace_a_reading() {
    let fleet = fleet();
    let id = "6fa459ea-ee8a-4ca4-894e-db77e160355e";
    let mut request = reading();
    request["correlation_id"] = id.into();
    assert_eq!(fleet.daemon.ask(&request)["success"], true);
    let home = fleet.daemon.home();
    let [start] = &home.records_of("command.start")[..] else {
        panic!("{:?}", home.records());
    };
    let [finish] = &home.records_of("command.finish")[..] else {
        panic!("{:?}", home.records());
    };
    for record in [start, finish] {
        assert_eq!(record["correlation_id"], id);
        assert_eq!(record["node"], "pve1");
        assert_eq!(record["peer_pid"], std::process::id());
        assert_eq!(record["peer_uid"], nix::unistd::getuid().as_raw());
        assert!(record["peer"].is_string());
    }
    assert_eq!(start["decision"], "allowed");
    assert_eq!(finish["decision"], "completed");
    let node = fleet.node("pve1");
    assert_eq!(finish["address"], node.addr().to_string());
    let host_key = finish["host_key"].as_str().unwrap();
    assert!(host_key.starts_with("SHA256:"), "{host_key}");
    assert_eq!(finish["command"], "pulse-sensor-node serve");
    assert_eq!(finish["stdout_sha256"].as_str().unwrap().len(), 64);
    assert!(finish["stdout_bytes"].as_u64().unwrap() > 10);
    assert!(finish["duration_ms"].as_f64().unwrap() > 0.0);
    assert_intact(home);
}

#[test]
fn tool_explains_and_verifies() {
    let fleet = fleet();
    assert!(fleet.daemon.temperature("pve1").is_ok());
    let home = fleet.daemon.home();
    let audit = |words: &[&str]| -> String {
        let output = std::process::Command::new(programs::control())
            .arg("audit")
            .args(words)
            .args(["--log".as_ref(), home.audit_log().as_os_str()])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let finish = &home.records_of("command.finish")[0];
    let explained = audit(&["explain", &finish["seq"].to_string()]);
    let own = nix::unistd::getuid().to_string();
    let members = ["node", "address", "host_key", "command", "stdout_sha256"];
    for value in members.map(|member| finish[member].as_str().unwrap()) {
        assert!(explained.contains(value), "{value}:\n{explained}");
    }
    assert!(explained.contains(&format!("user {own}")), "{explained}");
    let key = home.records()[0]["key"].as_str().unwrap().to_owned();
    let state = home.audit_state();
    let state = state.to_str().unwrap();
    let verified = audit(&["verify", "--key", &key, "--state-dir", state]);
    assert!(verified.starts_with("intact"), "{verified}");
}

#[test]
fn head_is_durable_before_printed() {
    if skipped(&[Need::Program("strace")]) {
        return;
    }
    let fleet = fleet();
    assert!(fleet.daemon.temperature("pve1").is_ok());
    let home = fleet.daemon.home();
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut tool = std::process::Command::new("strace");
    tool.args(["-e", "trace=fdatasync,write", "-o"])
        .arg(trace.path());
    tool.arg(programs::control())
        .args(["audit", "head", "--log"]);
    let output = tool.arg(home.audit_log()).output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    let calls = fs::read_to_string(trace.path()).unwrap();
    let (synced, printed) = (calls.find("fdatasync("), calls.find("write(1, \"seq="));
    assert!(synced.is_some() && synced < printed, "{calls}");
    assert!(fleet.daemon.temperature("pve1").is_ok());
    let directory = home.audit_log();
    let mut tool = std::process::Command::new(programs::control());
    tool.args(["audit", "verify", "--json", "--head", &line]);
    let output = tool.arg(directory.parent().unwrap()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["findings"], json!([]), "{report}");
    let seq = line.split(['=', ' ']).nth(1).unwrap();
    assert_eq!(report["proved_through"].to_string(), seq, "{report}");
}

#[test]
fn unwritable_log_stops_requests() {
    let fleet = fleet();
    assert!(fleet.daemon.temperature("pve1").is_ok());
    let home = fleet.daemon.home();
    let before = fleet.node("pve1").counters().readings;
    let log = home.audit_log();
    let directory = log.parent().unwrap();
    let aside = home.path("aside");
    fs::rename(directory, &aside).unwrap();
    for _ in 0..3 {
        assert_eq!(fleet.daemon.ask(&reading())["error"], NOT_READ);
        let status = json!({"method": "get_status"});
        assert_eq!(fleet.daemon.ask(&status)["error"], UNAVAILABLE);
    }
    assert_eq!(
        fleet.node("pve1").counters().readings,
        before,
        "the node was read"
    );
    assert!(!is_available(&fleet.daemon));
    assert!(fleet.daemon.metric("pulse_proxy_audit_refused_total") >= 1.0);
    let not_ready = fleet.daemon.get("/ready");
    assert!(not_ready.starts_with("HTTP/1.1 503"), "{not_ready}");
    assert!(not_ready.contains(UNAVAILABLE), "{not_ready}");

    fs::rename(&aside, directory).unwrap();
    wait::until("the log to be written again", || {
        fleet.daemon.ask(&reading())["success"] == true
    });
    assert!(fleet.daemon.get("/ready").starts_with("HTTP/1.1 200"));
    assert!(is_available(&fleet.daemon));
    assert!(!home.records_of("log.resumed").is_empty());
    assert_intact(home);
}

#[test]
fn shutdown_records_outcome_and_seal() {
    let slow = Behaviour::SlowBy {
        delay: Duration::from_millis(200),
        document: sim::DOCUMENT.into(),
    };
    let mut fleet = Fleet::start(Config::new(), [("pve1", slow)]);
    let mut client = fleet.daemon.connect();
    client.send(format!("{}\n", reading()).as_bytes());
    sim::wait_for(fleet.node("pve1"), |now| now.execs == 1);
    fleet.daemon.signal(Signal::SIGTERM);
    assert_eq!(client.answer()["success"], true);
    assert!(fleet.daemon.wait().success());
    let home = fleet.daemon.home();
    let records = home.records();
    let mut kinds: Vec<_> = records.iter().map(|r| r["event_type"].clone()).collect();
    // A summary of connections may be written at the end.
    kinds.retain(|kind| kind != "connection.accepted");
    let expected = ["command.finish", "proxy.stop", "log.sealed"];
    assert_eq!(kinds[kinds.len() - 3..], expected, "{kinds:?}");
    let report = verified(home, &home.audit_state());
    assert_eq!(report.sealed_through, report.last_seq, "{report:?}");
}

#[test]
fn killed_daemon_continues_its_chain() {
    let home = Arc::new(Home::new());
    let config = Config::new();
    for acknowledged in 1..=3 {
        let mut daemon = Daemon::start_in(&home, &config);
        let request = json!({"method": "get_temperature", "params": {"node": "none"}});
        let response = daemon.ask(&request);
        assert!(response["error"].as_str().unwrap().contains("validator"));
        wait::until("the record", || {
            home.records_of("command.validation_failed").len() == acknowledged
        });
        daemon.signal(Signal::SIGKILL);
        daemon.wait();
    }
    Daemon::start_in(&home, &config).stop();
    assert_eq!(home.records_of("log.open").len(), 1);
    assert_eq!(home.records_of("log.resumed").len(), 3);
    assert_intact(&home);
}

#[test]
fn departed_callers_outcome_is_kept() {
    let fleet = Fleet::start(Config::new(), [("pve1", Behaviour::Hang)]);
    let mut client = fleet.daemon.connect();
    client.send(format!("{}\n", reading()).as_bytes());
    sim::wait_for(fleet.node("pve1"), |now| now.execs == 1);
    drop(client);
    let home = fleet.daemon.home();
    wait::until("the outcome", || {
        !home.records_of("command.finish").is_empty()
    });
    let finish = &home.records_of("command.finish")[0];
    assert_eq!(finish["decision"], "failed");
    assert_eq!(finish["reason"], "abandoned");
}

#[test]
fn sigusr1_reopens_a_renamed_log() {
    let fleet = fleet();
    assert!(fleet.daemon.temperature("pve1").is_ok());
    let home = fleet.daemon.home();
    let segment = home.audit_log().with_file_name("audit.log-000000000001");
    fs::rename(home.audit_log(), &segment).unwrap();
    assert!(fleet.daemon.temperature("pve1").is_ok(), "still recorded");
    fleet.daemon.signal(Signal::SIGUSR1);
    wait::until("a new file", || home.audit_log().exists());
    assert!(fleet.daemon.temperature("pve1").is_ok());
    assert_eq!(home.records()[0]["event_type"], "log.resumed");
    let sources = open_directory(segment.parent().unwrap()).unwrap();
    let report = verify(sources, &Options::default(), &mut |_| ()).unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
    assert_eq!(report.first_seq, 1);
}

#[test]
fn refusals_are_summed_each_second() {
    let daemon = Daemon::start(&Config::new().with_default_limits());
    let status = json!({"method": "get_status"});
    let is_refused = || daemon.ask(&status)["error"] == "rate limit exceeded";
    let refused = (0..200).filter(|_| is_refused()).count() as u64;
    let last = Instant::now();
    let home = daemon.home();
    let summed = || -> u64 {
        let records = home.records_of("limiter.rejection");
        let count = |r: &Value| 1 + r["suppressed"].as_u64().unwrap_or(0);
        records.iter().map(count).sum()
    };
    assert!(refused > 150);
    assert!(home.records_of("limiter.rejection").len() < 50);
    // The count of refusals since the last record is in the next record, which the first
    // refusal after a second causes.
    wait::until("another second", || last.elapsed() > Duration::from_secs(1));
    wait::until("a refusal", is_refused);
    wait::until("the sum", || summed() > refused);
    assert_eq!(summed(), refused + 1);
    assert_eq!(home.records_of("limiter.rejection")[0]["limiter"], "rate");
}

#[test]
fn polling_is_recorded_or_stops() {
    let config = Config::new().set_ssh("poll_interval", "'100ms'");
    let fleet = Fleet::start(config, [("pve1", sim::healthy())]);
    let home = fleet.daemon.home();
    wait::until("polls on record", || {
        home.records_of("command.finish").len() >= 2
    });
    assert_eq!(home.records_of("command.start")[0]["peer"], "poller");
    let log = home.audit_log();
    fs::rename(log.parent().unwrap(), home.path("aside")).unwrap();
    wait::until("the log to be unavailable", || !is_available(&fleet.daemon));
    let refused = || fleet.daemon.metric("pulse_proxy_audit_refused_total");
    let more_polls = || {
        let before = refused();
        wait::until("more polls", || refused() > before + 2.5);
    };
    // An exchange whose start was recorded before may still end.
    more_polls();
    let before = fleet.node("pve1").counters().readings;
    more_polls();
    assert_eq!(fleet.node("pve1").counters().readings, before);
}

#[test]
fn unusable_log_prevents_start() {
    let home = Home::new();
    let taken = home.path("file");
    fs::write(&taken, "").unwrap();
    let below_a_file = Config::new().set_audit("log", &format!("{:?}", taken.join("audit.log")));
    fs::write(home.config_file(), below_a_file.text(&home)).unwrap();
    let ended = run_in(&home);
    assert_eq!(ended.code, 78, "{ended:?}");
    let refused = format!("the audit log's directory is refused: {}", taken.display());
    assert!(ended.errors.contains(&refused), "{ended:?}");
    assert!(!home.socket().exists(), "nothing is served");
    // A directory with the log's name.
    fs::create_dir_all(home.audit_log()).unwrap();
    service::give(home.audit_log().parent().unwrap());
    fs::write(home.config_file(), Config::new().text(&home)).unwrap();
    let ended = run_in(&home);
    assert_eq!(ended.code, 73, "{ended:?}");
    assert!(ended.errors.contains("audit log: "), "{ended:?}");
}

#[test]
fn log_has_one_writer() {
    let daemon = Daemon::start(&Config::new());
    let other = Home::new();
    let log = format!("{:?}", daemon.home().audit_log());
    let state = format!("{:?}", daemon.home().audit_state());
    let config = Config::new().set_audit("log", &log);
    let config = config.set_audit("state_dir", &state);
    fs::write(other.config_file(), config.text(&other)).unwrap();
    let ended = run_in(&other);
    assert_eq!(ended.code, 73, "{ended:?}");
    assert!(ended.errors.contains("another"), "{ended:?}");
}
