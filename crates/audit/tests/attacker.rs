//! An attacker with root and today's key, against yesterday's log: the attacker can read and
//! write every file, recompute hashes, and seal again with the stolen key, but cannot sign with
//! yesterday's keys.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::forger::{
    falsify, key_named, public, rechain, rechain_and_reseal, rename_keys, reseal, stolen_key,
};
use common::{at, attack, is_seal, lines, settings};
use ed25519_dalek::SigningKey;
use pulse_audit::verify::{
    Attack, Options, Report, Start, StateKeys, Verdict, open_directory, verify,
};
use pulse_audit::{Directory, Log, PublicKey};
use std::path::PathBuf;

const DAY: u64 = 86_400;

/// A log of two days on a real disk, at rest.
struct Victim {
    place: tempfile::TempDir,
    /// The verification key that the operator kept.
    key: PublicKey,
    /// The log's lines, as they were written.
    honest: Vec<Vec<u8>>,
    /// The first line of today.
    today: usize,
}

impl Victim {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("log")).unwrap();
        let directory = Directory::lock(&place.path().join("log"), &place.path().join("state"));
        let mut log = Log::open(directory.unwrap(), settings(), at(0)).unwrap();
        let key = log.public_key();
        let mut today = 0;
        for minute in 0..8 {
            let second = minute * 60 + minute / 4 * DAY;
            if minute == 4 {
                log.seal(at(second)).unwrap();
                today = usize::try_from(log.head().seq).unwrap();
            }
            common::write(&mut log, second, &format!("asked-{minute}"));
            log.seal(at(second + 1)).unwrap();
        }
        drop(log);
        let live = std::fs::read(place.path().join("log/audit.log")).unwrap();
        let honest = lines(&live);
        Self {
            place,
            key,
            honest,
            today,
        }
    }

    fn state(&self) -> PathBuf {
        self.place.path().join("state")
    }

    /// Replaces the log's lines.
    fn overwrite(&self, lines: &[Vec<u8>]) {
        std::fs::write(self.place.path().join("log/audit.log"), lines.concat()).unwrap();
    }

    fn judged(&self, options: &Options) -> Report {
        let sources = open_directory(&self.place.path().join("log")).unwrap();
        verify(sources, options, &mut |_| ()).unwrap()
    }

    fn judged_with_its_key(&self) -> Report {
        self.judged(&Options {
            key: Some(self.key),
            state: Some(StateKeys::read(&self.state()).unwrap()),
            ..Options::default()
        })
    }

    /// The record of yesterday that the attacker wants to remove.
    fn shameful(&self) -> usize {
        let found = self
            .honest
            .iter()
            .position(|line| String::from_utf8_lossy(line).contains("asked-2"));
        found.filter(|at| *at < self.today).unwrap()
    }
}

#[test]
fn todays_key_cannot_reseal_yesterday() {
    let victim = Victim::new();
    assert_eq!(victim.judged_with_its_key().verdict, Verdict::Intact);
    let key = stolen_key(&victim.state());
    let at = victim.shameful();
    let mut edited = victim.honest.clone();
    falsify(&mut edited[at]);
    let mut deleted = victim.honest.clone();
    deleted.remove(at);
    for forged in [edited, deleted] {
        victim.overwrite(&rechain_and_reseal(&forged, at, &key));
        let report = victim.judged_with_its_key();
        assert_eq!(attack(&report), Attack::Resealed, "{:?}", report.findings);
        assert_eq!(report.findings[0].record, at as u64 + 1);
        assert_eq!(
            report.sealed_through, at as u64,
            "what came before is proven"
        );
    }
}

#[test]
fn renaming_the_key_in_seals_fails() {
    let victim = Victim::new();
    let key = stolen_key(&victim.state());
    let at = victim.shameful();
    let mut forged = victim.honest.clone();
    falsify(&mut forged[at]);
    rename_keys(&mut forged, at, &key);
    victim.overwrite(&rechain_and_reseal(&forged, at, &key));
    let report = victim.judged_with_its_key();
    assert_eq!(attack(&report), Attack::Resealed, "{:?}", report.findings);
    assert_eq!(report.findings[0].record, at as u64 + 1);
}

#[test]
fn a_rewritten_log_has_another_key() {
    let victim = Victim::new();
    let key = stolen_key(&victim.state());
    let mut forged = victim.honest.clone();
    falsify(&mut forged[victim.shameful()]);
    rename_keys(&mut forged, 0, &key);
    victim.overwrite(&rechain_and_reseal(&forged, 0, &key));
    let report = victim.judged_with_its_key();
    assert_eq!(attack(&report), Attack::WrongKey);
    assert_eq!(report.key, Some(victim.key.to_string()));
    assert_ne!(public(&key), victim.key.to_string());
    let trusting = victim.judged(&Options::default());
    assert_eq!(
        trusting.verdict,
        Verdict::Unproven,
        "its own word is no proof"
    );
}

