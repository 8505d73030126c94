//! Which target fuzzes which parser: "a target for every parser" is a table, and a test holds
//! the code to it.
//!
//! A parser is a function that takes bytes or text and has a name that says so. The test finds
//! them in the source of every crate whose programs read what others wrote; one that is not in
//! the table fails it, and so does a line whose function is gone. The operator's tool reads
//! answers of the daemon and the operator's own words, and is left out.

/// Whose source is looked through.
const CRATES: [&str; 9] = [
    "audit", "core", "daemon", "forward", "node", "relp", "sandbox", "sensors", "trust",
];

/// Targets of what is no single parser: what is done with what was read.
const OF_MORE: [&str; 7] = [
    "audit_against",
    "audit_collected",
    "host_certificate",
    "limiter",
    "node_ssh",
    "node_ssh_raw",
    "audit_growing",
];

/// File below `crates`, function, and the target that reaches it.
const PARSERS: &[(&str, &str, &str)] = &[
    ("audit/src/directory.rs", "read", "audit_growing"),
    ("audit/src/head_line.rs", "from_str", "audit_words"),
    ("audit/src/inventory.rs", "parse", "state_files"),
    ("audit/src/key.rs", "from_file", "state_files"),
    ("audit/src/key.rs", "from_str", "audit_words"),
    ("audit/src/line.rs", "parse", "audit_line"),
    ("audit/src/log_event.rs", "from_name", "audit_verify"),
    ("audit/src/prune/scan.rs", "read", "audit_pruned"),
    ("audit/src/recovery/end.rs", "read_tail", "audit_recovery"),
    ("audit/src/show/filter.rs", "read", "audit_show"),
    ("audit/src/show/mod.rs", "read", "audit_show"),
    ("audit/src/tail.rs", "members", "audit_verify"),
    ("audit/src/tail.rs", "read", "audit_recovery"),
    ("audit/src/time.rs", "parse", "audit_words"),
    ("audit/src/verify/mod.rs", "from_parts", "audit_words"),
    ("audit/src/verify/since.rs", "from_str", "audit_words"),
    ("daemon/src/node/document.rs", "read", "node_ssh"),
    ("daemon/src/sys/caller.rs", "read", "caller_proc"),
    ("sandbox/src/outside.rs", "parse_label", "caller_proc"),
    ("core/src/metrics/host_header.rs", "parse", "http_head"),
    ("core/src/callers/capability.rs", "from_name", "config"),
    ("core/src/event/event_type.rs", "from_name", "audit_words"),
    ("sensors/src/command.rs", "from_words", "helper_request"),
    ("sensors/src/command.rs", "parse", "command"),
    ("core/src/config.rs", "parse", "config"),
    ("core/src/config/parse.rs", "parse", "config"),
    ("core/src/config/parse.rs", "read_file", "config"),
    ("core/src/config/socket.rs", "parse", "config"),
    ("core/src/config/values.rs", "parse", "config"),
    ("sensors/src/document/reader.rs", "read", "document"),
    ("sensors/src/document/scalar.rs", "from_bare", "document"),
    ("sensors/src/document/scanner.rs", "decode", "document"),
    ("sensors/src/document/state.rs", "from_name", "document"),
    ("sensors/src/document/strict.rs", "read", "document"),
    ("sensors/src/document/tolerant.rs", "read", "document"),
    ("core/src/nodes/hosts.rs", "parse", "hosts"),
    ("core/src/nodes/known_hosts/key.rs", "decode", "known_hosts"),
    ("core/src/nodes/known_hosts/line.rs", "parse", "known_hosts"),
    ("core/src/nodes/known_hosts/mod.rs", "parse", "known_hosts"),
    (
        "core/src/nodes/known_hosts/pattern.rs",
        "parse",
        "known_hosts",
    ),
    (
        "core/src/nodes/known_hosts/pattern.rs",
        "parse_hashed",
        "known_hosts",
    ),
    ("core/src/nodes/name.rs", "from_str", "node_name"),
    ("core/src/nodes/name.rs", "parse", "node_name"),
    ("core/src/nodes/name.rs", "parse_address", "node_name"),
    ("core/src/ordinal.rs", "parse", "state_files"),
    ("core/src/state_format.rs", "parse_format", "state_files"),
    (
        "core/src/callers/container.rs",
        "from_cgroup",
        "caller_proc",
    ),
    ("core/src/callers/peer.rs", "mapped_root", "caller_proc"),
    ("core/src/pin.rs", "from_str", "pin"),
    ("sensors/src/output.rs", "is_greeting", "node_output"),
    (
        "core/src/audit_log/retention.rs",
        "from_name",
        "audit_pruned",
    ),
    ("core/src/rpc/mod.rs", "parse", "rpc_line"),
    ("core/src/rpc/mod.rs", "parse_node", "rpc_line"),
    ("core/src/callers/subid.rs", "parse", "subid"),
    ("forward/src/cursor.rs", "parse", "state_files"),
    ("forward/src/loss.rs", "parse", "state_files"),
    ("forward/src/spool.rs", "decode", "state_files"),
    ("node/src/arguments.rs", "parse", "helper_request"),
    ("node/src/confinement.rs", "parse", "helper_request"),
    ("node/src/hwmon.rs", "parse", "helper_values"),
    ("node/src/leftover.rs", "parse", "helper_values"),
    ("node/src/sysfs.rs", "parse_number", "helper_values"),
    ("daemon/src/observe/exposition.rs", "accepted", "http_head"),
    ("daemon/src/observe/scrape.rs", "parse", "http_head"),
    ("relp/src/certificate.rs", "validity", "certificate"),
    ("relp/src/collector.rs", "receive", "relp_both_ways"),
    ("relp/src/frame.rs", "feed", "relp_session"),
    ("relp/src/frame.rs", "parse", "relp_session"),
    ("relp/src/frame.rs", "parse_header", "relp_session"),
    ("relp/src/hybrid.rs", "complete", "key_share"),
    (
        "relp/src/hybrid.rs",
        "complete_hybrid_component",
        "key_share",
    ),
    ("relp/src/hybrid.rs", "start_and_complete", "key_share"),
    ("relp/src/session.rs", "accepted", "relp_session"),
    ("relp/src/session.rs", "receive", "relp_session"),
];

