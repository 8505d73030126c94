//! What the machine may be started for.

use crate::{harmful, machine};
use pulse_e2e::sim::tree;
use pulse_e2e::sshd::helper_command;
use pulse_e2e::{Config, Daemon, Home, Sshd, SshdOptions, run, uml, wait};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Does the job of this name.
pub(crate) fn do_job(name: &str) -> Value {
    match name {
        "work" => work(),
        "probe" => probe(),
        "helper" => helper(),
        _ => panic!("there is no job {name}"),
    }
}

/// So many bytes that a few readings fill a segment.
const SEGMENT: &str = "24000";

/// As systemd starts it: as its own user from the first moment.
const AS_SERVICE: [&str; 4] = ["setpriv", "--reuid=995", "--regid=995", "--clear-groups"];

/// A day in the daemon's life: it starts as root, learns of a node, reads it, is
/// scraped, goes on to the next segment of its log, ends; and once more as systemd
/// starts it.
fn work() -> Value {
    let home = Arc::new(Home::installed());
    let devices = tempfile::tempdir().unwrap();
    tree::unpack(tree::all()[0].1, devices.path()).unwrap();
    let sshd = Sshd::start(&SshdOptions::default());
    let config = Config::new().set_audit("segment_bytes", SEGMENT);
    home.write_config(&config);
    let daemon = Daemon::start_with(&home, &[]);
    let profile = profile_of(&daemon);
    let forced = format!("restrict,command=\"{}\"", helper_command(devices.path()));
    sshd.authorize(&forced, &home.public_key());
    home.trust(&sshd.host_key_line("pve1"));
    home.write_config(&config.node("pve1", sshd.address()));
    daemon.reload();
    daemon.temperature("pve1").unwrap();
    let confinement = home.records_of("confinement")[0].clone();
    fill_a_segment(&daemon);
    let metrics = daemon.scrape();
    daemon.stop();
    let daemon = Daemon::start_under(&home, &AS_SERVICE);
    let document = daemon.temperature("pve1").unwrap();
    let profiles = [profile, profile_of(&daemon)];
    daemon.stop();
    try_the_forbidden();
    json!({
        "profiles": profiles,
        "confinement": confinement,
        "metrics": metrics,
        "document": document,
        "socket_is_left": home.socket().exists(),
    })
}

fn try_the_forbidden() {
    fs::write(uml::FORBIDDEN, "").unwrap();
    let _ = run(&["--check", "--config", uml::FORBIDDEN], &[]);
}

fn profile_of(daemon: &Daemon) -> String {
    let file = format!("/proc/{}/attr/current", daemon.pid());
    fs::read_to_string(file).unwrap().trim_end().to_owned()
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

/// A node's day: sshd starts the helper, which reads a made-up node in the place of
/// this one; and then it is asked for what is none of its business.
fn helper() -> Value {
    let home = Arc::new(Home::installed());
    let devices = tempfile::tempdir().unwrap();
    tree::unpack(tree::all()[0].1, devices.path()).unwrap();
    machine::show_devices(devices.path());
    let program = machine::install_helper();
    let sshd = Sshd::start(&SshdOptions::default());
    home.write_config(&Config::new().node("pve1", sshd.address()));
    let daemon = Daemon::start_with(&home, &[]);
    sshd.authorize(
        &format!("restrict,command=\"{program}\""),
        &home.public_key(),
    );
    home.trust(&sshd.host_key_line("pve1"));
    daemon.reload();
    let document = daemon.temperature("pve1").unwrap();
    daemon.stop();
    let elsewhere = Path::new(uml::FORBIDDEN);
    tree::unpack(tree::all()[0].1, elsewhere).unwrap();
    let refused = Command::new(program)
        .args(["--confinement", "off", "--sys-root", uml::FORBIDDEN, "read"])
        .output()
        .unwrap();
    let refused: Value = serde_json::from_slice(&refused.stdout).unwrap();
    json!({"document": document, "elsewhere": refused})
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
