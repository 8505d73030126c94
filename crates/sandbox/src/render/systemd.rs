//! Units and their company (systemd.exec(5), sysusers.d(5), tmpfiles.d(5)).

use super::places::{self, PROGRAM};
use crate::tables::{FAMILIES, PATHS, SYSCALLS, Whose, startup};
use std::collections::BTreeSet;

/// The directory that is the service's `/`. It is empty but for what is mounted in it.
const ROOT: &str = "/run/pulse-sensor-proxy.root";

/// What every file begins with.
const ORIGIN: &str = "# Written by `cargo xtask policy` from crates/sandbox/src/tables; docs/hardening.md\n\
                      # explains it. Put changes into a drop-in: systemctl edit pulse-sensor-proxy\n";

/// The unit of the administrators' socket.
const CONTROL_UNIT: &str = "pulse-sensor-proxy-control.socket";

/// Where the dynamic build's libraries are; the static build needs none.
const LIBRARIES: [&str; 3] = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64"];

/// The service.
pub(crate) fn service() -> String {
    let filter = wrapped("SystemCallFilter", calls());
    let paths = wrapped("BindReadOnlyPaths", read_only_paths());
    let families = families();
    let configuration = places::of(Whose::Configuration);
    let (configuration, state) = (
        below("/etc", &configuration),
        below("/var/lib", "/var/lib/pulse-sensor-proxy"),
    );
    let logs = below("/var/log", &places::of(Whose::LogDirectory));
    let runtime = below("/run", &places::of(Whose::SocketDirectory));
    format!(
        "{ORIGIN}
[Unit]
Description=Temperatures of Proxmox nodes for Pulse
Documentation=man:systemd.exec(5)
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
"
    )
}

/// The administrators' socket. It ends with the service, so that connecting to it never
/// starts a daemon that an operator has stopped.
pub(crate) fn control_socket() -> String {
    let socket = pulse_core::config::Config::default().control_socket;
    format!(
        "{ORIGIN}
[Unit]
Description=Socket on which root administers pulse-sensor-proxy
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

/// The callers' socket, for those who want systemd to hold it while the service
/// restarts.
pub(crate) fn socket() -> String {
    let socket = pulse_core::config::Config::default().socket;
    format!(
        "{ORIGIN}
[Unit]
Description=Socket on which Pulse asks for temperatures

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

/// Directories that are there before the service first starts: containers mount one
/// of them.
pub(crate) fn tmpfiles() -> String {
    let user = "pulse-sensor-proxy pulse-sensor-proxy -";
    let runtime = places::of(Whose::SocketDirectory);
    format!(
        "{ORIGIN}
# The service's root directory. The unit fills it with bind mounts.
d {ROOT} 0555 root root -
d {runtime} 0755 {user}
"
    )
}

/// The service's user. 995 is what Pulse's containers expect; systemd takes another
/// if somebody has it.
pub(crate) fn sysusers() -> String {
    format!("{ORIGIN}\nu pulse-sensor-proxy 995 \"Temperatures for Pulse\" / -\n")
}

fn calls() -> BTreeSet<String> {
    let calls = SYSCALLS.iter().chain(startup::SYSCALLS);
    calls.map(|call| call.name().to_owned()).collect()
}

fn families() -> String {
    let names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
    names.join(" ")
}

/// What is mounted into the service's root. Its own directories systemd mounts there
/// anyway, as it does with `/proc` and its sockets.
fn read_only_paths() -> BTreeSet<String> {
    let fixed = PATHS
        .iter()
        .chain(startup::PATHS)
        .filter_map(|path| match path.whose {
            Whose::Fixed(place) if place.starts_with("/etc/") => Some(format!("-{place}")),
            // They are there only where something is forwarded.
            Whose::Credentials => Some(format!("-{}", places::of(Whose::Credentials))),
            _ => None,
        });
    let libraries = LIBRARIES.map(|directory| format!("-{directory}"));
    let journal = "-/run/systemd/journal".to_owned();
    fixed
        .chain(libraries)
        .chain([
            PROGRAM.to_owned(),
            places::of(Whose::Configuration),
            journal,
        ])
        .collect()
}

/// A list over several lines; systemd joins them.
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

/// A directory as systemd wants it: from where its kind of directories are.
fn below(parent: &str, directory: &str) -> String {
    let relative = directory.strip_prefix(parent).unwrap_or(directory);
    relative.trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_the_tables_is_in_the_units_filter() {
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
    fn long_lists_are_wrapped_and_lose_nothing() {
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
