//! SIGHUP: a valid configuration applies at once, an invalid one not at all.

use pulse_core::config::{Change, FILE, Key};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, Daemon, wait};
use serde_json::json;
use std::fs;

#[test]
fn reload_keeps_connections() {
    let (first, second) = (sim::start(sim::healthy()), sim::start(sim::healthy()));
    let both = Config::new()
        .node("pve1", first.addr())
        .node("pve2", second.addr());
    let one = Config::new()
        .set_ssh("port", &second.addr().port().to_string())
        .node("pve1", first.addr());
    let daemon = Daemon::start(&one);
    daemon.home().trust(&first.host_key_line("pve1"));
    daemon.home().trust(&second.host_key_line("pve2"));
    assert!(daemon.temperature("pve1").is_ok());
    assert!(
        daemon
            .temperature("pve2")
            .unwrap_err()
            .contains("not_allowlisted")
    );

    daemon.home().write_config(&both);
    daemon.reload();
    assert!(daemon.temperature("pve1").is_ok() && daemon.temperature("pve2").is_ok());

    daemon.home().write_config(&one);
    daemon.reload();
    assert!(daemon.temperature("pve1").is_ok());
    assert!(
        daemon
            .temperature("pve2")
            .unwrap_err()
            .contains("not_allowlisted")
    );
    sim::wait_for(&second, |now| now.open_connections == 0);
    assert_eq!(first.counters().connections, 1, "its connection was kept");
}

#[test]
fn moved_node_is_followed() {
    let (old, new) = (sim::start(sim::healthy()), sim::start(sim::healthy()));
    // Landlock permits only ports that were configured at the start.
    let config = Config::new().set_ssh("port", &new.addr().port().to_string());
    let daemon = Daemon::start(&config.node("pve1", old.addr()));
    daemon.home().trust(&old.host_key_line("pve1"));
    daemon.home().trust(&new.host_key_line("pve1"));
    assert!(daemon.temperature("pve1").is_ok());
    daemon
        .home()
        .write_config(&Config::new().node("pve1", new.addr()));
    daemon.reload();
    assert!(daemon.temperature("pve1").is_ok());
    assert_eq!((old.counters().readings, new.counters().readings), (1, 1));
}

#[test]
fn bad_file_keeps_the_configuration() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    let file = fleet.daemon.home().config_file();
    let good = fs::read_to_string(&file).unwrap();
    let mystery = format!("mystery = 1\n{good}");
    for bad in [b"allowed_nodes = [", mystery.as_bytes(), b"# \xff\xfe"] {
        fs::write(&file, bad).unwrap();
        fleet.daemon.reload();
        assert!(fleet.daemon.temperature("pve1").is_ok());
    }
    fs::remove_file(&file).unwrap();
    fleet.daemon.reload();
    assert!(fleet.daemon.temperature("pve1").is_ok());
    let log = fleet.daemon.log();
    assert_eq!(
        log.matches("the previous one stays in force").count(),
        4,
        "{log}"
    );
    assert!(log.contains("line 1, column"), "{log}");
}

#[test]
fn node_files_are_reloaded() {
    let nodes = [(); 3].map(|()| sim::start(sim::healthy()));
    let [listed, first, second] = &nodes;
    // Landlock permits only ports that were configured at the start.
    let daemon = Daemon::start(
        &Config::new()
            .set_ssh("port", &first.addr().port().to_string())
            .node("pve1", listed.addr())
            .node("port", second.addr()),
    );
    let home = daemon.home();
    for (name, node) in [
        ("pve1", listed),
        ("pve2", first),
        ("pve2", second),
        ("pve3", first),
    ] {
        home.trust(&node.host_key_line(name));
    }
    let is_listed = |name: &str| match daemon.temperature(name) {
        Ok(_) => true,
        Err(error) => {
            assert!(error.contains("not_allowlisted"), "{error}");
            false
        }
    };
    // The directory did not exist when the daemon confined itself.
    assert!(!home.nodes_directory().exists());
    home.list_node("pve2", first.addr());
    assert!(!is_listed("pve2"));
    daemon.reload();
    assert!(is_listed("pve1") && is_listed("pve2"));
    // The node moves, and another is added in its old place.
    home.list_node("pve2", second.addr());
    home.list_node("pve3", first.addr());
    daemon.reload();
    assert!(is_listed("pve2") && is_listed("pve3"));
    assert_eq!(second.counters().readings, 1);
    fs::remove_file(home.node_file("pve2")).unwrap();
    daemon.reload();
    assert!(is_listed("pve1") && !is_listed("pve2") && is_listed("pve3"));
    sim::wait_for(second, |now| now.open_connections == 0);
    assert_eq!(listed.counters().connections, 1, "its connection was kept");
    fs::remove_dir_all(home.nodes_directory()).unwrap();
    daemon.reload();
    assert!(is_listed("pve1") && !is_listed("pve3"));
}

