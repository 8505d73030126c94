//! The daemon's SSH key: Ed25519, created on the first start, readable by the daemon alone.

use super::failure::with_remedy;
use super::remedy;
use pulse_core::rpc::uuid_from_random;
use pulse_core::trust::{Demand, Untrusted};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use std::borrow::Cow;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The private key's file in the key store.
pub(crate) const FILE_NAME: &str = "id_ed25519";

/// Only the daemon's user may read it.
const KEY_MODE: u32 = 0o600;

/// A private key is some 400 bytes.
const MAX_KEY_BYTES: usize = 64 * 1024;

/// An error that leaves the daemon without a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be opened, read or written.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The credential that systemd has passed cannot be read.
    #[error("{}", path.display())]
    Credential {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// Other users can read the key.
    #[error("{}: other users can read this private key (mode {mode:04o})", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Other users can change or replace the key.
    #[error("the SSH key is refused")]
    Untrusted(#[source] Untrusted),
    /// The key has a passphrase, which nobody could enter.
    #[error("{}: the key has a passphrase", .0.display())]
    Encrypted(PathBuf),
    /// The key has another algorithm.
    #[error("{}: the key is not Ed25519", .0.display())]
    OtherType(PathBuf),
    /// The file is not a private key.
    #[error("{}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// No key can be made.
    #[error("{}: cannot make a key: {reason}", path.display())]
    NotMade {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

impl KeyError {
    /// The remedy; `None` if the error's own text ends with it.
    pub(crate) fn remedy(&self) -> Option<Cow<'static, str>> {
        const REPLACE: &str =
            "a new one is made at the next start, and every node has to accept that";
        Some(match self {
            Self::Io { path, error } => remedy::of_own_file(path, "ssh_dir", error),
            // systemd makes the file, in a directory of its own, for the user of the service.
            Self::Credential { error, .. } => match error.kind() {
                io::ErrorKind::InvalidInput
                | io::ErrorKind::FileTooLarge
                | io::ErrorKind::PermissionDenied => format!(
                    "correct the LoadCredential= or LoadCredentialEncrypted= line for {CREDENTIAL} \
                     in `systemctl cat pulse-sensor-proxy`, and restart the service"
                )
                .into(),
                _ => remedy::of_system(error).into(),
            },
            Self::TooOpen { path, .. } => format!(
                "run chmod 600 {}, and consider replacing the key: move it away, {REPLACE}",
                path.display()
            )
            .into(),
            // Who may change it, and the command that prevents it.
            Self::Untrusted(_) => return None,
            Self::Encrypted(path) => {
                format!("remove it: `ssh-keygen -p -N '' -f {}`", path.display()).into()
            }
            Self::OtherType(_) => format!("move it away, {REPLACE}").into(),
            Self::Unusable { .. } => {
                format!("put back the key from a backup, or move the file away: {REPLACE}").into()
            }
            Self::NotMade { .. } => "start the daemon again when the host has booted; if that \
                                     lasts, the kernel's log (dmesg) may say more"
                .into(),
        })
    }

    /// The whole sentence.
    pub(crate) fn message(&self) -> String {
        with_remedy(self, self.remedy())
    }
}

/// The key's name as a credential (`LoadCredentialEncrypted=`, systemd.exec(5)).
pub(crate) const CREDENTIAL: &str = "pulse-sensor-proxy.id_ed25519";

/// The directory of the service's credentials, if systemd has passed any.
#[must_use]
pub(crate) fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// The key of the start.
pub(crate) struct FoundKey {
    pub(crate) key: PrivateKey,
    /// The file of the key store, in which it may change; `None` for a credential, which does not
    /// change while the service runs.
    pub(crate) watched: Option<PathBuf>,
}

/// Loads the key from the credentials if it is there, else from the key store, where it is
/// created if there is none.
///
/// # Errors
/// [`KeyError`] when it can be neither read nor created.
pub(crate) fn find_or_create(
    credentials: Option<&Path>,
    ssh_dir: &Path,
) -> Result<FoundKey, KeyError> {
    let from_store = || {
        load_or_create(ssh_dir).map(|key| FoundKey {
            key,
            watched: Some(ssh_dir.join(FILE_NAME)),
        })
    };
    let Some(path) = credentials.map(|directory| directory.join(CREDENTIAL)) else {
        return from_store();
    };
    match open(&path) {
        // systemd makes it readable for this user by an access list, which the mode shows as
        // a right of the group: the mode proves nothing here.
        Ok((file, judged)) => {
            judged.map_err(KeyError::Untrusted)?;
            Ok(FoundKey {
                key: publish(
                    read(file, &path).map_err(of_credential)?,
                    &ssh_dir.join(FILE_NAME),
                )?,
                watched: None,
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => from_store(),
        Err(error) => Err(KeyError::Credential { path, error }),
    }
}

/// The error of a read, for a key that is a credential.
fn of_credential(error: KeyError) -> KeyError {
    match error {
        KeyError::Io { path, error } => KeyError::Credential { path, error },
        other => other,
    }
}

/// Loads the key of a key store, or creates it.
fn load_or_create(ssh_dir: &Path) -> Result<PrivateKey, KeyError> {
    let path = ssh_dir.join(FILE_NAME);
    match load(&path) {
        Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            create(ssh_dir, &path)
        }
        loaded => loaded,
    }
}

/// Loads the key of a key store, unless other users can read or change it.
///
/// # Errors
/// [`KeyError`].
pub(crate) fn load(path: &Path) -> Result<PrivateKey, KeyError> {
    let io_error = |error| KeyError::Io {
        path: path.to_owned(),
        error,
    };
    let (file, judged) = open(path).map_err(io_error)?;
    // Before the owners: a key that others could read has to be replaced, not only
    // protected.
    let mode = file.metadata().map_err(io_error)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::TooOpen {
            path: path.to_owned(),
            mode,
        });
    }
    judged.map_err(KeyError::Untrusted)?;
    read(file, path)
}

/// The public key as an `authorized_keys` line, without options.
///
/// # Errors
/// [`KeyError::Unusable`] when it cannot be written as one.
pub(crate) fn public_line(key: &PrivateKey) -> Result<String, KeyError> {
    key.public_key()
        .to_openssh()
        .map_err(|e| unusable(Path::new(FILE_NAME), &e))
}

/// Opens a key and judges who may change it: that user could have the nodes let in a key of
/// its own.
fn open(path: &Path) -> io::Result<(File, Result<(), Untrusted>)> {
    pulse_trust::examine(path, pulse_trust::owners(), Demand::Unwritable)
}

fn read(file: File, path: &Path) -> Result<PrivateKey, KeyError> {
    let io_error = |error| KeyError::Io {
        path: path.to_owned(),
        error,
    };
    // Room for all of it: a vector that grows leaves copies behind that nobody zeroises.
    let mut pem = Zeroizing::new(Vec::with_capacity(MAX_KEY_BYTES + 1));
    pulse_files::read_into(&mut pem, file, MAX_KEY_BYTES).map_err(io_error)?;
    let key = PrivateKey::from_openssh(pem.as_slice()).map_err(|e| unusable(path, &e))?;
    if key.is_encrypted() {
        return Err(KeyError::Encrypted(path.to_owned()));
    }
    if key.key_data().ed25519().is_none() {
        return Err(KeyError::OtherType(path.to_owned()));
    }
    Ok(key)
}

fn create(ssh_dir: &Path, path: &Path) -> Result<PrivateKey, KeyError> {
    let io_error = |error| KeyError::Io {
        path: path.to_owned(),
        error,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(ssh_dir)
        .map_err(io_error)?;
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|e| not_made(path, &e))?;
    let mut key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    key.set_comment(format!("pulse-sensor-proxy@{}", host_name()));
    let pem = key
        .to_openssh(LineEnding::LF)
        .map_err(|e| not_made(path, &e))?;
    write_new(path, KEY_MODE, pem.as_bytes()).map_err(io_error)?;
    tracing::info!("created the SSH key {}", path.display());
    publish(key, path)
}

/// Writes the public key beside the private one, for people and `ssh-copy-id`.
fn publish(key: PrivateKey, path: &Path) -> Result<PrivateKey, KeyError> {
    let path = path.with_extension("pub");
    let line = format!("{}\n", public_line(&key)?);
    // A file that is up to date is not written again.
    if !pulse_files::read(&path, line.len()).is_ok_and(|it| it == line.as_bytes()) {
        write_new(&path, 0o644, line.as_bytes()).map_err(|error| KeyError::Io { path, error })?;
    }
    Ok(key)
}

/// Writes a file whole or not at all: beside its place, synced, then renamed.
fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    let beside = path.with_extension(uuid_from_random(random));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = pulse_files::open_with(&mut options, &beside)?;
    // Synced before the rename, or a crash could leave an empty file under the final name.
    let renamed = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&beside, path));
    if renamed.is_err() {
        // The failure itself is reported; the leftover is harmless.
        let _ = std::fs::remove_file(&beside);
    }
    renamed?;
    // The name is an entry of the directory: without this sync a power failure could lose a key
    // that the operator has already installed on nodes.
    let directory = path.parent().unwrap_or(Path::new("."));
    pulse_files::open_directory(directory)?.sync_all()
}

