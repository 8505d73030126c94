//! A node that runs a helper process, here a script with the helper's protocol.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};

use common::{Client, connect, soon, start, synthetic};
use pulse_simnode::{Behaviour, SimNode};
use tempfile::TempDir;

const DOCUMENT: &str = "{\"sensors\":{},\"smart\":[]}\n";

struct Setup {
    node: SimNode,
    client: Client,
    root: TempDir,
}

impl Setup {
    async fn new() -> Self {
        let root = TempDir::new().unwrap();
        std::fs::write(root.path().join("document"), DOCUMENT).unwrap();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/helper.sh");
        let node = start(helper(program, &root)).await;
        let client = connect(&node).await;
        Self { node, client, root }
    }

    /// True while the process runs whose id the script has written.
    fn runs(&self) -> bool {
        let process = std::fs::read_to_string(self.root.path().join("pid")).unwrap();
        Path::new("/proc").join(process.trim()).exists()
    }

    async fn until_no_helper_runs(&self) {
        soon(self.node.wait_for(|now| now.helpers == 0)).await;
        assert!(!self.runs());
    }
}

fn helper(program: PathBuf, root: &TempDir) -> Behaviour {
    Behaviour::Helper {
        program,
        sys_root: root.path().to_owned(),
    }
}

#[tokio::test]
async fn helper_greets_and_answers() {
    let setup = Setup::new().await;
    let mut program = setup.client.serve().await;
    for _ in 0..2 {
        assert_eq!(program.ask("read").await.as_deref(), Some(DOCUMENT));
    }
    assert!(program.ask("reboot").await.unwrap().contains("error"));
    let counters = setup.node.counters();
    assert_eq!((counters.execs, counters.helpers), (1, 1));
    program.channel.eof().await.unwrap();
    program.until_end().await;
    assert_eq!(program.exit, Some(0));
    setup.until_no_helper_runs().await;
}

#[tokio::test]
async fn command_and_status_pass_through() {
    let setup = Setup::new().await;
    let mut program = setup.client.exec("sensors -j; id").await;
    program.until_end().await;
    assert_eq!(program.errors, b"refused: sensors -j; id\n");
    assert_eq!((program.exit, program.output.len()), (Some(3), 0));
}

#[tokio::test]
async fn helper_has_no_environment() {
    let setup = Setup::new().await;
    let mut program = setup.client.exec("").await;
    program.until_end().await;
    let environment = String::from_utf8(program.output).unwrap();
    assert!(!environment.contains("CARGO"), "{environment}");
    assert!(!environment.contains("HOME="), "{environment}");
}

#[tokio::test]
async fn killed_helper_is_reported() {
    let setup = Setup::new().await;
    let mut program = setup.client.serve().await;
    program.send("die").await;
    program.until_end().await;
    assert_eq!(program.exit, Some(137));
}

#[tokio::test]
async fn helper_ends_with_its_channel() {
    let setup = Setup::new().await;
    let program = setup.client.serve().await;
    assert!(setup.runs());
    program.channel.close().await.unwrap();
    setup.until_no_helper_runs().await;
}

#[tokio::test]
async fn helper_ends_with_its_connection() {
    let setup = Setup::new().await;
    let _program = setup.client.serve().await;
    setup.node.kick();
    setup.until_no_helper_runs().await;
}

#[tokio::test]
async fn shutdown_waits_for_helpers() {
    let setup = Setup::new().await;
    let _program = setup.client.serve().await;
    let Setup { node, root, .. } = setup;
    soon(node.shutdown()).await;
    let process = std::fs::read_to_string(root.path().join("pid")).unwrap();
    assert!(!Path::new("/proc").join(process.trim()).exists());
}

#[tokio::test]
async fn missing_helper_has_shells_status() {
    let setup = Setup::new().await;
    let missing = setup.root.path().join("no-such-helper");
    setup.node.set_behaviour(helper(missing, &setup.root));
    let mut program = setup.client.exec("pulse-sensor-node serve").await;
    program.until_end().await;
    assert_eq!(program.exit, Some(127));
    assert!(!program.errors.is_empty());
}

#[tokio::test]
async fn replaced_helper_serves_to_the_end() {
    let setup = Setup::new().await;
    let mut program = setup.client.serve().await;
    setup.node.set_behaviour(synthetic());
    assert_eq!(program.ask("read").await.as_deref(), Some(DOCUMENT));
    let mut fresh = setup.client.serve().await;
    assert_eq!(
        fresh.ask("read").await.unwrap().trim_end(),
        common::DOCUMENT
    );
}
