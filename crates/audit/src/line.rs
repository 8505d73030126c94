//! Parsing of records. Only lines that the encoder can have written are accepted.
//!
//! The members that the chain needs are at known positions from the line's beginning or end.
//! Those in between are only checked to be well formed.

use crate::log_event::LogEventType;
use crate::members;
use crate::record::{Head, MAX_LINE_BYTES};
use crate::text::{Hex, hex};
use crate::time::{TEXT_BYTES, Timestamp};
use pulse_core::ordinal::Ordinal;
use sha2::{Digest, Sha256};

const SEQ: &[u8] = b"{\"seq\":";
const TS: &[u8] = b",\"ts\":\"";
const TYPE: &[u8] = b"\",\"event_type\":\"";
const PREV: &[u8] = b",\"prev_hash\":\"";
const HASH: &[u8] = b",\"event_hash\":\"";
const SIGNATURE: &[u8] = b",\"signature\":\"";
const END: &[u8] = b"\"}";
/// An Ed25519 signature in base64.
const SIGNATURE_CHARS: usize = 88;

/// A line with the syntax of a record. Its hash is checked by [`is_whole`](Self::is_whole).
#[derive(Clone, Copy, Debug)]
pub struct RecordLine<'a> {
    /// The record's number, 1 to [`Ordinal::MAX`].
    pub seq: u64,
    /// Its time.
    pub ts: Timestamp,
    /// The type of its event.
    pub event_type: &'a [u8],
    pub(crate) prev_hash: &'a Hex,
    pub(crate) event_hash: &'a Hex,
    /// The bytes that its hash covers.
    hashed: &'a [u8],
    /// The bytes that a seal's signature covers, and the signature.
    pub(crate) signature: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> RecordLine<'a> {
    /// Parses a line without its newline.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        // The limit includes the newline, which `line` lacks.
        if line.len() >= MAX_LINE_BYTES {
            return None;
        }
        let rest = line.strip_prefix(SEQ)?;
        let (seq, rest) = rest.split_at(rest.iter().position(|byte| !byte.is_ascii_digit())?);
        let seq = Ordinal::parse(seq)
            .map(Ordinal::get)
            .filter(|seq| *seq > 0)?;
        let rest = rest.strip_prefix(TS)?;
        let (ts, rest) = rest.split_at_checked(TEXT_BYTES)?;
        let ts = Timestamp::parse(ts)?;
        let rest = rest.strip_prefix(TYPE)?;
        let event_type = rest.get(..memchr::memchr(b'"', rest)?)?;
        // The members at the end have fixed lengths, so they are split off from there: a value
        // in between cannot be taken for one of them.
        let (hashed, event_hash) = split_hash(rest.strip_suffix(END)?, HASH)?;
        let (signed, signature) = if event_type == LogEventType::Sealed.as_str().as_bytes() {
            let text = hashed.strip_suffix(b"\"")?;
            let (signed, signature) = text.split_last_chunk::<SIGNATURE_CHARS>()?;
            (signed.strip_suffix(SIGNATURE)?, Some(&signature[..]))
        } else {
            (hashed, None)
        };
        let (body, prev_hash) = split_hash(signed.strip_suffix(b"\"")?, PREV)?;
        // The body begins with the event's type and the quote that ends it.
        let members = body.get(event_type.len() + 1..)?;
        if !members::is_name(event_type) || !members::are_well_formed(members) {
            return None;
        }
        // Hash and signature cover the line from its first byte on.
        let start = line.len() - rest.len();
        let signature = match signature {
            Some(text) => Some((line.get(..start + signed.len())?, text)),
            None => None,
        };
        Some(Self {
            seq,
            ts,
            event_type,
            prev_hash,
            event_hash,
            hashed: line.get(..start + hashed.len())?,
            signature,
        })
    }

    /// The type of its event, if that is one of the log about itself.
    #[must_use]
    pub fn log_event(&self) -> Option<LogEventType> {
        LogEventType::from_name(self.event_type)
    }

    /// True when its hash is that of its bytes.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        hex(&Sha256::digest(self.hashed)) == *self.event_hash
    }

    /// True when it continues a chain that ends with `head`.
    #[must_use]
    pub fn follows(&self, head: &Head) -> bool {
        self.seq == head.seq + 1 && *self.prev_hash == head.hash
    }

    /// The end of a chain whose last record it is.
    #[must_use]
    pub fn head(&self) -> Head {
        Head {
            seq: self.seq,
            hash: *self.event_hash,
        }
    }
}

/// Splits a hash and its member's name off the end.
fn split_hash<'a>(text: &'a [u8], name: &[u8]) -> Option<(&'a [u8], &'a Hex)> {
    let (rest, hash) = text.split_last_chunk::<64>()?;
    let digits = hash
        .iter()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    Some((rest.strip_suffix(name)?, hash)).filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Body;
    use proptest::prelude::*;

    fn record() -> Vec<u8> {
        let (mut head, mut line) = (
            Head {
                seq: 41,
                ..Head::START
            },
            Vec::new(),
        );
        let body = Body::named("proxy.start").with_text("error", "x");
        head.extend(&mut line, Timestamp::from_micros(7), &body);
        line.pop();
        line
    }

    #[test]
    fn a_record_is_parsed() {
        let line = record();
        let read = RecordLine::parse(&line).unwrap();
        assert_eq!((read.seq, read.ts.as_micros()), (42, 7));
        assert_eq!(read.event_type, b"proxy.start");
        assert!(read.is_whole());
        assert!(read.follows(&Head {
            seq: 41,
            ..Head::START
        }));
    }

    #[test]
    fn every_bit_flip_is_detected() {
        let line = record();
        for bit in 0..line.len() * 8 {
            let mut changed = line.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let unseen = RecordLine::parse(&changed).is_some_and(|read| read.is_whole());
            assert!(!unseen, "bit {bit}");
        }
    }

    #[test]
    fn a_hashed_line_must_be_json() {
        let whole = String::from_utf8(record()).unwrap();
        for body in [
            r#"proxy.start","error":x"#,
            r#"proxy.start","error":"x","error":"y""#,
            r#"proxy.start","error":"x","seq":7"#,
            r#"proxy start","error":"x""#,
            r#"proxy.start""#,
        ] {
            let (before, _) = whole.split_once("proxy.start").unwrap();
            let (_, prev) = whole.split_once(",\"prev_hash\"").unwrap();
            let (prev, _) = prev.split_once(",\"event_hash\"").unwrap();
            let hashed = format!("{before}{body},\"prev_hash\"{prev}");
            let hash = String::from_utf8(hex(&Sha256::digest(&hashed)).to_vec()).unwrap();
            let line = format!("{hashed},\"event_hash\":\"{hash}\"}}");
            assert!(RecordLine::parse(line.as_bytes()).is_none(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = RecordLine::parse(&bytes);
        }

        #[test]
        fn a_damaged_record_can_be_parsed(cut in 0usize..500, at in 0usize..500, byte: u8) {
            let mut line = record();
            let at = at % line.len();
            line[at] = byte;
            line.truncate(cut);
            let _ = RecordLine::parse(&line).map(|read| read.is_whole());
        }
    }
}
