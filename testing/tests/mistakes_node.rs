//! Mistakes on a node, made for real: each error says what was observed, its cause and its remedy.

use crate::forwarding::machine::{alone, run};
use pulse_e2e::programs::{Need, find, skipped};
use pulse_e2e::sim::{self, Behaviour, Fleet};
use pulse_e2e::sshd::{make_key, printing_options};
use pulse_e2e::{Config, RealNode, SshdOptions, wait};
use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use tempfile::TempDir;

/// The error of the first reading, which has each of these parts.
fn assert_error(node: &RealNode, parts: &[&str]) -> String {
    let error = node.daemon.temperature("pve1").unwrap_err();
    assert!(error.starts_with("node \"pve1\" "), "{error}");
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    error
}

/// A user of this machine with its own key file, as docs/nodes.md has it; removed when dropped.
struct Account {
    name: String,
    /// Below `/run`, where no other user may write, as `StrictModes` requires.
    keys: TempDir,
}

impl Account {
    fn new() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pulse-t{}-{number}", std::process::id());
        let keys = tempfile::Builder::new()
            .prefix("pulse-keys-")
            .tempdir_in("/run")
            .unwrap();
        fs::set_permissions(keys.path(), Permissions::from_mode(0o755)).unwrap();
        let account = Self { name, keys };
        let shape = "useradd --system --home-dir / --shell /bin/sh --password *";
        account.change(shape);
        account
    }

    /// Runs a program of shadow(5)'s suite on the account.
    fn change(&self, words: &str) {
        let mut words = words.split(' ');
        let program = find(words.next().unwrap()).unwrap();
        let output = Command::new(program).args(words).arg(&self.name).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn key_file(&self) -> PathBuf {
        self.keys.path().join(&self.name)
    }

    /// A node that has this user, and whose sshd has its default settings where they count.
    fn node(&self, line: &str) -> RealNode {
        self.node_under(&[], line)
    }

    fn node_under(&self, wrapper: &'static [&'static str], line: &str) -> RealNode {
        let config = Config::new().set_ssh("user", &format!("'{}'", self.name));
        let options = SshdOptions {
            lines: vec![
                "LogLevel INFO".to_owned(),
                line.to_owned(),
                // The first value counts.
                format!(
                    "Match User {}\n AuthorizedKeysFile {}/%u\nMatch all",
                    self.name,
                    self.keys.path().display()
                ),
            ],
            strict_modes: true,
            wrapper,
            ..SshdOptions::default()
        };
        let node = RealNode::start_untrusted(config, &options);
        node.daemon.home().trust(&node.sshd.host_key_line("pve1"));
        self.authorize(&printing_options(), &node);
        node
    }

    fn authorize(&self, options: &str, node: &RealNode) {
        let line = format!("{options} {}\n", node.daemon.home().public_key());
        fs::write(self.key_file(), line).unwrap();
        let mode = Permissions::from_mode(0o644);
        fs::set_permissions(self.key_file(), mode).unwrap();
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = Command::new(find("userdel").unwrap())
            .arg(&self.name)
            .status();
    }
}

