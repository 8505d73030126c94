//! Commands of the binary, in its arguments and as a forced command.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Tree, by_words, helper, json, over_ssh, text};
use pulse_sensor_node::{EXIT_CODES, VERSION};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

/// `EX_USAGE`: a command or option that is not permitted.
const REFUSED: i32 = 64;

fn sensors(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty());
    json(&output.stdout)["sensors"].clone()
}

fn assert_refused(output: &Output, why: &str) {
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(REFUSED), "{why}: {errors}");
    assert!(output.stdout.is_empty(), "{why}");
    assert!(errors.starts_with("pulse-sensor-node: "), "{why}: {errors}");
    assert_eq!(errors.lines().count(), 1, "{why}: {errors}");
    assert!(!errors.contains('\x1b'), "{why}: {errors}");
}

#[test]
fn read_prints_one_document() {
    let tree = Tree::of("xeon");
    let expected = json(include_str!("expected/xeon.json"))["sensors"].clone();
    assert_eq!(sensors(&by_words(tree.root(), &["read"])), expected);
    for asked in [
        "read",
        "pulse-sensor-node read",
        " pulse-sensor-node  read ",
    ] {
        assert_eq!(sensors(&over_ssh(tree.root(), asked)), expected, "{asked}");
    }
}

#[test]
fn version_and_help_are_printed() {
    let tree = Tree::empty();
    let line = format!("pulse-sensor-node {VERSION}\n");
    for output in [
        by_words(tree.root(), &["version"]),
        by_words(tree.root(), &["--version"]),
        over_ssh(tree.root(), "version"),
    ] {
        assert_eq!(text(&output.stdout), line);
    }
    let help = by_words(tree.root(), &["--help"]);
    for (code, meaning) in EXIT_CODES {
        assert!(text(&help.stdout).contains(&format!("{code:>2}  {meaning}")));
    }
}

#[test]
fn sensors_j_has_its_own_format() {
    let tree = Tree::of("pi");
    let output = over_ssh(tree.root(), "sensors -j");
    let printed = text(&output.stdout);
    let start = "{\n   \"rp1_adc-isa-0000\":{\n      \"Adapter\": \"ISA adapter\",\n      \
                 \"temp1\":{\n         \"temp1_input\": 54.168\n      }\n   },\n";
    assert!(printed.starts_with(start), "{printed}");
    assert_eq!(
        by_words(tree.root(), &["sensors", "-j"]).stdout,
        output.stdout
    );
}

#[test]
fn ssh_command_takes_precedence() {
    let tree = Tree::of("pi");
    for words in [&["version"][..], &["--help"], &["serve"]] {
        let mut command = helper(tree.root());
        command.args(words).env("SSH_ORIGINAL_COMMAND", "read");
        assert!(sensors(&command.output().unwrap()).is_object(), "{words:?}");
    }
    let mut command = helper(tree.root());
    command.arg("read").env("SSH_ORIGINAL_COMMAND", "id");
    assert_refused(&command.output().unwrap(), "id over read");
}

#[test]
fn confinement_option_has_two_forms() {
    let tree = Tree::of("pi");
    let expected = sensors(&by_words(tree.root(), &["read"]));
    for words in [
        &["--confinement", "off", "read"][..],
        &["--confinement=best-effort", "read"],
        &["--confinement=off", "--confinement", "best-effort", "read"],
    ] {
        assert_eq!(
            sensors(&by_words(tree.root(), words)),
            expected,
            "{words:?}"
        );
    }
}

#[test]
fn interactive_login_is_refused() {
    let tree = Tree::empty();
    let output = by_words(tree.root(), &[]);
    assert_refused(&output, "no words");
    assert!(text(&output.stderr).contains("no command given"));
    assert_refused(&over_ssh(tree.root(), ""), "an empty command");
}

