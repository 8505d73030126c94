//! `pulse-sensorctl`.
fn main() {}
