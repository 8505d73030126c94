//! What is asked of `forward`, and the help that teaches it.

use super::render::RenderCommand;
use clap::{Args, Subcommand, ValueHint};
use pulse_core::nodes::name::NodeName;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum ForwardCommand {
    /// Show whether the audit log gets to its collectors, and what to do if not
    ///
    /// Asks the daemon. Each stream goes its own way: to the first collector that takes
    /// records (mode "failover"), or to one collector (mode "all"). The queue is what is on
    /// disk and not acknowledged.
    ///
    /// The exit code is 1 when a collector is in trouble, a certificate is over, or one
    /// cannot be read. A certificate with less than 30 days left is marked.
    #[command(after_help = "\
Examples:
  pulse-sensorctl forward status
  pulse-sensorctl forward status --json | jq '.forwarding.streams[].queue'
  watch -n 10 pulse-sensorctl forward status")]
    Status {
        /// Print the daemon's data as JSON
        #[arg(long)]
        json: bool,
    },
    Test(TestOptions),
    Replay(ReplayOptions),
    /// Write a configuration for rsyslog
    ///
    /// rsyslog's own settings lose records: every one that matters is written out, with
    /// its reason. The text goes to standard output; put it below /etc/rsyslog.d.
    #[command(subcommand)]
    Render(RenderCommand),
}

/// Try the way to each collector, step by step, with one record
///
/// Reads the daemon's configuration, certificates and audit log; no daemon need run. The
/// steps are certificates, name, tcp, tls, open and records; where one fails, this says
/// why and what to do.
///
/// What is sent is the log's first record, unchanged. A collector that has it already has
/// it twice then, which does no harm: it is known by its "seq". Anything else would be a
/// line in the collector's file that is no record.
///
/// Run it as the daemon's user, who must be able to read all of that. What confinement
/// keeps from the daemon itself is not seen here but by "forward status". The exit code is
/// 1 when a step failed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl forward test
  pulse-sensorctl forward test --collector logs.example.org
  runuser -u pulse-sensor-proxy -- pulse-sensorctl forward test
  pulse-sensorctl forward test --json | jq '.collectors[] | select(.problem)'")]
pub(crate) struct TestOptions {
    /// Only this collector of the configuration [all of them]
    #[arg(long, value_name = "NAME", value_parser = NodeName::parse)]
    pub(super) collector: Option<NodeName>,

    /// The daemon's configuration
    #[arg(
        long,
        value_name = "FILE",
        env = "PULSE_SENSOR_PROXY_CONFIG",
        hide_env_values = true,
        value_hint = ValueHint::FilePath
    )]
    pub(super) config: Option<PathBuf>,

    /// Print every step as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Have the daemon send records again, from a number on
///
/// For when a collector lost what it had acknowledged: "audit verify --collected" at the
/// collector names the number. Records that it has already come twice, which does no harm.
/// A record can be sent again for as long as its segment is there: until retention removes it,
/// where that is configured. The daemon remembers what it was asked, also through a restart.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl forward replay --from 4711
  pulse-sensorctl forward replay --from 1 --wait     all of it, and wait until it is done
  pulse-sensorctl forward status                     how far it is")]
pub(crate) struct ReplayOptions {
    /// The number of the first record
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) from: u64,

    /// Wait until everything is acknowledged
    #[arg(long, short)]
    pub(super) wait: bool,

    /// Print what is sent again as JSON, with --wait a line whenever it was looked
    #[arg(long)]
    pub(super) json: bool,
}
