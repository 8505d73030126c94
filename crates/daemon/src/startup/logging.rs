//! The daemon's log: to the journal under systemd, else as text to stderr.

use crate::observe::forwarding::ToCollectors;
use pulse_core::config::LogLevel;
use pulse_forward::Journal;
use std::io::IsTerminal;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The SSH library logs every packet at our levels; only `trace` shows its messages.
const LIBRARY: &str = "russh";

/// Sets up logging, once. Messages go to the collectors too where `journal` is given.
pub(super) fn start(level: LogLevel, journal: Option<&Journal>) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let ours = tracing_subscriber::filter::filter_fn(move |metadata| {
        *metadata.level() <= level
            && (level == LevelFilter::TRACE || !metadata.target().starts_with(LIBRARY))
    });
    let elsewhere = journal.map(|journal| {
        // Time and severity are fields of a syslog message, not part of its text.
        tracing_subscriber::fmt::layer()
            .without_time()
            .with_level(false)
            .with_target(false)
            .with_ansi(false)
            .with_writer(ToCollectors(journal.clone()))
    });
    let registry = tracing_subscriber::registry().with(ours).with(elsewhere);
    // systemd sets JOURNAL_STREAM when stderr goes to the journal.
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    // A second start (in tests) keeps the first.
    let _ = match journal {
        Some(journal) => registry.with(journal).try_init(),
        None => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(std::io::stderr().is_terminal()),
            )
            .try_init(),
    };
}
