//! What is asked of `audit`, and the help that teaches it.

use clap::{Args, Subcommand, ValueHint};
use pulse_audit::verify::Since;
use pulse_audit::{HeadLine, PublicKey};
use std::path::PathBuf;

/// The heading of what says which log is meant.
const PLACE: &str = "Which log";

/// The heading of what says which records are wanted.
const FILTER: &str = "Which records";

/// The heading of what is for logs whose beginning was removed.
const RETENTION: &str = "What retention removed";

/// The heading of what is for a collector's files.
const COLLECTED: &str = "What a collector has";

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    Init(InitOptions),
    Verify(VerifyOptions),
    Head(HeadOptions),
    Show(ShowOptions),
    Tail(TailOptions),
    Explain(ExplainOptions),
    Rotate(RotateOptions),
    Archive(ArchiveOptions),
}

/// Where the log is. Without any of these, where the daemon's configuration says.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PlaceOptions {
    /// The log: its live file, or the directory that it is in
    #[arg(long, value_name = "PATH", help_heading = PLACE, value_hint = ValueHint::AnyPath)]
    pub(crate) log: Option<PathBuf>,

    /// The private directory that holds the key of the next seal
    #[arg(long, value_name = "DIR", help_heading = PLACE, value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,

    /// The daemon's configuration, which says where both are
    #[arg(
        long,
        value_name = "FILE",
        help_heading = PLACE,
        env = "PULSE_SENSOR_PROXY_CONFIG",
        hide_env_values = true,
        value_hint = ValueHint::FilePath
    )]
    pub(crate) config: Option<PathBuf>,
}

/// Begin a log before the daemon does, and print its verification key
///
/// The daemon begins a log by itself when there is none; then its key is in the
/// first record. Beginning it here shows the key to you first, before anything
/// could have changed it.
///
/// Directories that are missing are made: the log's with mode 0750, the private
/// one with 0700. As root, all is made for the owner of the nearest directory that
/// exists, so that the daemon's user can use it; --owner names somebody else.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit init
  pulse-sensorctl audit init --owner pulse-sensor-proxy
  pulse-sensorctl audit init --json | jq -r .key")]
pub(crate) struct InitOptions {
    #[command(flatten)]
    pub(crate) place: PlaceOptions,

    /// The user that the log is for, when root begins it
    #[arg(long, value_name = "USER", value_hint = ValueHint::Username)]
    pub(crate) owner: Option<String>,

    /// Print the key and where the log is as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prove that a log is as it was written, or name what was done to it
///
/// Every record is hashed and must go on from the one before; every seal must be
/// signed by the key that the seal before named, and the first one by the key that
/// `audit init` printed. Works while the daemon writes.
///
/// That nothing was cut off at the end is shown by the private key in the state
/// directory, by a line that `audit head` printed earlier, or by another copy.
///
/// The exit code is 0 when the log is intact, 1 when it is not, 3 when nothing
/// contradicts itself but something was taken on the log's own word (no --key,
/// only a part, nothing that shows its end), 2 when the arguments are wrong, 4 when
/// a file cannot be read.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit verify --key-file /root/audit.key
  pulse-sensorctl audit verify --key KEY --head-file heads.txt /mnt/backup/sensor-proxy
  pulse-sensorctl audit verify --key KEY --against /mnt/collector/audit.log
  pulse-sensorctl audit verify --key KEY --head \"$(tail -n 1 heads.txt)\"
  pulse-sensorctl audit verify --key KEY --collected /var/log/pulse.log
  pulse-sensorctl audit verify --since 2026-11-21 --json | jq .verdict")]
pub(crate) struct VerifyOptions {
    /// A directory, files in their order, or - for standard input
    ///
    /// Without any, the log that the configuration names.
    #[arg(value_name = "PATH", conflicts_with = "log", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) place: PlaceOptions,

    /// The verification key, as audit init printed it
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<PublicKey>,

