//! `cargo xtask fuzz`: libFuzzer on the stable toolchain, without cargo-fuzz.
//!
//! `fuzz/` is laid out as cargo-fuzz wants it, so that its users can go on as they
//! are used to. But a check that needs a nightly toolchain and a tool is a check
//! that is skipped; so this builds the targets with the flags that cargo-fuzz
//! passes, and runs them itself, as many at a time as there are processors.
//!
//! | where | what |
//! |---|---|
//! | `fuzz/corpus/TARGET` | inputs that are checked in; runs only read them |
//! | `fuzz/dictionaries/TARGET.dict` | words of the format, if it has any |
//! | `target/fuzz/corpus/TARGET` | what runs found; the next one goes on from there |
//! | `target/fuzz/artifacts/TARGET` | inputs that broke something |
//! | `fuzz/campaign.tsv` | what campaigns came to; they add to it |

mod build;
mod campaign;
mod execution;
mod ledger;
mod minimise;
#[cfg(test)]
mod parsers;
mod target;

use crate::process::{self, Failure, Outcome};
use crate::steps::Steps;
use build::Sanitizer;

/// The default time that a target runs, in seconds.
const DEFAULT_SECONDS: u64 = 60;

/// The command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    target: Option<String>,
    files: Vec<String>,
    seconds: Option<u64>,
    hours: Option<u64>,
    work: Work,
    sanitizer: Sanitizer,
}

/// The work that is to be done with the targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Work {
    /// Fuzz each for a while.
    #[default]
    Fuzz,
    /// Fuzz until the goal is reached, and keep count.
    Campaign,
    /// Put what was found into the corpus.
    Minimise,
    /// Write what campaigns came to into the page.
    Table,
}

/// `cargo xtask fuzz [TARGET [FILE…]] [--seconds N] [--asan]`, or with `--campaign [--hours N]`,
/// `--minimise` or `--table`.
pub(crate) fn run(steps: &mut Steps, arguments: &[String]) -> Outcome {
    let request = Request::parse(arguments)?;
    let sanitizer = request.sanitizer;
    if request.work == Work::Table {
        let names = target::names()?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        steps.run("the campaign's table", || ledger::write_table(&names));
        return Ok(());
    }
    let targets = target::chosen(request.target.as_deref(), sanitizer)?;
    let build = || build::build(&targets, sanitizer);
    if steps.run("build the fuzz targets", build).is_none() {
        return Ok(());
    }
    if !request.files.is_empty() {
        steps.run("run the files", || {
            // On the terminal: a crash shows its backtrace.
            targets
                .iter()
                .try_for_each(|target| process::run(target.command().args(&request.files)))
        });
        return Ok(());
    }
    let seconds = request.seconds.unwrap_or(DEFAULT_SECONDS);
    steps.run(request.work.name(), || match request.work {
        Work::Campaign => campaign::run(&targets, request.hours),
        Work::Minimise => minimise::minimise(&targets),
        Work::Fuzz | Work::Table => execution::run(&targets, seconds),
    });
    Ok(())
}

/// CI's part: every target for a few seconds.
pub(crate) fn short(steps: &mut Steps, seconds: u64) {
    let work = || {
        let targets = target::chosen(None, Sanitizer::None)?;
        build::build(&targets, Sanitizer::None)?;
        Ok(targets)
    };
    if let Some(targets) = steps.run("build the fuzz targets", work) {
        steps.run("fuzz", || execution::run(&targets, seconds));
    }
}

/// Fails when the page does not say what campaigns came to.
pub(crate) fn check_table() -> Outcome {
    let names = target::names()?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    ledger::check_table(&names)
}

impl Request {
    fn parse(arguments: &[String]) -> Outcome<Self> {
        let mut request = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--minimise" => request.work = Work::Minimise,
                "--campaign" => request.work = Work::Campaign,
                "--table" => request.work = Work::Table,
                "--asan" => request.sanitizer = Sanitizer::Address,
                "--seconds" => request.seconds = Some(count(argument, arguments.next())?),
                "--hours" => request.hours = Some(count(argument, arguments.next())?),
                option if option.starts_with('-') => {
                    return Err(Failure::new(format!("fuzz has no option {option}")));
                }
                name if request.target.is_none() => request.target = Some(name.to_owned()),
                file => request.files.push(file.to_owned()),
            }
        }
        match (request.hours, request.work) {
            (Some(_), Work::Fuzz | Work::Minimise | Work::Table) => {
                Err(Failure::new("--hours is for --campaign"))
            }
            _ => Ok(request),
        }
    }
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::Fuzz => "fuzz",
            Self::Campaign => "campaign",
            Self::Minimise => "minimise the corpus",
            Self::Table => "the campaign's table",
        }
    }
}

/// Reads what follows an option: a number above 0, and no more than a year has seconds.
fn count(option: &str, argument: Option<&String>) -> Outcome<u64> {
    argument
        .and_then(|text| text.parse().ok())
        .filter(|count| (1..=31_536_000).contains(count))
        .ok_or_else(|| Failure::new(format!("{option} takes a number above 0")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Outcome<Request> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Request::parse(&words)
    }

    #[test]
    fn arguments() {
        let request = parse("node_name --seconds 5 a b").unwrap();
        assert_eq!(request.target.as_deref(), Some("node_name"));
        assert_eq!((request.files.len(), request.seconds), (2, Some(5)));
        assert_eq!(parse("--minimise").unwrap().work, Work::Minimise);
        let campaign = parse("--campaign --hours 2").unwrap();
        assert_eq!((campaign.work, campaign.hours), (Work::Campaign, Some(2)));
        assert_eq!(parse("--table").unwrap().work, Work::Table);
        assert_eq!(parse("--asan").unwrap().sanitizer, Sanitizer::Address);
        for wrong in [
            "--seconds",
            "--seconds x",
            "--seconds 0",
            "--hours 2",
            "--jobs 2",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
