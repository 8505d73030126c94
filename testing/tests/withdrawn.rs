//! Host keys that are no longer accepted: their connections are closed, and no others.

use pulse_e2e::programs::is_root;
use pulse_e2e::service;
use pulse_e2e::sim::{self, Behaviour, Fleet, HostAuthority, SimConfig, SimNode};
use pulse_e2e::{Config, Daemon, Home, wait};
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NODES: [&str; 2] = ["pve1", "pve2"];

/// Two nodes with open connections.
fn connected() -> Fleet {
    let fleet = Fleet::start(Config::new(), NODES.map(|name| (name, sim::healthy())));
    for name in NODES {
        assert_reads(&fleet.daemon, name);
    }
    fleet
}

fn assert_reads(daemon: &Daemon, name: &str) {
    let document = daemon.temperature(name).unwrap();
    assert!(sim::is_document(&document), "{document}");
}

/// The key of a line of `known_hosts`, as type and base64.
fn key_of(line: &str) -> &str {
    line.split_once(' ').unwrap().1
}

/// Replaces `known_hosts` with these lines.
fn pin(fleet: &Fleet, lines: &[String]) {
    let file = fleet.daemon.home().known_hosts();
    let unfinished = file.with_extension("new");
    fs::write(&unfinished, lines.join("\n") + "\n").unwrap();
    fs::rename(unfinished, file).unwrap();
}

fn lines(fleet: &Fleet) -> Vec<String> {
    let lines = fleet.nodes().map(|(name, node)| node.host_key_line(name));
    lines.collect()
}

/// Waits until the first node's connection is closed and that is recorded; the second node's
/// stays open.
fn assert_closed(fleet: &Fleet, reason: &str) {
    let [first, second] = NODES.map(|name| fleet.node(name));
    sim::wait_for(first, |now| now.open_connections == 0);
    let home = fleet.daemon.home();
    let record = wait::until_some("the record", || {
        let records = home.records_of("hostkey.mismatch");
        // The refusals of callers have records of their own.
        records
            .into_iter()
            .find(|record| record["decision"] == "denied")
    });
    assert_eq!(
        (&record["node"], &record["reason"]),
        (&"pve1".into(), &reason.into())
    );
    let sentence = record["error"].as_str().unwrap();
    assert!(sentence.contains("no longer accepted"), "{sentence}");
    assert!(sentence.contains(&first.addr().to_string()), "{sentence}");
    let log = fleet.daemon.log();
    assert!(
        log.contains("node \"pve1\": the open connection to "),
        "{log}"
    );
    assert_reads(&fleet.daemon, "pve2");
    let second = second.counters();
    assert_eq!((second.connections, second.open_connections), (1, 1));
}

/// Reading the first node fails with this reason.
fn assert_refused(fleet: &Fleet, words: &str) {
    let error = fleet.daemon.temperature("pve1").unwrap_err();
    assert!(error.starts_with("node \"pve1\" "), "{error}");
    assert!(error.contains(words), "{error}");
}

#[test]
fn revoked_key_closes_its_connection() {
    let fleet = connected();
    let key = key_of(&lines(&fleet)[0]).to_owned();
    fleet.daemon.home().trust(&format!("@revoked * {key}"));
    assert_closed(&fleet, "host_key_revoked");
    assert_refused(&fleet, "revoked host key");
}

#[test]
fn unpinned_key_closes_its_connection() {
    let fleet = connected();
    pin(&fleet, &lines(&fleet)[1..]);
    assert_closed(&fleet, "host_key_unknown");
    assert_refused(&fleet, "not in known_hosts");
    // A corrected pin applies at once, without the backoff of ten minutes.
    pin(&fleet, &lines(&fleet));
    wait::until("the node", || fleet.daemon.temperature("pve1").is_ok());
}

