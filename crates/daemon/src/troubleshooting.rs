//! `docs/troubleshooting.md`, made of the enums whose sentences people see.
//!
//! The texts that explain are here, the sentences are the enums' own, and every `match` is
//! exhaustive: a failure that is not on the page does not compile. The page is written with
//! `PULSE_WRITE_PAGE=1 cargo nextest run -p pulse-sensor-proxy troubleshooting`.

use crate::node::failure_examples::{NodeExample, Part, every as node_failures};
use crate::observe::files::WatchedFile;
use crate::observe::socket_watch::sentence as socket_sentence;
use crate::serve::Binder;
use crate::startup::failure::tests::{every as startup_failures, part as startup_part};
use crate::sys::socket_name::NameState;
use pulse_core::nodes::clock::NodeClock;
use pulse_core::rpc::{RpcError, ServiceRefusal, Unlisted, Violation};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/troubleshooting.md");

const HEAD: &str = "\
# Troubleshooting

<!-- Written by crates/daemon/src/troubleshooting.rs: `PULSE_WRITE_PAGE=1 cargo nextest run -p \
pulse-sensor-proxy troubleshooting`. -->

Every sentence below is printed by the program itself, with its cause and its remedy; search this page
for a few words of yours. Names, addresses and numbers are examples: node `pve1` at `192.0.2.11`.

Where to look first:

    pulse-sensorctl status
    journalctl -u pulse-sensor-proxy -n 50
    pulse-sensorctl temps --retry

The first shows what is wrong now, the second what went wrong, the third tries failing nodes at once.
";

/// The page.
fn page() -> String {
    let mut page = HEAD.to_owned();
    starting(&mut page);
    answers(&mut page);
    nodes(&mut page);
    files(&mut page);
    page
}

fn heading(page: &mut String, heading: &str, text: &str) {
    let _ = write!(page, "\n{heading}\n\n{text}\n");
}

/// A sentence as a quotation of its own.
fn quote(page: &mut String, sentence: &str) {
    let _ = write!(page, "\n> {}\n", sentence.trim().replace('\n', "\n> "));
}

fn starting(page: &mut String) {
    heading(
        page,
        "## The daemon does not start",
        "`journalctl -u pulse-sensor-proxy` has the sentence. `pulse-sensorctl config check` finds \
         mistakes in\nthe configuration and in the owners of files before a start.",
    );
    let failures = startup_failures();
    let mut last = "";
    for (title, failure) in failures
        .iter()
        .map(|(failure, _)| (startup_part(failure), failure))
    {
        if title != last {
            let _ = write!(page, "\n### {title}\n");
            last = title;
        }
        quote(page, &with_places(&failure.message()));
    }
}

/// The sentence with words instead of the examples' paths, and the service's user instead of the one
/// who runs the tests.
fn with_places(sentence: &str) -> String {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    sentence
        .replace("/dir/file", "FILE")
        .replace("/dir", "DIRECTORY")
        .replace(&format!("-o {uid} -g {gid}"), "-o 995 -g 995")
        .replace("/state", "STATE_DIR")
        .replace(&format!("chown {uid}:{gid}"), "chown 995:995")
        .replace(&format!("chown -R {uid}:{gid}"), "chown -R 995:995")
        .replace(&format!("whose number is {uid}"), "whose number is 995")
}

fn answers(page: &mut String) {
    heading(
        page,
        "## A request is refused",
        "Pulse knows these texts, so most are short; the tool adds the remedy.\n\n\
         | answer | cause and remedy |\n|---|---|",
    );
    page.pop();
    for answer in every_answer() {
        let _ = write!(page, "\n| `{answer}` | {} |", answer_remedy(&answer));
    }
    page.push('\n');
}

