//! Ten thousand nodes on one listener. Slow without optimisation, so it runs on demand:
//! `cargo test --profile e2e -p pulse-simnode --test crowd -- --ignored --nocapture`.
#![allow(clippy::print_stdout, reason = "it prints its measurements")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use common::process::Process;
use common::{Client, Connect, Program};
use pulse_simnode::PrivateKey;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const NODES: usize = 10_000;
const CONNECTING_AT_ONCE: usize = 64;

#[tokio::test]
#[ignore = "needs 10,064 open files and an optimised build"]
async fn ten_thousand_nodes_fit_a_process() {
    let process = Process::start(&["--nodes", "10000"]);
    let address = ([127, 0, 0, 1], process.ports()[0]).into();
    let started = Instant::now();
    let mut crowd = gather(address, &process.key).await;
    println!("connected {NODES} in {:?}", started.elapsed());
    println!("memory of the nodes: {} KiB", process.resident_kib());
    for _ in 0..5 {
        let started = Instant::now();
        sweep(&mut crowd).await;
        println!("one sweep in {:?}", started.elapsed());
    }
    println!("memory of the nodes: {} KiB", process.resident_kib());
    assert!(process.resident_kib() < 1024 * 1024);
}

async fn gather(address: SocketAddr, key: &PrivateKey) -> Vec<(Client, Program)> {
    let turns = Arc::new(Semaphore::new(CONNECTING_AT_ONCE));
    let mut connecting = JoinSet::new();
    for _ in 0..NODES {
        connecting.spawn(join(address, key.clone(), Arc::clone(&turns)));
    }
    connecting.join_all().await
}

async fn join(address: SocketAddr, key: PrivateKey, turns: Arc<Semaphore>) -> (Client, Program) {
    let _turn = turns.acquire().await.unwrap();
    let connect = Connect {
        key,
        ..Connect::default()
    };
    let client = connect.to(address).await.unwrap();
    let program = client.serve().await;
    (client, program)
}

async fn sweep(crowd: &mut [(Client, Program)]) {
    for (_, program) in crowd.iter() {
        program.send("read").await;
    }
    for (_, program) in crowd {
        assert!(program.line().await.is_some());
    }
}
