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
        // More than the callers: none is ever forgotten.
        max_peers: 1024,
    };
    exactly_as_the_model(limits, &input.steps);

    // With fewer places than callers the limiter forgets some: then its memory alone is checked.
    let few = Limits {
        max_peers: usize::from(input.max_peers % CALLERS) + 1,
        ..limits
    };
    let mut limiter = Limiter::new(few);
    let mut now = Instant::now();
    for step in &input.steps {
        now += Duration::from_millis(u64::from(step.after_ms));
        match step.what {
            What::Penalise => drop(limiter.penalise(&caller(step), now)),
            _ => drop(limiter.spend(&caller(step), Bucket::Own, now)),
        }
        assert!(limiter.active_peers() <= few.max_peers);
    }
});

fn exactly_as_the_model(limits: Limits, steps: &[Step]) {
    let mut limiter = Limiter::new(limits);
    let mut model = Model {
        limits,
        passed: HashMap::new(),
        penalties: HashMap::new(),
    };
    // The model counts from 0: an `Instant` has no absolute value.
    let (start, mut now) = (Instant::now(), Duration::ZERO);
    for step in steps {
        now += Duration::from_millis(u64::from(step.after_ms));
        let (number, caller, at) = (step.caller % CALLERS, caller(step), start + now);
        match &step.what {
            What::Spend(node) => {
                let node = node.map(|node| format!("pve{}", node % NODES));
                let node = node.map(|name| NodeName::parse(&name).expect("a name"));
                let bucket = node.as_ref().map_or(Bucket::Own, Bucket::Node);
                assert_eq!(
                    limiter
                        .spend(&caller, bucket, at)
                        .map_err(|refused| refused.limit),
                    model.spend(number, node.clone(), now)
                );
            }
            What::Penalise => {
                assert_eq!(limiter.penalise(&caller, at), model.penalise(number, now));
            }
            What::Check => {
                let penalty = model.penalties.get(&number);
                assert_eq!(
                    limiter.check_penalty(&caller, at).is_err(),
                    penalty.is_some_and(|(_, until)| now < *until)
                );
            }
            // Removing idle callers changes nothing that a caller could observe.
            What::Sweep => limiter.sweep(at),
        }
        assert!(limiter.active_peers() <= usize::from(CALLERS));
    }
}

fn caller(step: &Step) -> PeerId {
    PeerId::Uid(u32::from(step.caller % CALLERS))
}

/// All accepted requests and all penalties.
struct Model {
    limits: Limits,
    passed: HashMap<(u8, Option<NodeName>), Vec<Duration>>,
    penalties: HashMap<u8, (Duration, Duration)>,
}

impl Model {
    /// A bucket has `burst` tokens and gains one each interval: so from any accepted request on,
    /// no more than the burst are accepted ahead of the rate.
    fn spend(&mut self, caller: u8, node: Option<NodeName>, now: Duration) -> Result<(), Refusal> {
        let Limits {
            interval, burst, ..
        } = self.limits;
        let passed = self.passed.entry((caller, node)).or_default();
        // From 2: this request counts as well as the earlier one that the time is taken from.
        let passes = passed
            .iter()
            .rev()
            .zip(2_u32..)
            .map(|(then, count)| (now - *then, count.saturating_sub(burst)))
            .all(|(time, over)| time >= interval * over);
        if !passes {
            return Err(Refusal::Rate);
        }
        passed.push(now);
        Ok(())
    }

    fn penalise(&mut self, caller: u8, now: Duration) -> Duration {
        let max = self.limits.penalty_max;
        let last = self.penalties.get(&caller);
        // Counted from the end of the last penalty, so that waiting for it does not erase it.
        let length = last
            .filter(|(_, until)| now < *until + max)
            .map_or(self.limits.penalty, |(length, _)| (*length * 2).min(max));
        self.penalties.insert(caller, (length, now + length));
        length
    }
}
