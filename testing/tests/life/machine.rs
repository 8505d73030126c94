//! The container: programs that run in it, the packages, and the machine as its own node.

use pulse_e2e::Client;
use pulse_e2e::programs::{Need, find};
use serde_json::{Value, json};
use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The variable with the directory that has the packages' first and second version.
const PACKAGES: &str = "PULSE_TEST_PACKAGES";

pub(crate) const CONFIG: &str = "/etc/pulse-sensor-proxy/config.toml";
const SOCKET: &str = "/run/pulse-sensor-proxy/pulse-sensor-proxy.sock";
const SSH: &str = "/var/lib/pulse-sensor-proxy/ssh";

/// The numbers of the nodes, all of which are this machine.
pub(crate) const NODES: std::ops::RangeInclusive<u8> = 1..=10;

fn address(node: u8) -> String {
    format!("192.0.2.{}", 10 + node)
}

pub(crate) const fn need() -> Need {
    Need::WholeMachine(PACKAGES, "cargo xtask package-test")
}

/// Runs a program that must succeed and returns its output.
pub(crate) fn run(program: &str, arguments: &[impl AsRef<std::ffi::OsStr>]) -> String {
    let output = try_run(program, arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {text}{errors}");
    text
}

/// Runs a program that may fail.
pub(crate) fn try_run(program: &str, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Output {
    let found = find(program).unwrap_or_else(|| panic!("{program}"));
    Command::new(found)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap()
}

/// The files of both packages, of a version.
pub(crate) fn packages(version: &str) -> Vec<&'static str> {
    let directory = PathBuf::from(env::var_os(PACKAGES).unwrap()).join(version);
    let files = fs::read_dir(directory).unwrap();
    let files = files.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned());
    // For as long as the test runs.
    let files: Vec<&'static str> = files.map(|file| &*file.leak()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    files
}

/// Configures the service and the node as the installation's page says, and starts it.
pub(crate) fn configure() {
    make_sensors();
    let mut nodes = String::new();
    for node in NODES {
        let address = address(node);
        add_address(&address);
        nodes += &format!("{{ name = 'pve{node}', address = '{address}' }}, ");
    }
    let text = format!(
        "config_version = 2\n\
         cache_ttl = '0s'\n\
         allowed_peer_uids = [0]\n\
         allowed_nodes = [{nodes}]\n\
         [rate_limit]\n\
         per_peer_interval_ms = 1\n\
         per_peer_burst = 1000\n"
    );
    fs::write(CONFIG, text).unwrap();
    let drop_ins = "/etc/systemd/system/pulse-sensor-proxy.service.d";
    fs::create_dir_all(drop_ins).unwrap();
    let addresses = "[Service]\nIPAddressAllow=localhost 192.0.2.0/24\n";
    fs::write(format!("{drop_ins}/addresses.conf"), addresses).unwrap();
    run("systemctl", &["daemon-reload"]);
    run(
        "systemctl",
        &[
            "start",
            "pulse-sensor-proxy.socket",
            "pulse-sensor-proxy.service",
        ],
    );
    let key = run("pulse-sensorctl", &["keys", "show", "--json"]);
    let key: Value = serde_json::from_str(&key).unwrap();
    let line = key["authorized_keys"].as_str().unwrap().replace(
        "/usr/libexec/pulse-sensor-node",
        &format!("/usr/libexec/pulse-sensor-node --sys-root {SENSORS}"),
    );
    fs::write("/etc/ssh/authorized_keys.d/pulse-sensor", line + "\n").unwrap();
    let host_key = fs::read_to_string("/etc/ssh/ssh_host_ed25519_key.pub").unwrap();
    let known_hosts = format!("{SSH}/known_hosts");
    let pins: String = NODES.map(|node| format!("pve{node} {host_key}")).collect();
    fs::write(&known_hosts, pins).unwrap();
    fs::set_permissions(&known_hosts, Permissions::from_mode(0o644)).unwrap();
}

/// Gives this machine an address, which it may have already.
pub(crate) fn add_address(address: &str) {
    run(
        "ip",
        &["address", "replace", &format!("{address}/32"), "dev", "lo"],
    );
}

/// One reading of a node over the callers' socket, as text.
pub(crate) fn reading(node: u8) -> String {
    let answer = answer(node);
    assert_eq!(answer["success"], true, "{answer}");
    answer.to_string()
}

/// The answer to a request for a node.
pub(crate) fn answer(node: u8) -> Value {
    let mut client = Client::connect(Path::new(SOCKET));
    let request = json!({"method": "get_temperature", "params": {"node": format!("pve{node}")}});
    client.send(format!("{request}\n").as_bytes());
    client.answer()
}

/// The sensor files: a container shows its host's.
pub(crate) const SENSORS: &str = "/run/pulse-test-sensors";

pub(crate) fn make_sensors() {
    let root = Path::new(SENSORS);
    let chip = root.join("devices/platform/coretemp.0/hwmon/hwmon0");
    let listing = root.join("class/hwmon");
    for directory in [
        &chip,
        &listing,
        &root.join("class/thermal"),
        &root.join("block"),
    ] {
        fs::create_dir_all(directory).unwrap();
    }
    for (file, text) in [
        ("name", "coretemp\n"),
        ("temp1_label", "Package id 0\n"),
        ("temp1_input", "42000\n"),
    ] {
        fs::write(chip.join(file), text).unwrap();
    }
    let link = listing.join("hwmon0");
    if !link.exists() {
        symlink("../../devices/platform/coretemp.0/hwmon/hwmon0", link).unwrap();
    }
}
