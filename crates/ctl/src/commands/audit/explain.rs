//! `audit explain`: one reading from its start to its seal, or any other record.

use super::evidence::{Evidence, Reading};
use super::place::LogOptions;
use super::story::lines;
use crate::error::{CommandResult, Outcome};
use crate::ui::screen::{ColorOption, Screen};
use clap::Args;
use pulse_audit::show::Shown;
use serde_json::json;

/// Explain one reading: who requested it, what ran, what the node returned
///
/// Also the seal that covers it, and whether the chain from the record to that seal
/// is unbroken. Records that are no readings are explained too. The exit code is 1
/// when the record or the chain was changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit explain 1734
  pulse-sensorctl audit explain 8d3f1c9e-52f4-4f0e-9d3a-6a1f2f4f9a10
  pulse-sensorctl audit explain 1734 --json | jq .seal")]
pub(crate) struct Options {
    /// A record's number, or the correlation id of a request
    #[arg(value_name = "SEQ|ID")]
    subject: String,

    #[command(flatten)]
    place: LogOptions,

    /// Print the explanation's records as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    color: ColorOption,
}

/// Carries the command out.
///
/// # Errors
/// When there is no such record, the log cannot be read, or stdout not written.
pub(super) fn run(options: &Options) -> CommandResult {
    let mut screen = Screen::new(options.color);
    // All of it is read before anything is printed: an error leaves no half of an explanation.
    let evidence = Evidence::collect(&options.place.find()?, &options.subject)?;
    if options.json {
        let members = |record: &Shown| json!(record.members);
        let seq = |record: Option<&Shown>| record.map(|record| record.seq);
        let readings = evidence.readings();
        let reading = |one: &Reading<'_>| {
            json!({
                "start": one.start.map(members),
                "outcome": one.outcome.map(members),
                "seqs": [seq(one.start), seq(one.outcome)],
            })
        };
        screen.print_json(&json!({
            "record": members(&evidence.subject),
            "readings": readings.iter().map(reading).collect::<Vec<_>>(),
            "related": evidence.related.iter().map(members).collect::<Vec<_>>(),
            "refusals_near": evidence.near.iter().map(members).collect::<Vec<_>>(),
            "chain_holds": evidence.is_intact(),
            "findings": evidence.chain.findings,
            "seal": evidence.seal().map(|seal| json!({"seq": seal.seq, "epoch": seal.epoch})),
        }))?;
    } else {
        screen.print(&lines(&evidence, screen.columns()))?;
    }
    // A record that is not sealed yet is no finding: every record is so for a while.
    Ok(Outcome::fine_if(evidence.is_intact()))
}
