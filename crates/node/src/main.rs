//! `pulse-sensor-node`: runs the library and returns one of the exit codes that `--help` lists.

use std::process::ExitCode;

/// musl's allocator maps and unmaps pages for small allocations, of which a reading has many.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    ExitCode::from(pulse_sensor_node::run())
}
