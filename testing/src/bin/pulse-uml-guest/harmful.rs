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
    ("start a program", start_a_program),
    ("mount", mount_something),
    ("change the root (chroot)", change_the_root),
    ("set the host name", rename_the_host),
    ("load a kernel module", load_a_module),
];

/// Adds their outcomes to the probe's findings.
pub(crate) fn add(findings: &mut Value) {
    for (what, attempt) in ATTEMPTS {
        let without = thread::spawn(attempt).join().unwrap();
        assert!(
            !is_refusal(&without),
            "without a profile: {what}: {without:?}"
        );
        let outcome = thread::spawn(move || under_the_profile(attempt)).join();
        put(findings, what, &outcome.unwrap());
    }
}

/// Puts this thread alone under the profile, which it cannot leave, and makes the attempt.
fn under_the_profile(attempt: Attempt) -> io::Result<()> {
    let profile = "changeprofile pulse-sensor-proxy";
    fs::write("/proc/thread-self/attr/current", profile).unwrap();
    attempt()
}

fn is_refusal(outcome: &io::Result<()>) -> bool {
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    outcome.as_ref().is_err_and(refused)
}

fn put(findings: &mut Value, what: &str, outcome: &io::Result<()>) {
    let attempts = findings["attempts"].as_array_mut().unwrap();
    let found = attempts.iter_mut().find(|found| found["attempt"] == what);
    let stopped = is_refusal(outcome);
    *found.expect("the probe's name") = json!({
        "attempt": what,
        "outcome": words(outcome),
        "stopped": stopped,
        "by": stopped.then_some("apparmor"),
    });
}

fn words(outcome: &io::Result<()>) -> String {
    match outcome {
        Ok(()) => "success".to_owned(),
        Err(error) => format!("{:?}", Errno::from_raw(error.raw_os_error().unwrap_or(0))),
    }
}

fn start_a_program() -> io::Result<()> {
    Command::new("/usr/bin/sh")
        .args(["-c", ":"])
        .status()
        .map(|_| ())
}

fn mount_something() -> io::Result<()> {
    let nothing = None::<&str>;
    Ok(mount(
        nothing,
        "/tmp",
        Some("tmpfs"),
        MsFlags::empty(),
        nothing,
    )?)
}

fn change_the_root() -> io::Result<()> {
    // The root stays the same.
    Ok(nix::unistd::chroot("/")?)
}

fn rename_the_host() -> io::Result<()> {
    Ok(nix::unistd::sethostname("harmed")?)
}

fn load_a_module() -> io::Result<()> {
    Ok(nix::kmod::init_module(b"no module", c"")?)
}
