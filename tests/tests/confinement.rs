//! What holds the daemon: seen from outside while it serves, and tried from inside
//! by its probe.

use nix::sys::signal::Signal;
use pulse_e2e::programs::{self, Need, skipped};
use pulse_e2e::python::{self, User};
use pulse_e2e::service::{self, VARIABLE};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::sshd::helper_command;
use pulse_e2e::{Config, Daemon, Home, RealNode, Sshd, SshdOptions, run, wait};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::chown;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::Arc;

const NO_CAPABILITIES: &str = "0000000000000000";

/// A line of `/proc/<pid>/status`, for the daemon and each of its threads.
fn status_of(daemon: &Daemon, name: &str) -> BTreeSet<String> {
    status_of_process(daemon.pid(), name)
}

fn status_of_process(pid: u32, name: &str) -> BTreeSet<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let value = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    threads
        .map(|thread| value(fs::read_to_string(thread.unwrap().path().join("status")).unwrap()))
        .collect()
}

fn only(value: &str) -> BTreeSet<String> {
    BTreeSet::from([value.to_owned()])
}

fn assert_confined(daemon: &Daemon) {
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(status_of(daemon, set), only(NO_CAPABILITIES), "{set}");
    }
    assert_eq!(status_of(daemon, "NoNewPrivs:"), only("1"));
    assert_eq!(status_of(daemon, "Seccomp:"), only("2"), "every thread");
}

/// Its real, effective, saved and file system's ids are these, for good.
fn assert_is(daemon: &Daemon, User { uid, gid }: User) {
    for (name, id) in [("Uid:", uid), ("Gid:", gid)] {
        let all_four = format!("{id} {id} {id} {id}");
        assert_eq!(status_of(daemon, name), only(&all_four), "{name}");
    }
    assert_eq!(status_of(daemon, "CapBnd:"), only(NO_CAPABILITIES));
}

fn probe(home: &Home, words: &[&str], environment: &[(&str, &str)]) -> (i32, Value) {
    home.write_config(&Config::new());
    for directory in [
        home.ssh_dir(),
        home.audit_log().parent().unwrap().to_owned(),
    ] {
        fs::create_dir_all(directory).unwrap();
    }
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

/// That of a daemon which has no other user to become.
fn home_of_root() -> Home {
    let home = Home::new();
    chown(home.path("run"), Some(0), Some(0)).unwrap();
    home
}

/// The attempts that were, or were not, stopped.
fn attempts(findings: &Value, stopped: bool) -> BTreeSet<String> {
    let attempts = findings["attempts"].as_array().unwrap().iter();
    attempts
        .filter(|attempt| attempt["stopped"] == stopped)
        .map(|attempt| attempt["attempt"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_daemon_that_serves_is_confined_on_every_thread_and_on_record() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::well())]);
    assert!(fleet.daemon.temperature("pve1").is_ok());
    assert_confined(&fleet.daemon);
    let record = &fleet.daemon.home().records_of("confinement")[0];
    let holds = record["reason"].as_str().unwrap();
    assert!(
        holds.contains("landlock (ABI ") && holds.contains("seccomp ("),
        "{record}"
    );
}

/// However they are started.
#[test]
fn the_daemons_of_these_tests_are_started_as_root_and_drop_to_a_user_that_has_nothing() {
    if skipped(&[Need::Root]) {
        return;
    }
    let config = Config::new();
    let home = || Arc::new(Home::new());
    let under = home();
    under.write_config(&config);
    let daemons = [
        Daemon::start(&config),
        Daemon::start_program(&programs::lacking_daemon(), &home(), &config),
        Daemon::start_under(&under, &["setpriv", "--groups=0,1"]),
        Fleet::start(config, [("pve1", sim::well())]).daemon,
    ];
    let user = service::user();
    assert_ne!((user.uid, user.gid), (0, 0));
    for daemon in daemons {
        assert_is(&daemon, user);
        assert_eq!(status_of(&daemon, "Groups:"), only(""));
        assert_confined(&daemon);
        let record = &daemon.home().records_of("confinement")[0];
        let held = format!("privileges (user {})", user.uid);
        assert!(
            record["reason"].as_str().unwrap().contains(&held),
            "{record}"
        );
    }
}

