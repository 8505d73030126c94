//! `audit tail`: the last records, and those to come.

use super::AuditError;
use super::arguments::TailOptions;
use super::place::Place;
use super::show::Printer;
use crate::failure::{Ending, Failure};
use crate::screen::Screen;
use crate::signals::Signals;
use pulse_audit::show::{Filter, Follower, last};
use std::time::Duration;

/// How often a file that is followed is looked at.
const EVERY: Duration = Duration::from_millis(200);

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when there is no log, or it cannot be read.
pub(crate) fn run(screen: Screen, options: &TailOptions) -> Result<Ending, Failure> {
    let place = Place::find(&options.place)?;
    let filter = options.filter.filter();
    let mut printer = Printer::new(screen, options.json);
    if !options.follow {
        print_last(&mut printer, &place, &filter, options)?;
        return Ok(Ending::Done);
    }
    if !place.log.is_dir() {
        return Err(Failure::Usage(
            "a file alone cannot be followed: name the log's directory",
        ));
    }
    crate::block_on(async {
        let mut signals = Signals::new()?;
        let after = print_last(&mut printer, &place, &filter, options)?;
        let follower = Follower::new(&place.log, after, filter);
        tokio::select! {
            biased;
            () = signals.ended() => Ok(Ending::Done),
            failure = go_on(follower, printer) => Err(failure),
        }
    })
}

/// Prints the last records, and gives the number of the last one there was.
fn print_last(
    printer: &mut Printer,
    place: &Place,
    filter: &Filter,
    options: &TailOptions,
) -> Result<u64, Failure> {
    let find =
        |filter: &Filter, count| last(place.sources()?, filter, count).map_err(AuditError::reading);
    // First the end that the followed records come after: what is written
    // meanwhile is among the last ones, if it is wanted.
    let ends = find(&Filter::default(), 1)?;
    let records = find(filter, usize::try_from(options.count).unwrap_or(usize::MAX))?;
    for record in &records {
        printer.take(record)?;
    }
    printer.flush()?;
    let seqs = ends.iter().chain(&records).map(|record| record.seq);
    Ok(seqs.max().unwrap_or(0))
}

/// Prints what comes, until that fails.
async fn go_on(mut follower: Follower, mut printer: Printer) -> Failure {
    loop {
        let written = print_new(&mut follower, &mut printer);
        if let Err(failure) = written {
            return failure;
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn print_new(follower: &mut Follower, printer: &mut Printer) -> Result<(), Failure> {
    while let Some(record) = follower.next_shown().map_err(AuditError::reading)? {
        printer.take(&record)?;
    }
    Ok(printer.flush()?)
}
