//! What the machine may be started for.

use crate::harmful;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use pulse_e2e::certificates::Authority;
use pulse_e2e::forwarding::{collector, equip_well, is_done, numbers, to};
use pulse_e2e::rsyslog::{Input, TlsLibrary};
use pulse_e2e::{Config, Daemon, Home, Sshd, SshdOptions, control, run, uml, wait};
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;

/// Does the job of this name.
pub(crate) fn do_job(name: &str) -> Value {
    match name {
        "work" => work(),
        "probe" => probe(),
        "clock" => clock(),
        _ => panic!("there is no job {name}"),
    }
}

/// So many bytes that a few readings fill a segment.
const SEGMENT: &str = "24000";

/// The forced command, as our documentation says it.
const HELPER: &str = "/usr/libexec/pulse-sensor-node";

/// As systemd starts it: as its own user from the first moment.
const AS_SERVICE: [&str; 4] = ["setpriv", "--reuid=995", "--regid=995", "--clear-groups"];

/// A day in the daemon's life: it starts as root, learns of a node, reads it, goes on
/// to the next segment of its log, brings all of it to a collector, is scraped, ends;
/// and once more as systemd starts it.
fn work() -> Value {
    let home = Arc::new(Home::installed());
    let sshd = Sshd::start(&SshdOptions::default());
    let authority = Authority::new();
    let rsyslog = collector(&authority, Input::Relp(TlsLibrary::OpenSsl));
    equip_well(&home, &authority);
    let config = to(rsyslog.address()).set_audit("segment_bytes", SEGMENT);
    home.write_config(&config);
    let daemon = Daemon::start_with(&home, &[]);
    let mut profiles = vec![profile_of(daemon.pid())];
    let forced = format!("restrict,command=\"{HELPER}\"");
    sshd.authorize(&forced, &home.public_key());
    home.trust(&sshd.host_key_line("pve1"));
    home.write_config(&config.node("pve1", sshd.address()));
    daemon.reload();
    daemon.temperature("pve1").unwrap();
    profiles.push(profile_of(helper()));
    let confinement = home.records_of("confinement")[0].clone();
    fill_a_segment(&daemon);
    wait::until("everything to be forwarded", || is_done(&daemon));
    let metrics = daemon.scrape();
    daemon.stop();
    let daemon = Daemon::start_under(&home, &AS_SERVICE);
    let document = daemon.temperature("pve1").unwrap();
    profiles.push(profile_of(daemon.pid()));
    daemon.stop();
    try_the_forbidden();
    json!({
        "profiles": profiles,
        "confinement": confinement,
        "metrics": metrics,
        "forwarded": numbers(&rsyslog).len(),
        "document": document,
        "socket_is_left": home.socket().exists(),
    })
}

fn try_the_forbidden() {
    fs::write(uml::FORBIDDEN, "").unwrap();
    let _ = run(&["--check", "--config", uml::FORBIDDEN], &[]);
}

fn profile_of(pid: u32) -> String {
    let file = format!("/proc/{pid}/attr/current");
    fs::read_to_string(file).unwrap().trim_end().to_owned()
}

/// The helper that waits for the next request.
fn helper() -> u32 {
    let processes = fs::read_dir("/proc").unwrap();
    let mut numbers =
        processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_it = |pid: &u32| {
        let program = fs::read_link(format!("/proc/{pid}/exe"));
        program.is_ok_and(|program| program.ends_with("pulse-sensor-node"))
    };
    numbers.find(is_it).expect("a helper at work")
}

fn fill_a_segment(daemon: &Daemon) {
    let log = daemon.home().audit_log();
    let directory = log.parent().unwrap();
    let files = || fs::read_dir(directory).unwrap().count();
    let before = files();
    wait::until("a rotation", || {
        daemon.temperature("pve1").unwrap();
        files() > before
    });
}

/// What an attacker in the daemon's place could do, were there nothing but what
/// holds it from outside.
fn probe() -> Value {
    let home = Arc::new(Home::installed());
    home.write_config(&Config::new());
    // It makes what the probe then tries to spoil.
    Daemon::start_with(&home, &[]).stop();
    let ended = run(&["confine-probe", "--only", "outside", "--json"], &[]);
    let mut findings = serde_json::from_str(&ended.output).expect(&ended.errors);
    harmful::add(&mut findings);
    findings
}

/// Steps of the clock in seconds, back and forward, to before 1980 and beyond 2038.
const STEPS: [i64; 6] = [
    -3_600,
    86_400,
    -1_600_000_000,
    1_600_000_000,
    1_000_000_000,
    -1_000_086_400,
];

/// The machine's clock is set again and again while the daemon serves.
fn clock() -> Value {
    let home = Arc::new(Home::installed());
    let sshd = Sshd::start(&SshdOptions::default());
    home.write_config(&Config::new().set_audit("segment_bytes", SEGMENT));
    let daemon = Daemon::start_with(&home, &[]);
    let key = home.records()[0]["key"].as_str().unwrap().to_owned();
    sshd.authorize(
        &format!("restrict,command=\"{HELPER}\""),
        &home.public_key(),
    );
    home.trust(&sshd.host_key_line("pve1"));
    let config = Config::new().set_audit("segment_bytes", SEGMENT);
    home.write_config(&config.node("pve1", sshd.address()));
    daemon.reload();
    let request = json!({"method": "get_temperatures"});
    let mut answers = Vec::new();
    for step in [0].into_iter().chain(STEPS) {
        set_clock(step);
        answers.extend((0..5).map(|_| daemon.ask(&request)));
        fill_a_segment(&daemon);
    }
    let log = daemon.log();
    daemon.stop();
    let words = ["audit", "verify", "--key", &key, "--json"];
    let verified = control::run(&home, &words);
    json!({
        "answers": answers,
        "verified": serde_json::from_str::<Value>(&verified.output).expect(&verified.errors),
        "log": log,
    })
}

fn set_clock(step: i64) {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).unwrap();
    let then = TimeSpec::new(now.tv_sec() + step, 0);
    clock_settime(ClockId::CLOCK_REALTIME, then).unwrap();
}