/// The causes of a refused key, in the order of the error, and what sshd's log says of each.
#[test]
fn refused_key_has_its_causes() {
    let needs = [Need::Sshd, Need::Root, Need::Program("useradd")];
    if skipped(&needs) {
        return;
    }
    let account = Account::new();
    let refused = |line: &str, spoil: &dyn Fn(&RealNode), logged: &[&str]| {
        let node = account.node(line);
        spoil(&node);
        assert_error(
            &node,
            &[
                "refused our SSH key for user",
                "authorized_keys probably lacks the line that \"pulse-sensorctl keys show\" prints",
                "mode, from=, expiry-time=, or the user's shell or account",
                "\"journalctl -u ssh -n 20\" on the node",
            ],
        );
        wait::until("sshd's log", || node.sshd.count("[preauth]") > 0);
        for cause in CAUSES {
            let is_expected = logged.contains(&cause);
            let log = node.sshd.log();
            assert_eq!(log.contains(cause), is_expected, "{cause}: {log}");
        }
    };
    let replace_key = |options: &'static str| {
        let account = &account;
        move |node: &RealNode| account.authorize(options, node)
    };
    // Of a missing line sshd says nothing at its default LogLevel.
    refused("", &|_| fs::remove_file(account.key_file()).unwrap(), &[]);
    let another = |node: &RealNode| {
        make_key(&node.daemon.home().path(""), "other");
        fs::copy(node.daemon.home().path("other.pub"), account.key_file()).unwrap();
    };
    refused("", &another, &[]);
    let open_to_all = |_: &RealNode| {
        let mode = Permissions::from_mode(0o666);
        fs::set_permissions(account.key_file(), mode).unwrap();
    };
    refused("", &open_to_all, &[CAUSES[0]]);
    let roots_alone = |_: &RealNode| {
        let mode = Permissions::from_mode(0o600);
        fs::set_permissions(account.key_file(), mode).unwrap();
    };
    refused("", &roots_alone, &[CAUSES[1]]);
    let elsewhere = replace_key("from=\"192.0.2.5\"");
    refused("", &elsewhere, &[CAUSES[2], CAUSES[3]]);
    let expired = replace_key("expiry-time=\"20200101\"");
    refused("", &expired, &[CAUSES[3]]);
    refused("AllowUsers nobody", &|_| (), &[CAUSES[4]]);
    account.change("usermod --shell /no/such/shell");
    refused("", &|_| (), &[CAUSES[5]]);
    account.change("usermod --shell /bin/sh");
    account.change("usermod --password !");
    refused("", &|_| (), &[CAUSES[6]]);
    account.change("usermod --password *");
    let node = account.node("");
    assert!(node.daemon.temperature("pve1").is_ok());
}

/// Parts of sshd's messages (auth.c, auth2-pubkey.c, misc.c), which docs/nodes.md explains.
const CAUSES: [&str; 7] = [
    "bad ownership or modes for file",
    "Could not open user",
    "not from a permitted host",
    "Refused by key options",
    "not listed in AllowUsers",
    "does not exist",
    "account is locked",
];

/// A node whose key has this forced command.
fn forced(command: &str) -> RealNode {
    RealNode::start(&format!("restrict,command=\"{command}\""), Config::new())
}

/// An executable with this content and mode.
fn program(directory: &Path, content: &str, mode: u32) -> String {
    let file = directory.join("pulse-sensor-node");
    fs::write(&file, content).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    file.display().to_string()
}

#[test]
fn unusable_helper_is_explained() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let missing = ["exit code 127", "install the helper", "docs/nodes.md"];
    assert_error(&forced("/no/such/pulse-sensor-node"), &missing);

    let directory = tempfile::tempdir().unwrap();
    let not_executable = ["exit code 126", "its mode (0755)"];
    let helper = program(directory.path(), "#!/bin/sh\n", 0o644);
    assert_error(&forced(&helper), &not_executable);
    // Of another architecture: an ELF header without a machine.
    let helper = program(
        directory.path(),
        "\u{7f}ELF\u{2}\u{1}\u{1}\0\0\0\0\0",
        0o755,
    );
    assert_error(&forced(&helper), &["exit code 126", "its architecture"]);

    assert_error(
        &forced("kill -KILL $$"),
        &["killed by signal KILL", "journalctl", "memory"],
    );
    let silent = ["exit code 3", "run the forced command on the node"];
    assert_error(&forced("exit 3"), &silent);
}

#[test]
fn nologin_shell_is_named() {
    if skipped(&[Need::Sshd, Need::Root, Need::Program("useradd")]) {
        return;
    }
    let account = Account::new();
    account.change("usermod --shell /usr/sbin/nologin");
    let node = account.node("");
    let parts = [
        "could not run the command: exit code 1",
        "nologin",
        "usermod -s /bin/sh",
    ];
    assert_error(&node, &parts);
    account.change("usermod --shell /bin/false");
    let node = account.node("");
    assert_error(&node, &["exit code 1", "login shell"]);
}

