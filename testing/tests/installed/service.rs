//! The service, installed as in `docs/install.md` and run as in `docs/hardening.md`.

use crate::guest;
use crate::kernel_log::KernelLog;
use crate::node;
use pulse_e2e::{Client, observe, wait};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::Once;

pub(crate) const UNIT: &str = "pulse-sensor-proxy.service";
/// The socket for administration by root.
const CONTROL_SOCKET: &str = "/run/pulse-sensor-proxy-admin/control.sock";
pub(crate) const SOCKET_UNIT: &str = "pulse-sensor-proxy.socket";
pub(crate) const PROFILE: &str = "/etc/apparmor.d/pulse-sensor-proxy";
pub(crate) const CREDENTIAL: &str = "/etc/credstore/pulse-sensor-proxy.id_ed25519";
pub(crate) const PROXY: &str = "/usr/bin/pulse-sensor-proxy";
const CONFIG: &str = "/etc/pulse-sensor-proxy/config.toml";
const DROP_INS: &str = "/etc/systemd/system/pulse-sensor-proxy.service.d";
const SOCKET: &str = "/run/pulse-sensor-proxy/pulse-sensor-proxy.sock";
const KNOWN_HOSTS: &str = "/var/lib/pulse-sensor-proxy/ssh/known_hosts";
pub(crate) const LOG: &str = "/var/log/pulse/sensor-proxy";

/// Files and directories of a service that has run.
const TRACES: [&str; 6] = [
    "/var/lib/pulse-sensor-proxy",
    "/var/log/pulse",
    "/run/pulse-sensor-proxy",
    "/etc/pulse-sensor-proxy",
    "/etc/pulse",
    CREDENTIAL,
];

/// The state of the AppArmor profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppArmor {
    /// The profile is not loaded.
    Absent,
    /// Loaded in complain mode.
    Complains,
    /// Loaded in enforce mode.
    Enforces,
}

/// The service; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Service {
    log: KernelLog,
    journal_begin: usize,
}

impl Service {
    /// Installs the service, which may reach the nodes' addresses; it is stopped.
    pub(crate) fn installed(apparmor: AppArmor) -> Self {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(install_files);
        node::set_up();
        adapt_unit();
        stop();
        TRACES.into_iter().for_each(guest::remove);
        load_profile(apparmor);
        guest::run("systemd-tmpfiles", &["--create", "pulse-sensor-proxy.conf"]);
        let service = Self {
            log: KernelLog::from_here(),
            journal_begin: journal(UNIT).len(),
        };
        service.configure("");
        service
    }

    /// Starts it and waits until it has reported READY=1.
    pub(crate) fn start(&self) {
        systemctl(&["start", UNIT]);
        assert_eq!(show("ActiveState"), "active");
    }

    /// Stops and starts it.
    pub(crate) fn restart(&self) {
        systemctl(&["stop", UNIT]);
        self.start();
    }

    /// Starts it, authorizes its key on the nodes and pins their host keys.
    pub(crate) fn start_with_nodes(&self) {
        self.start();
        let key = guest::run("pulse-sensorctl", &["keys", "show", "--json"]);
        let key: Value = serde_json::from_str(&key).unwrap();
        node::authorize(key["authorized_keys"].as_str().unwrap());
        fs::write(KNOWN_HOSTS, node::known_hosts()).unwrap();
        fs::set_permissions(KNOWN_HOSTS, Permissions::from_mode(0o644)).unwrap();
    }

    /// Writes the configuration, with these keys before the others.
    pub(crate) fn configure(&self, keys: &str) {
        let [first, second] = node::ADDRESSES;
        let text = format!(
            "{keys}\n\
             cache_ttl = '0s'\n\
             allowed_peer_uids = [0]\n\
             allowed_nodes = [\n  \
               {{ name = 'pve1', address = '{first}' }},\n  \
               {{ name = 'pve2', address = '{second}' }},\n\
             ]\n\
             [rate_limit]\n\
             per_peer_interval_ms = 1\n\
             per_peer_burst = 1000\n"
        );
        write(CONFIG, &text);
    }

    /// Adds to the unit, as `systemctl edit` does.
    pub(crate) fn drop_in(&self, name: &str, text: &str) {
        // Drop-ins apply in the order of their names.
        write(&format!("{DROP_INS}/test-{name}.conf"), text);
        systemctl(&["daemon-reload"]);
    }

    /// Removes all drop-ins, so that the unit is the shipped one.
    pub(crate) fn forget_drop_ins(&self) {
        guest::remove(DROP_INS);
        systemctl(&["daemon-reload"]);
    }

    /// Sends one request on a new connection and returns the response.
    pub(crate) fn ask(&self, request: &Value) -> Value {
        let mut client = self.connect();
        client.send(format!("{request}\n").as_bytes());
        client.answer()
    }

    /// [`Service::ask`] over the control socket.
    pub(crate) fn administer(&self, request: &Value) -> Value {
        let mut client = Client::connect(Path::new(CONTROL_SOCKET));
        client.send(format!("{request}\n").as_bytes());
        client.answer()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(Path::new(SOCKET))
    }