fn host_name() -> String {
    // The comment is part of a line, and the kernel permits any bytes in a host name.
    pulse_sandbox::host_name()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
        .take(64)
        .collect()
}

fn not_made(path: &Path, reason: &dyn std::fmt::Display) -> KeyError {
    KeyError::NotMade {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> KeyError {
    KeyError::Unusable {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn key_is_created_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("a/ssh");
        let made = load_or_create(&store).unwrap();
        let mode = |name: &str| std::fs::metadata(store.join(name)).unwrap().mode() & 0o7777;
        assert_eq!((mode("id_ed25519"), mode("id_ed25519.pub")), (0o600, 0o644));
        assert_eq!(std::fs::metadata(&store).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(std::fs::read_dir(&store).unwrap().count(), 2);
        let loaded = load_or_create(&store).unwrap();
        assert_eq!(public_line(&made).unwrap(), public_line(&loaded).unwrap());
    }

    #[test]
    fn credential_precedes_the_key_store() {
        let dir = tempfile::tempdir().unwrap();
        let (credentials, store) = (dir.path().join("credentials"), dir.path().join("ssh"));
        let kept = load_or_create(&credentials).unwrap();
        let from_store = find_or_create(Some(&credentials), &store).unwrap();
        assert_ne!(
            public_line(&kept).unwrap(),
            public_line(&from_store.key).unwrap()
        );
        let credential = credentials.join(CREDENTIAL);
        std::fs::rename(credentials.join(FILE_NAME), &credential).unwrap();
        // As systemd leaves it: an access list shows as a group's rights.
        std::fs::set_permissions(&credential, std::fs::Permissions::from_mode(0o440)).unwrap();
        let found = find_or_create(Some(&credentials), &store).unwrap();
        assert_eq!(
            public_line(&kept).unwrap(),
            public_line(&found.key).unwrap()
        );
        assert_eq!((from_store.watched.is_some(), found.watched), (true, None));
        let public = std::fs::read_to_string(store.join("id_ed25519.pub")).unwrap();
        assert_eq!(public.trim_end(), public_line(&kept).unwrap());
    }

    #[test]
    fn readable_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create(dir.path()).unwrap();
        let path = dir.path().join(FILE_NAME);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = load_or_create(dir.path()).unwrap_err();
        assert!(
            matches!(error, KeyError::TooOpen { mode: 0o640, .. }),
            "{error}"
        );
    }

    #[test]
    fn other_file_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        write_new(&path, 0o600, b"not a key\n").unwrap();
        assert!(matches!(
            load_or_create(dir.path()),
            Err(KeyError::Unusable { .. })
        ));
        assert_eq!(std::fs::read(&path).unwrap(), b"not a key\n");
    }
}
