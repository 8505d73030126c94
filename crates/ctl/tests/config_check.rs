//! `config check` as an administrator sees it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Run, control};
use serde_json::Value;

fn check(text: &str, arguments: &[&str]) -> Run {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), text).unwrap();
    let mut command = control();
    command.args(["config", "check"]).args(arguments);
    let output = command
        .arg("config.toml")
        .current_dir(directory.path())
        .output();
    output.unwrap().into()
}

#[test]
fn a_mistake_is_pointed_at() {
    let run = check("[rate_limit]\nper_peer_burst = 0\n", &[]);
    let expected = "\
config.toml:2:18: expected a number from 1 to 1,000,000,000
  |
2 | per_peer_burst = 0
  |                  ^
";
    assert_eq!(run.output, expected);
    assert_eq!((run.code, run.errors.as_str()), (Some(78), ""));
}

#[test]
fn a_right_file_is_told_as_what_it_allows() {
    let run = check(
        "allowed_nodes = ['pve1']\nallowed_peers = [{uid = 1000}]\n",
        &[],
    );
    assert_eq!(run.code, Some(0));
    for part in ["no mistakes", "pve1", "user id 1000", "root"] {
        assert!(
            run.output.contains(part),
            "{part:?} is not in:\n{}",
            run.output
        );
    }
}

#[test]
fn json_has_the_place_of_a_mistake() {
    let run = check("\nallowed_node = []", &["--json"]);
    let report: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(report["valid"], false);
    assert_eq!((&report["line"], &report["column"]), (&2.into(), &1.into()));
    assert_eq!(run.code, Some(78));
}

#[test]
fn a_file_that_cannot_be_read_is_no_mistake_in_it() {
    let missing = common::run(&["config", "check", "/nonexistent/config.toml"]);
    assert_eq!(missing.code, Some(66));
    assert!(
        missing.errors.contains("/nonexistent/config.toml"),
        "{missing:?}"
    );
}
