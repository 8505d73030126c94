//! Owners and modes of files that the daemon trusts: only root and the daemon's own user
//! may be able to change them.
//!
//! The rules are those of sshd's `StrictModes` (`safe_path` in OpenSSH's misc.c): the file
//! and every directory above it belong to root or to the user, and are not writable by
//! group or others. There are three differences:
//!
//! * Symbolic links are checked too, with their directories. sshd checks the real path
//!   alone, but whoever can replace a link chooses the file.
//! * A directory with the sticky bit, such as /tmp, may be writable by others: only the
//!   owner of an entry, who is checked, can rename or remove it.
//! * Write permission of the owner's private group is refused as well: members can be
//!   added to a group at any time, and the confined daemon cannot look them up.
//!
//! POSIX access control lists need no check of their own: the group bits of the mode are
//! the mask of what they give to named users and groups (acl(5)).

use pulse_sensors::shown::scrubbed;
use std::fmt;
use std::path::{Path, PathBuf};

/// The users who may own trusted files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners(Vec<u32>);

/// A file, directory or link that is used in resolving a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathEntry {
    /// Its path, with every link before it resolved.
    pub path: PathBuf,
    /// The owner.
    pub uid: u32,
    /// The permission bits and the sticky bit.
    pub mode: u32,
    /// The file type.
    pub kind: FileKind,
}

/// The type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A FIFO, a socket or a device.
    Special,
}

/// The permissions that the target of a path must not give to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// No write permission.
    Unwritable,
    /// No write permission, and read permission for its group alone.
    Secret,
    /// No permission at all.
    Private,
}

/// A path that others can change, or a secret that they can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Untrusted {
    entry: PathEntry,
    is_target: bool,
    flaw: Flaw,
    owners: Owners,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// It is not of this type.
    Kind(FileKind),
    /// Its owner is not permitted.
    Owner,
    /// These forbidden bits are set.
    Mode(u32),
}

const STICKY: u32 = 0o1000;
const WRITABLE: u32 = 0o022;

impl Owners {
    /// Root and these users.
    #[must_use]
    pub fn root_and(users: impl IntoIterator<Item = u32>) -> Self {
        let mut owners = vec![0];
        for user in users {
            if !owners.contains(&user) {
                owners.push(user);
            }
        }
        Self(owners)
    }

    /// Checks a path, given as its entries in the order of resolution from the root
    /// directory on. Its target, the last entry, must be of type `kind`.
    ///
    /// # Errors
    /// [`Untrusted`] names the first entry that breaks a rule.
    pub fn judge(
        &self,
        entries: &[PathEntry],
        kind: FileKind,
        demand: Demand,
    ) -> Result<(), Untrusted> {
        let Some((target, parents)) = entries.split_last() else {
            return Ok(());
        };
        self.judge_parents(parents)?;
        let forbidden = match demand {
            Demand::Unwritable => WRITABLE,
            Demand::Secret => WRITABLE | 0o007,
            Demand::Private => 0o077,
        };
        // The type first: chown and chmod do not help with a wrong one.
        let flaw = if target.kind == kind {
            self.flaw(target, forbidden)
        } else {
            Some(Flaw::Kind(kind))
        };
        flaw.map_or(Ok(()), |flaw| Err(self.untrusted(target, flaw, true)))
    }

    /// Checks the directories and links of a path without its target: nobody else can make
    /// the path name another file.
    ///
    /// # Errors
    /// As [`Owners::judge`].
    pub fn judge_parents(&self, entries: &[PathEntry]) -> Result<(), Untrusted> {
        for entry in entries {
            // The mode of a link has no effect (symlink(7)).
            let is_sticky_or_link = entry.kind == FileKind::Link || entry.mode & STICKY != 0;
            let forbidden = if is_sticky_or_link { 0 } else { WRITABLE };
            if let Some(flaw) = self.flaw(entry, forbidden) {
                return Err(self.untrusted(entry, flaw, false));
            }
        }
        Ok(())
    }

    fn untrusted(&self, entry: &PathEntry, flaw: Flaw, is_target: bool) -> Untrusted {
        Untrusted {
            entry: entry.clone(),
            is_target,
            flaw,
            owners: self.clone(),
        }
    }

