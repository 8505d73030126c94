//! Links, commands and modules that the repository's pages name exist, and the modules that
//! comments name.

use crate::WORDS;
use crate::workspace::root;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where no page is ours.
const SKIPPED: [&str; 2] = [".git", "target"];

struct Page {
    path: PathBuf,
    text: String,
}

impl Page {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, text }
    }

    /// What follows `before` each time, as long as its characters are `part`.
    fn after(&self, before: &str, part: fn(char) -> bool) -> Vec<&str> {
        let rests = self.text.split(before).skip(1);
        let end = |rest: &str| rest.find(|c| !part(c)).unwrap_or(rest.len());
        rests.map(|rest| &rest[..end(rest)]).collect()
    }

    /// The anchors of its headings, as GitHub makes them. A second heading of the same text
    /// would get a number; no page links to one.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.text.lines().filter_map(|line| {
            let text = line.trim_start_matches('#').strip_prefix(' ')?;
            line.starts_with('#').then_some(text)
        });
        let anchor = |heading: &str| {
            let is_kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
            let kept: String = heading.chars().filter(is_kept).collect();
            kept.to_lowercase().replace(' ', "-")
        };
        headings.map(anchor).collect()
    }

    fn has_target(&self, link: &str) -> bool {
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = match path {
            "" => self.path.clone(),
            _ => self.path.with_file_name(path),
        };
        let has_anchor = |anchor| Self::read(target.clone()).anchors().contains(anchor);
        target.exists() && (anchor.is_empty() || has_anchor(anchor))
    }
}

fn pages() -> Vec<Page> {
    files("md")
}

/// All files of ours with this extension.
fn files(wanted: &str) -> Vec<Page> {
    let mut directories = vec![root()];
    let mut pages = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                let is_skipped = SKIPPED.iter().any(|skipped| name == *skipped);
                directories.extend((!is_skipped).then_some(path));
            } else if path
                .extension()
                .is_some_and(|extension| extension == wanted)
            {
                pages.push(Page::read(path));
            }
        }
    }
    pages
}

/// Asserts that the pages name `least` things or more, each of which is there.
fn assert_all_there<'a>(
    pages: &'a [Page],
    least: usize,
    named: impl Fn(&'a Page) -> Vec<&'a str>,
    is_there: impl Fn(&Page, &str) -> bool,
) {
    let mut count = 0;
    let mut missing = Vec::new();
    for page in pages {
        let names = named(page);
        count += names.len();
        let lost = names.into_iter().filter(|name| !is_there(page, name));
        missing.extend(lost.map(|name| format!("{}: {name}", page.path.display())));
    }
    assert_eq!(missing, [""; 0]);
    assert!(count >= least, "only {count} names were found");
}

#[test]
fn links_lead_somewhere() {
    assert_all_there(
        &pages(),
        50,
        |page| page.after("](", |c| c != ')'),
        |page, link| link.contains("://") || page.has_target(link),
    );
}

#[test]
fn chores_are_known() {
    assert_all_there(
        &pages(),
        20,
        |page| page.after("cargo xtask ", |c| c.is_ascii_lowercase() || c == '-'),
        |_, chore| chore.is_empty() || WORDS.iter().any(|word| word.name == chore),
    );
}

/// Whether `path`, such as `core::callers::limiter`, is a module of a crate or an item of one.
fn is_module(path: &str) -> bool {
    let mut names = path.split("::");
    let mut directory = root()
        .join("crates")
        .join(names.next().unwrap())
        .join("src");
    let mut module = None;
    while let Some(name) = names.next() {
        let file = directory.join(format!("{name}.rs"));
        directory.push(name);
        module = match (file.is_file(), directory.join("mod.rs").is_file(), module) {
            (true, _, _) => Some(file),
            (_, true, _) => Some(directory.join("mod.rs")),
            // Only the last name can be an item.
            (_, _, Some(module)) => {
                let text = fs::read_to_string(module).unwrap();
                let is_item = |kind| text.contains(&format!("{kind} {name}"));
                let kinds = ["struct", "enum", "trait", "fn", "const"];
                return names.next().is_none() && kinds.into_iter().any(is_item);
            }
            (_, _, None) => return false,
        };
    }
    true
}

#[test]
fn modules_exist() {
    let crates = fs::read_dir(root().join("crates")).unwrap();
    let crates: BTreeSet<_> = crates.map(|entry| entry.unwrap().file_name()).collect();
    let is_path = |quoted: &&str| {
        let first = quoted.split_once("::").map(|(first, _)| Path::new(first));
        let is_name = |c: char| c.is_alphanumeric() || "_:".contains(c);
        first.is_some_and(|first| crates.contains(first.as_os_str())) && quoted.chars().all(is_name)
    };
    for (extension, least) in [("md", 40), ("rs", 5)] {
        assert_all_there(
            &files(extension),
            least,
            |page| page.text.split('`').filter(is_path).collect(),
            |_, path| is_module(path),
        );
    }
}

#[test]
fn what_is_missing_is_found() {
    assert!(is_module("core::callers::limiter"));
    assert!(is_module("daemon::observe::recorder::Recorder"));
    for missing in [
        "core::gate",
        "core::callers::Gate",
        "core::callers::gate::Caps",
    ] {
        assert!(!is_module(missing), "{missing}");
    }
    let page = Page {
        path: root().join("README.md"),
        text: "# Some `code`, and more\n".to_owned(),
    };
    assert!(page.anchors().contains("some-code-and-more"));
    assert!(page.has_target("docs/audit.md"));
    assert!(!page.has_target("docs/gone.md") && !page.has_target("docs/audit.md#gone"));
}
