//! The daemon's SSH key, read again when its file changes, so that a restored or replaced key
//! needs no restart.

use crate::startup::key::{self, FoundKey, KeyError};
use pulse_trust::{Check, LastRead};
use russh::keys::{HashAlg, PrivateKey};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The key with which the daemon logs in.
pub(crate) struct LoginKey {
    /// `None` for a credential of systemd, which does not change while the service runs.
    path: Option<PathBuf>,
    state: Mutex<State>,
    key: watch::Sender<Arc<PrivateKey>>,
}

#[derive(Default)]
struct State {
    last: LastRead,
    /// The reason that the file cannot be used now.
    problem: Option<String>,
}

impl LoginKey {
    /// The key that was found at the start.
    pub(crate) fn new(found: FoundKey) -> Self {
        Self {
            path: found.watched,
            state: Mutex::default(),
            key: watch::Sender::new(Arc::new(found.key)),
        }
    }

    /// Receives the key whenever it changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<PrivateKey>> {
        self.key.subscribe()
    }

    /// The key for a new connection: that of the file as it is now. While the file cannot be
    /// used, the previous one: the nodes that accept it decide about it, not the file.
    pub(crate) fn current(&self) -> Arc<PrivateKey> {
        self.check(Check::Quick);
        Arc::clone(&self.key.borrow())
    }

    /// Its public half, as a line of `authorized_keys`.
    pub(crate) fn public_line(&self) -> String {
        // A key that was read can be written.
        key::public_line(&self.key.borrow()).unwrap_or_default()
    }

    /// The reason that the file cannot be used now, with its remedy.
    pub(crate) fn problem(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let problem = state.problem.as_deref()?;
        Some(format!(
            "the SSH key cannot be used, the one that was read last stays in use: {problem}"
        ))
    }

    /// Reads the file again if it has changed or could not be read.
    pub(crate) fn check(&self, check: Check) {
        let Some(path) = &self.path else {
            return;
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(read) = state.last.read_again(path, check, key::load) else {
            return;
        };
        let problem = read.as_ref().err().map(KeyError::message);
        // Each connection checks it, so only a change is logged.
        if state.problem != problem {
            match &problem {
                Some(problem) => tracing::error!(
                    "cannot use the SSH key, the previous one stays in use: {problem}"
                ),
                None => tracing::info!("the SSH key {} can be used again", path.display()),
            }
            state.problem = problem;
        }
        if let Ok(key) = read {
            // A file that was written again with the same key lifts no delay.
            self.key.send_if_modified(|current| {
                let is_other = current.public_key().key_data() != key.public_key().key_data();
                if is_other {
                    tracing::info!(
                        "read another SSH key from {} ({}): new connections use it, and nodes have to accept it",
                        path.display(),
                        key.public_key().fingerprint(HashAlg::Sha256)
                    );
                    *current = Arc::new(key);
                }
                is_other
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn found(store: &Path) -> FoundKey {
        key::find_or_create(None, store).unwrap()
    }

    fn line_of(store: &Path) -> String {
        key::public_line(&found(store).key).unwrap()
    }

    #[test]
    fn other_key_is_used_at_once() {
        let home = tempfile::tempdir().unwrap();
        let [store, other] = ["a", "b"].map(|name| home.path().join(name));
        let login = LoginKey::new(found(&store));
        let mut changes = login.subscribe();
        let line = || key::public_line(&login.current()).unwrap();
        assert_eq!(line(), line_of(&store));
        assert!(!changes.has_changed().unwrap());
        let expected = line_of(&other);
        let file = store.join(key::FILE_NAME);
        fs::rename(other.join(key::FILE_NAME), &file).unwrap();
        assert_eq!((line(), login.public_line()), (expected.clone(), expected));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        // The same key in another file is no change.
        let text = fs::read(&file).unwrap();
        fs::write(&file, text).unwrap();
        line();
        assert!(!changes.has_changed().unwrap());
    }

    #[test]
    fn unusable_file_keeps_the_key() {
        let home = tempfile::tempdir().unwrap();
        let login = LoginKey::new(found(home.path()));
        let file = home.path().join(key::FILE_NAME);
        let good = fs::read(&file).unwrap();
        let line = login.public_line();
        let problem = || login.problem();
        let now = || key::public_line(&login.current()).unwrap();
        fs::write(&file, "not a key").unwrap();
        assert_eq!(now(), line);
        assert!(problem().is_some());
        fs::write(&file, &good).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(now(), line);
        assert!(problem().unwrap().contains("chmod 600"), "{:?}", problem());
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert_eq!((now(), problem()), (line.clone(), None));
        fs::remove_file(&file).unwrap();
        assert_eq!(now(), line);
        assert!(problem().is_some());
    }
}
