//! The private keys of a state directory, as evidence of where the log ends.
//!
//! The next key is stored before the seal that announces it is written, and the one that
//! made the seal is erased when the seal is on disk. So the directory holds the key that
//! the log's last seal announced. Where it holds others only, records were cut off: the
//! erased key cannot be made again. A file's name and what it says of itself are worth
//! nothing in this, for root can change both; the public half is computed from the key.

use crate::key::{PublicKey, SealKey};
use crate::regular::{RegularFile, names_in};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longer than any key's file, in bytes.
const MAX_FILE_BYTES: u64 = 512;
/// Two are left by a crash in the middle of a seal, and never more.
const MAX_KEYS: usize = 64;
/// How often a directory that seems to hold no key is listed.
const LOOKS: usize = 10;

/// What a state directory holds.
#[derive(Clone, Debug, Default)]
pub struct StateKeys {
    /// Where it can be looked at again.
    directory: Option<PathBuf>,
    held: Vec<HeldKey>,
    /// Files with a key's name that hold none, or cannot be read, and why.
    unusable: Vec<String>,
}

/// A private key, without what is private of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeldKey {
    pub(super) file: String,
    /// Of which log and epoch it says it is.
    pub(super) log_id: String,
    pub(super) epoch: u64,
    pub(super) public: PublicKey,
}

impl StateKeys {
    /// Reads a directory. Read it before the log's files are opened: what it says, the log
    /// must have reached by then.
    ///
    /// # Errors
    /// The operating system's, when the directory cannot be listed. A file that cannot be
    /// read is [unusable](Self::why_unknown).
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut keys = Self::default();
        for _ in 0..LOOKS {
            keys = Self::look_into(directory)?;
            if !keys.held.is_empty() || !keys.unusable.is_empty() {
                break;
            }
            // A seal that was made meanwhile put one key in and took the other out, and
            // readdir(2) need not show either.
        }
        keys.directory = Some(directory.to_owned());
        Ok(keys)
    }

    fn look_into(directory: &Path) -> io::Result<Self> {
        let mut names = names_in(directory)?;
        names.retain(|name| SealKey::epoch_of(name).is_some());
        if names.len() > MAX_KEYS {
            let text = format!("{}: more than {MAX_KEYS} keys", directory.display());
            return Err(io::Error::other(text));
        }
        let mut keys = Self::default();
        for path in names.into_iter().map(|name| directory.join(name)) {
            let mut text = Zeroizing::new(Vec::with_capacity(512));
            let file = RegularFile::open(&path);
            match file.and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut text)) {
                Ok(_) => keys.add(&path.display().to_string(), &text),
                // Erased since the directory was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => (),
                Err(error) => keys.unusable.push(error.to_string()),
            }
        }
        Ok(keys)
    }

    /// The same of files by their names and contents.
    #[must_use]
    pub fn of_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut keys = Self::default();
        for (name, text) in files {
            keys.add(name, text);
        }
        keys
    }

    fn add(&mut self, file: &str, text: &[u8]) {
        let file = file.to_owned();
        match SealKey::from_file(text) {
            Some(key) => self.held.push(HeldKey {
                file,
                public: key.public(),
                epoch: key.epoch,
                log_id: key.log_id,
            }),
            None => self.unusable.push(format!("{file}: not a private key")),
        }
    }

    /// Whether there is a key that a log can be held against.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.held.is_empty()
    }

    /// Why nothing follows from the directory; none when it holds a key.
    #[must_use]
    pub fn why_unknown(&self) -> Option<String> {
        if self.is_usable() {
            return None;
        }
        if let Some(first) = self.unusable.first() {
            return Some(first.clone());
        }
        let directory = self.directory.as_deref();
        let directory = directory.map_or("it".into(), Path::to_string_lossy);
        Some(format!("{directory} holds no key"))
    }

    pub(super) fn held(&self) -> &[HeldKey] {
        &self.held
    }

    /// Whether the directory holds other keys now: a seal was made since it was read.
    pub(super) fn has_changed(&self) -> bool {
        let now = self.directory.as_deref().map(Self::read);
        matches!(now, Some(Ok(now)) if now.held != self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn keys_are_told_by_their_public_half_and_the_rest_is_named() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        let key = SealKey::generate("log", 5).unwrap();
        fs::write(path("seal-key-4"), &*key.to_file()).unwrap();
        fs::write(path("seal-key-7.new"), "x").unwrap();
        let keys = StateKeys::read(home.path()).unwrap();
        assert_eq!(keys.why_unknown(), None);
        assert_eq!(keys.held().len(), 1);
        let held = &keys.held()[0];
        assert_eq!((held.public, held.epoch), (key.public(), 5));
        assert!(!keys.has_changed());
        let next = SealKey::generate("log", 6).unwrap();
        fs::write(path("seal-key-6"), &*next.to_file()).unwrap();
        assert!(keys.has_changed());
        for name in ["seal-key-4", "seal-key-6"] {
            fs::write(path(name), "log 4 AAAA\n").unwrap();
        }
        let why = StateKeys::read(home.path()).unwrap().why_unknown().unwrap();
        assert!(why.ends_with(": not a private key"), "{why}");
        fs::remove_file(path("seal-key-6")).unwrap();
        fs::remove_file(path("seal-key-4")).unwrap();
        let why = StateKeys::read(home.path()).unwrap().why_unknown().unwrap();
        assert_eq!(why, format!("{} holds no key", home.path().display()));
    }

    #[test]
    fn no_more_keys_are_read_than_there_can_be() {
        let home = tempfile::tempdir().unwrap();
        for epoch in 0..=MAX_KEYS {
            fs::write(home.path().join(SealKey::file_name(epoch as u64)), "").unwrap();
        }
        assert!(StateKeys::read(home.path()).is_err());
    }
}
