//! The output of `pulse-sensorctl forward` with a real daemon and a real collector.

use nix::sys::signal::Signal;
use pulse_e2e::certificates::Validity;
use pulse_e2e::forwarding::{
    COLLECTOR, ForwardingHost, collected_seqs, forward_to, forward_to_all, install_credentials,
    is_queue_empty,
};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::python::User;
use pulse_e2e::rsyslog::{Input, TlsLibrary};
use pulse_e2e::{Config, Daemon, Ended, Home, control, unused_address, wait};
use serde_json::Value;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const NEEDS: [Need; 1] = [Need::Collector];
const RELP: Input = Input::Relp(TlsLibrary::OpenSsl);
const STATUS: [&str; 2] = ["forward", "status"];
const TEST: [&str; 2] = ["forward", "test"];

/// A host whose configuration is written, for commands that need no daemon.
fn configured(input: Input) -> ForwardingHost {
    let host = ForwardingHost::new(input);
    host.home.write_config(&host.config);
    host
}

/// Writes a log of which the collector gets nothing.
fn write_unseen(host: &mut ForwardingHost) {
    host.rsyslog.stop(Signal::SIGTERM);
    host.start().stop();
    host.rsyslog.restart();
}

fn trouble(host: &ForwardingHost) -> Value {
    let data = json(&host.control(&["forward", "status", "--json"]));
    data["forwarding"]["streams"][0]["collectors"][0]["trouble"].clone()
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.output).unwrap_or_else(|_| panic!("no JSON: {ended:?}"))
}

fn assert_shows(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    let text = format!("{}{}", ended.output, ended.errors);
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn status_shows_collector_and_expiry() {
    if skipped(&NEEDS) {
        return;
    }
    let host = configured(RELP);
    let daemon = host.start();
    wait::until("the first records", || is_queue_empty(&daemon));
    let shown = host.control(&STATUS);
    let address = host.rsyslog.address();
    let place = format!("failover  {COLLECTOR}:{}", address.port());
    let parts = [place.as_str(), "  up ", "relp, TLS 1.3, ", "  ours "];
    assert_shows(&shown, 0, &parts);
    let programs = host.control(&["forward", "status", "--json"]);
    control::assert_follows("forward-status", &programs);
    // Each request adds a record, at most once a second.
    let data = wait::until_some("an empty queue", || {
        let data = json(&host.control(&["forward", "status", "--json"]));
        (data["forwarding"]["streams"][0]["queue"] == 0).then_some(data)
    });
    let end = data["forwarding"]["certificates"]["own"].as_u64().unwrap();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!((58..=60).contains(&((end - now) / 86_400)), "{data}");
}

#[test]
fn down_collector_has_step_and_remedy() {
    if skipped(&NEEDS) {
        return;
    }
    let mut host = configured(RELP);
    host.rsyslog.stop(Signal::SIGTERM);
    let _daemon = host.start();
    wait::until("the trouble", || trouble(&host)["step"] == "tcp");
    let parts = ["DOWN", "step tcp", "nothing listens there"];
    assert_shows(&host.control(&STATUS), 1, &parts);
    let parts = ["certificates", "tcp", "FAILED", "nothing listens there"];
    assert_shows(&host.control(&TEST), 1, &parts);
}

#[test]
fn wrong_name_fails_at_tls_with_remedy() {
    if skipped(&NEEDS) {
        return;
    }
    let mut host = configured(RELP);
    host.config = forward_to_all(&[("other.test", host.rsyslog.address(), "relp")]);
    let _daemon = host.start();
    wait::until("the trouble", || trouble(&host)["step"] == "tls");
    let remedy = "the collector's certificate has another name";
    assert_shows(&host.control(&STATUS), 1, &["DOWN", "step tls", remedy]);
    let tried = host.control(&["forward", "test", "--json"]);
    control::assert_follows("forward-test", &tried);
    let tried = json(&tried);
    let tried = &tried["collectors"][0];
    assert_eq!(tried["problem"]["step"], "tls", "{tried}");
    let steps = tried["steps"].as_array().unwrap().iter();
    let steps: Vec<&str> = steps.map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["certificates", "name", "tcp"]);
    assert!(collected_seqs(&host.rsyslog).is_empty(), "nothing was sent");
}

#[test]
fn refused_certificate_is_diagnosed() {
    if skipped(&NEEDS) {
        return;
    }
    let hung_up = ["  tls           FAILED", "does not accept our certificate"];
    let closed = ["  open          FAILED", "does it permit the name"];
    for library in [TlsLibrary::GnuTls, TlsLibrary::OpenSsl] {
        let host = configured(Input::Relp(library));
        let stranger = host.authority.sign("stranger.test", Validity::Good);
        install_credentials(&host.home, &host.authority, &stranger);
        let tried = host.control(&TEST);
        // With OpenSSL imrelp closes the session and then resets the connection, which may
        // discard its last message: either outcome is possible.
        let is_closed = library == TlsLibrary::OpenSsl && tried.output.contains(closed[0]);
        assert_shows(&tried, 1, if is_closed { &closed } else { &hung_up });
    }
}

