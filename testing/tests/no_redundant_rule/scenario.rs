//! Everything that the daemon does in operation, in one or two seconds, with a check of each
//! effect: its confinement has to permit all of it.

use super::collector::{forwarding, has_everything};
use super::endings::{ends_at_once, ends_by_a_fault};
use super::program::{command, state};
use nix::sys::signal::Signal;
use pulse_audit::rename_live;
use pulse_audit::verify::{Options, StateKeys, Verdict, open_directory, verify};
use pulse_e2e::programs::{self, is_root};
use pulse_e2e::python::{self, User};
use pulse_e2e::sim::{self, Behaviour, SimConfig, SimNode};
use pulse_e2e::{Config, ControlGroup, Daemon, Home, service, wait};
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

/// A name that every `/etc/hosts` has.
const LOCALHOST: &str = "localhost";

/// A user who calls only from a control group, so that its first connection is recorded.
const GROUPED: u32 = 61_007;

const V4: &str = "127.0.0.1:0";
const V6: &str = "[::1]:0";
const NAMES: [&str; 3] = ["pve1", "pve2", LOCALHOST];
/// The first node by another name, which a file lists for a while.
const FILED: &str = "pve3";
const READING: &[u8] = b"{\"method\":\"get_temperature\",\"params\":{\"node\":\"pve1\"}}\n";

/// Connections that are opened and closed; each locks a page or two of secrets.
const CONNECTIONS: u64 = 16;

/// Runs it without this rule; none for all rules.
///
/// # Panics
/// When an effect is missing.
pub(super) fn run(left_out: Option<&str>) {
    let mut scenario = Scenario::start(left_out);
    scenario.reads_every_node();
    scenario.reads_replaced_pins();
    scenario.reads_files_of_nodes();
    scenario.answers_callers();
    scenario.serves_metrics();
    has_everything(&scenario.daemon);
    scenario.records_its_own_polls();
    scenario.keeps_secrets_out_of_swap();
    scenario.frees_memory();
    let free = scenario.free_space();
    scenario.reopens_and_rotates_the_log();
    scenario.examines_old_segments(free);
    scenario.continues_after_a_stop();
    has_everything(&scenario.daemon);
    scenario.survives_a_log_that_fails();
    scenario.ends_in_order();
    scenario.leaves_an_intact_log();
    ends_at_once(left_out);
    ends_by_a_fault(left_out);
}

struct Scenario {
    home: Arc<Home>,
    without_nodes: Config,
    config: Config,
    daemon: Daemon,
    /// Configured by IPv4 address, by IPv6 address and by name.
    nodes: [SimNode; 3],
}

impl Scenario {
    fn start(left_out: Option<&str>) -> Self {
        let nodes = [V4, if super::has_ipv6() { V6 } else { V4 }, V4].map(|listen| {
            sim::start_with(SimConfig {
                listen: listen.parse().unwrap(),
                ..SimConfig::new(sim::healthy())
            })
        });
        let home = Arc::new(Home::new());
        let without_nodes = forwarding(&home)
            .set("confinement", "'required'")
            .set("allowed_peers", &format!("[{GROUPED}]"))
            .set("read_timeout", "'1h'")
            .set("max_ssh_output_bytes", "8388608")
            .set_audit("segment_bytes", "24000")
            // No segment is that old, but the daemon examines them.
            .set_audit("retain_days", "365")
            // Polls the first node at once and the others hours later.
            .set_ssh("poll_interval", "'9h'")
            .set_ssh("port", &nodes[2].addr().port().to_string());
        let config = without_nodes
            .clone()
            .node(NAMES[0], nodes[0].addr())
            .node(NAMES[1], nodes[1].addr())
            .named_node(NAMES[2]);
        home.trust(&nodes[0].host_key_line(NAMES[0]));
        home.trust(&nodes[0].host_key_line(FILED));
        home.trust(&nodes[2].host_key_line(NAMES[2]));
        home.write_config(&config);
        drop(UnixListener::bind(home.socket()).unwrap());
        service::give(&home.socket());
        let daemon = Daemon::spawn(&home, &mut command(left_out));
        Self {
            home,
            without_nodes,
            config,
            daemon,
            nodes,
        }
    }

