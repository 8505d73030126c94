//! The files of `nodes.d`, read by one function for the daemon, its `--check` and
//! `pulse-sensorctl config check`, so that all of them refuse the same.

use crate::{examine, steps};
use pulse_core::config::{
    ConfigError, Keys, MAX_NODE_FILE_BYTES, MAX_NODES_ENTRIES, NODES_DIRECTORY, NodeFiles,
    NodesEntry,
};
use pulse_core::trust::{Demand, FileKind, Owners, Untrusted};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The keys of a configuration with the nodes of `nodes.d`.
#[derive(Clone, Debug)]
pub struct WithNodes {
    /// The keys, every node in `allowed_nodes`.
    pub keys: Keys,
    /// The names of the files that were not read, in order ([`NodesEntry::Other`]).
    pub unread: Vec<String>,
}

/// The reason why the nodes of `nodes.d` are not known.
#[derive(Debug, thiserror::Error)]
pub enum NodesError {
    /// The directory or a file cannot be read, or is too large.
    #[error("{}", path.display())]
    Unreadable {
        /// The directory or file.
        path: PathBuf,
        /// Which of them it is.
        kind: FileKind,
        /// The system's error; `FileTooLarge` for too many entries.
        source: io::Error,
    },
    /// Other users can change the directory or a file.
    #[error(transparent)]
    Untrusted(Untrusted),
    /// There is a mistake in a file.
    #[error("{}", path.display())]
    Mistake {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: String,
        /// The mistake, with line and column.
        source: ConfigError,
    },
}

/// The consequence of a directory or file that other users can change.
#[derive(Debug)]
pub enum OnUntrusted<'a> {
    /// The error [`NodesError::Untrusted`]; what such a file says is not looked at.
    Refuse,
    /// One more entry here, for a command that reports every flaw and applies no setting.
    Collect(&'a mut Vec<Untrusted>),
}

impl OnUntrusted<'_> {
    fn take(&mut self, untrusted: Untrusted) -> Result<(), NodesError> {
        match self {
            Self::Refuse => Err(NodesError::Untrusted(untrusted)),
            Self::Collect(found) => {
                found.push(untrusted);
                Ok(())
            }
        }
    }
}

/// Reads the files of `nodes.d` in the directory of `configuration`, an absolute path, and adds
/// their nodes to its keys. Without that directory there are none.
///
/// # Errors
/// [`NodesError`] for the first file, in the order of names, that is not exactly as it should be.
pub fn add_nodes(
    configuration: &Path,
    keys: Keys,
    owners: &Owners,
    mut on_untrusted: OnUntrusted<'_>,
) -> Result<WithNodes, NodesError> {
    let directory = configuration.with_file_name(NODES_DIRECTORY);
    // Of the entry itself: a link without a target is a mistake, not a missing directory.
    match directory.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(WithNodes {
                keys,
                unread: Vec::new(),
            });
        }
        found => found.map_err(|error| unreadable(&directory, FileKind::Directory, error))?,
    };
    let passed =
        steps(&directory).map_err(|error| unreadable(&directory, FileKind::Directory, error))?;
    let judged = owners.judge(&passed, FileKind::Directory, Demand::Unwritable);
    let is_trusted = judged.is_ok();
    judged.or_else(|untrusted| on_untrusted.take(untrusted))?;
    let mut nodes = NodeFiles::beside(keys);
    let mut unread = Vec::new();
    for name in names(&directory, MAX_NODES_ENTRIES)
        .map_err(|error| unreadable(&directory, FileKind::Directory, error))?
    {
        // Where a name is not UTF-8, it is no node's either: its file is refused for that.
        let shown = name.to_string_lossy();
        let expected = match NodesEntry::of(&shown) {
            NodesEntry::Node(expected) => expected,
            NodesEntry::Leftover => continue,
            NodesEntry::Other => {
                unread.push(shown.into_owned());
                continue;
            }
        };
        let path = directory.join(&name);
        let (file, judged) = examine(&path, owners, Demand::Unwritable)
            .map_err(|error| unreadable(&path, FileKind::File, error))?;
        if let Err(untrusted) = judged
            // A flaw of the directory is one of every file in it, and already taken.
            && (is_trusted || untrusted.is_target())
        {
            on_untrusted.take(untrusted)?;
        }
        let text = text_of(file).map_err(|error| unreadable(&path, FileKind::File, error))?;
        if let Err(source) = nodes.add(expected, &text) {
            return Err(NodesError::Mistake { path, text, source });
        }
    }
    Ok(WithNodes {
        keys: nodes.into_keys(),
        unread,
    })
}

