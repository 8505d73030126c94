//! The limiter against a model that stores all events: the accepted requests, and the duration
//! of refusals.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use pulse_core::callers::limiter::{Bucket, Limiter, Limits, Refusal};
use pulse_core::callers::peer::PeerId;
use pulse_core::nodes::name::NodeName;
use std::collections::HashMap;
use std::time::{Duration, Instant};

#[derive(Debug, Arbitrary)]
struct Input {
    interval_ms: u16,
    burst: u8,
    penalty_ms: u16,
    penalty_max_ms: u16,
    max_peers: u8,
    steps: Vec<Step>,
}

/// A caller's action after a delay.
#[derive(Debug, Arbitrary)]
struct Step {
    after_ms: u16,
    caller: u8,
    what: What,
}

#[derive(Debug, Arbitrary)]
enum What {
    /// Takes a token from its own bucket, or from a node's.
    Spend(Option<u8>),
    /// Commits an offence, which has a penalty.
    Penalise,
    Check,
    Sweep,
}

/// Few callers, so that each recurs.
const CALLERS: u8 = 6;
const NODES: u8 = 3;

fuzz_target!(|input: Input| {
    let limits = Limits {
        interval: Duration::from_millis(u64::from(input.interval_ms) + 1),
        burst: u32::from(input.burst % 9) + 1,
        penalty: Duration::from_millis(u64::from(input.penalty_ms)),
        penalty_max: Duration::from_millis(u64::from(input.penalty_max_ms)),
        max_peers: 1024,
    };
    exactly_as_the_model(limits, &input.steps);
    let few = Limits {
        max_peers: usize::from(input.max_peers % CALLERS) + 1,
        ..limits
    };
    never_more_callers(few, &input.steps);
});

fn exactly_as_the_model(limits: Limits, steps: &[Step]) {
    let mut limiter = Limiter::new(limits);
    let mut model = Model::new(limits);
    let (start, mut now) = (Instant::now(), Duration::ZERO);
    for step in steps {
        now += Duration::from_millis(u64::from(step.after_ms));
        let (caller, at) = (caller(step), start + now);
        match &step.what {
            What::Spend(node) => {
                let node = node.map(|node| name(node % NODES));
                let bucket = node.as_ref().map_or(Bucket::Own, Bucket::Node);
                let passes = model.spend(step.caller % CALLERS, node.clone(), now);
                let expected = if passes { Ok(()) } else { Err(Refusal::Rate) };
                assert_eq!(limiter.spend(&caller, bucket, at), expected);
            }
            What::Penalise => {
                let length = model.penalise(step.caller % CALLERS, now);
                assert_eq!(limiter.penalise(&caller, at), length);
            }
            What::Check => {
                let is_refused = model.is_refused(step.caller % CALLERS, now);
                assert_eq!(limiter.check_penalty(&caller, at).is_err(), is_refused);
            }
            // Removing idle callers changes nothing that a caller could observe.
            What::Sweep => limiter.sweep(at),
        }
        assert!(limiter.active_peers() <= usize::from(CALLERS));
    }
}

fn never_more_callers(limits: Limits, steps: &[Step]) {
    let mut limiter = Limiter::new(limits);
    let (start, mut now) = (Instant::now(), Duration::ZERO);
    for step in steps {
        now += Duration::from_millis(u64::from(step.after_ms));
        match step.what {
            What::Penalise => drop(limiter.penalise(&caller(step), start + now)),
            _ => drop(limiter.spend(&caller(step), Bucket::Own, start + now)),
        }
        assert!(limiter.active_peers() <= limits.max_peers);
    }
}

fn caller(step: &Step) -> PeerId {
    PeerId::Uid(u32::from(step.caller % CALLERS))
}

fn name(node: u8) -> NodeName {
    NodeName::parse(&format!("pve{node}")).expect("a name")
}

/// All accepted requests and all penalties.
struct Model {
    limits: Limits,
    passed: HashMap<(u8, Option<NodeName>), Vec<Duration>>,
    penalties: HashMap<u8, (Duration, Duration)>,
}

impl Model {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            passed: HashMap::new(),
            penalties: HashMap::new(),
        }
    }

    /// A bucket has `burst` tokens and gains one each interval: so from any accepted request on,
    /// no more than the burst are accepted ahead of the rate.
    fn spend(&mut self, caller: u8, node: Option<NodeName>, now: Duration) -> bool {
        let Limits {
            interval, burst, ..
        } = self.limits;
        let passed = self.passed.entry((caller, node)).or_default();
        let since = passed.iter().rev().zip(2_u32..);
        let passes = since
            .map(|(then, count)| (now - *then, count.saturating_sub(burst)))
            .all(|(time, over)| time >= interval * over);
        if passes {
            passed.push(now);
        }
        passes
    }

    fn penalise(&mut self, caller: u8, now: Duration) -> Duration {
        let Limits {
            penalty,
            penalty_max,
            ..
        } = self.limits;
        let before = self.penalties.get(&caller);
        let recent = before.filter(|(_, until)| now < *until + penalty_max);
        let length = recent.map_or(penalty, |(length, _)| (*length * 2).min(penalty_max));
        self.penalties.insert(caller, (length, now + length));
        length
    }

    fn is_refused(&self, caller: u8, now: Duration) -> bool {
        let penalty = self.penalties.get(&caller);
        penalty.is_some_and(|(_, until)| now < *until)
    }
}
