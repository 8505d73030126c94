//! The table of keys. Whatever the program knows of a key's name, type, default, example and
//! moment of change is here and nowhere else; `packaging/config.toml` is made from it.

use super::forward::{Mode, Protocol};
use super::schema::{
    self, Change, Environment, Fault, Key, Raw, Shape, Value, VariableError, table,
};
use super::socket::{GroupText, SocketMode};
use super::values::{
    Bytes, CapabilityName, ConfigVersion, Confinement, Directory, HostAddress, HostNameText,
    Interval, LogLevel, LogPath, MetricsAddress, NodeEntry, NodeNameText, PeerEntry, PinText, Port,
    Positive, SocketPath, UserName,
};
use std::path::PathBuf;
use toml::Spanned;

/// The whole file, as if it were a key's value: its sections and keys are below it.
pub static FILE: Key = Key {
    name: "",
    description: &[
        " pulse-sensor-proxy: every key with its default, but the newest config_version. The daemon",
        " reads this file at start and on SIGHUP, and never writes it. A changed key takes effect on SIGHUP unless its comment",
        " says \"Restart required.\" An unknown key is an error, and so is a file, or a directory",
        " above it, that users other than root and the daemon's user can write to.",
        " Check a change with: pulse-sensorctl config check FILE",
    ],
    shape: Keys::SHAPE,
    default: Some("{}"),
    example: None,
    change: Change::PerKey,
    variable: None,
};