#[test]
fn every_attempt_of_the_probe_is_stopped() {
    let (code, findings) = probe(&Home::new(), &[], &[]);
    assert_eq!(attempts(&findings, false), BTreeSet::new(), "{findings}");
    assert_eq!((code, &findings["tight"]), (0, &json!(true)));
    assert_eq!(findings["layers"][0]["state"], "whole");
    assert!(attempts(&findings, true).len() >= 30);
}

#[test]
fn each_layer_stops_its_part_by_itself_and_the_other_stops_the_rest() {
    let home = Home::new();
    let alone = |layer| {
        let (code, findings) = probe(&home, &["--only", layer], &[]);
        assert_eq!(code, 1, "{layer} alone is not enough");
        assert_eq!(findings["layers"][0]["layer"], layer);
        findings
    };
    let (landlock, seccomp) = (alone("landlock"), alone("seccomp"));
    let past_both: Vec<_> = attempts(&landlock, false)
        .intersection(&attempts(&seccomp, false))
        .cloned()
        .collect();
    assert!(past_both.is_empty(), "{past_both:?}");
    for what in [
        "read the users",
        "connect to another port",
        "list the processes",
    ] {
        assert!(attempts(&landlock, true).contains(what), "{what}");
        assert!(!attempts(&seccomp, true).contains(what), "{what}");
    }
    for what in [
        "UDP",
        "executable memory",
        "io_uring",
        "multipath TCP",
        "listen",
    ] {
        assert!(attempts(&seccomp, true).contains(what), "{what}");
        assert!(!attempts(&landlock, true).contains(what), "{what}");
    }
    for what in ["start a program", "signal another process", "bind a port"] {
        let by_both = [&landlock, &seccomp].map(|one| attempts(one, true).contains(what));
        assert_eq!(by_both, [true, true], "{what}");
    }
    assert!(
        attempts(&landlock, false).contains("reboot"),
        "left out, not tried"
    );
    let home = fs::read_dir(home.path("")).unwrap();
    assert!(
        home.flatten()
            .all(|entry| !entry.file_name().to_string_lossy().contains("probe")),
        "what was let through was taken back"
    );
}

#[test]
fn after_its_drop_from_root_it_reloads_rotates_polls_and_takes_its_socket_away() {
    if skipped(&[Need::Root, Need::Sshd, Need::Program("python3")]) {
        return;
    }
    let (sshd, home) = (Sshd::start(&SshdOptions::default()), Arc::new(Home::new()));
    let config = Config::new()
        .set("confinement", "'required'")
        .set_audit("segment_bytes", "24000")
        .set_ssh("poll_interval", "'1s'")
        .node("pve1", sshd.address());
    let daemon = Daemon::start_in(&home, &config);
    let document = sim::DOCUMENT.replace('"', "\\\"");
    let forced = format!("restrict,command=\"echo '{document}'\"");
    sshd.authorize(&forced, &home.public_key());
    home.trust(&sshd.host_key_line("pve1"));
    daemon.reload();

    assert_is(&daemon, service::user());
    assert_confined(&daemon);
    assert_eq!(home.records_of("confinement")[0]["decision"], "completed");

    assert!(sim::is_document(&daemon.temperature("pve1").unwrap()));
    let socket = home.socket();
    let request = json!({"method": "get_status"}).to_string();
    let as_itself = [socket.to_str().unwrap(), &request];
    let answer = python::run(python::PULSE, Some(service::user()), &as_itself);
    assert!(
        answer.contains("admin"),
        "its own user, after a reload: {answer}"
    );

    let directory = home.audit_log().parent().unwrap().to_owned();
    let all = || {
        let mut text = String::new();
        for file in fs::read_dir(&directory).unwrap().flatten() {
            if file.file_name().to_string_lossy().starts_with("audit.log") {
                text += &fs::read_to_string(file.path()).unwrap();
            }
        }
        text
    };
    wait::until("a rotation", || {
        // Each leaves two records, so this does not go on for long.
        assert!(daemon.temperature("pve1").is_ok());
        all().contains("\"log.rotated\"")
    });
    let as_its_user = format!("\"peer_uid\":{},", service::user().uid);
    wait::until("a poll", || all().contains(&as_its_user));
    assert!(
        daemon.temperature("pve1").is_ok(),
        "recorded in the next file"
    );
    daemon.stop();
    assert!(!socket.exists(), "it may still take its socket away");
}

