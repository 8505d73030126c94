//! `forward render`: configurations for rsyslog, which `pulse_forward::rsyslog` writes.

use crate::config::ConfigOption;
use crate::error::{CommandError, CommandResult, ErrorCode, Outcome};
use crate::ui::screen::Screen;
use clap::{Args, Subcommand, ValueHint};
use pulse_core::nodes::name::NodeName;
use pulse_forward::rsyslog::{
    Collector, Credentials, Path, Permitted, RELP_PORT, SYSLOG_PORT, Sender, Target, WordError,
};
use std::borrow::Cow;
use std::net::IpAddr;

/// The heading of options about TLS in `--help`.
const TLS: &str = "Certificates";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    RsyslogSender(SenderOptions),
    RsyslogCollector(CollectorOptions),
}

/// For the host: rsyslog reads the audit log and sends it, with RELP over TLS
///
/// It begins with the log's first record and queues records on disk.
/// Debian's packages: rsyslog, rsyslog-relp.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl forward render rsyslog-sender --collector logs.example.org
  pulse-sensorctl forward render rsyslog-sender --collector 192.0.2.7:20514 \\
      --permitted logs.example.org >/etc/rsyslog.d/pulse-sender.conf
  rsyslogd -N1 -f /etc/rsyslog.d/pulse-sender.conf     is it right?")]
pub(crate) struct SenderOptions {
    /// The collector's name, with its port if that is not the usual one
    #[arg(long, value_name = "NAME[:PORT]")]
    collector: Target,

    /// A name that the collector's certificate may have [its NAME when none is given]
    #[arg(long, value_name = "NAME", value_parser = NodeName::parse, help_heading = TLS)]
    permitted: Vec<NodeName>,

    #[command(flatten)]
    credentials: CredentialOptions,

    /// The audit log's live file [what the daemon's configuration says]
    #[arg(
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        conflicts_with = "config"
    )]
    log: Option<Path>,

    #[command(flatten)]
    config: ConfigOption,

    /// An existing directory, for rsyslog's queue and its position in the log
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

/// For the collector: rsyslog receives audit logs, and keeps a file for each host
///
/// Nothing is acknowledged that is not on disk. Beside RELP it receives syslog over TLS
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

    /// The directory for the collected files
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
    /// The certificate of the authority that signs the other side's
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/pulse/log-forwarding/ca.pem",
        help_heading = TLS,
        value_hint = ValueHint::FilePath
    )]
    ca: Path,

    /// Our certificate
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

/// Why there is no configuration to write.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// rsyslog gives the path of the configured audit log another meaning.
    #[error("the audit log's path")]
    Log(#[source] WordError),
    /// No sender would be permitted.
    #[error("name a sender: --permitted NAME")]
    NoSender,
}

impl CommandError for Error {
    fn code(&self) -> ErrorCode {
        ErrorCode::Usage
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Log(_) => Some("give another path to it with --log".into()),
            Self::NoSender => None,
        }
    }
}

/// Carries the command out.
///
/// # Errors
/// When the audit log's path is not known or cannot be used, or stdout not written.
pub(super) fn run(command: Command) -> CommandResult {
    let text = match command {
        Command::RsyslogSender(options) => {
            let log = match options.log {
                Some(log) => log,
                None => {
                    let log = options.config.read()?.audit.log;
                    log.to_string_lossy().parse().map_err(Error::Log)?
                }
            };
            let collector = options.collector;
            let same_name = || collector.name.clone().into();
            let sender = Sender {
                permitted: Permitted::new(options.permitted).unwrap_or_else(same_name),
                credentials: options.credentials.into(),
                spool: options.spool,
                collector,
                log,
            };
            sender.to_string()
        }
        Command::RsyslogCollector(options) => {
            let collector = Collector {
                permitted: Permitted::new(options.permitted).ok_or(Error::NoSender)?,
                listen: options.listen,
                port: options.port,
                syslog_port: options.syslog_port,
                credentials: options.credentials.into(),
                directory: options.directory,
            };
            collector.to_string()
        }
    };
    Screen::plain().print_text(text.trim_end())?;
    Ok(Outcome::Fine)
}
