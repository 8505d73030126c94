//! Key blobs: the bytes in which a public key travels, and what a person sees.
//!
//! Every key type that hosts have is a sequence of length-prefixed strings whose
//! first is the type's name (RFC 4253, section 6.6, and its successors). That is
//! all that is read here: keys are compared, not computed with, so a type that is
//! invented tomorrow can be pinned today.

use super::line::Reason;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

/// A key's SHA-256 fingerprint as `ssh-keygen -l` prints it: `SHA256:` and
/// base64 without padding.
#[must_use]
pub fn fingerprint(key_blob: &[u8]) -> String {
    let digest = STANDARD_NO_PAD.encode(Sha256::digest(key_blob));
    format!("SHA256:{digest}")
}

/// The key type that a blob names, when it is one.
pub(super) fn type_of(blob: &[u8]) -> Option<&[u8]> {
    take_string(blob).map(|(key_type, _)| key_type)
}

/// Reads the two fields of a key, and gives its type and blob.
///
/// A line cut short, or glued from two, is found here rather than when the host
/// is refused for it.
pub(super) fn decode(key_type: &[u8], encoded: &[u8]) -> Result<(String, Vec<u8>), Reason> {
    let blob = STANDARD.decode(encoded).map_err(|_| Reason::KeyNotBase64)?;
    let (inner_type, mut rest) = take_string(&blob).ok_or(Reason::KeyMalformed)?;
    if inner_type != key_type {
        return Err(Reason::KeyTypeMismatch);
    }
    let key_type = str::from_utf8(key_type).map_err(|_| Reason::KeyTypeMismatch)?;
    if key_type.contains("-cert-v0") {
        return Err(Reason::Certificate);
    }
    if rest.is_empty() {
        return Err(Reason::KeyMalformed);
    }
    while !rest.is_empty() {
        (_, rest) = take_string(rest).ok_or(Reason::KeyMalformed)?;
    }
    Ok((key_type.to_owned(), blob))
}

/// An SSH string (RFC 4251, section 5) and what follows it.
fn take_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}
