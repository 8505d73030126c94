//! systemd units, and the user and directories that they need (systemd.exec(5), sysusers.d(5),
//! tmpfiles.d(5)).

use super::paths::{PROGRAM, default_path};
use crate::tables::{ConfiguredPath, FAMILIES, PATHS, SYSCALLS, outer, startup};
use pulse_core::config::DEFAULT_PATH;
use std::collections::BTreeSet;

/// The service's root directory. It is empty except for what is mounted there.
const ROOT: &str = "/run/pulse-sensor-proxy.root";

/// The first lines of every file.
const ORIGIN: &str = "# Written by `cargo xtask policy` from crates/sandbox/src/tables; docs/hardening.md\n\
                      # explains it. Put changes into a drop-in: systemctl edit pulse-sensor-proxy\n";

/// The pages that `systemctl status` names.
const DOCUMENTATION: &str = "Documentation=man:pulse-sensor-proxy(8)";

/// The condition of all units: before the operator has written a configuration, they are skipped,
/// and `systemctl status` names the file. With a condition of the service alone, each connection
/// to a socket would try to start it, until systemd lets the socket fail.
fn condition() -> String {
    format!(
        "# Skipped, which is no failure, until there is a configuration.\n\
         ConditionPathExists={DEFAULT_PATH}"
    )
}

/// The unit of the control socket.
const CONTROL_UNIT: &str = "pulse-sensor-proxy-control.socket";

/// The directories of the dynamic build's libraries; the static build needs none.
const LIBRARIES: [&str; 3] = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64"];

/// The service.
pub(crate) fn service() -> String {
    let filter = wrapped("SystemCallFilter", calls());
    let paths = wrapped("BindReadOnlyPaths", read_only_paths());
    let families: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
    let families = families.join(" ");
    let configuration = below("/etc", &default_path(ConfiguredPath::Configuration));
    let state = "pulse-sensor-proxy";
    let condition = condition();
    let logs = below("/var/log", &default_path(ConfiguredPath::LogDirectory));
    let runtime = below("/run", &default_path(ConfiguredPath::SocketDirectory));
    format!(
        "{ORIGIN}
[Unit]
Description=Temperatures of Proxmox nodes for Pulse
{DOCUMENTATION}
{condition}
After=network.target

[Service]
Type=notify
NotifyAccess=main
# systemd creates root's socket and starts it with the service: the daemon is not root.
Sockets={CONTROL_UNIT}
ExecStart={PROGRAM}
# Refuses a wrong configuration with the reason; the daemon then keeps the old one.
ExecReload={PROGRAM} --check
ExecReload=+/bin/kill -HUP $MAINPID
# The daemon notifies systemd every 5 seconds.
WatchdogSec=30
Restart=on-failure
RestartSec=2
# A restart does not fix wrong arguments (64) or a wrong configuration (78).
RestartPreventExitStatus=64 78
TimeoutStopSec=30

# The user and its directories.
User=pulse-sensor-proxy
Group=pulse-sensor-proxy
UMask=0077
ConfigurationDirectory={configuration}
StateDirectory={state}
StateDirectoryMode=0700
LogsDirectory={logs}
LogsDirectoryMode=0750
# Containers mount this directory, so it stays when the service stops.
RuntimeDirectory={runtime}
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes
# The SSH key, if it is in /etc/credstore; otherwise the daemon creates a key.
LoadCredential=pulse-sensor-proxy.id_ed25519

# Applied if the profile is loaded.
AppArmorProfile=-pulse-sensor-proxy

# Privileges.
CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
LockPersonality=yes
KeyringMode=private
# A few threads, no child process.
TasksMax=16
LimitCORE=0
# Priority over other processes: otherwise a user that connects without a pause would delay
# other callers.
Nice=-10
CPUWeight=1000

# Files: the daemon sees only these. The command that sends the reload signal sees all.
RootDirectory={ROOT}
RootDirectoryStartOnly=yes
MountAPIVFS=yes
{paths}ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateMounts=yes
PrivateDevices=yes
DevicePolicy=closed
# /proc shows no other user's processes; credentials and pidfds identify callers.
# PrivateUsers= stays off, because the daemon has to see callers' real user ids.
ProtectProc=invisible
ProcSubset=pid

# The kernel.
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RemoveIPC=yes
MemoryDenyWriteExecute=yes

# The network: no address, until a drop-in permits the nodes' with IPAddressAllow=.
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX {families}

# System calls for startup and serving. The daemon's own filter then removes the former.
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
{filter}
[Install]
WantedBy=multi-user.target
# A socket that outlives the daemon: a restart loses no request.
Also=pulse-sensor-proxy.socket
"
    )
}

