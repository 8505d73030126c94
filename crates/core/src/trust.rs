//! Files that decide whom the daemon trusts: nobody but root and the daemon's own user may
//! be able to change them.
//!
//! The rules are those of sshd's `StrictModes` (`safe_path` in OpenSSH's misc.c): the
//! file and every directory above it belong to root or to the user in question, and
//! neither group nor others may write. It differs in three points:
//!
//! * Symbolic links are judged too, with the directories they are in. sshd looks at the
//!   real path alone; but who can replace a link chooses the file.
//! * A directory with the sticky bit passes although everybody may write there, as /tmp
//!   does: what is in it can be renamed and removed by its owner alone, who is judged.
//! * A group's right to write counts even if it is the private group of the owner: who
//!   is in a group can change at any time, and the daemon cannot see it.
//!
//! POSIX access lists need no look of their own: the most that they give to named users
//! and groups shows as the group's rights.

use pulse_sensors::shown::scrubbed;
use std::fmt;
use std::path::{Path, PathBuf};

/// The users who may own what decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners(Vec<u32>);

/// One file, directory or link that a path leads through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it is, with every link before it resolved.
    pub path: PathBuf,
    /// Who owns it.
    pub uid: u32,
    /// The permission bits, with the sticky bit.
    pub mode: u32,
    /// Its kind.
    pub kind: Kind,
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A pipe, a socket, a device.
    Special,
}

/// What others may not do with the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Write it.
    Unwritable,
    /// Write it; users outside its group may not read it either.
    Secret,
    /// Write or read it.
    Private,
}

/// Something that others may change, or a secret that they may read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Untrusted {
    step: Step,
    is_at_the_end: bool,
    flaw: Flaw,
    owners: Owners,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// It is neither a file nor a directory, as wanted.
    Kind(Kind),
    /// Its owner is none of those who may be.
    Owner,
    /// These bits are set that may not be.
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

    /// Judges a path from all that it leads through, in this order, beginning with the
    /// root directory. The end has to be of the kind `end`.
    ///
    /// # Errors
    /// [`Untrusted`] names the first step that is wrong.
    pub fn judge(&self, steps: &[Step], end: Kind, demand: Demand) -> Result<(), Untrusted> {
        let Some((last, way)) = steps.split_last() else {
            return Ok(());
        };
        self.judge_way(way)?;
        match self.flaw_of_end(last, end, demand) {
            None => Ok(()),
            Some(flaw) => Err(self.untrusted(last, flaw, true)),
        }
    }

    /// Judges directories and links that a path leads through, its last directory among
    /// them: whether somebody else can have it name something else. In a sticky directory
    /// nobody can exchange what others have there.
    ///
    /// # Errors
    /// As [`Owners::judge`].
    pub fn judge_way(&self, steps: &[Step]) -> Result<(), Untrusted> {
        for step in steps {
            if let Some(flaw) = self.flaw_on_the_way(step) {
                return Err(self.untrusted(step, flaw, false));
            }
        }
        Ok(())
    }

    fn untrusted(&self, step: &Step, flaw: Flaw, is_at_the_end: bool) -> Untrusted {
        Untrusted {
            step: step.clone(),
            is_at_the_end,
            flaw,
            owners: self.clone(),
        }
    }

    fn flaw_of_end(&self, step: &Step, end: Kind, demand: Demand) -> Option<Flaw> {
        if step.kind != end {
            return Some(Flaw::Kind(end));
        }
        if !self.0.contains(&step.uid) {
            return Some(Flaw::Owner);
        }
        let forbidden = match demand {
            Demand::Unwritable => WRITABLE,
            Demand::Secret => WRITABLE | 0o007,
            Demand::Private => 0o077,
        };
        let found = step.mode & forbidden;
        (found != 0).then_some(Flaw::Mode(found))
    }

    fn flaw_on_the_way(&self, step: &Step) -> Option<Flaw> {
        if !self.0.contains(&step.uid) {
            return Some(Flaw::Owner);
        }
        // A link's own mode means nothing (symlink(7)).
        if step.kind == Kind::Link || step.mode & STICKY != 0 {
            return None;
        }
        let found = step.mode & WRITABLE;
        (found != 0).then_some(Flaw::Mode(found))
    }
}

impl Untrusted {
    /// Whether it is what the path names, and not a directory or link on the way.
    #[must_use]
    pub fn is_at_the_end(&self) -> bool {
        self.is_at_the_end
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
            step, flaw, owners, ..
        } = self;
        let path = quoted(&step.path);
        write!(f, "{path} (mode {:04o}, owner {}) ", step.mode, step.uid)?;
        match *flaw {
            Flaw::Kind(Kind::Directory) => f.write_str("is no directory"),
            Flaw::Kind(_) => f.write_str("is no regular file"),
            Flaw::Owner => {
                let option = if step.kind == Kind::Link { "-h " } else { "" };
                write!(f, "has to belong to {owners}: chown {option}root {path}")
            }
            Flaw::Mode(bits) => {
                let who = match (bits & 0o070 != 0, bits & 0o007 != 0) {
                    (true, true) => "its group and all others",
                    (true, false) => "its group",
                    (false, _) => "all others",
                };
                let what = match bits & WRITABLE {
                    0 => "read",
                    _ => "written",
                };
                write!(f, "can be {what} by {who}: chmod {} {path}", remedy(bits))
            }
        }
    }
}

