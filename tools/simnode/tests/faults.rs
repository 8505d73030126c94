//! Nodes that misbehave: each behaviour does what its documentation says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::{Client, Connect, DOCUMENT, connect, soon, start, synthetic};
use pulse_simnode::Behaviour;
use pulse_simnode::behaviour::GARBAGE_BYTES;
use russh::ChannelMsg;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The time for which something must not happen.
const SILENCE: Duration = Duration::from_millis(50);

#[tokio::test]
async fn hang_never_answers() {
    let node = start(Behaviour::Hang).await;
    let client = connect(&node).await;
    let mut program = client.exec("pulse-sensor-node serve").await;
    program.send("read").await;
    client.round_trip().await;
    assert!(program.is_silent().await);
    assert_eq!(node.counters().execs, 1);
}

#[tokio::test]
async fn hang_after_greeting_never_answers() {
    let node = start(Behaviour::HangAfterGreeting).await;
    let client = connect(&node).await;
    let mut program = client.serve().await;
    program.send("read").await;
    client.round_trip().await;
    assert!(program.is_silent().await);
}

#[tokio::test]
async fn slow_by_delays_only_readings() {
    let delay = Duration::from_millis(30);
    let node = start(Behaviour::SlowBy {
        delay,
        document: DOCUMENT.into(),
    })
    .await;
    let client = connect(&node).await;
    let mut program = client.serve().await;
    let asked = Instant::now();
    assert_eq!(program.ask("read").await.unwrap().trim_end(), DOCUMENT);
    assert!(asked.elapsed() >= delay);
}

#[tokio::test]
async fn slow_reading_delays_no_channel() {
    let node = start(Behaviour::SlowBy {
        delay: Duration::from_secs(3600),
        document: DOCUMENT.into(),
    })
    .await;
    let client = connect(&node).await;
    let mut slow = client.serve().await;
    slow.send("read").await;
    client.round_trip().await;
    node.set_behaviour(synthetic());
    let mut other = client.serve().await;
    assert!(other.ask("read").await.is_some());
    assert!(slow.is_silent().await);
}

#[tokio::test]
async fn flood_never_ends_its_line() {
    let node = start(Behaviour::Flood).await;
    let client = connect(&node).await;
    let mut program = client.exec("pulse-sensor-node serve").await;
    let mut received = 0;
    while received < 8 * 1024 * 1024 {
        if let Some(ChannelMsg::Data { data }) = soon(program.channel.wait()).await {
            assert!(!data.contains(&b'\n'));
            received += data.len();
        }
    }
    node.set_behaviour(synthetic());
    program.channel.close().await.unwrap();
    client.serve().await;
}

#[tokio::test]
async fn garbage_is_no_text() {
    let node = start(Behaviour::Garbage).await;
    let client = connect(&node).await;
    let mut program = client.exec("pulse-sensor-node serve").await;
    for _ in 0..2 {
        let line = program.raw_line().await.unwrap();
        assert_eq!(line.len(), GARBAGE_BYTES);
        assert!(String::from_utf8(line).is_err());
        program.send("read").await;
    }
}

#[tokio::test]
async fn close_at_once_keeps_the_connection() {
    let node = start(Behaviour::CloseAtOnce).await;
    let client = connect(&node).await;
    let mut program = client.exec("pulse-sensor-node serve").await;
    program.until_end().await;
    assert_eq!((program.exit, program.output.len()), (None, 0));
    client.round_trip().await;
}

#[tokio::test]
async fn drop_connection_follows_a_login() {
    let node = start(Behaviour::DropConnection).await;
    let client = connect(&node).await;
    soon(node.wait_for(|now| now.open_connections == 0)).await;
    assert!(client.ssh.channel_open_session().await.is_err());
    assert_eq!(node.counters().logins, 1);
}

#[tokio::test]
async fn refuse_key_refuses_authorized_key() {
    let node = start(Behaviour::RefuseKey).await;
    let client = Connect::default().to(node.addr()).await.unwrap();
    assert!(!client.logged_in);
    assert_eq!(node.counters().auth_refusals, 1);
    node.set_behaviour(synthetic());
    connect(&node).await.serve().await;
}

#[tokio::test]
async fn opens_channels_ignores_refusals() {
    let node = start(hostile()).await;
    let client = connect(&node).await;
    soon(node.wait_for(|now| now.channels_refused > 1_000)).await;
    assert_eq!(node.counters().channels_taken, 0);
    assert!(client.serve().await.ask("read").await.is_some());
    node.set_behaviour(synthetic());
    client.round_trip().await;
    assert!(client.serve().await.ask("read").await.is_some());
}

#[tokio::test]
async fn opens_channels_piles_them_up() {
    let node = start(hostile()).await;
    let careless = Connect {
        takes_channels: true,
        ..Connect::default()
    };
    let _client = careless.to(node.addr()).await.unwrap();
    soon(node.wait_for(|now| now.channels_taken > 1_000)).await;
}

fn hostile() -> Behaviour {
    Behaviour::OpensChannels {
        document: DOCUMENT.into(),
    }
}

#[tokio::test]
async fn blackhole_never_speaks() {
    let node = start(Behaviour::Blackhole).await;
    let mut stream = TcpStream::connect(node.addr()).await.unwrap();
    let mut byte = [0];
    let read = tokio::time::timeout(SILENCE, stream.read(&mut byte)).await;
    assert!(read.is_err(), "it sent a byte");
    node.kick();
    let read = soon(stream.read(&mut byte)).await;
    assert!(
        matches!(read, Ok(0) | Err(_)),
        "the connection is still open"
    );
}

#[tokio::test]
async fn banner_never_sends_a_version() {
    let node = start(Behaviour::Banner {
        every: Duration::ZERO,
    })
    .await;
    let mut stream = TcpStream::connect(node.addr()).await.unwrap();
    let mut bytes = vec![0; 256 * 1024];
    soon(stream.read_exact(&mut bytes)).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(!text.contains("SSH-"));
    assert!(text.lines().count() > 1_000);
}

#[tokio::test]
async fn stops_reading_answers_no_keepalive() {
    let node = start(Behaviour::StopsReading).await;
    let client = connect(&node).await;
    client.serve().await;
    let ping = tokio::time::timeout(SILENCE, client.ssh.send_ping()).await;
    assert!(ping.is_err(), "it still reads");
    soon(node.shutdown()).await;
}

#[tokio::test]
async fn change_reaches_open_channels() {
    let node = start(synthetic()).await;
    let client = connect(&node).await;
    let mut program = client.serve().await;
    node.set_behaviour(Behaviour::Garbage);
    program.send("read").await;
    assert!(String::from_utf8(program.raw_line().await.unwrap()).is_err());
    node.set_behaviour(Behaviour::Hang);
    program.send("read").await;
    client.round_trip().await;
    assert!(program.is_silent().await);
    node.set_behaviour(synthetic());
    assert_eq!(program.ask("read").await.unwrap().trim_end(), DOCUMENT);
    node.set_behaviour(Behaviour::DropConnection);
    program.send("read").await;
    assert_eq!(program.line().await, None);
    expect_gone(&client).await;
}

async fn expect_gone(client: &Client) {
    assert!(soon(client.ssh.channel_open_session()).await.is_err());
}