    fn assert_reads(&self, name: &str) {
        let document = self.daemon.temperature(name).unwrap();
        assert!(sim::is_document(&document), "{name}: {document}");
    }

    fn reads_every_node(&self) {
        self.leave_an_unfinished_key();
        self.assert_reads(NAMES[0]);
        self.assert_reads(LOCALHOST);
    }

    fn reads_replaced_pins(&self) {
        let known = self.home.known_hosts();
        let line = self.nodes[1].host_key_line(NAMES[1]);
        let text = fs::read_to_string(&known).unwrap() + &line + "\n";
        // A symbolic link, as configuration management makes them.
        let target = known.with_extension("2");
        fs::write(&target, text).unwrap();
        service::make_readable(&target);
        let unfinished = known.with_extension("new");
        symlink(target, &unfinished).unwrap();
        fs::rename(unfinished, &known).unwrap();
        self.assert_reads(NAMES[1]);
    }

    /// The directory does not exist when the daemon confines itself.
    fn reads_files_of_nodes(&self) {
        self.home.list_node(FILED, self.nodes[0].addr());
        self.reload(&self.config);
        self.assert_reads(FILED);
        fs::remove_file(self.home.node_file(FILED)).unwrap();
        self.reload(&self.config);
        assert!(self.daemon.temperature(FILED).is_err());
    }

    fn answers_callers(&self) {
        let mut keeping = self.daemon.connect();
        for _ in 0..2 {
            keeping.send(b"{\"method\":\"get_status\",\"keep_alive\":true}\n");
            assert_eq!(keeping.answer()["success"], true);
        }
        let mut silent = self.daemon.connect();
        silent.send(b"{\"meth");
        drop(silent);
        let mut ending = self.daemon.connect();
        ending.send(b"{\"method\":\"get_status\"}");
        ending.end_sending();
        assert_eq!(ending.answer()["success"], true);
        assert_eq!(ending.rest(), b"", "the daemon closes the connection");
        self.refuses_strangers();
        self.names_containers();
    }

    /// The daemon looks up a caller's control group while it holds the caller's pidfd.
    fn names_containers(&self) {
        let name = format!("pulse-{}", self.daemon.pid());
        let Some(group) = ControlGroup::new(&format!("{name}/caller")) else {
            return;
        };
        let request = json!({"method": "get_status"}).to_string();
        let socket = self.home.socket();
        let user = GROUPED.to_string();
        let entry = group.entry().to_str().unwrap();
        let arguments = [entry, &user, socket.to_str().unwrap(), &request];
        let answer = python::run(python::GROUPED, None, &arguments);
        assert!(answer.contains("\"success\":true"), "{answer}");
        wait::until("its container in a record", || {
            self.records_of("connection.accepted")
                .iter()
                .any(|record| record["container"] == name.as_str())
        });
    }

    fn refuses_strangers(&self) {
        if !is_root() || programs::find("python3").is_none() {
            return;
        }
        let socket = self.home.socket();
        let request = json!({"method": "get_status"}).to_string();
        let arguments = [socket.to_str().unwrap(), &request];
        let answer = python::run(python::PULSE, Some(User::number(61_001)), &arguments);
        assert!(answer.contains("unauthorized"), "{answer}");
    }

    fn serves_metrics(&self) {
        assert!(self.daemon.get("/ready").starts_with("HTTP/1.1 200"));
        assert!(self.daemon.metric("pulse_proxy_audit_available") > 0.5);
    }

    /// It polls the first node when it starts.
    fn records_its_own_polls(&self) {
        let starts = self.records_of("command.start");
        let poll = starts.iter().find(|record| record["peer"] == "poller");
        let poll = poll.expect("a poll");
        let User { uid, gid } = service::user();
        assert_eq!(poll["peer_pid"], self.daemon.pid(), "{poll}");
        assert_eq!(
            (&poll["peer_uid"], &poll["peer_gid"]),
            (&json!(uid), &json!(gid))
        );
    }

