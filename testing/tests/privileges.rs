//! Dropping root: the daemon becomes an unprivileged user or, where there is none, root
//! without capabilities.

use crate::confinement::{NO_CAPABILITIES, assert_confined, only, probe, record_of, status_of};
use pulse_e2e::findings::attempts;
use pulse_e2e::programs::{self, Need, skipped};
use pulse_e2e::python::{self, User};
use pulse_e2e::service::{self, VARIABLE};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::sshd::{make_key, printing_options};
use pulse_e2e::{Config, Daemon, Home, Sshd, SshdOptions, run, wait};
use serde_json::json;
use std::os::unix::fs::chown;
use std::sync::Arc;

/// Its real, effective, saved and file system ids are these, and its bounding set is empty.
fn assert_is(daemon: &Daemon, User { uid, gid }: User) {
    for (name, id) in [("Uid:", uid), ("Gid:", gid)] {
        let all_four = format!("{id} {id} {id} {id}");
        assert_eq!(status_of(daemon, name), only(&all_four), "{name}");
    }
    assert_eq!(status_of(daemon, "CapBnd:"), only(NO_CAPABILITIES));
}

/// The home of a daemon that stays root.
fn home_of_root() -> Arc<Home> {
    let home = Home::new();
    chown(home.path("run"), Some(0), Some(0)).unwrap();
    Arc::new(home)
}

#[test]
fn root_is_dropped_by_every_daemon() {
    if skipped(&[Need::Root, Need::NoUnit("the daemon starts as root")]) {
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
        Fleet::start(config, [("pve1", sim::healthy())]).daemon,
    ];
    let user = service::user();
    assert_ne!((user.uid, user.gid), (0, 0));
    for daemon in daemons {
        let record = record_of(&daemon);
        assert_is(&daemon, user);
        assert_eq!(status_of(&daemon, "Groups:"), only(""));
        assert_confined(&daemon);
        let dropped = format!("privileges (user {})", user.uid);
        assert!(
            record["reason"].as_str().unwrap().contains(&dropped),
            "{record}"
        );
    }
}

#[test]
fn dropped_daemon_does_all_its_work() {
    if skipped(&[Need::Root, Need::Sshd, Need::Program("python3")]) {
        return;
    }
    let (sshd, home) = (Sshd::start(&SshdOptions::default()), Arc::new(Home::new()));
    let config = Config::new()
        .set("confinement", "'required'")
        .set_audit("segment_bytes", "24000")
        .set_ssh("poll_interval", "'1s'")
        .node("pve1", sshd.address());
    // The daemon polls when it starts, so both keys are known before.
    home.trust(&sshd.host_key_line("pve1"));
    make_key(&home.ssh_dir(), "id_ed25519");
    service::give(&home.ssh_dir().join("id_ed25519"));
    sshd.authorize(&printing_options(), &home.public_key());
    let daemon = Daemon::start_in(&home, &config);
    daemon.reload();

    assert_is(&daemon, service::user());
    assert_confined(&daemon);
    assert_eq!(home.records_of("confinement")[0]["decision"], "completed");

    assert!(sim::is_document(&daemon.temperature("pve1").unwrap()));
    let socket = home.socket();
    let request = json!({"method": "get_status"}).to_string();
    let as_itself = [socket.to_str().unwrap(), &request];
    let answer = python::run(python::PULSE, Some(service::user()), &as_itself);
    assert!(answer.contains("unauthorized"), "its own user: {answer}");

    wait::until("a rotation", || {
        // Each reading has two records, so this ends soon.
        assert!(daemon.temperature("pve1").is_ok());
        home.log_text().contains("\"log.rotated\"")
    });
    let as_its_user = format!("\"peer_uid\":{},", service::user().uid);
    wait::until("a poll", || home.log_text().contains(&as_its_user));
    assert!(
        daemon.temperature("pve1").is_ok(),
        "recorded in the next file"
    );
    daemon.stop();
    assert!(!socket.exists(), "it removes its socket as that user");
}

#[test]
fn missing_required_layer_prevents_start() {
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
fn root_is_kept_without_capabilities() {
    if skipped(&[Need::Root, Need::NoUnit("the daemon starts as root")]) {
        return;
    }
    for name in ["root", "no-such-user-here"] {
        let home = home_of_root();
        home.write_config(&Config::new());
        let daemon = Daemon::start_with(&home, &[(VARIABLE, name)]);
        let status = daemon.ask(&json!({"method": "get_status"}));
        assert_eq!(status["success"], true, "{name}");
        let record = record_of(&daemon);
        assert_is(&daemon, User::number(0));
        assert_confined(&daemon);
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
fn probe_is_stopped_as_kept_root() {
    if skipped(&[Need::Root, Need::NoUnit("the daemon starts as root")]) {
        return;
    }
    let (code, findings) = probe(&home_of_root(), &[], &[(VARIABLE, "root")]);
    assert_eq!(attempts(&findings, false), [""; 0], "{findings}");
    let state = &findings["layers"][0]["state"];
    assert_eq!((code, state), (0, &json!("partly")));
}
