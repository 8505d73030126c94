//! Abnormal ends of the daemon.

use super::needs;
use super::program::{command, state};
use nix::sys::signal::Signal;
use pulse_e2e::{Config, Daemon, Home, wait};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::Arc;

/// exit(3) and abort(3) end the process while its threads run.
pub(super) fn ends_at_once(left_out: Option<&str>) {
    assert_eq!(end_of(left_out, "exit").code(), Some(3));
    let signal = end_of(left_out, "abort").signal();
    if needs("tgkill") {
        assert_eq!(signal, Some(Signal::SIGABRT as i32));
    }
}

/// The status of a daemon that ends this way as soon as it is confined.
fn end_of(left_out: Option<&str>, how: &str) -> ExitStatus {
    let home = Arc::new(Home::new());
    home.write_config(&Config::new());
    let mut command = command(left_out);
    command.arg("--config").arg(home.config_file());
    let log = fs::File::create(home.unused_path("log")).unwrap();
    let child = command.env("PULSE_END", how).stderr(log).spawn();
    let mut child = KilledOnDrop(child.unwrap());
    wait::until_some("the end", || child.0.try_wait().unwrap())
}

/// SIGSEGV goes to Rust's stack overflow handler first, which restores the default action.
pub(super) fn ends_by_a_fault(left_out: Option<&str>) {
    let home = Arc::new(Home::new());
    home.write_config(&Config::new());
    let mut daemon = Daemon::spawn(&home, &mut command(left_out));
    wait::until("the end", || {
        daemon.signal(Signal::SIGSEGV);
        state(&daemon) == 'Z'
    });
    assert_eq!(daemon.wait().signal(), Some(Signal::SIGSEGV as i32));
}

/// A process; killed when dropped.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
