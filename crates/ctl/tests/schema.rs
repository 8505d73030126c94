//! Every output for programs follows its schema, with every outcome; every error its table.

#![allow(clippy::unwrap_used, reason = "helpers of the test")]

mod common;

use common::log::{Home, edit};
use common::schema::Outputs;
use common::{Run, Script, Scripted, run, write_config};
use pulse_audit::Directory;
use std::fs::{self, File, OpenOptions};
use std::path::Path;

const TEMPERATURES: &str = r#"{"success":true,"data":{"nodes":[{"node":"pve1","temperature":{"sensors":{"k10temp-pci-00c3":{"Adapter":"PCI","Tctl":{"temp1_input":86.50,"temp1_crit":95}}},"smart":[{"device":"/dev/sda","serial":"S","wwn":"","model":"M","type":"sata","temperature":null,"lastUpdated":"2026-11-21T10:00:00Z","standbySkipped":true}],"collected_at":"2026-11-21T10:00:00Z","node_helper":{"version":"0.2.0"},"sensor_state":{"chips":[{"chip":"a-isa-0","state":"pending"},{"chip":"a-isa-0","state":"slow","age_ms":4200},{"chip":"a-isa-0","state":"stale"},{"chip":"a-isa-0","state":"unreadable"}],"dropped":[{"chip":"a-isa-0","sensor":"temp6","value":127.0,"reason":"out_of_range"},{"chip":"a-isa-0","sensor":"temp6","value":127.0,"reason":"fault"},{"chip":"a-isa-0","sensor":"temp6","value":127.0,"reason":"open_input"},{"chip":"a-isa-0","sensor":"temp6","value":127.0,"reason":"not_set"},{"chip":"a-isa-0","sensor":"temp6","value":127.0,"reason":"power_on"},{"chip":"a-isa-0","sensor":"temp6","value":127.0,"reason":"read_error"}],"omitted":[{"chip":"a-isa-0","sensors":65}]}},"age_ms":120},{"node":"pve2","error":"node \"pve2\" did not answer in time"},{"node":"pve3","error":"node \"pve3\" not read: rate limit exceeded","retry_in_ms":2001}]}}"#;

const STATUS: &str = r#"{"success":true,"data":{"version":"0.1.0","public_key":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ proxy@pve","ssh_dir":"/var/lib/x","capabilities":["read","admin"]}}"#;

/// As an administrator is told, and a caller with `read`.
const HEALTH: [&str; 2] = [
    r#"{"success":true,"data":{"nodes":[{"name":"a","state":"answering","age_ms":1},{"name":"b","state":"failing","age_ms":1,"error":"e"},{"name":"c","state":"waiting","error":"e"},{"name":"d","state":"unread","error":"e"}],"audit":{"writable":false,"problems":["p"],"warning":"w","first_seq":1,"seq":9,"epoch":2,"unsealed":3,"bytes":4000,"has_retention":true},"forwarding":null,"confinement":{"active":["seccomp (80 calls)"],"missing":["landlock: too old"]},"files":[{"file":"known_hosts","error":"e"}]}}"#,
    r#"{"success":true,"data":{"nodes":[]}}"#,
];

const ACCEPTED: &str = r#"{"success":true,"data":{"files":[{"file":"audit.log","change":"cut","first_seq":5,"last_seq":9},{"file":"audit.seals","change":"removed"}]}}"#;

/// Two states of forwarding. The second is of a daemon that was restarted, so that a replay is
/// done when its queue is empty.
const FORWARDING: [&str; 2] = [
    r#"{"success":true,"data":{"forwarding":{"seq":20,"first_seq":1,"streams":[{"name":"failover","acknowledged_seq":8,"stored_seq":8,"keeps_segments":"a reason","queue":12,"acknowledged":8,"last_ack":1795000000,"connections":2,"lost":[{"first":6,"last":7}],"queue_grows_since":1795000000,"cursor_error":"e","messages":{"acknowledged":1,"queue":2,"dropped":3},"collectors":[{"name":"logs.example","port":6514,"protocol":"relp","up":false,"tls":null,"trouble":{"step":"tcp","error":"e","remedy":"r","since":1795000000},"failures":{"tcp":2}}]}],"certificates":{"own":null,"authority":4102444800,"error":"e"}}}}"#,
    r#"{"success":true,"data":{"forwarding":{"seq":20,"first_seq":1,"streams":[{"name":"failover","acknowledged_seq":20,"stored_seq":null,"keeps_segments":null,"queue":0,"acknowledged":0,"last_ack":null,"connections":0,"lost":[],"queue_grows_since":null,"cursor_error":null,"messages":null,"collectors":[{"name":"logs.example","port":6514,"protocol":"syslog","up":true,"tls":"TLS 1.3","trouble":null,"failures":{}}]}],"certificates":{"own":4102444800,"authority":4102444800,"error":null}}}}"#,
];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn refused(error: &'static str) -> Scripted {
    Scripted::daemon(Script::Says(error))
}

