//! The verifier in `docs/`, written from the format specification alone, agrees.
//!
//! One Python process judges all cases: each is a file with its key in the file's name. Skipped,
//! with a message, without the `cryptography` package.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::forger::{hash_of, value};
use common::keys::keys;
use common::python::{has_python, script};
use common::{Sample, check, check_pruned, join, lines, one, pinned, pinned_with_state, sample};
use pulse_audit::verify::{Options, Verdict};
use pulse_audit::{HeadLine, PublicKey};
use std::process::Command;

const RUNNER: &str = r#"
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("verifier", sys.argv[1])
verifier = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verifier)
key, place = sys.argv[2], sys.argv[3]
for name in sorted(os.listdir(place)):
    if name.endswith(".seals"):
        continue
    try:
        path = os.path.join(place, name)
        seals = [open(path + ".seals", "rb")] if os.path.exists(path + ".seals") else []
        with open(path, "rb") as file:
            verifier.verify([file], key, False, seals=seals)
        print(name, "intact")
    except (verifier.InvalidSignature, KeyError, TypeError, ValueError):
        print(name, "broken")
"#;

fn cases(sample: &Sample, other: &Sample) -> Vec<Vec<u8>> {
    let content = join(&sample.files);
    let all = lines(&content);
    let mut cases = vec![content.clone(), Vec::new(), join(&other.files)];
    for at in 0..all.len() {
        cases.push(all[..at].concat());
        cases.push([all[..at].concat(), all[at + 1..].concat()].concat());
        cases.push([all[..at].concat(), all[at].clone(), all[at..].concat()].concat());
        cases.push(
            [
                all[..at].concat(),
                b"rubbish\n".to_vec(),
                all[at..].concat(),
            ]
            .concat(),
        );
        let mut swapped = all.clone();
        swapped.swap(at, (at + 1) % all.len());
        cases.push(swapped.concat());
        let foreign = lines(&join(&other.files));
        cases.push(
            [
                all[..at].concat(),
                foreign[at.min(foreign.len())..].concat(),
            ]
            .concat(),
        );
    }
    for place in (0..content.len()).step_by(7) {
        let mut changed = content.clone();
        changed[place] ^= 1 << (place / 7 % 8);
        cases.push(changed);
        cases.push(content[..place].to_vec());
    }
    cases.extend(BODIES.iter().map(|body| with_forged_end(&all, body)));
    cases.push([&content[..], &[0; 4096], &content[..]].concat());
    cases.push(with_other_base64(&all));
    cases
}

/// Bodies under a right hash; the first ones are as the encoder writes them.
const BODIES: [&str; 26] = [
    r#"proxy.start","decision":"allowed""#,
    r#"proxy.start","error":"a\"b\\c\u000a\u009bé…","duration_ms":12.034"#,
    r#"proxy.start","suppressed":18446744073709551615,"exit_code":0"#,
    r#"proxy.start""#,
    r#"proxy start","a":1"#,
    r#"proxy.start","a":1,"a":1"#,
    r#"proxy.start","a":1,"seq":9"#,
    r#"proxy.start","a":1,"event_hash":"x""#,
    r#"proxy.start","a":1,"prev_hash":"x""#,
    r#"proxy.start","a":1,"signature":"x""#,
    r#"proxy.start", "a":1"#,
    r#"proxy.start","a": 1"#,
    r#"proxy.start","a":01"#,
    r#"proxy.start","a":-1"#,
    r#"proxy.start","a":1e5"#,
    r#"proxy.start","a":NaN"#,
    r#"proxy.start","a":null"#,
    r#"proxy.start","a":[1]"#,
    r#"proxy.start","a":18446744073709551616"#,
    r#"proxy.start","a":"\ud800""#,
    r#"log.resumed","log_id":"ID","epoch":EPOCH,"key":"KEY""#,
    r#"log.resumed","log_id":"ID","epoch":EPOCH.0,"key":"KEY""#,
    r#"proxy.start","a":18446744073709551615.9"#,
    r#"proxy.start","a":18446744073709551616.9"#,
    "proxy.start\",\"a\":\"\u{7f}\"",
    "proxy.start\",\"a\":\"\u{9b}\"",
];

