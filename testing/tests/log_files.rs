//! The audit log's files, changed by another program under a running daemon: service stops with
//! an error in the log, a counter and a reason in `/ready`, and continues with an operator's word.

use crate::audit::{NOT_READ, reading};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, Daemon, Home, control, run_in, service, wait};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The most time from an operator's word to the first reading.
const RECOVERY: Duration = Duration::from_secs(5);

/// A change that another program makes to a file, and its name.
type Change = (&'static str, fn(&Path));

const CHANGES: [Change; 4] = [
    ("renamed", |file| {
        fs::rename(file, file.with_file_name("elsewhere")).unwrap();
    }),
    ("removed", |file| fs::remove_file(file).unwrap()),
    ("cut", |file| {
        let file = OpenOptions::new().write(true).open(file).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length / 2).unwrap();
    }),
    ("replaced", |file| {
        // With a byte of the last hash changed: by the same content it would be the same file.
        let mut content = fs::read(file).unwrap();
        let end = content.len() - 5;
        content[end] ^= 1;
        let other = file.with_file_name("other");
        fs::write(&other, content).unwrap();
        service::give(&other);
        fs::rename(other, file).unwrap();
    }),
];

fn segment(home: &Home) -> PathBuf {
    home.audit_log().with_file_name("audit.log-000000000001")
}

/// A daemon whose log has a segment and a live file.
fn fleet() -> Fleet {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    assert!(fleet.daemon.temperature("pve1").is_ok());
    let home = fleet.daemon.home();
    fs::rename(home.audit_log(), segment(home)).unwrap();
    fleet.daemon.signal(Signal::SIGUSR1);
    wait::until("a new file", || home.audit_log().exists());
    assert!(fleet.daemon.temperature("pve1").is_ok());
    fleet
}

fn has_stopped(fleet: &Fleet) -> bool {
    fleet.daemon.ask(&reading())["error"] == NOT_READ
}

/// Waits for a reading, at most [`RECOVERY`].
fn assert_reads_soon(fleet: &Fleet) {
    let begin = Instant::now();
    wait::until("a reading", || fleet.daemon.temperature("pve1").is_ok());
    assert!(begin.elapsed() <= RECOVERY, "{:?}", begin.elapsed());
}

/// One change of one file, from its making to the acceptance.
fn change_and_accept(is_live: bool, (name, change): Change) {
    let fleet = fleet();
    let home = fleet.daemon.home();
    let file = if is_live {
        home.audit_log()
    } else {
        segment(home)
    };
    change(&file);
    wait::until("the daemon to notice", || has_stopped(&fleet));
    let named = file.file_name().unwrap().to_str().unwrap();
    let sentence = format!("{named} was {name} by another program");
    wait::until("an error in the log", || {
        let log = fleet.daemon.log();
        let mut lines = log.lines();
        lines.any(|line| line.contains("ERROR") && line.contains(&sentence))
    });
    for (metric, value) in [
        ("pulse_proxy_audit_changed_files_total", 1.0),
        ("pulse_proxy_audit_failures_total", 1.0),
        ("pulse_proxy_audit_loss_pending", 1.0),
        ("pulse_proxy_audit_available", 0.0),
    ] {
        let found = fleet.daemon.metric(metric);
        assert!((found - value).abs() < 0.5, "{sentence}: {metric} {found}");
    }
    let ready = fleet.daemon.get("/ready");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(ready.contains(&sentence), "{ready}");
    let config = home.config_file();
    let accept = ["audit", "accept-loss", "--config", config.to_str().unwrap()];
    let accepted = control::run(home, &accept);
    assert_eq!(accepted.code, 0, "{sentence}: {accepted:?}");
    assert_reads_soon(&fleet);
    assert!(fleet.daemon.get("/ready").starts_with("HTTP/1.1 200"));
    let log = fleet.daemon.log();
    assert!(log.contains("control:0 accepted the loss"), "{log}");
    let disturbed = home.records_of("log.disturbed");
    assert_eq!(disturbed.len(), 1, "{sentence}");
    assert_eq!(disturbed[0]["file"], named);
    assert_eq!(disturbed[0]["reason"], name);
    assert_eq!(home.records_of("log.loss_accepted").len(), 1, "{sentence}");
}

