//! Keys of the seals: one pair for each epoch.
//!
//! A private key lives in one small file, from the moment before it is needed
//! until its seal is on disk. The public one stands in the log. A key file also
//! names its log, so that a key that strayed from another log is recognised.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use pulse_core::ordinal::Ordinal;
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// What names of key files begin with; the epoch follows.
pub(crate) const KEY_FILE: &str = "seal-key-";

/// A public key: what a log is verified with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

/// A text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a verification key: it is 44 characters of base64, as `audit init` printed it")]
pub struct InvalidKey;

impl PublicKey {
    /// Whether `signature`, in base64, is this key's over `message`.
    #[must_use]
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let bytes = STANDARD.decode(signature).ok();
        let bytes: Option<[u8; 64]> = bytes.and_then(|bytes| bytes.try_into().ok());
        let (Some(bytes), Ok(key)) = (bytes, VerifyingKey::from_bytes(&self.0)) else {
            return false;
        };
        key.verify_strict(message, &Signature::from_bytes(&bytes))
            .is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let bytes = STANDARD.decode(text).map_err(|_| InvalidKey)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| InvalidKey)?;
        // Points of small order would verify anything.
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| InvalidKey)?;
        (!key.is_weak()).then_some(Self(bytes)).ok_or(InvalidKey)
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

/// The private key of one epoch. It is wiped from memory when dropped.
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

    /// Signs, and gives the signature in base64.
    pub(crate) fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.key.sign(message).to_bytes())
    }

    /// The name of its file.
    pub(crate) fn file_name(epoch: u64) -> String {
        format!("{KEY_FILE}{epoch}")
    }

    /// The epoch in a file's name, when it is a key file's.
    pub(crate) fn epoch_of(name: &str) -> Option<u64> {
        Ordinal::parse(name.strip_prefix(KEY_FILE)?.as_bytes()).map(Ordinal::get)
    }

    /// Its file's text: log, epoch, seed.
    pub(crate) fn to_file(&self) -> Zeroizing<Vec<u8>> {
        let seed = Zeroizing::new(STANDARD.encode(self.key.as_bytes()));
        let text = format!("{} {} {}\n", self.log_id, self.epoch, *seed);
        Zeroizing::new(text.into_bytes())
    }

    /// Reads its file's text.
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
    let text = crate::text::hex(&id);
    Ok(String::from_utf8_lossy(&text[..32]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file_and_signs_for_its_public_half() {
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
    fn what_is_no_key_is_refused() {
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
    fn only_exact_names_are_key_files() {
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
