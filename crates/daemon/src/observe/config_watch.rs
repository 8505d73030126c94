//! The configuration file and `nodes.d`, compared with what was loaded.
//!
//! Nobody tells the daemon of a refused reload under its unit: `ExecReload=` checks the files first,
//! and sends no signal if there is a mistake. So the files are looked at with the clock, by their
//! metadata alone while these stay the same.

use crate::startup::settings;
use pulse_core::config::{Config, NODES_DIRECTORY};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The most files of `nodes.d` that are looked at one by one: this is done on the thread that serves
/// callers. Of more, the directory alone is looked at, which shows added, removed and renamed files.
const MAX_WATCHED: usize = 1000;

/// The version of a file.
type FileVersion = (u64, u64, u64, [i64; 4]);

/// The versions of the configuration, of `nodes.d` and of its entries; `None` for what cannot be
/// examined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Versions(Vec<(PathBuf, Option<FileVersion>)>);

impl Versions {
    fn now(configuration: &Path) -> Self {
        let nodes = configuration.with_file_name(NODES_DIRECTORY);
        let mut entries: Vec<PathBuf> = std::fs::read_dir(&nodes)
            .into_iter()
            .flatten()
            .take(MAX_WATCHED + 1)
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        if entries.len() > MAX_WATCHED {
            entries.clear();
        }
        entries.sort_unstable();
        let paths = [configuration.to_owned(), nodes].into_iter().chain(entries);
        let versions = paths.map(|path| {
            let version = path.metadata().ok().as_ref().map(version);
            (path, version)
        });
        Self(versions.collect())
    }
}

fn version(found: &Metadata) -> FileVersion {
    let times = [
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
    ];
    (found.dev(), found.ino(), found.size(), times)
}

/// The outcome of a check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ConfigCheck {
    /// The files are those of the last check.
    Unchanged,
    /// They have changed.
    Changed {
        /// The reason that the configuration in force is not theirs; `None` if it is.
        problem: Option<String>,
    },
}

/// The configuration that was loaded last, and whether the files are still those.
pub(crate) struct ConfigWatch {
    path: PathBuf,
    loaded: Config,
    /// The sentence about keys of it that are not in force before a restart.
    kept: Option<String>,
    seen: Versions,
}

impl ConfigWatch {
    /// Watches the files that this configuration was loaded from at the start.
    pub(crate) fn over(path: &Path, loaded: Config) -> Self {
        Self {
            path: path.to_owned(),
            loaded,
            kept: None,
            seen: Versions::now(path),
        }
    }

    /// The files are about to be loaded: a later change of theirs is noticed.
    pub(crate) fn about_to_load(&mut self) {
        self.seen = Versions::now(&self.path);
    }

    /// The files were loaded; `kept` is about keys that need a restart.
    pub(crate) fn loaded(&mut self, config: Config, kept: Option<String>) {
        self.loaded = config;
        self.kept = kept;
    }

    /// Compares the files with those of the last check.
    pub(crate) fn check(&mut self) -> ConfigCheck {
        let now = Versions::now(&self.path);
        if now == self.seen {
            return ConfigCheck::Unchanged;
        }
        self.seen = now;
        let path = self.path.display();
        let problem = match settings::load(&self.path) {
            Ok(found) if found.config == self.loaded => self.kept.clone(),
            Ok(_) => Some(format!(
                "{path} or a file of {NODES_DIRECTORY} was changed and is not loaded, the previous \
                 one stays in force: reload the daemon (systemctl reload pulse-sensor-proxy)"
            )),
            Err(error) => Some(format!(
                "the configuration was changed and is not loaded, the previous one stays in force: \
                 {}; then reload the daemon (systemctl reload pulse-sensor-proxy)",
                error.message()
            )),
        };
        ConfigCheck::Changed { problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn problem(watch: &mut ConfigWatch) -> Option<String> {
        match watch.check() {
            ConfigCheck::Changed { problem } => problem,
            ConfigCheck::Unchanged => panic!("the change is not noticed"),
        }
    }

    #[test]
    fn change_is_a_problem_until_it_is_loaded() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        let nodes = home.path().join(NODES_DIRECTORY);
        fs::create_dir(&nodes).unwrap();
        let good = "allowed_nodes = ['pve1']\n";
        fs::write(&path, good).unwrap();
        let mut watch = ConfigWatch::over(&path, settings::load(&path).unwrap().config);
        assert_eq!(watch.check(), ConfigCheck::Unchanged);

        // As `systemctl reload` refuses it before any signal.
        fs::write(&path, "allowed_node = []\n").unwrap();
        let sentence = problem(&mut watch).unwrap();
        for part in ["is not loaded", "line 1, column 1", "systemctl reload"] {
            assert!(sentence.contains(part), "{sentence}");
        }
        assert_eq!(watch.check(), ConfigCheck::Unchanged);
        fs::write(&path, good).unwrap();
        assert_eq!(problem(&mut watch), None);

        // A node that waits for a reload.
        fs::write(nodes.join("pve2.toml"), "name = 'pve2'\n").unwrap();
        let sentence = problem(&mut watch).unwrap();
        assert!(sentence.contains("nodes.d was changed"), "{sentence}");
        watch.about_to_load();
        let kept = Some("restart".to_owned());
        watch.loaded(settings::load(&path).unwrap().config, kept.clone());
        assert_eq!(watch.check(), ConfigCheck::Unchanged);

        // Saved again without a change: what was wrong still is.
        fs::write(&path, format!("# the same\n{good}")).unwrap();
        assert_eq!(problem(&mut watch), kept);
    }

    #[test]
    fn large_directory_is_looked_at_as_a_whole() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        let nodes = home.path().join(NODES_DIRECTORY);
        fs::create_dir(&nodes).unwrap();
        fs::write(&path, "").unwrap();
        for number in 0..=MAX_WATCHED {
            let name = format!("pve{number}");
            fs::write(
                nodes.join(format!("{name}.toml")),
                format!("name = '{name}'\n"),
            )
            .unwrap();
        }
        let mut watch = ConfigWatch::over(&path, settings::load(&path).unwrap().config);
        fs::write(nodes.join("pve1.toml"), "name = 'pve1'\nport = 23\n").unwrap();
        assert_eq!(watch.check(), ConfigCheck::Unchanged);
        fs::remove_file(nodes.join("pve2.toml")).unwrap();
        assert!(problem(&mut watch).is_some());
    }
}
