//! The key pairs of the seals, one for each epoch.
//!
//! A private key is in a file from before its epoch begins until its seal is on disk. The
//! public key is in the log. The file also names the log, so that another log's key is
//! recognised.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use pulse_core::ordinal::Ordinal;
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// The prefix of key files' names; the epoch follows.
pub(crate) const KEY_FILE: &str = "seal-key-";

/// A public key. That of epoch 0 is the verification key of a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

/// The text is not a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a verification key: it is 44 characters of base64, as `audit init` printed it")]
pub struct InvalidKey;

impl PublicKey {
    /// True when `signature`, in base64, is a signature of `message` by this key.
    #[must_use]
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        // `STANDARD` accepts one text for each value: with padding, and unused bits zero.
        let bytes = STANDARD.decode(signature).ok();
        let bytes: Option<[u8; 64]> = bytes.and_then(|bytes| bytes.try_into().ok());
        let (Some(bytes), Ok(key)) = (bytes, VerifyingKey::from_bytes(&self.0)) else {
            return false;
        };
        // Strict: it also refuses points of small order, in the key and in the signature.
        key.verify_strict(message, &Signature::from_bytes(&bytes))
            .is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let bytes = STANDARD.decode(text).map_err(|_| InvalidKey)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| InvalidKey)?;
        match VerifyingKey::from_bytes(&bytes) {
            // With a point of small order, a signature of any message can be made.
            Ok(key) if !key.is_weak() => Ok(Self(bytes)),
            _ => Err(InvalidKey),
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// The private key of an epoch. It is zeroed on drop.
pub(crate) struct SealKey {
    pub(crate) log_id: String,
    pub(crate) epoch: u64,
    key: SigningKey,
}

impl SealKey {
    /// Makes a new one.
    pub(crate) fn generate(log_id: &str, epoch: u64) -> Result<Self, getrandom::Error> {
        let mut seed = Zeroizing::new([0u8; 32]);
        getrandom::fill(seed.as_mut())?;
        Ok(Self {
            log_id: log_id.to_owned(),
            epoch,
            key: SigningKey::from_bytes(&seed),
        })
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey(self.key.verifying_key().to_bytes())
    }

    /// The signature of a message, in base64.
    pub(crate) fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.key.sign(message).to_bytes())
    }

    /// The name of its file.
    pub(crate) fn file_name(epoch: u64) -> String {
        format!("{KEY_FILE}{epoch}")
    }

    /// The epoch in the name of a key file.
    pub(crate) fn epoch_of(name: &str) -> Option<u64> {
        Ordinal::parse(name.strip_prefix(KEY_FILE)?.as_bytes()).map(Ordinal::get)
    }

    /// The content of its file: log id, epoch, seed.
    pub(crate) fn to_file(&self) -> Zeroizing<Vec<u8>> {
        let seed = Zeroizing::new(STANDARD.encode(self.key.as_bytes()));
        let (log_id, epoch) = (self.log_id.as_bytes(), self.epoch.to_string());
        // Joined in one allocation: a buffer that grows leaves copies of the seed behind.
        let parts = [log_id, b" ", epoch.as_bytes(), b" ", seed.as_bytes(), b"\n"];
        Zeroizing::new(parts.concat())
    }

    /// Parses the content of a key file.
    pub(crate) fn from_file(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
        let mut words = text.split(' ');
        let (log_id, epoch, seed) = (words.next()?, words.next()?, words.next()?);
        let seed = Zeroizing::new(STANDARD.decode(seed).ok()?);
        let seed = Zeroizing::new(<[u8; 32]>::try_from(seed.as_slice()).ok()?);
        words.next().is_none().then_some(Self {
            log_id: log_id.to_owned(),
            epoch: Ordinal::parse(epoch.as_bytes())?.get(),
            key: SigningKey::from_bytes(&seed),
        })
    }
}

/// The id of a new log: 32 hexadecimal digits.
pub(crate) fn new_log_id() -> Result<String, getrandom::Error> {
    let mut id = [0u8; 16];
    getrandom::fill(&mut id)?;
    // `hex` has room for a SHA-256; the id fills the first half of it.
    Ok(String::from_utf8_lossy(&crate::text::hex(&id)[..32]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file() {
        let key = SealKey::generate("log", 3).unwrap();
        let read = SealKey::from_file(&key.to_file()).unwrap();
        assert_eq!((read.log_id.as_str(), read.epoch), ("log", 3));
        let signature = read.sign(b"text");
        let public: PublicKey = key.public().to_string().parse().unwrap();
        assert!(public.verifies(b"text", signature.as_bytes()));
        assert!(!public.verifies(b"tex7", signature.as_bytes()));
        let other = SealKey::generate("log", 3).unwrap();
        assert!(!other.public().verifies(b"text", signature.as_bytes()));
    }

    #[test]
    fn invalid_keys_are_refused() {
        for text in ["", "log 3\n", "log x AAAA\n", "log 3 AAAA\n", "log 3 AAAA"] {
            assert!(SealKey::from_file(text.as_bytes()).is_none(), "{text:?}");
        }
        let seed = STANDARD.encode([7; 32]);
        for (epoch, is_read) in [("3", true), ("+3", false), ("18446744073709551615", false)] {
            let text = format!("log {epoch} {seed}\n");
            assert_eq!(
                SealKey::from_file(text.as_bytes()).is_some(),
                is_read,
                "{epoch}"
            );
        }
        assert!("AAAA".parse::<PublicKey>().is_err());
        // The neutral point: every signature would verify.
        assert!(
            "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
                .parse::<PublicKey>()
                .is_err()
        );
    }

    #[test]
    fn key_file_names_are_exact() {
        assert_eq!(SealKey::epoch_of("seal-key-12"), Some(12));
        for name in [
            "seal-key-",
            "seal-key-012",
            "seal-key-+1",
            "seal-key-1.tmp",
            "seal-key-18446744073709551615",
            "key-1",
        ] {
            assert_eq!(SealKey::epoch_of(name), None, "{name}");
        }
    }
}
