//! Root in containers of the common engines is a caller like any other, whatever namespaces
//! and control group the container has.

use pulse_e2e::container::{Engine, NEEDS, Setting};
use pulse_e2e::engines::{ContainerEngine, EngineKind, Namespaces};
use pulse_e2e::programs::{self, skipped};
use pulse_e2e::{Config, Daemon, wait};
use serde_json::{Value, json};

fn requests() -> [Value; 2] {
    ["get_status", "get_forwarding"].map(|method| json!({"method": method}))
}

/// A configuration in which UID 0 has these capabilities on the callers' socket.
fn root_has(capabilities: &str) -> Config {
    Config::new()
        .set("allowed_peer_uids", "[]")
        .set("allowed_peers", capabilities)
}

fn assert_root_cannot_administer(kind: EngineKind) {
    if skipped(&kind.needs()) {
        return;
    }
    let mut engine = ContainerEngine::start(kind);
    for namespaces in Namespaces::ALL {
        let (nothing, reading) = (
            Daemon::start(&root_has("[]")),
            Daemon::start(&root_has("[0]")),
        );
        let homes = [&**nothing.home(), &**reading.home()];
        let said = engine.ask(namespaces, &homes, &requests());
        let [without, with] = said.answers.as_slice() else {
            panic!("{said:?}")
        };
        for answer in without {
            assert_eq!(answer["error"], "unauthorized", "{namespaces:?}");
        }
        assert_reads_only(&with[0], &with[1]);
        assert_eq!(said.control_sockets, json!([]), "{namespaces:?}");
        assert_administers(&nothing);
        assert_administers(&reading);
        assert_recorded(&reading, said.group.as_deref());
    }
}

/// These responses are of a caller that may read and not administer.
fn assert_reads_only(status: &Value, refused: &Value) {
    let capabilities = &status["data"]["capabilities"];
    assert_eq!(capabilities, &json!(["read"]), "{status}");
    assert_eq!(refused["error"], "method requires admin capability");
}

/// Root of the host administers over the control socket.
fn assert_administers(daemon: &Daemon) {
    let answer = daemon.administer(&requests()[0]);
    let all = json!(["read", "write", "admin"]);
    assert_eq!(answer["data"]["capabilities"], all, "{answer}");
}

/// The record has UID 0, and the container's control group when the daemon may look it up.
fn assert_recorded(daemon: &Daemon, group: Option<&str>) {
    let record = wait::until_some("the record", || {
        let mut records = daemon.home().records_of("command.validation_failed");
        records.pop()
    });
    assert_eq!(record["peer"], "uid:0", "{record}");
    if let Some(group) = group {
        assert_eq!(record["container"], shortened(group), "{record}");
    }
}

/// Records keep the first 80 bytes of a container's name.
fn shortened(group: &str) -> &str {
    &group[..group.len().min(80)]
}

#[test]
fn podman_root_cannot_administer() {
    assert_root_cannot_administer(EngineKind::Podman);
}

#[test]
fn docker_root_cannot_administer() {
    assert_root_cannot_administer(EngineKind::Docker);
}

#[test]
fn containerd_root_cannot_administer() {
    assert_root_cannot_administer(EngineKind::Containerd);
}

#[test]
fn lxc_root_cannot_administer() {
    assert_root_cannot_administer(EngineKind::Lxc);
}

#[test]
fn nspawn_root_cannot_administer() {
    assert_root_cannot_administer(EngineKind::Nspawn);
}

#[test]
fn root_cannot_administer_contained_daemon() {
    if skipped(&NEEDS) || skipped(&EngineKind::Podman.needs()) {
        return;
    }
    let images = Engine::new(&programs::daemon());
    let mut engine = ContainerEngine::start(EngineKind::Podman);
    for namespaces in Namespaces::ALL {
        let contained = images.start(Setting::Documented, &root_has("[0]"));
        let said = engine.ask(namespaces, &[images.home()], &requests());
        let [status, refused] = said.answers[0].as_slice() else {
            panic!("{said:?}")
        };
        assert_reads_only(status, refused);
        assert_eq!(said.control_sockets, json!([]), "{namespaces:?}");
        assert_administers(&contained.daemon);
    }
}