/// sshd answers that it does not start the command, and nothing else.
#[test]
fn lack_of_processes_is_named() {
    if skipped(&[Need::Sshd, Need::Root, Need::Program("useradd")]) {
        return;
    }
    let account = Account::new();
    // Root is exempt; the session's own process is the one.
    let node = account.node_under(&["prlimit", "--nproc=1"], "");
    assert_error(&node, &["cannot start a process", "limit of processes"]);
    wait::until("sshd's log", || node.sshd.count("fork: Resource") > 0);
}

#[test]
fn refused_session_is_explained() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let options = SshdOptions {
        lines: vec!["MaxSessions 0".to_owned()],
        ..SshdOptions::default()
    };
    let node = RealNode::start_untrusted(Config::new(), &options);
    node.daemon.home().trust(&node.sshd.host_key_line("pve1"));
    let key = node.daemon.home().public_key();
    node.sshd.authorize(&printing_options(), &key);
    assert_error(&node, &["opens no session", "MaxSessions"]);
}

/// The line of OpenSSH 9.8 and later, which Debian 12 does not have; of earlier versions below.
#[test]
fn penalty_is_no_silence() {
    let says = |text: &str| Behaviour::Speaks { text: text.into() };
    let nodes = [
        ("penalised", says("Not allowed at this time\r\n")),
        ("web", says("HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n")),
    ];
    let fleet = Fleet::start(Config::new(), nodes);
    let error = fleet.daemon.temperature("penalised").unwrap_err();
    for part in [
        "\"Not allowed at this time\"",
        "PerSourcePenalties",
        "10 minutes",
        "systemctl restart ssh",
    ] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    let error = fleet.daemon.temperature("web").unwrap_err();
    for part in [
        "is no SSH server",
        "HTTP/1.1 400 Bad Request",
        "correct the port",
    ] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
}

#[test]
fn unfinished_logins_are_named() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let options = SshdOptions {
        lines: vec!["MaxStartups 1:100:1".to_owned()],
        ..SshdOptions::default()
    };
    let node = RealNode::start_untrusted(Config::new(), &options);
    node.daemon.home().trust(&node.sshd.host_key_line("pve1"));
    let key = node.daemon.home().public_key();
    node.sshd.authorize(&printing_options(), &key);
    let other = TcpStream::connect(node.sshd.address()).unwrap();
    wait::until("the other login", || {
        node.sshd.count("Connection from") == 1
    });
    assert_error(&node, &["MaxStartups"]);
    drop(other);
    wait::until("a reading", || node.daemon.temperature("pve1").is_ok());
}

#[test]
fn closed_port_is_named() {
    let address = pulse_e2e::unused_address();
    let daemon = pulse_e2e::Daemon::start(&Config::new().node("pve1", address));
    let error = daemon.temperature("pve1").unwrap_err();
    for part in [
        &format!("cannot be reached at {address}: connection refused"),
        "sshd runs",
        "the port is right",
    ] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
}

/// A rule of this machine's own filter for packets to nodes.
fn with_rule(verdict: &str, parts: &[&str]) {
    let config = Config::new().set_ssh("connect_timeout", "'1s'");
    let node = RealNode::start(&printing_options(), config);
    let address = node.sshd.address();
    run("nft", "add table inet cut");
    let hook = "{ type filter hook output priority 0 ; }";
    run("nft", &format!("add chain inet cut out {hook}"));
    let port = address.port();
    run(
        "nft",
        &format!("add rule inet cut out tcp dport {port} {verdict}"),
    );
    let error = assert_error(&node, parts);
    assert!(error.contains(&address.to_string()), "{error}");
    run("nft", "delete table inet cut");
    wait::until("a reading", || node.daemon.temperature("pve1").is_ok());
}