/// One answer of each variant.
fn every_answer() -> Vec<RpcError> {
    let name = |name: &str| pulse_core::nodes::name::NodeName::parse(name).unwrap();
    let unlisted = |reason, meant: Option<&str>| RpcError::Unlisted {
        node: name("pve11"),
        reason,
        meant: meant.map(|meant| Box::new(name(meant))),
    };
    let invalid = pulse_core::nodes::name::NodeName::parse("-x").unwrap_err();
    vec![
        RpcError::Unauthorized,
        ServiceRefusal::RateLimited {
            retry_in: Some(Duration::from_secs(5)),
        }
        .into(),
        ServiceRefusal::RecorderUnavailable.into(),
        ServiceRefusal::OutOfDescriptors.into(),
        ServiceRefusal::HostOutOfDescriptors.into(),
        ServiceRefusal::OutOfMemory.into(),
        unlisted(Unlisted::NotAllowlisted, Some("pve1")),
        unlisted(Unlisted::NoValidationSources, None),
        Violation::from(pulse_core::rpc::InvalidNodeName {
            shown: "-x".to_owned(),
            error: invalid,
        })
        .into(),
        RpcError::AddressNotPermitted { node: name("pve1") },
        RpcError::NodeRefused {
            node: "pve1".to_owned(),
            refusal: ServiceRefusal::RateLimited { retry_in: None },
        },
        RpcError::Failed {
            node: name("pve1"),
            failure: "…".to_owned(),
        },
        RpcError::Pending { node: name("pve1") },
        Violation::AdminRequired.into(),
        Violation::PayloadTooLarge.into(),
        Violation::EmptyRequest.into(),
        Violation::InvalidRequest.into(),
        Violation::MissingNode.into(),
        Violation::NodeNotAString.into(),
        Violation::NodesNotAList.into(),
        Violation::WaitNotANumber.into(),
        Violation::RetryNotABoolean.into(),
        RpcError::UnknownMethod,
        RpcError::ReadTimeout,
        RpcError::NoSuchRecord,
        RpcError::RecordRemoved { first: 1001 },
        RpcError::NoSuchLoss,
        RpcError::NotForwarding,
        RpcError::ForwardingBusy,
        RpcError::NothingLost,
        RpcError::LossNotAccepted("…".to_owned()),
    ]
}

/// The cause and the remedy of an answer.
fn answer_remedy(answer: &RpcError) -> &'static str {
    match answer {
        RpcError::Unauthorized => {
            "the caller's user has no right: add its user id to `allowed_peers`, or use the control \
             socket as root. For a container that is the id on the host (`ps -o uid= -p PID`)"
        }
        RpcError::Refused(refusal) | RpcError::NodeRefused { refusal, .. } => match refusal {
            ServiceRefusal::RateLimited { .. } => {
                "the caller asks more often than `[rate_limit]` permits, or is penalised for \
                 malformed requests; `retry_in_ms` says when it is served. Poll less often, or raise \
                 `per_peer_burst`"
            }
            ServiceRefusal::RecorderUnavailable => {
                "the audit log cannot be written, and without a record nothing is done; `detail`, \
                 the daemon's log and `pulse-sensorctl status` have the reason and its remedy"
            }
            ServiceRefusal::OutOfDescriptors => {
                "raise `LimitNOFILE=` of the service; the daemon says at its start how many it needs"
            }
            ServiceRefusal::HostOutOfDescriptors => {
                "another program of the host uses them up: `cat /proc/sys/fs/file-nr`, or raise the \
                 sysctl `fs.file-max`"
            }
            ServiceRefusal::OutOfMemory => {
                "the host is out of memory (`free`), or a `MemoryMax=` that was set for the service is \
                 reached"
            }
        },
        RpcError::Violation(violation) => match violation {
            Violation::AdminRequired => {
                "use the control socket as root, or give the user `capabilities = [\"admin\"]` in \
                 `allowed_peers`"
            }
            Violation::InvalidNodeName(_) => {
                "this is no host name or address: correct it where it is asked for"
            }
            Violation::PayloadTooLarge => "a request has at most 16 KiB",
            Violation::EmptyRequest | Violation::InvalidRequest => {
                "the client does not speak this [protocol](protocol.md)"
            }
            Violation::MissingNode
            | Violation::NodeNotAString
            | Violation::NodesNotAList
            | Violation::WaitNotANumber
            | Violation::RetryNotABoolean => {
                "the client passes a wrong parameter: [methods](protocol.md)"
            }
        },
        RpcError::UnknownMethod => {
            "client and daemon have different versions: `pulse-sensorctl status --self` shows the \
             daemon's"
        }
        RpcError::ReadTimeout => {
            "the client connected and sent no whole line within `read_timeout`"
        }
        RpcError::Unlisted { reason, .. } => match reason {
            Unlisted::NotAllowlisted => {
                "a typing mistake, or a node that is new: add its file to `nodes.d`, or its name to \
                 `allowed_nodes`, and reload the daemon"
            }
            Unlisted::NoValidationSources => {
                "no node is listed at all: add a file for each to `nodes.d`"
            }
        },
        RpcError::AddressNotPermitted { .. } => {
            "the node's only address is one that no node can have: correct it in `nodes.d`, \
             `allowed_nodes` or `/etc/hosts`"
        }
        RpcError::Failed { .. } => "the node's failure, [below](#a-node-is-not-read)",
        RpcError::Pending { .. } => "its reading goes on: ask again in some seconds",
        RpcError::NoSuchRecord | RpcError::NoSuchLoss => {
            "`pulse-sensorctl forward status` shows the numbers"
        }
        RpcError::RecordRemoved { .. } => {
            "retention removed the earlier records: replay from this number on"
        }
        RpcError::NotForwarding => "there is no collector in `[forward]`",
        RpcError::ForwardingBusy => "another command is under way: ask again",
        RpcError::NothingLost => "the log has not stopped: there is nothing to accept",
        RpcError::LossNotAccepted(_) => "the text has the reason; [audit.md](audit.md)",
    }
}

