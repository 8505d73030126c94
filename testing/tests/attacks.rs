//! Injection attacks: as node names over the socket, and as commands over real SSH. Each
//! would create a file if it were executed; the tests check that none is created.

use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sim::{self, Fleet, tree};
use pulse_e2e::sshd::{helper_command, make_key};
use pulse_e2e::{Config, Sshd, SshdOptions};
use serde_json::json;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use tempfile::TempDir;

/// Families of attacks with examples; `CANARY` is replaced by the file to create.
const FAMILIES: [(&str, &[&str]); 11] = [
    (
        "shell metacharacters",
        &[
            "sensors -j *",
            "sensors '-j'",
            "sensors \"-j\"",
            "sensors \\-j",
            "~root",
            "!touch CANARY",
        ],
    ),
    (
        "subshells and backquotes",
        &[
            "$(touch CANARY)",
            "`touch CANARY`",
            "sensors $(touch CANARY)",
            "sensors ${IFS}-j",
            "(touch CANARY)",
            "{ touch CANARY; }",
        ],
    ),
    (
        "redirection",
        &[
            "sensors -j > CANARY",
            ">CANARY",
            "sensors -j >> CANARY",
            "sensors -j < /etc/passwd",
        ],
    ),
    (
        "chaining",
        &[
            "sensors -j; touch CANARY",
            "read && touch CANARY",
            "x || touch CANARY",
            "read & touch CANARY",
            "read | tee CANARY",
        ],
    ),
    (
        "Unicode look-alikes and zero-width characters",
        &[
            "sensоrs -j",
            "sensors\u{200b} -j",
            "sensors \u{2212}j",
            "read\u{feff}",
            "ｒｅａｄ",
            "\u{202e}daer",
        ],
    ),
    (
        "control bytes",
        &[
            "read\ntouch CANARY",
            "read\r",
            "sensors\t-j",
            "\u{1b}[2Jread",
            "read\u{7f}",
            "read\u{8}",
        ],
    ),
    (
        "traversal",
        &[
            "../../bin/touch CANARY",
            "sensors ../../CANARY",
            "../pulse-sensor-node read",
        ],
    ),
    (
        "absolute paths",
        &[
            "/usr/bin/touch CANARY",
            "/usr/bin/sensors -j",
            "./sensors -j",
        ],
    ),
    (
        "environment prefixes",
        &[
            "LC_ALL=C sensors -j",
            "LD_PRELOAD=CANARY read",
            "PATH=. read",
        ],
    ),
    (
        "option injection",
        &[
            "-oProxyCommand=touch CANARY",
            "--sys-root=/ read",
            "sensors -j -c CANARY",
            "read --sys-root /",
            "--help",
        ],
    ),
    (
        "dangerous ipmitool verbs",
        &[
            "ipmitool chassis power off",
            "ipmitool power off",
            "ipmitool raw 0x06 0x01",
            "ipmitool exec CANARY",
            "ipmitool shell",
            "ipmitool mc reset cold",
            "ipmitool lan set 1 ipaddr 192.0.2.1",
            "ipmitool user list",
            "ipmitool sol activate",
            "ipmitool fru write 0 CANARY",
            "ipmitool sel clear",
            "ipmitool sdr dump CANARY",
            "ipmitool -I open sdr",
            "touch CANARY",
            "sh",
            "reboot",
        ],
    ),
];

