//! Connections of callers: their lines, and the end of the daemon.

use super::*;

/// All that is sent until the connection ends, as its lines' errors.
async fn errors(mut client: Client) -> Vec<Value> {
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    let reply = |line| serde_json::from_str::<Value>(line).unwrap()["error"].take();
    text.lines().map(reply).collect()
}

#[tokio::test(start_paused = true)]
async fn silent_caller_gets_its_line_in_time() {
    let fixture = fixture();
    let started = tokio::time::Instant::now();
    let client = fixture.connect(Capabilities::read_only());
    assert_eq!(errors(client).await, ["read timeout"]);
    assert_eq!(started.elapsed(), fixture.daemon.config().timeouts.read);
    assert_eq!(fixture.records.lines(), ["connection.accepted allowed"]);
}

/// A line that is late during a penalty is no further offence, and no request to refuse.
#[tokio::test(start_paused = true)]
async fn late_line_in_penalty_is_no_refusal() {
    let config = format!("read_timeout = '500ms'\n{CONFIG}");
    let fixture = Fixture::new(&config, |_| Step::succeeds_after(MS));
    fixture.ask("{").await;
    let client = fixture.connect(Capabilities::read_only());
    assert_eq!(errors(client).await, ["read timeout"]);
    let expected = [
        "command.validation_failed denied invalid_request",
        "connection.accepted allowed",
    ];
    assert_eq!(fixture.records.lines(), expected);
    // The penalty still runs: it was not the timeout that ended it.
    let refusal = "node \"a\" not read: rate limit exceeded";
    assert_eq!(fixture.ask(READ_A).await["error"], refusal);
}

#[tokio::test(start_paused = true)]
async fn stranger_gets_its_line_unread() {
    let fixture = fixture();
    let client = fixture.connect(Capabilities::NONE);
    assert_eq!(errors(client).await, ["unauthorized"]);
    let records = fixture.records.lines();
    assert_eq!(records, ["connection.denied denied unauthorized"]);
}

#[tokio::test(start_paused = true)]
async fn too_long_request_is_on_record() {
    let fixture = fixture();
    let mut client = fixture.connect(Capabilities::read_only());
    client.write_all(&[b'x'; MAX_REQUEST_BYTES]).await.unwrap();
    assert_eq!(errors(client).await, ["payload too large"]);
    let expected = [
        "connection.accepted allowed",
        "command.validation_failed denied payload_too_large",
    ];
    assert_eq!(fixture.records.lines(), expected);
    let refusal = "node \"a\" not read: rate limit exceeded";
    assert_eq!(fixture.ask(READ_A).await["error"], refusal);
}

#[tokio::test(start_paused = true)]
async fn kept_connection_takes_another_request() {
    let fixture = fixture();
    let mut client = fixture.connect(Capabilities::read_only());
    let keep = r#"{"method":"get_status","keep_alive":true}"#;
    let last = r#"{"method":"get_status"}"#;
    let lines = format!("{keep}\n{keep}\n{last}\n{last}\n");
    client.write_all(lines.as_bytes()).await.unwrap();
    assert_eq!(
        errors(client).await,
        [Value::Null, Value::Null, Value::Null]
    );
}

#[tokio::test(start_paused = true)]
async fn drain_ends_idle_connections_and_no_request() {
    let fixture = fixture();
    let idle = fixture.connect(Capabilities::read_only());
    let mut busy = fixture.connect(Capabilities::read_only());
    busy.write_all(format!("{READ_A}\n").as_bytes())
        .await
        .unwrap();
    tokio::time::sleep(MS * 5).await;
    fixture.drain.send_replace(true);
    let started = tokio::time::Instant::now();
    assert!(errors(idle).await.is_empty());
    assert_eq!(started.elapsed(), MS * 250);
    assert_eq!(errors(busy).await, [Value::Null]);
    assert_eq!(fixture.daemon.connections().total(), 0);
}

/// A caller that has connected just before the end sends its line just after.
#[tokio::test(start_paused = true)]
async fn drain_waits_for_a_first_line() {
    let fixture = fixture();
    let mut caller = fixture.connect(Capabilities::read_only());
    tokio::time::sleep(MS).await;
    fixture.drain.send_replace(true);
    tokio::time::sleep(MS * 50).await;
    let line = format!("{READ_A}\n");
    caller.write_all(line.as_bytes()).await.unwrap();
    assert_eq!(errors(caller).await, [Value::Null]);
}
