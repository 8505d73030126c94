//! The daemon's confinement: its state in `/proc` while it serves, and the probe's attempts
//! from inside.

use nix::sys::signal::Signal;
use pulse_e2e::findings::attempts;
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::sshd::helper_command;
use pulse_e2e::{Config, Daemon, Home, RealNode, observe, run, wait};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::Arc;

pub(crate) const NO_CAPABILITIES: &str = "0000000000000000";

/// A line of `/proc/<pid>/status`, for the daemon and each of its threads.
pub(crate) fn status_of(daemon: &Daemon, name: &str) -> BTreeSet<String> {
    observe::status(daemon.pid(), name)
}

pub(crate) fn only(value: &str) -> BTreeSet<String> {
    BTreeSet::from([value.to_owned()])
}

pub(crate) fn assert_confined(daemon: &Daemon) {
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(status_of(daemon, set), only(NO_CAPABILITIES), "{set}");
    }
    assert_eq!(status_of(daemon, "NoNewPrivs:"), only("1"));
    assert_eq!(status_of(daemon, "Seccomp:"), only("2"), "every thread");
}

pub(crate) fn probe(
    home: &Arc<Home>,
    words: &[&str],
    environment: &[(&str, &str)],
) -> (i32, Value) {
    home.write_config(&Config::new());
    // The daemon makes the files that the probe then attacks.
    Daemon::start_with(home, environment).stop();
    let config = home.config_file();
    let always = [
        "confine-probe",
        "--json",
        "--config",
        config.to_str().unwrap(),
    ];
    let ended = run(&[&always[..], words].concat(), environment);
    (
        ended.code,
        serde_json::from_str(&ended.output).expect(&ended.errors),
    )
}

/// The record of its confinement, which is written a moment after it serves.
pub(crate) fn record_of(daemon: &Daemon) -> Value {
    let look = || daemon.home().records_of("confinement").pop();
    wait::until_some("the record", look)
}

#[test]
fn every_thread_is_confined() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    assert!(fleet.daemon.temperature("pve1").is_ok());
    assert_confined(&fleet.daemon);
    let record = &fleet.daemon.home().records_of("confinement")[0];
    let active = record["reason"].as_str().unwrap();
    assert!(
        active.contains("landlock (ABI ") && active.contains("seccomp ("),
        "{record}"
    );
}

#[test]
fn probe_is_stopped_everywhere() {
    let (code, findings) = probe(&Arc::new(Home::new()), &[], &[]);
    assert_eq!(attempts(&findings, false), [""; 0], "{findings}");
    assert_eq!((code, &findings["tight"]), (0, &json!(true)));
    assert_eq!(findings["layers"][0]["state"], "whole");
    assert!(attempts(&findings, true).len() >= 30);
}

#[test]
fn each_layer_alone_stops_its_part() {
    let home = Arc::new(Home::new());
    let alone = |layer| {
        let (code, findings) = probe(&home, &["--only", layer], &[]);
        assert_eq!(code, 1, "{layer} alone is not enough");
        assert_eq!(findings["layers"][0]["layer"], layer);
        findings
    };
    let (landlock, seccomp) = (alone("landlock"), alone("seccomp"));
    let mut past_both = attempts(&landlock, false);
    past_both.retain(|attempt| attempts(&seccomp, false).contains(attempt));
    assert_eq!(past_both, [""; 0]);
    for what in ["read /etc/passwd", "connect to another port", "list /proc"] {
        assert!(attempts(&landlock, true).contains(&what), "{what}");
        assert!(!attempts(&seccomp, true).contains(&what), "{what}");
    }
    for what in [
        "UDP socket",
        "map executable memory",
        "io_uring",
        "MPTCP socket",
        "listen",
    ] {
        assert!(attempts(&seccomp, true).contains(&what), "{what}");
        assert!(!attempts(&landlock, true).contains(&what), "{what}");
    }
    for what in ["start a program", "signal another process", "bind a port"] {
        let by_both = [&landlock, &seccomp].map(|one| attempts(one, true).contains(&what));
        assert_eq!(by_both, [true, true], "{what}");
    }
    assert!(
        attempts(&landlock, false).contains(&"reboot"),
        "skipped, not tried"
    );
    let home = fs::read_dir(home.path("")).unwrap();
    assert!(
        home.flatten()
            .all(|entry| !entry.file_name().to_string_lossy().contains("probe")),
        "the probe removes what it created"
    );
}

#[test]
fn disabled_confinement_is_recorded() {
    if skipped(&[Need::NoUnit("the daemon is not confined at all")]) {
        return;
    }
    let daemon = Daemon::start(&Config::new().set("confinement", "'off'"));
    assert_eq!(status_of(&daemon, "Seccomp:"), only("0"));
    let record = record_of(&daemon);
    assert_eq!(record["decision"], "failed");
    assert!(record["error"].as_str().unwrap().contains("switched off"));
}

#[test]
fn confined_daemon_notifies_systemd() {
    if skipped(&[Need::NoUnit("the test takes systemd's place")]) {
        return;
    }
    let home = Arc::new(Home::new());
    let (by_path, path) = (home.path("notify"), home.path("notify"));
    let name = format!("pulse-notify-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    for (socket, variable) in [
        (
            UnixDatagram::bind(by_path).unwrap(),
            path.to_str().unwrap().to_owned(),
        ),
        (
            UnixDatagram::bind_addr(&address).unwrap(),
            format!("@{name}"),
        ),
    ] {
        socket.set_read_timeout(Some(wait::timeout())).unwrap();
        home.write_config(&Config::new());
        let daemon = Daemon::start_with(&home, &[("NOTIFY_SOCKET", &variable)]);
        let receive = |what: &str| {
            let mut bytes = [0; 512];
            loop {
                let length = socket.recv(&mut bytes).unwrap();
                if String::from_utf8_lossy(&bytes[..length]).contains(what) {
                    return;
                }
            }
        };
        receive("READY=1");
        daemon.signal(Signal::SIGHUP);
        receive("RELOADING=1");
        receive("READY=1");
        daemon.stop();
        receive("STOPPING=1");
    }
}

/// The process id of the helper that reads this tree.
fn helper_process(sys_root: &Path) -> u32 {
    let is_it = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        let mut words = words.split('\0');
        words
            .next()
            .is_some_and(|program| program.ends_with("/pulse-sensor-node"))
            && words.any(|word| Path::new(word) == sys_root)
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(is_it).unwrap()
}

#[test]
fn helper_under_sshd_is_confined() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let devices = tempfile::tempdir().unwrap();
    let all = sim::tree::all();
    let (_, manifest) = all.iter().find(|(name, _)| *name == "ryzen").unwrap();
    sim::tree::unpack(manifest, devices.path()).unwrap();
    let command = helper_command(devices.path());
    let (program, rest) = command.split_once(' ').unwrap();
    let forced = format!("restrict,command=\"{program} --confinement required {rest}\"");
    let node = RealNode::start(&forced, Config::new());
    assert!(node.daemon.temperature("pve1").is_ok());
    let helper = helper_process(devices.path());
    assert_eq!(observe::status(helper, "NoNewPrivs:"), only("1"));
    assert_eq!(
        observe::status(helper, "Seccomp:"),
        only("2"),
        "every thread"
    );
}
