//! `forward test`: a connection to each collector, step by step, as the daemon makes it.

use super::steps::Steps;
use super::validity::{both, now};
use crate::client::{NOT_FORWARDING, NOT_FORWARDING_REMEDY};
use crate::config::{ConfigOption, host_name};
use crate::error::{CommandError, CommandResult, ErrorCode, Outcome, file_remedy};
use crate::runtime::block_on;
use crate::ui::line::{Line, Tone};
use crate::ui::screen::{ColorOption, OutputError, Screen};
use clap::Args;
use pulse_audit::LogReader;
use pulse_core::config::Config;
use pulse_core::config::forward::{Collector, Protocol};
use pulse_core::nodes::hosts::{self, Hosts};
use pulse_core::nodes::name::NodeName;
use pulse_core::trust::Demand;
use pulse_forward::credentials;
use pulse_forward::message::RecordMessages;
use pulse_forward::problem::Problem;
use pulse_forward::route::{Connection, Lookup, Route, RouteStep, Step};
use pulse_trust::Refused;
use serde_json::json;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Test the connection to each collector, step by step, with one record
///
/// Reads the daemon's configuration, certificates and audit log; no daemon needs to run.
/// The steps are certificates, name, tcp, tls, open and records. Of a step that fails, the
/// cause and the remedy are shown.
///
/// The record is the log's first one, unchanged. A collector that has it already gets a
/// copy, which does no harm: it has the same "seq". Any other message would be a line in
/// the collector's file that is no record.
///
/// Run it as the daemon's user, which must be able to read all of that. Restrictions by
/// the daemon's own confinement are seen by "forward status" only. The exit code is 1 when
/// a step failed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl forward test
  pulse-sensorctl forward test --collector logs.example.org
  runuser -u pulse-sensor-proxy -- pulse-sensorctl forward test
  pulse-sensorctl forward test --json | jq '.collectors[] | select(.problem)'")]
pub(crate) struct Options {
    /// Only this collector of the configuration [all of them]
    #[arg(long, value_name = "NAME", value_parser = NodeName::parse)]
    collector: Option<NodeName>,

    #[command(flatten)]
    config: ConfigOption,

    /// Print every step as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    color: ColorOption,
}

/// The reason that no collector can be tested.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// There is no collector in the configuration.
    #[error("{NOT_FORWARDING}")]
    NotForwarding,
    /// There is none of this name.
    #[error("there is no collector \"{name}\" in the configuration, but {known}")]
    NoCollector { name: NodeName, known: String },
    /// The audit log cannot be read.
    #[error("{}", path.display())]
    Log { path: PathBuf, source: io::Error },
}

impl CommandError for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotForwarding => ErrorCode::Config,
            Self::NoCollector { .. } => ErrorCode::Usage,
            Self::Log { .. } => ErrorCode::CannotRead,
        }
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NotForwarding => Some(NOT_FORWARDING_REMEDY.into()),
            Self::NoCollector { .. } => None,
            Self::Log { source, .. } => file_remedy(source),
        }
    }
}

/// The record that is sent.
struct FirstRecord {
    seq: u64,
    message: Vec<u8>,
}

/// Carries the command out.
///
/// # Errors
/// When there is no collector to try, or the log cannot be read.
pub(super) fn run(options: &Options) -> CommandResult {
    let mut screen = Screen::new(options.color);
    let config = options.config.read()?;
    let collectors = chosen(&config, options.collector.as_ref())?;
    let directory = config.audit.directory();
    let mut first = None;
    // An empty or missing log is no error here: the steps before the record are tested.
    match LogReader::from(directory, 1).next(u64::MAX) {
        Ok(None) => {}
        Ok(Some(record)) => {
            let mut message = Vec::new();
            RecordMessages::new(&host_name()).write(&mut message, &record);
            first = Some(FirstRecord {
                seq: record.head.seq,
                message,
            });
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(source) => {
            return Err(Error::Log {
                path: directory.to_owned(),
                source,
            }
            .into());
        }
    }
    block_on(async {
        let mut results = Vec::new();
        let mut is_well = true;
        for collector in collectors {
            let mut steps = Steps::new((!options.json).then_some(&mut screen));
            steps.begin(collector);
            // A callback of the route and `connect_and_send` both add steps, one at a time.
            let steps = RefCell::new(steps);
            let connected = connect_and_send(&config, collector, first.as_ref(), &steps).await;
            if let Err(problem) = connected {
                steps.borrow_mut().fail(&problem);
            }
            let (result, is_complete) = steps.into_inner().end(collector)?;
            results.push(result);
            is_well &= is_complete;
        }
        if options.json {
            screen.print_json(&json!({ "collectors": results }))?;
        }
        Ok::<_, OutputError>(Outcome::fine_if(is_well))
    })
}

/// The collector of this name; without a name all.
fn chosen<'a>(config: &'a Config, name: Option<&NodeName>) -> Result<Vec<&'a Collector>, Error> {
    let all = &config.forward.collectors;
    if all.is_empty() {
        return Err(Error::NotForwarding);
    }
    let Some(name) = name else {
        return Ok(all.iter().collect());
    };
    match all.iter().find(|collector| collector.name == *name) {
        Some(collector) => Ok(vec![collector]),
        None => {
            let known: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
            Err(Error::NoCollector {
                name: name.clone(),
                known: known.join(", "),
            })
        }
    }
}

