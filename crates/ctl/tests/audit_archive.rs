//! `audit archive`, and what reads archives: with the log, without it, and pruned logs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::Run;
use common::log::{Home, edit};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.output).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A log of three segments, with its archive.
struct Site {
    home: Home,
    archive: PathBuf,
}

impl Site {
    fn new() -> Self {
        let home = Home::sample();
        let archive = home.path("archive");
        Self { home, archive }
    }

    fn archive(&self, arguments: &[&str]) -> Run {
        let archive = [text(&self.archive)];
        self.home
            .run(&[&["archive"], &archive[..], arguments].concat())
    }

    fn archived(&self) -> Value {
        let run = self.archive(&["--json"]);
        assert_eq!((run.code, run.errors.as_str()), (Some(0), ""), "{run:?}");
        json(&run)
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.archive).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// Verifies these, oldest first, with the key and the private directory.
    fn verify(&self, paths: &[&Path]) -> Run {
        let key = self.home.key.to_string();
        let state = self.home.state();
        let mut arguments = vec!["audit", "verify", "--json", "--key", &key];
        arguments.extend(["--state-dir", text(&state)]);
        arguments.extend(paths.iter().map(|path| text(path)));
        common::run(&arguments)
    }

    /// The oldest segment goes; then there is something new.
    fn prune(&self) {
        let mut open = self.home.open();
        open.prune();
        open.reading("pve1", "later");
        open.seal();
    }
}

#[test]
fn segments_are_archived_once() {
    let site = Site::new();
    let before: Vec<_> = site
        .home
        .files()
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    let done = site.archived();
    let segments = site.home.files();
    let names: Vec<&str> = segments[..2]
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    let written = done["written"].as_array().unwrap();
    assert_eq!(written.len(), 2, "{done}");
    for (entry, name) in written.iter().zip(&names) {
        assert_eq!(entry["segment"], *name);
        assert!(
            entry["packed_bytes"].as_u64() < entry["bytes"].as_u64(),
            "{entry}"
        );
    }
    assert_eq!(done["records"]["from"], 1);
    assert_eq!(site.names(), names.map_suffix(".zst"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&site.archive), 0o700);
    assert_eq!(mode(&site.archive.join(&site.names()[0])), 0o640);
    // Again, with what an attempt that was killed left.
    let unfinished = site.archive.join(format!(".{}.new", site.names()[1]));
    fs::write(&unfinished, "half").unwrap();
    fs::remove_file(site.archive.join(&site.names()[2])).unwrap();
    let again = site.archived();
    assert_eq!(again["written"].as_array().unwrap().len(), 1, "{again}");
    assert_eq!(again["already_archived"], 1);
    assert!(!unfinished.exists());
    let last = site.archived();
    assert_eq!(
        (&last["already_archived"], &last["written"]),
        (&2.into(), &serde_json::json!([]))
    );
    let after: Vec<_> = site
        .home
        .files()
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    assert_eq!(before, after);
    let run = site.archive(&[]);
    assert!(
        run.output.starts_with("nothing new to archive in "),
        "{run:?}"
    );
    assert!(run.output.contains("2 segments archived before"), "{run:?}");
}

trait Suffixed {
    fn map_suffix(&self, suffix: &str) -> Vec<String>;
}

impl Suffixed for Vec<&str> {
    fn map_suffix(&self, suffix: &str) -> Vec<String> {
        self.iter().map(|name| format!("{name}{suffix}")).collect()
    }
}

#[test]
fn unsealed_segments_wait() {
    let home = Home::begun();
    {
        let mut open = home.open();
        open.reading("pve1", "a");
        // Its last record comes after this seal.
        open.rotate();
    }
    let archive = home.path("archive");
    let site = Site { home, archive };
    let done = site.archived();
    assert_eq!(
        (&done["written"], &done["not_sealed_yet"]),
        (&serde_json::json!([]), &1.into())
    );
    assert!(
        site.archive(&[])
            .output
            .contains("1 segment not sealed to the end yet")
    );
    site.home.open().seal();
    assert_eq!(site.archived()["written"].as_array().unwrap().len(), 1);
}