/// What the operator of this host alone writes, who may do more than that already.
const OF_THE_OPERATOR: [(&str, &str); 2] = [
    // Words of the tool's command line, of which a configuration is made.
    ("forward/src/rsyslog/words.rs", "from_str"),
    // The command line of the daemon.
    ("daemon/src/startup/cli.rs", "parse"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::target;
    use crate::workspace::root;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// Names of parsers, and beginnings of them.
    const NAMES: [&str; 11] = [
        "accepted",
        "decode",
        "decoded",
        "feed",
        "is_greeting",
        "mapped_root",
        "members",
        "parse",
        "read",
        "receive",
        "validity",
    ];
    const PREFIXES: [&str; 5] = ["complete", "from_", "parse_", "read_", "start_and_complete"];
    /// What a parser takes.
    const ARGUMENTS: [&str; 7] = [
        "[u8]",
        "str",
        "BufRead",
        "Certificate",
        "OsStr",
        "OsString",
        "impl Read",
    ];
    /// What is filled by a reader, and not read.
    const FILLED: &str = "mut [u8]";

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
        let of_the_operator = |(file, name): &&(String, String)| {
            OF_THE_OPERATOR.contains(&(file.as_str(), name.as_str()))
        };
        assert_eq!(
            found.iter().filter(of_the_operator).count(),
            OF_THE_OPERATOR.len()
        );
        let found: BTreeSet<_> = found
            .into_iter()
            .filter(|one| !of_the_operator(&one))
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
    fn every_target_has_a_parser() {
        for target in target::names().unwrap() {
            let is_named = PARSERS.iter().any(|(_, _, named)| *named == target);
            assert!(is_named || OF_MORE.contains(&target.as_str()), "{target}");
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
            // A trait's function that is declared alone ends with its line.
            let (head, _) = function.split_once('{')?;
            if head.contains(";\n") {
                return None;
            }
            let name = head.split(['(', '<']).next()?.trim();
            let arguments = head.split_once('(')?.1;
            let (arguments, _) = arguments.split_once("->").unwrap_or((arguments, ""));
            let is_named = NAMES.contains(&name) || PREFIXES.iter().any(|p| name.starts_with(p));
            let takes = ARGUMENTS.iter().any(|kind| is_word(arguments, kind));
            let is_parser = is_named && takes && !arguments.contains(FILLED);
            is_parser.then(|| name.to_owned())
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
    fn parsers_are_recognised() {
        let text = "
            pub fn parse(line: &'a [u8]) -> Option<Self> { }
            fn from_str(text: &str) -> Result<Self, E> { }
            pub(crate) fn read<R>(file: impl Read) -> R { }
            fn read(&self) -> io::Result<String> { }
            fn parse_it(number: u32, structure: Structure) -> u32 { }
            fn read_all(text: &str) -> String;
            fn shown(text: &str) -> String { }
            #[cfg(test)]
            fn parse_test(text: &str) { }
        ";
        assert_eq!(parsers(text), ["parse", "from_str", "read"]);
    }
}
