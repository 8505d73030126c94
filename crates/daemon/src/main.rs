//! `pulse-sensor-proxy`: see the library.

/// musl's allocator maps and unmaps pages for small things; a reading makes many.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> std::process::ExitCode {
    pulse_sensor_proxy::main(std::env::args_os().skip(1))
}
