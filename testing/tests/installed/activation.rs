//! Socket activation: every caller is served, also while the service starts or restarts.

use crate::service::{AppArmor, SOCKET_UNIT, Service, UNIT, show, systemctl};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::wait;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

#[test]
fn first_caller_starts_the_service() {
    if skipped(&[Need::VirtualMachine]) {
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
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Enforces);
    systemctl(&["start", SOCKET_UNIT]);
    let (is_done, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let caller = scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                let answer = service.ask(&json!({"method": "get_status"}));
                assert_eq!(answer["success"], true, "{answer}");
                answers.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..3 {
            let before = answers.load(Ordering::Relaxed);
            systemctl(&["restart", UNIT]);
            wait::until("an answer", || {
                caller.is_finished() || answers.load(Ordering::Relaxed) > before
            });
        }
        is_done.store(true, Ordering::Relaxed);
        caller.join().unwrap();
    });
}
