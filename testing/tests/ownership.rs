//! Files that another user can change are refused, as with sshd's `StrictModes`.

use pulse_e2e::certificates::Authority;
use pulse_e2e::forwarding;
use pulse_e2e::programs::{Need, is_root, skipped};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, Daemon, Ended, Home, run, run_in, service, unused_address, wait};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A user other than root and the service.
const SOMEBODY: u32 = 61_001;

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Each ownership or mode that lets another user change a file, with a part of the error.
fn exposures(path: &Path) -> Vec<(Exposure, String)> {
    let directory = path.parent().unwrap();
    let mut exposures = Vec::new();
    for exposed in [path, directory] {
        let before = mode(exposed);
        for (write, remedy) in [(0o020, "chmod g-w"), (0o002, "chmod o-w")] {
            let words = format!("(mode {:04o}, owner", before | write);
            exposures.push((Exposure::mode(exposed, before | write), words));
            let words = format!("{remedy} {}", exposed.display());
            exposures.push((Exposure::mode(exposed, before | write), words));
        }
        if is_root() {
            let words = format!("owner {SOMEBODY}) must belong to root");
            exposures.push((Exposure::owner(exposed), words));
            let words = format!("chown root {}", exposed.display());
            exposures.push((Exposure::owner(exposed), words));
        }
    }
    exposures
}

/// An ownership or mode for the duration of an action.
struct Exposure {
    path: PathBuf,
    mode: u32,
    owner: Option<u32>,
}

impl Exposure {
    fn mode(path: &Path, mode: u32) -> Self {
        Self {
            path: path.to_owned(),
            mode,
            owner: None,
        }
    }

    fn owner(path: &Path) -> Self {
        Self {
            owner: Some(SOMEBODY),
            ..Self::mode(path, mode(path))
        }
    }

    fn during<T>(&self, act: impl FnOnce() -> T) -> T {
        let before = fs::metadata(&self.path).unwrap();
        set(&self.path, self.mode);
        chown(&self.path, self.owner, None).unwrap();
        let outcome = act();
        chown(&self.path, Some(before.uid()), None).unwrap();
        set(&self.path, before.mode() & 0o7777);
        outcome
    }
}

fn check(home: &Home) -> Ended {
    let file = home.config_file();
    run(&["--check", "--config", file.to_str().unwrap()], &[])
}

#[test]
fn writable_configuration_is_refused() {
    let home = Home::new();
    home.write_config(&Config::new());
    assert_eq!(check(&home).code, 0);
    for (exposure, words) in exposures(&home.config_file()) {
        for ended in exposure.during(|| [run_in(&home), check(&home)]) {
            assert_eq!(ended.code, 78, "{ended:?}");
            let said = &ended.errors;
            assert!(said.contains("the configuration is refused"), "{said}");
            assert!(said.contains(&words), "{words}: {said}");
        }
        assert!(!home.ssh_dir().exists());
    }
    assert_eq!(check(&home).code, 0);
}

#[test]
fn writable_node_files_are_refused() {
    let home = Arc::new(Home::new());
    home.write_config(&Config::new());
    home.write_node("pve1", "name = 'pve1'");
    assert_eq!(check(&home).code, 0);
    let exposures = exposures(&home.node_file("pve1"));
    for (exposure, words) in &exposures {
        for ended in exposure.during(|| [run_in(&home), check(&home)]) {
            assert_eq!(ended.code, 78, "{ended:?}");
            let said = &ended.errors;
            assert!(said.contains("the configuration is refused"), "{said}");
            assert!(said.contains(words), "{words}: {said}");
        }
    }
    assert!(!home.ssh_dir().exists());
    let daemon = Daemon::start_with(&home, &[]);
    home.write_node("pve2", "name = 'pve2'");
    for (exposure, words) in &exposures {
        exposure.during(|| daemon.reload());
        assert!(daemon.log().contains(words), "{words}");
        let error = daemon.temperature("pve2").unwrap_err();
        assert!(error.contains("node_not_allowlisted"), "{error}");
    }
    daemon.reload();
    let error = daemon.temperature("pve2").unwrap_err();
    assert!(!error.contains("node_not_allowlisted"), "{error}");
}