#[test]
fn test_sends_a_record_without_daemon() {
    if skipped(&NEEDS) {
        return;
    }
    let mut host = configured(RELP);
    let nothing = host.control(&TEST);
    let parts = ["TLS 1.3, ", "speaks RELP", "nothing was sent"];
    assert_shows(&nothing, 0, &parts);
    write_unseen(&mut host);
    let address = host.rsyslog.address().to_string();
    let address = format!("{address}, says the configuration");
    let parts = [&*address, "TLS 1.3, ", "record 1 was acknowledged"];
    assert_shows(&host.control(&TEST), 0, &parts);
    wait::until("the record", || host.rsyslog.collected().len() == 1);
    let log = std::fs::read_to_string(host.home.audit_log()).unwrap();
    let collected = host.rsyslog.collected();
    assert_eq!(collected.last().map(String::as_str), log.lines().next());
    control::assert_follows(
        "forward-test",
        &host.control(&["forward", "test", "--json"]),
    );
}

#[test]
fn test_takes_one_syslog_collector() {
    if skipped(&NEEDS) {
        return;
    }
    let mut host = configured(Input::Syslog);
    write_unseen(&mut host);
    let tried = host.control(&["forward", "test", "--collector", COLLECTOR]);
    assert_shows(&tried, 0, &["syslog acknowledges nothing"]);
    wait::until("the record", || host.rsyslog.collected().len() == 1);
    let other = host.control(&["forward", "test", "--collector", "other.test"]);
    assert_shows(&other, 64, &["there is no collector", COLLECTOR]);
}

#[test]
fn replay_resends_and_waits() {
    if skipped(&NEEDS) {
        return;
    }
    let host = configured(RELP);
    let daemon = host.start();
    assert!(daemon.temperature("nowhere").is_err());
    wait::until("the records", || is_queue_empty(&daemon));
    let last = collected_seqs(&host.rsyslog).into_iter().max().unwrap();
    let replayed = host.control(&["forward", "replay", "--from", "2", "--wait"]);
    assert_shows(&replayed, 0, &[COLLECTOR, "everything is acknowledged"]);
    // The request's own record may be the last one by then.
    let written = daemon.home().records().len() as u64;
    let is_said = |last| {
        let text = format!("records 2 to {last} are sent again");
        replayed.output.contains(&text)
    };
    assert!((last..=written).any(is_said), "{replayed:?}");
    let times = |seq| {
        collected_seqs(&host.rsyslog)
            .iter()
            .filter(|n| **n == seq)
            .count()
    };
    assert_eq!((times(1), times(2), times(last)), (1, 2, 2));
    let beyond = host.control(&["forward", "replay", "--from", "1000000"]);
    assert_shows(&beyond, 1, &["there is no record 1000000 yet"]);
}

#[test]
fn commands_wait_for_the_limiter() {
    if skipped(&NEEDS) || skipped(&[Need::Root]) {
        return;
    }
    let mut host = configured(RELP);
    let admin = "[{ uid = 61003, capabilities = ['read', 'admin'] }]";
    host.config = host
        .config
        .with_default_limits()
        .set("allowed_peers", admin);
    let _daemon = host.start();
    let ask = |words: &[&str]| control::run_as(User::number(61_003), &host.home, words);
    // The first request spends one token, the second two.
    assert_eq!(ask(&STATUS).code, 0);
    assert_eq!(ask(&["forward", "replay", "--from", "1"]).code, 0);
    let impatient = ["forward", "status", "--timeout", "1"];
    assert_shows(&ask(&impatient), 75, &["rate limit exceeded"]);
}

#[test]
fn absent_forwarding_has_remedy() {
    let home = Arc::new(Home::new());
    home.write_config(&Config::new());
    let parts = ["is pulse-sensor-proxy running?"];
    assert_shows(&control::run(&home, &STATUS), 69, &parts);
    let parts = ["forwarding is not configured", "[forward]"];
    assert_shows(&control::run(&home, &TEST), 78, &parts);
    let _daemon = Daemon::start_in(&home, &Config::new());
    for words in [&STATUS[..], &["forward", "replay", "--from", "1"]] {
        assert_shows(&control::run(&home, words), 78, &parts);
    }
}

#[test]
fn unauthorized_user_gets_remedy() {
    if skipped(&[Need::Root]) {
        return;
    }
    let (stranger, reader) = (User::number(61_001), User::number(61_002));
    let home = Arc::new(Home::new());
    let config = forward_to(unused_address()).set("allowed_peers", "[{ uid = 61002 }]");
    let _daemon = Daemon::start_in(&home, &config);
    for (user, part) in [
        (stranger, "unauthorized"),
        (reader, "\"admin\" in allowed_peers"),
    ] {
        let parts = [part, &*user.uid.to_string()];
        assert_shows(&control::run_as(user, &home, &STATUS), 77, &parts);
    }
}

#[test]
fn missing_certificates_fail_first() {
    let home = Arc::new(Home::new());
    home.write_config(&forward_to(unused_address()));
    let parts = [
        "certificates  FAILED",
        "ca.pem",
        "put ca.pem, certificate.pem",
    ];
    assert_shows(&control::run(&home, &TEST), 1, &parts);
}
