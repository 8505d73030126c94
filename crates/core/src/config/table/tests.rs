//! Each key of the table is what the file, the packaged file and a reload make of it.

use super::*;
use crate::config::{Change, Config, Key, packaged};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Each key that has a value, with its section.
fn keys() -> impl Iterator<Item = (&'static Key, &'static Key)> {
    let is_section = |key: &&Key| key.change == Change::PerKey;
    let sections = [&FILE]
        .into_iter()
        .chain(FILE.keys().iter().filter(is_section));
    sections
        .flat_map(|section| section.keys().iter().map(move |key| (section, key)))
        .filter(move |(_, key)| !is_section(key))
}

/// A file in which one key has a value, and the line of the key.
fn file(section: &Key, key: &str, value: &str) -> (String, usize) {
    match section.name {
        "" => (format!("{key} = {value}\n"), 1),
        name => (format!("[{name}]\n{key} = {value}\n"), 2),
    }
}

#[test]
fn rows_are_whole() {
    for (section, key) in keys() {
        let path = key.path(section.name);
        for key in [key].into_iter().chain(key.keys()) {
            let text = key.description.concat();
            assert!(
                text.starts_with(' ') && text.ends_with('.'),
                "{path}: {text}"
            );
        }
        assert!(key.example.is_some(), "{path}");
        assert_ne!(key.example, key.default, "{path}");
        // An entry changes with its list.
        assert!(
            key.keys().iter().all(|inner| inner.change == key.change),
            "{path}"
        );
    }
}

#[test]
fn defaults_and_examples_are_values() {
    let assigned = |value: fn(&Key) -> Option<&'static str>| {
        let mut text = String::new();
        let mut last = "";
        for (section, key) in keys() {
            if section.name != last {
                last = section.name;
                text += &format!("[{last}]\n");
            }
            if let Some(value) = value(key) {
                text += &format!("{} = {value}\n", key.name);
            }
        }
        Config::parse(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
    };
    assert_eq!(assigned(|key| key.default), Config::default());
    assert_ne!(assigned(|key| key.example), Config::default());
    for (section, list) in keys().filter(|(_, key)| !key.keys().is_empty()) {
        let example = |key: &Key| format!("{} = {}", key.name, key.example.unwrap());
        let entry: Vec<_> = list.keys().iter().map(example).collect();
        let (text, _) = file(section, list.name, &format!("[{{ {} }}]", entry.join(", ")));
        Config::parse(&text).unwrap();
    }
}

#[test]
fn packaged_file_is_the_defaults() {
    let text = packaged();
    let newest = Config::parse("config_version = 2").unwrap();
    assert_eq!(Config::parse(&text).unwrap(), newest);
    for (section, key) in keys() {
        let header = format!("\n[{}]\n", section.name);
        let within = match section.name {
            "" => text.as_str(),
            _ => text.split_once(&header).expect("the section is there").1,
        };
        let (within, _) = within.split_once("\n[").unwrap_or((within, ""));
        let line = match (key.default, key.example) {
            // A new file has the newest version.
            (_, Some(newest)) if key.name == "config_version" => {
                format!("\nconfig_version = {newest}\n")
            }
            (Some(default), _) => format!("\n{} = {default}\n", key.name),
            (None, example) => format!("\n# {} = {}\n", key.name, example.unwrap()),
        };
        assert!(within.contains(&line), "{line} is not below {header}");
    }
    // Keys that are off by default may be uncommented as they are.
    let uncommented = keys().fold(text, |text, (_, key)| {
        let off = format!("\n# {} = ", key.name);
        text.replace(&off, &format!("\n{} = ", key.name))
    });
    let retention = Config::parse(&uncommented).unwrap().audit.retention;
    assert!(retention.age.is_some() && retention.bytes.is_some());
}