/// What chmod(1) takes these bits away with.
fn remedy(bits: u32) -> String {
    let clause = |who: char, bits: u32| {
        let letters = [(4, 'r'), (2, 'w'), (1, 'x')];
        let named = letters.iter().filter(|(bit, _)| bits & bit != 0);
        let letters: String = named.map(|(_, letter)| letter).collect();
        (!letters.is_empty()).then(|| format!("{who}-{letters}"))
    };
    let clauses = [clause('g', bits >> 3 & 7), clause('o', bits & 7)];
    clauses.into_iter().flatten().collect::<Vec<_>>().join(",")
}

/// A path as a shell takes it, so that the remedy can be copied.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    let path = scrubbed(&path);
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

    fn step(path: &str, uid: u32, mode: u32, kind: Kind) -> Step {
        Step {
            path: path.into(),
            uid,
            mode,
            kind,
        }
    }

    fn directory(path: &str, uid: u32, mode: u32) -> Step {
        step(path, uid, mode, Kind::Directory)
    }

    fn file(uid: u32, mode: u32) -> Step {
        step("/etc/p/config.toml", uid, mode, Kind::File)
    }

    fn judge(steps: &[Step]) -> Result<(), String> {
        let judged = Owners::root_and([SERVICE]).judge(steps, Kind::File, Demand::Unwritable);
        judged.map_err(|untrusted| untrusted.to_string())
    }

    fn below(between: Step, end: Step) -> Result<(), String> {
        judge(&[directory("/", 0, 0o755), between, end])
    }

    #[test]
    fn root_and_the_service_may_own_what_decides() {
        for uid in [0, SERVICE] {
            let good = below(directory("/etc/p", uid, 0o755), file(uid, 0o644));
            assert_eq!(good, Ok(()));
            let private = below(directory("/etc/p", uid, 0o500), file(uid, 0o400));
            assert_eq!(private, Ok(()));
        }
        let neither = "has to belong to root or user 995: chown root /etc/p";
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
    fn sticky_directory_passes_and_what_is_in_it_is_judged() {
        let tmp = || directory("/tmp", 0, 0o1777);
        assert_eq!(below(tmp(), file(0, 0o644)), Ok(()));
        assert!(below(tmp(), file(1000, 0o644)).is_err());
        assert!(below(tmp(), file(0, 0o646)).is_err());
        // Its owner may do anything in it.
        assert!(below(directory("/tmp", 1000, 0o1777), file(0, 0o644)).is_err());
        // As the end of a path it is for everybody to write.
        let end = Owners::root_and([]).judge(&[tmp()], Kind::Directory, Demand::Unwritable);
        assert!(end.is_err());
        // On a file the bit means nothing.
        assert!(below(directory("/etc", 0, 0o755), file(0, 0o1666)).is_err());
    }

    #[test]
    fn link_of_another_user_is_refused_whatever_its_mode() {
        let link = |uid| step("/tmp/l", uid, 0o777, Kind::Link);
        assert_eq!(below(link(0), file(0, 0o644)), Ok(()));
        let flaw = below(link(1000), file(0, 0o644)).unwrap_err();
        assert!(flaw.ends_with("chown -h root /tmp/l"), "{flaw}");
    }

    #[test]
    fn end_has_to_be_of_its_kind() {
        let pipe = step("/etc/p", 0, 0o600, Kind::Special);
        let flaw = judge(&[pipe]).unwrap_err();
        assert!(flaw.ends_with("is no regular file"), "{flaw}");
        let judged =
            Owners::root_and([]).judge(&[file(0, 0o644)], Kind::Directory, Demand::Unwritable);
        let flaw = judged.unwrap_err().to_string();
        assert!(flaw.ends_with("is no directory"), "{flaw}");
    }

    #[test]
    fn secret_may_be_read_by_its_group_and_a_private_file_by_nobody() {
        let judge = |mode, demand| {
            let judged = Owners::root_and([SERVICE]).judge(&[file(0, mode)], Kind::File, demand);
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
    fn remedy_can_be_copied_into_a_shell_and_moves_no_cursor() {
        for (path, word) in [
            ("/a b", "'/a b'"),
            ("/it's", "'/it'\\''s'"),
            ("/$(reboot)", "'/$(reboot)'"),
            ("/a\u{1b}[2J\u{202e}", "'/a\u{fffd}[2J\u{fffd}'"),
        ] {
            let flaw = judge(&[step(path, 0, 0o666, Kind::File)]).unwrap_err();
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