    /// A file with the verification key
    #[arg(long, value_name = "FILE", conflicts_with = "key", value_hint = ValueHint::FilePath)]
    pub(crate) key_file: Option<PathBuf>,

    /// A line that `audit head` printed: the log must hold this record (repeatable)
    ///
    /// It proves that nothing before the record is missing, also when the log and
    /// its private directory were put back to an older state together.
    #[arg(long = "head", value_name = "LINE")]
    pub(crate) heads: Vec<HeadLine>,

    /// A file with such lines, one for each head; "#" begins a comment
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) head_file: Option<PathBuf>,

    /// Compare with another copy: a directory, a file, or - for standard input
    ///
    /// It may lag behind, begin later and repeat records, as a collector's copy
    /// does; what it has must be in the log, unchanged. Standard input is kept in
    /// a temporary file meanwhile.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) against: Option<PathBuf>,

    /// Verify from this record or time (UTC) on only
    ///
    /// That is faster, and proves less: what comes before, and the key that was
    /// reached there, are taken on the log's own word.
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) since: Option<Since>,

    /// Skip exact repetitions, as a collector's file may have them
    #[arg(long)]
    pub(crate) repetitions: bool,

    /// The paths are a collector's files: name every gap, and from where to replay
    ///
    /// Syslog headers and lines of others are passed over, records may come late, in
    /// any order and more than once, and the first may be missing. With --against, the
    /// log itself is named there.
    #[arg(
        long,
        help_heading = COLLECTED,
        requires = "paths",
        conflicts_with_all = ["since", "repetitions"]
    )]
    pub(crate) collected: bool,

    /// Only lines whose header has this word, where several hosts send to one file
    #[arg(long, value_name = "NAME", help_heading = COLLECTED, requires = "collected")]
    pub(crate) host: Option<String>,

    /// The last record that the collector acknowledged: then an end that was cut off
    /// is told from one that was not sent yet
    #[arg(long, value_name = "SEQ", help_heading = COLLECTED, requires = "collected")]
    pub(crate) acknowledged: Option<u64>,

    /// Records were to be kept for so many days: a removal that came earlier is named
    ///
    /// Without this and the next one, the limits of the configuration are taken.
    #[arg(
        long,
        value_name = "DAYS",
        help_heading = RETENTION,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) retain_days: Option<u32>,

    /// The log was to keep so many bytes
    #[arg(
        long,
        value_name = "BYTES",
        help_heading = RETENTION,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) retain_bytes: Option<u64>,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Print the last record's number and hash as one line, to be kept elsewhere
///
/// Keep it where this host cannot change it: mail it, note it, send it with each
/// backup. `audit verify --head LINE` finds then that the record is not in the log
/// any more, whatever was done to the log and its private directory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit head
  pulse-sensorctl audit head | mail -s audit-head keeper@example.org
  ssh pve1 pulse-sensorctl audit head >>heads-of-pve1.txt")]
pub(crate) struct HeadOptions {
    #[command(flatten)]
    pub(crate) place: PlaceOptions,

    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which records are wanted.
#[derive(Clone, Debug, Args)]
pub(crate) struct FilterOptions {
    /// Those about this node
    #[arg(long, value_name = "NODE", help_heading = FILTER)]
    pub(crate) node: Option<String>,

    /// Those of this caller: a user id, or as the PEER column shows it
    #[arg(long, value_name = "PEER", help_heading = FILTER)]
    pub(crate) peer: Option<String>,

    /// Those of this type; "command." is all that begin with it
    #[arg(long, value_name = "EVENT", help_heading = FILTER)]
    pub(crate) event: Option<String>,

    /// Those of one request, by its correlation id
    #[arg(long, value_name = "ID", help_heading = FILTER)]
    pub(crate) id: Option<String>,

