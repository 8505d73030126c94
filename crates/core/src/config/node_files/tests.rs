use super::*;
use crate::config::{Config, MAX_CONFIG_BYTES, NodeSettings};

fn beside(config: &str) -> NodeFiles {
    NodeFiles::beside(Keys::parse(config).unwrap())
}

/// The configuration with these files.
fn with(config: &str, files: &[(&str, &str)]) -> Result<Config, String> {
    let mut nodes = beside(config);
    for (name, text) in files {
        let added = nodes.add(name, text);
        added.map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(nodes.into_keys().into())
}

fn settings(address: &str, port: u16, user: &str) -> NodeSettings {
    NodeSettings {
        address: address.parse().ok(),
        port,
        user: user.into(),
    }
}

#[test]
fn files_are_added_to_the_list() {
    let config = "allowed_nodes = ['pve1']\n[ssh]\nuser = 'sensors'\nport = 23";
    let all = "name = 'pve3'\naddress = '192.0.2.3'\nport = 2222\nuser = 'reader'";
    let config = with(
        config,
        &[
            ("pve2", "# the second\nname = 'pve2'\n"),
            ("pve3", all),
            ("2001:db8::4", "name = '[2001:DB8::4]'"),
        ],
    );
    let config = config.unwrap();
    let nodes = config.nodes.iter();
    let nodes: Vec<_> = nodes
        .map(|(name, node)| (name.as_str(), node.clone()))
        .collect();
    let expected = [
        ("2001:db8::4", settings("2001:db8::4", 23, "sensors")),
        ("pve1", settings("", 23, "sensors")),
        ("pve2", settings("", 23, "sensors")),
        ("pve3", settings("192.0.2.3", 2222, "reader")),
    ];
    assert_eq!(nodes, expected);
    assert_eq!(
        config.ssh_ports().into_iter().collect::<Vec<_>>(),
        [23, 2222]
    );
}

#[test]
fn files_change_on_reload() {
    let old = with("", &[("a", "name = 'a'"), ("b", "name = 'b'")]).unwrap();
    let new = with("", &[("b", "name = 'b'\nport = 23"), ("c", "name = 'c'")]).unwrap();
    assert_eq!(old.reloaded(new.clone()), (new, vec![]));
    // The place that names a node makes no difference.
    let listed = with("allowed_nodes = ['a', 'b']", &[]).unwrap();
    assert_eq!(old.reloaded(listed).0, old);
}

#[test]
fn mistakes_have_places() {
    for (text, place, part) in [
        ("", "line 1, column 1", "missing field `name`"),
        ("name = 'a", "line 1, column", ""),
        (
            "name = 'a'\nname = 'a'",
            "line 2, column 1",
            "duplicate key",
        ),
        (
            "name = 7",
            "line 1, column 8",
            "expected a string with a node name",
        ),
        ("name = '-x'", "line 1, column 8", "\"-x\" is no node name"),
        ("name = '0.0.0.0'", "line 1, column 8", "unspecified"),
        (
            "name = 'a'\naddress = 'b'",
            "line 2, column 11",
            "no IP address",
        ),
        (
            "name = 'a'\naddress = '::'",
            "line 2, column 11",
            "unspecified",
        ),
        (
            "name = 'a'\nport = 0",
            "line 2, column 8",
            "from 1 to 65535",
        ),
        (
            "name = 'a'\nuser = 'a b'",
            "line 2, column 8",
            "no user name",
        ),
        (
            "name = 'a'\nadress = '::1'",
            "line 2, column 1",
            "unknown field `adress`, did you mean `address`?",
        ),
        (
            "nam = 'a'",
            "line 1, column 1",
            "unknown field `nam`, did you mean `name`?",
        ),
        (
            "name = 'a'\ncache_ttl = '1s'",
            "line 2, column 1",
            "`cache_ttl`, it belongs in config.toml, at the top of the file",
        ),
        (
            "name = 'a'\nidle_timeout = '1s'",
            "line 2, column 1",
            "`idle_timeout`, it belongs in config.toml, below [ssh]",
        ),
        ("[a]\nname = 'a'", "line 1, column 2", "unknown field `a`"),
        (
            "\n name = 'b'",
            "line 2, column 9",
            "the file of node \"b\" has to be named b.toml, not a.toml",
        ),
        ("name = 'A'", "line 1, column 8", "has to be named A.toml"),
    ] {
        let error = beside("").add("a", text).unwrap_err().to_string();
        assert!(error.starts_with(place), "{text:?}: {error}");
        assert!(error.contains(part), "{text:?}: {error}");
    }
}

#[test]
fn file_name_is_shown_escaped() {
    let error = beside("").add("a\u{1b}[2J", "name = 'a'").unwrap_err();
    let part = "not a\\u{1b}[2J.toml";
    assert!(error.message.ends_with(part), "{error}");
}

#[test]
fn node_has_one_place() {
    let list = "allowed_nodes = ['a', { name = '192.0.2.1', port = 23 }]";
    for (name, part) in [
        ("a", "\"a\" is in allowed_nodes too: remove it there"),
        ("192.0.2.1", "\"192.0.2.1\" is in allowed_nodes too"),
        ("A", "in allowed_nodes too, as \"a\": case makes no other"),
    ] {
        let text = format!("name = '{name}'");
        let error = with(list, &[(name, &text)]).unwrap_err();
        assert!(error.contains("line 1, column 8: node"), "{error}");
        assert!(error.contains(part), "{error}");
    }
    let error = with("", &[("a", "name = 'a'"), ("A", "name = 'A'")]);
    let error = error.unwrap_err();
    assert!(error.contains("in another file too, as \"a\""), "{error}");
    // An address belongs to any number of nodes, as in the list.
    let [a, b] = ["a", "b"].map(|name| format!("name = '{name}'\naddress = '192.0.2.1'"));
    assert!(with("", &[("a", &a), ("b", &b)]).is_ok());
}

#[test]
fn refused_file_adds_nothing() {
    let mut nodes = beside("");
    for text in ["name = 'b'", "name = 'a'\nx = 1"] {
        assert!(nodes.add("a", text).is_err());
    }
    nodes.add("a", "name = 'a'").unwrap();
    assert_eq!(Config::from(nodes.into_keys()).nodes.len(), 1);
}

#[test]
fn long_file_is_refused() {
    let long = |length: usize| format!("{:#<length$}\nname = 'a'", "");
    let rest = "\nname = 'a'".len();
    let fits = long(MAX_NODE_FILE_BYTES - rest);
    assert_eq!(beside("").add("a", &fits), Ok(()));
    let error = beside("").add("a", &long(MAX_NODE_FILE_BYTES)).unwrap_err();
    assert_eq!((error.line, error.column), (1, 1));
    assert!(error.message.contains("over 16384 bytes"), "{error}");
    const { assert!(MAX_NODE_FILE_BYTES < MAX_CONFIG_BYTES) };
}

#[test]
fn names_decide_what_is_read() {
    use NodesEntry::{Leftover, Node, Other};
    for (name, expected) in [
        ("pve1.toml", Node("pve1")),
        ("pve1.example.org.toml", Node("pve1.example.org")),
        ("2001:db8::4.toml", Node("2001:db8::4")),
        ("-x.toml", Node("-x")),
        ("a b.toml", Node("a b")),
        (".toml", Leftover),
        (".pve1.toml", Leftover),
        (".pve1.toml.swp", Leftover),
        (".#pve1.toml", Leftover),
        ("#pve1.toml#", Leftover),
        ("pve1.toml~", Leftover),
        ("pve1.toml.dpkg-new", Leftover),
        ("pve1.toml.ucf-old", Leftover),
        ("pve1.toml.rpmsave", Leftover),
        ("pve1.TOML", Other),
        ("pve1.tml", Other),
        ("pve1.toml.bak", Other),
        ("README", Other),
        ("", Other),
    ] {
        assert_eq!(NodesEntry::of(name), expected, "{name}");
    }
}

#[test]
fn unread_files_are_named() {
    let remark = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        unread_remark(&names)
    };
    assert_eq!(remark(&[]), None);
    let said = remark(&["a.bak", "b\u{1b}"]).unwrap();
    assert!(said.ends_with(": a.bak, b\u{fffd}"), "{said}");
    let said = remark(&["1", "2", "3", "4", "5", "6", "7"]).unwrap();
    assert!(said.ends_with(": 1, 2, 3, 4, 5 and 2 more"), "{said}");
}