#[test]
fn findings_are_in_order() {
    let victim = Victim::new();
    let key = stolen_key(&victim.state());
    let mut forged = victim.honest.clone();
    rename_keys(&mut forged, 0, &key);
    forged = rechain_and_reseal(&forged, 0, &key);
    forged.remove(victim.today);
    victim.overwrite(&forged);
    let report = victim.judged_with_its_key();
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|it| (it.attack, it.record))
        .collect();
    let gap = victim.today as u64 + 1;
    assert_eq!(found, [(Attack::WrongKey, 1), (Attack::Deleted, gap)]);
}

/// A valid chain of records with these bodies.
fn forged_log(bodies: impl Iterator<Item = String>) -> Vec<Vec<u8>> {
    let line = |body: String| {
        let (seq, prev, hash) = (0, "0".repeat(64), "f".repeat(64));
        let ts = "2026-11-21T10:00:03.123456Z";
        format!(
            r#"{{"seq":{seq},"ts":"{ts}","event_type":"{body},"prev_hash":"{prev}","event_hash":"{hash}"}}"#
        )
        .into_bytes()
    };
    let unhashed: Vec<Vec<u8>> = bodies.map(line).collect();
    let chained = rechain(&unhashed, 0).into_iter();
    chained
        .map(|line| [line, b"\n".to_vec()].concat())
        .collect()
}

#[test]
fn a_huge_epoch_does_not_overflow() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let (name, epoch) = (public(&key), u64::MAX);
    let opened = format!(r#"log.open","log_id":"x","host":"x","epoch":{epoch},"key":"{name}""#);
    let lines = forged_log(std::iter::once(opened));
    let report = common::check(&common::one(lines.concat()), &Options::default());
    assert_eq!(attack(&report), Attack::WrongKey, "{:?}", report.findings);
    let part = Options {
        start: Start::AnyRecord,
        ..Options::default()
    };
    let (zeros, signature) = ("0".repeat(64), "A".repeat(86));
    let sealed = format!(
        r#"{{"seq":2,"ts":"2026-11-21T10:00:03.123456Z","event_type":"log.sealed","epoch":{epoch},"key":"{name}","next_key":"{name}","prev_hash":"{zeros}","signature":"{signature}==","event_hash":"H"}}"#
    );
    let mut line = [sealed.into_bytes()];
    reseal(&mut line, 0, &key);
    let line = String::from_utf8(line[0].clone()).unwrap();
    let line = line.replace("\"H\"", &format!("\"{}\"", common::forger::hash(&line)));
    let report = common::check(&common::one(format!("{line}\n").into_bytes()), &part);
    assert_eq!(report.verdict, Verdict::Broken, "{report:?}");
}

#[test]
fn a_huge_removal_does_not_overflow() {
    let last = u64::MAX;
    let hash = "a".repeat(64);
    let removed = |first: u64| {
        format!(
            r#"log.pruned","first_seq":{first},"last_seq":{last},"last_hash":"{hash}","epoch":{last},"reason":"age""#
        )
    };
    for first in [1, last] {
        let lines = forged_log((0..2).map(|_| removed(first)));
        // As a whole log, and as one without its beginning.
        for lines in [&lines[..], &lines[1..]] {
            for start in [Start::FirstRecord, Start::AnyRecord] {
                let options = Options {
                    start,
                    ..Options::default()
                };
                let report = common::check(&common::one(lines.concat()), &options);
                assert_ne!(report.verdict, Verdict::Intact, "{report:?}");
            }
        }
    }
}

#[test]
fn findings_are_bounded() {
    let opened = |_| r#"log.open","log_id":"x","host":"x","epoch":0,"key":"x""#.to_owned();
    let lines = forged_log((0..5_000).map(opened));
    let report = common::check(&common::one(lines.concat()), &Options::default());
    assert_eq!(report.findings.len(), 100);
    assert_eq!(report.findings_left_out, 4_900);
    assert_eq!(report.records, 5_000);
}

#[test]
fn leaving_the_seals_out_shows() {
    let victim = Victim::new();
    let mut forged = victim.honest.clone();
    falsify(&mut forged[victim.shameful()]);
    forged.retain(|line| !is_seal(line));
    victim.overwrite(&rechain(&forged, 0));
    let report = victim.judged_with_its_key();
    assert_eq!(attack(&report), Attack::Unsealed, "{:?}", report.findings);
}

#[test]
fn a_stolen_key_seals_no_earlier() {
    // The text of the seal is unchanged: only the signature is made again.
    let victim = Victim::new();
    let key = stolen_key(&victim.state());
    for at in (0..victim.honest.len()).filter(|at| is_seal(&victim.honest[*at])) {
        let mut forged = victim.honest.clone();
        reseal(&mut forged, at, &key);
        victim.overwrite(&rechain(&forged, at));
        let report = victim.judged_with_its_key();
        assert_eq!(report.verdict, Verdict::Broken, "line {at}");
        assert!(report.sealed_through < at as u64 + 1, "line {at}");
    }
}

#[test]
fn old_keys_are_in_no_file() {
    let victim = Victim::new();
    let key = stolen_key(&victim.state());
    let named: Vec<String> = victim
        .honest
        .iter()
        .filter_map(|line| key_named(line))
        .collect();
    assert!(named.len() > 8);
    assert!(
        !named.contains(&public(&key)),
        "only the next seal names it"
    );
}
