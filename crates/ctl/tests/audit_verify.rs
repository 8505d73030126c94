//! `audit verify` as a script and a person see it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::Run;
use common::log::{Home, edit, peer};
use pulse_audit::{Directory, Settings, Timestamp, Writer};
use pulse_core::event::{Access, Event};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.output).unwrap()
}

/// The program reads something from its standard input.
fn piped(mut command: std::process::Command, input: &[u8]) -> Run {
    command.stdin(Stdio::piped());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap().into()
}

fn verify_paths(arguments: &[&str]) -> Run {
    common::run(&[&["audit", "verify"], arguments].concat())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_unchanged_log_is_intact() {
    let home = Home::sample();
    let run = home.verify(&[]);
    assert_eq!((run.code, run.errors.as_str()), (Some(0), ""), "{run:?}");
    assert!(run.output.starts_with("intact: "), "{}", run.output);
    assert!(run.output.contains(&home.key.to_string()), "{}", run.output);
    let report = json(&home.verify(&["--json"]));
    assert_eq!(report["verdict"], "intact");
    assert_eq!(report["rollback_unchecked"], Value::Null);
    assert_eq!(report["sealed_through"], report["last_seq"]);
}

#[test]
fn without_its_key_unproven() {
    let home = Home::sample();
    let run = home.run(&["verify"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.output.starts_with("unproven: "), "{}", run.output);
    assert!(run.output.contains("--key KEY"), "{}", run.output);
}

#[test]
fn attacks_are_named_with_place() {
    let home = Home::sample();
    edit(&home.live(), 2, |line| line.replace("pve1", "pve3"));
    let run = home.verify(&[]);
    assert_eq!((run.code, run.errors.as_str()), (Some(1), ""), "{run:?}");
    assert!(
        run.output.starts_with("NOT intact: edited at record "),
        "{}",
        run.output
    );
    let place = format!("{}:3", home.live().display());
    assert!(run.output.contains(&place), "{}", run.output);
    assert!(
        run.output.contains("Do not repair the log"),
        "{}",
        run.output
    );
    assert_eq!(
        json(&home.verify(&["--json"]))["findings"][0]["attack"],
        "edited"
    );
}

#[test]
fn missing_segment_or_missing_end() {
    let home = Home::sample();
    let live = fs::read(home.live()).unwrap();
    let cut = live.len() - live.iter().rev().skip(1).position(|b| *b == b'\n').unwrap() - 1;
    fs::write(home.live(), &live[..cut]).unwrap();
    let report = json(&home.verify(&["--json"]));
    assert_eq!(report["findings"][0]["attack"], "truncated", "{report}");
    fs::write(home.live(), &live).unwrap();
    let middle = home.run(&["show", "--event", "log.rotated", "--json"]);
    let second = middle.output.lines().nth(1).unwrap();
    let shown: Value = serde_json::from_str(second).unwrap();
    fs::remove_file(
        home.log()
            .join(shown["record"]["segment"].as_str().unwrap()),
    )
    .unwrap();
    let report = json(&home.verify(&["--json"]));
    assert_eq!(report["findings"][0]["attack"], "deleted", "{report}");
}

#[test]
fn the_state_detects_a_rollback() {
    let home = Home::sample();
    let older = fs::read(home.live()).unwrap();
    let mut open = home.open();
    open.reading("pve1", "later");
    open.seal();
    drop(open);
    fs::write(home.live(), older).unwrap();
    let run = home.verify(&[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.output.contains("cut at seal"), "{}", run.output);
    let key = home.key.to_string();
    let unchecked = verify_paths(&["--key", &key, text(&home.log())]);
    assert_eq!(unchecked.code, Some(3), "{unchecked:?}");
    assert!(
        unchecked.output.contains("is not known: no --state-dir"),
        "{unchecked:?}"
    );
    let gone = home.path("gone");
    let unreadable = verify_paths(&["--key", &key, "--state-dir", text(&gone), text(&home.log())]);
    assert_eq!(unreadable.code, Some(3), "{unreadable:?}");
    assert!(unreadable.output.contains("No such file"), "{unreadable:?}");
}

#[test]
fn a_foreign_key_is_found() {
    let home = Home::sample();
    let other = Home::sample();
    let run = home.run(&["verify", "--key", &other.key.to_string()]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.output.contains("wrong key"), "{}", run.output);
    let run = home.run(&["verify", "--key", "rubbish"]);
    assert_eq!((run.code, run.output.as_str()), (Some(64), ""), "{run:?}");
    assert!(run.errors.contains("44 characters"), "{}", run.errors);
    let file = home.path("key");
    fs::write(&file, format!("{}\n", home.key)).unwrap();
    assert_eq!(
        home.run(&["verify", "--key-file", text(&file)]).code,
        Some(0)
    );
    fs::write(&file, "no key").unwrap();
    let run = home.run(&["verify", "--key-file", text(&file)]);
    assert_eq!(run.code, Some(66), "{run:?}");
    assert!(run.errors.contains("44 characters"), "{}", run.errors);
    assert_eq!(
        home.run(&["verify", "--key-file", "/nonexistent"]).code,
        Some(66)
    );
}

#[test]
fn rubbish_is_no_log() {
    let home = tempfile::tempdir().unwrap();
    let run = verify_paths(&["/nonexistent/audit.log"]);
    assert_eq!((run.code, run.output.as_str()), (Some(66), ""), "{run:?}");
    assert!(
        run.errors.contains("/nonexistent/audit.log: "),
        "{}",
        run.errors
    );
    let run = verify_paths(&[text(home.path())]);
    assert_eq!(run.code, Some(66), "{run:?}");
    assert!(run.errors.contains("no audit log here"), "{}", run.errors);
    let file = home.path().join("rubbish\u{1b}[2J");
    let rubbish: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for content in [&b"x\n"[..], b"", b"\0", &rubbish] {
        fs::write(&file, content).unwrap();
        let run = verify_paths(&[text(&file)]);
        assert_eq!((run.code, run.errors.as_str()), (Some(1), ""), "{run:?}");
        assert!(
            run.output.contains("Is this an audit log"),
            "{}",
            run.output
        );
        assert!(!run.output.contains('\u{1b}'), "{}", run.output);
        json(&verify_paths(&["--json", text(&file)]));
    }
}

#[test]
fn wrong_arguments_are_a_usage_error() {
    for arguments in [
        &["--nonsense"][..],
        &["--since", "yesterday"],
        &["-", "-"],
        &["-", "--against", "-"],
        &["--key", "AAAA"],
        &["--log", "/a", "/b"],
    ] {
        let run = verify_paths(arguments);
        assert_eq!(run.code, Some(64), "{arguments:?}: {run:?}");
        assert!(!run.errors.is_empty() && run.output.is_empty(), "{run:?}");
    }
    let other = common::run(&["audit", "show", "--nonsense"]);
    assert_eq!(other.code, Some(64), "{other:?}");
}

#[test]
fn stdin_and_files_are_verified() {
    let home = Home::sample();
    let key = home.key.to_string();
    let head = home.run(&["head"]).output;
    let from_stdin = |input: &[u8]| {
        let mut command = common::control();
        command.args(["audit", "verify", "--json", "--key", &key, "-"]);
        command.args(["--head", &head]);
        piped(command, input)
    };
    let whole = from_stdin(&home.joined());
    assert_eq!(
        (whole.code, &json(&whole)["verdict"]),
        (Some(0), &"intact".into())
    );
    let half = home.joined();
    let cut = from_stdin(&half[..half.len() - 7]);
    assert_eq!(json(&cut)["findings"][0]["attack"], "truncated");
    let first = home.log().join("audit.log-000000000001");
    let run = verify_paths(&["--key", &key, text(&first)]);
    assert_eq!(run.code, Some(3), "the rest is not here: {run:?}");
    let swapped = verify_paths(&["--key", &key, text(&home.live()), text(&first)]);
    assert_eq!(swapped.code, Some(1), "{swapped:?}");
}

#[test]
fn a_different_copy_is_found() {
    let home = Home::sample();
    let copy = home.path("copy");
    let mut lines = home.joined();
    fs::write(&copy, &lines).unwrap();
    let run = home.verify(&["--against", text(&copy)]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.output.contains("the copies agree"), "{}", run.output);
    // It lags behind and repeats, as collectors do.
    let end = lines.len() - 2000;
    let end = end + lines[end..].iter().position(|b| *b == b'\n').unwrap() + 1;
    let again = lines[..end].to_vec();
    fs::write(&copy, [&again[..], &again].concat()).unwrap();
    let run = home.verify(&["--against", text(&copy), "--json"]);
    assert_eq!(
        (run.code, &json(&run)["against"]["verdict"]),
        (Some(0), &"intact".into())
    );
    assert!(
        json(&run)["notes"].to_string().contains("behind"),
        "{run:?}"
    );
    // The collector has what the log has not any more.
    let mut open = home.open();
    open.reading("pve1", "later");
    lines = home.joined();
    drop(open);
    fs::write(&copy, &lines).unwrap();
    let other = Home::sample();
    let run = other.verify(&["--against", text(&copy), "--json"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(json(&run)["findings"][0]["attack"], "forked");
    let run = piped(
        home.command(&["verify", "--json", "--against", "-"]),
        &lines,
    );
    assert_eq!(run.code, Some(3), "{run:?}");
}

#[test]
fn a_longer_copy_shows_a_rollback() {
    let home = Home::sample();
    let older = fs::read(home.live()).unwrap();
    let mut open = home.open();
    open.reading("pve1", "later");
    let copy = home.path("copy");
    fs::write(&copy, home.joined()).unwrap();
    fs::write(home.live(), older).unwrap();
    let key = home.key.to_string();
    let log = home.log();
    let run = verify_paths(&[
        "--key",
        &key,
        text(&log),
        "--against",
        text(&copy),
        "--json",
    ]);
    assert_eq!(
        json(&run)["findings"][0]["attack"],
        "rolled_back",
        "{run:?}"
    );
}

#[test]
fn a_part_proves_less_and_says_so() {
    let home = Home::sample();
    for since in ["12", "2000-01-01"] {
        let run = home.verify(&["--since", since]);
        let expected = if since == "12" { 3 } else { 0 };
        assert_eq!(run.code, Some(expected), "{run:?}");
    }
    let run = home.verify(&["--since", "12"]);
    for part in [
        "earlier records were not verified",
        "Only a part",
        "from 11 to",
    ] {
        assert!(
            run.output.contains(part),
            "{part:?} is not in:\n{}",
            run.output
        );
    }
    edit(&home.live(), 2, |line| line.replace("pve1", "pve3"));
    assert_eq!(home.verify(&["--since", "12"]).code, Some(1));
}

#[test]
fn an_unsealed_end_is_unproven() {
    let long_ago = Timestamp::from_micros(1_700_000_000_000_000);
    let home = Home::begun_at(long_ago);
    let mut open = home.open_at(long_ago);
    open.reading("pve1", "a");
    let run = home.verify(&[]);
    assert_eq!(run.code, Some(3), "{run:?}");
    for part in [
        "record 1: the end of the log has been unsealed since",
        "seals within a minute",
    ] {
        assert!(run.output.contains(part), "{part}: {}", run.output);
    }
    drop(open);
    let run = home.verify(&[]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.output.contains("not sealed yet"), "{}", run.output);
}

#[test]
fn no_false_alarm_while_written() {
    let home = Home::begun();
    let storage = Directory::lock(&home.log(), &home.state()).unwrap();
    let settings = Settings {
        segment_bytes: 4 * 1024,
        ..Settings::default()
    };
    let writer = Writer::start(storage, settings).unwrap();
    let peer = peer();
    std::thread::scope(|scope| {
        let (writer, peer) = (&writer, &peer);
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            while let Err(std::sync::mpsc::TryRecvError::Empty) = stopped.try_recv() {
                let (done, waits) = std::sync::mpsc::channel();
                let event = Event::Access {
                    access: Access::Unauthorized,
                    peer,
                    suppressed: None,
                };
                let told = move |outcome| drop(done.send(outcome));
                writer.submit(&event, Box::new(told));
                waits.recv().unwrap().unwrap();
            }
        });
        let ended = home.log().join("audit.log-000000000001");
        // However slow the disk is: also when a segment has ended.
        let rounds = (0..).take_while(|round| *round < 10 || !ended.exists());
        let runs: Vec<Run> = rounds.map(|_| home.verify(&[])).collect();
        drop(stop);
        for run in runs {
            assert_eq!(run.code, Some(0), "{run:?}");
        }
    });
}

/// What a collector's default template makes of the log, for some of its lines.
fn collected(home: &Home, is_kept: impl Fn(usize) -> bool) -> Vec<u8> {
    let log = String::from_utf8(home.joined()).unwrap();
    let mut file = "Nov 21 10:00:00 host2 cron[1]: hello\n".to_owned();
    for (_, line) in log.lines().enumerate().filter(|(at, _)| is_kept(at + 1)) {
        file += &format!("Nov 21 10:00:03 host1 pulse-sensor-proxy[7]: {line}\n");
    }
    file.into_bytes()
}

#[test]
fn collected_files_name_their_gaps() {
    let home = Home::sample();
    let (file, key) = (home.path("pulse.log"), home.key.to_string());
    let verify = |arguments: &[&str]| {
        let named = ["--key", &key, "--collected", text(&file)];
        verify_paths(&[&named, arguments].concat())
    };
    fs::write(&file, collected(&home, |_| true).repeat(2)).unwrap();
    let run = verify(&["--against", text(&home.log())]);
    assert_eq!((run.code, run.errors.as_str()), (Some(0), ""), "{run:?}");
    assert!(run.output.contains("the copies agree"), "{}", run.output);
    assert!(!run.output.contains("--state-dir"), "{}", run.output);
    fs::write(
        &file,
        collected(&home, |seq| seq != 4 && !(7..9).contains(&seq)),
    )
    .unwrap();
    let run = verify(&[]);
    assert_eq!((run.code, run.errors.as_str()), (Some(1), ""), "{run:?}");
    for part in [
        "NOT intact: deleted at record 4",
        "record 4 is missing",
        "records 7 to 8 are missing",
        "from record 4 on",
        "forward replay --from 4 --wait",
    ] {
        assert!(run.output.contains(part), "{part:?}: {}", run.output);
    }
    let report = json(&verify(&["--json", "--host", "host1"]));
    assert_eq!(report["collected"]["missing"][1]["to"], 8, "{report}");
    assert_eq!(report["collected"]["replay_from"], 4, "{report}");
    assert_eq!(report["collected"]["others"], 1, "{report}");
    let report = json(&verify(&["--json", "--host", "host3"]));
    assert_eq!(report["records"], 0, "{report}");
}

#[test]
fn ends_of_collected_files() {
    let home = Home::sample();
    let (file, key) = (home.path("pulse.log"), home.key.to_string());
    let last = home.open().seq();
    fs::write(&file, collected(&home, |seq| seq < 8)).unwrap();
    let log = home.log();
    let against = |acknowledged: &str| {
        let known = [
            "--against",
            text(&log),
            "--acknowledged",
            acknowledged,
            "--json",
        ];
        let run =
            verify_paths(&[&["--key", &key, "--collected", text(&file)][..], &known].concat());
        (run.code, json(&run))
    };
    let (code, report) = against("7");
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["collected"]["not_here_yet"]["to"], last, "{report}");
    let (code, report) = against("9");
    assert_eq!(
        (code, &report["findings"][0]["attack"]),
        (Some(1), &"truncated".into())
    );
    assert_eq!(report["collected"]["replay_from"], 8, "{report}");
    let late = collected(&home, |seq| seq > 5);
    let mut command = common::control();
    command.args(["audit", "verify", "--key", &key, "--collected", "-"]);
    let run = piped(command, &late);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(
        run.output.contains("earlier records are not here"),
        "{run:?}"
    );
}

#[test]
fn collector_options_need_its_files() {
    for arguments in [
        &["--collected"][..],
        &["--host", "a", "/b"],
        &["--acknowledged", "7", "/b"],
        &["--collected", "--since", "7", "/b"],
        &["--collected", "-", "--against", "-"],
    ] {
        let run = verify_paths(arguments);
        assert_eq!(run.code, Some(64), "{arguments:?}: {run:?}");
    }
    assert_eq!(
        verify_paths(&["--collected", "/nonexistent"]).code,
        Some(66)
    );
}
