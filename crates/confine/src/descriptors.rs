//! How many files and sockets this process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// Raises the soft limit of open files as far as it may go (`setrlimit(2)`), and
/// gives it. The usual soft limit of 1,024 is there for programs that use
/// select(2); a connection for each node and each caller soon goes beyond it.
///
/// # Errors
/// Whatever the kernel says; the limit is what it was then.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}
