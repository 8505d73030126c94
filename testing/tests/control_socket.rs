//! The control socket: administration by root alone.

use pulse_e2e::programs::{Need, is_root, skipped};
use pulse_e2e::python::{self, User};
use pulse_e2e::{Config, Daemon, Home, control, run, run_in, service, wait};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, lchown};
use std::sync::Arc;

const READER: User = User {
    uid: 61_002,
    gid: 61_002,
};

fn status() -> Value {
    json!({"method": "get_status"})
}

/// A configuration that permits no caller.
fn no_callers() -> Config {
    Config::new().set("allowed_peer_uids", "[]")
}

#[test]
fn only_control_socket_administers() {
    let daemon = Daemon::start(&no_callers());
    // As the tests' user: root, or the daemon's own user.
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
fn control_socket_is_private() {
    let daemon = Daemon::start(&no_callers());
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
    let config = no_callers()
        .with_default_limits()
        .set_limit("per_peer_burst", "1");
    let daemon = Daemon::start(&config);
    for _ in 0..20 {
        assert_eq!(daemon.administer(&status())["success"], true);
    }
    // A malformed request costs an operator no penalty.
    let _ = daemon.administer(&json!([]));
    assert_eq!(daemon.administer(&status())["success"], true);
}

#[test]
fn stale_control_socket_is_replaced() {
    let home = Arc::new(Home::new());
    drop(Daemon::start_in(&home, &no_callers()));
    assert!(home.control_socket().exists(), "SIGKILL leaves the file");
    let daemon = Daemon::start_in(&home, &no_callers());
    assert_eq!(daemon.administer(&status())["success"], true);
}

#[test]
fn writable_directory_is_not_used() {
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
        assert!(
            log.contains("without it the daemon cannot be administered"),
            "{log}"
        );
        assert!(log.contains("can change"), "{log}");
    }
}

#[test]
fn callers_socket_belongs_to_service() {
    if skipped(&[Need::Root]) {
        return;
    }
    let daemon = Daemon::start(&Config::new());
    let found = fs::symlink_metadata(daemon.home().socket()).unwrap();
    let User { uid, gid } = service::user();
    assert_eq!((found.uid(), found.gid()), (uid, gid));
}

/// The daemon, as root, would make a directory there and change its owner.
#[test]
fn root_follows_no_service_link() {
    if skipped(&[Need::Root, Need::NoUnit("systemd makes its directories")]) {
        return;
    }
    let home = Home::new();
    let (roots, below) = (home.path("roots"), home.path("below"));
    for directory in [&roots, &below] {
        fs::create_dir(directory).unwrap();
    }
    service::give(&below);
    std::os::unix::fs::symlink(&roots, below.join("link")).unwrap();
    let User { uid, gid } = service::user();
    lchown(below.join("link"), Some(uid), Some(gid)).unwrap();
    let state = below.join("link/ssh");
    home.write_config(&Config::new().set("ssh_dir", &format!("{state:?}")));
    let ended = run_in(&home);
    assert_eq!(ended.code, 73, "{}", ended.errors);
    assert!(
        ended.errors.contains("Permission denied"),
        "{}",
        ended.errors
    );
    assert_eq!(fs::read_dir(roots).unwrap().count(), 0);
}

#[test]
fn configuration_cannot_make_root_admin() {
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
fn tool_picks_the_permitted_socket() {
    if skipped(&[Need::Root]) {
        return;
    }
    let daemon = Daemon::start(&no_callers().set("allowed_peers", "[61002]"));
    let of_root = control::run(daemon.home(), &["status", "--self"]);
    assert_eq!(of_root.code, 0, "{}", of_root.errors);
    assert!(of_root.output.contains("admin"), "{}", of_root.output);
    assert!(
        of_root.output.contains("control.sock"),
        "{}",
        of_root.output
    );
    for (command, schema) in [
        (&["status", "--json"][..], "status"),
        (&["status", "--self", "--json"], "status-self"),
        (&["temps", "--json"], "temps"),
    ] {
        control::assert_follows(schema, &control::run(daemon.home(), command));
    }
    // Health has more for administrators.
    let health = control::run(daemon.home(), &["status"]);
    for line in [
        "audit log    records 1 to ",
        "forwarding   not configured",
        "landlock",
    ] {
        assert!(health.output.contains(line), "{line:?}: {}", health.output);
    }
    let of_reader = control::run_as(READER, daemon.home(), &["status", "--json"]);
    control::assert_follows("status", &of_reader);
    assert!(!of_reader.output.contains("audit"), "{}", of_reader.output);
    let of_stranger = control::run_as(User::number(61_001), daemon.home(), &["status"]);
    assert!(
        of_stranger.errors.contains("allowed_peers"),
        "{}",
        of_stranger.errors
    );
}

#[test]
fn systemd_passes_control_socket() {
    const ACTIVATE: &str = "systemd-socket-activate";
    if skipped(&[
        Need::Optional(ACTIVATE),
        Need::NoUnit("another program passes the sockets"),
    ]) {
        return;
    }
    let home = Arc::new(Home::new());
    fs::create_dir_all(home.control_socket().parent().unwrap()).unwrap();
    home.write_config(&no_callers());
    let (callers, control) = (home.socket(), home.control_socket());
    // In either order: the names identify them.
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

#[test]
fn users_cannot_open_control_socket() {
    if skipped(&[Need::Root, Need::Program("python3")]) {
        return;
    }
    let daemon = Daemon::start(&Config::new().set("allowed_peers", "[61002]"));
    let socket = daemon.home().control_socket();
    let script = "import socket, sys\n\
                  try:\n    socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n\
                  except OSError as error:\n    print(type(error).__name__)\n";
    let said = python::run(script, Some(READER), &[socket.to_str().unwrap()]);
    assert_eq!(said, "PermissionError\n");
}
