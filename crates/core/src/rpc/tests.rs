use super::*;

fn call(line: &str) -> Result<Call, RpcError> {
    Request::parse(line.as_bytes())?.call
}

/// The error for a text that is no node name.
fn violation(text: &str) -> RpcError {
    Violation::from(parse_node(text).unwrap_err()).into()
}

/// Pulse's own rules, in its order: first match wins.
fn pulse_concludes(text: &str) -> &'static str {
    let has = |needle: &str| text.to_lowercase().contains(needle);
    if has("rejected by validator") || has("not in allowlist") || has("node \"") {
        "node"
    } else if has("rate limit") {
        "transport"
    } else if text == "unauthorized" || has("admin capability") {
        "authorisation"
    } else if has("ssh") || has("connection") || has("timeout") {
        "retried"
    } else if has("sensor") || has("temperature") {
        "node"
    } else {
        "proxy"
    }
}

#[test]
fn a_failure_of_one_node_never_counts_against_the_proxy() {
    let node = NodeName::parse("pve1").unwrap();
    let failure = "ssh connection timeout, rate limit, unauthorized".to_owned();
    for error in [
        RpcError::Failed {
            node: node.clone(),
            failure,
        },
        RpcError::Unlisted {
            node: node.clone(),
            reason: Unlisted::NotAllowlisted,
        },
        RpcError::AddressNotPermitted { node: node.clone() },
        RpcError::NodeRateLimited { node },
        violation("a;b"),
        violation(""),
    ] {
        assert!(error.to_string().starts_with("node \""), "{error}");
        assert_eq!(pulse_concludes(&error.to_string()), "node", "{error}");
    }
    assert_eq!(
        pulse_concludes(&RpcError::RateLimited.to_string()),
        "transport"
    );
    assert_eq!(
        pulse_concludes(&RpcError::Unauthorized.to_string()),
        "authorisation"
    );
    assert_eq!(
        pulse_concludes(&Violation::AdminRequired.to_string()),
        "authorisation"
    );
    assert_eq!(
        pulse_concludes(&RpcError::RecorderUnavailable.to_string()),
        "proxy"
    );
}