    /// Writes this configuration, sends SIGHUP and waits for the reload.
    fn reload(&self, config: &Config) {
        let reloads = || self.records_of("config.reloaded").len();
        let before = reloads();
        self.home.write_config(config);
        self.daemon.signal(Signal::SIGHUP);
        wait::until("the reload", || reloads() > before);
    }

    /// Reloads a configuration without nodes and waits until their connections are closed.
    fn forget_nodes(&self) {
        self.reload(&self.without_nodes);
        assert!(self.daemon.temperature(NAMES[0]).is_err());
        for node in &self.nodes {
            sim::wait_for(node, |now| now.open_connections == 0);
        }
    }

    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse().unwrap()
    }

    /// Session keys are locked in memory only while their connection is open.
    fn keeps_secrets_out_of_swap(&self) {
        self.assert_reads(NAMES[0]);
        let locked = self.memory("VmLck:");
        assert!(locked > 0, "nothing is locked");
        for _ in 0..CONNECTIONS {
            self.forget_nodes();
            self.reload(&self.config);
            self.assert_reads(NAMES[0]);
        }
        let after = self.memory("VmLck:");
        assert!(
            after < locked + 2 * CONNECTIONS,
            "{locked} kB, then {after} kB"
        );
    }

    /// The buffer of a large reading is reallocated many times.
    fn frees_memory(&self) {
        let before = self.memory("VmSize:");
        self.nodes[0].set_behaviour(Behaviour::Synthetic {
            document: verbose(4000).into(),
        });
        assert!(self.daemon.temperature(NAMES[0]).is_ok());
        self.nodes[0].set_behaviour(sim::healthy());
        self.assert_reads(NAMES[0]);
        let after = self.memory("VmSize:");
        if super::needs("munmap") {
            assert!(after < before + 8192, "{before} kB, then {after} kB");
        }
    }

    fn continues_after_a_stop(&self) {
        self.daemon.signal(Signal::SIGSTOP);
        wait::until("the stop", || state(&self.daemon) == 'T');
        self.daemon.signal(Signal::SIGCONT);
        self.assert_reads(NAMES[0]);
    }

    fn reopens_and_rotates_the_log(&self) {
        let log = self.home.audit_log();
        rename_live(log.parent().unwrap()).unwrap();
        self.assert_reads(LOCALHOST);
        self.daemon.signal(Signal::SIGUSR1);
        wait::until("a new file", || log.exists());
        wait::until("a rotation", || {
            // Each reading has two records, so this ends soon.
            self.assert_reads(LOCALHOST);
            !self.records_of("log.rotated").is_empty()
        });
        self.assert_reads(LOCALHOST);
    }

    /// The bytes that the log's disk had free when it was measured last.
    fn free_space(&self) -> f64 {
        self.daemon.metric("pulse_proxy_audit_disk_free_bytes")
    }

    /// Retention reads an ended segment and reserves space for its seals. The disk had `free` bytes
    /// before the log was written to.
    fn examines_old_segments(&self, free: f64) {
        wait::until("the log's size", || {
            self.daemon.metric("pulse_proxy_audit_log_bytes") > 24_000.0
        });
        wait::until("another measurement of its disk", || {
            (self.free_space() - free).abs() > 0.5
        });
        let reserve = self.home.audit_log().with_file_name("audit.reserve");
        wait::until("space for the seals of the oldest segment", || {
            fs::metadata(&reserve).is_ok_and(|found| found.len() > 262_144)
        });
    }

    /// Leaves the file that a crash leaves in the middle of the next seal.
    fn leave_an_unfinished_key(&self) {
        let file = self.home.audit_state().join("seal-key-1.new");
        assert!(!file.exists());
        fs::write(&file, "half a k").unwrap();
        service::give(&file);
    }

    /// The log's directory disappears for a while, and returns with a torn last line.
    fn survives_a_log_that_fails(&self) {
        let log = self.home.audit_log();
        let directory = log.parent().unwrap();
        let aside = self.home.path("aside");
        fs::rename(directory, &aside).unwrap();
        wait::until("refusals", || {
            self.daemon
                .temperature(LOCALHOST)
                .is_err_and(|e| e.ends_with("audit log unavailable"))
        });
        let mut torn = OpenOptions::new()
            .append(true)
            .open(aside.join("audit.log"))
            .unwrap();
        torn.write_all(b"{\"seq\":").unwrap();
        fs::rename(&aside, directory).unwrap();
        wait::until("the log to be written again", || {
            self.daemon.temperature(LOCALHOST).is_ok()
        });
    }

    fn ends_in_order(&mut self) {
        self.nodes[0].set_behaviour(Behaviour::SlowBy {
            delay: Duration::from_millis(300),
            document: sim::DOCUMENT.into(),
        });
        let starts = || self.records_of("command.start").len();
        let before = starts();
        let mut in_hand = self.daemon.connect();
        in_hand.send(READING);
        wait::until("the request to be in hand", || starts() > before);
        self.closes_excess_connections();
        self.daemon.signal(Signal::SIGTERM);
        assert_eq!(in_hand.answer()["success"], true);
        assert_eq!(self.daemon.wait().code(), Some(0), "{}", self.daemon.log());
        assert!(!self.home.socket().exists());
    }

    /// The daemon closes the connection of a caller that it turns away, which may not close it
    /// for hours.
    fn closes_excess_connections(&self) {
        // A caller has two connections for each listed node and 64 more. The one in hand does not
        // count here: it can be answered before the last of these is accepted.
        let most = 2 * NAMES.len() + 64;
        let mut open: Vec<_> = (0..=most).map(|_| self.daemon.connect()).collect();
        let mut excess = open.pop().unwrap();
        assert_eq!(excess.error(), "rate limit exceeded");
        assert_eq!(excess.rest(), b"", "the daemon closes the connection");
    }

    fn leaves_an_intact_log(&self) {
        let directory = self.home.audit_log();
        let sources = open_directory(directory.parent().unwrap()).unwrap();
        let opened = self.records_of("log.open");
        let options = Options {
            key: Some(opened[0]["key"].as_str().unwrap().parse().unwrap()),
            state: Some(StateKeys::read(&self.home.audit_state()).unwrap()),
            ..Options::default()
        };
        let report = verify(sources, &options, &mut |_| ()).unwrap();
        assert_eq!(report.verdict, Verdict::Intact, "{report:?}");
        assert_eq!(report.sealed_through, report.last_seq, "{report:?}");
        let log = self.daemon.log();
        assert_eq!(
            log.matches("read known_hosts").count(),
            2,
            "it changed once"
        );
        let alarms = log
            .lines()
            .filter(|line| line.contains(" WARN ") || line.contains("ERROR "));
        // Expected: the log is new, and its directory disappeared.
        let others: Vec<_> = alarms.filter(|line| !line.contains("audit log")).collect();
        assert!(others.is_empty(), "{others:?}");
    }

    /// The records of a kind in all segments.
    fn records_of(&self, kind: &str) -> Vec<Value> {
        let mut records = self.home.all_records();
        records.retain(|record| record["event_type"] == kind);
        records
    }
}

/// A document with this many chips, of a kilobyte each.
fn verbose(chips: usize) -> String {
    let feature = |i| format!("\"temp{i}\":{{\"temp{i}_input\":41.5}}");
    let features = (1..40).map(feature).collect::<Vec<_>>().join(",");
    let chip = |i| format!("\"jc42-i2c-{i}-18\":{{{features}}}");
    let chips = (0..chips).map(chip).collect::<Vec<_>>().join(",");
    format!("{{\"sensors\":{{{chips}}},\"smart\":[]}}")
}
