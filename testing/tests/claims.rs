//! Claims about security name tests, and those tests exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Names of the functions in every Rust file below a directory.
fn functions(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).unwrap();
            let names = text.lines().filter_map(|line| {
                let (_, rest) = line.split_once("fn ")?;
                Some(rest.split(['(', '<']).next()?.to_owned())
            });
            found.extend(names);
        }
    }
}

/// Names in backticks in the column "held by" of a page's tables.
fn named_tests(page: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
    let mut names = Vec::new();
    let mut is_held_by = false;
    for line in text.lines() {
        let Some(row) = line.strip_prefix('|') else {
            is_held_by = false;
            continue;
        };
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap().trim();
        is_held_by |= last == "held by";
        if is_held_by {
            names.extend(last.split('`').skip(1).step_by(2).map(str::to_owned));
            let is_head = last == "held by" || last.starts_with("---");
            assert!(is_head || last.contains('`'), "{page}: no test for {line}");
        }
    }
    names
}

#[test]
fn every_claim_names_a_test() {
    let mut known = BTreeSet::new();
    for directory in ["crates", "testing", "tools"] {
        functions(&Path::new(ROOT).join(directory), &mut known);
    }
    for (page, least) in [("docs/threat-model.md", 30), ("SECURITY.md", 10)] {
        let names = named_tests(page);
        assert!(names.len() >= least, "{page} names {} tests", names.len());
        let missing: Vec<_> = names.iter().filter(|name| !known.contains(*name)).collect();
        assert!(
            missing.is_empty(),
            "{page} names tests that do not exist: {missing:?}"
        );
    }
}
