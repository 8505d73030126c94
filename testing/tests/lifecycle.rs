//! Start, signals and shutdown, from the side of operators and systemd.

use nix::sys::signal::Signal;
use pulse_e2e::programs::{self, Need, skipped};
use pulse_e2e::sim::{self, Behaviour, Fleet};
use pulse_e2e::{Config, Daemon, Home, observe, run, run_in, service, wait};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const READING: &[u8] = b"{\"method\":\"get_temperature\",\"params\":{\"node\":\"pve1\"}}\n";

/// Starts the daemon on this text as configuration.
fn ended_with(text: &str) -> pulse_e2e::Ended {
    let home = Home::new();
    fs::write(home.config_file(), text).unwrap();
    run_in(&home)
}

#[test]
fn shutdown_answers_open_requests() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let slow = Behaviour::SlowBy {
            delay: Duration::from_millis(300),
            document: sim::DOCUMENT.into(),
        };
        let mut fleet = Fleet::start(Config::new(), [("pve1", slow)]);
        let mut client = fleet.daemon.connect();
        client.send(READING);
        sim::wait_for(fleet.node("pve1"), |now| now.execs == 1);
        fleet.daemon.signal(signal);
        assert_eq!(client.answer()["success"], true, "{signal}");
        assert_eq!(fleet.daemon.wait().code(), Some(0), "{signal}");
        assert!(!fleet.daemon.home().socket().exists());
        assert_eq!(fleet.daemon.home().records_of("proxy.stop").len(), 1);
    }
}

#[test]
fn hung_node_delays_no_shutdown() {
    let config = Config::new().set("request_timeout", "'1s'");
    let mut fleet = Fleet::start(config, [("pve1", Behaviour::Hang)]);
    let mut client = fleet.daemon.connect();
    client.send(READING);
    sim::wait_for(fleet.node("pve1"), |now| now.execs == 1);
    fleet.daemon.signal(Signal::SIGTERM);
    assert!(client.error().starts_with("node \"pve1\" "));
    assert_eq!(fleet.daemon.wait().code(), Some(0));
}

#[test]
fn slow_disk_loses_no_last_answer() {
    if skipped(&[Need::Root, Need::Program("strace")]) {
        return;
    }
    let config = Config::new().set("request_timeout", "'1s'");
    let mut fleet = Fleet::start(config, [("pve1", Behaviour::Hang)]);
    let mut client = fleet.daemon.connect();
    client.send(READING);
    sim::wait_for(fleet.node("pve1"), |now| now.execs == 1);
    let _slow = SlowDisk::under(&fleet.daemon);
    fleet.daemon.signal(Signal::SIGTERM);
    assert!(client.error().starts_with("node \"pve1\" "));
    assert_eq!(fleet.daemon.wait().code(), Some(0));
}

/// strace, which adds half a second to each fdatasync(2) of a daemon.
struct SlowDisk(Child);

