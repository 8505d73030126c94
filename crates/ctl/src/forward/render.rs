//! `forward render`: a configuration for rsyslog.
//!
//! It is written by `pulse_forward::rsyslog`; here it is asked for.

use crate::audit::configured;
use crate::failure::{Ending, Failure};
use crate::screen::Screen;
use clap::{Args, Subcommand, ValueHint};
use pulse_core::nodes::name::NodeName;
use pulse_forward::rsyslog::{
    Collector, Credentials, Path, Permitted, RELP_PORT, SYSLOG_PORT, Sender, Target,
};
use std::net::IpAddr;
use std::path::PathBuf;

/// The heading of what both sides of a connection are told.
const TLS: &str = "Certificates";

#[derive(Debug, Subcommand)]
pub(crate) enum RenderCommand {
    RsyslogSender(SenderOptions),
    RsyslogCollector(CollectorOptions),
}

/// For the host: rsyslog reads the audit log and sends it, with RELP over TLS
///
/// It begins with the log's first record and keeps what is not sent yet on disk.
/// Debian's packages: rsyslog, rsyslog-relp.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl forward render rsyslog-sender --collector logs.example.org
  pulse-sensorctl forward render rsyslog-sender --collector 192.0.2.7:20514 \\
      --permitted logs.example.org >/etc/rsyslog.d/pulse-sender.conf
  rsyslogd -N1 -f /etc/rsyslog.d/pulse-sender.conf     is it right?")]
pub(crate) struct SenderOptions {
    /// Where the collector is
    #[arg(long, value_name = "NAME[:PORT]")]
    collector: Target,

    /// A name that the collector's certificate may have [its NAME when none is given]
    #[arg(long, value_name = "NAME", value_parser = NodeName::parse, help_heading = TLS)]
    permitted: Vec<NodeName>,

    #[command(flatten)]
    credentials: CredentialOptions,

    /// The audit log's live file [what the daemon's configuration says]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    log: Option<Path>,

    /// The daemon's configuration, which says where the log is
    #[arg(
        long,
        value_name = "FILE",
        env = "PULSE_SENSOR_PROXY_CONFIG",
        hide_env_values = true,
        value_hint = ValueHint::FilePath
    )]
    config: Option<PathBuf>,

    /// An existing directory, for what is not sent yet and how far the log was read
    ///
    /// Nothing else should be in it: emptied, it makes rsyslog send everything again.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/spool/rsyslog/pulse",
        value_hint = ValueHint::DirPath
    )]
    spool: Path,
}

/// For the collector: rsyslog takes audit logs, and keeps a file for each host
///
/// Nothing is acknowledged that is not on disk. Beside RELP it takes syslog over TLS
/// (RFC 5425), which has no acknowledgements. Debian's packages: rsyslog, rsyslog-relp,
/// rsyslog-gnutls.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl forward render rsyslog-collector --permitted pve1.example.org
  pulse-sensorctl forward render rsyslog-collector --listen 192.0.2.7 \\
      --permitted pve1.example.org --permitted pve2.example.org \\
      >/etc/rsyslog.d/pulse-collector.conf
  rsyslogd -N1 -f /etc/rsyslog.d/pulse-collector.conf     is it right?")]
pub(crate) struct CollectorOptions {
    /// Listen on this address only
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<IpAddr>,

    /// The port for RELP over TLS
    #[arg(long, default_value_t = RELP_PORT, value_parser = port())]
    port: u16,

    /// The port for syslog over TLS
    #[arg(long, value_name = "PORT", default_value_t = SYSLOG_PORT, value_parser = port())]
    syslog_port: u16,

    /// A name that a sender's certificate may have
    #[arg(
        long,
        required = true,
        value_name = "NAME",
        value_parser = NodeName::parse,
        help_heading = TLS
    )]
    permitted: Vec<NodeName>,

    #[command(flatten)]
    credentials: CredentialOptions,

    /// Where the files are kept
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/log/pulse/collected",
        value_hint = ValueHint::DirPath
    )]
    directory: Path,
}

#[derive(Debug, Args)]
struct CredentialOptions {
    /// Who signs the other side's certificate
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/pulse/log-forwarding/ca.pem",
        help_heading = TLS,
        value_hint = ValueHint::FilePath
    )]
    ca: Path,

    /// The certificate to show
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/pulse/log-forwarding/certificate.pem",
        help_heading = TLS,
        value_hint = ValueHint::FilePath
    )]
    certificate: Path,

    /// Its key
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/pulse/log-forwarding/key.pem",
        help_heading = TLS,
        value_hint = ValueHint::FilePath
    )]
    key: Path,
}

impl From<CredentialOptions> for Credentials {
    fn from(options: CredentialOptions) -> Self {
        let CredentialOptions {
            ca,
            certificate,
            key,
        } = options;
        Self {
            ca,
            certificate,
            key,
        }
    }
}

fn port() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..)
}

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when the log's place cannot be told or the result not written.
pub(super) fn run(mut screen: Screen, command: RenderCommand) -> Result<Ending, Failure> {
    let text = match command {
        RenderCommand::RsyslogSender(options) => sender(options)?.to_string(),
        RenderCommand::RsyslogCollector(options) => collector(options)?.to_string(),
    };
    screen.print_text(text.trim_end())?;
    Ok(Ending::Done)
}

fn sender(options: SenderOptions) -> Result<Sender, Failure> {
    let log = match options.log {
        Some(log) => log,
        None => place(&configured(options.config.as_deref())?.audit.log)?,
    };
    let collector = options.collector;
    let same_name = || collector.name.clone().into();
    Ok(Sender {
        permitted: Permitted::new(options.permitted).unwrap_or_else(same_name),
        credentials: options.credentials.into(),
        spool: options.spool,
        collector,
        log,
    })
}

/// The configuration's word, which rsyslog must be able to read too.
fn place(log: &std::path::Path) -> Result<Path, Failure> {
    let text = log.to_string_lossy();
    text.parse().map_err(Failure::Word)
}

fn collector(options: CollectorOptions) -> Result<Collector, Failure> {
    let permitted = Permitted::new(options.permitted);
    Ok(Collector {
        permitted: permitted.ok_or(Failure::Usage("name a sender: --permitted NAME"))?,
        listen: options.listen,
        port: options.port,
        syslog_port: options.syslog_port,
        credentials: options.credentials.into(),
        directory: options.directory,
    })
}
