//! The socket as a file: where containers find it, before and after.

use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::{Config, Daemon, Home, run, service, unused_address};
use serde_json::json;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

fn assert_serves(daemon: &Daemon) {
    let response = daemon.ask(&json!({"method": "get_status"}));
    assert_eq!(response["success"], true);
}

/// What a second daemon says that cannot start.
fn refusal(home: &Home) -> String {
    refusal_of(home, Config::new())
}

fn refusal_of(home: &Home, config: Config) -> String {
    home.write_config(&config.set("metrics_address", "'disabled'"));
    let config = home.config_file();
    let ended = run(&["--config", config.to_str().unwrap()], &[]);
    assert_eq!(ended.code, 73, "{}", ended.errors);
    ended.errors
}

#[test]
fn anybody_may_knock() {
    let daemon = Daemon::start(&Config::new());
    let file = fs::symlink_metadata(daemon.home().socket()).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o7777, 0o666);
}

#[test]
fn the_directory_that_containers_mount_survives_restarts() {
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
fn a_directory_that_is_not_there_is_made() {
    if skipped(&[Need::NoUnit("it makes a directory that systemd makes")]) {
        return;
    }
    let home = Arc::new(Home::new());
    let socket = home.path("a/b/proxy.sock");
    let config = Config::new().set("socket", &format!("{socket:?}"));
    home.write_config(&config);
    // The other file is only what the harness waits for.
    std::os::unix::fs::symlink(&socket, home.socket()).unwrap();
    let daemon = Daemon::start_with(&home, &[]);
    assert_serves(&daemon);
}

#[test]
fn the_file_is_gone_after_an_orderly_end() {
    let home = Arc::new(Home::new());
    Daemon::start_in(&home, &Config::new()).stop();
    assert!(!home.socket().exists());
}

#[test]
fn a_socket_that_a_dead_daemon_left_is_replaced() {
    let home = Arc::new(Home::new());
    let killed = Daemon::start_in(&home, &Config::new());
    drop(killed);
    assert!(home.socket().exists(), "SIGKILL leaves it");
    assert_serves(&Daemon::start_in(&home, &Config::new()));
}

#[test]
fn a_second_daemon_refuses_and_the_first_serves_on() {
    let first = Daemon::start(&Config::new());
    let errors = refusal(first.home());
    assert!(errors.contains("another daemon serves it"), "{errors}");
    let another = Home::new();
    let config = Config::new().set("socket", &format!("{:?}", first.home().socket()));
    let errors = refusal_of(&another, config);
    assert!(errors.contains("another daemon serves it"), "{errors}");
    assert_serves(&first);
}

#[test]
fn a_file_that_is_no_socket_is_never_replaced() {
    let home = Home::new();
    fs::write(home.socket(), "precious").unwrap();
    let errors = refusal(&home);
    assert!(errors.contains("no socket"), "{errors}");
    assert_eq!(fs::read(home.socket()).unwrap(), b"precious");
}

#[test]
fn a_socket_that_another_program_serves_is_left_to_it() {
    let home = Home::new();
    let _other = UnixListener::bind(home.socket()).unwrap();
    refusal(&home);
    assert!(home.socket().exists());
}

#[test]
fn systemd_may_hold_the_socket_and_the_port_of_metrics() {
    const ACTIVATE: &str = "systemd-socket-activate";
    if skipped(&[
        Need::Companion(ACTIVATE),
        Need::NoUnit("it gets its sockets from another program"),
    ]) {
        return;
    }
    let home = Arc::new(Home::new());
    fs::create_dir_all(home.socket().parent().unwrap()).unwrap();
    let port = unused_address();
    // What the configuration says is what is not opened then.
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
    assert!(home.socket().exists(), "it is systemd's to remove");
}
