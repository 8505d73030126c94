//! The validity period of a certificate, so that operators are warned before it expires.
//! rustls reports an expired certificate only when it is used.

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode, Reader, SliceReader, Tag, Tagged};

/// A validity period, both ends included, in seconds since 1970 (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: i64,
    /// The last second.
    pub not_after: i64,
}

/// The bytes are not a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a certificate")]
pub struct CertificateError(#[from] der::Error);

/// Reads the validity period of an X.509 certificate in DER (RFC 5280, 4.1), and nothing
/// else: neither the signature nor the names are verified.
///
/// # Errors
/// [`CertificateError`] when it is not DER or not a certificate, or when a time is before
/// 1970, which rustls refuses too.
pub fn validity(der: &[u8]) -> Result<Validity, CertificateError> {
    let mut certificate = sequence(AnyRef::from_der(der)?)?;
    let mut signed = sequence(certificate.decode()?)?;
    let first: AnyRef<'_> = signed.decode()?;
    if matches!(first.tag(), Tag::ContextSpecific { .. }) {
        // That was the version, which version 1 omits; the serial number follows.
        skip(&mut signed, Tag::Integer)?;
    } else {
        first.tag().assert_eq(Tag::Integer)?;
    }
    // The signature's algorithm and the issuer precede the validity.
    skip(&mut signed, Tag::Sequence)?;
    skip(&mut signed, Tag::Sequence)?;
    let mut times = sequence(signed.decode()?)?;
    let validity = Validity {
        not_before: time(times.decode()?)?,
        not_after: time(times.decode()?)?,
    };
    times.finish()?;
    Ok(validity)
}

fn sequence(any: AnyRef<'_>) -> Result<SliceReader<'_>, der::Error> {
    any.tag().assert_eq(Tag::Sequence)?;
    SliceReader::new(any.value())
}

fn skip(reader: &mut SliceReader<'_>, tag: Tag) -> Result<(), der::Error> {
    reader.decode::<AnyRef<'_>>()?.tag().assert_eq(tag)?;
    Ok(())
}

/// Seconds since 1970. A year of two digits is in 1950 to 2049 (RFC 5280, 4.1.2.5.1).
fn time(any: AnyRef<'_>) -> Result<i64, der::Error> {
    let since = match any.tag() {
        Tag::UtcTime => any.decode_as::<UtcTime>()?.to_unix_duration(),
        _ => any.decode_as::<GeneralizedTime>()?.to_unix_duration(),
    };
    i64::try_from(since.as_secs()).map_err(|_| any.tag().value_error().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UTC: u8 = 0x17;
    const GENERALIZED: u8 = 0x18;
    const SEQUENCE: u8 = 0x30;

    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u8::try_from(content.len()).unwrap();
        let length = match length {
            ..128 => vec![length],
            _ => vec![0x81, length],
        };
        [vec![tag], length, content].concat()
    }

    fn certificate(version: &[u8], from: &[u8], until: &[u8]) -> Vec<u8> {
        let serial = element(2, &[&[7]]);
        let names = element(SEQUENCE, &[b"\x05\0"]);
        let times = element(SEQUENCE, &[from, until]);
        let signed = [version, &serial, &names, &names, &times, &names, &names];
        element(SEQUENCE, &[&element(SEQUENCE, &signed), &names])
    }

    fn version_3() -> Vec<u8> {
        element(0xa0, &[&element(2, &[&[2]])])
    }

    /// The validity period of a certificate with these times.
    fn read(from: (u8, &str), until: (u8, &str)) -> Result<Validity, CertificateError> {
        let [from, until] = [from, until].map(|(tag, text)| element(tag, &[text.as_bytes()]));
        validity(&certificate(&version_3(), &from, &until))
    }

    fn one(tag: u8, text: &str) -> Option<i64> {
        let read = read((tag, text), (tag, text)).ok();
        read.map(|validity| validity.not_after)
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let validity = read((UTC, "200101000000Z"), (GENERALIZED, "20901231235959Z")).unwrap();
        assert_eq!(validity.not_before, 1_577_836_800);
        assert_eq!(validity.not_after, 3_818_447_999);
        // "No well-defined expiration date" (RFC 5280, 4.1.2.5).
        assert_eq!(one(GENERALIZED, "99991231235959Z"), Some(253_402_300_799));
    }

    #[test]
    fn utc_time_ends_in_2049() {
        assert_eq!(one(UTC, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(one(UTC, "991231235959Z"), Some(946_684_799));
        assert_eq!(one(UTC, "700101000000Z"), Some(0));
        assert_eq!(one(UTC, "500101000000Z"), None);
        assert_eq!(one(UTC, "240229120000Z"), Some(1_709_208_000));
    }

    #[test]
    fn invalid_times_are_refused() {
        for text in [
            "230229120000Z",
            "231301000000Z",
            "230101240000Z",
            "230101000060Z",
            "2301010000Z",
            "230101000000+0100",
            "23010100000éZ",
            "",
        ] {
            assert_eq!(one(UTC, text), None, "{text:?}");
        }
        for text in ["20230101000000", "20230101000000.5Z", "230101000000Z"] {
            assert_eq!(one(GENERALIZED, text), None, "{text:?}");
        }
        assert_eq!(one(0x0c, "230101000000Z"), None);
    }

    #[test]
    fn version_1_is_read() {
        let time = element(UTC, &[b"230101000000Z"]);
        assert!(validity(&certificate(&[], &time, &time)).is_ok());
    }

    #[test]
    fn length_must_be_exact() {
        let time = element(UTC, &[b"230101000000Z"]);
        let whole = certificate(&version_3(), &time, &time);
        assert!(validity(&whole).is_ok());
        for length in 0..whole.len() {
            assert!(validity(&whole[..length]).is_err(), "{length} bytes");
        }
        assert!(validity(&[&whole[..], b"\0"].concat()).is_err());
        let three = [&time[..], &time[..]].concat();
        assert!(validity(&certificate(&version_3(), &time, &three)).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = validity(&bytes);
        }

        #[test]
        fn a_corrupt_certificate_never_panics(at in 0_usize..90, byte: u8) {
            let time = element(UTC, &[b"230101000000Z"]);
            let mut corrupt = certificate(&version_3(), &time, &time);
            let at = at % corrupt.len();
            corrupt[at] = byte;
            let _ = validity(&corrupt);
        }
    }
}