/// A directory with a short name, and the examples with a file in it as canary.
fn examples() -> (TempDir, Vec<(&'static str, String)>) {
    let directory = tempfile::Builder::new().prefix("c").tempdir().unwrap();
    let canary = directory.path().join("k");
    let canary = canary.to_str().unwrap();
    let examples = FAMILIES.iter().flat_map(|(family, texts)| {
        let aim = move |text: &&str| (*family, text.replace("CANARY", canary));
        texts.iter().map(aim)
    });
    let examples = examples.collect();
    (directory, examples)
}

fn assert_nothing_ran(directory: &Path) {
    let made = std::fs::read_dir(directory).unwrap().next();
    assert!(made.is_none(), "{made:?} was created");
}

#[test]
fn attacks_are_no_node_names() {
    let (directory, examples) = examples();
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    let mut names: Vec<String> = examples.into_iter().map(|(_, text)| text).collect();
    names.retain(|name| name.contains(|c: char| !c.is_ascii_alphanumeric()));
    names.extend(
        [
            "a\0b",
            "pve1\0",
            "pve1 ",
            " pve1",
            "",
            ".",
            "pve1/..",
            "010.1.1.1",
        ]
        .map(Into::into),
    );
    names.extend(["fe80::1%eth0", "[::1]:22", "[pve1]", "root@pve1", "pve1:22"].map(Into::into));
    names.push("a".repeat(65));
    let request = json!({"method": "get_temperatures", "params": {"nodes": names}});
    let response = fleet.daemon.ask(&request);
    let entries = response["data"]["nodes"].as_array().unwrap();
    assert_eq!(entries.len(), names.len());
    for (entry, name) in entries.iter().zip(&names) {
        let error = entry["error"].as_str().unwrap();
        assert!(error.starts_with("node \""), "{name:?}: {error}");
        assert!(
            error.ends_with("rejected by validator (invalid_node_name)"),
            "{name:?}: {error}"
        );
        // Escaped, and truncated with an ellipsis.
        let harmless = |c: char| c == ' ' || c == '…' || c.is_ascii_graphic();
        assert!(error.chars().all(harmless), "{error:?}");
    }
    assert_eq!(fleet.node("pve1").counters().connections, 0);
    assert_nothing_ran(directory.path());
}

#[test]
fn attack_costs_its_sender() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    let error = fleet.daemon.temperature("-oProxyCommand=id").unwrap_err();
    assert_eq!(
        error,
        "node \"-oProxyCommand=id\" rejected by validator (invalid_node_name)"
    );
    assert_eq!(
        fleet.daemon.temperature("pve1").unwrap_err(),
        "node \"pve1\" not read: rate limit exceeded"
    );
}

/// A node with the helper, and a key with its forced command.
fn node_with_helper() -> (Sshd, TempDir) {
    let devices = tempfile::tempdir().unwrap();
    let (_, manifest) = tree::all()[0];
    tree::unpack(manifest, devices.path()).unwrap();
    let sshd = Sshd::start(&SshdOptions::default());
    make_key(&sshd.path(""), "operator");
    let forced = format!("restrict,command=\"{}\"", helper_command(devices.path()));
    sshd.authorize(&forced, &sshd.public_key("operator"));
    (sshd, devices)
}

#[test]
fn helper_rejects_attacks_over_sshd() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let (directory, examples) = examples();
    let (sshd, _devices) = node_with_helper();
    let mut commands: Vec<_> = examples
        .into_iter()
        .map(|(family, text)| (family, OsString::from(text)))
        .collect();
    commands.push((
        "invalid UTF-8",
        OsString::from_vec(b"sensors \xff".to_vec()),
    ));
    commands.push((
        "invalid UTF-8",
        OsString::from_vec(b"sensors \xc0\xaf".to_vec()),
    ));
    let long = format!("sensors {}", "j".repeat(1024));
    commands.push(("arguments over 1,024 bytes", long.into()));
    for (family, command) in commands {
        let output = sshd
            .client(&sshd.path("operator"))
            .arg("--")
            .arg(&command)
            .output();
        let output = output.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(64),
            "{family}: {command:?}: {errors}"
        );
        assert!(errors.contains("pulse-sensor-node: "), "{family}: {errors}");
        assert!(output.stdout.is_empty(), "{family}: {command:?}");
    }
    assert_nothing_ran(directory.path());
}

#[test]
fn daemons_key_runs_only_the_helper() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let (sshd, _devices) = node_with_helper();
    let key = sshd.path("operator");
    let run = |arguments: &[&str]| {
        let mut client = sshd.client(&key);
        client.args(arguments).output().unwrap()
    };
    assert!(run(&["--", "read"]).status.success());
    // No shell, no terminal, no subsystem, no forwarding.
    assert_eq!(run(&[]).status.code(), Some(64), "a login");
    let terminal = run(&["-tt"]);
    assert!(!terminal.status.success() && terminal.stdout.is_empty());
    assert!(!run(&["-s", "--", "sftp"]).status.success());
    let forward = [
        "-o",
        "ExitOnForwardFailure=yes",
        "-R",
        "127.0.0.1:0:127.0.0.1:1",
        "--",
        "read",
    ];
    assert!(!run(&forward).status.success());
}
