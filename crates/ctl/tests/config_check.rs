//! `config check` as an administrator sees it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Run, control};
use pulse_core::config;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

fn check(text: &str, arguments: &[&str]) -> Run {
    let directory = tempfile::tempdir().unwrap();
    common::write_config(&directory.path().join("config.toml"), text);
    check_in(&directory, arguments)
}

fn check_in(directory: &TempDir, arguments: &[&str]) -> Run {
    let mut command = control();
    command.args(["config", "check"]).args(arguments);
    let output = command
        .arg("config.toml")
        .current_dir(directory.path())
        .output();
    output.unwrap().into()
}

#[test]
fn a_mistake_is_pointed_at() {
    let run = check("[rate_limit]\nper_peer_burst = 0\n", &[]);
    let expected = "\
config.toml:2:18: expected a number from 1 to 1,000,000,000
  |
2 | per_peer_burst = 0
  |                  ^
";
    assert_eq!(run.output, expected);
    assert_eq!((run.code, run.errors.as_str()), (Some(1), ""));
}

#[test]
fn unknown_key_gets_a_suggestion() {
    let run = check("[audit]\nretain_day = 30\n", &[]);
    let expected = "\
config.toml:2:1: unknown field `retain_day`, did you mean `retain_days`?
  |
2 | retain_day = 30
  | ^
";
    assert_eq!((run.output.as_str(), run.code), (expected, Some(1)));
}

/// A directory with an empty configuration and these files of nodes.
fn with_nodes(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    common::write_config(&directory.path().join("config.toml"), "");
    let nodes = directory.path().join("nodes.d");
    fs::create_dir(&nodes).unwrap();
    fs::set_permissions(&nodes, Permissions::from_mode(0o755)).unwrap();
    for (name, text) in files {
        common::write_config(&nodes.join(name), text);
    }
    directory
}

#[test]
fn node_files_are_checked() {
    let good = ("pve1.toml", "name = 'pve1'\nport = 23\n");
    let run = check_in(&with_nodes(&[good, ("old.bak", "")]), &[]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for part in ["pve1  the address in /etc/hosts, port 23", ": old.bak\n"] {
        assert!(run.output.contains(part), "{part:?}: {}", run.output);
    }
    let directory = with_nodes(&[good, ("pve2.toml", "# second\nname = 'pve3'\n")]);
    let run = check_in(&directory, &[]);
    let file = directory.path().join("nodes.d/pve2.toml");
    let expected = format!(
        "\
{}:2:8: the file of node \"pve3\" has to be named pve3.toml, not pve2.toml
  |
2 | name = 'pve3'
  |        ^
",
        file.display()
    );
    assert_eq!((run.output, run.code), (expected, Some(1)));
    let report: Value = serde_json::from_str(&check_in(&directory, &["--json"]).output).unwrap();
    assert_eq!(report["file"], file.to_str().unwrap());
    assert_eq!((&report["line"], &report["column"]), (&2.into(), &8.into()));
    fs::write(&file, b"\xff").unwrap();
    let run = check_in(&directory, &[]);
    assert_eq!(run.code, Some(66));
    assert!(run.errors.contains("pve2.toml: not UTF-8 text"), "{run:?}");
}

#[test]
fn untrusted_node_files_are_refused() {
    let directory = with_nodes(&[
        ("pve1.toml", "name = 'pve1'"),
        ("pve2.toml", "nam = 'pve2'"),
    ]);
    let nodes = directory.path().join("nodes.d");
    let set = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    for (path, mode) in [
        (nodes.join("pve1.toml"), 0o664),
        (nodes.clone(), 0o775),
        (directory.path().to_owned(), 0o775),
    ] {
        set(&path, mode);
        let run = check_in(&directory, &[]);
        assert_eq!(run.code, Some(1));
        // The mistake is shown as well.
        let remedy = format!("chmod g-w {}\n", path.display());
        for part in ["pve2.toml:1:1", &remedy] {
            assert_eq!(run.output.matches(part).count(), 1, "{part:?}: {run:?}");
        }
        set(&path, mode & 0o755);
    }
}

/// The examples of this key: lines of comments that are indented.
fn example<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("#   "));
    lines.filter(|line| line.starts_with(key)).collect()
}