#[test]
fn changes_take_effect_as_declared() {
    // The user and the port of [ssh] are those of some node.
    let running = Config::parse("allowed_nodes = ['pve1']").unwrap();
    for (section, key) in keys() {
        let Some(example) = key.example else { continue };
        let path = key.path(section.name);
        let (text, _) = file(section, key.name, example);
        let table = DeTable::parse(&text).unwrap().into_inner();
        // Without the checks of keys that depend on each other.
        let read = <Keys as Value>::read(&Spanned::new(0..0, DeValue::Table(table)));
        let mut read = read.unwrap();
        if read.allowed_nodes.is_empty() {
            read.allowed_nodes.clone_from(&running.keys.allowed_nodes);
        }
        let changed = Config::from(read);
        let (next, kept) = running.reloaded(changed.clone());
        if key.change == Change::Restart {
            assert_eq!((&next, kept), (&running, vec![path]));
        } else {
            assert_eq!((&next, kept), (&changed, vec![]), "{path}");
        }
        // The value is not only read: it is in what the daemon is told.
        let keys = running.keys.clone();
        assert_ne!(Config { keys, ..changed }, running, "{}", key.name);
    }
}

/// The table of keys as docs/protocol.md has it.
fn table_of_changes() -> String {
    let row = |(section, key): (&Key, &Key)| {
        let moment = match key.change {
            Change::Reload => "reload",
            Change::Restart => "restart",
            Change::PerKey => unreachable!("a section"),
        };
        format!("| `{}` | {moment} |\n", key.path(section.name))
    };
    keys().map(row).collect()
}

#[test]
fn documentation_has_the_moments() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    let text = std::fs::read_to_string(path).unwrap();
    let table = table_of_changes();
    // With its ends, so that the page has no other rows.
    assert!(
        text.contains(&format!("| --- | --- |\n{table}\n")),
        "docs/protocol.md should have\n{table}"
    );
}

#[test]
fn unknown_keys_get_a_suggestion() {
    let misspelt = |key: &Key| key.name[..key.name.len() - 1].to_owned();
    let check = |text: &str, line: usize, key: &Key| {
        let error = Config::parse(text).unwrap_err();
        let (wrong, right) = (misspelt(key), key.name);
        let expected = format!("unknown field `{wrong}`, did you mean `{right}`?");
        assert_eq!((error.line, error.message), (line, expected), "{text}");
        let at = text.lines().nth(line - 1).unwrap().find(&wrong);
        assert_eq!(at, Some(error.column - 1), "{text}");
    };
    for section in FILE
        .keys()
        .iter()
        .filter(|key| key.change == Change::PerKey)
    {
        check(&format!("[{}]\n", misspelt(section)), 1, section);
    }
    for (section, key) in keys() {
        let (text, line) = file(section, &misspelt(key), "0");
        check(&text, line, key);
        for inner in key.keys() {
            let entry = format!("[{{ {} = 0 }}]", misspelt(inner));
            let (text, line) = file(section, key.name, &entry);
            check(&text, line, inner);
        }
    }
    let far = format!("{} = 0", "x".repeat(100_000));
    let message = Config::parse(&far).unwrap_err().message;
    assert!(message.contains("`, expected one of `config_version`, `socket`, "));
    assert!(message.len() < 1_000);
}

#[test]
fn misplaced_key_is_told_its_place() {
    for (section, key) in keys() {
        for other in [&FILE].into_iter().chain(FILE.keys().iter()) {
            let is_elsewhere = other.change == Change::PerKey
                && other.name != section.name
                && other.keys().iter().all(|other| other.name != key.name);
            if !is_elsewhere {
                continue;
            }
            let (text, line) = file(other, key.name, "0");
            let error = Config::parse(&text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            let place = match section.name {
                "" => "above the first [section]".to_owned(),
                name => format!("[{name}]"),
            };
            assert!(error.message.contains(&place), "{text}: {error}");
        }
    }
}

#[test]
fn other_types_are_told_the_right_one() {
    for (section, key) in keys() {
        let (text, line) = file(section, key.name, "1.5");
        let error = Config::parse(&text).unwrap_err();
        let place = (line, key.name.len() + 4);
        assert_eq!((error.line, error.column), place, "{text}");
        let end = format!("{}, found float", key.shape);
        assert!(error.message.starts_with("expected "), "{text}: {error}");
        assert!(error.message.ends_with(&end), "{text}: {error}");
    }
}