table! {
    /// The keys of the file, each parsed by itself.
    pub struct Keys {
        /// The version of this file's format, 1 in a file without it. Version 2 makes true the
        /// default of ssh.require_forced_command. A daemon that knows only earlier versions refuses
        /// the file.
        config_version: ConfigVersion = 1, Reload, example 2;

        /// The Unix socket that Pulse connects to. The caller's identity comes from the kernel;
        /// allowed_peers and the keys below it give it rights.
        socket: PathBuf = "/run/pulse-sensor-proxy/pulse-sensor-proxy.sock", Restart,
            example "/run/pulse/sensor-proxy.sock",
            variable "PULSE_SENSOR_PROXY_SOCKET";

        /// The mode of the socket's file. With "0666" every local user can connect, and the daemon
        /// refuses those without rights. With "0660" and Pulse's group in socket_group the kernel
        /// refuses everyone else. Where systemd creates the socket (pulse-sensor-proxy.socket),
        /// the daemon refuses to serve one that lets more users connect, and prints the setting
        /// for systemd.
        socket_mode: SocketMode = "0666", Restart, example "0660";

        /// The group of the socket's file; "" is the daemon's own group. In an unprivileged
        /// container of Proxmox, root's group is 100000.
        socket_group: Spanned<GroupText> = "", Restart, example "pulse";

        /// The Unix socket for administration: every capability. Only root can connect (mode
        /// 0600, in a directory with mode 0700). Never mount it into a container.
        control_socket: SocketPath = "/run/pulse-sensor-proxy-admin/control.sock", Restart,
            example "/run/pulse/admin/control.sock",
            variable "PULSE_SENSOR_PROXY_CONTROL_SOCKET";

        /// The directory of the daemon's SSH key, which the first start creates, and of
        /// known_hosts. Only root and the daemon's user may write to it.
        ssh_dir: PathBuf = "/var/lib/pulse-sensor-proxy/ssh", Restart, example "/etc/pulse/ssh",
            variable "PULSE_SENSOR_PROXY_SSH_DIR";

        /// The address of the Prometheus metrics, served at /metrics; "disabled" turns them off.
        metrics_address: MetricsAddress = "127.0.0.1:9456", Restart, example "192.0.2.10:9456",
            variable "PULSE_SENSOR_PROXY_METRICS_ADDR";

        /// The least severe message that is logged.
        log_level: LogLevel = "info", Restart, example "debug";

        /// The confinement of the daemon: user, files, ports, system calls. "best-effort" logs
        /// each layer that the kernel lacks and serves without it, "required" refuses to start,
        /// "off" is for debugging.
        confinement: Confinement = "best-effort", Restart, example "required";

        /// The nodes that callers may read, besides those of the files nodes.d/NAME.toml in this
        /// file's directory: each has the keys of one node. A name alone is looked up in
        /// /etc/hosts, never in DNS. Names that differ only in case are one node.
        allowed_nodes: Vec<Spanned<NodeEntry>> = [], Reload, example [
            "192.0.2.11",
            { name = "pve2", address = "192.0.2.12", port = 22, user = "pulse-sensor" }
        ];

        /// The users that may send requests to the socket. A user id alone gets the capability
        /// "read". UID 0 is root of the host and root of a privileged container alike, so it
        /// cannot have "admin": root of the host administers over control_socket.
        allowed_peers: Vec<Spanned<PeerEntry>> = [], Reload, example [
            0,
            { uid = 1001, capabilities = ["read", "admin"] }
        ];

        /// User ids that may read.
        allowed_peer_uids: Vec<u32> = [], Reload, example [1000];

        /// Group ids that may read.
        allowed_peer_gids: Vec<u32> = [], Reload, example [1000];

        /// Permits root of an unprivileged container to read, if the container's user ids are a
        /// subordinate range (/etc/subuid, /etc/subgid) of a user in allowed_idmap_users.
        allow_idmapped_root: bool = true, Reload, example false;

        /// The users whose subordinate ranges count for allow_idmapped_root.
        allowed_idmap_users: Vec<String> = ["root"], Reload, example ["root", "lxc"];

        /// The deadline for a request line, from accepting the connection.
        read_timeout: Interval = "5s", Reload, example "2s";

        /// The deadline for sending a reply.
        write_timeout: Interval = "10s", Reload, example "5s";

        /// The deadline for a reading as a whole.
        request_timeout: Interval = "15s", Reload, example "30s";

        /// The age up to which a sample answers further requests; "0s" turns this off.
        cache_ttl: Interval = "2s", Reload, example "10s";

        /// The maximum output of one reading, in bytes.
        max_ssh_output_bytes: Positive = 1048576, Reload, example 2097152;

        /// The metrics listener.
        metrics: MetricsKeys = {}, PerKey;

        /// The limits of callers and of exchanges with nodes.
        rate_limit: RateLimitKeys = {}, PerKey;

        /// The connections to nodes.
        ssh: SshKeys = {}, PerKey;

        /// The audit log. Every decision is recorded before it takes effect; while the log
        /// cannot be written, the daemon refuses every request.
        audit: AuditKeys = {}, PerKey;

        /// Forwarding of the audit log to collectors, in the order of its records. The log is
        /// the queue: while a collector is down, nothing is lost. docs/operations.md explains
        /// how to create the certificates, which the daemon reads again when they change.
        forward: ForwardKeys = {}, PerKey;
    }

    pub(super) struct NodeKeys {
        /// The node's name in requests and metrics.
        name: Spanned<NodeNameText>, Reload, example "pve2";
        /// The management address; without it, /etc/hosts is searched for the name.
        address: Option<HostAddress>, Reload, example "192.0.2.12";
        /// The SSH port, if it is not that of [ssh].
        port: Option<Port>, Reload, example 2222;
        /// The user to log in as, if it is not that of [ssh].
        user: Option<UserName>, Reload, example "sensors";
    }

    pub(super) struct PeerKeys {
        /// The user id.
        uid: u32, Reload, example 1001;
        /// The user's capabilities; an empty list is "read".
        capabilities: Vec<CapabilityName> = [], Reload, example ["read", "admin"];
    }

    pub(super) struct MetricsKeys {
        /// Names in requests' Host that are answered, without a port. IP addresses and localhost
        /// always are; others are refused, since a web page could read the metrics through its
        /// visitor's browser (DNS rebinding).
        host_names: Vec<HostNameText> = [], Reload, example ["pve1.example.org"];
    }

    pub(super) struct RateLimitKeys {
        /// The time in which a caller may send one request, in milliseconds. Each allowed node
        /// has a budget of its own, and everything else another, so a caller can read the whole
        /// list at this rate.
        per_peer_interval_ms: Positive = 5000, Reload, example 1000;
        /// The number of requests that each budget permits at once.
        per_peer_burst: Positive = 2, Reload, example 4;
        /// The number of concurrent exchanges with nodes for one caller; excess requests are
        /// queued.
        per_peer_concurrency: Positive = 2, Reload, example 4;
        /// The number of concurrent exchanges with nodes for all callers.
        global_concurrency: Positive = 8, Reload, example 16;
    }

    pub(super) struct SshKeys {
        /// The user to log in as, on nodes that name none.
        user: UserName = "pulse-sensor", Reload, example "sensors";
        /// The port of nodes that name none. The confinement permits connections only to the
        /// ports that the file named when the daemon started.
        port: Port = 22, Reload, example 2222;
        /// The deadline for connecting to a node and logging in.
        connect_timeout: Interval = "10s", Reload, example "5s";
        /// The time between keepalives on an idle connection; three without an answer close it.
        keepalive_interval: Interval = "15s", Reload, example "30s";
        /// The time after which an unused connection is closed.
        idle_timeout: Interval = "10m", Reload, example "1h";
        /// The interval at which the daemon reads every node by itself; "0s" turns this off.
        poll_interval: Interval = "0s", Reload, example "1m";
        /// Refuses to read a node on which the daemon's key has no forced command: whoever has the
        /// key has a shell there. With false the daemon reads it and warns. Without this key it is
        /// true if config_version is 2, else false.
        require_forced_command: Option<bool>, Reload, example true;
    }

    pub(super) struct AuditKeys {
        /// The live file; rotated segments are in the same directory.
        log: LogPath = "/var/log/pulse/sensor-proxy/audit.log", Restart, example "/srv/audit/audit.log",
            variable "PULSE_SENSOR_PROXY_AUDIT_LOG";
        /// The directory of the key for the next seal. Exclude it from backups: an old key must
        /// not come back.
        state_dir: PathBuf = "/var/lib/pulse-sensor-proxy/audit", Restart, example "/srv/audit-state";
        /// The size at which a segment ends, in bytes.
        segment_bytes: Positive = 67108864, Restart, example 16777216;
        /// The age at which a segment ends, in days.
        segment_days: Positive = 30, Restart, example 7;
        /// The bytes kept free on the log's disk, so that a full disk can be recorded. With
        /// retention the daemon keeps more free, for the seals of the oldest segment.
        reserve_bytes: Positive = 262144, Restart, example 1048576;
        /// Retention: the days after which a segment is removed, counted from its last record.
        /// While retain_days or retain_bytes is exceeded, the oldest segment is removed, and its
        /// removal recorded first (docs/audit.md). Without them nothing is removed, and the
        /// daemon logs once a day when the disk will be full.
        retain_days: Option<Positive>, Reload, example 365;
        /// Retention: the most bytes of all segments and the live file, at least segment_bytes.
        retain_bytes: Option<Spanned<Bytes>>, Reload, example 50000000000;
        /// Permits removing segments that a "syslog" stream of [forward] has sent. A segment is
        /// removed only when every stream has acknowledged it, and "syslog" acknowledges none.
        retain_unacknowledged: bool = false, Reload, example true;
    }

    pub(super) struct ForwardKeys {
        /// The collectors, at most 8. Without any, nothing is forwarded.
        collectors: Vec<Spanned<CollectorKeys>> = [], Restart, example [
            { name = "logs.example.org" },
            { name = "logs2.example.org", address = "192.0.2.7", port = 6514, protocol = "relp" }
        ];
        /// The collectors that get the records: "failover" is the first that takes them, "all"
        /// each of them.
        mode: Mode = "failover", Restart, example "all";
        /// The directory of ca.pem, certificate.pem and key.pem, readable by the daemon's user.
        credentials: Directory = "/etc/pulse/log-forwarding", Restart, example "/etc/pulse/forward";
        /// Forwards the daemon's own messages as well. Up to 4 MiB of them are kept on disk for
        /// a collector that is down.
        application_log: bool = false, Restart, example true;
        /// The time after which a collector that does not answer is disconnected.
        timeout: Interval = "30s", Restart, example "1m";
    }

    pub(super) struct CollectorKeys {
        /// The name that the collector's certificate must have.
        name: NodeNameText, Restart, example "logs.example.org";
        /// The address; without it, /etc/hosts is searched for the name.
        address: Option<HostAddress>, Restart, example "192.0.2.7";
        /// The port.
        port: Port = 6514, Restart, example 20514;
        /// "relp" acknowledges each record, "syslog" (RFC 5425) none.
        protocol: Protocol = "relp", Restart, example "syslog";
        /// The collector's public key; any other is refused.
        pin: Option<PinText>, Restart, example "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    }
}

#[cfg(test)]
mod tests;