/// The last seal with the same signature in another encoding.
fn with_other_base64(all: &[Vec<u8>]) -> Vec<u8> {
    let (last, before) = all.split_last().unwrap();
    let last = String::from_utf8(last.clone()).unwrap();
    let signature = value(&last, "signature");
    let (kept, end) = signature.split_at(85);
    let digits = ["A", "Q", "g", "w"];
    let digit = digits.iter().position(|digit| end.starts_with(digit));
    let other = ["B", "R", "h", "x"][digit.unwrap()];
    let line = last.replace(signature, &format!("{kept}{other}=="));
    let line = line.replace(value(&last, "event_hash"), &common::forger::hash(&line));
    [before.concat(), line.into_bytes()].concat()
}

/// The log with one more record, unsealed, whose chain is valid.
fn with_forged_end(all: &[Vec<u8>], body: &str) -> Vec<u8> {
    with_forged_end_of(all, body, &all[0])
}

/// As [`with_forged_end`]; `first` names the log.
fn with_forged_end_of(all: &[Vec<u8>], body: &str, first: &[u8]) -> Vec<u8> {
    let last = String::from_utf8(all[all.len() - 1].clone()).unwrap();
    let (seq, ts) = (
        value(&last, "seq").parse::<u64>().unwrap() + 1,
        value(&last, "ts"),
    );
    let first = std::str::from_utf8(first).unwrap();
    let epoch: u64 = value(&last, "epoch").parse().unwrap();
    let body = body
        .replace("ID", value(first, "log_id"))
        .replace("EPOCH", &(epoch + 1).to_string())
        .replace("KEY", value(&last, "next_key"));
    let hashed = format!(
        "{{\"seq\":{seq},\"ts\":\"{ts}\",\"event_type\":\"{body},\"prev_hash\":\"{}\"",
        value(&last, "event_hash")
    );
    let hash = hash_of(&hashed);
    let line = format!("{hashed},\"event_hash\":\"{hash}\"}}\n");
    [all.concat(), line.into_bytes()].concat()
}

/// A log that could not be cut, with torn bytes in it.
fn torn_in_place() -> Sample {
    let sample = sample(1, 1, 2, "torn");
    {
        let mut disk = sample.disk.disk.lock().unwrap();
        disk.append_only = true;
        let number = disk.files[&(0, "audit.log".to_owned())];
        let file = disk.inodes.get_mut(&number).unwrap();
        file.seen
            .extend_from_slice(b"{\"seq\":5,\"torn\n\xff\0and more");
    }
    let mut log =
        pulse_audit::Log::open(sample.disk.clone(), common::settings(), common::at(9)).unwrap();
    log.seal(common::at(10)).unwrap();
    let files = sample.disk.disk.lock().unwrap().log();
    Sample { files, ..sample }
}

/// A log that could not be cut, in which a crash tore only the first of three records of one
/// write.
fn torn_with_whole_records() -> Sample {
    let sample = sample(1, 1, 2, "torn");
    sample.disk.disk.lock().unwrap().append_only = true;
    let open = |second| {
        let at = common::at(second);
        pulse_audit::Log::open(sample.disk.clone(), common::settings(), at).unwrap()
    };
    let mut log = open(8);
    let before = log.head().seq;
    let bodies = ["a", "b", "c"].map(common::body);
    log.append(common::at(9), &bodies).unwrap();
    drop(log);
    {
        let mut disk = sample.disk.disk.lock().unwrap();
        let number = disk.files[&(0, "audit.log".to_owned())];
        let file = disk.inodes.get_mut(&number).unwrap();
        let mut all = lines(&file.seen);
        all[usize::try_from(before).unwrap()][..90].fill(0);
        file.seen = all.concat();
    }
    open(10).seal(common::at(11)).unwrap();
    let files = sample.disk.disk.lock().unwrap().log();
    Sample { files, ..sample }
}

