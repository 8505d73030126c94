//! The daemon in a container, under the OCI filter that we ship.

use pulse_e2e::container::{Engine, NEEDS, Setting};
use pulse_e2e::findings::{self, attempts};
use pulse_e2e::programs::{self, Need, skipped};
use pulse_e2e::{Config, Sshd, SshdOptions, sim};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Puts nothing on itself, and tries.
const OUTSIDE: [&str; 4] = ["confine-probe", "--json", "--only", "outside"];

/// The dynamic build, and the static one that is shipped, if it was built.
fn builds() -> impl Iterator<Item = PathBuf> {
    [Some(programs::daemon()), programs::static_daemon()]
        .into_iter()
        .flatten()
}

#[test]
fn in_a_container_as_documented_it_reads_a_node_and_no_attempt_gets_through() {
    if skipped(&NEEDS) || skipped(&[Need::Sshd]) {
        return;
    }
    let sshd = Sshd::start(&SshdOptions::default());
    for program in builds() {
        let engine = Engine::new(&program);
        let config = Config::new().node("pve1", sshd.address());
        let contained = engine.start(Setting::Documented, &config);
        let (daemon, home) = (&contained.daemon, engine.home());
        let document = sim::DOCUMENT.replace('"', "\\\"");
        let forced = format!("restrict,command=\"echo '{document}'\"");
        sshd.authorize(&forced, &home.public_key());
        home.trust(&sshd.host_key_line("pve1"));
        daemon.reload();
        assert!(sim::is_document(&daemon.temperature("pve1").unwrap()));
        assert!(daemon.scrape().contains("pulse_proxy_build_info{"));
        let record = &home.records_of("confinement")[0];
        assert_eq!(record["decision"], "completed", "{record}");
        let found = contained.exec(&["confine-probe", "--json"]);
        let found: Value = serde_json::from_str(&found).unwrap();
        assert_eq!(attempts(&found, false), Vec::<&str>::new());
        assert_eq!(found["tight"], true);
        contained.daemon.stop();
        assert!(!home.socket().exists(), "it ended in order");
    }
}

#[test]
fn the_filter_alone_stops_what_it_can() {
    if skipped(&NEEDS) {
        return;
    }
    let engine = Engine::new(&programs::daemon());
    // What the probe then tries to spoil.
    engine
        .start(Setting::FilterAlone, &Config::new())
        .daemon
        .stop();
    let found = engine.run(Setting::FilterAlone, &OUTSIDE);
    let found: Value = serde_json::from_str(&found).unwrap();
    findings::keep("oci", &found);
    let (stopped, through) = (attempts(&found, true), attempts(&found, false));
    for what in [
        "fork",
        "mount",
        "load a kernel module",
        "become root",
        "UDP socket",
        "raw IP socket",
        "io_uring",
        "load a BPF program",
        "trace another process",
        "map executable memory",
    ] {
        assert!(stopped.contains(&what), "{what}: {found}");
    }
    // A filter sees no paths and no ports, and nothing else is to stop these.
    for what in [
        "read /etc/shadow",
        "write the configuration",
        "create a file in /tmp",
        "connect to another port",
    ] {
        assert!(through.contains(&what), "{what}: {found}");
    }
}

#[test]
fn the_image_has_the_program_and_nothing_else() {
    if skipped(&NEEDS) {
        return;
    }
    let engine = Engine::new(&programs::daemon());
    let program = PathBuf::from("usr/bin/pulse-sensor-proxy");
    assert_eq!(engine.files(), [program]);
}

#[test]
fn the_documentation_says_what_was_tried() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/hardening.md");
    let page = std::fs::read_to_string(page).unwrap();
    for option in Setting::Documented.options() {
        assert!(page.contains(option), "{option}");
    }
    for (volume, access) in Setting::Documented.volumes() {
        let as_it_is = format!("{volume}:{volume}");
        let volume = match access {
            "ro" => as_it_is + ":ro",
            _ => as_it_is,
        };
        assert!(page.contains(&volume), "{volume}");
    }
}
