//! The story of one reading, as the tool tells it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::log::{Home, edit, peer};
use pulse_core::event::{Access, Event, FailureReason, HostKeyReason, ReadingFailure, RequestId};
use pulse_core::nodes::name::NodeName;
use pulse_core::rpc::Violation;
use serde_json::Value;
use std::time::Duration;

fn explained(home: &Home, subject: &str) -> String {
    let run = home.run(&["explain", subject]);
    assert_eq!((run.code, run.errors.as_str()), (Some(0), ""), "{run:?}");
    run.output
}

fn seq_of(home: &Home, arguments: &[&str]) -> String {
    let show = home.run(&[&["show", "--json"], arguments].concat());
    let first = show.output.lines().next().unwrap().to_owned();
    serde_json::from_str::<Value>(&first).unwrap()["record"]["seq"].to_string()
}

#[test]
fn a_reading_is_explained() {
    let home = Home::sample();
    let start = seq_of(&home, &["--id", "first-1"]);
    let finish = seq_of(&home, &["--id", "first-1", "--event", "command.finish"]);
    for subject in [start.as_str(), &finish, "first-1"] {
        let story = explained(&home, subject);
        for part in [
            "user 1000, group 1001, process 4242; counts as uid:1000",
            "first-1",
            "pve1",
            "completed after 12.034 ms",
            "192.0.2.7:22",
            "SHA256:uvOxn+FzSVQUbEoYjF7iTFQCCNXFmBNgsTLvm5H0f2A",
            "sensors -j",
            "3071 bytes",
            &"ab".repeat(32),
            &format!("record {start}, 2"),
            &format!("record {finish}, 2"),
            "Sealed by record",
        ] {
            assert!(
                story.contains(part),
                "{subject}: {part:?} is not in:\n{story}"
            );
        }
        assert!(!story.contains("pve2"), "{story}");
    }
}

#[test]
fn json_has_the_records_and_the_seal() {
    let home = Home::sample();
    let start = seq_of(&home, &["--id", "second-0"]);
    let run = home.run(&["explain", &start, "--json"]);
    let told: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(told["record"]["seq"].to_string(), start);
    assert_eq!(told["readings"][0]["outcome"]["stdout_bytes"], 3071);
    assert_eq!(told["chain_holds"], true);
    let seal = seq_of(&home, &["--event", "log.sealed", "--from-seq", &start]);
    assert_eq!(told["seal"]["seq"].to_string(), seal);
    assert_eq!(told["seal"]["epoch"], 1);
}

#[test]
fn requests_for_several_nodes() {
    let home = Home::begun();
    let mut open = home.open();
    open.reading("pve1", "both");
    open.start("pve2", "both");
    let whole = explained(&home, "both");
    assert!(whole.contains("pve1") && whole.contains("pve2"), "{whole}");
    assert!(whole.contains("no outcome is on record"), "{whole}");
    let last = open.seq().to_string();
    let one = explained(&home, &last);
    assert!(one.contains("pve2") && !one.contains("pve1"), "{one}");
    assert!(one.contains("Not sealed yet"), "{one}");
}

#[test]
fn earlier_refusals_are_shown() {
    let home = Home::begun();
    let mut open = home.open();
    open.refusal();
    open.reading("pve1", "a");
    open.seal();
    let story = explained(&home, "a");
    assert!(story.contains("was refused within a minute"), "{story}");
    assert!(story.contains("limiter.rejection"), "{story}");
}

#[test]
fn every_record_has_an_explanation() {
    let home = Home::sample();
    let mut open = home.open();
    open.refusal();
    let (node, peer) = (NodeName::parse("pve1").unwrap(), peer());
    let request = RequestId {
        correlation_id: "a",
        peer: &peer,
    };
    let egress_denied = ReadingFailure {
        reason: FailureReason::AddressNotPermitted,
        error: "has no permitted address",
    };
    for event in [
        Event::ConfigReloaded { error: None },
        Event::Access {
            access: Access::Unauthorized,
            peer: &peer,
            suppressed: None,
        },
        Event::HostKeyWithdrawn {
            node: &node,
            reason: HostKeyReason::Revoked,
            error: "closed",
        },
        Event::CommandFinish {
            request,
            node: &node,
            duration: Duration::ZERO,
            outcome: Err(egress_denied),
        },
        Event::LateRefusal {
            node: &node,
            failure: egress_denied,
        },
        Event::Violation {
            request,
            violation: &Violation::InvalidRequest,
        },
        Event::ForwardingLossAccepted {
            request,
            lost: "failover: 6 to 10",
        },
        Event::ProxyStop,
    ] {
        open.write(&event);
    }
    for seq in 1..=open.seq() {
        let story = explained(&home, &seq.to_string());
        assert!(story.starts_with(&format!("Record {seq}: ")), "{story}");
        assert!(!story.contains("does not know"), "{story}");
    }
    let sealed = seq_of(&home, &["--event", "log.sealed"]);
    assert!(explained(&home, &sealed).contains("is the seal of epoch 0"));
}

#[test]
fn a_changed_record_is_found() {
    let home = Home::sample();
    let start = seq_of(&home, &["--id", "first-2"]);
    edit(&home.live(), 1, |line| line.replace("pve1", "pve3"));
    let run = home.run(&["explain", &start]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.output.contains("This record was changed"),
        "{}",
        run.output
    );
    // The one before it is as it was, but the chain from it to its seal is not.
    let before = (start.parse::<u64>().unwrap() - 1).to_string();
    let run = home.run(&["explain", &before, "--json"]);
    let told: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!((run.code, &told["seal"]), (Some(1), &Value::Null));
}

#[test]
fn a_missing_record_is_named() {
    let home = Home::sample();
    for subject in ["0", "9999", "no-such-id"] {
        let run = home.run(&["explain", subject]);
        assert_eq!((run.code, run.output.as_str()), (Some(1), ""), "{run:?}");
        assert!(run.errors.contains("no record of the log"), "{run:?}");
    }
}