#[test]
fn initial_configuration_is_valid() {
    let initial = common::run(&["config", "init"]);
    assert_eq!((initial.code, initial.errors.as_str()), (Some(0), ""));
    let text = initial.output;
    let newest = config::packaged();
    let newest = newest
        .lines()
        .find(|line| line.starts_with("config_version = "));
    assert!(text.lines().any(|line| Some(line) == newest), "{newest:?}");
    let run = check(&text, &[]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.output.contains("note: no node can be read"), "{run:?}");
    // Its examples are what they seem to be.
    let [node, address] = ["name", "address"].map(|key| example(&text, key).concat());
    let directory = with_nodes(&[("pve1.toml", &format!("{node}\n{address}\n"))]);
    let [list, peers] = ["allowed_nodes", "allowed_peers"].map(|key| example(&text, key).concat());
    let text = format!("{text}{list}\n{peers}\n");
    common::write_config(&directory.path().join("config.toml"), &text);
    let run = check_in(&directory, &[]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for part in ["pve1  192.0.2.11", "pve2", "pve3", "user id 0 "] {
        assert!(run.output.contains(part), "{part}: {}", run.output);
    }
}

#[test]
fn initial_nodes_and_peers_are_listed() {
    let given = "config init --node pve1=192.0.2.11 --node pve2 --node pve6=2001:db8::6 --peer 0 --peer 1001";
    let initial = common::run(&given.split(' ').collect::<Vec<_>>());
    let run = check(&initial.output, &[]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for part in [
        "pve1  192.0.2.11",
        "pve2",
        "2001:db8::6",
        "user id 0 ",
        "user id 1001",
    ] {
        assert!(run.output.contains(part), "{part}: {}", run.output);
    }
    for wrong in ["-x", "pve1=nowhere", "pve1="] {
        let run = common::run(&["config", "init", "--node", wrong]);
        assert_eq!(run.code, Some(64), "{wrong}: {run:?}");
    }
}

/// Root can read everything, so only the modes show it.
#[test]
fn unreadable_files_are_noted() {
    let directory = with_nodes(&[("pve1.toml", "name = \"pve1\"\n")]);
    let [file, node] = ["config.toml", "nodes.d/pve1.toml"].map(|name| directory.path().join(name));
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let check = || -> Run {
        let mut command = control();
        command.args(["config", "check"]).arg(&file);
        let output = command.env("PULSE_SENSOR_PROXY_USER", "nobody").output();
        output.unwrap().into()
    };
    let note = |verb: &str, path: &Path, change: &str| {
        let path = path.display();
        format!(
            "note: the daemon's user nobody cannot {verb} {path}: run \"chmod {change} {path}\"\n"
        )
    };
    set(directory.path(), 0o755);
    let run = check();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!run.output.contains("the daemon's user"), "{run:?}");
    for (path, mode, verb, change) in [
        (&*file, 0o600, "read", "0644"),
        (&*node, 0o640, "read", "0644"),
        (&*directory.path().join("nodes.d"), 0o711, "list", "o+rx"),
        (directory.path(), 0o700, "enter", "o+x"),
    ] {
        set(path, mode);
        let run = check();
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(
            run.output.matches(&note(verb, path, change)).count(),
            1,
            "{run:?}"
        );
        set(path, if path.is_dir() { 0o755 } else { 0o644 });
    }
}

#[test]
fn initial_configuration_replaces_none() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    let write = |path: &Path, nodes: &[&str]| -> Run {
        let mut command = control();
        command.args(["config", "init", "--write"]).args(nodes);
        let output = command.env("PULSE_SENSOR_PROXY_CONFIG", path).output();
        output.unwrap().into()
    };
    let twice = write(&file, &["--node", "pve1", "--node", "pve1"]);
    assert_eq!(twice.code, Some(64), "{twice:?}");
    assert!(twice.errors.contains("pve1"), "{twice:?}");
    assert!(!file.exists());

    let run = write(&file, &["--node", "pve1"]);
    assert_eq!((run.code, run.errors.as_str()), (Some(0), ""));
    assert_eq!(run.output, format!("wrote {}\n", file.display()));
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    let text = fs::read_to_string(&file).unwrap();
    let printed = common::run(&["config", "init", "--node", "pve1"]);
    assert_eq!(text, printed.output);

    let again = write(&file, &["--node", "pve2"]);
    assert_eq!(again.code, Some(73), "{again:?}");
    let refused = format!("{} exists and stays as it is", file.display());
    assert!(again.errors.contains(&refused), "{again:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    let nowhere = write(&directory.path().join("none/config.toml"), &[]);
    assert_eq!(nowhere.code, Some(73));
    assert!(nowhere.errors.contains("mkdir -p"), "{nowhere:?}");
}

#[test]
fn a_valid_file_shows_its_rights() {
    let run = check(
        "allowed_nodes = ['pve1']\nallowed_peers = [{uid = 1000}]\n",
        &[],
    );
    assert_eq!(run.code, Some(0));
    for part in ["no mistakes", "pve1", "user id 1000", "root"] {
        assert!(
            run.output.contains(part),
            "{part:?} is not in:\n{}",
            run.output
        );
    }
}

#[test]
fn json_has_the_place_of_a_mistake() {
    let run = check("\nallowed_node = []", &["--json"]);
    let report: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(report["valid"], false);
    assert_eq!((&report["line"], &report["column"]), (&2.into(), &1.into()));
    assert_eq!(run.code, Some(1));
}

#[test]
fn an_unreadable_file_is_an_error() {
    let missing = common::run(&["config", "check", "/nonexistent/config.toml"]);
    assert_eq!(missing.code, Some(66));
    assert!(
        missing.errors.contains("/nonexistent/config.toml"),
        "{missing:?}"
    );
}

#[test]
fn an_untrusted_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    common::write_config(&file, "[rate_limit]\nper_peer_burst = 0\n");
    let set = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    set(&file, 0o664);
    let run = check_in(&directory, &[]);
    assert_eq!(run.code, Some(1));
    // The mistake is shown as well.
    for part in ["config.toml:2:18", "mode 0664", "chmod g-w"] {
        assert!(run.output.contains(part), "{part:?}: {}", run.output);
    }
    common::write_config(&file, "");
    set(directory.path(), 0o757);
    let run = check_in(&directory, &["--json"]);
    let report: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!((run.code, &report["valid"]), (Some(1), &false.into()));
    let untrusted = report["untrusted"][0].as_str().unwrap();
    let remedy = format!("chmod o-w {}", directory.path().display());
    assert!(untrusted.ends_with(&remedy), "{untrusted}");
    set(directory.path(), 0o700);
    assert_eq!(check_in(&directory, &[]).code, Some(0));
}

#[test]
fn untrusted_known_hosts_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let known_hosts = directory.path().join("known_hosts");
    fs::write(&known_hosts, "").unwrap();
    fs::set_permissions(&known_hosts, Permissions::from_mode(0o666)).unwrap();
    let text = format!("ssh_dir = '{}'\n", directory.path().display());
    common::write_config(&directory.path().join("config.toml"), &text);
    let run = check_in(&directory, &[]);
    assert_eq!(run.code, Some(1));
    for part in ["known_hosts is refused", "chmod g-w,o-w"] {
        assert!(run.output.contains(part), "{part:?}: {}", run.output);
    }
}
