//! `pulse-sensorctl`: see the library.

fn main() -> std::process::ExitCode {
    pulse_sensorctl::main(std::env::args_os())
}