#[test]
fn changed_live_files_stop_service() {
    std::thread::scope(|scope| {
        for change in CHANGES {
            scope.spawn(move || change_and_accept(true, change));
        }
    });
}

#[test]
fn changed_segments_stop_service() {
    std::thread::scope(|scope| {
        for change in CHANGES {
            scope.spawn(move || change_and_accept(false, change));
        }
    });
}

/// The confined daemon may rename regular files only.
#[test]
fn links_and_fifos_are_removed() {
    let changes: [Change; 2] = [
        ("replaced", |file| {
            fs::remove_file(file).unwrap();
            symlink("elsewhere", file).unwrap();
        }),
        ("replaced", |file| {
            fs::remove_file(file).unwrap();
            mkfifo(file, Mode::S_IRWXU).unwrap();
        }),
    ];
    std::thread::scope(|scope| {
        for change in changes {
            scope.spawn(move || change_and_accept(true, change));
        }
    });
}

#[test]
fn a_directory_is_moved_by_the_operator() {
    let fleet = fleet();
    let home = fleet.daemon.home();
    let file = home.audit_log();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    wait::until("the daemon to notice", || has_stopped(&fleet));
    let config = home.config_file();
    let accept = ["audit", "accept-loss", "--config", config.to_str().unwrap()];
    let refused = control::run(home, &accept);
    // Without Landlock in the kernel, the daemon moves it itself.
    if refused.code != 0 {
        assert!(refused.errors.contains("move it away"), "{refused:?}");
        fs::remove_dir(&file).unwrap();
        let accepted = control::run(home, &accept);
        assert_eq!(accepted.code, 0, "{accepted:?}");
    }
    assert_reads_soon(&fleet);
}

#[test]
fn what_is_put_back_continues() {
    let fleet = fleet();
    let home = fleet.daemon.home();
    let aside = home.path("aside");
    fs::rename(segment(home), &aside).unwrap();
    wait::until("the daemon to notice", || has_stopped(&fleet));
    fs::rename(&aside, segment(home)).unwrap();
    assert_reads_soon(&fleet);
    assert_eq!(home.records_of("log.disturbed").len(), 1);
    crate::audit::assert_intact(home);
}

#[test]
fn a_restart_hides_no_change() {
    let mut fleet = fleet();
    fs::remove_file(segment(fleet.daemon.home())).unwrap();
    wait::until("the daemon to notice", || has_stopped(&fleet));
    fleet.daemon.signal(Signal::SIGTERM);
    fleet.daemon.wait();
    let home = fleet.daemon.home();
    let ended = run_in(home);
    assert_eq!(ended.code, 73, "{ended:?}");
    for part in ["was removed by another program", "audit accept-loss"] {
        assert!(ended.errors.contains(part), "{ended:?}");
    }
    let config = home.config_file();
    let accept = ["audit", "accept-loss", "--config", config.to_str().unwrap()];
    let accepted = control::run(home, &accept);
    assert_eq!(accepted.code, 0, "{accepted:?}");
    let daemon = Daemon::start_with(home, &[]);
    assert!(daemon.temperature("pve1").is_ok());
}

#[test]
fn damage_without_a_daemon_is_found() {
    for is_live in [true, false] {
        let mut fleet = fleet();
        fleet.daemon.signal(Signal::SIGTERM);
        fleet.daemon.wait();
        let home = fleet.daemon.home();
        let file = if is_live {
            home.audit_log()
        } else {
            segment(home)
        };
        fs::remove_file(&file).unwrap();
        let ended = run_in(home);
        assert_eq!(ended.code, 73, "{ended:?}");
        let named = file.file_name().unwrap().to_str().unwrap();
        let sentence = format!("{named} was removed by another program");
        assert!(ended.errors.contains(&sentence), "{ended:?}");
        let config = home.config_file();
        let accept = ["audit", "accept-loss", "--config", config.to_str().unwrap()];
        let accepted = control::run(home, &accept);
        assert_eq!(accepted.code, 0, "{accepted:?}");
        let daemon = Daemon::start_with(home, &[]);
        assert!(daemon.temperature("pve1").is_ok());
        let disturbed = home.records_of("log.disturbed");
        assert_eq!(disturbed.last().unwrap()["file"], named);
    }
}
