use super::*;
use io::ErrorKind;
use pulse_audit::LogError;
use pulse_core::config::Config;
use pulse_core::trust::{Demand, FileKind, Owners, PathEntry, Untrusted};
use std::io;

fn path() -> PathBuf {
    PathBuf::from("/dir/file")
}

fn io_error(kind: ErrorKind) -> io::Error {
    use nix::errno::Errno;
    let number = match kind {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::PermissionDenied => Errno::EACCES,
        ErrorKind::StorageFull => Errno::ENOSPC,
        ErrorKind::QuotaExceeded => Errno::EDQUOT,
        ErrorKind::ReadOnlyFilesystem => Errno::EROFS,
        ErrorKind::AlreadyExists => Errno::EEXIST,
        ErrorKind::NotADirectory => Errno::ENOTDIR,
        ErrorKind::WouldBlock => Errno::EAGAIN,
        ErrorKind::AddrInUse => Errno::EADDRINUSE,
        ErrorKind::AddrNotAvailable => Errno::EADDRNOTAVAIL,
        ErrorKind::Other => Errno::EIO,
        // Errors of our own.
        ErrorKind::InvalidData => return io::Error::new(kind, "not UTF-8 text"),
        ErrorKind::InvalidInput => return io::Error::new(kind, "not a regular file"),
        ErrorKind::FileTooLarge => return io::Error::new(kind, "more than 1048576 bytes"),
        other => panic!("{other}"),
    };
    io::Error::from_raw_os_error(number as i32)
}

fn untrusted() -> Untrusted {
    let entry = PathEntry {
        path: path(),
        uid: 0,
        mode: 0o666,
        kind: FileKind::File,
    };
    let judged = Owners::root_and([]).judge(&[entry], FileKind::File, Demand::Unwritable);
    judged.unwrap_err()
}

