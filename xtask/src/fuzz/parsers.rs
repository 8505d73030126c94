//! Which target fuzzes which parser: "a target for every parser" is a table, and a test holds
//! the code to it.
//!
//! A parser is a function that takes bytes or text and has a name that says so. The test finds
//! them in the source of every crate whose programs read what others wrote; one that is not in
//! the table fails it, and so does a line whose function is gone. The operator's tool reads
//! answers of the daemon and the operator's own words, and is left out.

/// Whose source is looked through.
const CRATES: [&str; 7] = [
    "audit", "confine", "core", "forward", "node", "proxy", "relp",
];

/// Targets of what is no parser.
const WITHOUT_A_PARSER: [&str; 1] = ["limiter"];

/// File below `crates`, function, and the target that reaches it.
const PARSERS: &[(&str, &str, &str)] = &[];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::target;
    use crate::workspace::root;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// Names of parsers, and beginnings of them.
    const NAMES: [&str; 9] = [
        "accepted", "decode", "decoded", "feed", "members", "parse", "read", "receive", "validity",
    ];
    const PREFIXES: [&str; 3] = ["from_", "parse_", "read_"];
    /// What a parser takes.
    const ARGUMENTS: [&str; 6] = ["[u8]", "str", "BufRead", "OsStr", "OsString", "impl Read"];

    #[test]
    fn every_parser_has_a_target() {
        let targets = target::names().unwrap();
        let known: BTreeSet<_> = PARSERS
            .iter()
            .map(|(file, name, _)| (*file, *name))
            .collect();
        assert_eq!(known.len(), PARSERS.len(), "a line stands twice");
        for (file, name, target) in PARSERS {
            assert!(
                targets.iter().any(|known| known == target),
                "{file} {name}: no {target}"
            );
        }
        let mut found = BTreeSet::new();
        for name in CRATES {
            let directory = root().join("crates").join(name).join("src");
            look_through(&directory, &mut found);
        }
        let known: BTreeSet<(String, String)> = known
            .into_iter()
            .map(|(file, name)| (file.into(), name.into()))
            .collect();
        let missing: Vec<_> = found.difference(&known).collect();
        assert!(
            missing.is_empty(),
            "parsers without a fuzz target: {missing:#?}"
        );
        let gone: Vec<_> = known.difference(&found).collect();
        assert!(
            gone.is_empty(),
            "parsers that are not there any more: {gone:#?}"
        );
    }

    #[test]
    fn every_target_is_for_some_parser() {
        for target in target::names().unwrap() {
            let is_named = PARSERS.iter().any(|(_, _, named)| *named == target);
            assert!(
                is_named || WITHOUT_A_PARSER.contains(&target.as_str()),
                "{target}"
            );
        }
    }

    fn look_through(directory: &Path, found: &mut BTreeSet<(String, String)>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look_through(&path, found);
                continue;
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.ends_with(".rs") || ["tests.rs", "fuzzing.rs"].contains(&name.as_str()) {
                continue;
            }
            let file = path.strip_prefix(root().join("crates")).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            let parsers = parsers(&text).into_iter();
            found.extend(parsers.map(|name| (file.to_string_lossy().into_owned(), name)));
        }
    }

    /// The parsers of a file, tests left out.
    fn parsers(text: &str) -> Vec<String> {
        let end = text.find("#[cfg(test)]").unwrap_or(text.len());
        let functions = text[..end].split("fn ").skip(1);
        let parser = |function: &str| {
            let (head, _) = function.split_once(['{', ';'])?;
            let name = head.split(['(', '<']).next()?.trim();
            let arguments = head.split_once('(')?.1;
            let (arguments, _) = arguments.split_once("->").unwrap_or((arguments, ""));
            let is_named = NAMES.contains(&name) || PREFIXES.iter().any(|p| name.starts_with(p));
            let takes = ARGUMENTS.iter().any(|kind| is_word(arguments, kind));
            (is_named && takes).then(|| name.to_owned())
        };
        functions.filter_map(parser).collect()
    }

    /// Whether a type is among arguments, and not only a part of another one's name.
    fn is_word(arguments: &str, kind: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        arguments.match_indices(kind).any(|(at, _)| {
            let (before, after) = (&arguments[..at], &arguments[at + kind.len()..]);
            !before.ends_with(is_part) && !after.starts_with(is_part)
        })
    }

    #[test]
    fn parsers_are_told_from_other_functions() {
        let text = "
            pub fn parse(line: &'a [u8]) -> Option<Self> { }
            fn from_str(text: &str) -> Result<Self, E> { }
            pub(crate) fn read<R>(file: impl Read) -> R { }
            fn read(&self) -> io::Result<String> { }
            fn parse_it(number: u32, structure: Structure) -> u32 { }
            fn shown(text: &str) -> String { }
            #[cfg(test)]
            fn parse_test(text: &str) { }
        ";
        assert_eq!(parsers(text), ["parse", "from_str", "read"]);
    }
}
