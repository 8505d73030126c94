//! Real file systems: full, read-only, append-only. They need root; where a file system cannot be
//! mounted, the tests skip themselves with a message.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{check, pinned, record, rotate, until};
use pulse_audit::verify::{Verdict, open_log, verify};
use pulse_audit::{Directory, LogError, Retention, Rotation, Settings, Unavailable, Writer};
use pulse_core::audit_log::retention::Stream;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A mounted file system; none where mounting is not permitted.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(place: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size},mode=755");
        Self::new(place, "a tmpfs", &["-t", "tmpfs", "-o", &options, "tmpfs"])
    }

    /// A file system that can turn read-only under its open files.
    fn ext4(place: &Path) -> Option<Self> {
        let image = place.join("image");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(8 * 1024 * 1024).unwrap();
        // Without this program, the mount fails with a message.
        let _ = Command::new("mkfs.ext4").arg("-q").arg(&image).status();
        Self::new(place, "an ext4 image", &["-o", "loop", path(&image)])
    }

    /// Mounts the image again. Meanwhile its path is empty.
    fn afresh(&self, place: &Path) {
        let (around, away) = (place.join("around"), place.join("away"));
        std::fs::rename(&around, &away).unwrap();
        let mounted = away.join("mount");
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_unmounted(&mounted) {
            assert!(Instant::now() < deadline, "the log's file is held open");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(mount(&["-o", "loop", path(&place.join("image"))], &mounted));
        std::fs::rename(&away, &around).unwrap();
    }

    fn new(place: &Path, what: &str, arguments: &[&str]) -> Option<Self> {
        let path = place.join("around/mount");
        std::fs::create_dir_all(&path).unwrap();
        let done = mount(arguments, &path);
        if !done {
            eprintln!("SKIPPED: {what} cannot be mounted here");
        }
        done.then_some(Self(path))
    }

    fn remount(&self, how: &str) -> bool {
        mount(&["-o", &format!("remount,{how}")], &self.0)
    }
}

