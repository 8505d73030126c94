//! Whatever stands at the end of a log, recovery goes on behind its last record,
//! and whatever stands in a file, the verifier answers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{at, check, join, one, pinned, sample, settings};
use proptest::prelude::*;
use pulse_audit::verify::{Options, Verdict};
use pulse_audit::{Log, Place};

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    // Parts of what a record is made of, and anything else.
    let known = prop::sample::select(vec![
        "{\"seq\":5",
        ",\"ts\":\"2026-11-21T10:00:03.123456Z\"",
        ",\"event_type\":\"log.sealed\"",
        ",\"prev_hash\":\"",
        "\",\"event_hash\":\"",
        "\"}",
        "\n",
        "0123456789abcdef",
    ]);
    let piece = prop_oneof![
        known.prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
        Just(vec![b'a'; 64]),
        Just(vec![0; 5000]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_torn_bytes_are_recovered_from(torn in pieces(), cut in 0usize..600, append_only: bool) {
        let sample = sample(1, 1, 2, "x");
        let mut unsealed = Log::open(sample.disk.clone(), settings(), at(50)).unwrap();
        common::write(&mut unsealed, 51, "last");
        drop(unsealed);
        {
            let mut disk = sample.disk.disk.lock().unwrap();
            disk.append_only = append_only;
            let number = disk.files[&(0, "audit.log".to_owned())];
            let seen = &mut disk.inodes.get_mut(&number).unwrap().seen;
            // At most the two unsealed records are cut into.
            let keep = seen.len() - cut.min(600);
            seen.truncate(keep);
            seen.extend_from_slice(&torn);
        }
        let mut log = Log::open(sample.disk.clone(), settings(), at(60)).unwrap();
        common::write(&mut log, 61, "after");
        log.seal(at(62)).unwrap();
        drop(log);
        let disk = sample.disk.disk.lock().unwrap();
        let report = check(&disk.log(), &pinned(sample.key));
        prop_assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
        let kept = disk.files.keys().filter(|(_, name)| name.contains("torn"));
        let kept: Vec<u8> = kept.flat_map(|(_, name)| disk.content(Place::Log, name).unwrap()).collect();
        // A newline may just have ended the last record.
        let torn = torn.strip_prefix(b"\n").unwrap_or(&torn);
        prop_assert!(kept.ends_with(torn));
    }

    #[test]
    fn any_file_is_verified_without_harm(bytes in pieces(), at in any::<prop::sample::Index>()) {
        let sample = sample(1, 1, 2, "x");
        let mut content = join(&sample.files);
        let place = at.index(content.len());
        content.splice(place..place, bytes.iter().copied());
        let report = check(&one(content), &pinned(sample.key));
        prop_assert_eq!(report.verdict == Verdict::Intact, bytes.is_empty());
        let _ = check(&one(bytes), &Options { partial: true, ..Options::default() });
    }
}
