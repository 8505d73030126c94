//! `pulse-sensor-proxy`: see the library.

fn main() -> std::process::ExitCode {
    pulse_sensor_proxy::main(std::env::args_os().skip(1))
}
