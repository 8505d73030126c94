//! Clocks of nodes and of this host that differ, and certificates whose validity tells so.

use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::sshd::printing_options;
use pulse_e2e::{Config, RealNode, SshdOptions, control};
use std::process::Command;

/// A node whose host certificate has this validity (`-V` of ssh-keygen(1)).
fn certified(validity: &'static str) -> RealNode {
    let options = SshdOptions {
        certified_for: Some("pve1"),
        certified_from_to: Some(validity),
        ..SshdOptions::default()
    };
    let node = RealNode::start_untrusted(Config::new(), &options);
    let key = node.daemon.home().public_key();
    node.sshd.authorize(&printing_options(), &key);
    let authority = node.sshd.public_key("authority");
    let home = node.daemon.home();
    home.trust(&format!("@cert-authority * {authority}"));
    node
}

#[test]
fn certificate_names_the_clock() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    for (validity, words) in [
        ("20990101Z:20991231Z", "host certificate not yet valid"),
        ("20200101Z:20201231Z", "host certificate expired"),
    ] {
        let error = certified(validity).daemon.temperature("pve1").unwrap_err();
        let year = &validity[..4];
        let from = format!("from {year}-01-01T00:00:00Z");
        let to = format!("to {year}-12-31");
        for part in [words, "clock", "timedatectl", &from, &to] {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    }
}

#[test]
fn wrong_clock_is_shown() {
    let wrong = sim::with_clock("2020-01-01T00:00:00Z");
    let fleet = Fleet::start(Config::new(), [("pve1", wrong)]);
    let daemon = &fleet.daemon;
    for _ in 0..3 {
        assert!(sim::is_document(&daemon.temperature("pve1").unwrap()));
    }
    let sentence = "s behind this host's, 2020-01-01T00:00:00Z there and 20";
    assert_eq!(daemon.log().matches(sentence).count(), 1);
    let offset = "pulse_proxy_node_clock_offset_seconds{node=\"pve1\"}";
    assert!(daemon.metric(offset) < -100_000_000.0);
    let gauge = "pulse_proxy_node_clock_wrong{node=\"pve1\"}";
    assert!(daemon.metric(gauge) > 0.5);
    let status = control::run(daemon.home(), &["status"]);
    assert_eq!(status.code, 1, "{}", status.output);
    for part in ["node \"pve1\" has a clock", "timedatectl"] {
        assert!(status.output.contains(part), "{}", status.output);
    }
    let json = control::run(daemon.home(), &["status", "--json"]);
    assert!(json.output.contains(sentence), "{}", json.output);
    control::assert_follows("status", &json);

    let now = Command::new("date").args(["-u", "+%FT%TZ"]).output();
    let now = String::from_utf8(now.unwrap().stdout).unwrap();
    fleet
        .node("pve1")
        .set_behaviour(sim::with_clock(now.trim_end()));
    daemon.temperature("pve1").unwrap();
    assert!(daemon.metric(offset).abs() < 60.0);
    assert!(daemon.metric(gauge) < 0.5);
    let status = control::run(daemon.home(), &["status"]);
    assert_eq!(status.code, 0, "{}", status.output);
    assert!(daemon.log().contains("agrees with this host's again"));
}