#[test]
fn bad_node_file_keeps_the_configuration() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    let (daemon, home) = (&fleet.daemon, fleet.daemon.home());
    for (name, text, words) in [
        (
            "pve1",
            "name = 'pve1'",
            "line 1, column 8: node \"pve1\" is in allowed_nodes too",
        ),
        ("PVE1", "name = 'PVE1'", "in allowed_nodes too, as \"pve1\""),
        (
            "pve2",
            "name = 'pve3'",
            "has to be named pve3.toml, not pve2.toml",
        ),
        (
            "pve2",
            "name = 'pve2'\nadress = '::1'",
            "did you mean `address`?",
        ),
        ("pve2", "name = [", "pve2.toml: line 1"),
    ] {
        home.write_node(name, text);
        let file = home.node_file(name);
        home.write_node("pve4", "name = 'pve4'");
        daemon.reload();
        let log = daemon.log();
        let path = file.display();
        let mut lines = log.lines().rev();
        let said = lines.find(|line| line.contains("stays in force")).unwrap();
        assert!(said.contains(&format!("{path}: ")), "{said}");
        assert!(said.contains(words), "{words}: {said}");
        assert!(daemon.temperature("pve1").is_ok());
        // No file counts unless all are right.
        let error = daemon.temperature("pve4").unwrap_err();
        assert!(error.contains("not_allowlisted"), "{error}");
        fs::remove_file(file).unwrap();
    }
    fs::write(home.nodes_directory().join("pve5.bak"), "").unwrap();
    daemon.reload();
    let log = daemon.log();
    assert!(log.contains("files that are not read"), "{log}");
    assert!(log.contains(": pve5.bak"), "{log}");
    assert!(log.contains("reloaded the configuration: 2 nodes"), "{log}");
}

#[test]
fn reload_applies_limits_and_deadlines() {
    let daemon = Daemon::start(&Config::new());
    let status = || daemon.ask(&json!({"method": "get_status"}));
    for _ in 0..10 {
        assert_eq!(status()["success"], true);
    }
    let config = Config::new().set("read_timeout", "'1s'").with_two_tokens();
    daemon.home().write_config(&config);
    daemon.reload();
    assert_eq!(daemon.connect().error(), "read timeout");
    for _ in 0..2 {
        assert_eq!(status()["success"], true);
    }
    assert_eq!(status()["error"], "rate limit exceeded");
}

#[test]
fn restart_only_keys_are_reported() {
    let daemon = Daemon::start(&Config::new());
    let ssh_dir = || daemon.ask(&json!({"method": "get_status"}))["data"]["ssh_dir"].clone();
    let running = ssh_dir();
    let mut config = Config::new().set_ssh("port", "40022");
    let mut changed = Vec::new();
    let restarting = |key: &&Key| key.change == Change::Restart;
    for section in [&FILE].into_iter().chain(FILE.keys()) {
        for key in section.keys().iter().filter(restarting) {
            let example = key.example.unwrap();
            config = match section.name {
                "" => config.set(key.name, example),
                "audit" => config.set_audit(key.name, example),
                "forward" => config.set_forward(key.name, example),
                other => panic!("no key of [{other}] needs a restart"),
            };
            changed.push(key.path(section.name));
        }
    }
    daemon.home().write_config(&config);
    // They are named until the restart.
    for reloads in 1..=2 {
        daemon.reload();
        let log = daemon.log();
        for key in &changed {
            let warning = format!(" {key} has changed in the configuration: restart required");
            assert_eq!(log.matches(&warning).count(), reloads, "{key}: {log}");
        }
        let port = "no connections to SSH port 40022: restart required";
        assert_eq!(log.matches(port).count(), reloads, "{log}");
        let warnings = (changed.len() + 1) * reloads;
        assert_eq!(log.matches("restart required").count(), warnings, "{log}");
    }
    // None of them is in force.
    assert_eq!(ssh_dir(), running);
    assert!(daemon.scrape().contains("pulse_proxy_build_info"));
}

#[test]
fn reloads_leak_nothing() {
    // Only root can read a confined daemon's descriptors.
    if skipped(&[Need::Root]) {
        return;
    }
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    assert!(fleet.daemon.temperature("pve1").is_ok());
    let before = fleet.daemon.descriptors();
    for _ in 0..50 {
        fleet.daemon.reload();
    }
    assert!(fleet.daemon.temperature("pve1").is_ok());
    wait::until("their files", || fleet.daemon.descriptors() <= before);
    assert_eq!(fleet.node("pve1").counters().connections, 1);
}