/// Fails while a file is open there.
fn is_unmounted(path: &Path) -> bool {
    let mut command = Command::new("umount");
    command.arg(path).stderr(Stdio::null());
    command.status().unwrap().success()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(arguments).arg(path).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn start(mount: &Mount, state: &Path) -> Writer {
    let settings = Settings {
        reserve_bytes: 16 * 1024,
        retry_after: Duration::from_millis(5),
        ..Settings::default()
    };
    Writer::start(Directory::lock(&mount.0, state).unwrap(), settings).unwrap()
}

fn prove(writer: &Writer, mount: &Mount, key: &str) -> String {
    writer.stop();
    let content = std::fs::read(mount.0.join("audit.log")).unwrap();
    let report = check(
        &[("audit.log".to_owned(), content.clone())],
        &pinned(key.parse().unwrap()),
    );
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    String::from_utf8(content).unwrap()
}

#[test]
fn a_full_disk_recovers() {
    let place = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::tmpfs(place.path(), "256k") else {
        return;
    };
    let writer = start(&mount, &place.path().join("state"));
    let key = writer.health().key;
    record(&writer).unwrap();
    let ballast = mount.0.join("ballast");
    let _ = std::fs::write(&ballast, vec![0; 1024 * 1024]);
    let refused = (0..1000).any(|_| record(&writer).is_err());
    assert!(refused && !writer.health().available);
    assert!(record(&writer).is_err());
    std::fs::remove_file(ballast).unwrap();
    until(&writer, |health| health.available);
    record(&writer).unwrap();
    let text = prove(&writer, &mount, &key);
    assert!(
        text.contains("No space left on device"),
        "the refusal is on record"
    );
    assert!(text.contains(r#""reason":"recovery","suppressed":"#));
}

#[test]
fn pruning_frees_a_full_disk() {
    let place = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::tmpfs(place.path(), "1m") else {
        return;
    };
    let settings = Settings {
        reserve_bytes: 32 * 1024,
        segment_bytes: 32 * 1024,
        retry_after: Duration::from_millis(5),
        ..Settings::default()
    };
    let state = place.path().join("state");
    let writer = Writer::start(Directory::lock(&mount.0, &state).unwrap(), settings).unwrap();
    let key = writer.health().key;
    for _ in 0..400 {
        record(&writer).unwrap();
    }
    // The collector is unreachable.
    let passed = Arc::new(AtomicU64::new(0));
    let cursor = Arc::clone(&passed);
    writer.retain(Retention {
        limits: common::at_most(64 * 1024),
        streams: Box::new(move || {
            vec![Stream {
                name: "logs.example".to_owned(),
                acknowledges: true,
                passed: Some(cursor.load(Ordering::Relaxed)),
            }]
        }),
    });
    until(&writer, |health| health.upkeep.blocked.is_some());
    let ballast = mount.0.join("ballast");
    let _ = std::fs::write(&ballast, vec![0; 1024 * 1024]);
    let refused = (0..1000).any(|_| record(&writer).is_err());
    assert!(refused && !writer.health().available);
    assert_eq!(writer.health().upkeep.removed_segments, 0);
    // It is reachable again. Nothing else frees space.
    passed.store(u64::MAX, Ordering::Relaxed);
    until(&writer, |health| health.available);
    assert!(ballast.exists() && writer.health().upkeep.removed_segments > 0);
    record(&writer).unwrap();
    writer.stop();
    let log = open_log(&mount.0).unwrap();
    let report = verify(log, &pinned(key.parse().unwrap()), &mut |_| ()).unwrap();
    assert_eq!(report.verdict, Verdict::Intact, "{report:#?}");
    assert!(report.pruned_through > 0);
}

#[test]
fn a_read_only_disk_prevents_start() {
    let place = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::tmpfs(place.path(), "1m") else {
        return;
    };
    let state = place.path().join("state");
    let writer = start(&mount, &state);
    let key = writer.health().key;
    record(&writer).unwrap();
    writer.stop();
    drop(writer);
    if !mount.remount("ro") {
        eprintln!("SKIPPED: the tmpfs cannot be made read-only here");
        return;
    }
    let outcome = Writer::start(
        Directory::lock(&mount.0, &state).unwrap(),
        Settings::default(),
    );
    assert!(
        matches!(outcome, Err(LogError::Storage { .. })),
        "it does not start"
    );
    assert!(mount.remount("rw"));
    let writer = start(&mount, &state);
    record(&writer).unwrap();
    prove(&writer, &mount, &key);
}

#[test]
fn a_disk_turned_read_only_recovers() {
    let place = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::ext4(place.path()) else {
        return;
    };
    let writer = start(&mount, &place.path().join("state"));
    let key = writer.health().key;
    for _ in 0..20 {
        record(&writer).unwrap();
    }
    // As ext4 does by itself when its disk fails, with files open.
    if !mount.remount("abort") {
        eprintln!("SKIPPED: this kernel cannot be told that a disk failed");
        return;
    }
    let refusal = record(&writer);
    assert!(
        matches!(&refusal, Err(Unavailable::Failed(why)) if why.contains("Read-only")),
        "{refusal:?}"
    );
    assert!(record(&writer).is_err() && !writer.health().available);
    mount.afresh(place.path());
    until(&writer, |health| health.available);
    assert!(
        record(&writer).unwrap().seq > 21,
        "what was acknowledged was kept"
    );
    let text = prove(&writer, &mount, &key);
    assert!(
        text.contains(r#""reason":"recovery","suppressed":"#),
        "{text}"
    );
}

#[test]
fn append_only_files_are_not_rotated() {
    let place = tempfile::tempdir().unwrap();
    let (log, state) = (place.path().join("log"), place.path().join("state"));
    std::fs::create_dir(&log).unwrap();
    let open =
        || Writer::start(Directory::lock(&log, &state).unwrap(), Settings::default()).unwrap();
    let writer = open();
    let key = writer.health().key;
    record(&writer).unwrap();
    writer.stop();
    drop(writer);
    let file = log.join("audit.log");
    let chattr = |how: &str| {
        Command::new("chattr")
            .arg(how)
            .arg(&file)
            .stderr(Stdio::null())
            .status()
    };
    if !chattr("+a").is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: chattr +a is not possible here");
        return;
    }
    // A torn write of a crash, which cannot be cut off, and comes before an orderly end.
    std::fs::remove_file(state.join("end")).unwrap();
    let mut torn = std::fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .unwrap();
    torn.write_all(b"{\"seq\":9,\"half").unwrap();
    let writer = open();
    let is_reported = matches!(rotate(&writer), Ok(Rotation::NotPermitted(_)));
    let went_on = record(&writer).is_ok();
    writer.stop();
    let content = std::fs::read(&file).unwrap();
    assert!(chattr("-a").unwrap().success());
    assert!(is_reported && went_on);
    let report = check(
        &[("audit.log".to_owned(), content)],
        &pinned(key.parse().unwrap()),
    );
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
}
