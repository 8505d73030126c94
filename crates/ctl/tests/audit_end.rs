//! The log's end: what was cut off it at a seal, and what proves that nothing was.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::Run;
use common::log::Home;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.output).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn key_file(home: &Home, epoch: u64) -> PathBuf {
    home.state().join(format!("seal-key-{epoch}"))
}

/// Gives a private key's file the name of another epoch, and says so in it too.
fn rename_key(home: &Home, from: u64, to: u64) {
    let text = fs::read_to_string(key_file(home, from)).unwrap();
    let renamed = text.replacen(&format!(" {from} "), &format!(" {to} "), 1);
    assert_ne!(text, renamed);
    fs::remove_file(key_file(home, from)).unwrap();
    fs::write(key_file(home, to), renamed).unwrap();
}

/// Cuts the log after the seal that ends this epoch; gives that seal's number.
fn cut_after_seal(home: &Home, epoch: u64) -> u64 {
    let sign = format!("\"event_type\":\"log.sealed\",\"epoch\":{epoch},");
    let mut kept = None;
    let mut names: Vec<PathBuf> = home.files();
    names.reverse();
    for path in names {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let Some(at) = lines.iter().position(|line| line.contains(&sign)) else {
            fs::remove_file(path).unwrap();
            continue;
        };
        let record: Value = serde_json::from_str(lines[at]).unwrap();
        fs::write(home.live(), lines[..=at].concat()).unwrap();
        if path != home.live() {
            fs::remove_file(path).unwrap();
        }
        kept = record["seq"].as_u64();
        break;
    }
    kept.unwrap()
}

#[test]
fn a_renamed_key_hides_no_cut() {
    let home = Home::sample();
    let epoch = home.epoch();
    let kept = cut_after_seal(&home, epoch - 2);
    rename_key(&home, epoch, epoch - 1);
    let run = home.verify(&[]);
    assert_eq!((run.code, run.errors.as_str()), (Some(1), ""), "{run:?}");
    let headline = format!("NOT intact: cut at seal at record {}\n", kept + 1);
    assert!(run.output.starts_with(&headline), "{}", run.output);
    let found = &json(&home.verify(&["--json"]))["findings"][0];
    assert_eq!(found["attack"], "cut_at_seal");
    assert_eq!(found["record"], kept + 1);
}

#[test]
fn an_empty_state_directory_proves_nothing() {
    let home = Home::sample();
    fs::remove_file(key_file(&home, home.epoch())).unwrap();
    let run = home.verify(&[]);
    assert_eq!((run.code, run.errors.as_str()), (Some(3), ""), "{run:?}");
    assert!(run.output.starts_with("unproven: "), "{}", run.output);
    let said = format!("{} holds no key", home.state().display());
    assert!(run.output.contains(&said), "{}", run.output);
}

#[test]
fn without_proof_of_its_end_unproven() {
    let home = Home::sample();
    let key = home.key.to_string();
    for log in [home.log(), home.live()] {
        let run = common::run(&["audit", "verify", "--key", &key, "--log", text(&log)]);
        assert_eq!(run.code, Some(3), "{run:?}");
        assert!(run.output.starts_with("unproven: "), "{}", run.output);
        for part in ["no --state-dir was given", "--head", "--against"] {
            assert!(run.output.contains(part), "{part:?}: {}", run.output);
        }
    }
}

#[test]
fn a_later_key_shows_a_cut() {
    let home = Home::sample();
    let kept = cut_after_seal(&home, home.epoch() - 3);
    let run = home.verify(&[]);
    let headline = format!("NOT intact: cut at seal at record {}\n", kept + 1);
    assert!(run.output.starts_with(&headline), "{}", run.output);
    for part in [
        "seals were made after this record, and are missing",
        "state/seal-key-",
        "get the rest from the collector",
    ] {
        assert!(run.output.contains(part), "{part:?}: {}", run.output);
    }
    assert!(!run.output.contains("is not known"), "{}", run.output);
}

#[test]
fn a_rubbish_key_proves_nothing() {
    let home = Home::sample();
    let key = key_file(&home, home.epoch());
    let text = fs::read(&key).unwrap();
    fs::write(&key, "garbage\n").unwrap();
    let unproven = |said: &str| {
        let run = home.verify(&[]);
        assert_eq!((run.code, run.errors.as_str()), (Some(3), ""), "{run:?}");
        assert!(run.output.starts_with("unproven: "), "{}", run.output);
        let said = format!("{}: {said}", key.display());
        assert!(run.output.contains(&said), "{said:?}: {}", run.output);
    };
    unproven("not a private key");
    fs::remove_file(&key).unwrap();
    nix::unistd::mkfifo(&key, nix::sys::stat::Mode::S_IRWXU).unwrap();
    unproven("a FIFO, not a regular file");
    // Beside the right one it does no harm.
    fs::write(home.state().join("seal-key-99"), text).unwrap();
    assert_eq!(home.verify(&[]).code, Some(0));
}

