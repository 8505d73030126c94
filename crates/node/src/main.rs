//! `pulse-sensor-node`: starts the library and turns its outcome into one of the
//! exit codes that `--help` lists.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(pulse_sensor_node::run())
}
