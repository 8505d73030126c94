//! The callers' socket as a file: its mode, its directory, restarts and activation.

use pulse_e2e::programs::{self, Need, skipped};
use pulse_e2e::python::{self, User};
use pulse_e2e::{Config, Daemon, Home, run_in, service, unused_address};
use serde_json::json;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::Arc;

const STRANGER: User = User {
    uid: 61_001,
    gid: 61_001,
};
/// A member of the socket's group in the tests that set one.
const MEMBER: User = User {
    uid: 61_004,
    gid: 61_100,
};

fn narrow() -> Config {
    Config::new()
        .set("socket_mode", "'0660'")
        .set("socket_group", "61100")
}

/// The outcome of connecting.
fn connected(home: &Home, user: User) -> String {
    let socket = home.socket();
    python::run(python::CONNECT, Some(user), &[socket.to_str().unwrap()])
}

fn assert_serves(daemon: &Daemon) {
    let response = daemon.ask(&json!({"method": "get_status"}));
    assert_eq!(response["success"], true);
}

/// The errors of a second daemon, which cannot start.
fn refusal(home: &Home) -> String {
    refusal_of(home, Config::new())
}

fn refusal_of(home: &Home, config: Config) -> String {
    home.write_config(&config.set("metrics_address", "'disabled'"));
    let ended = run_in(home);
    assert_eq!(ended.code, 73, "{}", ended.errors);
    ended.errors
}

#[test]
fn every_user_may_connect() {
    let daemon = Daemon::start(&Config::new());
    let file = fs::symlink_metadata(daemon.home().socket()).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o7777, 0o666);
}

#[test]
fn mounted_directory_survives_restarts() {
    let home = Arc::new(Home::new());
    let inode = || fs::metadata(home.path("run")).unwrap().ino();
    let before = inode();
    for _ in 0..3 {
        let daemon = Daemon::start_in(&home, &Config::new());
        assert_serves(&daemon);
        daemon.stop();
        assert_eq!(inode(), before);
    }
}

#[test]
fn missing_directory_is_made() {
    if skipped(&[Need::NoUnit("systemd makes the directory")]) {
        return;
    }
    let home = Arc::new(Home::new());
    let socket = home.path("a/b/proxy.sock");
    home.write_config(&Config::new().set("socket", &format!("{socket:?}")));
    // The harness connects to this link.
    std::os::unix::fs::symlink(&socket, home.socket()).unwrap();
    assert_serves(&Daemon::start_with(&home, &[]));
}

#[test]
fn shutdown_removes_the_socket() {
    let home = Arc::new(Home::new());
    Daemon::start_in(&home, &Config::new()).stop();
    assert!(!home.socket().exists());
}

#[test]
fn stale_socket_is_replaced() {
    let home = Arc::new(Home::new());
    drop(Daemon::start_in(&home, &Config::new()));
    assert!(home.socket().exists(), "SIGKILL leaves the file");
    assert_serves(&Daemon::start_in(&home, &Config::new()));
}

#[test]
fn second_daemon_does_not_start() {
    let first = Daemon::start(&Config::new());
    let errors = refusal(first.home());
    assert!(errors.contains("another daemon serves it"), "{errors}");
    let another = Home::new();
    let config = Config::new().set("socket", &format!("{:?}", first.home().socket()));
    let errors = refusal_of(&another, config);
    let holder = format!("`ss -xlp src {}`", first.home().socket().display());
    for part in ["another daemon serves it", "systemctl status", &holder] {
        assert!(errors.contains(part), "{errors}");
    }
    assert_serves(&first);
}

#[test]
fn other_files_are_never_replaced() {
    let home = Home::new();
    fs::write(home.socket(), "precious").unwrap();
    let errors = refusal(&home);
    assert!(errors.contains("not a socket"), "{errors}");
    assert_eq!(fs::read(home.socket()).unwrap(), b"precious");
}

#[test]
fn served_socket_is_never_replaced() {
    let home = Home::new();
    let _other = UnixListener::bind(home.socket()).unwrap();
    refusal(&home);
    assert!(home.socket().exists());
}

