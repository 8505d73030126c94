//! The daemon in a container, under the shipped OCI seccomp profile.

use pulse_e2e::container::{Engine, NEEDS, Setting};
use pulse_e2e::findings::{self, attempts};
use pulse_e2e::programs::{self, Need, skipped};
use pulse_e2e::sshd::printing_options;
use pulse_e2e::{Config, Sshd, SshdOptions, sim};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The probe without the daemon's own confinement.
const OUTSIDE: [&str; 4] = ["confine-probe", "--json", "--only", "outside"];

/// The dynamic build, and the static one if it was built.
fn builds() -> impl Iterator<Item = PathBuf> {
    [Some(programs::daemon()), programs::static_daemon()]
        .into_iter()
        .flatten()
}

#[test]
fn documented_container_reads_and_confines() {
    if skipped(&NEEDS) || skipped(&[Need::Sshd]) {
        return;
    }
    let sshd = Sshd::start(&SshdOptions::default());
    for program in builds() {
        let engine = Engine::new(&program);
        let config = Config::new().node("pve1", sshd.address());
        let contained = engine.start(Setting::Documented, &config);
        let (daemon, home) = (&contained.daemon, engine.home());
        sshd.authorize(&printing_options(), &home.public_key());
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
        assert!(!home.socket().exists(), "shutdown removes the socket");
    }
}

#[test]
fn oci_filter_alone_stops_its_part() {
    if skipped(&NEEDS) {
        return;
    }
    let engine = Engine::new(&programs::daemon());
    // The daemon makes the files that the probe then attacks.
    engine
        .start(Setting::FilterAlone, &Config::new())
        .daemon
        .stop();
    let found = engine.run(Setting::FilterAlone, &OUTSIDE);
    let found: Value = serde_json::from_str(&found).unwrap();
    findings::save("oci", &found);
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
    // A seccomp filter sees neither paths nor ports, and nothing else applies here.
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
fn image_has_only_the_program() {
    if skipped(&NEEDS) {
        return;
    }
    let engine = Engine::new(&programs::daemon());
    let program = PathBuf::from("usr/bin/pulse-sensor-proxy");
    assert_eq!(engine.files(), [program]);
}

#[test]
fn documentation_has_tested_options() {
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