    /// Those of this time (UTC) or later: 2026-11-21, 2026-11-21T10:00
    #[arg(long, value_name = "TIME", help_heading = FILTER)]
    pub(crate) since: Option<Since>,

    /// Those with this number or a higher one
    #[arg(long, value_name = "SEQ", help_heading = FILTER)]
    pub(crate) from_seq: Option<u64>,
}

/// Show the log's records, from the first to the last
///
/// Times are UTC. Each line's own hash is checked and a line that is no record is
/// shown as such; whether the log as a whole is intact, audit verify tells.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit show --node pve1 --since 2026-11-21
  pulse-sensorctl audit show --event connection.denied
  pulse-sensorctl audit show --peer 1000 --json | jq -r .node | sort | uniq -c")]
pub(crate) struct ShowOptions {
    #[command(flatten)]
    pub(crate) place: PlaceOptions,

    #[command(flatten)]
    pub(crate) filter: FilterOptions,

    /// Print the records as they stand in the log, one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show the last records, and go on with those to come
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit tail
  pulse-sensorctl audit tail --follow --event command.
  pulse-sensorctl audit tail -n 1 --event log.sealed --json")]
pub(crate) struct TailOptions {
    #[command(flatten)]
    pub(crate) place: PlaceOptions,

    #[command(flatten)]
    pub(crate) filter: FilterOptions,

    /// How many
    #[arg(
        long = "lines",
        short = 'n',
        value_name = "N",
        default_value = "20",
        value_parser = clap::value_parser!(u32).range(0..=100_000)
    )]
    pub(crate) count: u32,

    /// Go on with what is written from now on, also across rotations, until Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Print the records as they stand in the log, one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Tell the whole story of one reading: who asked, what ran, what came back
///
/// And which seal covers it, and whether the chain from the record to that seal
/// holds. Records that are no readings are explained too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit explain 1734
  pulse-sensorctl audit explain 8d3f1c9e-52f4-4f0e-9d3a-6a1f2f4f9a10
  pulse-sensorctl audit explain 1734 --json | jq .seal")]
pub(crate) struct ExplainOptions {
    /// A record's number, or the correlation id of a request
    #[arg(value_name = "SEQ|ID")]
    pub(crate) subject: String,

    #[command(flatten)]
    pub(crate) place: PlaceOptions,

    /// Print what is known as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// End the live file and have the daemon begin a new one
///
/// The daemon rotates by itself, by size and age. It cannot where the live file
/// carries "chattr +a": then root does it with this. The mark is taken off for the
/// moment of the rename and put back, on the new live file too.
///
/// A daemon that runs is told with SIGUSR1; its process is whoever holds the lock
/// of the state directory (in /proc/locks). Without one the log is opened, sealed
/// and rotated here.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit rotate
  pulse-sensorctl audit rotate --pid \"$(systemctl show -P MainPID pulse-sensor-proxy)\"")]
pub(crate) struct RotateOptions {
    #[command(flatten)]
    pub(crate) place: PlaceOptions,

    /// The daemon's process, where /proc/locks does not tell it
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) pid: Option<i32>,

    /// Print what was done as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Copy and compress sealed segments, before retention removes them
///
/// Each segment that a seal covers whole is written to DIR with ".zst" after its name, read
/// back and compared. One that is there already is left as it is, so this can be run again
/// and again, from a timer. Nothing is removed from the log. The seals of what retention
/// removed are copied too.
///
/// "audit verify DIR LOG" reads archives and log as one, and so does zstd(1).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit archive /srv/archive/pve1
  pulse-sensorctl audit verify --key KEY /srv/archive/pve1 /var/log/pulse/sensor-proxy
  pulse-sensorctl audit show --log /srv/archive/pve1 --node pve1")]
pub(crate) struct ArchiveOptions {
    /// Where to; it is made if need be, for its owner alone
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: PathBuf,

    #[command(flatten)]
    pub(crate) place: PlaceOptions,

    /// Print what was done as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