/// An edit in place that preserves the file's size and modification time.
#[test]
fn edit_with_old_mtime_is_noticed() {
    let fleet = connected();
    let file = fleet.daemon.home().known_hosts();
    let before = fs::metadata(&file).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let other = sim::start(sim::healthy()).host_key_line("pve1");
    let changed = text.replace(key_of(&lines(&fleet)[0]), key_of(&other));
    assert_eq!(changed.len(), text.len());
    fs::write(&file, &changed).unwrap();
    let times = FileTimes::new().set_modified(before.modified().unwrap());
    File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_times(times)
        .unwrap();
    let after = fs::metadata(&file).unwrap();
    let visible = |m: &fs::Metadata| (m.ino(), m.size(), m.mtime(), m.mtime_nsec());
    assert_eq!(visible(&before), visible(&after));
    assert_closed(&fleet, "host_key_changed");
    assert_refused(&fleet, "showed another host key");
}

#[test]
fn exchanged_key_costs_no_reading() {
    let fleet = connected();
    let node = fleet.node("pve1");
    node.set_host_key(sim::fresh_key().unwrap()).unwrap();
    assert_reads(&fleet.daemon, "pve1");
    pin(&fleet, &lines(&fleet));
    assert_closed(&fleet, "host_key_changed");
    assert_reads(&fleet.daemon, "pve1");
    assert_eq!(node.counters().connections, 2);
}

#[test]
fn open_reading_ends_with_connection() {
    let config = Config::new().set("request_timeout", "'1h'");
    let fleet = Fleet::start(config, NODES.map(|name| (name, sim::healthy())));
    for name in NODES {
        assert_reads(&fleet.daemon, name);
    }
    let node = fleet.node("pve1");
    node.set_behaviour(Behaviour::HangAfterGreeting);
    let mut caller = fleet.daemon.connect();
    caller.send(b"{\"method\":\"get_temperature\",\"params\":{\"node\":\"pve1\"}}\n");
    let home = fleet.daemon.home();
    wait::until("its start record", || {
        home.records_of("command.start").len() == 3
    });
    let key = key_of(&lines(&fleet)[0]).to_owned();
    home.trust(&format!("@revoked * {key}"));
    let error = caller.error();
    assert!(error.contains("revoked host key"), "{error}");
    assert_closed(&fleet, "host_key_revoked");
}

#[test]
fn only_a_lasting_absence_closes() {
    let fleet = connected();
    let file = fleet.daemon.home().known_hosts();
    let aside = file.with_extension("aside");
    fs::rename(&file, &aside).unwrap();
    let log = || fleet.daemon.log();
    wait::until("its absence", || {
        log().contains("does not exist: no host key is pinned")
    });
    fs::rename(&aside, &file).unwrap();
    wait::until("its return", || {
        log().matches("read known_hosts").count() == 2
    });
    for name in NODES {
        assert_reads(&fleet.daemon, name);
        assert_eq!(fleet.node(name).counters().connections, 1);
    }
    fs::rename(&file, &aside).unwrap();
    for name in NODES {
        sim::wait_for(fleet.node(name), |now| now.open_connections == 0);
    }
    assert_refused(&fleet, "not in known_hosts");
    fs::rename(&aside, &file).unwrap();
    for name in NODES {
        wait::until(name, || fleet.daemon.temperature(name).is_ok());
    }
}