fn nodes(page: &mut String) {
    heading(
        page,
        "## A node is not read",
        "`pulse-sensorctl temps` and `status` print the sentence after the node's name; Pulse shows \
         it, too. After\na failure a node is left alone for a while, and the sentence says for how \
         long. A corrected `known_hosts`,\nSSH key or configuration has effect at the next request; \
         after a correction on the node, `pulse-sensorctl temps\n--retry` tries at once.",
    );
    let mut last = None;
    for NodeExample { part, failure } in node_failures() {
        if last != Some(part) {
            heading(page, &format!("### {}", title(part)), explanation(part));
            last = Some(part);
        }
        quote(page, &format!("node \"pve1\" {failure}"));
    }
    heading(
        page,
        "### A clock is wrong",
        "The helper sends the node's time with each reading. The node is read all the same, and \
         `status` warns:",
    );
    let clock = NodeClock {
        node: 1_767_225_600,
        here: 1_767_229_200,
    };
    quote(page, &format!("node \"pve1\" {clock}"));
}

fn title(part: Part) -> &'static str {
    match part {
        Part::Address => "It has no address",
        Part::Connection => "It cannot be reached",
        Part::HostKey => "Its host key is not accepted",
        Part::Login => "It does not let the daemon log in",
        Part::Command => "It sends no temperatures",
        Part::Host => "The daemon does not get to it",
    }
}

