//! `pulse-sensor-node`: starts the library and turns its outcome into one of the
//! exit codes that `--help` lists.

use std::process::ExitCode;

/// musl's allocator maps and unmaps pages for small things; a reading makes many.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    ExitCode::from(pulse_sensor_node::run())
}