impl SlowDisk {
    fn under(daemon: &Daemon) -> Self {
        let strace = Command::new(programs::find("strace").unwrap())
            .args(["-f", "-qq", "-e", "trace=fdatasync"])
            .args(["-e", "inject=fdatasync:delay_enter=500000"])
            .args(["-p", &daemon.pid().to_string()])
            .stderr(Stdio::null())
            .spawn();
        let slow = Self(strace.unwrap());
        wait::until("every thread to be traced", || {
            let tracers = observe::status(daemon.pid(), "TracerPid:");
            tracers.iter().all(|tracer| tracer != "0")
        });
        slow
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // It has ended with the daemon.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn silent_callers_delay_no_shutdown() {
    let mut daemon = Daemon::start(&Config::new().set("read_timeout", "'1h'"));
    let mut silent: Vec<_> = (0..20).map(|_| daemon.connect()).collect();
    for client in &mut silent {
        client.send(b"{\"method\":\"get_status\",\"keep_alive\":true}\n");
        assert_eq!(client.answer()["success"], true);
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn shutdown_closes_node_connections() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    assert!(fleet.daemon.temperature("pve1").is_ok());
    fleet.daemon.signal(Signal::SIGTERM);
    sim::wait_for(fleet.node("pve1"), |now| now.open_connections == 0);
}

#[test]
fn missing_configuration_has_remedy() {
    let home = Home::new();
    let file = home.path("none.toml");
    let file = file.to_str().unwrap();
    for arguments in [&["--config", file][..], &["--check", "--config", file]] {
        let ended = run(arguments, &[]);
        assert_eq!(ended.code, 78);
        assert!(ended.errors.contains(file), "{}", ended.errors);
        assert!(ended.errors.contains("create it"), "{}", ended.errors);
    }
}

#[test]
fn configuration_error_has_position() {
    for (text, place, what) in [
        (
            "log_level = 'info'\n  allowed_node = []\n",
            "line 2, column 3",
            "allowed_node",
        ),
        (
            "[ssh]\nallowed_nodes = ['pve1']\n",
            "line 2, column 1",
            "it belongs at the top of the file, above the first [section]",
        ),
        (
            "log_level = 'info'\nlog_level = 'info'\n",
            "line 2, column 1",
            "duplicate",
        ),
        ("[ssh]\nuser = 'a b'\n", "line 2, column 8", "user name"),
        (
            "allowed_nodes = ['-x']\n",
            "line 1, column 18",
            "no node name",
        ),
        ("metrics_address = 9456\n", "line 1, column 19", ""),
    ] {
        let ended = ended_with(text);
        assert_eq!(ended.code, 78, "{text}");
        assert!(ended.errors.contains("config.toml: "), "{}", ended.errors);
        assert!(ended.errors.contains(place), "{text}: {}", ended.errors);
        assert!(ended.errors.contains(what), "{text}: {}", ended.errors);
        let remedy = "correct it there; `pulse-sensorctl config check` shows the line\n";
        assert!(ended.errors.ends_with(remedy), "{}", ended.errors);
    }
}

#[test]
fn check_passes_and_changes_nothing() {
    let home = Home::new();
    home.write_config(&Config::new());
    let ended = run(
        &["--check", "-c", home.config_file().to_str().unwrap()],
        &[],
    );
    assert_eq!((ended.code, ended.errors.as_str()), (0, ""));
    assert!(
        ended.output.ends_with("0 node(s), no mistakes\n"),
        "{}",
        ended.output
    );
    assert!(!home.ssh_dir().exists() && !home.socket().exists());
}

#[test]
fn readable_key_is_refused() {
    let home = Arc::new(Home::new());
    Daemon::start_in(&home, &Config::new()).stop();
    let key = home.ssh_dir().join("id_ed25519");
    for (mode, code) in [(0o644, 73), (0o640, 73), (0o604, 73)] {
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        let ended = run_in(&home);
        assert_eq!(ended.code, code, "{mode:o}");
        let remedy = format!("run chmod 600 {}", key.display());
        assert!(ended.errors.contains(&remedy), "{}", ended.errors);
        assert!(!home.socket().exists());
    }
}

#[test]
fn files_left_by_root_have_remedy() {
    if skipped(&[Need::Root]) {
        return;
    }
    let home = Arc::new(Home::new());
    Daemon::start_in(&home, &Config::new()).stop();
    for file in [home.ssh_dir().join("id_ed25519"), home.audit_log()] {
        chown(&file, Some(0), Some(0)).unwrap();
        let ended = run_in(&home);
        assert_eq!(ended.code, 73, "{ended:?}");
        for part in [file.to_str().unwrap(), "the daemon's user"] {
            assert!(ended.errors.contains(part), "{}", ended.errors);
        }
        service::give(&file);
    }
    Daemon::start_in(&home, &Config::new()).stop();
}

#[test]
fn taken_metrics_address_is_named() {
    let first = Daemon::start(&Config::new());
    let taken = first.home().metrics_address();
    let home = Home::new();
    home.write_config(&Config::new().set("metrics_address", &format!("'{taken}'")));
    let ended = run_in(&home);
    assert_eq!(ended.code, 73);
    let holder = format!("`ss -ltnp 'sport = :{}'` names it", taken.port());
    for part in [&taken.to_string(), &holder] {
        assert!(ended.errors.contains(part), "{}", ended.errors);
    }
    assert!(!home.socket().exists(), "no socket is left");
}

#[test]
fn help_and_version_are_printed() {
    let help = run(&["--help"], &[]);
    assert_eq!((help.code, help.errors.as_str()), (0, ""));
    for word in [
        "--config",
        "--check",
        "SIGHUP",
        "PULSE_SENSOR_PROXY_SOCKET",
        "78",
    ] {
        assert!(help.output.contains(word), "{word}");
    }
    let version = run(&["--version"], &[]);
    let expected = concat!("pulse-sensor-proxy ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!((version.code, version.output.as_str()), (0, expected));
    let wrong = run(&["--demon"], &[]);
    assert_eq!(wrong.code, 64);
    assert!(wrong.errors.contains("--demon") && wrong.errors.contains("--help"));
}

#[test]
fn environment_overrides_the_file() {
    if skipped(&[Need::NoUnit("systemd makes the directories")]) {
        return;
    }
    let home = Arc::new(Home::new());
    let elsewhere = Config::new()
        .set("socket", "'/nowhere/proxy.sock'")
        .set("ssh_dir", "'/nowhere/ssh'")
        .set("metrics_address", "'192.0.2.1:1'");
    home.write_config(&elsewhere);
    let (socket, ssh_dir) = (home.socket(), home.path("keys"));
    let metrics = home.metrics_address().to_string();
    let daemon = Daemon::start_with(
        &home,
        &[
            ("PULSE_SENSOR_PROXY_SOCKET", socket.to_str().unwrap()),
            ("PULSE_SENSOR_PROXY_SSH_DIR", ssh_dir.to_str().unwrap()),
            ("PULSE_SENSOR_PROXY_METRICS_ADDR", &metrics),
        ],
    );
    let status = daemon.ask(&serde_json::json!({"method": "get_status"}));
    assert_eq!(status["data"]["ssh_dir"], ssh_dir.to_str().unwrap());
    assert!(ssh_dir.join("id_ed25519").exists());
    assert!(daemon.scrape().contains("pulse_proxy_build_info"));
}

#[test]
fn environment_is_checked() {
    let home = Home::new();
    home.write_config(&Config::new());
    let file = home.config_file();
    let named = ("PULSE_SENSOR_PROXY_CONFIG", file.to_str().unwrap());
    assert_eq!(run(&["--check"], &[named]).code, 0);
    let wrong = ("PULSE_SENSOR_PROXY_METRICS_ADDR", "localhost");
    let ended = run(&["--check"], &[named, wrong]);
    assert_eq!(ended.code, 78);
    assert!(ended.errors.contains(wrong.0), "{}", ended.errors);
}

#[test]
fn late_callers_are_refused_at_once() {
    let slow = Behaviour::SlowBy {
        delay: Duration::from_millis(500),
        document: sim::DOCUMENT.into(),
    };
    let mut fleet = Fleet::start(Config::new(), [("pve1", slow)]);
    let mut client = fleet.daemon.connect();
    client.send(READING);
    sim::wait_for(fleet.node("pve1"), |now| now.execs == 1);
    fleet.daemon.signal(Signal::SIGTERM);
    let socket = fleet.daemon.home().socket();
    wait::until("no more callers", || {
        std::os::unix::net::UnixStream::connect(&socket).is_err()
    });
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(client.answer()["success"], true));
    });
    assert_eq!(fleet.daemon.wait().code(), Some(0));
}
