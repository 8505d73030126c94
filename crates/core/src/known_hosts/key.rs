//! Key blobs: the bytes in which a public key travels, and what a person sees.
//!
//! Every key type that hosts have is a sequence of length-prefixed strings whose
//! first is the type's name (RFC 4253, section 6.6, and its successors). Little
//! more is read here: keys are compared, not computed with, so a type that is
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

/// True for an Ed25519 public key in the form that `ssh-keygen` writes: the type, the key in
/// base64, perhaps a comment (sshd(8), `AUTHORIZED_KEYS FILE FORMAT`), without options.
#[must_use]
pub fn is_ed25519(line: &str) -> bool {
    const TYPE: &str = "ssh-ed25519";
    /// The type and 32 bytes, each behind its length (RFC 8709, section 4).
    const BLOB_BYTES: usize = 4 + TYPE.len() + 4 + 32;
    let mut fields = line.split(' ');
    let (key_type, encoded) = (fields.next(), fields.next().unwrap_or_default());
    let decoded = decode(TYPE.as_bytes(), encoded.as_bytes());
    key_type == Some(TYPE) && decoded.is_ok_and(|(_, blob)| blob.len() == BLOB_BYTES)
}

/// The key type that a blob names, when it is one.
pub(super) fn type_of(blob: &[u8]) -> Option<&[u8]> {
    take_string(blob).map(|(key_type, _)| key_type)
}

/// Reads the two fields of a key, and gives its type and blob.
///
/// A key that is cut short, or glued to the next, is found here rather than when
/// a good host is refused for it, or a revoked one is not.
pub(super) fn decode(key_type: &[u8], encoded: &[u8]) -> Result<(String, Vec<u8>), Reason> {
    let blob = STANDARD.decode(encoded).map_err(|_| Reason::KeyNotBase64)?;
    let (inner_type, rest) = take_string(&blob).ok_or(Reason::KeyMalformed)?;
    if inner_type != key_type {
        return Err(Reason::KeyTypeMismatch);
    }
    let key_type = str::from_utf8(key_type).map_err(|_| Reason::KeyTypeMismatch)?;
    if key_type.contains("-cert-v0") {
        return Err(Reason::Certificate);
    }
    let count = count_strings(rest).ok_or(Reason::KeyMalformed)?;
    if count == 0 || string_count(key_type).is_some_and(|known| known != count) {
        return Err(Reason::KeyMalformed);
    }
    Ok((key_type.to_owned(), blob))
}

/// How many strings follow the type's name, for the types we know.
fn string_count(key_type: &str) -> Option<usize> {
    match key_type {
        "ssh-ed25519" => Some(1),
        "ssh-rsa" | "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => {
            Some(2)
        }
        _ => None,
    }
}

/// How many strings there are, if there is nothing else.
fn count_strings(mut bytes: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !bytes.is_empty() {
        (_, bytes) = take_string(bytes)?;
        count += 1;
    }
    Some(count)
}

/// An SSH string (RFC 4251, section 5) and what follows it.
fn take_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}
