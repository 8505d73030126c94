//! The verifier in `docs/` judges a log's end as ours does: by private keys and heads.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::forger::value;
use common::keys::{Files, keys, renamed, state, with_all_keys};
use common::python::{has_python, script};
use common::{at, check, one, settings};
use pulse_audit::verify::{Options, Report, StateKeys, Verdict};
use pulse_audit::{Directory, Head, Log, Timestamp};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Each case is a directory: the log, the private keys, and heads as `number hash`.
const RUNNER: &str = r#"
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("verifier", sys.argv[1])
verifier = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verifier)
key, place = sys.argv[2], sys.argv[3]
for name in sorted(os.listdir(place)):
    case = os.path.join(place, name)
    with open(os.path.join(case, "heads")) as file:
        heads = [(int(line.split()[0]), line.split()[1]) for line in file]
    try:
        with open(os.path.join(case, "log"), "rb") as file:
            look = lambda: verifier.private_keys(os.path.join(case, "state"))
            found = verifier.verify([file], key, False, look, heads)
        print(name, "intact" if found[2] else "unproven")
    except (verifier.InvalidSignature, KeyError, TypeError, ValueError):
        print(name, "broken")
"#;

struct Case {
    log: Vec<u8>,
    keys: Files,
    heads: Vec<Head>,
}

impl Case {
    fn write(&self, directory: &Path) {
        let state = directory.join("state");
        fs::create_dir_all(&state).unwrap();
        fs::write(directory.join("log"), &self.log).unwrap();
        for (name, text) in &self.keys {
            fs::write(state.join(name), text).unwrap();
        }
        let heads = self.heads.iter().fold(String::new(), |mut text, head| {
            writeln!(text, "{} {}", head.seq, head.hash()).unwrap();
            text
        });
        fs::write(directory.join("heads"), heads).unwrap();
    }

    fn judge(&self, key: pulse_audit::PublicKey) -> Report {
        let options = Options {
            key: Some(key),
            heads: self.heads.clone(),
            state: Some(state(&self.keys)),
            ..Options::default()
        };
        check(&one(self.log.clone()), &options)
    }
}

fn head(line: &[u8]) -> Head {
    let text = std::str::from_utf8(line).unwrap();
    let seq = value(text, "seq").parse().unwrap();
    Head::from_parts(seq, value(text, "event_hash")).unwrap()
}

/// One or two keys of this log, under their own and other names; a key of another log; none.
fn sets_of_keys(kept: &Files, foreign: &Files) -> Vec<Files> {
    let garbage = ("seal-key-6".to_owned(), b"garbage\n".to_vec());
    let mut sets = vec![Vec::new(), vec![garbage.clone()], foreign.clone()];
    for (epoch, key) in kept.iter().enumerate() {
        sets.extend((0..8).map(|name| vec![renamed(key, name)]));
        sets.extend(
            kept[epoch + 1..]
                .iter()
                .map(|other| vec![key.clone(), other.clone()]),
        );
        sets.push(vec![key.clone(), foreign[0].clone()]);
        // A file's name counts for nothing, so two files can have keys of one epoch.
        let (_, text) = renamed(&kept[6], epoch as u64 + 1);
        sets.push(vec![
            key.clone(),
            (format!("seal-key-{}", epoch + 90), text),
        ]);
        if epoch != 6 {
            sets.push(vec![key.clone(), garbage.clone()]);
        }
    }
    sets
}

#[test]
fn second_verifier_agrees_on_ends() {
    if !has_python() {
        return;
    }
    let (sample, all, kept) = with_all_keys();
    let foreign: Files = keys(&with_all_keys().0.disk)
        .into_iter()
        .map(|(_, text)| ("seal-key-77".to_owned(), text))
        .collect();
    let known: Vec<Head> = all.iter().map(|line| head(line)).collect();
    let wrong = Head::from_parts(5, &"a".repeat(64)).unwrap();
    let sets_of_heads = [
        vec![],
        vec![known[4]],
        vec![wrong],
        vec![known[12], known[1]],
    ];
    let sets_of_keys = sets_of_keys(&kept, &foreign);
    let mut cases = Vec::new();
    for count in 1..=all.len() {
        for keys in &sets_of_keys {
            cases.push((count, keys.clone(), Vec::new()));
        }
        for heads in &sets_of_heads {
            for keys in [&kept[6..], &[]] {
                cases.push((count, keys.to_vec(), heads.clone()));
            }
        }
    }
    let place = tempfile::tempdir().unwrap();
    let cases: Vec<Case> = cases
        .into_iter()
        .map(|(count, keys, heads)| Case {
            log: all[..count].concat(),
            keys,
            heads,
        })
        .collect();
    for (number, case) in cases.iter().enumerate() {
        case.write(&place.path().join(format!("{number:06}")));
    }
    let output = Command::new("python3")
        .args(["-c", RUNNER])
        .arg(script())
        .arg(sample.key.to_string())
        .arg(place.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.lines().count(), cases.len(), "{errors}");
    let mut seen = [0; 3];
    for (line, case) in text.lines().zip(&cases) {
        let ours = case.judge(sample.key);
        let theirs = line.split(' ').nth(1).unwrap();
        let (at, name) = match ours.verdict {
            Verdict::Intact => (0, "intact"),
            Verdict::Unproven => (1, "unproven"),
            Verdict::Broken => (2, "broken"),
        };
        let names: Vec<&String> = case.keys.iter().map(|(name, _)| name).collect();
        let what = format!(
            "{line}: {names:?} at {}: {:?}",
            ours.last_seq, ours.findings
        );
        assert_eq!(name, theirs, "{what}");
        seen[at] += 1;
    }
    assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
}

#[test]
fn an_unsealed_end_alone_is_unproven() {
    if !has_python() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (directory, keys) = (place.path().join("log"), place.path().join("state"));
    fs::create_dir(&directory).unwrap();
    let storage = Directory::lock(&directory, &keys).unwrap();
    // Written long ago, and never sealed.
    let mut log = Log::open(storage, settings(), at(0)).unwrap();
    let key = log.public_key();
    common::write(&mut log, 1, "x");
    let file = directory.join("audit.log");
    for (is_live, expected) in [(true, Verdict::Unproven), (false, Verdict::Intact)] {
        let options = Options {
            key: Some(key),
            state: Some(StateKeys::read(&keys).unwrap()),
            live: is_live,
            now: is_live.then(Timestamp::now),
            ..Options::default()
        };
        let report = check(&one(fs::read(&file).unwrap()), &options);
        assert_eq!(report.verdict, expected, "{:?}", report.findings);
        let mut python = Command::new("python3");
        python.arg(script()).args(["--key", &key.to_string()]);
        python.arg("--state").arg(&keys).arg(&file);
        if is_live {
            python.arg("--live");
        }
        let output = python.output().unwrap();
        let code = if is_live { 3 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
}