/// One failure of each variant at least, with a part of its remedy.
pub(crate) fn every() -> Vec<(Failure, &'static str)> {
    let io = io_error;
    let owner = Ownership {
        uid: 995,
        gid: 996,
        mode: 0o750,
    };
    let directory = |kind| Failure::Directory {
        name: "ssh_dir",
        path: path(),
        owner,
        error: io(kind),
    };
    let metrics = |kind| Failure::Metrics {
        address: ([127, 0, 0, 1], 9456).into(),
        error: io(kind),
    };
    let unreadable = |kind| SettingsError::Unreadable {
        path: path(),
        error: io(kind),
    };
    let nodes = |kind| SettingsError::NodesUnreadable {
        path: path(),
        kind: FileKind::File,
        error: io(kind),
    };
    let key = |kind| KeyError::Io {
        path: path(),
        error: io(kind),
    };
    let bind = |kind| SocketError::Bind {
        path: path(),
        error: io(kind),
    };
    let opening = |kind| OpenError::Directory {
        path: path(),
        key: "log of [audit]",
        mode: 0o750,
        error: io(kind),
    };
    let storage = |kind| OpenError::Log {
        path: path(),
        state_dir: "/state".into(),
        error: Box::new(LogError::Storage {
            doing: "write the audit log",
            source: io(kind),
        }),
    };
    let wide = || {
        let narrow = Config::parse("socket_mode = '0660'").unwrap().socket_access;
        let file = pulse_core::config::SocketFile {
            mode: 0o666,
            gid: 0,
        };
        narrow.check(file, None).unwrap_err()
    };
    let wrong = |text| SettingsError::Wrong {
        path: path(),
        error: Config::parse(text).unwrap_err(),
    };
    let install = "install -d -o 995 -g 996 -m 0750 /dir/file";
    vec![
        (Failure::Usage("unknown argument".into()), "see --help"),
        (
            SettingsError::NoDirectory {
                file: path(),
                directory: "/dir".into(),
            }
            .into(),
            "install -d -o root -g root -m 0755 /dir`",
        ),
        (unreadable(ErrorKind::NotFound).into(), "create it"),
        (
            unreadable(ErrorKind::PermissionDenied).into(),
            "chmod 0644 /dir/file",
        ),
        (unreadable(ErrorKind::InvalidData).into(), "UTF-8"),
        (unreadable(ErrorKind::InvalidInput).into(), "regular file"),
        (unreadable(ErrorKind::FileTooLarge).into(), "--config"),
        (unreadable(ErrorKind::Other).into(), "dmesg"),
        (
            nodes(ErrorKind::PermissionDenied).into(),
            "chmod 0644 /dir/file",
        ),
        (
            SettingsError::NodesUnreadable {
                path: "/dir/nodes.d".into(),
                kind: FileKind::Directory,
                error: io(ErrorKind::PermissionDenied),
            }
            .into(),
            "chmod 0755 /dir/nodes.d",
        ),
        (nodes(ErrorKind::InvalidInput).into(), "remove it"),
        (nodes(ErrorKind::InvalidData).into(), "UTF-8"),
        (nodes(ErrorKind::FileTooLarge).into(), "no node's"),
        (
            SettingsError::Untrusted(untrusted()).into(),
            "chmod g-w,o-w",
        ),
        (
            SettingsError::UntrustedPlace {
                name: "ssh_dir",
                untrusted: untrusted(),
            }
            .into(),
            "chmod g-w,o-w",
        ),
        (wrong("allowed_node = []").into(), "allowed_nodes"),
        (
            wrong("[ssh]\nallowed_nodes = []").into(),
            "above the first [section]",
        ),
        (
            SettingsError::Environment(pulse_core::config::VariableError {
                variable: "PULSE_SENSOR_PROXY_METRICS_ADDR",
                reason: "not an address with a port".into(),
            })
            .into(),
            "correct the variable",
        ),
        (SocketError::NoGroup("pulse".into()).into(), "groupadd"),
        (
            SocketError::GroupUnknown {
                name: "pulse".into(),
                error: io(ErrorKind::Other),
            }
            .into(),
            "dmesg",
        ),
        (SocketError::Served(path()).into(), "ss -xlp src /dir/file"),
        (SocketError::OtherFile(path()).into(), "move it away"),
        (bind(ErrorKind::PermissionDenied).into(), "install -d -o "),
        (
            SocketError::Given {
                path: path(),
                why: wide(),
                drop_in: "[Socket]\n".into(),
            }
            .into(),
            "systemctl edit",
        ),
        (
            SocketError::Unseen {
                mode: "0660".into(),
                path: Some(path()),
                error: io(ErrorKind::PermissionDenied),
            }
            .into(),
            "ListenStream=",
        ),
        (
            SocketError::Bound {
                path: path(),
                why: wide(),
            }
            .into(),
            "chmod g-s /dir`",
        ),
        (key(ErrorKind::PermissionDenied).into(), "chown "),
        (
            KeyError::Credential {
                path: "/run/credentials/pulse-sensor-proxy.service".into(),
                error: io(ErrorKind::PermissionDenied),
            }
            .into(),
            "LoadCredential=",
        ),
        (key(ErrorKind::StorageFull).into(), "df -i"),
        (key(ErrorKind::QuotaExceeded).into(), "quota"),
        (key(ErrorKind::ReadOnlyFilesystem).into(), "writable again"),
        (
            KeyError::TooOpen {
                path: path(),
                mode: 0o644,
            }
            .into(),
            "chmod 600 /dir/file",
        ),
        (KeyError::Untrusted(untrusted()).into(), "chmod g-w,o-w"),
        (KeyError::Encrypted(path()).into(), "ssh-keygen -p"),
        (KeyError::OtherType(path()).into(), "move it away"),
        (
            KeyError::Unusable {
                path: path(),
                reason: "not a private key".into(),
            }
            .into(),
            "backup",
        ),
        (
            KeyError::NotMade {
                path: path(),
                reason: "no random bytes".into(),
            }
            .into(),
            "dmesg",
        ),
        (
            opening(ErrorKind::PermissionDenied).into(),
            "-m 0750 /dir/file",
        ),
        (opening(ErrorKind::NotADirectory).into(), "move it away"),
        (opening(ErrorKind::ReadOnlyFilesystem).into(), "install -d"),
        (OpenError::InUse { state_dir: path() }.into(), "lslocks"),
        (
            storage(ErrorKind::PermissionDenied).into(),
            " /dir /state` as root",
        ),
        (storage(ErrorKind::StorageFull).into(), "df -i"),
        (
            OpenError::Log {
                path: path(),
                state_dir: "/state".into(),
                error: Box::new(LogError::Missing),
            }
            .into(),
            "put the log back",
        ),
        (
            Failure::Recorder(
                "cannot write the audit log: Input/output error: look into dmesg".into(),
            ),
            "dmesg",
        ),
        (Failure::RecorderTimeout, "dmesg"),
        (
            PrepareError::Thread(io(ErrorKind::WouldBlock)).into(),
            "TasksMax=",
        ),
        (directory(ErrorKind::PermissionDenied), install),
        (directory(ErrorKind::AlreadyExists), install),
        (
            Failure::Directory {
                name: "ssh_dir",
                path: "/etc".into(),
                owner,
                error: io(ErrorKind::PermissionDenied),
            },
            "name in ssh_dir a directory",
        ),
        (metrics(ErrorKind::AddrInUse), "ss -ltnp 'sport = :9456'"),
        (metrics(ErrorKind::AddrNotAvailable), "ip -brief address"),
        (metrics(ErrorKind::PermissionDenied), "higher port"),
        (
            Failure::User {
                name: "nobody".into(),
                error: io(ErrorKind::NotFound),
            },
            "systemd-sysusers",
        ),
        (
            Failure::Resource {
                what: "the runtime",
                error: io::Error::from(nix::errno::Errno::EMFILE),
            },
            "LimitNOFILE=",
        ),
        (Failure::NotStartedYet(path()), "start the daemon once"),
        (Failure::Probe(io(ErrorKind::Other)), "dmesg"),
        (
            Failure::Confinement("landlock is not in force".into()),
            "best-effort",
        ),
        (Failure::LetThrough(String::new()), "docs/hardening.md"),
        (Failure::TaskEnded("poller"), "report it"),
    ]
}

