//! `audit tail`: the last records, and those to come.

use super::files::ReadError;
use super::place::{LogOptions, sources};
use super::show::{FilterOptions, Printer};
use crate::error::{CommandError, CommandResult, ErrorCode, Outcome};
use crate::runtime::{Signals, block_on};
use crate::ui::screen::{ColorOption, Screen};
use clap::Args;
use pulse_audit::show::{Filter, Follower, last};
use std::path::Path;
use std::time::Duration;

/// The time between two looks at a log that is followed.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Show the last records, and with --follow those to come
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit tail
  pulse-sensorctl audit tail --follow --event command.
  pulse-sensorctl audit tail -n 1 --event log.sealed --json | jq .record")]
pub(crate) struct Options {
    #[command(flatten)]
    place: LogOptions,

    #[command(flatten)]
    filter: FilterOptions,

    /// The number of records
    #[arg(
        long = "lines",
        short = 'n',
        value_name = "N",
        default_value = "20",
        value_parser = clap::value_parser!(u32).range(0..=100_000)
    )]
    count: u32,

    /// Go on with records that are written from now on, across rotations, until Ctrl-C
    #[arg(long, short)]
    follow: bool,

    /// Print one JSON object a line, with the record as it is in the log below "record"
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    color: ColorOption,
}

/// A single file is to be followed, whose successor is not known.
#[derive(Debug, thiserror::Error)]
#[error("a file alone cannot be followed: name the log's directory")]
struct NotADirectory;

impl CommandError for NotADirectory {
    fn code(&self) -> ErrorCode {
        ErrorCode::Usage
    }
}

/// Carries the command out.
///
/// # Errors
/// When there is no log, or it cannot be read, or stdout not written.
pub(super) fn run(options: Options) -> CommandResult {
    let log = options.place.find()?;
    let filter = options.filter.filter();
    let mut printer = Printer::new(Screen::new(options.color), options.json);
    if !options.follow {
        print_last(&mut printer, &log, &filter, options.count)?;
        return Ok(Outcome::Fine);
    }
    if !log.is_dir() {
        // If it is missing, that is the error.
        sources(&log)?;
        return Err(NotADirectory.into());
    }
    block_on(async {
        // Before anything is printed: Ctrl-C ends with success from now on.
        let mut signals = Signals::new()?;
        let after = print_last(&mut printer, &log, &filter, options.count)?;
        let mut follower = Follower::new(&log, after, filter);
        let follow = async {
            loop {
                while let Some(record) = follower.next_shown().map_err(ReadError::from_library)? {
                    printer.take(&record)?;
                }
                // Nothing more for now: what was taken is shown without waiting for a full batch.
                printer.flush()?;
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        tokio::select! {
            // Ctrl-C is success, even if the output failed at the same moment.
            biased;
            () = signals.received() => CommandResult::Ok(Outcome::Fine),
            failed = follow => failed,
        }
    })
}

/// Prints the last records, and returns the number of the log's last one.
fn print_last(
    printer: &mut Printer,
    log: &Path,
    filter: &Filter,
    count: u32,
) -> Result<u64, Box<dyn CommandError>> {
    let find = |filter: &Filter, count| {
        last(sources(log)?, filter, count).map_err(ReadError::from_library)
    };
    // The end comes first. A record that is written between the two is printed here, if the
    // filter has it, and its number is the later end.
    let ends = find(&Filter::default(), 1)?;
    let records = find(filter, usize::try_from(count).unwrap_or(usize::MAX))?;
    for record in &records {
        printer.take(record)?;
    }
    printer.flush()?;
    Ok(ends
        .iter()
        .chain(&records)
        .map(|record| record.seq)
        .max()
        .unwrap_or(0))
}
