//! The daemon without an audit log, to measure readings without the cost of their records.
//! For benchmarks only: it is not shipped, and the daemon has no such setting.

use pulse_sensor_proxy::{Nothing, Parts, main_with};
use std::sync::Arc;

/// The daemon's allocator, so that the two differ in nothing else.
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