/// The number of the variant: a new one does not compile until it is here, and then needs an
/// example above.
fn variant(failure: &Failure) -> usize {
    match failure {
        Failure::Usage(_) => 0,
        Failure::Settings(error) => match error {
            SettingsError::NoDirectory { .. } => 1,
            SettingsError::Unreadable { .. } => 2,
            SettingsError::Untrusted(_) => 3,
            SettingsError::UntrustedPlace { .. } => 4,
            SettingsError::Wrong { .. } => 5,
            SettingsError::Environment(_) => 6,
            SettingsError::NodesUnreadable { .. } => 37,
        },
        Failure::Socket(error) => match error {
            SocketError::NoGroup(_) => 7,
            SocketError::GroupUnknown { .. } => 8,
            SocketError::Served(_) => 9,
            SocketError::OtherFile(_) => 10,
            SocketError::Bind { .. } => 11,
            SocketError::Given { .. } => 12,
            SocketError::Unseen { .. } => 13,
            SocketError::Bound { .. } => 14,
        },
        Failure::Key(error) => match error {
            KeyError::Io { .. } => 15,
            KeyError::TooOpen { .. } => 16,
            KeyError::Untrusted(_) => 17,
            KeyError::Encrypted(_) => 18,
            KeyError::OtherType(_) => 19,
            KeyError::Unusable { .. } => 20,
            KeyError::NotMade { .. } => 21,
            KeyError::Credential { .. } => 38,
        },
        Failure::Audit(error) => match error {
            OpenError::Directory { .. } => 22,
            OpenError::InUse { .. } => 23,
            OpenError::Log { .. } => 24,
        },
        Failure::Recorder(_) => 25,
        Failure::RecorderTimeout => 26,
        // `StateFile` has its own remedies and tests.
        Failure::Forwarder(_) => 27,
        Failure::Directory { .. } => 28,
        Failure::Metrics { .. } => 29,
        Failure::User { .. } => 30,
        Failure::Resource { .. } => 31,
        Failure::NotStartedYet(_) => 32,
        Failure::Probe(_) => 33,
        Failure::Confinement(_) => 34,
        Failure::LetThrough(_) => 35,
        Failure::TaskEnded(_) => 36,
    }
}

/// The part of the start that fails.
pub(crate) fn part(failure: &Failure) -> &'static str {
    match failure {
        Failure::Usage(_) | Failure::Settings(_) => "The configuration",
        Failure::Socket(_) => "The callers' socket",
        Failure::Key(_) => "The SSH key",
        Failure::Audit(_) | Failure::Recorder(_) | Failure::RecorderTimeout => "The audit log",
        Failure::Forwarder(_)
        | Failure::Directory { .. }
        | Failure::Metrics { .. }
        | Failure::User { .. }
        | Failure::Resource { .. } => "Directories, ports and limits",
        Failure::NotStartedYet(_)
        | Failure::Probe(_)
        | Failure::Confinement(_)
        | Failure::LetThrough(_) => "The confinement",
        Failure::TaskEnded(_) => "The program itself",
    }
}

#[test]
fn every_failure_has_cause_and_remedy() {
    for (failure, part) in every() {
        let message = failure.message();
        assert!(message.contains(part), "{part:?} is not in {message}");
        let cause = Causes(&failure).to_string();
        let remedy = match failure.remedy() {
            Some(remedy) => remedy.into_owned(),
            // Its own text ends with the remedy.
            None => cause.clone(),
        };
        assert!(remedy.contains(part) || cause.contains(part), "{message}");
        assert!(message.starts_with(&cause), "{message}");
        assert!(message.matches("os error").count() <= 1, "{message}");
    }
}

#[test]
fn every_variant_has_an_example() {
    let numbers: std::collections::BTreeSet<usize> = every()
        .iter()
        .map(|(failure, _)| variant(failure))
        .collect();
    assert_eq!(numbers, (0..=38).collect());
}

#[test]
fn exit_codes_are_those_of_help() {
    for (failure, _) in every() {
        let code = match variant(&failure) {
            0 => 64,
            1..=7 | 12..=14 | 37 => 78,
            34 => 71,
            35 => 1,
            36 => 70,
            _ => 73,
        };
        assert_eq!(failure.code(), code, "{failure}");
    }
}
