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
    if let Ok(dates) = validity(bytes) {
        // `validity` refuses times before 1970, and GeneralizedTime has four digits for a year.
        assert!((0..=LAST).contains(&dates.not_before));
        assert!((0..=LAST).contains(&dates.not_after));
        // It is exactly one element: neither a prefix nor a longer text is accepted.
        assert!(validity(&bytes[..bytes.len() - 1]).is_err());
        assert!(validity(&[bytes, b"\0"].concat()).is_err());
    }
    pin(bytes);
    identity(bytes);
});

fn pin(der: &[u8]) {
    let Ok(pin) = public_key(&CertificateDer::from(der)) else {
        return;
    };
    // The certificate contains the key's bytes; their place is not parsed again here, so that a
    // parser's mistake cannot be made twice.
    let holds_it = |start: usize| {
        let rest = &der[start..];
        element(rest).is_some_and(|length| Sha256::digest(&rest[..length])[..] == pin.0)
    };
    assert!((0..der.len()).any(holds_it), "a pin of something else");
}

/// The length of the DER sequence at the start of these bytes; none for anything else.
fn element(bytes: &[u8]) -> Option<usize> {
    // Tag 0x30, then the short form or one or two bytes of the long form (X.690, 8.1.3).
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
    let mut next = || parts.next().unwrap_or_default().to_vec();
    let contents = Contents::new(next(), next(), next());
    let files = Files {
        ca: "ca".into(),
        certificate: "certificate".into(),
        key: "key".into(),
    };
    match Identity::parse(&files, &contents, None) {
        Ok(identity) => {
            assert!(!identity.authorities.is_empty());
            assert!(identity.config.client_auth_cert_resolver.has_certs());
        }
        // An error names the file that causes it.
        Err(error) => {
            let said = Causes(&error).to_string();
            let (name, _) = said.split_once(": ").unwrap_or_default();
            assert!(
                ["ca", "certificate", "key", "certificate and key"].contains(&name),
                "{said}"
            );
        }
    }
}
