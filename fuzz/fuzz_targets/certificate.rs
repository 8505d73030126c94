//! Any bytes as certificate or key: only possible dates, the pin of the contained key, and an
//! identity only of a certificate with its own key.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::causes::Causes;
use pulse_relp::certificate::validity;
use pulse_relp::identity::{Contents, Files, Identity, public_key};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

/// The end of the year 9999, the last date of a certificate.
const LAST: i64 = 253_402_300_799;

fuzz_target!(|bytes: &[u8]| {
    dates(bytes);
    pin(bytes);
    identity(bytes);
});

fn dates(der: &[u8]) {
    let Ok(validity) = validity(der) else {
        return;
    };
    assert!((0..=LAST).contains(&validity.not_before));
    assert!((0..=LAST).contains(&validity.not_after));
    // It is exactly one element: neither a prefix nor a longer text is accepted.
    assert!(validity_of(&der[..der.len() - 1]).is_none());
    assert!(validity_of(&[der, b"\0"].concat()).is_none());
}

fn validity_of(der: &[u8]) -> Option<i64> {
    validity(der).ok().map(|validity| validity.not_after)
}

fn pin(der: &[u8]) {
    let Ok(pin) = public_key(&CertificateDer::from(der)) else {
        return;
    };
    // The certificate contains the key's bytes.
    let holds_it = |start: usize| {
        let rest = &der[start..];
        let length = element(rest);
        length.is_some_and(|length| Sha256::digest(&rest[..length])[..] == pin.0)
    };
    assert!((0..der.len()).any(holds_it), "a pin of something else");
}

/// The length of the DER sequence at the start of these bytes; none for anything else.
fn element(bytes: &[u8]) -> Option<usize> {
    let (header, length) = match bytes {
        [0x30, length @ ..=0x7f, ..] => (2, usize::from(*length)),
        [0x30, 0x81, length, ..] => (3, usize::from(*length)),
        [0x30, 0x82, high, low, ..] => (4, usize::from(*high) << 8 | usize::from(*low)),
        _ => return None,
    };
    (bytes.len() >= header + length).then_some(header + length)
}

/// Three files, separated by lines of three equals signs.
fn identity(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(3, "\n===\n").map(str::as_bytes);
    let mut next = || parts.next().unwrap_or_default();
    let (ca, certificate, key) = (next(), next(), next());
    let files = Files {
        ca: "ca".into(),
        certificate: "certificate".into(),
        key: "key".into(),
    };
    let contents = Contents::new(ca.to_vec(), certificate.to_vec(), key.to_vec());
    match Identity::parse(&files, &contents, None) {
        Ok(identity) => {
            assert!(!identity.authorities.is_empty());
            assert!(identity.config.client_auth_cert_resolver.has_certs());
        }
        // An error names the file that causes it.
        Err(error) => {
            let said = Causes(&error).to_string();
            let names = ["ca: ", "certificate: ", "key: ", "certificate and key: "];
            assert!(names.iter().any(|name| said.starts_with(name)), "{said}");
        }
    }
}