#[test]
fn an_unreadable_state_is_noted() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can be another user");
        return;
    }
    let home = Home::sample();
    fs::set_permissions(home.path(""), Permissions::from_mode(0o755)).unwrap();
    let key = home.key.to_string();
    let run: Run = home
        .command(&["verify", "--key", &key])
        .uid(65534)
        .output()
        .unwrap()
        .into();
    assert_eq!((run.code, run.errors.as_str()), (Some(3), ""), "{run:?}");
    let said = format!(
        "is not known: {}: Permission denied (os error 13): run as root",
        home.state().display()
    );
    assert!(run.output.contains(&said), "{}", run.output);
    // The key's file alone.
    fs::set_permissions(home.state(), Permissions::from_mode(0o755)).unwrap();
    let run: Run = home
        .command(&["verify", "--key", &key, "--json"])
        .uid(65534)
        .output()
        .unwrap()
        .into();
    assert_eq!(run.code, Some(3), "{run:?}");
    let said = json(&run)["rollback_unchecked"].to_string();
    assert!(
        said.contains("seal-key-") && said.contains("denied"),
        "{said}"
    );
}

#[test]
fn a_restored_key_is_found() {
    let home = Home::sample();
    let old = key_file(&home, home.epoch());
    let text = fs::read(&old).unwrap();
    let before = {
        let mut open = home.open();
        for id in ["a", "b"] {
            open.reading("pve1", id);
            open.seal();
        }
        open.seq()
    };
    fs::write(&old, text).unwrap();
    let run = home.verify(&[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.output
            .starts_with("NOT intact: key restored at record "),
        "{}",
        run.output
    );
    assert!(run.output.contains(old.to_str().unwrap()), "{}", run.output);
    let record = json(&home.verify(&["--json"]))["findings"][0]["record"].as_u64();
    assert!(record.unwrap() < before);
}

#[test]
fn a_foreign_state_is_found() {
    let (home, other) = (Home::sample(), Home::sample());
    let key = home.key.to_string();
    let log = home.log();
    let state = other.state();
    let words = [
        "audit",
        "verify",
        "--key",
        &key,
        "--state-dir",
        text(&state),
        text(&log),
    ];
    let run = common::run(&words);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.output.starts_with("NOT intact: wrong state at record "),
        "{}",
        run.output
    );
    assert!(
        run.output.contains("is it the right state directory?"),
        "{}",
        run.output
    );
}

#[test]
fn the_headline_names_the_proof() {
    let home = Home::sample();
    let run = home.verify(&[]);
    let last = home.open().seq();
    assert!(run.output.starts_with("intact: "), "{}", run.output);
    let complete = format!("complete through record {}, by the private key\n", last - 1);
    assert!(run.output.contains(&complete), "{}", run.output);
    let report = json(&home.verify(&["--json"]));
    assert_eq!(report["proofs"][0]["by"], "state_key");
    assert!(
        report["proved_through"].as_u64().unwrap() < last,
        "{report}"
    );
    assert_eq!(report["snapshots"], Value::Null);
    // Opening it wrote a record that no seal covers yet.
    let run = home.verify(&[]);
    let said = format!("record {last}: records from here on are not sealed yet: nothing but");
    assert!(run.output.contains(&said), "{}", run.output);
}

fn head(home: &Home) -> String {
    let run = home.run(&["head"]);
    assert_eq!((run.code, run.errors.as_str()), (Some(0), ""), "{run:?}");
    run.output
}

#[test]
fn a_head_is_one_line() {
    let home = Home::sample();
    let line = head(&home);
    assert_eq!(line.matches('\n').count(), 1);
    let last = home.run(&["tail", "-n", "1", "--json"]).output;
    let last = &serde_json::from_str::<Value>(&last).unwrap()["record"];
    let expected = format!(
        "seq={} epoch={} ts={} log_id=",
        last["seq"],
        home.epoch(),
        last["ts"].as_str().unwrap()
    );
    assert!(line.starts_with(&expected), "{line}");
    assert!(line.ends_with(&format!(
        "event_hash={}\n",
        last["event_hash"].as_str().unwrap()
    )));
    let value = json(&home.run(&["head", "--json"]));
    assert_eq!(value["line"], line.trim_end());
    assert_eq!(value["event_hash"], last["event_hash"]);
    assert_eq!((&value["seq"], &value["ts"]), (&last["seq"], &last["ts"]));
    let value = json(&home.verify(&["--json"]));
    assert!(line.contains(&format!("log_id={} ", value["log_id"].as_str().unwrap())));
}

