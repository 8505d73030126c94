//! The private keys of a state directory, as evidence of the end of the log.
//!
//! The next key is stored before the seal that announces it is written, and the key that made
//! the seal is erased when the seal is on disk. So the directory has the key that the last
//! seal announced. If it has only others, records were cut off: an erased key cannot be
//! restored. The names of files and the epochs in them prove nothing, because root can change
//! both; the public key is computed from the private one.

use crate::key::{PublicKey, SealKey};
use crate::regular::{RegularFile, names_in};
use pulse_core::state_format::parse_format;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// More bytes than a key file has.
const MAX_FILE_BYTES: u64 = 512;
/// The most key files. A crash during a seal leaves two.
const MAX_KEYS: usize = 64;
/// The most listings of a directory without keys.
const MAX_LISTINGS: usize = 10;

/// The keys in a state directory.
#[derive(Clone, Debug, Default)]
pub struct StateKeys {
    /// The directory, if it can be read again.
    directory: Option<PathBuf>,
    held: Vec<HeldKey>,
    /// Errors of key files that cannot be read or parsed.
    unusable: Vec<String>,
}

/// The public part of a private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeldKey {
    pub(super) file: String,
    /// The log and epoch in the file.
    pub(super) log_id: String,
    pub(super) epoch: u64,
    pub(super) public: PublicKey,
}

impl StateKeys {
    /// Reads a directory. It must be read before the log's files are opened, so that the log has
    /// reached its keys.
    ///
    /// # Errors
    /// The operating system's, when the directory cannot be listed. A file that cannot be
    /// read is [unusable](Self::why_unknown).
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut keys = Self::default();
        for _ in 0..MAX_LISTINGS {
            keys = Self::look_into(directory)?;
            if !keys.held.is_empty() {
                break;
            }
            // A seal at the same time adds one key and erases the other: readdir(2) may show
            // neither, or only the file that is being overwritten.
        }
        keys.directory = Some(directory.to_owned());
        Ok(keys)
    }

    fn look_into(directory: &Path) -> io::Result<Self> {
        let mut names = names_in(directory)?;
        names.retain(|name| SealKey::epoch_of(name).is_some());
        if names.len() > MAX_KEYS {
            return Err(io::Error::other(format!(
                "{}: more than {MAX_KEYS} keys",
                directory.display()
            )));
        }
        let mut keys = Self::default();
        for path in names.into_iter().map(|name| directory.join(name)) {
            let mut text = Zeroizing::new(Vec::with_capacity(512));
            let file = RegularFile::open(&path);
            match file.and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut text)) {
                Ok(_) => keys.add(&path.display().to_string(), &text),
                // Erased meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => (),
                Err(error) => keys.unusable.push(error.to_string()),
            }
        }
        Ok(keys)
    }

    /// The keys in files with these names and contents.
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
        if let Err(format) = parse_format(text) {
            return self.unusable.push(format!("{file}: {format}"));
        }
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

    /// True when there is a key.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.held.is_empty()
    }

    /// Why the directory proves nothing; none when it has a key.
    #[must_use]
    pub fn why_unknown(&self) -> Option<String> {
        if self.is_usable() {
            return None;
        }
        if let Some(first) = self.unusable.first() {
            return Some(first.clone());
        }
        let directory = self
            .directory
            .as_deref()
            .map_or("it".into(), Path::to_string_lossy);
        Some(format!("{directory} holds no key"))
    }

    pub(super) fn held(&self) -> &[HeldKey] {
        &self.held
    }

    /// True when the directory has other keys now, because a seal was made meanwhile.
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
    fn keys_are_read_by_content() {
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
        fs::write(path("seal-key-4"), "format 2 0.4.0\nlog 4 AAAA\n").unwrap();
        let why = StateKeys::read(home.path()).unwrap().why_unknown().unwrap();
        let part = "seal-key-4: release 0.4.0 wrote it in format 2, and this release, ";
        assert!(why.contains(part), "{why}");
        fs::remove_file(path("seal-key-4")).unwrap();
        let why = StateKeys::read(home.path()).unwrap().why_unknown().unwrap();
        assert_eq!(why, format!("{} holds no key", home.path().display()));
    }

    #[test]
    fn too_many_keys_are_refused() {
        let home = tempfile::tempdir().unwrap();
        for epoch in 0..=MAX_KEYS {
            fs::write(home.path().join(SealKey::file_name(epoch as u64)), "").unwrap();
        }
        assert!(StateKeys::read(home.path()).is_err());
    }
}
