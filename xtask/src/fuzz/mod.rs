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

mod build;
mod campaign;
mod minimise;
mod target;

use crate::process::{self, Failure, Outcome};
use crate::steps::Steps;
use build::Sanitizer;
use target::Target;

/// How long a target runs when nobody says, in seconds.
const DEFAULT_SECONDS: u64 = 60;

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    target: Option<String>,
    files: Vec<String>,
    seconds: Option<u64>,
    minimise: bool,
    sanitizer: Sanitizer,
}

/// `cargo xtask fuzz [TARGET [FILE…]] [--seconds N] [--asan] [--minimise]`.
pub(crate) fn run(steps: &mut Steps, arguments: &[String]) -> Outcome {
    let request = Request::parse(arguments)?;
    let sanitizer = request.sanitizer;
    let targets = target::chosen(request.target.as_deref(), sanitizer)?;
    let build = || build::build(&targets, sanitizer);
    if steps.run("build the fuzz targets", build).is_none() {
        return Ok(());
    }
    if !request.files.is_empty() {
        let files = &request.files;
        steps.run("run the files", || reproduce(&targets, files));
    } else if request.minimise {
        steps.run("minimise the corpus", || minimise::minimise(&targets));
    } else {
        let seconds = request.seconds.unwrap_or(DEFAULT_SECONDS);
        steps.run("fuzz", || campaign::run(&targets, seconds));
    }
    Ok(())
}

/// What CI runs: every target for a few seconds.
pub(crate) fn short(steps: &mut Steps, seconds: u64) {
    let work = || {
        let targets = target::chosen(None, Sanitizer::None)?;
        build::build(&targets, Sanitizer::None)?;
        Ok(targets)
    };
    if let Some(targets) = steps.run("build the fuzz targets", work) {
        steps.run("fuzz", || campaign::run(&targets, seconds));
    }
}

/// Runs inputs once each, on the terminal: a crash shows its backtrace.
fn reproduce(targets: &[Target], files: &[String]) -> Outcome {
    let mut runs = targets.iter();
    runs.try_for_each(|target| process::run(target.command().args(files)))
}

impl Request {
    fn parse(arguments: &[String]) -> Outcome<Self> {
        let mut request = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--minimise" => request.minimise = true,
                "--asan" => request.sanitizer = Sanitizer::Address,
                "--seconds" => request.seconds = Some(seconds(arguments.next())?),
                option if option.starts_with('-') => {
                    return Err(Failure::new(format!("fuzz has no option {option}")));
                }
                name if request.target.is_none() => request.target = Some(name.to_owned()),
                file => request.files.push(file.to_owned()),
            }
        }
        Ok(request)
    }
}

fn seconds(argument: Option<&String>) -> Outcome<u64> {
    argument
        .and_then(|text| text.parse().ok())
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| Failure::new("--seconds takes a number above 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Outcome<Request> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Request::parse(&words)
    }

    #[test]
    fn a_target_its_files_and_the_options_are_told_apart() {
        let request = parse("node_name --seconds 5 a b").unwrap();
        assert_eq!(request.target.as_deref(), Some("node_name"));
        assert_eq!((request.files.len(), request.seconds), (2, Some(5)));
        assert!(parse("--minimise").unwrap().minimise);
        assert_eq!(parse("--asan").unwrap().sanitizer, Sanitizer::Address);
        for wrong in ["--seconds", "--seconds x", "--seconds 0", "--jobs 2"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