#[test]
fn outputs_and_errors_follow_schemas() {
    let mut outputs = Outputs::default();
    daemon_outputs(&mut outputs);
    config_outputs(&mut outputs);
    audit_outputs(&mut outputs);
    verdicts(&mut outputs);
    errors(&mut outputs);
    outputs.validate();
}

fn daemon_outputs(outputs: &mut Outputs) {
    let temperatures = Scripted::daemon(Script::Says(TEMPERATURES));
    outputs.add("temps", &temperatures.run(&["temps", "--json"]));
    let status = Scripted::daemon(Script::Says(STATUS));
    outputs.add("status-self", &status.run(&["status", "--self", "--json"]));
    for health in HEALTH {
        let daemon = Scripted::daemon(Script::Says(health));
        outputs.add("status", &daemon.run(&["status", "--json"]));
    }
    outputs.add("keys-show", &status.run(&["keys", "show", "--json"]));
    outputs.add("rpc", &status.run(&["rpc", "get_status", "--json"]));
    let refused = refused(r#"{"correlation_id":"i","success":false,"error":"unauthorized"}"#);
    outputs.add("rpc", &refused.run(&["rpc", "get_status", "--json"]));
    for state in &FORWARDING {
        let daemon = Scripted::daemon(Script::Says(state));
        outputs.add(
            "forward-status",
            &daemon.run(&["forward", "status", "--json"]),
        );
    }
    for state in &FORWARDING {
        let daemon = Scripted::daemon(Script::Says(state));
        let accepted = daemon.run(&["forward", "accept-loss", "--json"]);
        outputs.add("forward-accept-loss", &accepted);
    }
    // The state, the answer to the request, and then the state again.
    let daemon = Scripted::daemon(Script::SaysInTurn(&[
        FORWARDING[0],
        FORWARDING[1],
        FORWARDING[1],
    ]));
    let replayed = daemon.run(&["forward", "replay", "--from", "2", "--wait", "--json"]);
    assert_eq!(replayed.output.lines().count(), 2, "{replayed:?}");
    outputs.add("forward-replay", &replayed);
}

fn config_outputs(outputs: &mut Outputs) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    let check = ["config", "check", text(&file), "--json"];
    let forward = "[forward]\ncollectors = [{name = 'logs.example', address = '127.0.0.1'}]\n";
    for config in [
        "",
        "allowed_nodes = ['pve1', {name='pve2', address='192.0.2.2', port=23}]\n\
         allowed_peers = [{uid=1000}]\nallowed_peer_gids = [7]\nmetrics_address = '0.0.0.0:9456'",
        "socket_mode = '0660'\nsocket_group = 'pulse'",
        "x = 1",
        forward,
    ] {
        write_config(&file, config);
        outputs.add("config-check", &run(&check));
    }
    let nodes = directory.path().join("nodes.d");
    fs::create_dir(&nodes).unwrap();
    for text in ["name = 'pve3'\naddress = '192.0.2.3'", "name = 'pve4'"] {
        write_config(&file, "");
        write_config(&nodes.join("pve3.toml"), text);
        outputs.add("config-check", &run(&check));
    }
    fs::remove_dir_all(nodes).unwrap();
    write_config(&file, forward);
    // There are no certificates, so the first step fails.
    let test = ["forward", "test", "--config", text(&file), "--json"];
    let tested = run(&test);
    assert_eq!(tested.code, Some(1), "{tested:?}");
    outputs.add("forward-test", &tested);
}

