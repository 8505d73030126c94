//! The socket is systemd's: nobody who connects is turned away, whatever the service
//! is doing.

use crate::service::{AppArmor, SOCKET_UNIT, Service, UNIT, show, systemctl};
use pulse_e2e::programs::{Need, skipped};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[test]
fn first_caller_starts_the_service() {
    if skipped(&[Need::OwnMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Enforces);
    systemctl(&["start", SOCKET_UNIT]);
    assert_eq!(show("ActiveState"), "inactive");
    let answer = service.ask(&json!({"method": "get_status"}));
    assert_eq!(answer["success"], true, "{answer}");
    assert_eq!(show("ActiveState"), "active");
    assert_eq!(service.kernel_log().denied(), [""; 0]);
}

#[test]
fn restart_loses_no_caller() {
    if skipped(&[Need::OwnMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Enforces);
    systemctl(&["start", SOCKET_UNIT]);
    let restarted = AtomicBool::new(false);
    let answers = thread::scope(|scope| {
        let caller = scope.spawn(|| call_until(&service, &restarted));
        for _ in 0..3 {
            systemctl(&["restart", UNIT]);
        }
        restarted.store(true, Ordering::Relaxed);
        caller.join().unwrap()
    });
    println!("{answers} calls during three restarts");
    assert!(answers > 3);
}

/// Calls again and again; each call must be answered.
fn call_until(service: &Service, done: &AtomicBool) -> usize {
    let mut answers = 0;
    while !done.load(Ordering::Relaxed) {
        let answer = service.ask(&json!({"method": "get_status"}));
        assert_eq!(answer["success"], true, "{answer}");
        answers += 1;
    }
    answers
}
