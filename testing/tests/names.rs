//! Names and addresses of nodes: every spelling is the same node, and an address that no host
//! can have is refused.

use pulse_e2e::sim::{self, Behaviour, Fleet};
use pulse_e2e::{Config, Home, run};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

fn ask(fleet: &Fleet, node: &str) -> Value {
    let request = json!({"method": "get_temperature", "params": {"node": node}});
    fleet.daemon.ask(&request)
}

#[test]
fn node_names_ignore_case() {
    let fleet = Fleet::start(Config::new().with_two_tokens(), [("pve1", sim::healthy())]);
    for asked in ["PVE1", "Pve1"] {
        let answer = ask(&fleet, asked);
        assert_eq!(answer["data"]["node"], asked, "{answer}");
    }
    // The node has one bucket, whose two tokens are spent.
    let third = ask(&fleet, "pve1");
    let refusal = "node \"pve1\" not read: rate limit exceeded";
    assert_eq!(third["error"], refusal, "{third}");
    let counters = fleet.node("pve1").counters();
    assert_eq!((counters.connections, counters.readings), (1, 2));
    let home = fleet.daemon.home();
    for record in ["command.start", "command.finish"]
        .map(|kind| home.records_of(kind))
        .concat()
    {
        assert_eq!(record["node"], "pve1", "{record}");
    }
    let metrics = fleet.daemon.scrape().to_lowercase();
    let series = metrics
        .matches("pulse_proxy_ssh_requests_total{node=\"pve1\"")
        .count();
    assert_eq!(series, 1, "{metrics}");
}

#[test]
fn error_has_the_name_as_asked() {
    let fleet = Fleet::start(Config::new(), [("pve1", Behaviour::RefuseKey)]);
    let error = fleet.daemon.temperature("PvE1").unwrap_err();
    assert!(error.starts_with("node \"PvE1\" "), "{error}");
}

#[test]
fn repeated_names_are_read_once() {
    let nodes = ["pve1", "pve2"].map(|name| (name, sim::healthy()));
    let fleet = Fleet::start(Config::new().with_default_limits(), nodes);
    let names = ["pve2", "PVE1", "pve1", "-x", "PVE2", "pve1", "-x"];
    // Shorter than `request_timeout`, and longer than a busy machine needs.
    let params = json!({"nodes": names, "wait_ms": 14_000});
    let request = json!({"method": "get_temperatures", "params": params});
    let answer = fleet.daemon.ask(&request);
    let entries = answer["data"]["nodes"].as_array().unwrap();
    let answered: Vec<_> = entries.iter().map(|entry| &entry["node"]).collect();
    assert_eq!(answered, ["pve2", "PVE1", "-x"], "{answer}");
    for (entry, is_read) in entries.iter().zip([true, true, false]) {
        assert_eq!(entry["temperature"].is_object(), is_read, "{entry}");
    }
    for (_, node) in fleet.nodes() {
        assert_eq!(node.counters().readings, 1);
    }
}

#[test]
fn address_spellings_are_one_node() {
    let node = sim::start(sim::healthy());
    let IpAddr::V4(v4) = node.addr().ip() else {
        panic!("simulated nodes have IPv4");
    };
    let home = std::sync::Arc::new(Home::new());
    let mapped = v4.to_ipv6_mapped();
    home.trust(&node.host_key_line(&v4.to_string()));
    let port = node.addr().port().to_string();
    let config = Config::new()
        .set_ssh("port", &port)
        .named_node(&mapped.to_string());
    let daemon = pulse_e2e::Daemon::start_in(&home, &config);
    for asked in [v4.to_string(), mapped.to_string(), format!("[{mapped}]")] {
        let answer = daemon.ask(&json!({"method": "get_temperature", "params": {"node": asked}}));
        assert_eq!(answer["data"]["node"], asked, "{answer}");
    }
    assert_eq!(node.counters().connections, 1);
    for record in home.records_of("command.finish") {
        assert_eq!(record["node"], v4.to_string(), "{record}");
    }
}

#[test]
fn address_of_a_listed_name_is_it() {
    let fleet = Fleet::start(Config::new().with_two_tokens(), [("pve1", sim::healthy())]);
    let address = fleet.node("pve1").addr().ip().to_string();
    for asked in [address.as_str(), "PVE1"] {
        let answer = ask(&fleet, asked);
        assert_eq!(answer["data"]["node"], asked, "{answer}");
    }
    let refusal = format!("node \"{address}\" not read: rate limit exceeded");
    assert_eq!(ask(&fleet, &address)["error"], refusal);
    let counters = fleet.node("pve1").counters();
    assert_eq!((counters.connections, counters.readings), (1, 2));
    for record in fleet.daemon.home().records_of("command.finish") {
        assert_eq!(record["node"], "pve1", "{record}");
    }
}

#[test]
fn near_names_are_suggested() {
    let fleet = Fleet::start(Config::new(), [("pve2", sim::healthy())]);
    let error = fleet.daemon.temperature("pve2.example.org").unwrap_err();
    assert!(error.contains("did you mean \"pve2\"?"), "{error}");
}

/// Exit code and errors of `--check`.
fn check(config: &Config) -> (i32, String) {
    let home = Home::new();
    home.write_config(config);
    let ended = run(
        &["--check", "--config", home.config_file().to_str().unwrap()],
        &[],
    );
    (ended.code, ended.errors)
}

#[test]
fn impossible_addresses_fail_the_check() {
    for (address, reason) in [
        ("0.0.0.0", "the unspecified address"),
        ("::", "the unspecified address"),
        ("::ffff:0.0.0.0", "the unspecified address"),
        ("224.0.0.251", "multicast"),
        ("ff02::1", "multicast"),
        ("::ffff:239.1.2.3", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("0.1.2.3", "0.0.0.0/8"),
        ("fe80::1", "zone"),
    ] {
        let ip: IpAddr = address.parse().unwrap();
        for config in [
            Config::new().named_node(address),
            Config::new().node("pve1", SocketAddr::new(ip, 22)),
        ] {
            let (code, said) = check(&config);
            assert_eq!(code, 78, "{address}: {said}");
            assert!(said.contains(reason), "{address}: {said}");
        }
    }
    let documentation = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 22));
    assert_eq!(check(&Config::new().node("pve1", documentation)).0, 0);
    let (code, said) = check(&Config::new().named_node("pve1").named_node("PVE1"));
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("listed twice, first as \"pve1\""), "{said}");
}

#[test]
fn deceptive_labels_are_scrubbed() {
    let document = "{\"sensors\":{\"jc42-i2c-0-1a\":{\"a\u{202e}b\u{2028}c\u{9b}d\u{200b}e\u{e0041}f\":\
                    {\"temp1_input\":41.5}}},\"smart\":[{\"device\":\"/dev/sda\",\
                    \"model\":\"x\u{2066}y\",\"serial\":\"\u{feff}1\",\"temperature\":30}]}";
    let behaviour = Behaviour::Synthetic {
        document: document.into(),
    };
    let fleet = Fleet::start(Config::new(), [("pve1", behaviour)]);
    let read = fleet.daemon.temperature("pve1").unwrap().to_string();
    let scrubbed = "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f";
    for text in [scrubbed, "x\u{fffd}y", "\u{fffd}1"] {
        assert!(read.contains(text), "{text:?}: {read:?}");
    }
    let active = [
        '\u{202e}',
        '\u{2028}',
        '\u{200b}',
        '\u{e0041}',
        '\u{2066}',
        '\u{feff}',
    ];
    assert!(!read.contains(active), "{read:?}");
}