fn unreadable(path: &Path, kind: FileKind, error: io::Error) -> NodesError {
    // The usual remedy, to create the file, would be wrong: the directory lists it.
    let source = if error.kind() == ErrorKind::NotFound {
        let why = "a link to a missing file, or a file that was removed just now";
        io::Error::new(ErrorKind::InvalidInput, why)
    } else {
        error
    };
    NodesError::Unreadable {
        path: path.to_owned(),
        kind,
        source,
    }
}

/// The names of at most `limit` entries, sorted: the same mistake is reported each time.
fn names(directory: &Path, limit: usize) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        if names.len() == limit {
            let why = format!("more than {limit} files");
            return Err(io::Error::new(ErrorKind::FileTooLarge, why));
        }
        names.push(entry?.file_name());
    }
    names.sort_unstable();
    Ok(names)
}

fn text_of(file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    pulse_files::read_into(&mut bytes, file, MAX_NODE_FILE_BYTES)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owners;
    use pulse_core::causes::Causes;
    use pulse_core::config::Config;
    use std::ffi::OsStr;
    use std::fs::{self, Permissions};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use tempfile::TempDir;

    /// A configuration file's directory, with the directory of nodes.
    struct Home(TempDir);

    impl Home {
        fn new() -> Self {
            let home = Self::without_nodes();
            fs::create_dir(home.nodes()).unwrap();
            set(&home.nodes(), 0o755);
            home
        }

        fn without_nodes() -> Self {
            let directory = tempfile::tempdir().unwrap();
            set(directory.path(), 0o755);
            Self(directory)
        }

        fn nodes(&self) -> PathBuf {
            self.0.path().join(NODES_DIRECTORY)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.nodes().join(name);
            fs::write(&path, text).unwrap();
            set(&path, 0o644);
            path
        }

        fn read(&self, on_untrusted: OnUntrusted<'_>) -> Result<WithNodes, NodesError> {
            let keys = Keys::parse("allowed_nodes = ['listed']").unwrap();
            add_nodes(
                &self.0.path().join("config.toml"),
                keys,
                owners(),
                on_untrusted,
            )
        }

        /// The names of the nodes, and of the files that are not read.
        fn names(&self) -> (Vec<String>, Vec<String>) {
            let WithNodes { keys, unread } = self.read(OnUntrusted::Refuse).unwrap();
            let nodes = Config::from(keys).nodes.into_keys();
            (nodes.map(|name| name.to_string()).collect(), unread)
        }

        fn refusal(&self) -> String {
            let error = self.read(OnUntrusted::Refuse).unwrap_err();
            Causes(&error).to_string()
        }
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn every_file_is_a_node() {
        let home = Home::without_nodes();
        assert_eq!(home.names(), (vec!["listed".to_owned()], vec![]));
        let home = Home::new();
        assert_eq!(home.names(), (vec!["listed".to_owned()], vec![]));
        for name in ["b", "a"] {
            home.write(&format!("{name}.toml"), &format!("name = '{name}'"));
        }
        for leftover in [".c.toml", ".c.toml.swp", "c.toml~", "c.toml.dpkg-new"] {
            home.write(leftover, "not TOML");
        }
        home.write("d.toml.bak", "not TOML");
        fs::create_dir(home.nodes().join("directory")).unwrap();
        let nodes = ["a", "b", "listed"].map(str::to_owned).to_vec();
        let unread = ["d.toml.bak", "directory"].map(str::to_owned).to_vec();
        assert_eq!(home.names(), (nodes, unread));
        // Files may be kept elsewhere, as configuration management does.
        let elsewhere = home.0.path().join("elsewhere");
        fs::rename(home.nodes(), &elsewhere).unwrap();
        symlink("elsewhere", home.nodes()).unwrap();
        symlink("../e.node", elsewhere.join("e.toml")).unwrap();
        fs::write(home.0.path().join("e.node"), "name = 'e'").unwrap();
        set(&home.0.path().join("e.node"), 0o644);
        assert_eq!(home.names().0, ["a", "b", "e", "listed"]);
    }

    #[test]
    fn mistake_names_its_file() {
        let home = Home::new();
        home.write("a.toml", "name = 'a'");
        for (name, text, place) in [
            ("b.toml", "name = 'b'\nx = 1", "b.toml: line 2, column 1"),
            ("b.toml", "name = 'c'", "has to be named c.toml"),
            (
                "A.toml",
                "name = 'A'",
                "a.toml: line 1, column 8: node \"a\" is in another file",
            ),
            ("listed.toml", "name = 'listed'", "in allowed_nodes too"),
        ] {
            let path = home.write(name, text);
            let said = home.refusal();
            assert!(said.contains(place), "{place}: {said}");
            fs::remove_file(path).unwrap();
        }
        let odd = home.nodes().join(OsStr::from_bytes(b"\xff.toml"));
        fs::write(&odd, "name = 'b'").unwrap();
        set(&odd, 0o644);
        assert!(home.refusal().contains("named b.toml"));
    }

    #[test]
    fn unreadable_file_is_named() {
        let home = Home::new();
        let path = home.write("a.toml", "");
        for (content, said) in [
            (b"\xff".to_vec(), "a.toml: not UTF-8 text"),
            (
                vec![b'#'; MAX_NODE_FILE_BYTES + 1],
                "a.toml: more than 16384 bytes",
            ),
        ] {
            fs::write(&path, content).unwrap();
            assert!(home.refusal().ends_with(said), "{}", home.refusal());
        }
        fs::remove_file(&path).unwrap();
        symlink("nowhere", &path).unwrap();
        assert!(home.refusal().contains("a.toml: a link to a missing file"));
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        assert!(home.refusal().ends_with("a.toml: not a regular file"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(home.refusal().ends_with("a.toml: not a regular file"));
        fs::remove_dir_all(home.nodes()).unwrap();
        symlink("nowhere", home.nodes()).unwrap();
        assert!(home.refusal().contains("nodes.d: a link to a missing file"));
        fs::remove_file(home.nodes()).unwrap();
        fs::write(home.nodes(), "").unwrap();
        assert!(home.refusal().contains("nodes.d (mode"));
        assert!(home.refusal().ends_with("is not a directory"));
    }

    #[test]
    fn number_of_files_is_bounded() {
        let home = Home::new();
        for name in [".c", "b", "a"] {
            home.write(name, "");
        }
        assert_eq!(names(&home.nodes(), 3).unwrap(), [".c", "a", "b"]);
        let error = names(&home.nodes(), 2).unwrap_err();
        assert_eq!(error.to_string(), "more than 2 files");
    }

    #[test]
    fn files_of_others_are_refused() {
        let home = Home::new();
        let path = home.write("a.toml", "name = 'a'");
        let other = home.write("b.toml", "name = 'b'");
        for exposed in [&path, &home.nodes(), &home.0.path().to_owned()] {
            let before = fs::metadata(exposed).unwrap().permissions().mode();
            set(exposed, before | 0o020);
            let said = home.refusal();
            let remedy = format!("chmod g-w {}", exposed.display());
            assert!(said.ends_with(&remedy), "{said}");
            // One flaw is reported once, whatever files it exposes.
            let mut found = Vec::new();
            let all = home.read(OnUntrusted::Collect(&mut found)).unwrap();
            assert_eq!(Config::from(all.keys).nodes.len(), 3);
            assert_eq!(found.len(), 1, "{found:?}");
            set(exposed, before);
        }
        assert_eq!(home.names().0, ["a", "b", "listed"]);
        // A directory without files is judged too.
        fs::remove_file(path).unwrap();
        fs::remove_file(&other).unwrap();
        set(&home.nodes(), 0o775);
        assert!(home.refusal().contains("chmod g-w"));
        set(&home.nodes(), 0o755);
        if nix::unistd::geteuid().is_root() {
            home.write("b.toml", "name = 'b'");
            chown(&other, Some(4001), None).unwrap();
            assert!(home.refusal().contains("b.toml (mode 0644, owner 4001)"));
        }
    }

    #[test]
    fn exposed_file_is_not_parsed() {
        let home = Home::new();
        set(&home.write("a.toml", "a mistake"), 0o664);
        assert!(home.refusal().contains("chmod g-w"));
        let mut found = Vec::new();
        let error = home.read(OnUntrusted::Collect(&mut found)).unwrap_err();
        assert!(matches!(error, NodesError::Mistake { .. }), "{error:?}");
        assert_eq!(found.len(), 1);
    }
}
