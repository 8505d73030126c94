//! Links between the pages of a package. In the repository they lead from directory to directory; a
//! package has the pages in one.

use super::contents::{PACKAGES, Package};
use crate::process::{Failure, Outcome};

/// What is in no package: sources, and pages for those who change them. A link to them becomes its
/// text.
const SOURCES: [&str; 3] = ["crates/", "bench/", "TESTING.md"];

/// The page with each relative link leading to a packaged file, and no link to sources. `page` is its
/// name in the repository.
///
/// # Errors
/// When a link leads to neither.
pub(super) fn packaged(package: &Package, page: &str, text: &str) -> Outcome<String> {
    let mut rewritten = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let Some((target, after)) = after.split_once(')') else {
            break;
        };
        rest = after;
        rewritten.push_str(before);
        if target.starts_with('#') || target.contains("://") {
            rewritten += &format!("]({target})");
            continue;
        }
        let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
        let path = resolved(page, path);
        if let Some(mut place) = place(package, &path) {
            if !fragment.is_empty() {
                place = format!("{place}#{fragment}");
            }
            rewritten += &format!("]({place})");
        } else if SOURCES.iter().any(|source| path.starts_with(source))
            && let Some(label) = rewritten.rfind('[')
        {
            rewritten.remove(label);
        } else {
            return Err(Failure::new(format!(
                "{page} of the package {} leads to {path}, which is in no package",
                package.name
            )));
        }
    }
    rewritten.push_str(rest);
    Ok(rewritten)
}

/// The target of a link, as a path from the top of the repository.
fn resolved(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "" | "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The place of a file or directory of the repository: relative to the pages of this package if it
/// has the file, otherwise in another package.
fn place(package: &Package, path: &str) -> Option<String> {
    let installed = |package: &Package| {
        if path == "CHANGELOG.md" && package.has_changelog {
            return Some(format!("usr/share/doc/{}/changelog.gz", package.name));
        }
        let files = package.files.iter();
        let file = files.clone().find(|(file, _)| *file == path);
        if let Some((file, directory)) = file {
            let name = file.rsplit('/').next().unwrap_or(file);
            return Some(format!("{directory}/{name}"));
        }
        // A directory of the repository whose files are in one of the package, with its name.
        let name = path.rsplit('/').next().unwrap_or(path);
        let mut inside = files.filter(|(file, _)| file.starts_with(&format!("{path}/")));
        let (_, directory) = inside.next()?;
        directory
            .ends_with(&format!("/{name}"))
            .then(|| (*directory).to_owned())
    };
    let pages = format!("usr/share/doc/{}/", package.name);
    if let Some(file) = installed(package) {
        let relative = file.strip_prefix(&pages).map(str::to_owned);
        return Some(relative.unwrap_or(format!("/{file}")));
    }
    let file = PACKAGES.iter().find_map(installed)?;
    Some(format!("/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::root;
    use std::fs;

    #[test]
    fn links_lead_to_packaged_files() {
        let mut count = 0;
        for package in &PACKAGES {
            let pages = package
                .files
                .iter()
                .filter(|(file, _)| file.ends_with(".md"));
            for (page, _) in pages {
                let text = fs::read_to_string(root().join(page)).unwrap();
                if let Err(failure) = packaged(package, page, &text) {
                    panic!("{failure}");
                }
                count += 1;
            }
        }
        assert!(count > 10, "{count}");
    }

    #[test]
    fn links_are_rewritten() {
        let [host, node] = &PACKAGES;
        for (package, page, text, expected) in [
            (
                host,
                "docs/a.md",
                "[x](../SECURITY.md#y)",
                "[x](SECURITY.md#y)",
            ),
            (host, "SECURITY.md", "[x](docs/audit.md)", "[x](audit.md)"),
            (host, "docs/a.md", "[x](schema)", "[x](schema)"),
            (
                host,
                "docs/a.md",
                "[x](../CHANGELOG.md)",
                "[x](changelog.gz)",
            ),
            (
                host,
                "docs/a.md",
                "[x](../security/seccomp/pulse-sensor-proxy.json)",
                "[x](/usr/share/pulse-sensor-proxy/pulse-sensor-proxy.json)",
            ),
            (
                node,
                "docs/nodes.md",
                "[x](protocol.md#y)",
                "[x](/usr/share/doc/pulse-sensor-proxy/protocol.md#y)",
            ),
            (host, "docs/a.md", "a [`x`](../crates/x.rs) b", "a `x` b"),
            (
                host,
                "docs/a.md",
                "[x](#y), [z](https://z)",
                "[x](#y), [z](https://z)",
            ),
        ] {
            assert_eq!(packaged(package, page, text).unwrap(), expected);
        }
        assert!(packaged(host, "docs/a.md", "[x](none.md)").is_err());
    }
}