#[test]
fn unreadable_file_admits_nothing_new() {
    let fleet = connected();
    let file = fleet.daemon.home().known_hosts();
    let set = |mode| fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    let key = key_of(&lines(&fleet)[0]).to_owned();
    let unreadable = if is_root() { 0o600 } else { 0o000 };
    for mode in [unreadable, 0o666] {
        set(mode);
        let said = || {
            fleet
                .daemon
                .log()
                .matches("open ones are judged by")
                .count()
        };
        let expected = 1 + usize::from(mode == 0o666);
        wait::until("the complaint", || said() == expected);
        for name in NODES {
            assert_reads(&fleet.daemon, name);
            assert_eq!(fleet.node(name).counters().connections, 1);
        }
    }
    fleet.node("pve2").kick();
    sim::wait_for(fleet.node("pve2"), |now| now.open_connections == 0);
    let error = fleet.daemon.temperature("pve2").unwrap_err();
    assert!(error.contains("known_hosts cannot be used"), "{error}");
    assert_reads(&fleet.daemon, "pve1");
    // Its content applies when it can be read again.
    fleet.daemon.home().trust(&format!("@revoked * {key}"));
    sim::wait_for(fleet.node("pve1"), |now| now.open_connections == 0);
    wait::until("the other node", || {
        fleet.daemon.temperature("pve2").is_ok()
    });
}

/// A daemon that trusts a node by its authority.
fn certified(valid: std::ops::RangeInclusive<u64>) -> (Daemon, SimNode, HostAuthority) {
    let authority = HostAuthority {
        valid,
        ..HostAuthority::fresh("pve1").unwrap()
    };
    let node = sim::start_with(SimConfig {
        host_authority: Some(authority.clone()),
        ..SimConfig::new(sim::healthy())
    });
    let home = Arc::new(Home::new());
    let port = node.addr().port();
    home.trust(&authority.known_hosts_line(&format!("[pve1]:{port}")));
    let config = Config::new().node("pve1", node.addr());
    (Daemon::start_in(&home, &config), node, authority)
}

fn assert_recorded(home: &Home, reason: &str) {
    let record = wait::until_some("the record", || home.records_of("hostkey.mismatch").pop());
    assert_eq!(record["reason"], reason, "{record}");
}

#[test]
fn revoked_authority_closes_connections() {
    let (daemon, node, authority) = certified(0..=u64::MAX);
    assert_reads(&daemon, "pve1");
    let line = authority.known_hosts_line("*");
    daemon
        .home()
        .trust(&line.replace("@cert-authority", "@revoked"));
    sim::wait_for(&node, |now| now.open_connections == 0);
    assert_recorded(daemon.home(), "host_key_revoked");
    assert!(daemon.temperature("pve1").is_err());
}

#[test]
fn removed_authority_closes_connections() {
    let (daemon, node, _) = certified(0..=u64::MAX);
    assert_reads(&daemon, "pve1");
    fs::write(daemon.home().known_hosts(), "").unwrap();
    sim::wait_for(&node, |now| now.open_connections == 0);
    assert_recorded(daemon.home(), "host_certificate");
}

#[test]
fn expired_certificate_closes_connection() {
    // The first validity that is long enough for this machine to read the node.
    let (daemon, node) = [5, 20, 60]
        .into_iter()
        .find_map(|seconds| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let (daemon, node, _) = certified(0..=(now + Duration::from_secs(seconds)).as_secs());
            daemon.temperature("pve1").is_ok().then_some((daemon, node))
        })
        .expect("a reading within a minute");
    sim::wait_for(&node, |now| now.open_connections == 0);
    assert_recorded(daemon.home(), "host_certificate");
    let error = daemon.temperature("pve1").unwrap_err();
    assert!(error.contains("expired"), "{error}");
}

#[test]
fn retargeted_link_is_noticed() {
    let fleet = connected();
    let file = fleet.daemon.home().known_hosts();
    let target = |number: &str| file.with_extension(number);
    let turn = |to: &Path| {
        let unfinished = file.with_extension("link");
        std::os::unix::fs::symlink(to, &unfinished).unwrap();
        fs::rename(unfinished, &file).unwrap();
    };
    fs::rename(&file, target("1")).unwrap();
    turn(&target("1"));
    assert_reads(&fleet.daemon, "pve1");
    fs::write(target("2"), lines(&fleet)[1].clone() + "\n").unwrap();
    service::make_readable(&target("2"));
    turn(&target("2"));
    assert_closed(&fleet, "host_key_unknown");
}
