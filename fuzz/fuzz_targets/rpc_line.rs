//! Any request line has a response of one line, and no error of one node has a text that Pulse
//! takes for an error of the whole proxy.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::nodes::lookup;
use pulse_core::nodes::name::NodeName;
use pulse_core::rpc::{
    Call, MAX_REQUEST_BYTES, NodeSelection, Request, RpcError, Sweep, Unlisted, Violation, is_uuid,
    response_line,
};

const ID: &str = "00000000-0000-4000-8000-000000000000";

fuzz_target!(|line: &[u8]| {
    let request = Request::parse(line);
    if line.len() >= MAX_REQUEST_BYTES {
        assert_eq!(request, Err(Violation::PayloadTooLarge));
    }
    let request = match request {
        Ok(request) => request,
        Err(violation) => return check_error(&violation.into()),
    };
    let id = request.correlation_id.as_deref();
    assert!(id.is_none_or(is_uuid), "a caller's id goes into the record");
    match request.call {
        Some(Call::GetTemperature(Err(violation)) | Call::GetTemperatures(Err(violation))) => {
            check_error(&violation.into());
        }
        Some(Call::GetTemperature(Ok(node))) => check_error(&unlisted(node)),
        Some(Call::GetTemperatures(Ok(Sweep {
            nodes: NodeSelection::Listed(nodes),
            ..
        }))) => {
            for invalid in nodes.into_iter().filter_map(Result::err) {
                check_error(&Violation::from(invalid).into());
            }
        }
        Some(Call::ReplayForwarding(None)) => check_error(&RpcError::NoSuchRecord),
        Some(Call::AcceptForwardingLoss(None)) => check_error(&RpcError::NoSuchLoss),
        Some(_) => {}
        None => check_error(&RpcError::UnknownMethod),
    }
});

/// The error for a node when others are listed.
fn unlisted(node: NodeName) -> RpcError {
    let listed = ["pve1", "pve22", "node-a.example.org", "192.0.2.1"];
    let listed = listed.map(|name| NodeName::parse(name).expect("a valid name"));
    let meant = lookup::meant(&node, listed.iter()).cloned().map(Box::new);
    RpcError::Unlisted {
        node,
        reason: Unlisted::NotAllowlisted,
        meant,
    }
}

fn check_error(error: &RpcError) {
    let text = error.to_string();
    // Pulse sorts errors by their text: one about a node begins so, and no other does.
    assert_eq!(
        text.starts_with("node \""),
        matches!(
            error,
            RpcError::Violation(Violation::InvalidNodeName(_)) | RpcError::Unlisted { .. }
        ),
        "{text}"
    );
    assert!(!text.contains("rate limit"), "only the limiter says so");
    // Pulse parses one JSON value up to the newline.
    let mut json = response_line::<()>(ID.to_owned(), Err(error), error.detail());
    assert!(json.pop() == Some(b'\n') && !json.contains(&b'\n'));
    let value: serde_json::Value = serde_json::from_slice(&json).expect("a reply is JSON");
    assert_eq!(value["error"], text);
    assert_eq!(value["success"], false);
    assert!(value.get("data").is_none());
}
