//! Health of forwarding: what status and metrics say is true.

use super::hostile_collector::{HostileCollector, Misbehaviour};
use super::{NEEDS, RELP, write};
use pulse_e2e::certificates::{Authority, Validity};
use pulse_e2e::forwarding::{
    COLLECTOR, ForwardingHost, failures, forward_to, install_valid_credentials, is_queue_empty,
    status, trouble,
};
use pulse_e2e::programs::skipped;
use pulse_e2e::{Daemon, Home, control, wait};
use serde_json::Value;
use std::fs;
use std::sync::Arc;

fn is_up(daemon: &Daemon) -> bool {
    status(daemon)["streams"][0]["collectors"][0]["up"] == true
}

fn metric(daemon: &Daemon, name: &str) -> f64 {
    let labels = "{stream=\"failover\"}";
    daemon.metric(&format!("pulse_proxy_audit_forward_{name}{labels}"))
}

/// It accepts connections and sessions, and acknowledges nothing.
#[test]
fn silent_collector_is_never_up() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let certificate = authority.sign(COLLECTOR, Validity::Good);
    let collector = HostileCollector::start(&certificate, Misbehaviour::SilentOnceOpen);
    let home = Arc::new(Home::new());
    install_valid_credentials(&home, &authority);
    let config = forward_to(collector.address()).set_forward("timeout", "'1s'");
    let daemon = Daemon::start_in(&home, &config);
    wait::until("the first failure", || {
        assert!(!is_up(&daemon));
        failures(&daemon, "records") > 0.5
    });
    let since = trouble(&daemon)["since"].clone();
    assert!(since.is_u64(), "{since}");
    wait::until("three more", || {
        daemon.reload();
        let now = trouble(&daemon);
        assert!(!is_up(&daemon) && now["since"] == since, "{now}");
        failures(&daemon, "records") > 3.5
    });
    let shown = control::run(&home, &["forward", "status"]);
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(shown.output.contains("DOWN"), "{shown:?}");
    let labels = format!("{{stream=\"failover\",collector=\"{COLLECTOR}\"}}");
    let up = format!("pulse_proxy_audit_forward_remote_up{labels}");
    assert!(daemon.metric(&up) < 0.5);
    // The failure is logged once, not for each connection.
    let log = daemon.log();
    assert_eq!(
        log.matches("records do not get to the collector").count(),
        1
    );
    assert!(!log.contains("records go to the collector"), "{log}");
    // It is up with the first acknowledgement.
    collector.change(Misbehaviour::Good);
    wait::until("the first acknowledgement", || {
        daemon.reload();
        is_up(&daemon) && daemon.metric(&up) > 0.5
    });
    assert_eq!(trouble(&daemon), Value::Null);
}

#[test]
fn unwritable_cursor_is_shown() {
    if skipped(&NEEDS) {
        return;
    }
    let host = ForwardingHost::new(RELP);
    let daemon = host.start();
    wait::until("the first records", || is_queue_empty(&daemon));
    // A directory has the name of the new file.
    let obstacle = host.home.audit_state().join("forward-failover.new");
    fs::create_dir(&obstacle).unwrap();
    let error = || status(&daemon)["streams"][0]["cursor_error"].clone();
    wait::until("the error", || {
        write(&daemon, 1);
        error().is_string()
    });
    assert!(metric(&daemon, "cursor_failed") > 0.5);
    let shown = host.control(&["forward", "status"]);
    assert_eq!(shown.code, 3, "{shown:?}");
    assert!(shown.output.contains("cannot be written"), "{shown:?}");
    assert!(is_up(&daemon));
    fs::remove_dir(&obstacle).unwrap();
    wait::until("its end", || error() == Value::Null);
    assert!(metric(&daemon, "cursor_failed") < 0.5);
    wait::until("the message", || daemon.log().contains("is written again"));
}