#[test]
fn archives_and_log_are_one() {
    let site = Site::new();
    site.archived();
    let log = site.home.log();
    let whole = json(&site.verify(&[&log]));
    assert_eq!(
        (&whole["verdict"], &whole["first_seq"]),
        (&"intact".into(), &1.into())
    );
    site.prune();
    let pruned = json(&site.verify(&[&log]));
    assert_eq!(pruned["verdict"], "intact", "{pruned:#}");
    let first = pruned["first_seq"].as_u64().unwrap();
    assert_eq!(pruned["pruned_through"], first - 1);
    // In any order; segments that are in both places count once.
    for paths in [[&site.archive, &log], [&log, &site.archive]] {
        let both = json(&site.verify(&paths.map(PathBuf::as_path)));
        assert_eq!(both["verdict"], "intact", "{both:#}");
        assert_eq!(
            (&both["first_seq"], &both["pruned_through"]),
            (&1.into(), &0.into())
        );
        assert_eq!(both["records"], both["last_seq"]);
    }
    // One of the files, and the log's.
    let names = site.names();
    let one = site.archive.join(&names[0]);
    let mut files = vec![one];
    files.extend(
        site.home
            .files()
            .into_iter()
            .filter(|path| !path.ends_with("audit.seals")),
    );
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let report = json(&site.verify(&files));
    assert_eq!(
        (&report["verdict"], &report["first_seq"]),
        (&"intact".into(), &1.into())
    );
    // The seals can be named, too.
    let seals = log.join("audit.seals");
    let rest: Vec<&Path> = [&[seals.as_path()], &files[1..]].concat();
    let report = json(&site.verify(&rest));
    assert_eq!(
        (&report["verdict"], &report["first_seq"]),
        (&"intact".into(), &first.into())
    );
    // Without the log, the archive is a log that ends earlier: the private key is a later one.
    let report = json(&site.verify(&[&site.archive]));
    assert_eq!(report["findings"][0]["attack"], "truncated", "{report:#}");
    let key = site.home.key.to_string();
    let alone = common::run(&["audit", "verify", "--key", &key, text(&site.archive)]);
    assert_eq!(alone.code, Some(3), "{alone:?}");
}

#[test]
fn archived_seals_only_grow() {
    let site = Site::new();
    site.prune();
    let done = site.archived();
    let seals = fs::read(site.home.log().join("audit.seals")).unwrap();
    assert_eq!(done["seals_bytes"], seals.len());
    assert_eq!(fs::read(site.archive.join("audit.seals")).unwrap(), seals);
    let report = json(&site.verify(&[&site.archive, &site.home.log()]));
    assert_eq!(report["verdict"], "intact", "{report:#}");
    {
        let mut open = site.home.open();
        open.rotate();
        open.seal();
        open.prune();
    }
    site.archived();
    let later = fs::read(site.archive.join("audit.seals")).unwrap();
    assert!(later.len() > seals.len() && later.starts_with(&seals));
    fs::write(site.archive.join("audit.seals"), "another log's\n").unwrap();
    let run = site.archive(&[]);
    assert_eq!(run.code, Some(73), "{run:?}");
    assert!(run.errors.contains("of another log"), "{run:?}");
}

#[test]
fn foreign_archives_are_refused() {
    let site = Site::new();
    site.archived();
    let other = Site::new();
    let run = other.home.run(&["archive", text(&site.archive)]);
    assert_eq!(run.code, Some(73), "{run:?}");
    assert!(run.errors.contains("of another log"), "{run:?}");
    // The same segment, with another record in the log.
    let segment = site.home.files()[0].clone();
    edit(&segment, 2, |line| line.replace("pve1", "pve3"));
    let run = site.verify(&[&site.archive, &site.home.log()]);
    assert_eq!(run.code, Some(66), "{run:?}");
    assert!(run.errors.contains("it is not the same as"), "{run:?}");
    // One that was cut, one that is none.
    let archived = site.archive.join(&site.names()[0]);
    let whole = fs::read(&archived).unwrap();
    for content in [&whole[..whole.len() / 2], b"{\"seq\":1}\n"] {
        fs::write(&archived, content).unwrap();
        let run = site.verify(&[&site.archive]);
        assert_eq!(run.code, Some(66), "{run:?}");
        assert!(run.errors.contains(text(&archived)), "{run:?}");
    }
}

#[test]
fn unusable_directories_are_refused() {
    let site = Site::new();
    let run = site.home.run(&["archive", text(&site.home.log())]);
    assert_eq!(run.code, Some(64), "{run:?}");
    let file = site.home.path("file");
    fs::write(&file, "").unwrap();
    let run = site.home.run(&["archive", text(&file.join("below"))]);
    assert_eq!(run.code, Some(73), "{run:?}");
    assert!(run.errors.contains("create this directory"), "{run:?}");
    let nowhere = site.home.path("nowhere");
    let run = common::run(&[
        "audit",
        "archive",
        "--log",
        text(&nowhere),
        text(&site.archive),
    ]);
    assert_eq!(run.code, Some(66), "{run:?}");
}