#[test]
fn attacks_over_ssh_are_refused() {
    let tree = Tree::of("pi");
    let long = [b"sensors ".as_slice(), &[b'a'; 1025]].concat();
    let attacks: &[&[u8]] = &[
        // Shell metacharacters, subshells and backquotes.
        b"read *",
        b"read ?",
        b"sensors '-j'",
        b"read\\",
        b"read ~root",
        b"read $(id)",
        b"read `id`",
        b"read ${IFS}",
        b"read {a,b}",
        b"(read)",
        // Redirection and chaining.
        b"read > /etc/passwd",
        b"read < /etc/shadow",
        b"read; id",
        b"read && id",
        b"read || id",
        b"read | sh",
        b"read & id",
        // Homoglyphs, zero-width characters, control bytes, invalid UTF-8.
        "r\u{435}ad".as_bytes(),
        "read\u{200b}".as_bytes(),
        "sensors \u{2011}j".as_bytes(),
        "\u{feff}read".as_bytes(),
        b"read\nid",
        b"read\r",
        b"read\tx",
        b"\x1b[2Jread",
        b"read\x7f",
        b"read \xff",
        b"\xc0\xaf",
        // Length, traversal, absolute paths, environment, options.
        &long,
        b"../../bin/sensors -j",
        b"read ../../etc/shadow",
        b"/usr/bin/sensors -j",
        b"/bin/sh",
        b"LC_ALL=C sensors -j",
        b"LD_PRELOAD=/tmp/x.so read",
        b"-oProxyCommand=id",
        b"--sys-root /tmp read",
        b"--sys-root=/tmp read",
        b"--help",
        b"--confinement off read",
        b"read --sys-root /tmp",
        b"pulse-sensor-node --sys-root /tmp read",
        b"sensors -j -c /etc/shadow",
        b"sensors",
        // ipmitool commands that change something, or that are not listed.
        b"ipmitool chassis power off",
        b"ipmitool power off",
        b"ipmitool raw 0x06 0x01",
        b"ipmitool exec /etc/passwd",
        b"ipmitool shell",
        b"ipmitool mc reset cold",
        b"ipmitool lan set 1 ipaddr 10.0.0.1",
        b"ipmitool user set password 2 x",
        b"ipmitool sol activate",
        b"ipmitool fru write 0 x",
        b"ipmitool sel clear",
        b"ipmitool -H 10.0.0.1 sdr",
        b"ipmitool sdr dump /tmp/x",
        b"ipmitool",
        b"scp -t /tmp",
        b"internal-sftp",
    ];
    for attack in attacks {
        let output = over_ssh(tree.root(), OsStr::from_bytes(attack));
        assert_refused(&output, &String::from_utf8_lossy(attack));
    }
}

#[test]
fn invalid_arguments_are_refused() {
    let tree = Tree::empty();
    for words in [
        &["read", "x"][..],
        &["read;id"],
        &["--sys-root"],
        &["--nothing"],
        &["--sys-rootx", "read"],
        &["--confinement"],
        &["--confinement", "some", "read"],
        &["--confinement=", "read"],
        &["--help=x"],
        &["-\x1b[2J"],
        &["sensors -j"],
    ] {
        assert_refused(&by_words(tree.root(), words), &format!("{words:?}"));
    }
    let mut command = helper(tree.root());
    command.arg(OsStr::from_bytes(b"\xff"));
    assert_refused(&command.output().unwrap(), "invalid UTF-8");
}

#[test]
fn missing_root_is_reported() {
    let tree = Tree::empty();
    tree.add("file = x\n");
    for root in ["missing", "file"] {
        for word in ["read", "serve", "sensors -j"] {
            let output = over_ssh(&tree.path(root), word);
            assert_eq!(output.status.code(), Some(66), "{root} {word}");
            assert!(text(&output.stderr).contains("--sys-root"));
            assert!(output.stdout.is_empty());
        }
    }
}

#[test]
fn closed_output_is_no_error() {
    let tree = Tree::of("xeon");
    for word in ["read", "serve", "sensors -j", "version"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = helper(tree.root());
        command.env("SSH_ORIGINAL_COMMAND", word).stdout(writer);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{word}");
        assert!(output.stderr.is_empty(), "{word}");
    }
}

#[test]
fn full_disk_is_an_error() {
    let tree = Tree::of("xeon");
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = helper(tree.root())
        .arg("read")
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(74));
}

#[test]
fn unprivileged_user_can_read() {
    use std::os::unix::fs::PermissionsExt;
    if !is_root() {
        eprintln!("skipped: only root can change to the user nobody");
        return;
    }
    let tree = Tree::of("xeon");
    let mode = |path: &str, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(tree.path(path), permissions).unwrap();
    };
    mode("", 0o755);
    mode(
        "devices/platform/coretemp.0/hwmon/hwmon3/temp2_input",
        0o600,
    );
    mode("devices/platform/coretemp.1/hwmon", 0o700);
    // The user nobody may have no access to the build directory. cp makes the copy: while this
    // process had it open for writing, a fork of another test would inherit the descriptor, and
    // execve(2) of the copy would fail with ETXTBSY.
    let program = tree.path("pulse-sensor-node");
    let mut copy = Command::new("cp");
    copy.arg(env!("CARGO_BIN_EXE_pulse-sensor-node"))
        .arg(&program);
    assert!(copy.status().unwrap().success());
    let mut command = Command::new(program);
    command
        .env_clear()
        .arg("--sys-root")
        .arg(tree.root())
        .arg("read");
    let output = command.uid(65534).gid(65534).output().unwrap();
    let sensors = sensors(&output);
    assert!(sensors["coretemp-isa-0000"]["Core 1"].is_object());
    assert!(sensors["coretemp-isa-0000"]["Core 0"].is_null());
    assert!(sensors["coretemp-isa-0001"].is_null());
    assert!(sensors["nvme-pci-0300"].is_object());
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
