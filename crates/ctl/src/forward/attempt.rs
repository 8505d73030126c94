//! `forward test`: the way to each collector, step by step, as the daemon goes it.

use super::arguments::TestOptions;
use super::steps::Steps;
use super::validity::{both, now};
use crate::audit::{AuditError, configured, host_name, print_json};
use crate::failure::{Ending, Failure};
use crate::line::{Line, Tone};
use crate::screen::Screen;
use pulse_audit::LogReader;
use pulse_core::config::Config;
use pulse_core::config::forward::{Collector, Protocol};
use pulse_core::nodes::hosts::Hosts;
use pulse_core::trust::Demand;
use pulse_forward::credentials;
use pulse_forward::message::RecordMessages;
use pulse_forward::problem::Problem;
use pulse_forward::route::{Connection, Lookup, Route, RouteStep, Step};
use pulse_trust::Refused;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// As much of `/etc/hosts` as the daemon reads.
const MAX_HOSTS_BYTES: usize = 1 << 20;

/// What is sent.
struct First {
    seq: u64,
    message: Vec<u8>,
}

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when there is no collector to try, or the log cannot be read.
pub(super) async fn run(mut screen: Screen, options: &TestOptions) -> Result<Ending, Failure> {
    let config = configured(options.config.as_deref())?;
    let collectors = chosen(&config, options)?;
    let directory = config.audit.directory();
    let first = first(directory).map_err(|error| AuditError::unreadable(directory, error))?;
    let mut results = Vec::new();
    let mut is_well = true;
    for collector in collectors {
        let shown = (!options.json).then_some(&mut screen);
        let (result, made) = attempt(&config, collector, first.as_ref(), shown).await?;
        results.push(result);
        is_well &= made;
    }
    if options.json {
        print_json(&mut screen, &json!({ "collectors": results }))?;
    }
    Ok(if is_well {
        Ending::Done
    } else {
        Ending::ShownFailure
    })
}

fn chosen<'a>(config: &'a Config, options: &TestOptions) -> Result<Vec<&'a Collector>, Failure> {
    let all = &config.forward.collectors;
    if all.is_empty() {
        return Err(Failure::NotForwarding);
    }
    let Some(name) = &options.collector else {
        return Ok(all.iter().collect());
    };
    match all.iter().find(|collector| collector.name == *name) {
        Some(collector) => Ok(vec![collector]),
        None => {
            let known: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
            Err(Failure::NoCollector {
                name: name.to_string(),
                known: known.join(", "),
            })
        }
    }
}

/// The message of the log's first record, if there is one.
fn first(directory: &Path) -> std::io::Result<Option<First>> {
    let mut reader = LogReader::from(directory, 1);
    let record = match reader.next(u64::MAX) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        record => record?,
    };
    Ok(record.map(|record| {
        let mut message = Vec::new();
        RecordMessages::new(&host_name()).write(&mut message, &record);
        let seq = record.head.seq;
        First { seq, message }
    }))
}

/// What a program is told of it, and whether it went well.
async fn attempt(
    config: &Config,
    collector: &Collector,
    first: Option<&First>,
    screen: Option<&mut Screen>,
) -> Result<(Value, bool), Failure> {
    let mut steps = Steps::new(screen);
    steps.begin(collector);
    let steps = RefCell::new(steps);
    if let Err(problem) = go(config, collector, first, &steps).await {
        steps.borrow_mut().failed(&problem);
    }
    Ok(steps.into_inner().end(collector)?)
}

async fn go(
    config: &Config,
    collector: &Collector,
    first: Option<&First>,
    steps: &RefCell<Steps<'_>>,
) -> Result<(), Problem> {
    let made = |step, detail: Line| steps.borrow_mut().made(step, detail);
    let mut connection = open(config, collector, steps).await?;
    let Some(first) = first else {
        let nothing = "nothing was sent: there is no record in the audit log yet";
        made("records", Line::of(Tone::Warm, nothing));
        connection.close().await;
        return Ok(());
    };
    let sent = send(&mut connection, collector.protocol, first).await?;
    made("records", Line::plain(sent));
    connection.close().await;
    Ok(())
}

/// That TLS holds is only known when the collector says something after it: with TLS 1.3
/// it refuses our certificate so late.
async fn open(
    config: &Config,
    collector: &Collector,
    steps: &RefCell<Steps<'_>>,
) -> Result<Connection, Problem> {
    let made = |step, detail: Line| steps.borrow_mut().made(step, detail);
    let has_shaken = Cell::new(false);
    let ends = Cell::new((None, None));
    let route = Route::new(&config.forward, collector, &lookup());
    let opened = route
        .open(
            |step| match step {
                RouteStep::Certificates => {
                    let (own, authority) = ends.get();
                    made("certificates", both(own, authority, now()));
                }
                RouteStep::Address(address) => made("name", Line::plain(named(collector, address))),
                RouteStep::Connection(Step::Tcp) => made("tcp", Line::plain("connected")),
                RouteStep::Connection(Step::Tls) => has_shaken.set(true),
                RouteStep::Connection(_) => (),
            },
            |identity| ends.set(credentials::expiry(identity)),
        )
        .await;
    match opened {
        Ok(connection) => {
            let agreed = connection.tls_parameters().map(|agreed| agreed.to_string());
            made("tls", Line::plain(agreed.unwrap_or_default()));
            if collector.protocol == Protocol::Relp {
                made("open", Line::plain("the collector speaks RELP"));
            }
            Ok(connection)
        }
        Err(problem) => {
            if has_shaken.get() && problem.step() != "tls" {
                made("tls", Line::plain("the collector is who it should be"));
            }
            Err(problem)
        }
    }
}

/// Its address, and who says so.
fn named(collector: &Collector, address: SocketAddr) -> String {
    let source = match collector.address {
        Some(_) => "the configuration",
        None => "/etc/hosts",
    };
    format!("{address}, says {source}")
}

async fn send(
    connection: &mut Connection,
    protocol: Protocol,
    first: &First,
) -> Result<String, Problem> {
    let seq = first.seq;
    // One message always fits a new session.
    connection.give(1, &first.message);
    connection.flush().await?;
    if protocol == Protocol::Syslog {
        return Ok(format!(
            "record {seq} was sent; syslog acknowledges nothing: look for it in the collector's file"
        ));
    }
    while connection.acknowledged().await? < 1 {}
    Ok(format!("record {seq} was acknowledged"))
}

/// Looks names up as the daemon does.
fn lookup() -> Lookup {
    Arc::new(|name| {
        let path = Path::new("/etc/hosts");
        let hosts = match pulse_trust::read_beginning(path, Demand::Unwritable, MAX_HOSTS_BYTES) {
            Err(Refused::Untrusted(untrusted)) => return Err(untrusted.to_string()),
            hosts => hosts.unwrap_or_default(),
        };
        Ok(Hosts::parse(hosts).lookup(name))
    })
}
