//! The page of the configuration file.

use crate::programs::see_also;
use crate::roff::Page;
use pulse_core::config::{Change, DEFAULT_PATH, FILE, Key, NODES_DIRECTORY};

/// The page.
pub(crate) fn page() -> Page {
    let mut page = Page::new(
        "pulse-sensor-proxy-config",
        5,
        "configuration of pulse-sensor-proxy",
    );
    page.heading("Synopsis");
    page.paragraph(&format!("`{DEFAULT_PATH}`"));
    page.heading("Description");
    page.paragraph(
        "The file is TOML. The daemon reads it at start and on SIGHUP, and never writes it. Each \
         key below has its default. An unknown key is an error, and so is a file, or a directory \
         above it, that users other than root and the daemon's user can write to. \
         `pulse-sensorctl config check FILE` checks a file.",
    );
    page.heading("Keys at the top");
    section(&mut page, &FILE);
    page.heading("Files of nodes");
    page.paragraph(&format!(
        "Each file NAME.toml in `{NODES_DIRECTORY}`, in the directory of the configuration file, lists \
         one node, with the keys of a table in allowed_nodes: name, which is the file's name, and \
         address, port and user. A node is in one file or in allowed_nodes. The files are as strict \
         as the configuration file and are read at the same times; a mistake in one refuses all."
    ));
    see_also(&mut page, &["pulse-sensor-proxy(8)", "pulse-sensorctl(1)"]);
    page
}

/// The keys, then the sections, as TOML wants it.
fn section(page: &mut Page, table: &Key) {
    let (sections, keys): (Vec<&Key>, Vec<&Key>) = table
        .keys()
        .iter()
        .partition(|key| key.change == Change::PerKey);
    for key in keys {
        self::key(page, key);
    }
    if !sections.is_empty() {
        page.heading("Sections");
    }
    for inner in sections {
        page.subheading(&format!("[{}]", inner.name));
        page.paragraph(&description(inner));
        section(page, inner);
    }
}

fn key(page: &mut Page, key: &Key) {
    let term = match key.default {
        Some(default) => format!("{} = {}", key.name, one_line(default)),
        None => key.name.to_owned(),
    };
    page.term(&term, &description(key));
    let change = match key.change {
        Change::Restart => " Restart required.",
        Change::Reload | Change::PerKey => "",
    };
    page.continuation(&format!("Value: {}.{change}", key.shape));
    if let Some(variable) = key.variable {
        page.continuation(&format!("`{variable}` in the environment overrides it."));
    }
    if let Some(example) = key.example {
        page.continuation(&format!("Example: `{} = {}`", key.name, one_line(example)));
    }
    for inner in key.keys() {
        let default = inner
            .default
            .map_or_else(String::new, |default| format!("; {default} by default"));
        let description = description(inner);
        page.continuation(&format!(
            "`{}`: {}{default}. {description}",
            inner.name, inner.shape
        ));
    }
}

fn description(key: &Key) -> String {
    key.description.concat().trim().to_owned()
}

fn one_line(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}
