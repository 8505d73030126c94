//! Public keys in wire format, and their fingerprints.
//!
//! A key is a sequence of length-prefixed strings, of which the first is the name of its
//! type (RFC 4253, section 6.6, and its successors). Only that structure is parsed: keys
//! are compared byte by byte, so keys of future types can be pinned.

use super::line::LineError;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

/// The SHA-256 fingerprint of a key in wire format as `ssh-keygen -l` prints it: `SHA256:`
/// and base64 without padding.
#[must_use]
pub fn fingerprint(key_blob: &[u8]) -> String {
    format!(
        "SHA256:{}",
        STANDARD_NO_PAD.encode(Sha256::digest(key_blob))
    )
}

/// True for an Ed25519 public key as `ssh-keygen` writes it: the type, the key in base64
/// and an optional comment (sshd(8), `AUTHORIZED_KEYS FILE FORMAT`), without options.
#[must_use]
pub fn is_ed25519(line: &str) -> bool {
    const TYPE: &str = "ssh-ed25519";
    /// The type and 32 bytes, each after its length (RFC 8709, section 4).
    const BLOB_BYTES: usize = 4 + TYPE.len() + 4 + 32;
    let mut fields = line.split(' ');
    let (key_type, encoded) = (fields.next(), fields.next().unwrap_or_default());
    key_type == Some(TYPE)
        && decode(TYPE.as_bytes(), encoded.as_bytes())
            .is_ok_and(|(_, blob)| blob.len() == BLOB_BYTES)
}

/// The key type that a blob starts with.
pub(super) fn type_of(blob: &[u8]) -> Option<&[u8]> {
    take_string(blob).map(|(key_type, _)| key_type)
}

/// Parses the two fields of a key into its type and its blob.
///
/// A truncated key, or two that are joined, is an error here. If it were kept, a good host
/// would be refused for it, or a revoked key accepted.
pub(super) fn decode(key_type: &[u8], encoded: &[u8]) -> Result<(String, Vec<u8>), LineError> {
    let blob = STANDARD
        .decode(encoded)
        .map_err(|_| LineError::KeyNotBase64)?;
    let (inner_type, mut rest) = take_string(&blob).ok_or(LineError::KeyMalformed)?;
    if inner_type != key_type {
        return Err(LineError::KeyTypeMismatch);
    }
    let key_type = str::from_utf8(key_type).map_err(|_| LineError::KeyTypeMismatch)?;
    // A certificate's type, such as ssh-ed25519-cert-v01@openssh.com.
    if key_type.contains("-cert-v0") {
        return Err(LineError::Certificate);
    }
    let mut strings = 0;
    while !rest.is_empty() {
        (_, rest) = take_string(rest).ok_or(LineError::KeyMalformed)?;
        strings += 1;
    }
    // The key alone (RFC 8709, section 4); e and n (RFC 4253, section 6.6); the curve and the
    // point (RFC 5656, section 3.1).
    let is_complete = match key_type {
        "ssh-ed25519" => strings == 1,
        "ssh-rsa" | "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => {
            strings == 2
        }
        // Of other types only that there is a key is known.
        _ => strings > 0,
    };
    if !is_complete {
        return Err(LineError::KeyMalformed);
    }
    Ok((key_type.to_owned(), blob))
}

/// An SSH string (RFC 4251, section 5) and the bytes after it.
fn take_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    // A length beyond the end is that of a truncated key.
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}
