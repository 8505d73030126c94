//! The process of nodes for benchmarks.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::process::Process;
use common::{Connect, DOCUMENT};

#[tokio::test]
async fn end_of_input_ends_the_process() {
    let process = Process::start(&["--nodes", "3", "--listeners", "2"]);
    let ports = process.ports();
    assert_eq!(ports.len(), 2);
    for port in ports {
        let host_key = format!("[127.0.0.1]:{port} ssh-ed25519 ");
        assert!(process.announced.contains(&host_key));
        let connect = Connect {
            key: process.key.clone(),
            ..Connect::default()
        };
        let client = connect.to(([127, 0, 0, 1], port).into()).await.unwrap();
        assert!(client.serve().await.ask("read").await.is_some());
    }
    let counted = process.finish();
    assert!(counted.contains("\"connections\":2,"), "{counted}");
    assert!(counted.contains("\"readings\":2}"), "{counted}");
}

#[test]
fn too_many_nodes_are_refused_at_start() {
    let document = tempfile::NamedTempFile::new().unwrap();
    writeln!(&document, "{DOCUMENT}").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pulse-simnode"))
        .args(["--nodes", "4000000000", "--document"])
        .arg(document.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("open files"), "{complaint}");
}
