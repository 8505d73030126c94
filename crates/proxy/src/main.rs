//! `pulse-sensor-proxy`.
fn main() {}
