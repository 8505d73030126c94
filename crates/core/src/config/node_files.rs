//! Files of `nodes.d`: one node each, with the keys of a table in `allowed_nodes`.
//!
//! A file has the name of its node, so that adding, changing and removing a node is one operation on
//! one file, for operators and for programs. Nobody has to edit a list that others edit too. What
//! the files say is added to `allowed_nodes`: from there on the daemon knows one list of nodes.

use super::ConfigError;
use super::parse::read_file;
use super::schema::{Fault, Raw, Shape, Value, entries, refuse_unknown};
use super::table::{FILE, Keys, NodeKeys};
use super::values::NodeEntry;
use crate::nodes::name::{NodeName, shown};
use pulse_sensors::shown::scrubbed;
use std::collections::BTreeMap;
use std::fmt;
use toml::Spanned;

/// The directory of the files, in the directory of the configuration file.
pub const NODES_DIRECTORY: &str = "nodes.d";

/// The most entries of that directory, whatever they are.
pub const MAX_NODES_ENTRIES: usize = 16_384;

/// The largest file of a node, in bytes: a few keys and comments.
pub const MAX_NODE_FILE_BYTES: usize = 16 << 10;

/// The ending of the files that are read.
const ENDING: &str = ".toml";

/// Endings that dpkg(1), ucf(1) and rpm(8) append to the version that is not in use.
const PACKAGE_ENDINGS: [&str; 10] = [
    ".dpkg-dist",
    ".dpkg-new",
    ".dpkg-old",
    ".dpkg-tmp",
    ".rpmnew",
    ".rpmorig",
    ".rpmsave",
    ".ucf-dist",
    ".ucf-new",
    ".ucf-old",
];

/// The names of unread files that [`unread_remark`] has.
const MAX_SHOWN: usize = 5;

/// The meaning of an entry of `nodes.d`, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodesEntry<'a> {
    /// The file of the node with this name.
    Node(&'a str),
    /// A hidden file, or one that an editor or a package manager has left. It is ignored.
    Leftover,
    /// Another file. It is not read, and [`unread_remark`] says so: its author may expect that it
    /// is.
    Other,
}

impl<'a> NodesEntry<'a> {
    /// The meaning of this file name.
    #[must_use]
    pub fn of(file_name: &'a str) -> Self {
        // Hidden are swap files of vi and locks of Emacs too.
        let is_leftover = file_name.starts_with(['.', '#'])
            || file_name.ends_with('~')
            || PACKAGE_ENDINGS
                .iter()
                .any(|ending| file_name.ends_with(ending));
        match file_name.strip_suffix(ENDING) {
            _ if is_leftover => Self::Leftover,
            Some(node) => Self::Node(node),
            None => Self::Other,
        }
    }
}

/// A remark on the files of `nodes.d` that are not read ([`NodesEntry::Other`]), if there are any.
#[must_use]
pub fn unread_remark(names: &[String]) -> Option<String> {
    let (first, rest) = names.split_at_checked(MAX_SHOWN).unwrap_or((names, &[]));
    let more = match rest.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let first = first.join(", ");
    let text = format!(
        "{NODES_DIRECTORY} has files that are not read, since their names do not end in {ENDING}: \
         {}{more}",
        scrubbed(&first)
    );
    (!names.is_empty()).then_some(text)
}

/// The keys of a configuration, to which the files of `nodes.d` are added one after the other.
#[derive(Clone, Debug)]
pub struct NodeFiles {
    keys: Keys,
    /// Every node so far, with its place.
    places: BTreeMap<NodeName, Place>,
}

/// The place that names a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    List,
    File,
}

impl NodeFiles {
    /// No file yet: the nodes are those of `allowed_nodes`.
    #[must_use]
    pub fn beside(keys: Keys) -> Self {
        let listed = keys.allowed_nodes.iter();
        Self {
            places: listed
                .map(|entry| (entry.get_ref().name().clone(), Place::List))
                .collect(),
            keys,
        }
    }

    /// Adds the node of the file with this text. `expected` is the file's name without its ending.
    ///
    /// # Errors
    /// [`ConfigError`], with line and column, for a text that is not exactly as it should be, a file
    /// that does not have the name of its node, and a node that `allowed_nodes` or another file
    /// names.
    pub fn add(&mut self, expected: &str, text: &str) -> Result<(), ConfigError> {
        let entry = read_file(text, MAX_NODE_FILE_BYTES, |NodeFile(keys)| {
            let name = keys.name.clone();
            let entry = NodeEntry(keys);
            self.check(expected, entry.name())
                .map_err(|mistake| Fault::at(&name, mistake.to_string()))?;
            Ok(Spanned::new(name.span(), entry))
        })?;
        self.places
            .insert(entry.get_ref().name().clone(), Place::File);
        self.keys.allowed_nodes.push(entry);
        Ok(())
    }

    fn check<'a>(&'a self, expected: &'a str, name: &'a NodeName) -> Result<(), Mistake<'a>> {
        // To the letter: whoever looks for a node's file must find it, and on a file system that
        // distinguishes case there must not be two.
        if name.as_str() != expected {
            return Err(Mistake::FileName { name, expected });
        }
        match self.places.get_key_value(name) {
            None => Ok(()),
            Some((first, place)) => Err(Mistake::Twice {
                name,
                first,
                place: *place,
            }),
        }
    }

    /// The keys with all nodes.
    #[must_use]
    pub fn into_keys(self) -> Keys {
        self.keys
    }
}

/// A name that a node's file cannot have.
enum Mistake<'a> {
    FileName {
        name: &'a NodeName,
        expected: &'a str,
    },
    Twice {
        name: &'a NodeName,
        first: &'a NodeName,
        place: Place,
    },
}

impl fmt::Display for Mistake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FileName { name, expected } => write!(
                f,
                "the file of node \"{name}\" has to be named {name}{ENDING}, not {}{ENDING}",
                shown(expected)
            ),
            Self::Twice {
                name,
                first,
                place: Place::List,
            } if name.as_str() == first.as_str() => write!(
                f,
                "node \"{name}\" is in allowed_nodes too: remove it there, or remove this file"
            ),
            Self::Twice { name, first, place } => {
                let place = match place {
                    Place::List => "allowed_nodes",
                    Place::File => "another file",
                };
                write!(
                    f,
                    "node \"{name}\" is in {place} too, as \"{first}\": case makes no other node"
                )
            }
        }
    }
}

/// A whole file as a table's value.
#[derive(Clone, PartialEq)]
struct NodeFile(NodeKeys);

impl Value for NodeFile {
    const SHAPE: Shape = NodeKeys::SHAPE;

    fn read(raw: &Raw<'_>) -> Result<Self, Fault> {
        // A key of the configuration file belongs there, not at the top of this one.
        refuse_unknown(entries(raw)?, &NodeKeys::KEYS, &|name| {
            let place = FILE.place_of(name)?;
            Some(format!("in config.toml, {place}"))
        })?;
        NodeKeys::read(raw).map(Self)
    }
}

#[cfg(test)]
mod tests;
