//! The machine's jobs.

use crate::harmful;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use pulse_e2e::certificates::Authority;
use pulse_e2e::forwarding::{
    collected_seqs, collector, forward_to, install_valid_credentials, is_queue_empty,
};
use pulse_e2e::rsyslog::{Input, TlsLibrary};
use pulse_e2e::{Config, Daemon, Home, Sshd, SshdOptions, control, run, uml, wait};
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;

/// Runs the job with this name.
pub(crate) fn do_job(name: &str) -> Value {
    match name {
        "work" => work(),
        "probe" => probe(),
        "clock" => clock(),
        _ => panic!("there is no job {name}"),
    }
}

/// Bytes of a segment, which a few readings fill.
const SEGMENT: &str = "24000";

/// The documented forced command.
const HELPER: &str = "/usr/libexec/pulse-sensor-node";

/// Starts the daemon as its own user, as systemd does.
const AS_SERVICE: [&str; 4] = ["setpriv", "--reuid=995", "--regid=995", "--clear-groups"];

/// Everything that the daemon does in operation: it starts as root, reads a node of a file that
/// was added later, rotates its log, forwards it to a collector, is scraped and stops; then the
/// same daemon starts as its own user and reads the node again.
fn work() -> Value {
    let home = Arc::new(Home::installed());
    let sshd = Sshd::start(&SshdOptions::default());
    let authority = Authority::new();
    let rsyslog = collector(&authority, Input::Relp(TlsLibrary::OpenSsl));
    install_valid_credentials(&home, &authority);
    let config = forward_to(rsyslog.address()).set_audit("segment_bytes", SEGMENT);
    home.write_config(&config);
    let daemon = Daemon::start_with(&home, &[]);
    let mut profiles = vec![profile_of(daemon.pid())];
    sshd.authorize(
        &format!("restrict,command=\"{HELPER}\""),
        &home.public_key(),
    );
    home.trust(&sshd.host_key_line("pve1"));
    home.list_node("pve1", sshd.address());
    daemon.reload();
    daemon.temperature("pve1").unwrap();
    profiles.push(profile_of(helper()));
    let confinement = home.records_of("confinement")[0].clone();
    fill_a_segment(&daemon);
    wait::until("everything to be forwarded", || is_queue_empty(&daemon));
    let metrics = daemon.scrape();
    daemon.stop();
    let daemon = Daemon::start_under(&home, &AS_SERVICE);
    let document = daemon.temperature("pve1").unwrap();
    profiles.push(profile_of(daemon.pid()));
    daemon.stop();
    // To prove that AppArmor reports what no profile allows.
    fs::write(uml::FORBIDDEN, "").unwrap();
    let _ = run(&["--check", "--config", uml::FORBIDDEN], &[]);
    json!({
        "profiles": profiles,
        "confinement": confinement,
        "metrics": metrics,
        "forwarded": collected_seqs(&rsyslog).len(),
        "document": document,
        "socket_is_left": home.socket().exists(),
    })
}

fn profile_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/attr/current"))
        .unwrap()
        .trim_end()
        .to_owned()
}

/// The process id of the running helper.
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
    let files = || fs::read_dir(log.parent().unwrap()).unwrap().count();
    let before = files();
    wait::until("a rotation", || {
        daemon.temperature("pve1").unwrap();
        files() > before
    });
}

/// Runs the probe under AppArmor alone.
fn probe() -> Value {
    let home = Arc::new(Home::installed());
    home.write_config(&Config::new());
    // The daemon makes the files that the probe then attacks.
    Daemon::start_with(&home, &[]).stop();
    let ended = run(&["confine-probe", "--only", "outside", "--json"], &[]);
    let mut findings = serde_json::from_str(&ended.output).expect(&ended.errors);
    harmful::add(&mut findings);
    findings
}

/// Steps of the clock in seconds, back and forward, to before 1980 and after 2038.
const STEPS: [i64; 6] = [
    -3_600,
    86_400,
    -1_600_000_000,
    1_600_000_000,
    1_000_000_000,
    -1_000_086_400,
];

/// Sets the machine's clock repeatedly while the daemon serves.
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
    home.write_config(
        &Config::new()
            .set_audit("segment_bytes", SEGMENT)
            .node("pve1", sshd.address()),
    );
    daemon.reload();
    // Longer than the emulated machine needs, and shorter than `request_timeout`.
    let request = json!({"method": "get_temperatures", "params": {"wait_ms": 14_000}});
    let mut answers = Vec::new();
    // First without a step: these answers show that the node is read.
    for step in [0].into_iter().chain(STEPS) {
        let now = clock_gettime(ClockId::CLOCK_REALTIME).unwrap();
        clock_settime(
            ClockId::CLOCK_REALTIME,
            TimeSpec::new(now.tv_sec() + step, 0),
        )
        .unwrap();
        answers.extend((0..5).map(|_| daemon.ask(&request)));
        fill_a_segment(&daemon);
    }
    let log = daemon.log();
    daemon.stop();
    let verified = control::run(&home, &["audit", "verify", "--key", &key, "--json"]);
    json!({
        "answers": answers,
        "verified": serde_json::from_str::<Value>(&verified.output).expect(&verified.errors),
        "log": log,
    })
}
