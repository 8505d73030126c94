//! `pulse-sensorctl forward`, with the real daemon and a real collector: what an operator
//! sees when all is well, and when it is not.

use nix::sys::signal::Signal;
use pulse_e2e::certificates::{Authority, Validity};
use pulse_e2e::forwarding::{
    COLLECTOR, collector, equip, equip_well, is_done, numbers, to, to_all,
};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::python::User;
use pulse_e2e::rsyslog::{Input, Rsyslog, TlsLibrary};
use pulse_e2e::{Config, Daemon, Ended, Home, control, unused_address, wait};
use serde_json::Value;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const NEEDS: [Need; 1] = [Need::Collector];
const RELP: Input = Input::Relp(TlsLibrary::OpenSsl);
const STATUS: [&str; 2] = ["forward", "status"];
const TEST: [&str; 2] = ["forward", "test"];

/// A host and its collector; the daemon is there when a test starts it.
struct Site {
    authority: Authority,
    rsyslog: Rsyslog,
    home: Arc<Home>,
    config: Config,
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
        let config = to_all(&[(COLLECTOR, rsyslog.address(), protocol)]);
        home.write_config(&config);
        Self {
            authority,
            rsyslog,
            home,
            config,
        }
    }

    /// Gives the collector another name than its certificate has.
    fn misname(&mut self) {
        let address = self.rsyslog.address();
        self.config = to_all(&[("other.test", address, "relp")]);
        self.home.write_config(&self.config);
    }

    fn start(&self) -> Daemon {
        Daemon::start_in(&self.home, &self.config)
    }

    /// Begins a log, of which the collector gets nothing.
    fn write_unseen(&mut self) {
        self.rsyslog.end(Signal::SIGTERM);
        self.start().stop();
        self.rsyslog.start_again();
    }

    fn ask(&self, words: &[&str]) -> Ended {
        control::run(&self.home, words)
    }

    fn trouble(&self) -> Value {
        let data = json(&self.ask(&["forward", "status", "--json"]));
        data["forwarding"]["streams"][0]["collectors"][0]["trouble"].clone()
    }
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
fn status_says_who_has_the_records_and_until_when_certificates_are_good() {
    if skipped(&NEEDS) {
        return;
    }
    let site = Site::new(RELP);
    let daemon = site.start();
    wait::until("the first records", || is_done(&daemon));
    let shown = site.ask(&STATUS);
    let address = site.rsyslog.address();
    let place = format!("failover  {COLLECTOR}:{}", address.port());
    let parts = [place.as_str(), "  up ", "relp, TLS 1.3, ", "  ours "];
    assert_shows(&shown, 0, &parts);
    let programs = site.ask(&["forward", "status", "--json"]);
    control::assert_follows("forward-status", &programs);
    // Each question is on record itself, once a second.
    let data = wait::until_some("an empty queue", || {
        let data = json(&site.ask(&["forward", "status", "--json"]));
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
fn a_collector_that_is_down_is_named_with_step_and_remedy() {
    if skipped(&NEEDS) {
        return;
    }
    let mut site = Site::new(RELP);
    site.rsyslog.end(Signal::SIGTERM);
    let _daemon = site.start();
    wait::until("the trouble", || site.trouble()["step"] == "tcp");
    let parts = ["DOWN", "step tcp", "nothing listens there"];
    assert_shows(&site.ask(&STATUS), 1, &parts);
    let parts = ["certificates", "tcp", "FAILED", "nothing listens there"];
    assert_shows(&site.ask(&TEST), 1, &parts);
}

#[test]
fn a_collector_with_another_name_is_refused_at_tls_and_the_remedy_says_so() {
    if skipped(&NEEDS) {
        return;
    }
    let mut site = Site::new(RELP);
    site.misname();
    let _daemon = site.start();
    wait::until("the trouble", || site.trouble()["step"] == "tls");
    let remedy = "the collector's certificate has another name";
    assert_shows(&site.ask(&STATUS), 1, &["DOWN", "step tls", remedy]);
    let tried = site.ask(&["forward", "test", "--json"]);
    control::assert_follows("forward-test", &tried);
    let tried = json(&tried);
    let tried = &tried["collectors"][0];
    assert_eq!(tried["problem"]["step"], "tls", "{tried}");
    let steps = tried["steps"].as_array().unwrap().iter();
    let steps: Vec<&str> = steps.map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["certificates", "name", "tcp"]);
    assert!(numbers(&site.rsyslog).is_empty(), "nothing was sent");
}

#[test]
fn a_refused_certificate_of_ours_is_told_as_one_however_the_collector_refuses() {
    if skipped(&NEEDS) {
        return;
    }
    let hung_up = ["  tls           FAILED", "does not take our certificate"];
    let closed = ["  open          FAILED", "does it permit the name"];
    for library in [TlsLibrary::GnuTls, TlsLibrary::OpenSsl] {
        let site = Site::new(Input::Relp(library));
        let stranger = site.authority.sign("stranger.test", Validity::Good);
        equip(&site.home, &site.authority, &stranger);
        let tried = site.ask(&TEST);
        // With OpenSSL it closes the session in order, and then the connection, which may
        // take away what it has just said.
        let is_closed = library == TlsLibrary::OpenSsl && tried.output.contains(closed[0]);
        assert_shows(&tried, 1, if is_closed { &closed } else { &hung_up });
    }
}

#[test]
fn test_sends_the_first_record_unchanged_and_needs_no_daemon() {
    if skipped(&NEEDS) {
        return;
    }
    let mut site = Site::new(RELP);
    let nothing = site.ask(&TEST);
    let parts = ["TLS 1.3, ", "speaks RELP", "nothing was sent"];
    assert_shows(&nothing, 0, &parts);
    site.write_unseen();
    let address = site.rsyslog.address().to_string();
    let address = format!("{address}, says the configuration");
    let parts = [&*address, "TLS 1.3, ", "record 1 was acknowledged"];
    assert_shows(&site.ask(&TEST), 0, &parts);
    wait::until("it", || site.rsyslog.collected().len() == 1);
    let log = std::fs::read_to_string(site.home.audit_log()).unwrap();
    let collected = site.rsyslog.collected();
    assert_eq!(collected.last().map(String::as_str), log.lines().next());
    control::assert_follows("forward-test", &site.ask(&["forward", "test", "--json"]));
}

#[test]
fn test_takes_one_collector_and_says_that_syslog_acknowledges_nothing() {
    if skipped(&NEEDS) {
        return;
    }
    let mut site = Site::new(Input::Syslog);
    site.write_unseen();
    let tried = site.ask(&["forward", "test", "--collector", COLLECTOR]);
    assert_shows(&tried, 0, &["syslog acknowledges nothing"]);
    wait::until("it", || site.rsyslog.collected().len() == 1);
    let other = site.ask(&["forward", "test", "--collector", "other.test"]);
    assert_shows(&other, 64, &["there is no collector", COLLECTOR]);
}

#[test]
fn replay_sends_again_from_there_on_and_waits_until_it_is_done() {
    if skipped(&NEEDS) {
        return;
    }
    let site = Site::new(RELP);
    let daemon = site.start();
    assert!(daemon.temperature("nowhere").is_err());
    wait::until("the records", || is_done(&daemon));
    let last = numbers(&site.rsyslog).into_iter().max().unwrap();
    let replayed = site.ask(&["forward", "replay", "--from", "2", "--wait"]);
    assert_shows(&replayed, 0, &[COLLECTOR, "everything is acknowledged"]);
    // The question may be on record itself by then, and last.
    let written = daemon.home().records().len() as u64;
    let says = |last| format!("records 2 to {last} are sent again");
    let is_said = |last| replayed.output.contains(&says(last));
    assert!((last..=written).any(is_said), "{replayed:?}");
    let times = |seq| numbers(&site.rsyslog).iter().filter(|n| **n == seq).count();
    assert_eq!((times(1), times(2), times(last)), (1, 2, 2));
    let beyond = site.ask(&["forward", "replay", "--from", "1000000"]);
    assert_shows(&beyond, 1, &["there is no record 1000000 yet"]);
}

#[test]
fn commands_wait_their_turn_when_the_limiter_has_them_wait() {
    if skipped(&NEEDS) || skipped(&[Need::Root]) {
        return;
    }
    let mut site = Site::new(RELP);
    let admin = "[{ uid = 61003, capabilities = ['read', 'admin'] }]";
    site.config = site
        .config
        .with_default_limits()
        .set("allowed_peers", admin);
    let _daemon = site.start();
    let ask = |words: &[&str]| control::run_as(User::number(61_003), &site.home, words);
    // The first takes a token, the second two.
    assert_eq!(ask(&STATUS).code, 0);
    assert_eq!(ask(&["forward", "replay", "--from", "1"]).code, 0);
    let impatient = ["forward", "status", "--timeout", "1"];
    assert_shows(&ask(&impatient), 75, &["rate limit exceeded"]);
}

#[test]
fn a_daemon_that_is_down_or_does_not_forward_is_told_with_the_remedy() {
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
fn who_may_not_ask_is_told_what_to_add() {
    if skipped(&[Need::Root]) {
        return;
    }
    let (stranger, reader) = (User::number(61_001), User::number(61_002));
    let home = Arc::new(Home::new());
    let config = to(unused_address()).set("allowed_peers", "[{ uid = 61002 }]");
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
fn certificates_that_are_not_there_are_the_first_step_that_fails() {
    let home = Arc::new(Home::new());
    home.write_config(&to(unused_address()));
    let parts = [
        "certificates  FAILED",
        "ca.pem",
        "put ca.pem, certificate.pem",
    ];
    assert_shows(&control::run(&home, &TEST), 1, &parts);
}
