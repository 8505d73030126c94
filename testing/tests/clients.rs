//! Clients in other languages, and socat, with a real node.

use pulse_e2e::programs::{self, Need, skipped};
use pulse_e2e::sshd::printing_options;
use pulse_e2e::{Config, Daemon, RealNode, python, unused_address, wait};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

const REQUEST: &str = r#"{"correlation_id":"7e57ab1e-0000-4000-8000-0123456789ab","method":"get_temperature","params":{"node":"pve1"}}"#;

fn real_node() -> RealNode {
    RealNode::start(&printing_options(), Config::new())
}

fn assert_is_reading(response: &str) {
    let response: Value = serde_json::from_str(response).unwrap();
    assert_eq!(response["success"], true, "{response}");
    assert_eq!(
        response["correlation_id"],
        "7e57ab1e-0000-4000-8000-0123456789ab"
    );
    assert_eq!(response["data"]["node"], "pve1");
    // Pulse decodes a string, and then the JSON in the string.
    let document = response["data"]["temperature"].as_str().unwrap();
    assert!(pulse_e2e::sim::is_document(
        &serde_json::from_str(document).unwrap()
    ));
}

#[test]
fn pulses_client_is_served() {
    if skipped(&[Need::Sshd, Need::Program("python3")]) {
        return;
    }
    let node = real_node();
    let socket = node.daemon.home().socket();
    let socket = socket.to_str().unwrap();
    for _ in 0..3 {
        assert_is_reading(&python::run(python::PULSE, None, &[socket, REQUEST]));
    }
}

#[test]
fn half_closed_client_is_served() {
    if skipped(&[Need::Sshd, Need::Program("python3")]) {
        return;
    }
    let node = real_node();
    let socket = node.daemon.home().socket();
    let socket = socket.to_str().unwrap();
    let answer = python::run(python::HALF_CLOSE, None, &[socket, REQUEST]);
    assert_eq!(answer.matches('\n').count(), 1, "{answer}");
    assert_is_reading(&answer);
}

#[test]
fn socat_is_served() {
    if skipped(&[Need::Sshd, Need::Program("socat")]) {
        return;
    }
    let node = real_node();
    let mut socat = spawn_socat(&node.daemon, "STDIO");
    let request = format!("{REQUEST}\n");
    // Its input ends right after the request.
    let mut input = socat.0.stdin.take().unwrap();
    input.write_all(request.as_bytes()).unwrap();
    drop(input);
    let mut answer = String::new();
    let output = socat.0.stdout.take();
    output.unwrap().read_to_string(&mut answer).unwrap();
    assert_is_reading(&answer);
}

#[test]
fn socat_serves_tcp_clients() {
    if skipped(&[Need::Sshd, Need::Program("socat")]) {
        return;
    }
    let node = real_node();
    let address = unused_address();
    let (ip, port) = (address.ip(), address.port());
    let listen = format!("TCP-LISTEN:{port},bind={ip},reuseaddr,fork");
    let _socat = spawn_socat(&node.daemon, &listen);
    for _ in 0..3 {
        let mut stream = wait::until_some("socat", || TcpStream::connect(address).ok());
        stream.write_all(format!("{REQUEST}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_is_reading(&answer);
    }
}

/// Killed when dropped.
struct Socat(Child);

impl Drop for Socat {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn_socat(daemon: &Daemon, side: &str) -> Socat {
    let socket = format!("UNIX-CONNECT:{}", daemon.home().socket().display());
    let mut command = Command::new(programs::find("socat").unwrap());
    // Time to wait for the end of the other side.
    command.args(["-t", "60", side, &socket]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    Socat(command.spawn().unwrap())
}