#[test]
fn heads_prove_a_log() {
    let home = Home::sample();
    let first = head(&home);
    let mut open = home.open();
    open.reading("pve1", "later");
    open.seal();
    drop(open);
    let (key, log) = (home.key.to_string(), home.log());
    let verify = |more: &[&str]| {
        let words = [&["audit", "verify", "--key", &key, text(&log)], more].concat();
        common::run(&words)
    };
    let seq = first.split(['=', ' ']).nth(1).unwrap();
    let run = verify(&["--head", &first]);
    assert_eq!((run.code, run.errors.as_str()), (Some(0), ""), "{run:?}");
    for part in [
        format!("intact through record {seq}: every record up to it is there"),
        format!("whether what came after record {seq} was cut off is not known: no --state-dir"),
        format!("complete through record {seq}, by a head\n"),
    ] {
        assert!(run.output.contains(&part), "{part:?}: {}", run.output);
    }
    // With the private key too, all of it is proven.
    let run = home.verify(&["--head", &first]);
    assert!(run.output.starts_with("intact: "), "{}", run.output);
    assert!(run.output.contains("; record "), "{}", run.output);
    // A file of them, with comments, and one on the command line.
    let file = home.path("heads");
    fs::write(&file, format!("# pve1\n\n{first}{}", head(&home))).unwrap();
    let run = verify(&["--head-file", text(&file), "--head", &first, "--json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(json(&run)["proved_through"], json(&run)["last_seq"]);
}

#[test]
fn a_head_detects_a_rollback() {
    let home = Home::sample();
    let (old_key, epoch) = (key_file(&home, home.epoch()), home.epoch());
    let (old_log, old_text) = (fs::read(home.live()).unwrap(), fs::read(&old_key).unwrap());
    let kept = home.open().seq() - 1;
    let mut open = home.open();
    open.reading("pve1", "undone");
    open.seal();
    drop(open);
    let noted = head(&home);
    fs::remove_file(key_file(&home, home.epoch())).unwrap();
    fs::write(&old_key, old_text).unwrap();
    fs::write(home.live(), old_log).unwrap();
    assert_eq!(home.epoch(), epoch);
    // Nothing on the host shows it.
    assert_eq!(home.verify(&[]).code, Some(0));
    let run = home.verify(&["--head", &noted]);
    assert_eq!((run.code, run.errors.as_str()), (Some(1), ""), "{run:?}");
    let headline = format!("NOT intact: rolled back at record {}\n", kept + 1);
    assert!(run.output.starts_with(&headline), "{}", run.output);
    let seq = noted.split(['=', ' ']).nth(1).unwrap();
    let missing = format!("records {} to {seq} are missing", kept + 1);
    assert!(run.output.contains(&missing), "{}", run.output);
}

#[test]
fn a_foreign_head_is_found() {
    let (home, other) = (Home::sample(), Home::sample());
    let run = home.verify(&["--head", &head(&other)]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.output.starts_with("NOT intact: forked at record "),
        "{}",
        run.output
    );
    assert!(run.output.contains("and this is another"), "{}", run.output);
}

#[test]
fn rubbish_is_no_head() {
    let home = Home::sample();
    let run = home.verify(&["--head", "seq=1"]);
    assert_eq!((run.code, run.output.as_str()), (Some(64), ""), "{run:?}");
    assert!(
        run.errors.contains("as `audit head` printed it"),
        "{}",
        run.errors
    );
    let file = home.path("heads");
    for (content, said) in [
        (format!("{}x\n", head(&home)), "line 2: not a head"),
        ("# nothing\n".to_owned(), "there is no head in it"),
        ("\n".repeat(1 << 20), "too long"),
    ] {
        fs::write(&file, content).unwrap();
        let run = home.verify(&["--head-file", text(&file)]);
        assert_eq!((run.code, run.output.as_str()), (Some(66), ""), "{run:?}");
        for part in [text(&file), said] {
            assert!(run.errors.contains(part), "{part:?}: {}", run.errors);
        }
    }
    assert_eq!(home.verify(&["--head-file", "/nonexistent"]).code, Some(66));
}

#[test]
fn a_damaged_log_has_no_head() {
    let home = Home::sample();
    common::log::edit(&home.live(), 2, |_| "rubbish".to_owned());
    let run = home.run(&["head"]);
    assert_eq!((run.code, run.output.as_str()), (Some(66), ""), "{run:?}");
    for part in [text(&home.live()), "not a record", "audit verify"] {
        assert!(run.errors.contains(part), "{part:?}: {}", run.errors);
    }
    let empty = tempfile::tempdir().unwrap();
    let run = common::run(&["audit", "head", "--log", text(empty.path())]);
    assert_eq!(run.code, Some(66), "{run:?}");
    fs::write(empty.path().join("audit.log"), "").unwrap();
    let run = common::run(&["audit", "head", "--log", text(empty.path())]);
    assert!(run.errors.contains("there is no record in it"), "{run:?}");
}