#[test]
fn firewalls_are_told_apart() {
    let needs = [
        Need::Sshd,
        Need::Root,
        Need::Optional("ip"),
        Need::Program("nft"),
        Need::NoUnit("it needs a network of its own"),
    ];
    if skipped(&needs) {
        return;
    }
    alone(|| {
        // IPAddressDeny= acts like this: the kernel drops the SYN and connect(2) waits.
        let dropped = [
            "did not answer in time: no answer from",
            "firewall",
            "IPAddressAllow=",
        ];
        with_rule("drop", &dropped);
        with_rule(
            "reject with icmpx host-unreachable",
            &["no route to host", "nft list ruleset"],
        );
        with_rule("reject with tcp reset", &["connection refused", "firewall"]);

        let daemon = pulse_e2e::Daemon::start(
            &Config::new()
                .node("v4", "192.0.2.9:22".parse().unwrap())
                .node("v6", "[2001:db8::9]:22".parse().unwrap()),
        );
        for (name, address) in [("v4", "192.0.2.9"), ("v6", "2001:db8::9")] {
            let error = daemon.temperature(name).unwrap_err();
            for part in ["network is unreachable", &format!("ip route get {address}")] {
                assert!(error.contains(part), "{part:?} is not in {error}");
            }
        }
        run("ip", "route add prohibit 192.0.2.9/32");
        wait::until("another reason", || {
            let error = daemon.temperature("v4").unwrap_err();
            error.contains("permission denied") && error.contains("\"prohibit\" route")
        });
    });
}

/// A connection that is accepted, and on which nothing is said, is no dropped packet.
#[test]
fn silence_has_its_stage() {
    let config = Config::new()
        .set("request_timeout", "'3s'")
        .set_ssh("connect_timeout", "'2s'");
    let fleet = Fleet::start(
        config,
        [("mute", Behaviour::Blackhole), ("hangs", Behaviour::Hang)],
    );
    for (name, words) in [
        ("mute", "accepts connections, but its SSH server"),
        ("hangs", "the sensor command does not finish"),
    ] {
        let error = fleet.daemon.temperature(name).unwrap_err();
        let address = fleet.node(name).addr().to_string();
        for part in ["did not answer in time", words, &address] {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    }
}

#[test]
fn node_with_ipv6_alone_is_read() {
    let needs = [
        Need::Sshd,
        Need::Root,
        Need::Optional("ip"),
        Need::NoUnit("it needs a network of its own"),
    ];
    if skipped(&needs) {
        return;
    }
    alone(|| {
        run("ip", "address add 2001:db8::1/128 dev lo");
        let directory = tempfile::tempdir().unwrap();
        let hosts = directory.path().join("hosts");
        fs::write(&hosts, "2001:db8::1 pve6\nfe80::1%eth0 pve7\n").unwrap();
        fs::set_permissions(&hosts, Permissions::from_mode(0o644)).unwrap();
        run("mount", &format!("--bind {} /etc/hosts", hosts.display()));
        let options = SshdOptions {
            lines: vec!["ListenAddress [2001:db8::1]:22022".to_owned()],
            ..SshdOptions::default()
        };
        let config = Config::new()
            .set_ssh("port", "22022")
            .named_node("pve6")
            .named_node("pve7")
            .named_node("[2001:db8::1]");
        let node = RealNode::start_untrusted(config, &options);
        let key = node.daemon.home().public_key();
        node.sshd.authorize(&printing_options(), &key);
        let host_key = node.sshd.public_key("host_key");
        for name in ["pve6", "2001:db8::1"] {
            let line = format!("[{name}]:22022 {host_key}");
            node.daemon.home().trust(&line);
            assert!(sim::is_document(&node.daemon.temperature(name).unwrap()));
        }
        let error = node.daemon.temperature("pve7").unwrap_err();
        for part in ["only a link-local address", "in nodes.d or allowed_nodes"] {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    });
}
