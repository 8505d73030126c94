//! Administration: over a socket that only root can open, and over no other.

use pulse_e2e::programs::{Need, is_root, skipped};
use pulse_e2e::python::{self, User};
use pulse_e2e::{Config, Daemon, Home, control, run, service, wait};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, lchown};
use std::path::Path;
use std::sync::Arc;

const READER: User = User {
    uid: 61_002,
    gid: 61_002,
};

fn status() -> Value {
    json!({"method": "get_status"})
}

/// Nobody has any right on the callers' socket.
fn nobody() -> Config {
    Config::new().set("allowed_peer_uids", "[]")
}

#[test]
fn only_the_control_socket_administers() {
    let daemon = Daemon::start(&nobody());
    // The one who runs the tests: root, or the daemon's own user.
    assert_eq!(daemon.ask(&status())["error"], "unauthorized");
    let answer = daemon.administer(&status());
    let all = json!(["read", "write", "admin"]);
    assert_eq!(answer["data"]["capabilities"], all, "{answer}");
    let peer = format!("control:{}", nix::unistd::geteuid());
    wait::until("the record", || {
        let records = daemon.home().records_of("connection.accepted");
        records.iter().any(|record| record["peer"] == peer)
    });
}

#[test]
fn the_files_let_nobody_else_in() {
    let daemon = Daemon::start(&nobody());
    let socket = fs::symlink_metadata(daemon.home().control_socket()).unwrap();
    assert!(socket.file_type().is_socket());
    let directory = fs::metadata(daemon.home().control_socket().parent().unwrap()).unwrap();
    let mode = |found: &fs::Metadata| found.mode() & 0o7777;
    assert_eq!((mode(&socket), mode(&directory)), (0o600, 0o700));
    if is_root() && !skipped(&[Need::NoUnit("the unit's user makes it")]) {
        assert_eq!((socket.uid(), directory.uid()), (0, 0));
    }
}

#[test]
fn administrators_are_not_limited() {
    let config = nobody()
        .with_default_limits()
        .set_limit("per_peer_burst", "1");
    let daemon = Daemon::start(&config);
    for _ in 0..20 {
        assert_eq!(daemon.administer(&status())["success"], true);
    }
    // A mistake does not shut an operator out.
    let _ = daemon.administer(&json!([]));
    assert_eq!(daemon.administer(&status())["success"], true);
}

#[test]
fn one_that_a_dead_daemon_left_is_replaced() {
    let home = Arc::new(Home::new());
    drop(Daemon::start_in(&home, &nobody()));
    assert!(home.control_socket().exists(), "SIGKILL leaves it");
    let daemon = Daemon::start_in(&home, &nobody());
    assert_eq!(daemon.administer(&status())["success"], true);
}

#[test]
fn a_directory_that_others_can_change_is_not_used() {
    if skipped(&[Need::Root]) {
        return;
    }
    for (owner, mode) in [(READER.uid, 0o700), (0, 0o777)] {
        let home = Arc::new(Home::new());
        let socket = home.control_socket();
        let directory = socket.parent().unwrap();
        fs::create_dir(directory).unwrap();
        fs::set_permissions(directory, Permissions::from_mode(mode)).unwrap();
        chown(directory, Some(owner), None).unwrap();
        let daemon = Daemon::start_in(&home, &Config::new());
        assert_eq!(daemon.ask(&status())["success"], true, "callers are served");
        assert!(!socket.exists());
        let log = daemon.log();
        assert!(log.contains("nobody can administer this daemon"), "{log}");
        assert!(log.contains("can change"), "{log}");
    }
}

#[test]
fn the_callers_socket_is_made_with_its_users_rights() {
    if skipped(&[Need::Root]) {
        return;
    }
    let daemon = Daemon::start(&Config::new());
    let found = fs::symlink_metadata(daemon.home().socket()).unwrap();
    let User { uid, gid } = service::user();
    assert_eq!((found.uid(), found.gid()), (uid, gid));
}