    fn flaw(&self, entry: &PathEntry, forbidden: u32) -> Option<Flaw> {
        if !self.0.contains(&entry.uid) {
            return Some(Flaw::Owner);
        }
        let found = entry.mode & forbidden;
        (found != 0).then_some(Flaw::Mode(found))
    }
}

impl Untrusted {
    /// True for the target of the path, false for a directory or link above it.
    #[must_use]
    pub fn is_target(&self) -> bool {
        self.is_target
    }
}

impl fmt::Display for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("root")?;
        for user in self.0.iter().skip(1) {
            write!(f, " or user {user}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            entry,
            flaw,
            owners,
            ..
        } = self;
        let path = quoted(&entry.path);
        write!(f, "{path} (mode {:04o}, owner {}) ", entry.mode, entry.uid)?;
        match *flaw {
            Flaw::Kind(FileKind::Directory) => f.write_str("is not a directory"),
            Flaw::Kind(_) => f.write_str("is not a regular file"),
            Flaw::Owner => {
                // Without -h, chown(1) changes the file that the link leads to.
                let option = if entry.kind == FileKind::Link {
                    "-h "
                } else {
                    ""
                };
                write!(f, "must belong to {owners}: chown {option}root {path}")
            }
            Flaw::Mode(bits) => {
                let who = match (bits & 0o070 != 0, bits & 0o007 != 0) {
                    (true, true) => "its group and all others",
                    (true, false) => "its group",
                    (false, _) => "all others",
                };
                let what = if bits & WRITABLE == 0 {
                    "read"
                } else {
                    "written"
                };
                write!(f, "can be {what} by {who}: chmod {} {path}", remedy(bits))
            }
        }
    }
}

/// The argument with which chmod(1) removes these bits.
fn remedy(bits: u32) -> String {
    let clause = |who: char, bits: u32| {
        let letters: String = [(4, 'r'), (2, 'w'), (1, 'x')]
            .into_iter()
            .filter(|(bit, _)| bits & bit != 0)
            .map(|(_, letter)| letter)
            .collect();
        (!letters.is_empty()).then(|| format!("{who}-{letters}"))
    };
    let clauses = [clause('g', bits >> 3 & 7), clause('o', bits & 7)];
    clauses.into_iter().flatten().collect::<Vec<_>>().join(",")
}