#[test]
fn requests_are_read_as_the_protocol_says() {
    assert_eq!(call(r#"{"method":"get_status"}"#), Ok(Call::Status));
    assert_eq!(
        call(r#"{"method":"get_status","params":null,"other":1}"#),
        Ok(Call::Status)
    );
    let pve1 = NodeName::parse("pve1").unwrap();
    assert_eq!(
        call(r#"{"method":"get_temperature","params":{"node":"pve1"}}"#),
        Ok(Call::Temperature(pve1.clone()))
    );
    assert_eq!(
        call(r#"{"method":"get_temperatures"}"#),
        Ok(Call::Temperatures(None))
    );
    let Ok(Call::Temperatures(Some(nodes))) =
        call(r#"{"method":"get_temperatures","params":{"nodes":["pve1","-x"]}}"#)
    else {
        panic!("a list of nodes is a list of nodes");
    };
    assert_eq!(nodes[0], Ok(pve1));
    assert!(nodes[1].is_err());
}

#[test]
fn name_that_is_given_twice_is_meant_once() {
    let line = r#"{"method":"get_temperatures","params":{"nodes":
        ["PVE1","-x","pve1","::1","pve2","-x","[0:0::1]","Pve1","-X"]}}"#;
    let Ok(Call::Temperatures(Some(nodes))) = call(&line.replace('\n', "")) else {
        panic!("a list of nodes is a list of nodes");
    };
    let written = nodes.iter().map(|node| match node {
        Ok(name) => name.as_written().to_owned(),
        Err(invalid) => invalid.shown.clone(),
    });
    assert!(written.eq(["PVE1", "-x", "::1", "pve2", "-X"]));
}

#[test]
fn every_malformed_request_has_its_text() {
    for (line, text) in [
        ("", "empty request"),
        (" \t\r", "empty request"),
        ("{", "invalid request format"),
        ("[]", "invalid request format"),
        ("null", "invalid request format"),
        ("{}", "invalid request format"),
        (r#"{"method":1}"#, "invalid request format"),
        (
            r#"{"method":"get_status","params":[]}"#,
            "invalid request format",
        ),
        (
            r#"{"method":"get_status","method":"x"}"#,
            "invalid request format",
        ),
        (r#"{"method":"get_status"} {}"#, "invalid request format"),
        (r#"{"method":"register_nodes"}"#, "unknown method"),
        (r#"{"method":"GET_STATUS"}"#, "unknown method"),
        (
            r#"{"method":"get_temperature"}"#,
            "missing 'node' parameter",
        ),
        (
            r#"{"method":"get_temperature","params":{"node":null}}"#,
            "missing 'node' parameter",
        ),
        (
            r#"{"method":"get_temperature","params":{"node":["a"]}}"#,
            "'node' parameter must be a string",
        ),
        (
            r#"{"method":"get_temperatures","params":{"nodes":"a"}}"#,
            "'nodes' parameter must be a list of strings",
        ),
        (
            r#"{"method":"get_temperature","params":{"node":"-oProxyCommand=x"}}"#,
            "node \"-oProxyCommand=x\" rejected by validator (invalid_node_name)",
        ),
    ] {
        assert_eq!(call(line).unwrap_err().to_string(), text, "{line}");
    }
    let deep = format!("{{\"method\":{}", "[".repeat(10_000));
    assert_eq!(call(&deep), Err(Violation::InvalidRequest.into()));
    assert_eq!(
        Request::parse(b"{\"method\":\"\xff\"}"),
        Err(Violation::InvalidRequest)
    );
}

#[test]
fn a_replay_begins_at_a_number_that_a_record_may_have() {
    let from = |number: u64| {
        let line = format!(r#"{{"method":"replay_forwarding","params":{{"from":{number}}}}}"#);
        call(&line)
    };
    let last = Ordinal::new(Ordinal::MAX).unwrap();
    assert_eq!(from(Ordinal::MAX), Ok(Call::Replay(last)));
    for number in [0, Ordinal::MAX + 1, u64::MAX] {
        assert_eq!(from(number), Err(RpcError::NoSuchRecord), "{number}");
    }
}

#[test]
fn the_size_limit_counts_the_newline() {
    let padded = |total: usize| {
        let head = r#"{"method":"get_status"}"#;
        format!("{head}{}", " ".repeat(total - 1 - head.len()))
    };
    assert_eq!(call(&padded(MAX_REQUEST_BYTES)), Ok(Call::Status));
    assert_eq!(
        call(&padded(MAX_REQUEST_BYTES + 1)),
        Err(Violation::PayloadTooLarge.into())
    );
}

#[test]
fn a_correlation_id_is_kept_only_if_it_is_a_uuid() {
    let id = uuid_from_random([0xab; 16]);
    assert_eq!(id, "abababab-abab-4bab-abab-abababababab");
    let line = format!(r#"{{"correlation_id":"{id}","method":"x"}}"#);
    assert_eq!(
        Request::parse(line.as_bytes()).unwrap().correlation_id,
        Some(id)
    );
    for other in ["\"x\"", "7", "null", "{}"] {
        let line = format!(r#"{{"correlation_id":{other},"method":"x"}}"#);
        assert_eq!(
            Request::parse(line.as_bytes()).unwrap().correlation_id,
            None
        );
    }
}

#[test]
fn a_response_has_data_or_an_error_never_both() {
    let line = response_line("i".into(), Ok(1));
    assert_eq!(
        line,
        b"{\"correlation_id\":\"i\",\"success\":true,\"data\":1}\n"
    );
    let line = response_line::<()>("i".into(), Err(&RpcError::Unauthorized));
    let text = b"{\"correlation_id\":\"i\",\"success\":false,\"error\":\"unauthorized\"}\n";
    assert_eq!(line, text);
}
