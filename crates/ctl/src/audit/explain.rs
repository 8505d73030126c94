//! `audit explain`: the whole story of one reading, or of any other record.

use super::arguments::ExplainOptions;
use super::evidence::Evidence;
use super::place::Place;
use super::print_json;
use super::story::lines;
use crate::failure::{Ending, Failure};
use crate::screen::Screen;
use pulse_audit::show::Shown;
use serde_json::{Value, json};

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when there is no such record, or the log cannot be read.
pub(crate) fn run(mut screen: Screen, options: &ExplainOptions) -> Result<Ending, Failure> {
    let place = Place::find(&options.place)?;
    let evidence = Evidence::collect(&place, &options.subject)?;
    if options.json {
        print_json(&mut screen, &as_json(&evidence))?;
    } else {
        screen.print(&lines(&evidence, screen.columns()))?;
    }
    Ok(if evidence.holds() {
        Ending::Done
    } else {
        Ending::ShownFailure
    })
}

fn as_json(evidence: &Evidence) -> Value {
    let members = |record: &Shown| json!(record.members);
    let seq = |record: Option<&Shown>| record.map(|record| record.seq);
    let readings = evidence.readings();
    let reading = |one: &super::evidence::Reading<'_>| {
        json!({
            "start": one.start.map(members),
            "outcome": one.outcome.map(members),
            "seqs": [seq(one.start), seq(one.outcome)],
        })
    };
    json!({
        "record": members(&evidence.subject),
        "readings": readings.iter().map(reading).collect::<Vec<_>>(),
        "related": evidence.related.iter().map(members).collect::<Vec<_>>(),
        "refusals_near": evidence.near.iter().map(members).collect::<Vec<_>>(),
        "chain_holds": evidence.holds(),
        "findings": evidence.chain.findings,
        "seal": evidence.seal().map(|seal| json!({"seq": seal.seq, "epoch": seal.epoch})),
    })
}