#[test]
fn without_a_user_to_become_it_keeps_root_without_capabilities_and_says_so() {
    if skipped(&[Need::Root]) {
        return;
    }
    for name in ["root", "no-such-user-here"] {
        let home = Arc::new(home_of_root());
        home.write_config(&Config::new());
        let daemon = Daemon::start_with(&home, &[(VARIABLE, name)]);
        let status = daemon.ask(&json!({"method": "get_status"}));
        assert_eq!(status["success"], true, "{name}");
        assert_is(&daemon, User::number(0));
        assert_confined(&daemon);
        let record = &home.records_of("confinement")[0];
        assert_eq!(record["decision"], "failed", "{record}");
        let lacks = record["error"].as_str().unwrap();
        assert!(
            lacks.contains("still root, without capabilities"),
            "{lacks}"
        );
        assert_eq!(lacks.contains("no user"), name != "root", "{lacks}");
        daemon.stop();
        assert!(!home.socket().exists(), "{name}");
    }
}

#[test]
fn what_keeps_root_stops_every_attempt_of_the_probe_too() {
    if skipped(&[Need::Root]) {
        return;
    }
    let (code, findings) = probe(&Home::new(), &[], &[(VARIABLE, "root")]);
    assert_eq!(attempts(&findings, false), BTreeSet::new(), "{findings}");
    let state = &findings["layers"][0]["state"];
    assert_eq!((code, state), (0, &json!("partly")));
}

#[test]
fn a_required_layer_that_does_not_hold_keeps_it_from_starting() {
    if skipped(&[Need::Root]) {
        return;
    }
    let home = home_of_root();
    home.write_config(&Config::new().set("confinement", "'required'"));
    let config = home.config_file();
    let missing = (VARIABLE, "no-such-user-here");
    let ended = run(&["--config", config.to_str().unwrap()], &[missing]);
    assert_eq!(ended.code, 71, "{ended:?}");
    for part in ["required", "no-such-user-here"] {
        assert!(ended.errors.contains(part), "{}", ended.errors);
    }
    assert!(!home.socket().exists() && !home.audit_log().exists());
}

#[test]
fn switched_off_it_is_not_confined_and_that_is_on_record() {
    let daemon = Daemon::start(&Config::new().set("confinement", "'off'"));
    assert_eq!(status_of(&daemon, "Seccomp:"), only("0"));
    // It serves a moment before that is written.
    let look = || daemon.home().records_of("confinement").pop();
    let record = wait::until_some("the record", look);
    assert_eq!(record["decision"], "failed");
    assert!(record["error"].as_str().unwrap().contains("switched off"));
}

#[test]
fn systemd_is_told_by_a_confined_daemon() {
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
        socket.set_read_timeout(Some(wait::patience())).unwrap();
        home.write_config(&Config::new());
        let daemon = Daemon::start_with(&home, &[("NOTIFY_SOCKET", &variable)]);
        let told = |what: &str| {
            let mut bytes = [0; 512];
            loop {
                let length = socket.recv(&mut bytes).unwrap();
                if String::from_utf8_lossy(&bytes[..length]).contains(what) {
                    return;
                }
            }
        };
        told("READY=1");
        daemon.signal(Signal::SIGHUP);
        told("RELOADING=1");
        told("READY=1");
        daemon.stop();
        told("STOPPING=1");
    }
}

/// The helper that reads this tree, as sshd started it.
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
fn the_helper_that_sshd_started_serves_with_all_its_confinement() {
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
    assert_eq!(status_of_process(helper, "NoNewPrivs:"), only("1"));
    assert_eq!(
        status_of_process(helper, "Seccomp:"),
        only("2"),
        "every thread"
    );
}
