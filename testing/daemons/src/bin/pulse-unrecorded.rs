//! The daemon without its audit log, so that benchmarks tell the cost of reading from that of
//! recording. For benchmarks only; the shipped daemon has no such setting.

use pulse_sensor_proxy::{Nothing, Parts, main_with};
use std::sync::Arc;

/// As in the daemon, so that the two differ in nothing else.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> std::process::ExitCode {
    let arguments = std::env::args_os().skip(1);
    let parts = Parts {
        recorder: &|_| Ok(Arc::new(Nothing)),
        ..Parts::default()
    };
    main_with(arguments, &parts)
}
