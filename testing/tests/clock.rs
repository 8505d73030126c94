//! Steps of the clock while the daemon serves, in user-mode Linux.

use crate::apparmor;
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::uml::{self, Mode};
use serde_json::{Value, json};

#[test]
fn clock_steps_lose_nothing() {
    if skipped(&[
        Need::NoUnit("the daemon runs in user-mode Linux"),
        Need::Program(uml::PROGRAM),
        Need::Program("sshd"),
    ]) {
        return;
    }
    let answer = apparmor::run("clock", Mode::Enforce).answer;
    let log = answer["log"].as_str().unwrap();
    let answers = answer["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 35);
    for answer in answers {
        assert_eq!(answer["success"], true, "{answer:#}\n{log}");
        let node = &answer["data"]["nodes"][0];
        assert_eq!(node["node"], "pve1", "{answer:#}\n{log}");
        // Ages come from the monotonic clock.
        let age = node["age_ms"].as_u64();
        assert!(age.is_some_and(|age| age < 60_000), "{answer:#}\n{log}");
    }
    let verified = &answer["verified"];
    assert_eq!(verified["verdict"], "intact", "{verified:#}");
    assert_eq!(verified["findings"], json!([]), "{verified:#}");
    let notes = verified["notes"].as_array().unwrap();
    let went_back = |note: &&Value| note["detail"].to_string().contains("the clock went back");
    assert!(notes.iter().any(|note| went_back(&note)), "{verified:#}");
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}
