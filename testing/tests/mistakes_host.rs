//! Mistakes on the daemon's host: the sentence says what is wrong and what to do, and doing that
//! corrects it.

use pulse_e2e::programs::{Need, is_root, skipped};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, Daemon, Home, control, forwarding, run, run_in, service, wait};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Asserts that a text has these parts.
fn assert_parts(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

/// The command between backticks that begins with this word.
fn command_in(text: &str, word: &str) -> String {
    let mut quoted = text.split('`').skip(1).step_by(2);
    let command = quoted.find(|quoted| quoted.starts_with(word));
    command
        .unwrap_or_else(|| panic!("no {word}: {text}"))
        .to_owned()
}

/// Runs a command of a message, whose words have no blanks.
fn follow(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status();
    assert!(status.unwrap().success(), "{command}");
}

/// The daemon as its user, who may make no directory in the home.
fn unprivileged() -> Vec<String> {
    let user = service::user();
    let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
    [
        "setpriv",
        "--clear-groups",
        "--reuid",
        &uid,
        "--regid",
        &gid,
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn missing_directories_have_their_command() {
    let needs = [
        Need::Root,
        Need::Optional("setpriv"),
        Need::NoUnit("systemd makes the directories"),
    ];
    if skipped(&needs) {
        return;
    }
    let home = Arc::new(Home::new());
    home.write_config(&Config::new());
    let run_directory = home.socket();
    let run_directory = run_directory.parent().unwrap();
    fs::remove_dir(run_directory).unwrap();
    let log = home.audit_log();
    let wrapper = unprivileged();
    for directory in [
        run_directory,
        &home.ssh_dir(),
        log.parent().unwrap(),
        &home.audit_state(),
    ] {
        let output = Command::new(&wrapper[0])
            .args(&wrapper[1..])
            .arg(pulse_e2e::programs::daemon())
            .arg("--config")
            .arg(home.config_file())
            .env_clear()
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(73), "{errors}");
        assert_parts(
            &errors,
            &["Permission denied", "the daemon's user must own it"],
        );
        let command = command_in(&errors, "install -d -o ");
        assert!(command.ends_with(directory.to_str().unwrap()), "{command}");
        follow(&command);
    }
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    Daemon::start_under(&home, &wrapper).stop();
}

#[test]
fn unreadable_directory_of_nodes_has_its_command() {
    let needs = [
        Need::Root,
        Need::Optional("setpriv"),
        Need::NoUnit("the unit's user reads the configuration at a reload alone"),
    ];
    if skipped(&needs) {
        return;
    }
    let home = Home::new();
    home.write_config(&Config::new());
    let nodes = home.config_file().with_file_name("nodes.d");
    fs::create_dir(&nodes).unwrap();
    let node = nodes.join("pve1.toml");
    fs::write(&node, "name = 'pve1'\n").unwrap();
    // As a shell with umask 077 makes them.
    set_mode(&nodes, 0o700);
    set_mode(&node, 0o600);
    let wrapper = unprivileged();
    let check = || {
        Command::new(&wrapper[0])
            .args(&wrapper[1..])
            .arg(pulse_e2e::programs::daemon())
            .arg("--config")
            .arg(home.config_file())
            .arg("--check")
            .env_clear()
            .output()
            .unwrap()
    };
    for path in [&nodes, &node] {
        let output = check();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{errors}");
        let command = command_in(&errors, "chmod ");
        assert!(command.ends_with(path.to_str().unwrap()), "{command}");
        follow(&command);
    }
    let output = check();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn missing_configuration_directory_is_named() {
    let home = Home::new();
    let directory = home.path("none");
    let file = directory.join("config.toml");
    let ended = run(&["--config", file.to_str().unwrap()], &[]);
    assert_eq!(ended.code, 78, "{}", ended.errors);
    let missing = format!("its directory {} does not exist", directory.display());
    assert_parts(&ended.errors, &[&missing, "create the file there"]);
    if is_root() {
        follow(&command_in(&ended.errors, "install -d "));
        let ended = run(&["--config", file.to_str().unwrap()], &[]);
        assert_parts(&ended.errors, &["create it, or name another with --config"]);
    }
}

#[test]
fn keys_of_others_have_their_command() {
    if skipped(&[Need::Root]) {
        return;
    }
    let home = Arc::new(Home::new());
    Daemon::start_in(&home, &Config::new()).stop();
    let key = home.ssh_dir().join("id_ed25519");
    for owner in [0, 61_001] {
        chown(&key, Some(owner), Some(owner)).unwrap();
        let ended = run_in(&home);
        assert_eq!(ended.code, 73, "{ended:?}");
        assert_parts(&ended.errors, &[key.to_str().unwrap(), "the daemon's user"]);
        follow(&command_in(&ended.errors, "chown "));
        Daemon::start_in(&home, &Config::new()).stop();
    }
}

#[test]
fn foreign_metrics_address_is_named() {
    // TEST-NET-1, which no host has (RFC 5737).
    let home = Home::new();
    home.write_config(&Config::new().set("metrics_address", "'192.0.2.1:9456'"));
    let ended = run_in(&home);
    assert_eq!(ended.code, 73, "{ended:?}");
    assert_parts(
        &ended.errors,
        &[
            "metrics_address 192.0.2.1:9456",
            "this host has no such address",
            "ip -brief address",
        ],
    );
}

#[test]
fn second_writer_of_a_log_is_told() {
    let first = Daemon::start(&Config::new());
    let second = Home::new();
    let of_first = |path: std::path::PathBuf| format!("{path:?}");
    let config = Config::new()
        .set_audit("log", &of_first(first.home().audit_log()))
        .set_audit("state_dir", &of_first(first.home().audit_state()));
    second.write_config(&config);
    let ended = run_in(&second);
    assert_eq!(ended.code, 73, "{ended:?}");
    let state = first.home().audit_state();
    assert_parts(
        &ended.errors,
        &[
            state.to_str().unwrap(),
            "another daemon writes this log",
            "systemctl status pulse-sensor-proxy",
            "`lslocks`",
        ],
    );
    assert!(!second.socket().exists(), "nothing is served");
    if skipped(&[Need::Root, Need::Optional("lslocks")]) {
        return;
    }
    let locks = Command::new("lslocks")
        .args(["-n", "-o", "PID,PATH"])
        .output();
    let locks = String::from_utf8(locks.unwrap().stdout).unwrap();
    let pid = first.pid().to_string();
    let line = locks
        .lines()
        .find(|line| line.contains(state.to_str().unwrap()));
    assert!(
        line.is_some_and(|line| line.trim().starts_with(&pid)),
        "{locks}"
    );
}

/// The files with a problem that `get_health` names, with their sentences.
fn file_problems(daemon: &Daemon) -> Vec<(String, String)> {
    let health = daemon.administer(&json!({"method": "get_health"}));
    let files = health["data"]["files"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let pair = |problem: &Value| (text(&problem["file"]), text(&problem["error"]));
    files.iter().map(pair).collect()
}

/// Waits until `get_health` names this file, and gives its sentence.
fn sentence_of(daemon: &Daemon, file: &str) -> String {
    wait::until_some(file, || {
        let found = file_problems(daemon)
            .into_iter()
            .find(|(name, _)| name == file);
        found.map(|(_, sentence)| sentence)
    })
}

fn gauge(daemon: &Daemon, file: &str) -> f64 {
    daemon.metric(&format!("pulse_proxy_file_problem{{file=\"{file}\"}}"))
}

/// Asserts that this file has a problem with these parts: in the health, the gauge and `status`.
fn assert_problem(daemon: &Daemon, file: &str, parts: &[&str]) {
    assert_parts(&sentence_of(daemon, file), parts);
    wait::until("the gauge", || gauge(daemon, file) > 0.5);
    let status = control::run(daemon.home(), &["status"]);
    assert_eq!(status.code, 1, "{status:?}");
    assert_parts(&status.output, &["a problem with ", file]);
    let json = control::run(daemon.home(), &["status", "--json"]);
    control::assert_follows("status", &json);
}

fn assert_no_problem(daemon: &Daemon, file: &str) {
    wait::until("the end of the problem", || {
        file_problems(daemon).iter().all(|(name, _)| name != file)
    });
    wait::until("the gauge", || gauge(daemon, file) < 0.5);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn unreadable_known_hosts_is_named() {
    if skipped(&[Need::Root]) {
        return;
    }
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    let (daemon, home) = (&fleet.daemon, fleet.daemon.home());
    assert!(daemon.temperature("pve1").is_ok());
    let known_hosts = home.known_hosts();
    // Root's alone, as editors with a private umask leave it.
    chown(&known_hosts, Some(0), Some(0)).unwrap();
    set_mode(&known_hosts, 0o600);
    let command = format!("`chmod 0644 {}`", known_hosts.display());
    assert_problem(
        daemon,
        "known_hosts",
        &["no node can be connected to", "Permission denied", &command],
    );
    follow(command.trim_matches('`'));
    assert_no_problem(daemon, "known_hosts");
    fs::remove_file(&known_hosts).unwrap();
    let missing = sentence_of(daemon, "known_hosts");
    assert_parts(&missing, &["does not exist", "docs/nodes.md"]);
}

#[test]
fn unusable_key_is_named() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    let key = fleet.daemon.home().ssh_dir().join("id_ed25519");
    set_mode(&key, 0o644);
    let command = format!("run chmod 600 {}", key.display());
    assert_problem(
        &fleet.daemon,
        "ssh_key",
        &["stays in use", "other users", &command],
    );
    set_mode(&key, 0o600);
    assert_no_problem(&fleet.daemon, "ssh_key");
}

#[test]
fn refused_reload_stays_visible() {
    let daemon = Daemon::start(&Config::new());
    let file = daemon.home().config_file();
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("allowed_node = []\n{good}")).unwrap();
    daemon.reload();
    assert_problem(
        &daemon,
        "configuration",
        &[
            "the previous one stays in force",
            "line 1, column 1",
            "did you mean `allowed_nodes`?",
            "systemctl reload pulse-sensor-proxy",
        ],
    );
    // A key that needs a restart: the file differs from what is in force, too.
    fs::write(&file, format!("socket_mode = '0600'\n{good}")).unwrap();
    daemon.reload();
    let sentence = sentence_of(&daemon, "configuration");
    assert_parts(&sentence, &["socket_mode has changed", "systemctl restart"]);
    fs::write(&file, good).unwrap();
    daemon.reload();
    assert_no_problem(&daemon, "configuration");
}

#[test]
fn lost_socket_is_named() {
    let daemon = Daemon::start(&Config::new());
    let home = daemon.home();
    let (socket, aside) = (home.socket(), home.path("aside"));
    fs::rename(&socket, &aside).unwrap();
    let remedy = "restart the daemon (`systemctl restart pulse-sensor-proxy`)";
    let removed = format!("the callers' socket {} was removed", socket.display());
    assert_problem(
        &daemon,
        "socket",
        &[&removed, "no caller can connect", remedy],
    );
    let ready = daemon.get("/ready");
    assert_parts(&ready, &["503 Service Unavailable", &removed]);
    // The tool finds no socket, and says that the daemon runs.
    let arguments = ["status", "--socket", socket.to_str().unwrap()];
    let mut tool = Command::new(pulse_e2e::programs::control());
    let output = tool.args(arguments).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_parts(
        &errors,
        &["is pulse-sensor-proxy running? Process ", "--socket"],
    );
    let impostor = UnixListener::bind(&socket).unwrap();
    wait::until("the replacement", || {
        sentence_of(&daemon, "socket").contains("was replaced by another file")
    });
    drop(impostor);
    fs::rename(&aside, &socket).unwrap();
    assert_no_problem(&daemon, "socket");
    assert!(daemon.get("/ready").contains("200 OK"));
    let log = daemon.log();
    assert_eq!(log.matches("ERROR").count(), 2, "{log}");
}

#[test]
fn lost_passed_socket_names_its_unit() {
    const ACTIVATE: &str = "systemd-socket-activate";
    if skipped(&[
        Need::Optional(ACTIVATE),
        Need::NoUnit("another program passes the socket"),
    ]) {
        return;
    }
    let home = Arc::new(Home::new());
    home.write_config(&Config::new());
    let socket = home.socket();
    let wrapper = [ACTIVATE, "-E", service::VARIABLE, "-l"];
    let wrapper = [&wrapper[..], &[socket.to_str().unwrap()]].concat();
    let daemon = Daemon::start_under(&home, &wrapper);
    fs::remove_file(&socket).unwrap();
    let unit = "`systemctl restart pulse-sensor-proxy.socket`";
    assert_problem(&daemon, "socket", &["was removed", unit]);
    assert_parts(&daemon.log(), &[unit]);
}

#[test]
fn missing_certificates_are_named() {
    let collector = pulse_e2e::unused_address();
    let config = forwarding::forward_to_all(&[(forwarding::COLLECTOR, collector, "relp")]);
    let daemon = Daemon::start(&config);
    assert_problem(&daemon, "certificates", &["ca.pem", "put ca.pem, "]);
}

#[test]
fn lost_control_socket_is_named() {
    // The tests' user may not ask on the callers' socket.
    let daemon = Daemon::start(&Config::new().set("allowed_peer_uids", "[]"));
    fs::remove_file(daemon.home().control_socket()).unwrap();
    wait::until("the gauge", || gauge(&daemon, "control_socket") > 0.5);
    let log = daemon.log();
    assert_parts(
        &log,
        &["the control socket ", "no administrator can connect"],
    );
    let status = control::run(daemon.home(), &["status"]);
    assert_eq!(status.code, 77, "{status:?}");
    assert_parts(
        &status.errors,
        &[
            "control.sock does not exist",
            "`systemctl restart pulse-sensor-proxy`",
        ],
    );
}

#[test]
fn administrator_is_no_poller() {
    let config = Config::new().with_default_limits();
    let fleet = Fleet::start(config, [("pve1", sim::healthy())]);
    let read = json!({"method": "get_temperature", "params": {"node": "pve1"}});
    let all = json!({"method": "get_temperatures"});
    for request in [read, all] {
        for round in 0..200 {
            let answer = fleet.daemon.administer(&request);
            assert_eq!(answer["success"], true, "{round}: {answer}");
            let entry = &answer["data"]["nodes"][0];
            assert_eq!(entry["error"], Value::Null, "{round}: {answer}");
        }
    }
    // The same from a caller is refused, with the time for people too.
    let read = json!({"method": "get_status"});
    let refused = wait::until_some("a refusal", || {
        let answer = fleet.daemon.ask(&read);
        (answer["success"] == false).then_some(answer)
    });
    assert_eq!(refused["error"], "rate limit exceeded");
    let detail = refused["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("the next request is served in "),
        "{detail}"
    );
    let socket = fleet.daemon.home().socket();
    let arguments = ["status", "--self", "--socket", socket.to_str().unwrap()];
    let said = wait::until_some("the tool's refusal", || {
        let mut tool = Command::new(pulse_e2e::programs::control());
        let output = tool.args(arguments).env_clear().output().unwrap();
        (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap())
    });
    assert_parts(
        &said,
        &["rate limit exceeded", "the next request is possible in "],
    );
}
