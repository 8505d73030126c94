//! Any request line has a response of one line, and no error of one node has a text that Pulse
//! takes for an error of the whole proxy.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::rpc::{
    Call, MAX_REQUEST_BYTES, NodeSelection, Request, RpcError, Violation, is_uuid, response_line,
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
        Some(Call::GetTemperatures(Ok(NodeSelection::Listed(nodes)))) => {
            for invalid in nodes.into_iter().filter_map(Result::err) {
                check_error(&Violation::from(invalid).into());
            }
        }
        Some(Call::ReplayForwarding(None)) => check_error(&RpcError::NoSuchRecord),
        Some(_) => {}
        None => check_error(&RpcError::UnknownMethod),
    }
});

fn check_error(error: &RpcError) {
    let text = error.to_string();
    let concerns_a_node = matches!(error, RpcError::Violation(Violation::InvalidNodeName(_)));
    assert_eq!(text.starts_with("node \""), concerns_a_node, "{text}");
    assert!(!text.contains("rate limit"), "only the limiter says so");
    check_reply(&response_line::<()>(ID.to_owned(), Err(error)), &text);
}

/// Pulse parses one JSON value up to the newline.
fn check_reply(reply: &[u8], error: &str) {
    let (newline, json) = reply.split_last().expect("a reply is never empty");
    assert!(*newline == b'\n' && !json.contains(&b'\n'));
    let value: serde_json::Value = serde_json::from_slice(json).expect("a reply is JSON");
    assert_eq!(value["error"], error);
    assert_eq!(value["success"], false);
    assert!(value.get("data").is_none());
}
