//! The unit's exposure level, as `systemd-analyze security` computes it.

use crate::guest;
use crate::service::{AppArmor, Service, UNIT};
use pulse_e2e::programs::{Need, skipped};

/// The promised level, on a scale to 10.
const PROMISED: f64 = 1.0;

#[test]
fn unit_exposure_is_as_promised() {
    if skipped(&[Need::VirtualMachine]) {
        return;
    }
    let service = Service::installed(AppArmor::Enforces);
    service.forget_drop_ins();
    let text = guest::run("systemd-analyze", &["security", "--no-pager", UNIT]);
    let exposure = level(&text).expect("a line with the overall level");
    println!("exposure {exposure}");
    assert!(exposure <= PROMISED, "{text}");
}

/// `→ Overall exposure level for pulse-sensor-proxy.service: 0.8 SAFE`
fn level(text: &str) -> Option<f64> {
    let last = text.lines().rev().find(|line| line.contains("Overall"))?;
    let (_, level) = last.split_once(&format!("{UNIT}: "))?;
    level.split(' ').next()?.parse().ok()
}
