//! Full, failing and read-only disks of the log and of its private keys.

use crate::audit::{NOT_READ, assert_intact, assert_intact_with, reading};
use pulse_audit::verify::{Options, open_directory, verify};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, Daemon, Home, control, run_in, service, wait};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The most time from the end of a failure to the first reading.
const RECOVERY: Duration = Duration::from_secs(5);

const NEEDS: [Need; 2] = [Need::Root, Need::NoUnit("the test mounts a disk")];

#[test]
fn full_disk_refuses_and_recovers() {
    if skipped(&NEEDS) {
        return;
    }
    let disk = Disk::mount("size=1m,mode=755");
    let log = format!("{:?}", disk.directory.path().join("log/audit.log"));
    let config = Config::new()
        .set_audit("log", &log)
        .set_audit("reserve_bytes", "65536");
    let fleet = Fleet::start(config, [("pve1", sim::healthy())]);
    assert!(fleet.daemon.temperature("pve1").is_ok());
    disk.fill();
    // A record that fits the last block is written, so one refusal proves nothing.
    let refused = || fleet.daemon.ask(&reading())["error"] == NOT_READ;
    wait::until("refusals", || refused() && refused());
    let path = disk.directory.path().join("log/audit.log");
    assert_named(
        &fleet.daemon,
        &[path.to_str().unwrap(), "No space left on device", "df -i"],
    );
    let failures = || fleet.daemon.metric("pulse_proxy_audit_failures_total");
    assert!((failures() - 1.0).abs() < 0.5, "{}", failures());
    disk.empty();
    let begin = Instant::now();
    wait::until("service", || {
        fleet.daemon.ask(&reading())["success"] == true
    });
    assert!(begin.elapsed() <= RECOVERY, "{:?}", begin.elapsed());
    let log = disk.directory.path().join("log");
    let text = fs::read_to_string(log.join("audit.log")).unwrap();
    assert!(
        text.contains("No space left on device"),
        "the error is logged at the next write"
    );
    let starts = text.matches("\"command.start\"").count() as u64;
    assert!(fleet.node("pve1").counters().readings <= starts, "{text}");
    let options = Options {
        live: true,
        ..Options::default()
    };
    let report = verify(open_directory(&log).unwrap(), &options, &mut |_| ()).unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
}