/// A path, quoted for a shell, so that the remedy can be copied.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    let path = scrubbed(&path);
    // Characters that a shell does not interpret in a path.
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,=".contains(c);
    if path.chars().all(plain) {
        path.into_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: u32 = 995;

    fn entry(path: &str, uid: u32, mode: u32, kind: FileKind) -> PathEntry {
        PathEntry {
            path: path.into(),
            uid,
            mode,
            kind,
        }
    }

    fn directory(path: &str, uid: u32, mode: u32) -> PathEntry {
        entry(path, uid, mode, FileKind::Directory)
    }

    fn file(uid: u32, mode: u32) -> PathEntry {
        entry("/etc/p/config.toml", uid, mode, FileKind::File)
    }

    fn judge(entries: &[PathEntry]) -> Result<(), String> {
        let judged = Owners::root_and([SERVICE]).judge(entries, FileKind::File, Demand::Unwritable);
        judged.map_err(|untrusted| untrusted.to_string())
    }

    fn below(parent: PathEntry, target: PathEntry) -> Result<(), String> {
        judge(&[directory("/", 0, 0o755), parent, target])
    }

    #[test]
    fn root_and_service_may_own_files() {
        for uid in [0, SERVICE] {
            let good = below(directory("/etc/p", uid, 0o755), file(uid, 0o644));
            assert_eq!(good, Ok(()));
            let private = below(directory("/etc/p", uid, 0o500), file(uid, 0o400));
            assert_eq!(private, Ok(()));
        }
        let neither = "must belong to root or user 995: chown root /etc/p";
        let flaw = below(directory("/etc/p", 0, 0o755), file(1000, 0o600)).unwrap_err();
        assert_eq!(
            flaw,
            format!("/etc/p/config.toml (mode 0600, owner 1000) {neither}/config.toml")
        );
        let flaw = below(directory("/etc/p", 1000, 0o755), file(0, 0o644)).unwrap_err();
        assert_eq!(flaw, format!("/etc/p (mode 0755, owner 1000) {neither}"));
    }

    #[test]
    fn nobody_else_may_write() {
        for (mode, said) in [
            (0o664, "can be written by its group: chmod g-w"),
            (0o646, "can be written by all others: chmod o-w"),
            (
                0o666,
                "can be written by its group and all others: chmod g-w,o-w",
            ),
        ] {
            let flaw = below(directory("/etc/p", 0, 0o755), file(0, mode)).unwrap_err();
            let expected = format!("{said} /etc/p/config.toml");
            assert!(flaw.ends_with(&expected), "{flaw}");
            let flaw = below(directory("/etc/p", 0, mode | 0o111), file(0, 0o644)).unwrap_err();
            assert!(flaw.ends_with(&format!("{said} /etc/p")), "{flaw}");
        }
    }

    #[test]
    fn sticky_directory_is_trusted() {
        let tmp = || directory("/tmp", 0, 0o1777);
        assert_eq!(below(tmp(), file(0, 0o644)), Ok(()));
        assert!(below(tmp(), file(1000, 0o644)).is_err());
        assert!(below(tmp(), file(0, 0o646)).is_err());
        // The owner of a sticky directory may rename every entry.
        assert!(below(directory("/tmp", 1000, 0o1777), file(0, 0o644)).is_err());
        // As a target it is writable by everybody.
        let end = Owners::root_and([]).judge(&[tmp()], FileKind::Directory, Demand::Unwritable);
        assert!(end.is_err());
        // On a file the bit has no effect.
        assert!(below(directory("/etc", 0, 0o755), file(0, 0o1666)).is_err());
    }

    #[test]
    fn link_of_another_is_refused() {
        let link = |uid| entry("/tmp/l", uid, 0o777, FileKind::Link);
        assert_eq!(below(link(0), file(0, 0o644)), Ok(()));
        let flaw = below(link(1000), file(0, 0o644)).unwrap_err();
        assert!(flaw.ends_with("chown -h root /tmp/l"), "{flaw}");
    }

    #[test]
    fn target_has_to_be_of_its_kind() {
        let pipe = entry("/etc/p", 0, 0o600, FileKind::Special);
        let flaw = judge(&[pipe]).unwrap_err();
        assert!(flaw.ends_with("is not a regular file"), "{flaw}");
        let judged =
            Owners::root_and([]).judge(&[file(0, 0o644)], FileKind::Directory, Demand::Unwritable);
        let flaw = judged.unwrap_err().to_string();
        assert!(flaw.ends_with("is not a directory"), "{flaw}");
    }

    #[test]
    fn secret_is_read_by_group_alone() {
        let judge = |mode, demand| {
            let judged =
                Owners::root_and([SERVICE]).judge(&[file(0, mode)], FileKind::File, demand);
            judged.map_err(|untrusted| untrusted.to_string())
        };
        assert_eq!(judge(0o640, Demand::Secret), Ok(()));
        assert_eq!(judge(0o600, Demand::Private), Ok(()));
        for (mode, demand, said) in [
            (
                0o644,
                Demand::Secret,
                "can be read by all others: chmod o-r ",
            ),
            (
                0o660,
                Demand::Secret,
                "can be written by its group: chmod g-w ",
            ),
            (
                0o640,
                Demand::Private,
                "can be read by its group: chmod g-r ",
            ),
            (
                0o666,
                Demand::Private,
                "can be written by its group and all others: chmod g-rw,o-rw ",
            ),
        ] {
            let flaw = judge(mode, demand).unwrap_err();
            assert!(flaw.contains(said), "{mode:o}: {flaw}");
        }
    }

    #[test]
    fn remedy_can_be_copied() {
        for (path, word) in [
            ("/a b", "'/a b'"),
            ("/it's", "'/it'\\''s'"),
            ("/$(reboot)", "'/$(reboot)'"),
            ("/a\u{1b}[2J\u{202e}", "'/a\u{fffd}[2J\u{fffd}'"),
        ] {
            let flaw = judge(&[entry(path, 0, 0o666, FileKind::File)]).unwrap_err();
            assert!(flaw.ends_with(&format!(" {word}")), "{flaw}");
        }
    }

    #[test]
    fn owners_are_named_once() {
        assert_eq!(Owners::root_and([0, 0]).to_string(), "root");
        let owners = Owners::root_and([995, 1000, 995]);
        assert_eq!(owners.to_string(), "root or user 995 or user 1000");
    }
}