/// How to find the cause of the failures of a part.
fn explanation(part: Part) -> &'static str {
    match part {
        Part::Address => {
            "The daemon uses the address in `nodes.d` or `allowed_nodes`, else that of the name in \
             `/etc/hosts`. It does\nnot use DNS."
        }
        Part::Connection => {
            "Try it from the host, as root; `nc` is in the package `netcat-openbsd`:\n\n    \
             nc -vz -w 5 192.0.2.11 22\n\nIf that connects and the daemon does not, the service's \
             `IPAddressAllow=` lacks the address: `systemctl show\n-p IPAddressAllow \
             pulse-sensor-proxy`. The kernel drops such packets without an error, so this looks \
             like a\nnode that is down."
        }
        Part::HostKey => {
            "Compare the fingerprint in the sentence with the node's, on its console or by another \
             way than the\nnetwork in between:\n\n    ssh-keygen -lf \
             /etc/ssh/ssh_host_ed25519_key.pub\n\nOnly if they are equal, write the key to \
             `known_hosts` under the name that the sentence has\n([nodes.md](nodes.md))."
        }
        Part::Login => {
            "sshd answers every refused key alike, so that nobody finds out which users exist. The \
             sentence has the likely\ncauses in their order; the node's own log tells them apart, \
             and [nodes.md](nodes.md#a-node-that-refuses-the-daemons-key)\nexplains its lines:\n\n    \
             journalctl -u ssh -n 20"
        }
        Part::Command => {
            "Run on the node what the key's line in `authorized_keys` has in `command=\"…\"`, as its \
             user:\n\n    setpriv --reuid pulse-sensor --regid pulse-sensor --clear-groups \
             /usr/libexec/pulse-sensor-node read"
        }
        Part::Host => {
            "Nothing was sent to the node: the cause is on this host. Where descriptors or memory ran \
             out, raise\n`LimitNOFILE=` of the service, or see what uses up the host's \
             (`cat /proc/sys/fs/file-nr`, `free`)."
        }
    }
}

fn files(page: &mut String) {
    heading(
        page,
        "## A file was removed, replaced or spoilt while the daemon runs",
        "`pulse-sensorctl status` prints a sentence for each and ends with 1; \
         `pulse_proxy_file_problem{file}` is 1.\n\n| file | consequence until it is corrected |\n\
         |---|---|",
    );
    page.pop();
    for file in WatchedFile::ALL {
        let _ = write!(page, "\n| `{}` | {} |", file.as_str(), consequence(file));
    }
    page.push('\n');
    for (file, binder, path) in [
        (
            WatchedFile::Socket,
            Binder::Systemd,
            "/run/pulse-sensor-proxy/pulse-sensor-proxy.sock",
        ),
        (
            WatchedFile::ControlSocket,
            Binder::Daemon,
            "/run/pulse-sensor-proxy-admin/control.sock",
        ),
    ] {
        for state in [NameState::Removed, NameState::Replaced] {
            let sentence = socket_sentence(file, state, binder, Path::new(path));
            quote(page, &sentence.unwrap());
        }
    }
    heading(
        page,
        "### The audit log",
        "[audit.md](audit.md) has a row for each thing that can happen to its files. A full disk, \
         exhausted inodes, a\nquota and a read-only file system are named in the daemon's log, in \
         `detail` of each refused request and in\n`status`; the log continues by itself within 5 s \
         after there is room again.",
    );
}

/// What follows from a problem with this file.
fn consequence(file: WatchedFile) -> &'static str {
    match file {
        WatchedFile::Socket => "no caller can connect; open connections go on",
        WatchedFile::ControlSocket => {
            "no administrator can connect. Of a control socket that systemd made the daemon does not \
             see the file: `pulse-sensorctl`, run as root, says that it does not exist"
        }
        WatchedFile::Configuration => {
            "the running configuration is another one: the files were changed and not loaded, the \
             last reload was refused, or a key takes effect at a restart only"
        }
        WatchedFile::KnownHosts => {
            "no new connection is opened to any node; open ones go on with the pins of before, and end \
             after 5 s where the file is missing"
        }
        WatchedFile::SshKey => "the key of before is used",
        WatchedFile::Hosts => {
            "the addresses of before are used; none, where other users may change the file"
        }
        WatchedFile::Subuid | WatchedFile::Subgid => {
            "the ranges of before are used: a container that is new has no right; where other users \
             may change the file, there is no range, and no container has a right by it"
        }
        WatchedFile::Certificates => "the certificates of before are used, until they expire",
    }
}

#[test]
fn page_is_that_of_the_enums() {
    let page = page();
    if std::env::var_os("PULSE_WRITE_PAGE").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        written == page,
        "docs/troubleshooting.md is not that of the enums: write it with PULSE_WRITE_PAGE=1"
    );
}