#[test]
fn protected_link_is_followed() {
    let home = Arc::new(Home::new());
    home.write_config(&Config::new());
    let (file, elsewhere) = (home.config_file(), home.path("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    let target = elsewhere.join("config.toml");
    fs::rename(&file, &target).unwrap();
    symlink("../elsewhere/config.toml", &file).unwrap();
    Daemon::start_with(&home, &[]).stop();
    for (exposure, words) in exposures(&target) {
        let ended = exposure.during(|| check(&home));
        assert!(ended.errors.contains(&words), "{words}: {ended:?}");
    }
    // In a sticky directory that everybody can write to, the link's owner chooses the target.
    let shared = home.path("shared");
    fs::create_dir(&shared).unwrap();
    set(&shared, 0o1777);
    let link = shared.join("config.toml");
    symlink(&target, &link).unwrap();
    let arguments = ["--check", "--config", link.to_str().unwrap()];
    assert_eq!(run(&arguments, &[]).code, 0);
    if is_root() {
        std::os::unix::fs::lchown(&link, Some(SOMEBODY), None).unwrap();
        let ended = run(&arguments, &[]);
        let remedy = format!("chown -h root {}", link.display());
        assert!(ended.errors.contains(&remedy), "{ended:?}");
    }
}

#[test]
fn writable_configuration_is_not_reloaded() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    let daemon = &fleet.daemon;
    let file = daemon.home().config_file();
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("pve1", "evil")).unwrap();
    for (exposure, words) in exposures(&file) {
        exposure.during(|| daemon.reload());
        let records = daemon.home().records_of("config.reloaded");
        let last = records.last().unwrap();
        assert_eq!(last["decision"], "failed");
        let said = last["error"].as_str().unwrap();
        // A record's text is truncated, so only the log has the whole path.
        assert!(said.contains("the configuration is refused"), "{said}");
        assert!(daemon.log().contains(&words), "{words}");
        assert!(daemon.temperature("pve1").is_ok());
        let error = daemon.temperature("evil").unwrap_err();
        assert!(error.contains("node_not_allowlisted"), "{error}");
    }
    fs::write(&file, good).unwrap();
    daemon.reload();
    assert!(daemon.temperature("pve1").is_ok());
}

#[test]
fn writable_known_hosts_trust_no_node() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    let daemon = &fleet.daemon;
    let known_hosts = daemon.home().known_hosts();
    for (exposure, words) in exposures(&known_hosts) {
        // The service needs its own directory, so its owner cannot change.
        if exposure.owner.is_some() && exposure.path != known_hosts {
            continue;
        }
        let before = fleet.node("pve1").counters().readings;
        exposure.during(|| {
            let error = wait::until_some("the refusal", || {
                let outcome = daemon.temperature("pve1");
                outcome.err().filter(|error| error.contains(&words))
            });
            assert!(error.starts_with("node \"pve1\" "), "{error}");
            assert!(error.contains("known_hosts cannot be used"), "{error}");
            let ended = check(daemon.home());
            assert!(ended.errors.contains(&words), "{words}: {ended:?}");
            assert_eq!(fleet.node("pve1").counters().readings, before);
        });
        // The node is read again as soon as the file is fixed.
        wait::until("the node", || daemon.temperature("pve1").is_ok());
        fleet.node("pve1").kick();
        sim::wait_for(fleet.node("pve1"), |now| now.open_connections == 0);
    }
}

#[test]
fn writable_directories_are_refused() {
    let home = Arc::new(Home::new());
    Daemon::start_in(&home, &Config::new()).stop();
    let log = home.audit_log();
    for (directory, name) in [
        (home.ssh_dir(), "ssh_dir"),
        (home.audit_state(), "state_dir"),
        (
            log.parent().unwrap().to_owned(),
            "the audit log's directory",
        ),
    ] {
        let exposure = Exposure::mode(&directory, mode(&directory) | 0o020);
        let ended = exposure.during(|| run_in(&home));
        assert_eq!(ended.code, 78, "{ended:?}");
        let said = format!("{name} is refused: {} (mode", directory.display());
        assert!(ended.errors.contains(&said), "{said}: {}", ended.errors);
    }
    if is_root() {
        let key = home.ssh_dir().join("id_ed25519");
        let theirs = Exposure::owner(&key);
        // The service could not read the key after dropping root.
        let ended = theirs.during(|| run_in(&home));
        assert_eq!(ended.code, 73, "{ended:?}");
    }
    Daemon::start_in(&home, &Config::new()).stop();
}

#[test]
fn writable_log_parent_is_reported() {
    let home = Arc::new(Home::new());
    let log = home.path("var/log/pulse/audit.log");
    for directory in ["var", "var/log", "var/log/pulse"] {
        fs::create_dir(home.path(directory)).unwrap();
    }
    service::give(&home.path("var/log/pulse"));
    // The mode that Ubuntu sets, for rsyslog.
    set(&home.path("var/log"), 0o775);
    home.write_config(&Config::new().set_audit("log", &format!("{log:?}")));
    if skipped(&[Need::NoUnit("the unit mounts the default log directory")]) {
        return;
    }
    let daemon = Daemon::start_with(&home, &[]);
    let said = format!("exposed: {} (mode 0775", home.path("var/log").display());
    assert!(daemon.log().contains(&said), "{}", daemon.log());
}

#[test]
fn exposed_credentials_are_refused() {
    if skipped(&[Need::Program("openssl")]) {
        return;
    }
    let home = Arc::new(Home::new());
    forwarding::install_valid_credentials(&home, &Authority::new());
    let daemon = Daemon::start_in(&home, &forwarding::forward_to(unused_address()));
    let trouble_says = |words: &str| {
        wait::until(words, || {
            forwarding::trouble(&daemon).to_string().contains(words)
        });
    };
    trouble_says("nothing listens");
    for (name, mode, words) in [
        ("key.pem", 0o644, "can be read by all others: chmod o-r"),
        ("key.pem", 0o660, "can be written by its group: chmod g-w"),
        ("ca.pem", 0o664, "can be written by its group: chmod g-w"),
        ("certificate.pem", 0o646, "chmod o-w"),
    ] {
        let exposure = Exposure::mode(&home.credentials().join(name), mode);
        exposure.during(|| trouble_says(words));
        trouble_says("nothing listens");
    }
}