#[test]
fn a_full_disk_leaves_no_archive() {
    let site = Site::new();
    fs::create_dir(&site.archive).unwrap();
    let mount = |arguments: &[&str]| {
        let mut command = Command::new("mount");
        let status = command.args(arguments).arg(&site.archive).status();
        status.is_ok_and(|status| status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=4k", "tmpfs"]) {
        eprintln!("SKIPPED: a tmpfs cannot be mounted here");
        return;
    }
    fs::write(site.archive.join("ballast"), vec![0; 4096]).unwrap();
    let run = site.archive(&[]);
    let names = site.names();
    fs::remove_file(site.archive.join("ballast")).unwrap();
    let again = site.archive(&[]);
    let umount = Command::new("umount").arg(&site.archive).status();
    assert!(umount.unwrap().success());
    assert_eq!(run.code, Some(73), "{run:?}");
    assert!(run.errors.contains("No space left"), "{run:?}");
    assert_eq!(names, ["ballast"]);
    // One of the two fits.
    assert!(
        !again.errors.is_empty() || again.code == Some(0),
        "{again:?}"
    );
}

#[test]
fn archives_are_shown_and_explained() {
    let site = Site::new();
    site.archived();
    let archive = text(&site.archive).to_owned();
    let audit = |words: &[&str]| {
        let words = [&["audit"], words, &["--log", &archive]].concat();
        let run = common::run(&words);
        assert_eq!((run.code, run.errors.as_str()), (Some(0), ""), "{run:?}");
        run.output
    };
    let shown = audit(&["show", "--json", "--id", "first-0"]);
    assert_eq!(shown.lines().count(), 2, "{shown}");
    let tail = audit(&["tail", "-n", "1", "--json"]);
    assert!(tail.contains("log.rotated"), "{tail}");
    let story = audit(&["explain", "first-1"]);
    assert!(story.contains("192.0.2.7:22"), "{story}");
}

#[test]
fn archives_of_zstd_are_read() {
    let zstd = Command::new("zstd").arg("--version").output();
    if !zstd.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: zstd is not here");
        return;
    }
    for level in ["-1", "-19", "--ultra -22 --long=27"] {
        let site = Site::new();
        fs::create_dir(&site.archive).unwrap();
        for path in &site.home.files()[..2] {
            let name = path.file_name().unwrap().to_str().unwrap();
            let mut zstd = Command::new("zstd");
            zstd.arg("-q").args(level.split(' ')).arg(path).arg("-o");
            assert!(
                zstd.arg(site.archive.join(format!("{name}.zst")))
                    .status()
                    .unwrap()
                    .success()
            );
            fs::remove_file(path).unwrap();
        }
        let report = json(&site.verify(&[&site.archive, &site.home.log()]));
        assert_eq!(report["verdict"], "intact", "{level}: {report:#}");
        assert_eq!(report["first_seq"], 1);
    }
    // And the other way round.
    let site = Site::new();
    site.archived();
    let packed = site.archive.join(&site.names()[0]);
    let unpacked = Command::new("zstd")
        .args(["-q", "-d", "-c"])
        .arg(packed)
        .output();
    assert_eq!(
        unpacked.unwrap().stdout,
        fs::read(&site.home.files()[0]).unwrap()
    );
}

#[test]
fn a_pruned_log_says_its_start() {
    let site = Site::new();
    site.prune();
    let run = site.home.verify(&[]);
    assert_eq!((run.code, run.errors.as_str()), (Some(0), ""), "{run:?}");
    let first = json(&site.home.verify(&["--json"]))["first_seq"]
        .as_u64()
        .unwrap();
    let head = format!("intact from record {first} on: every record is as it was written\n");
    assert!(run.output.starts_with(&head), "{}", run.output);
    let words = run.output.split_whitespace().collect::<Vec<_>>().join(" ");
    let note = format!(
        "records 1 to {} were removed by retention, on record",
        first - 1
    );
    assert!(words.contains(&note), "{words}");
    assert!(
        words.contains("prove the keys of what was removed, and not its records"),
        "{words}"
    );
    // Limits that it contradicts.
    let run = site
        .home
        .verify(&["--retain-days", "30", "--retain-bytes", "1000000000"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.output
            .starts_with("NOT intact: pruned early at record 1\n"),
        "{}",
        run.output
    );
    assert!(
        run.output.contains("--retain-days, --retain-bytes"),
        "{}",
        run.output
    );
    let run = site.home.verify(&["--retain-bytes", "1"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    // As the configuration has them.
    let config = site.home.path("config.toml");
    let place = format!(
        "[audit]\nlog = {:?}\nstate_dir = {:?}\n",
        site.home.live(),
        site.home.state()
    );
    for (limits, code) in [
        ("", 1),
        ("retain_bytes = 100000000\n", 1),
        ("retain_days = 1\n", 1),
    ] {
        fs::write(&config, format!("{place}{limits}")).unwrap();
        let key = site.home.key.to_string();
        let run = common::run(&["audit", "verify", "--key", &key, "--config", text(&config)]);
        assert_eq!(run.code, Some(code), "{limits}: {run:?}");
        assert!(run.output.contains("pruned early"), "{run:?}");
    }
}

#[test]
fn removed_records_are_named() {
    let site = Site::new();
    site.prune();
    let run = site.home.run(&["explain", "2"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.errors
            .contains("retention removed the records before 10"),
        "{run:?}"
    );
    let run = site.home.run(&["explain", "99999"]);
    assert!(
        run.errors.contains("no record of the log has this number"),
        "{run:?}"
    );
    // The rest of the tool does with what there is.
    for words in [
        &["show"][..],
        &["tail"],
        &["head"],
        &["show", "--from-seq", "1"],
    ] {
        let run = site.home.run(words);
        assert_eq!((run.code, run.errors.as_str()), (Some(0), ""), "{run:?}");
    }
    let run = site.home.verify(&["--since", "3"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let run = site.home.run(&["rotate"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(site.home.verify(&[]).code, Some(0));
}