/// As root, the daemon would make a directory there and give it away.
#[test]
fn a_link_of_the_services_user_is_not_followed_as_root() {
    if skipped(&[Need::Root, Need::NoUnit("systemd makes its directories")]) {
        return;
    }
    let home = Home::new();
    let (roots, below) = (home.path("roots"), home.path("below"));
    for directory in [&roots, &below] {
        fs::create_dir(directory).unwrap();
    }
    service::own(&below);
    std::os::unix::fs::symlink(&roots, below.join("link")).unwrap();
    let User { uid, gid } = service::user();
    lchown(below.join("link"), Some(uid), Some(gid)).unwrap();
    let state = below.join("link/ssh");
    home.write_config(&Config::new().set("ssh_dir", &format!("{state:?}")));
    let ended = run(&["--config", home.config_file().to_str().unwrap()], &[]);
    assert_eq!(ended.code, 73, "{}", ended.errors);
    assert!(
        ended.errors.contains("Permission denied"),
        "{}",
        ended.errors
    );
    assert_eq!(fs::read_dir(roots).unwrap().count(), 0);
}

#[test]
fn uid_0_is_never_given_admin_by_the_configuration() {
    let home = Home::new();
    let entry = "[{ uid = 0, capabilities = ['read', 'admin'] }]";
    home.write_config(&Config::new().set("allowed_peers", entry));
    let file = home.config_file();
    let file = file.to_str().unwrap();
    let check = run(&["--config", file, "--check"], &[]);
    let tool = control::run(&home, &["config", "check", file]);
    assert_eq!((check.code, tool.code), (78, 1), "{}", tool.output);
    for text in [check.errors, tool.output + &tool.errors] {
        assert!(text.contains("control_socket"), "{text}");
    }
}

#[test]
fn the_tool_administers_where_it_can_and_reads_where_it_may() {
    if skipped(&[Need::Root]) {
        return;
    }
    let daemon = Daemon::start(&nobody().set("allowed_peers", "[61002]"));
    let of_root = control::run(daemon.home(), &["status"]);
    assert_eq!(of_root.code, 0, "{}", of_root.errors);
    assert!(of_root.output.contains("admin"), "{}", of_root.output);
    assert!(
        of_root.output.contains("control.sock"),
        "{}",
        of_root.output
    );
    for command in ["status", "temps"] {
        let programs = control::run(daemon.home(), &[command, "--json"]);
        control::assert_follows(command, &programs);
    }
    let of_reader = control::run_as(READER, daemon.home(), &["status"]);
    assert_eq!(of_reader.code, 0, "{}", of_reader.errors);
    assert!(!of_reader.output.contains("admin"), "{}", of_reader.output);
    let stranger = User::number(61_001);
    let of_stranger = control::run_as(stranger, daemon.home(), &["status"]);
    assert!(
        of_stranger.errors.contains("allowed_peers"),
        "{}",
        of_stranger.errors
    );
}

#[test]
fn systemd_may_hold_it() {
    const ACTIVATE: &str = "systemd-socket-activate";
    if skipped(&[
        Need::Companion(ACTIVATE),
        Need::NoUnit("it gets its sockets from another program"),
    ]) {
        return;
    }
    let home = Arc::new(Home::new());
    fs::create_dir_all(home.control_socket().parent().unwrap()).unwrap();
    home.write_config(&nobody());
    let (callers, control) = (home.socket(), home.control_socket());
    // Whatever comes first: names tell them apart.
    let wrapper = [
        ACTIVATE,
        "-E",
        service::VARIABLE,
        "--fdname=control:rpc",
        "-l",
        control.to_str().unwrap(),
        "-l",
        callers.to_str().unwrap(),
    ];
    let daemon = Daemon::start_under(&home, &wrapper);
    assert_eq!(daemon.ask(&status())["error"], "unauthorized");
    assert_eq!(daemon.administer(&status())["success"], true);
}

/// A caller that is not root cannot even see it.
#[test]
fn another_user_cannot_open_it() {
    if skipped(&[Need::Root, Need::Program("python3")]) {
        return;
    }
    let daemon = Daemon::start(&Config::new().set("allowed_peers", "[61002]"));
    let socket = daemon.home().control_socket();
    let socket: &Path = &socket;
    let script = "import socket, sys\n\
                  try:\n    socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n\
                  except OSError as error:\n    print(type(error).__name__)\n";
    let said = python::run(script, Some(READER), &[socket.to_str().unwrap()]);
    assert_eq!(said, "PermissionError\n");
}
