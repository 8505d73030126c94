//! `pulse-sensor-node`.
fn main() {}