/// The control socket. It stops with the service: otherwise a connection would start a daemon
/// that an operator has stopped.
pub(crate) fn control_socket() -> String {
    let socket = pulse_core::config::Config::default().control_socket;
    let condition = condition();
    format!(
        "{ORIGIN}
[Unit]
Description=Control socket of pulse-sensor-proxy, for root
{DOCUMENTATION}
{condition}
PartOf=pulse-sensor-proxy.service

[Socket]
ListenStream={}
Service=pulse-sensor-proxy.service
# Opening this socket gives every capability. Never mount it into a container.
SocketUser=root
SocketGroup=root
SocketMode=0600
DirectoryMode=0700
FileDescriptorName=control
",
        socket.display()
    )
}

/// The callers' socket, for socket activation: systemd keeps it open while the service restarts.
pub(crate) fn socket() -> String {
    let socket = pulse_core::config::Config::default().socket;
    let condition = condition();
    format!(
        "{ORIGIN}
[Unit]
Description=Socket for requests of Pulse to pulse-sensor-proxy
{DOCUMENTATION}
{condition}

[Socket]
ListenStream={}
# All users can connect; the daemon checks each caller's credentials. To restrict who can
# connect, change socket_mode and socket_group in the configuration too: the daemon compares.
SocketMode=0666
DirectoryMode=0755
FileDescriptorName=rpc
Backlog=4096

[Install]
WantedBy=sockets.target
",
        socket.display()
    )
}

/// Directories that have to exist before the service first starts: containers mount one of them.
pub(crate) fn tmpfiles() -> String {
    let user = "pulse-sensor-proxy pulse-sensor-proxy -";
    let runtime = default_path(ConfiguredPath::SocketDirectory);
    format!(
        "{ORIGIN}
# The service's root directory. The unit fills it with bind mounts.
d {ROOT} 0555 root root -
d {runtime} 0755 {user}
"
    )
}

/// The service's user. Pulse's containers expect 995; systemd assigns another ID if that one is
/// in use.
pub(crate) fn sysusers() -> String {
    format!("{ORIGIN}\nu pulse-sensor-proxy 995 \"Temperatures for Pulse\" / -\n")
}

fn calls() -> BTreeSet<String> {
    SYSCALLS
        .iter()
        .chain(startup::SYSCALLS)
        .map(|call| call.name().to_owned())
        .collect()
}

/// The paths to mount read-only in the service's root directory. systemd itself mounts the
/// service's own directories there, `/proc` and its own sockets.
fn read_only_paths() -> BTreeSet<String> {
    let fixed = PATHS
        .iter()
        .chain(outer::PATHS)
        .filter_map(|rule| match rule.path {
            ConfiguredPath::Fixed(path) if path.starts_with("/etc/") => Some(format!("-{path}")),
            // Missing unless records are forwarded.
            ConfiguredPath::Credentials => {
                Some(format!("-{}", default_path(ConfiguredPath::Credentials)))
            }
            _ => None,
        });
    let libraries = LIBRARIES.map(|directory| format!("-{directory}"));
    let journal = "-/run/systemd/journal".to_owned();
    fixed
        .chain(libraries)
        .chain([
            PROGRAM.to_owned(),
            default_path(ConfiguredPath::Configuration),
            journal,
        ])
        .collect()
}

/// A list over several lines, which systemd concatenates.
fn wrapped(directive: &str, words: BTreeSet<String>) -> String {
    const WIDTH: usize = 88;
    let (mut text, mut line) = (String::new(), directive.to_owned() + "=");
    let start = line.len();
    for word in words {
        if line.len() + word.len() >= WIDTH {
            text += &(line.trim_end().to_owned() + "\n");
            line.truncate(start);
        }
        line += &(word + " ");
    }
    text + line.trim_end() + "\n"
}

/// A directory relative to the parent that `RuntimeDirectory=` and the like imply.
fn below(parent: &str, directory: &str) -> String {
    directory
        .strip_prefix(parent)
        .unwrap_or(directory)
        .trim_start_matches('/')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_filter_lists_every_call() {
        let unit = service();
        let listed: BTreeSet<&str> = unit
            .lines()
            .filter_map(|line| line.strip_prefix("SystemCallFilter="))
            .flat_map(str::split_whitespace)
            .collect();
        assert_eq!(listed.len(), calls().len());
        assert!(listed.contains("landlock_restrict_self") && !listed.contains("ptrace"));
    }

    #[test]
    fn every_unit_waits_for_its_configuration() {
        let condition = format!("\nConditionPathExists={DEFAULT_PATH}\n");
        for unit in [service(), socket(), control_socket()] {
            let (head, _) = unit.split_once("\n\n[S").unwrap();
            assert!(format!("{head}\n").contains(&condition), "{unit}");
        }
    }

    #[test]
    fn wrapped_lists_are_complete() {
        let words: BTreeSet<String> = (0..50).map(|n| format!("word{n}")).collect();
        let text = wrapped("A", words.clone());
        assert!(text.lines().count() > 3 && text.lines().all(|line| line.len() <= 90));
        let found: BTreeSet<String> = text
            .lines()
            .flat_map(|line| line.trim_start_matches("A=").split(' '))
            .map(str::to_owned)
            .collect();
        assert_eq!(found, words);
    }
}
