//! The command line of `pulse-simnode`.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: pulse-simnode --document FILE [--nodes N] [--listeners N] [--authorized-key FILE]

Serves simulated nodes on loopback until standard input closes.

  --document FILE        the document of every reading, one line of JSON
  --nodes N              the number of connections to expect (default 1)
  --listeners N          the number of ports to distribute them over (default 1)
  --authorized-key FILE  the public key that may log in (default: any key)

Prints one JSON line when it listens,
  {\"nodes\":N,\"listeners\":[{\"port\":P,\"nodes\":N,\"host_key\":\"[127.0.0.1]:P ssh-ed25519 ...\"}]}
and one with counters at the end.
";

/// The parsed options.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) nodes: usize,
    pub(crate) listeners: usize,
    pub(crate) document: PathBuf,
    pub(crate) authorized_key: Option<PathBuf>,
}

impl Options {
    /// Parses arguments, without the program's name. The error is a sentence.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let (mut nodes, mut listeners) = (1, 1);
        let (mut document, mut authorized_key) = (None, None);
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let name = name.to_string_lossy();
            let mut next = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{name} needs a value"))
            };
            match &*name {
                "--nodes" => nodes = count(&name, &next()?)?,
                "--listeners" => listeners = count(&name, &next()?)?,
                "--document" => document = Some(PathBuf::from(next()?)),
                "--authorized-key" => authorized_key = Some(PathBuf::from(next()?)),
                _ => return Err(format!("unknown argument {name:?}")),
            }
        }
        Ok(Self {
            nodes,
            listeners,
            document: document.ok_or("--document is missing")?,
            authorized_key,
        })
    }

    /// The number of nodes of each listener; the first ones have the remainder.
    pub(crate) fn shares(&self) -> impl Iterator<Item = usize> {
        let (each, rest) = (self.nodes / self.listeners, self.nodes % self.listeners);
        (0..self.listeners).map(move |index| each + usize::from(index < rest))
    }
}

fn count(name: &str, value: &OsString) -> Result<usize, String> {
    value
        .to_string_lossy()
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("{name} needs a number above 0, not {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        Options::parse(text.split_whitespace().map(OsString::from))
    }

    #[test]
    fn listeners_share_all_nodes() {
        let options = parse("--document d --nodes 10 --listeners 4").unwrap();
        assert_eq!(options.shares().collect::<Vec<_>>(), [3, 3, 2, 2]);
    }

    #[test]
    fn wrong_option_is_named() {
        assert_eq!(parse("").unwrap_err(), "--document is missing");
        assert_eq!(parse("--nodes").unwrap_err(), "--nodes needs a value");
        assert!(
            parse("--nodes 0 --document d")
                .unwrap_err()
                .contains("above 0")
        );
        assert!(parse("--what").unwrap_err().contains("--what"));
    }
}
