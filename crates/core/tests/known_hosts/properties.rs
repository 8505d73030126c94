//! Properties of every file.

use crate::keys::{PVE1, PVE2};
use crate::{host, host_at, known};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use pulse_core::nodes::known_hosts::{CertificateFacts, KeyVerdict, KnownHosts};
use sha1::Sha1;

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9.-]{0,20}".prop_filter("four numbers are an address", |name| {
        pulse_core::nodes::name::NodeName::parse(name).is_ok_and(|name| name.address().is_none())
    })
}

/// Valid words in any order, so that every branch is reached.
fn plausible_file() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("@revoked".to_owned()),
        Just("@cert-authority".to_owned()),
        Just("ssh-ed25519".to_owned()),
        Just(PVE1.encoded.to_owned()),
        Just(PVE1.text()),
        Just("pve1".to_owned()),
        Just("*,!pve1".to_owned()),
        "[|1*?!,@#a-z\\[\\]:=+/]{0,12}",
        "[ \t\r\n]{1,2}",
        any::<String>(),
    ];
    prop::collection::vec(word, 0..20).prop_map(|words| words.join(" "))
}

fn principals() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[pve1*?.]{0,8}|\\PC{0,8}", 0..4)
}

/// Calls everything; the results do not matter.
fn ask_everything(known: &KnownHosts, key_blob: &[u8], principals: &[String]) {
    let host = host_at("pve1", "10.0.0.1", 2222);
    let _ = known.check_key(&host, key_blob);
    let _ = known.algorithms_for(&host);
    let facts = CertificateFacts {
        key_blob,
        ca_blob: key_blob,
        principals,
        valid_after: 0,
        valid_before: u64::MAX,
        is_host: true,
        critical_options: false,
    };
    let _ = known.check_certificate(&host, &facts, 1);
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(bytes: Vec<u8>, blob: Vec<u8>, principals in principals()) {
        // UTF-16 is refused as a whole.
        if let Ok((known, _)) = KnownHosts::parse(bytes) {
            ask_everything(&known, &blob, &principals);
        }
    }

    #[test]
    fn no_plausible_file_panics(text in plausible_file(), principals in principals()) {
        let (known, bad_lines) = KnownHosts::parse(&text).unwrap();
        ask_everything(&known, &PVE1.blob(), &principals);
        let lines = text.split('\n').count();
        prop_assert!(known.len() + bad_lines.len() <= lines);
        prop_assert!(bad_lines.iter().all(|bad| (1..=lines).contains(&bad.line)));
    }

    #[test]
    fn revocation_always_wins(text in plausible_file(), before: bool) {
        let revoked = format!("@revoked * {}", PVE1.text());
        let text = if before { format!("{revoked}\n{text}") } else { format!("{text}\n{revoked}") };
        let (known, _) = KnownHosts::parse(text).unwrap();
        prop_assert_eq!(known.check_key(&host("pve1"), &PVE1.blob()), KeyVerdict::Revoked);
    }

    #[test]
    fn pin_survives_bad_lines(text in plausible_file()) {
        prop_assume!(!text.contains("@revoked"));
        let (known, _) = KnownHosts::parse(format!("{text}\npve2 {}\n{text}", PVE2.text())).unwrap();
        prop_assert_eq!(known.check_key(&host("pve2"), &PVE2.blob()), KeyVerdict::Trusted);
    }

    #[test]
    fn pin_is_for_its_own_name(pinned in name(), asked in name()) {
        let known = known(&format!("{pinned} {}", PVE1.text()));
        prop_assert_eq!(known.check_key(&host(&pinned), &PVE1.blob()), KeyVerdict::Trusted);
        let trusted = known.check_key(&host(&asked), &PVE1.blob()) == KeyVerdict::Trusted;
        prop_assert_eq!(trusted, asked == pinned);
    }

    #[test]
    fn hashed_name_equals_plain_one(pinned in name(), asked in name(), salt: [u8; 20]) {
        let hmac = Hmac::<Sha1>::new_from_slice(&salt).unwrap().chain_update(&pinned);
        let hash = STANDARD.encode(hmac.finalize().into_bytes());
        let line = format!("|1|{}|{hash} {}", STANDARD.encode(salt), PVE1.text());
        let known = known(&line);
        prop_assert_eq!(known.check_key(&host(&pinned), &PVE1.blob()), KeyVerdict::Trusted);
        let trusted = known.check_key(&host(&asked), &PVE1.blob()) == KeyVerdict::Trusted;
        prop_assert_eq!(trusted, asked == pinned);
    }

    #[test]
    fn one_wrong_bit_is_another_key(bit in 0..51 * 8_usize) {
        let mut blob = PVE1.blob();
        blob[bit / 8] ^= 1 << (bit % 8);
        let verdict = known(&format!("pve1 {}", PVE1.text())).check_key(&host("pve1"), &blob);
        let changed = matches!(verdict, KeyVerdict::Changed { .. });
        prop_assert!(changed);
    }

    #[test]
    fn order_of_files_is_irrelevant(a in plausible_file(), b in plausible_file(), key in prop_oneof![Just(PVE1), Just(PVE2)]) {
        let (one, _) = KnownHosts::parse(&a).unwrap();
        let (other, _) = KnownHosts::parse(&b).unwrap();
        let (mut ab, mut ba) = (one.clone(), other.clone());
        ab.extend(other);
        ba.extend(one);
        let trusted = |known: &KnownHosts| known.check_key(&host("pve1"), &key.blob()) == KeyVerdict::Trusted;
        prop_assert_eq!(trusted(&ab), trusted(&ba));
    }
}
