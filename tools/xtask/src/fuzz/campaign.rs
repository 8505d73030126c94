//! A campaign: every target until each has had its hour, a slice at a time, one at a time.
//!
//! It can be ended at any moment and goes on from the ledger, so it fits between other work
//! on a machine; what a slice in hand did is lost then, and nothing else.

use super::execution::run_idle;
use super::ledger::{GOAL_EXECUTIONS, GOAL_SECONDS, Ledger, Stamp};
use super::target::Target;
use crate::process::{Failure, Outcome};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A slice, in seconds by the clock.
const SLICE_SECONDS: u64 = 300;

/// Goes on until the goal is reached, or `hours` are over; fails when a target broke.
pub(super) fn run(targets: &[Target], hours: Option<u64>) -> Outcome {
    let end = hours.map(|hours| Instant::now() + Duration::from_secs(hours * 3600));
    let mut work = Campaign {
        ledger: Ledger::load()?,
        broken: BTreeMap::new(),
    };
    let names: Vec<&str> = targets.iter().map(Target::name).collect();
    while let Some(next) = work.next(&names) {
        if end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        let target = targets.iter().find(|target| target.name() == next);
        let Some(target) = target else { break };
        match run_idle(target, SLICE_SECONDS) {
            Ok(run) => {
                // After each slice, so that the end of this program costs one slice at most.
                work.ledger.add(next, &run, &Stamp::now()?);
                work.ledger.store()?;
            }
            Err(failure) => {
                eprintln!("{failure}");
                work.broken.insert(next.to_owned(), failure);
            }
        }
    }
    let behind = names.iter().filter(|name| work.is_behind(name)).count();
    println!(
        "{} executions in all, {behind} targets are behind the goal",
        work.ledger.executions()
    );
    if work.broken.is_empty() {
        return Ok(());
    }
    let told = work.broken.values().map(Failure::to_string);
    Err(Failure::new(told.collect::<Vec<_>>().join("; ")))
}

struct Campaign {
    ledger: Ledger,
    /// The failures, by target: one that broke is left alone from then on.
    broken: BTreeMap<String, Failure>,
}

impl Campaign {
    /// The target that has had the least, until all have had enough.
    fn next<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        let whole = names
            .iter()
            .filter(|name| !self.broken.contains_key(**name));
        let next = whole.min_by_key(|name| self.ledger.of(name).cpu_seconds)?;
        // The least one has had its hour only if all have; then executions decide.
        (self.ledger.executions() < GOAL_EXECUTIONS || self.is_behind(next)).then_some(*next)
    }

    fn is_behind(&self, name: &str) -> bool {
        self.ledger.of(name).cpu_seconds < GOAL_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::execution::Statistics;

    fn campaign(entries: &[(&str, u64, u64)]) -> Campaign {
        let stamp = Stamp::of("2026-01-01", "0123456789");
        let mut ledger = Ledger::default();
        for (name, executions, cpu_seconds) in entries {
            let run = Statistics {
                executions: *executions,
                cpu_seconds: *cpu_seconds,
                ..Statistics::default()
            };
            ledger.add(name, &run, &stamp);
        }
        Campaign {
            ledger,
            broken: BTreeMap::new(),
        }
    }

    #[test]
    fn least_time_comes_next() {
        let mut campaign = campaign(&[("a", 1, 20), ("b", 1, 10)]);
        assert_eq!(campaign.next(&["a", "b", "new"]), Some("new"));
        assert_eq!(campaign.next(&["a", "b"]), Some("b"));
        campaign
            .broken
            .insert("b".to_owned(), Failure::new("b broke"));
        assert_eq!(campaign.next(&["a", "b"]), Some("a"));
        assert_eq!(campaign.next(&["b"]), None);
    }

    #[test]
    fn campaign_ends_at_goal() {
        let (hour, all) = (GOAL_SECONDS, GOAL_EXECUTIONS);
        let next = |entries: &[(&str, u64, u64)]| campaign(entries).next(&["a", "b"]).is_some();
        assert!(next(&[("a", all, hour), ("b", 1, hour - 1)]));
        assert!(next(&[("a", 1, hour), ("b", 1, hour)]));
        assert!(!next(&[("a", all - 1, hour), ("b", 1, hour)]));
    }
}