async fn connect_and_send(
    config: &Config,
    collector: &Collector,
    first: Option<&FirstRecord>,
    steps: &RefCell<Steps<'_>>,
) -> Result<(), Problem> {
    let complete = |step, detail: Line| steps.borrow_mut().complete(step, detail);
    let mut connection = open(config, collector, steps).await?;
    let Some(first) = first else {
        complete(
            "records",
            Line::new(
                Tone::Warm,
                "nothing was sent: there is no record in the audit log yet",
            ),
        );
        connection.close().await;
        return Ok(());
    };
    let seq = first.seq;
    // One message always fits a new session.
    connection.give(1, &first.message);
    connection.flush().await?;
    let sent = if collector.protocol == Protocol::Syslog {
        // Syslog over TLS has no acknowledgements (RFC 5425).
        format!(
            "record {seq} was sent; syslog acknowledges nothing: look for it in the collector's file"
        )
    } else {
        while connection.acknowledged().await? < 1 {}
        format!("record {seq} was acknowledged")
    };
    complete("records", Line::plain(sent));
    connection.close().await;
    Ok(())
}

/// Connects. With TLS 1.3 a collector refuses our certificate after the handshake, so the step
/// `tls` is complete only when the collector has sent something.
async fn open(
    config: &Config,
    collector: &Collector,
    steps: &RefCell<Steps<'_>>,
) -> Result<Connection, Problem> {
    let complete = |step, detail: Line| steps.borrow_mut().complete(step, detail);
    let had_handshake = Cell::new(false);
    let ends = Cell::new((None, None));
    let source = match collector.address {
        Some(_) => "the configuration",
        None => "/etc/hosts",
    };
    let opened = Route::new(&config.forward, collector, &lookup())
        .open(
            |step| match step {
                RouteStep::Certificates => {
                    let (own, authority) = ends.get();
                    complete("certificates", both(own, authority, now()));
                }
                RouteStep::Address(address) => {
                    complete("name", Line::plain(format!("{address}, says {source}")));
                }
                RouteStep::Connection(Step::Tcp) => complete("tcp", Line::plain("connected")),
                RouteStep::Connection(Step::Tls) => had_handshake.set(true),
                RouteStep::Connection(_) => (),
            },
            |identity| ends.set(credentials::expiry(identity)),
        )
        .await;
    match opened {
        Ok(connection) => {
            let agreed = connection.tls_parameters().map(|agreed| agreed.to_string());
            complete("tls", Line::plain(agreed.unwrap_or_default()));
            if collector.protocol == Protocol::Relp {
                complete("open", Line::plain("the collector speaks RELP"));
            }
            Ok(connection)
        }
        Err(problem) => {
            if had_handshake.get() && problem.step() != "tls" {
                complete("tls", Line::plain("the collector's certificate is good"));
            }
            Err(problem)
        }
    }
}

/// The daemon's way to look up names.
fn lookup() -> Lookup {
    Arc::new(|name| {
        let path = Path::new("/etc/hosts");
        // One that does not exist has no names. One that cannot be read, or that others can change
        // and so could lead records to another host, is an error, as in the daemon.
        match pulse_trust::read_lines(path, Demand::Unwritable, hosts::MAX_BYTES) {
            Ok(lines) => Ok(Hosts::parse(lines.text).lookup(name)),
            Err(Refused::Io(error)) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(Refused::Io(error)) => Err(format!("cannot be read: {error}")),
            Err(Refused::Untrusted(untrusted)) => Err(format!("is refused: {untrusted}")),
        }
    })
}