fn audit_outputs(outputs: &mut Outputs) {
    let directory = tempfile::tempdir().unwrap();
    let (log, state) = (directory.path().join("log"), directory.path().join("state"));
    let place = ["--log", text(&log), "--state-dir", text(&state)];
    outputs.add(
        "audit-init",
        &run(&[&["audit", "init", "--json"], &place[..]].concat()),
    );
    let home = Home::sample();
    for command in ["head", "show", "tail"] {
        let schema = if command == "head" {
            "audit-head"
        } else {
            "audit-show"
        };
        outputs.add(schema, &home.run(&[command, "--json"]));
    }
    // A request, a reading, and records of the log itself.
    for subject in ["second-0", "2", "1", "4"] {
        outputs.add("audit-explain", &home.run(&["explain", subject, "--json"]));
    }
    let archive = home.path("archive");
    for _ in 0..2 {
        outputs.add(
            "audit-archive",
            &home.run(&["archive", text(&archive), "--json"]),
        );
    }
    let daemon = Scripted::daemon(Script::Says(ACCEPTED));
    let written = Directory::lock(&home.log(), &home.state()).unwrap();
    let (log, state) = (home.log(), home.state());
    let place = ["--log", text(&log), "--state-dir", text(&state)];
    let accept = ["audit", "accept-loss", "--json"];
    outputs.add(
        "audit-accept-loss",
        &daemon.run(&[&accept, &place[..]].concat()),
    );
    drop(written);
    outputs.add("audit-rotate", &home.run(&["rotate", "--json"]));
    edit(&home.live(), 0, |_| "rubbish".to_owned());
    outputs.add("audit-show", &home.run(&["show", "--json"]));
}

fn verdicts(outputs: &mut Outputs) {
    let home = Home::sample();
    let (log, copy) = (home.log(), home.path("copy"));
    fs::write(&copy, home.joined()).unwrap();
    let key = home.key.to_string();
    let collected = ["audit", "verify", "--json", "--collected", text(&copy)];
    for (run, code) in [
        (home.verify(&["--json"]), 0),
        (home.verify(&["--json", "--against", text(&copy)]), 0),
        (home.run(&["verify", "--json", "--since", "7"]), 3),
        (
            run(&[&collected[..], &["--against", text(&log), "--key", &key]].concat()),
            0,
        ),
    ] {
        assert_eq!(run.code, Some(code), "{run:?}");
        outputs.add("audit-verify", &run);
    }
    edit(&home.live(), 1, |line| line.replace("pve", "pvf"));
    outputs.add("audit-verify", &home.verify(&["--json"]));
    let lines = home.joined();
    let lines: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    fs::write(&copy, [&lines[..5], &lines[8..]].concat().concat()).unwrap();
    let incomplete = run(&[&collected[..], &["--acknowledged", "99"]].concat());
    assert_eq!(incomplete.code, Some(1), "{incomplete:?}");
    outputs.add("audit-verify", &incomplete);
}

/// Every error code, but the one for a system without an event loop.
fn errors(outputs: &mut Outputs) {
    let home = Home::sample();
    let rubbish = home.path("rubbish");
    fs::write(&rubbish, "rubbish").unwrap();
    let file = text(&rubbish);
    for (code, exit_code, run) in [
        (
            "record_not_found",
            1,
            home.run(&["explain", "99", "--json"]),
        ),
        (
            "usage",
            64,
            run(&["audit", "tail", "--follow", "--json", "--log", file]),
        ),
        ("usage", 64, run(&["temps", "--json", "--bogus"])),
        ("usage", 64, run(&["rpc", "--json"])),
        ("usage", 64, run(&["temps", "--json", "--color", "perhaps"])),
        (
            "cannot_read",
            66,
            run(&["audit", "show", "--json", "--log", "/nonexistent"]),
        ),
        (
            "invalid_input",
            66,
            home.run(&["verify", "--json", "--key-file", file]),
        ),
        ("cannot_create", 73, home.run(&["init", "--json"])),
        (
            "config",
            78,
            run(&["forward", "test", "--json", "--config", file]),
        ),
    ] {
        outputs.add_error(code, exit_code, &run);
    }
    let absent = run(&["status", "--json", "--socket", "/nonexistent/socket"]);
    outputs.add_error("daemon_unreachable", 69, &absent);
    for (code, exit_code, script) in [
        ("daemon_silent", 69, Script::Closes),
        ("bad_response", 69, Script::Says("SSH-2.0-OpenSSH_9.2")),
        (
            "daemon_refused",
            69,
            Script::Says(r#"{"success":false,"error":"audit log unavailable"}"#),
        ),
        (
            "try_again",
            75,
            Script::Says(r#"{"success":false,"error":"rate limit exceeded"}"#),
        ),
        (
            "permission_denied",
            77,
            Script::Says(r#"{"success":false,"error":"unauthorized"}"#),
        ),
    ] {
        let run = Scripted::daemon(script).run(&["temps", "--json"]);
        assert_eq!(run.output, "", "{run:?}");
        outputs.add_error(code, exit_code, &run);
    }
    let full: File = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut show = home.command(&["show", "--json"]);
    let run = Run::from(show.stdout(full).output().unwrap());
    outputs.add_error("output", 74, &run);
}