/// The independent verifier's verdicts: for each case, a log with the seals of removed segments,
/// whether it is intact.
fn their_verdicts(cases: &[Case], key: PublicKey) -> Vec<bool> {
    let place = tempfile::tempdir().unwrap();
    for (number, case) in cases.iter().enumerate() {
        let path = place.path().join(format!("{number:06}"));
        std::fs::write(&path, &case.log).unwrap();
        if let Some(seals) = &case.seals {
            std::fs::write(path.with_extension("seals"), seals).unwrap();
        }
    }
    let output = Command::new("python3")
        .args(["-c", RUNNER])
        .arg(script())
        .arg(key.to_string())
        .arg(place.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text.lines().count(),
        cases.len(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.lines().map(|line| line.ends_with("intact")).collect()
}

#[derive(Clone)]
struct Case {
    log: Vec<u8>,
    seals: Option<Vec<u8>>,
}

/// Compares both verifiers; a few cases are intact, most are not.
fn assert_agreement(cases: &[Case], key: PublicKey) {
    let mut intact = 0;
    for (number, (theirs, case)) in their_verdicts(cases, key)
        .into_iter()
        .zip(cases)
        .enumerate()
    {
        let ours = check_pruned(&one(case.log.clone()), case.seals.clone(), &pinned(key));
        assert_eq!(
            ours.verdict == Verdict::Intact,
            theirs,
            "case {number}: {:?}\n{}\nseals:\n{}",
            ours.findings,
            String::from_utf8_lossy(&case.log),
            String::from_utf8_lossy(case.seals.as_deref().unwrap_or_default())
        );
        intact += usize::from(theirs);
    }
    assert!(intact > 1 && intact < cases.len() / 2, "{intact}");
}

#[test]
fn second_verifier_agrees() {
    if !has_python() {
        return;
    }
    let other = sample(1, 2, 2, "theirs");
    for sample in [
        sample(2, 2, 2, "ours"),
        torn_in_place(),
        torn_with_whole_records(),
    ] {
        let cases = cases(&sample, &other).into_iter();
        let cases: Vec<Case> = cases.map(|log| Case { log, seals: None }).collect();
        assert_agreement(&cases, sample.key);
    }
}

/// A log of which two segments were removed one after the other, and the second of these.
fn pruned() -> (Case, Vec<u8>, PublicKey) {
    let sample = sample(4, 2, 2, "pruned");
    let at = common::at;
    let storage = sample.disk.clone();
    let mut log = pulse_audit::Log::open(storage, common::settings(), at(90)).unwrap();
    log.seal(at(91)).unwrap();
    let size = |skipped: usize| join(&sample.disk.disk.lock().unwrap().log()[skipped..]).len();
    let second = sample.files[1].1.clone();
    for _ in 0..2 {
        let limits = common::at_most(size(1) as u64);
        common::prune(&mut log, 92, &limits, &[]).unwrap();
    }
    common::write(&mut log, 93, "last");
    log.seal(at(93)).unwrap();
    let disk = sample.disk.disk.lock().unwrap();
    let case = Case {
        log: join(&disk.log()),
        seals: disk.content(pulse_audit::Dir::Log, pulse_audit::SEALS),
    };
    assert!(!case.log.starts_with(b"{\"seq\":1,"));
    (case, second, sample.key)
}

/// Random changes of lines.
fn line_changes(content: &[u8], foreign: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let all = lines(content);
    let mut changed = Vec::new();
    for at in 0..all.len() {
        let (before, after) = (all[..at].concat(), all[at..].concat());
        let rest = all[at + 1..].concat();
        let other = foreign[at.min(foreign.len() - 1)].clone();
        changed.push(before.clone());
        changed.push([&before[..], &rest].concat());
        changed.push([&before[..], &all[at], &after].concat());
        changed.push([&before[..], b"rubbish\n", &after].concat());
        changed.push([&before[..], &other, &rest].concat());
        let mut swapped = all.clone();
        swapped.swap(at, (at + 1) % all.len());
        changed.push(swapped.concat());
        let mut edited = all.clone();
        let middle = edited[at].len() / 2;
        edited[at][middle] ^= 1;
        changed.push(edited.concat());
    }
    changed
}

#[test]
fn second_verifier_agrees_on_pruning() {
    if !has_python() {
        return;
    }
    let (case, second, key) = pruned();
    let (other, ..) = pruned();
    let seals = case.seals.clone().unwrap();
    let with = |log: &[u8], seals: Option<&[u8]>| Case {
        log: log.to_vec(),
        seals: seals.map(<[u8]>::to_vec),
    };
    // With the second segment still there, as after an interrupted removal.
    let interrupted = [&second[..], &case.log].concat();
    let mut cases = vec![
        case.clone(),
        with(&case.log, None),
        with(&case.log, Some(b"")),
        with(&case.log, other.seals.as_deref()),
        with(&other.log, Some(&seals)),
        with(&interrupted, Some(&seals)),
        with(&interrupted, Some(&[&seals[..], b"torn"].concat())),
    ];
    let foreign = lines(&other.log);
    let logs = line_changes(&case.log, &foreign).into_iter();
    cases.extend(logs.map(|log| with(&log, Some(&seals))));
    let foreign = lines(&other.seals.unwrap());
    for changed in line_changes(&seals, &foreign) {
        cases.push(with(&case.log, Some(&changed)));
        cases.push(with(&interrupted, Some(&changed)));
    }
    // Invalid records of removals, without a seal after them.
    let all = lines(&case.log);
    for body in [
        r#"log.pruned","first_seq":1,"last_seq":2,"last_hash":"x","epoch":1,"reason":"age""#,
        r#"log.pruned","first_seq":1,"last_seq":2,"last_hash":"x","epoch":1,"reason":"other""#,
        r#"log.pruned","first_seq":0,"last_seq":2,"last_hash":"x","epoch":1,"reason":"size""#,
        r#"log.pruned","first_seq":3,"last_seq":2,"last_hash":"x","epoch":1,"reason":"size""#,
        r#"log.pruned","first_seq":1,"last_seq":99999,"last_hash":"x","epoch":1,"reason":"age""#,
        r#"log.pruned","first_seq":60,"last_seq":61,"last_hash":"x","epoch":1,"reason":"age""#,
        r#"log.pruned","first_seq":1,"last_seq":2,"last_hash":7,"epoch":1,"reason":"age""#,
        r#"log.pruned","first_seq":1,"last_seq":2,"last_hash":"x","epoch":"1","reason":"age""#,
        r#"log.pruned","first_seq":"1","last_seq":2,"last_hash":"x","epoch":1,"reason":"age""#,
        r#"log.pruned","last_seq":2,"last_hash":"x","epoch":1,"reason":"age""#,
    ] {
        cases.push(with(&with_forged_end_of(&all, body, &all[0]), Some(&seals)));
    }
    assert_agreement(&cases, key);
}

#[test]
fn second_verifier_is_short() {
    let source = std::fs::read_to_string(script()).unwrap();
    assert!(source.lines().count() < 170);
    if !has_python() {
        return;
    }
    let sample = sample(1, 1, 2, "x");
    let place = tempfile::tempdir().unwrap();
    let (file, state) = (place.path().join("log"), place.path().join("state"));
    std::fs::create_dir(&state).unwrap();
    for (name, text) in keys(&sample.disk) {
        std::fs::write(state.join(name), text).unwrap();
    }
    let key = sample.key.to_string();
    let state = state.to_str().unwrap();
    let run = |content: &[u8], arguments: &[&str]| {
        std::fs::write(&file, content).unwrap();
        let mut command = Command::new("python3");
        command.arg(script()).arg(&file).args(arguments);
        command.output().unwrap().status.code().unwrap()
    };
    let content = join(&sample.files);
    let ours =
        |content: &[u8], options: &Options| match check(&one(content.to_vec()), options).verdict {
            Verdict::Intact => 0,
            Verdict::Broken => 1,
            Verdict::Unproven => 3,
        };
    let pinned = Options {
        key: Some(sample.key),
        ..Options::default()
    };
    let all = pinned_with_state(sample.key, &sample.disk);
    let state_only = Options {
        key: None,
        ..all.clone()
    };
    let head = |seq: usize| {
        let line = lines(&content)[seq - 1].clone();
        let hash = value(std::str::from_utf8(&line).unwrap(), "event_hash").to_owned();
        let ts = "2026-11-22T02:19:00.678123Z";
        format!("seq={seq} epoch=1 ts={ts} log_id=78fb event_hash={hash}")
    };
    let headed = Options {
        heads: vec![head(3).parse::<HeadLine>().unwrap().head],
        ..pinned.clone()
    };
    let head = head(3);
    for (content, arguments, options, code) in [
        (
            &content[..],
            &["--key", &key, "--state", state][..],
            &all,
            0,
        ),
        (&content, &["--key", &key, "--head", &head], &headed, 0),
        (&content, &["--key", &key], &pinned, 3),
        (&content, &["--state", state], &state_only, 3),
        (&content, &[], &Options::default(), 3),
        (&content[1..], &["--key", &key], &pinned, 1),
    ] {
        let (theirs, ours) = (run(content, arguments), ours(content, options));
        assert_eq!((theirs, ours), (code, code), "{arguments:?}");
    }
    assert_eq!(run(&content, &["--head", "seq=3"]), 64);
    // Only regular files are read, and their names are compared with their contents.
    let renamed = place.path().join("audit.log-000000000002");
    std::fs::write(&renamed, &content).unwrap();
    let alone = |path: &std::path::Path| {
        let mut command = Command::new("python3");
        command.arg(script()).arg(path).output().unwrap()
    };
    assert_eq!(alone(&renamed).status.code(), Some(1));
    let link = place.path().join("link");
    std::os::unix::fs::symlink(&renamed, &link).unwrap();
    let fifo = place.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [link, fifo] {
        let output = alone(&path);
        assert_eq!(output.status.code(), Some(66), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
}
