use super::parse::position;
use super::*;
use crate::callers::capability::Capability;

fn error(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

#[test]
fn empty_file_is_the_defaults() {
    let config = Config::parse("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.limits.interval, Duration::from_secs(5));
    assert_eq!((config.caps.per_peer, config.caps.total), (2, 8));
    assert_eq!(config.cache_ttl, Duration::from_secs(2));
    assert!(config.nodes.is_empty());
}

#[test]
fn nodes_are_names_or_tables() {
    let text = r#"
        allowed_nodes = [
            "pve1",
            "192.0.2.9",
            { name = "pve2", address = "2001:db8::2", port = 2222, user = "reader" },
        ]
        [ssh]
        user = "sensors"
        port = 23
    "#;
    let config = Config::parse(text).unwrap();
    assert_eq!(
        config.ssh_ports().into_iter().collect::<Vec<_>>(),
        [23, 2222]
    );
    let nodes = config.nodes;
    let node = |name: &str| nodes[&NodeName::parse(name).unwrap()].clone();
    let plain = NodeSettings {
        address: None,
        port: 23,
        user: "sensors".into(),
    };
    assert_eq!(node("pve1"), plain);
    assert_eq!(
        node("192.0.2.9").address,
        Some("192.0.2.9".parse().unwrap())
    );
    let address = Some("2001:db8::2".parse().unwrap());
    assert_eq!(
        node("pve2"),
        NodeSettings {
            address,
            port: 2222,
            user: "reader".into()
        }
    );
}

#[test]
fn mapped_addresses_are_ipv4() {
    let text = "allowed_nodes = ['::ffff:192.0.2.1', { name = 'a', address = '::ffff:192.0.2.2' }]";
    let config = Config::parse(text).unwrap();
    let addresses = config.nodes.iter().map(|(name, node)| {
        let address = node.address.map(|address| address.to_string());
        (name.to_string(), address.unwrap_or_default())
    });
    let expected = [("192.0.2.1", "192.0.2.1"), ("a", "192.0.2.2")];
    assert!(addresses.eq(expected.map(|(n, a)| (n.to_owned(), a.to_owned()))));
}

#[test]
fn bare_entry_gives_read_only() {
    let text = r#"
        allowed_peers = [1000, { uid = 1001 }, { uid = 1002, capabilities = ["admin"] }]
        allowed_peer_uids = [1003, 1002]
    "#;
    let uids = Config::parse(text).unwrap().access.uids;
    for uid in [1000, 1001, 1003] {
        assert_eq!(uids[&uid], Capabilities::read_only());
    }
    assert!(uids[&1002].has(Capability::Admin) && !uids[&1002].has(Capability::Read));
}

#[test]
fn mistakes_have_places() {
    for (text, place, part) in [
        (
            "\n  allowed_node = []",
            "line 2, column 3",
            "unknown field `allowed_node`",
        ),
        (
            "log_level = 'info'\nlog_level = 'warn'",
            "line 2, column 1",
            "duplicate key",
        ),
        (
            "allowed_nodes = ['pve1', '-x']",
            "line 1, column 26",
            "\"-x\" is no node name",
        ),
        (
            "allowed_nodes = [{ name = 'a', address = 'fe80::1%eth0' }]",
            "line 1, column 42",
            "an address with a zone is not supported",
        ),
        (
            "allowed_nodes = [{ name = 'a', address = '[2001:db8::1]:22' }]",
            "line 1, column 42",
            "write that as \"port = 22\"",
        ),
        (
            "allowed_nodes = [{ name = 'a', address = 'b' }]",
            "line 1, column 42",
            "\"b\" is no IP address",
        ),
        (
            "allowed_nodes = [\n'a',\n'a']",
            "line 3, column 1",
            "\"a\" is listed twice",
        ),
        (
            "allowed_nodes = [{ name = 'a', adress = '::1' }]",
            "line 1, column 32",
            "`adress`",
        ),
        (
            "allowed_nodes = [{ name = 'a', address = 'b' }]",
            "line 1, column 42",
            "IP address",
        ),
        (
            "allowed_nodes = ['pve1', 'PVE1']",
            "line 1, column 26",
            "\"PVE1\" is listed twice, first as \"pve1\"",
        ),
        (
            "allowed_nodes = ['::1', '[0:0::1]']",
            "line 1, column 25",
            "\"::1\" is listed twice",
        ),
        (
            "allowed_nodes = ['192.0.2.1', '::ffff:192.0.2.1']",
            "line 1, column 31",
            "\"192.0.2.1\" is listed twice",
        ),
        (
            "allowed_nodes = ['0.0.0.0']",
            "line 1, column 18",
            "unspecified",
        ),
        (
            "allowed_nodes = ['[::ffff:224.0.0.1]']",
            "line 1, column 18",
            "multicast",
        ),
        (
            "allowed_nodes = [{ name = 'a', address = '::' }]",
            "line 1, column 42",
            "unspecified",
        ),
        (
            "allowed_nodes = [{ name = 'a', address = '255.255.255.255' }]",
            "line 1, column 42",
            "broadcast",
        ),
        (
            "allowed_nodes = [{ name = 'a', address = 'fe80::1' }]",
            "line 1, column 42",
            "zone",
        ),
        (
            "allowed_nodes = [{ name = 'a', port = 0 }]",
            "line 1",
            "from 1 to 65535",
        ),
        ("[ssh]\nport = 0", "line 2, column 8", "from 1 to 65535"),
        (
            "[forward]\ncollectors = [{ name = 'a', address = '0.0.0.0' }]",
            "line 2",
            "unspecified",
        ),
        (
            "\"a\u{202e}b\" = 1",
            "line 1, column 1",
            "unknown field `a\u{fffd}b`",
        ),
        (
            "allowed_nodes = [7]",
            "line 1, column 18",
            "expected a node name",
        ),
        (
            "allowed_peers = [{ uid = 1, capabilities = ['all'] }]",
            "line 1",
            "\"all\" is no capability",
        ),
        (
            "allowed_peers = [1, 1]",
            "line 1, column 21",
            "uid 1 is listed twice",
        ),
        (
            "allowed_peers = [-1]",
            "line 1, column 18",
            "this is no user id",
        ),
        (
            "read_timeout = '5'",
            "line 1, column 16",
            "\"5\" is no length of time",
        ),
        (
            "read_timeout = '25h'",
            "line 1, column 16",
            "no length of time",
        ),
        ("read_timeout = 5", "line 1, column 16", "expected a string"),
        (
            "metrics_address = 'localhost'",
            "line 1, column 19",
            "no address with a port",
        ),
        (
            "max_ssh_output_bytes = 0",
            "line 1, column 24",
            "expected a number from 1",
        ),
        (
            "[rate_limit]\nper_peer_burst = -1",
            "line 2, column 18",
            "expected a number from 1",
        ),
        (
            "[ssh]\nuser = 'a b'",
            "line 2, column 8",
            "\"a b\" is no user name",
        ),
        (
            "[audit]\nlog = '/var/log/a.log'",
            "line 2, column 7",
            "ends in /audit.log",
        ),
        (
            "[metrics]\nhost_names = ['pve1', 'pve1:9456']",
            "line 2, column 23",
            "\"pve1:9456\" is no host name",
        ),
        (
            "[metrics]\nhost_names = ['::1']",
            "line 2, column 15",
            "an IP address are always answered",
        ),
        (
            "[audit]\nretain_days = 0",
            "line 2, column 15",
            "expected a number from 1",
        ),
        (
            "[audit]\nretain_bytes = -1",
            "line 2, column 16",
            "expected a number of bytes from 1",
        ),
        (
            "[audit]\nretain_bytes = 67108863",
            "line 2, column 16",
            "less than segment_bytes (67108864)",
        ),
        ("[http]\n", "line 1, column 2", "unknown field `http`"),
        (
            "log_level = 'loud'",
            "line 1, column 13",
            "unknown variant `loud`",
        ),
        (
            "confinement = 'some'",
            "line 1, column 15",
            "unknown variant `some`",
        ),
        (
            "allowed_peers = [{ uid = 0, capabilities = ['read', 'admin'] }]",
            "line 1, column 18",
            "control_socket",
        ),
        (
            "socket_mode = '660 '",
            "line 1, column 15",
            "\"660 \" is no mode",
        ),
        (
            "socket_mode = '0770'",
            "line 1, column 15",
            "other permissions than read and write",
        ),
        (
            "socket_mode = '0066'",
            "line 1, column 15",
            "keeps the daemon's own user out",
        ),
        (
            "socket_mode = '0660'\nsocket_group = 'a b'",
            "line 2, column 16",
            "\"a b\" is no group name",
        ),
        (
            "socket_mode = '0660'\nsocket_group = 4294967295",
            "line 2, column 16",
            "this is no group id",
        ),
        (
            "socket_group = 'pulse'",
            "line 1, column 16",
            "set socket_mode = \"0660\"",
        ),
        (
            "socket_group = 'pulse'\nsocket_mode = '0600'",
            "line 1, column 16",
            "keeps group pulse out",
        ),
        (
            "control_socket = '/run/control.sock'",
            "line 1, column 18",
            "directory for this alone",
        ),
        ("x = [", "line 1", ""),
    ] {
        let error = error(text);
        assert!(error.starts_with(place), "{text:?}: {error}");
        assert!(error.contains(part), "{text:?}: {error}");
    }
}

#[test]
fn columns_count_characters() {
    assert_eq!(position("ä = 1\nöö x", 11), (2, 3));
    assert_eq!(position("", 99), (1, 1));
}

#[test]
fn retention_is_off_by_default() {
    let retention = |text: &str| Config::parse(text).unwrap().audit.retention;
    assert!(!retention("").are_set());
    assert!(!retention("[audit]\nretain_unacknowledged = true").are_set());
    let limits = retention("[audit]\nretain_days = 30\nretain_bytes = 50000000000");
    assert_eq!(limits.age, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(limits.bytes, Some(50_000_000_000));
    assert!(!limits.unacknowledged);
}

#[test]
fn retention_changes_on_reload() {
    let config = |text: &str| Config::parse(text).unwrap();
    let old = config("[audit]\nretain_days = 30");
    let kept = |text: &str| old.reloaded(config(text)).1;
    assert_eq!(kept("[audit]\nretain_days = 30"), [""; 0]);
    assert_eq!(kept("[audit]\nretain_bytes = 100000000"), [""; 0]);
    let text = "[audit]\nretain_days = 30\nsegment_days = 1";
    assert_eq!(kept(text), ["audit.segment_days"]);
}

#[test]
fn collectors_have_defaults() {
    let config = Config::parse(
        r#"
        [forward]
        mode = "all"
        collectors = [
            { name = "logs.example.org" },
            { name = "192.0.2.7", port = 20514, protocol = "syslog",
              pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" },
        ]
        "#,
    )
    .unwrap();
    let [first, second] = &config.forward.collectors[..] else {
        panic!("there are two");
    };
    assert_eq!((first.address, first.port, first.pin), (None, 6514, None));
    assert_eq!(first.protocol, forward::Protocol::Relp);
    assert_eq!(second.address, Some("192.0.2.7".parse().unwrap()));
    assert_eq!(second.pin, Some(crate::pin::Pin([0; 32])));
    assert_eq!(
        config.ports().into_iter().collect::<Vec<_>>(),
        [22, 6514, 20514]
    );
    assert!(!Config::default().forward.is_wanted());
}

#[test]
fn collector_mistakes_have_places() {
    for (line, words) in [
        (r#"collectors = [{ name = "a" }, { name = "a" }]"#, "twice"),
        (r#"collectors = [{ name = "a" }, { name = "A" }]"#, "twice"),
        (r#"collectors = [{ name = "a", port = 0 }]"#, "from 1"),
        (r#"collectors = [{ name = "a", pin = "AAAA" }]"#, "no pin"),
        (r#"collectors = [{ name = "a b" }]"#, "no node name"),
        (r#"collectors = [{ name = "a", protocol = "udp" }]"#, "udp"),
        (r#"credentials = "/etc""#, "for this alone"),
        (r#"mode = "both""#, "both"),
    ] {
        let error = Config::parse(&format!("[forward]\n{line}\n")).unwrap_err();
        assert_eq!(error.line, 2, "{line}: {error}");
        assert!(error.message.contains(words), "{line}: {error}");
    }
    let names = |count: u8| (0..count).map(|n| format!("{{ name = 'c{n}' }}"));
    let listed = |count| {
        let entries = names(count).collect::<Vec<_>>().join(", ");
        Config::parse(&format!("[forward]\ncollectors = [{entries}]"))
    };
    assert!(listed(8).is_ok());
    assert!(listed(9).unwrap_err().message.contains("can be 8"));
}

#[test]
fn socket_group_is_name_or_number() {
    let access = |group: &str| {
        let text = format!("socket_mode = '0660'\nsocket_group = {group}");
        Config::parse(&text).unwrap().socket_access
    };
    for (group, expected) in [
        ("'pulse'", SocketGroup::Name("pulse".into())),
        ("1001", SocketGroup::Id(1001)),
        ("'1001'", SocketGroup::Id(1001)),
    ] {
        let access = access(group);
        assert_eq!(access.group, Some(expected));
        assert_eq!(
            (access.mode.to_string(), access.is_narrow()),
            ("0660".into(), true)
        );
    }
    assert!(!Config::default().socket_access.is_narrow());
}

#[test]
fn wider_sockets_are_refused() {
    let access = |mode: &str, group| SocketAccess {
        mode: Config::parse(&format!("socket_mode = '{mode}'"))
            .unwrap()
            .socket_access
            .mode,
        group,
    };
    let grouped = access("0660", Some(SocketGroup::Id(50)));
    for (mode, gid, expected) in [
        (0o140_660, 50, Ok(())),
        (0o140_664, 50, Ok(())),
        (0o140_600, 7, Ok(())),
        (0o140_666, 50, Err(TooWide::Mode(0o666))),
        (0o140_660, 7, Err(TooWide::Group(7))),
    ] {
        let file = SocketFile { mode, gid };
        assert_eq!(grouped.check(file, Some(50)), expected, "{mode:o}, {gid}");
    }
    let file = SocketFile {
        mode: 0o660,
        gid: 7,
    };
    assert_eq!(access("0660", None).check(file, None), Ok(()));
    assert_eq!(
        access("0600", None).check(file, None),
        Err(TooWide::Mode(0o660))
    );
    assert_eq!(SocketAccess::default().check(file, None), Ok(()));
}

#[test]
fn integers_may_have_a_radix() {
    for (text, expected) in [("0x1_0", 16), ("0o17", 15), ("0b11", 3), ("+1_000", 1_000)] {
        let text = format!("[rate_limit]\nper_peer_burst = {text}");
        assert_eq!(Config::parse(&text).unwrap().limits.burst, expected);
    }
    for text in ["9223372036854775808", "0x1_0000_0000", "-0"] {
        let text = format!("[rate_limit]\nper_peer_burst = {text}");
        assert!(error(&text).contains("expected a number from 1"), "{text}");
    }
}

#[test]
fn newer_files_are_refused_as_such() {
    for known in [1, 2] {
        assert!(Config::parse(&format!("config_version = {known}")).is_ok());
    }
    // Unknown keys are what such a file has.
    let newer = error("allowed_clusters = []\nconfig_version = 3");
    let expected = "line 2, column 18: this daemon is older than the file: it reads versions 1 \
                    and 2, and this is version 3";
    assert_eq!(newer, expected);
    assert!(error("config_version = 0").contains("expected the number 1 or 2"));
}

#[test]
fn version_decides_the_default() {
    for (text, required) in [
        ("", false),
        ("config_version = 1", false),
        ("config_version = 2", true),
        ("[ssh]\nrequire_forced_command = true", true),
        (
            "config_version = 2\n[ssh]\nrequire_forced_command = false",
            false,
        ),
    ] {
        let config = Config::parse(text).unwrap();
        assert_eq!(config.require_forced_command, required, "{text}");
    }
}

#[test]
fn environment_overrides_the_file() {
    let text = "socket = '/a/a.sock'\n[audit]\nlog = '/a/audit.log'";
    let with = |name: &'static str, value: &'static str| {
        let mut keys = Keys::parse(text).unwrap();
        let environment = move |asked: &str| (asked == name).then(|| value.into());
        keys.override_from(&environment)
            .map(|()| Config::from(keys))
    };
    let socket = with("PULSE_SENSOR_PROXY_SOCKET", "/b/b.sock").unwrap();
    assert_eq!(socket.socket, PathBuf::from("/b/b.sock"));
    let log = with("PULSE_SENSOR_PROXY_AUDIT_LOG", "/b/audit.log").unwrap();
    assert_eq!(log.audit.log, PathBuf::from("/b/audit.log"));
    let metrics = |value| with("PULSE_SENSOR_PROXY_METRICS_ADDR", value);
    assert_eq!(metrics("").unwrap().metrics_address, None);
    let default = Config::default().metrics_address;
    assert_eq!(metrics("default").unwrap().metrics_address, default);
    let error = metrics("localhost").unwrap_err().to_string();
    let expected = "PULSE_SENSOR_PROXY_METRICS_ADDR: \"localhost\" is no address with a port";
    assert!(error.starts_with(expected), "{error}");
}