/// Asserts that the cause and the remedy are in the log, the caller's answer, `status` and what
/// the tool says.
fn assert_named(daemon: &Daemon, parts: &[&str]) {
    let detail = wait::until_some("the cause", || {
        daemon.ask(&reading())["detail"].as_str().map(str::to_owned)
    });
    let status = control::run(daemon.home(), &["status"]);
    let socket = daemon.home().socket();
    let tool = ["temps", "pve1", "--socket", socket.to_str().unwrap()];
    let said = control::run(daemon.home(), &tool).errors;
    let log = daemon.log();
    let logged = log.lines().filter(|line| line.contains("ERROR"));
    let logged: String = logged.collect();
    // The status is wrapped in lines where it goes to a terminal only.
    for text in [&detail, &status.output, &said, &logged] {
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
    assert_eq!(status.code, 1, "{status:?}");
}

#[test]
fn used_up_inodes_refuse_and_recover() {
    if skipped(&NEEDS) {
        return;
    }
    // A new segment needs an inode, and records no more than the open one has.
    let disk = Disk::mount("size=4m,nr_inodes=24,mode=755");
    let log = format!("{:?}", disk.directory.path().join("log/audit.log"));
    let config = Config::new()
        .set_audit("log", &log)
        .set_audit("segment_bytes", "5000")
        .set_audit("reserve_bytes", "4096");
    let fleet = Fleet::start(config, [("pve1", sim::healthy())]);
    assert!(fleet.daemon.temperature("pve1").is_ok());
    let filler = disk.directory.path().join("filler");
    fs::create_dir(&filler).unwrap();
    let made = (0..).take_while(|name| fs::write(filler.join(name.to_string()), "").is_ok());
    assert!(made.count() < 24);
    wait::until("refusals", || {
        fleet.daemon.ask(&reading())["error"] == NOT_READ
    });
    assert_named(&fleet.daemon, &["No space left on device", "df -i"]);
    fs::remove_dir_all(&filler).unwrap();
    wait::until("service", || {
        fleet.daemon.ask(&reading())["success"] == true
    });
}

#[test]
fn quota_and_read_only_disk_are_named() {
    if skipped(&[
        Need::Program("strace"),
        Need::NoUnit("another program makes its calls fail"),
    ]) {
        return;
    }
    for (error, parts) in [
        (
            "EDQUOT",
            ["audit.log: Disk quota exceeded", "raise the quota"],
        ),
        (
            "EROFS",
            ["audit.log: Read-only file system", "mount it writable"],
        ),
    ] {
        let node = sim::start(sim::healthy());
        let home = Arc::new(Home::new());
        home.trust(&node.host_key_line("pve1"));
        home.write_config(&Config::new().node("pve1", node.addr()));
        let trace = home.path("trace");
        let inject = format!("inject=fdatasync:error={error}:when=8+");
        let strace = ["strace", "-D", "-f", "-qq", "-o", trace.to_str().unwrap()];
        let faulty = ["-e", "trace=fdatasync", "-e", &inject];
        let daemon = Daemon::start_under(&home, &[&strace[..], &faulty].concat());
        wait::until("the failure", || {
            daemon.ask(&reading())["error"] == NOT_READ
        });
        assert_named(&daemon, &parts);
    }
}

#[test]
fn failing_disk_refuses_and_recovers() {
    if skipped(&[
        Need::Program("strace"),
        Need::NoUnit("another program makes its calls fail"),
    ]) {
        return;
    }
    // EROFS is the error of a file system that became read-only after errors.
    for error in ["EIO", "EROFS"] {
        let node = sim::start(sim::healthy());
        let home = Arc::new(Home::new());
        home.trust(&node.host_key_line("pve1"));
        home.write_config(&Config::new().node("pve1", node.addr()));
        let trace = home.path("trace");
        let inject = format!("inject=fdatasync:error={error}:when=8..10");
        let strace = ["strace", "-D", "-f", "-qq", "-o", trace.to_str().unwrap()];
        let faulty = ["-e", "trace=fdatasync", "-e", &inject];
        let daemon = Daemon::start_under(&home, &[&strace[..], &faulty].concat());
        let refused = || daemon.ask(&reading())["error"] == NOT_READ;
        wait::until("the failure", refused);
        wait::until("service", || daemon.ask(&reading())["success"] == true);
        let injected = fs::read_to_string(&trace).unwrap();
        assert!(injected.contains("(INJECTED)"), "{injected}");
        let resumed = &home.records_of("log.resumed");
        assert!(!resumed.is_empty(), "{:?}", home.records());
        assert_intact(&home);
        daemon.stop();
    }
}

#[test]
fn failing_syncs_leave_one_torn_file() {
    if skipped(&[
        Need::Program("strace"),
        Need::NoUnit("another program makes its calls fail"),
    ]) {
        return;
    }
    let node = sim::start(sim::healthy());
    let home = Arc::new(Home::new());
    home.trust(&node.host_key_line("pve1"));
    home.write_config(&Config::new().node("pve1", node.addr()));
    // The first syncs are those of the start; then it fails for good.
    let trace = home.path("trace");
    let strace = ["strace", "-D", "-f", "-qq", "-o", trace.to_str().unwrap()];
    let faulty = [
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:error=EIO:when=8+",
    ];
    let daemon = Daemon::start_under(&home, &[&strace[..], &faulty].concat());
    wait::until("the failure", || {
        daemon.ask(&reading())["error"] == NOT_READ
    });
    // Each retry syncs what it has written.
    let syncs = || {
        let injected = fs::read_to_string(&trace).unwrap_or_default();
        injected.matches("(INJECTED)").count()
    };
    let failed = syncs();
    wait::until("some retries", || syncs() >= failed + 4);
    let files = fs::read_dir(home.audit_log().parent().unwrap()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let torn: Vec<_> = names.filter(|name| name.contains("torn")).collect();
    assert_eq!(torn.len(), 1, "{torn:?}");
}

#[test]
fn read_only_disk_prevents_start() {
    if skipped(&NEEDS) {
        return;
    }
    let home = Home::new();
    let disk = Disk::mount("size=1m,mode=755");
    let directory = disk.directory.path().join("log");
    fs::create_dir(&directory).unwrap();
    service::give(&directory);
    disk.remount_read_only();
    let log = format!("{:?}", directory.join("audit.log"));
    let config = Config::new().set_audit("log", &log);
    fs::write(home.config_file(), config.text(&home)).unwrap();
    let ended = run_in(&home);
    assert_eq!(ended.code, 73, "{ended:?}");
    for part in ["audit log: ", "Read-only file system", "writable again"] {
        assert!(ended.errors.contains(part), "{ended:?}");
    }
    assert!(!home.socket().exists(), "nothing is served");
}

#[test]
fn read_only_directory_loses_nothing() {
    if skipped(&NEEDS) {
        return;
    }
    let config = Config::new().set_audit("segment_bytes", "5000");
    let fleet = Fleet::start(config, [("pve1", sim::healthy())]);
    assert!(fleet.daemon.temperature("pve1").is_ok());
    let home = fleet.daemon.home();
    let log = home.audit_log();
    let read_only = ReadOnly::make(log.parent().unwrap());
    // The open segment is filled; then no other can be created.
    wait::until("refusals", || {
        fleet.daemon.ask(&reading())["error"] == NOT_READ
    });
    for _ in 0..3 {
        assert_eq!(fleet.daemon.ask(&reading())["error"], NOT_READ);
    }
    let said = fleet.daemon.get("/ready");
    assert!(said.contains("Read-only file system"), "{said}");
    drop(read_only);
    wait::until("service", || {
        fleet.daemon.ask(&reading())["success"] == true
    });
    assert_all_on_record(&fleet);
    assert!(count(home, "log.resumed") > 0);
    assert_intact(home);
}

#[test]
fn full_key_disk_refuses_and_recovers() {
    if skipped(&NEEDS) {
        return;
    }
    let disk = Disk::mount("size=128k,mode=755");
    let state = disk.directory.path().join("state");
    let config = Config::new()
        .set_audit("state_dir", &format!("{state:?}"))
        // Each segment ends with a seal, and each seal stores a new private key.
        .set_audit("segment_bytes", "5000");
    let fleet = Fleet::start(config, [("pve1", sim::healthy())]);
    assert!(fleet.daemon.temperature("pve1").is_ok());
    disk.fill();
    wait::until("refusals", || {
        fleet.daemon.ask(&reading())["error"] == NOT_READ
    });
    let said = fleet.daemon.get("/ready");
    assert!(said.contains("No space left on device"), "{said}");
    disk.empty();
    wait::until("service", || {
        fleet.daemon.ask(&reading())["success"] == true
    });
    let home = fleet.daemon.home();
    assert_all_on_record(&fleet);
    let keys = fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let keys: Vec<_> = keys.filter(|name| name.starts_with("seal-key-")).collect();
    assert_eq!(keys.len(), 1, "one key remains: {keys:?}");
    assert_intact_with(home, &state);
}

/// Every reading has its record.
fn assert_all_on_record(fleet: &Fleet) {
    assert!(fleet.node("pve1").counters().readings <= count(fleet.daemon.home(), "command.start"));
}

fn count(home: &Home, kind: &str) -> u64 {
    let records = home.all_records().into_iter();
    records
        .filter(|record| record["event_type"] == kind)
        .count() as u64
}

/// A small tmpfs.
struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    fn mount(options: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().to_str().unwrap();
        mount(&["-t", "tmpfs", "-o", options, "tmpfs", at]);
        Self { directory }
    }

    /// Remounts it read-only; no file may be open for writing.
    fn remount_read_only(&self) {
        mount(&["-o", "remount,ro", self.directory.path().to_str().unwrap()]);
    }

    /// Fills it.
    fn fill(&self) {
        use std::io::Write;
        let mut file = fs::File::create(self.directory.path().join("filler")).unwrap();
        while file.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
    }

    fn empty(&self) {
        fs::remove_file(self.directory.path().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(self.directory.path());
    }
}

/// A read-only bind mount of a directory on itself; open files stay writable.
struct ReadOnly<'a>(&'a Path);

impl<'a> ReadOnly<'a> {
    fn make(directory: &'a Path) -> Self {
        let at = directory.to_str().unwrap();
        mount(&["--bind", at, at]);
        let read_only = Self(directory);
        mount(&["-o", "remount,bind,ro", at]);
        read_only
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        unmount(self.0);
    }
}

fn mount(words: &[&str]) {
    let mounted = Command::new("mount").args(words).status();
    assert!(mounted.unwrap().success(), "mount {words:?}");
}

fn unmount(directory: &Path) {
    // The daemon in it may take a moment to end.
    for _ in 0..100 {
        let done = Command::new("umount").arg("-l").arg(directory).status();
        if done.is_ok_and(|status| status.success()) {
            return;
        }
        thread::yield_now();
    }
}
