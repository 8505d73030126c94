//! Attempts that the probe omits because they could harm a host that only AppArmor protects.
//! This machine is discarded, so they are made here: each twice, by separate threads, first
//! without the profile, so that a refusal of the second proves that the profile denied it.

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};
use std::process::Command;
use std::{fs, io, thread};

type Attempt = fn() -> io::Result<()>;

/// Attempts under the probe's names.
const ATTEMPTS: [(&str, Attempt); 5] = [
    ("start a program", || {
        Command::new("/usr/bin/sh")
            .args(["-c", ":"])
            .status()
            .map(drop)
    }),
    ("mount", || {
        let nothing = None::<&str>;
        Ok(mount(
            nothing,
            "/tmp",
            Some("tmpfs"),
            MsFlags::empty(),
            nothing,
        )?)
    }),
    // The root stays the same.
    ("change the root (chroot)", || Ok(nix::unistd::chroot("/")?)),
    ("set the host name", || {
        Ok(nix::unistd::sethostname("harmed")?)
    }),
    // Permission is checked first: without the profile this fails for another reason.
    ("load a kernel module", || {
        Ok(nix::kmod::init_module(b"no module", c"")?)
    }),
];

/// Adds their outcomes to the probe's findings.
pub(crate) fn add(findings: &mut Value) {
    for (what, attempt) in ATTEMPTS {
        let without = thread::spawn(attempt).join().unwrap();
        assert!(
            !is_refusal(&without),
            "without a profile: {what}: {without:?}"
        );
        let outcome = thread::spawn(move || {
            // Puts this thread alone under the profile, which it cannot leave.
            fs::write(
                "/proc/thread-self/attr/current",
                "changeprofile pulse-sensor-proxy",
            )
            .unwrap();
            attempt()
        });
        let outcome = outcome.join().unwrap();
        let stopped = is_refusal(&outcome);
        let words = match outcome {
            Ok(()) => "success".to_owned(),
            Err(error) => format!("{:?}", Errno::from_raw(error.raw_os_error().unwrap_or(0))),
        };
        let attempts = findings["attempts"].as_array_mut().unwrap();
        let found = attempts.iter_mut().find(|found| found["attempt"] == what);
        *found.expect("the probe's name") = json!({
            "attempt": what,
            "outcome": words,
            "stopped": stopped,
            "by": stopped.then_some("apparmor"),
        });
    }
}

fn is_refusal(outcome: &io::Result<()>) -> bool {
    outcome
        .as_ref()
        .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}