    /// Reads a node's document; the error is the daemon's text.
    pub(crate) fn temperature(&self, node: &str) -> Result<Value, String> {
        let response = self.ask(&json!({"method": "get_temperature", "params": {"node": node}}));
        match response["data"]["temperature"].as_str() {
            Some(document) => Ok(serde_json::from_str(document).unwrap()),
            None => Err(response["error"].as_str().unwrap().to_owned()),
        }
    }

    /// Scrapes the metrics.
    pub(crate) fn scrape(&self) -> String {
        let address = "127.0.0.1:9456".parse().unwrap();
        observe::http(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").body
    }

    /// Its main process id, as systemd prints it.
    pub(crate) fn pid(&self) -> String {
        show("MainPID")
    }

    /// Waits until another process than this one serves.
    pub(crate) fn wait_for_another_than(&self, pid: &str) {
        wait::until("another process to serve", || {
            show("ActiveState") == "active" && ![pid, "0"].contains(&self.pid().as_str())
        });
    }

    /// The number of files of its audit log.
    pub(crate) fn segments(&self) -> usize {
        fs::read_dir(LOG).unwrap().count()
    }

    /// The unit's journal since the installation.
    pub(crate) fn journal(&self) -> String {
        journal(UNIT).split_off(self.journal_begin)
    }

    /// AppArmor's log since the installation.
    pub(crate) fn kernel_log(&self) -> &KernelLog {
        &self.log
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the service's journal:\n{}", self.journal());
            println!("sshd's journal:\n{}", node::journal());
            println!("AppArmor: {:#?}", self.log.denied());
        }
        stop();
    }
}

/// One property of the unit.
pub(crate) fn show(property: &str) -> String {
    let shown = guest::run("systemctl", &["show", "--value", "-p", property, UNIT]);
    shown.trim_end().to_owned()
}

pub(crate) fn systemctl(words: &[&str]) {
    guest::run("systemctl", words);
}

pub(crate) fn try_systemctl(words: &[&str]) -> Output {
    guest::try_run("systemctl", words)
}

/// A unit's journal since boot.
fn journal(unit: &str) -> String {
    guest::run("journalctl", &["--sync"]);
    guest::run("journalctl", &["--no-pager", "-o", "cat", "-u", unit])
}

/// Files of the repository, and where they are installed.
const FILES: [(&str, &str); 6] = [
    (
        "packaging/systemd/pulse-sensor-proxy.service",
        "/etc/systemd/system/pulse-sensor-proxy.service",
    ),
    (
        "packaging/systemd/pulse-sensor-proxy.socket",
        "/etc/systemd/system/pulse-sensor-proxy.socket",
    ),
    (
        "packaging/systemd/pulse-sensor-proxy-control.socket",
        "/etc/systemd/system/pulse-sensor-proxy-control.socket",
    ),
    (
        "packaging/sysusers.d/pulse-sensor-proxy.conf",
        "/usr/lib/sysusers.d/pulse-sensor-proxy.conf",
    ),
    (
        "packaging/tmpfiles.d/pulse-sensor-proxy.conf",
        "/usr/lib/tmpfiles.d/pulse-sensor-proxy.conf",
    ),
    ("security/apparmor/pulse-sensor-proxy.apparmor", PROFILE),
];

fn install_files() {
    for program in ["pulse-sensor-proxy", "pulse-sensorctl"] {
        let to = format!("/usr/bin/{program}");
        guest::install(&format!("bin/{program}"), &to);
        fs::set_permissions(to, Permissions::from_mode(0o755)).unwrap();
    }
    for (from, to) in FILES {
        guest::install(from, to);
    }
    guest::run("systemd-sysusers", &[]);
}

/// Installs the drop-in that every test needs, and no other. `daemon-reload` takes seconds, so
/// it is omitted when the drop-ins are already right.
fn adapt_unit() {
    let (file, text) = (format!("{DROP_INS}/site.conf"), site_settings());
    let is_there = fs::read_to_string(&file).is_ok_and(|found| found == text);
    let is_alone = fs::read_dir(DROP_INS).is_ok_and(|files| files.count() == 1);
    if !is_there || !is_alone {
        guest::remove(DROP_INS);
        write(&file, &text);
        systemctl(&["daemon-reload"]);
    }
}

fn site_settings() -> String {
    let [first, second] = node::ADDRESSES;
    format!("[Service]\nIPAddressAllow=localhost {first} {second}\n")
}

fn load_profile(apparmor: AppArmor) {
    // Removed first: the mode changes only when a profile is loaded anew.
    let _ = guest::try_run("apparmor_parser", &["--remove", PROFILE]);
    match apparmor {
        AppArmor::Absent => {}
        AppArmor::Complains => {
            guest::run("apparmor_parser", &["--replace", "--Complain", PROFILE]);
        }
        AppArmor::Enforces => {
            guest::run("apparmor_parser", &["--replace", PROFILE]);
        }
    }
}

fn stop() {
    systemctl(&["stop", SOCKET_UNIT, UNIT]);
    let _ = try_systemctl(&["reset-failed", SOCKET_UNIT, UNIT]);
}

pub(crate) fn write(file: &str, text: &str) {
    let file = Path::new(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}