#[test]
fn systemd_passes_both_listeners() {
    const ACTIVATE: &str = "systemd-socket-activate";
    if skipped(&[
        Need::Optional(ACTIVATE),
        Need::NoUnit("another program passes the sockets"),
    ]) {
        return;
    }
    let home = Arc::new(Home::new());
    fs::create_dir_all(home.socket().parent().unwrap()).unwrap();
    let port = unused_address();
    // A passed listener takes precedence over the configured address.
    let elsewhere = unused_address();
    home.write_config(&Config::new().set("metrics_address", &format!("'{elsewhere}'")));
    let (socket, port_text) = (home.socket(), port.to_string());
    let wrapper = [
        ACTIVATE,
        "-E",
        service::VARIABLE,
        "-l",
        socket.to_str().unwrap(),
        "-l",
        &port_text,
    ];
    let daemon = Daemon::start_under(&home, &wrapper);
    assert_serves(&daemon);
    assert!(TcpStream::connect(port).is_ok());
    assert!(TcpStream::connect(elsewhere).is_err());
    daemon.stop();
    assert!(home.socket().exists(), "systemd removes it");
}

#[test]
fn narrow_socket_excludes_others() {
    let needs = [
        Need::Root,
        Need::Program("python3"),
        Need::NoUnit("the unit's user cannot change a group"),
    ];
    if skipped(&needs) {
        return;
    }
    let daemon = Daemon::start(&narrow());
    let file = fs::symlink_metadata(daemon.home().socket()).unwrap();
    assert_eq!((file.mode() & 0o7777, file.gid()), (0o660, MEMBER.gid));
    assert_eq!(connected(daemon.home(), STRANGER), "Permission denied\n");
    assert_eq!(connected(daemon.home(), MEMBER), "connected\n");
    assert_serves(&daemon);
}

/// A wrapper that makes and passes the socket as systemd does.
fn activation(home: &Home, mode: &str, gid: &str) -> Vec<String> {
    fs::create_dir_all(home.socket().parent().unwrap()).unwrap();
    let socket = home.socket();
    let words = ["python3", "-I", "-c", python::ACTIVATE];
    let more = [socket.to_str().unwrap(), mode, gid];
    words.into_iter().chain(more).map(str::to_owned).collect()
}

const ACTIVATION: [Need; 3] = [
    Need::Root,
    Need::Program("python3"),
    Need::NoUnit("another program passes the socket"),
];

#[test]
fn wider_passed_socket_is_refused() {
    if skipped(&ACTIVATION) {
        return;
    }
    for (mode, gid, why) in [
        ("0666", "61100", "its mode is 0666"),
        ("0660", "61001", "its group is 61001"),
    ] {
        let home = Home::new();
        home.write_config(&narrow().set("metrics_address", "'disabled'"));
        let wrapper = activation(&home, mode, gid);
        let mut command = Command::new(&wrapper[0]);
        command.args(&wrapper[1..]).arg(programs::daemon());
        command.arg("--config").arg(home.config_file());
        let output = command.envs([service::SETTING]).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{errors}");
        let drop_in = "[Socket]\nSocketMode=0660\nSocketGroup=61100\n";
        for part in [why, drop_in, "systemctl edit pulse-sensor-proxy.socket"] {
            assert!(errors.contains(part), "{part:?} is not in {errors}");
        }
    }
}

#[test]
fn narrow_passed_socket_is_served() {
    if skipped(&ACTIVATION) {
        return;
    }
    let home = Arc::new(Home::new());
    home.write_config(&narrow());
    let wrapper = activation(&home, "0660", "61100");
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let daemon = Daemon::start_under(&home, &wrapper);
    assert_serves(&daemon);
    assert_eq!(connected(&home, STRANGER), "Permission denied\n");
}

#[test]
fn missing_group_is_named() {
    let home = Home::new();
    let config = narrow().set("socket_group", "'no-such-group'");
    home.write_config(&config.set("metrics_address", "'disabled'"));
    let ended = run_in(&home);
    assert_eq!(ended.code, 78, "{}", ended.errors);
    assert!(
        ended.errors.contains("no group \"no-such-group\""),
        "{}",
        ended.errors
    );
}
