//! The Rust sources of a checkout, and which of them are tests.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use syn::{Attribute, Item, Meta};

/// A source file.
pub(crate) struct Source {
    /// Relative to the checkout's directory.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) tree: syn::File,
    /// Compiled into tests, benchmarks or examples only.
    pub(crate) is_test: bool,
}

/// All source files that git tracks.
pub(crate) struct Checkout {
    pub(crate) sources: Vec<Source>,
}

impl Checkout {
    /// Reads the checkout that `directory` is in.
    ///
    /// # Errors
    /// Those of git and of reading; a file that is no Rust of this edition.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        // Only what git tracks: no build output, and no checkout within this one.
        let listed = Command::new("git")
            .args(["ls-files", "-z", "*.rs"])
            .current_dir(directory)
            .output()?;
        if !listed.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&listed.stderr)));
        }
        let mut files = Vec::new();
        let mut test_modules = BTreeSet::new();
        for name in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
            let path = PathBuf::from(name);
            let text = std::fs::read_to_string(directory.join(&path))?;
            let tree = syn::parse_file(&text)
                .map_err(|error| io::Error::other(format!("{name}: {error}")))?;
            // A module is for tests by its declaration, which is in the file above its own.
            for item in &tree.items {
                if let Item::Mod(module) = item
                    && module.content.is_none()
                    && is_for_tests(&module.attrs)
                {
                    test_modules.insert(module_directory(&path).join(module.ident.to_string()));
                }
            }
            files.push((path, text, tree));
        }
        // After all files: a declaration may come later than its module.
        let sources = files.into_iter().map(|(path, text, tree)| Source {
            is_test: is_test_file(&path, &test_modules),
            path,
            text,
            tree,
        });
        Ok(Self {
            sources: sources.collect(),
        })
    }
}

/// Cargo's own directories for tests, and modules that are declared under `cfg(test)`.
fn is_test_file(path: &Path, test_modules: &BTreeSet<PathBuf>) -> bool {
    let cargos = ["tests", "benches", "examples"];
    let mut directories = path.parent().into_iter().flat_map(Path::components);
    directories.any(|part| cargos.iter().any(|name| part.as_os_str() == *name))
        || path
            .with_extension("")
            .ancestors()
            .any(|module| test_modules.contains(module))
}

/// The directory that has the modules of a file: its own for `mod.rs`, `lib.rs` and `main.rs`,
/// one of its name for others.
fn module_directory(path: &Path) -> PathBuf {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("mod.rs" | "lib.rs" | "main.rs") => path.parent().unwrap_or(path).to_owned(),
        _ => path.with_extension(""),
    }
}

/// `#[cfg(test)]`, also within `all(…)`, and whatever a test runner calls.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            // The parser prints a blank before the bracket.
            condition == "test" || condition.starts_with("all (test")
        }
        _ => is_test(attribute),
    })
}

/// `#[test]`, and those of runtimes (`#[tokio::test]`).
pub(crate) fn is_test(attribute: &Attribute) -> bool {
    let name = attribute.path().segments.last();
    name.is_some_and(|name| name.ident == "test" || name.ident == "rstest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_files() {
        let modules = BTreeSet::from(["a/src/config/tests".into()]);
        let is_test = |path| is_test_file(Path::new(path), &modules);
        assert!(is_test("a/tests/x.rs"));
        assert!(is_test("a/src/config/tests.rs"));
        assert!(is_test("a/src/config/tests/more.rs"));
        assert!(!is_test("a/src/tests_of_life.rs"));
        assert!(!is_test("a/src/config.rs"));
    }

    #[test]
    fn module_directories() {
        assert_eq!(
            module_directory(Path::new("a/src/lib.rs")),
            Path::new("a/src")
        );
        assert_eq!(
            module_directory(Path::new("a/src/b.rs")),
            Path::new("a/src/b")
        );
    }
}
