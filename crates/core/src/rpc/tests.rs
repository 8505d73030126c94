use super::*;

/// The call, if the method is known and its parameters are valid.
fn call(line: &str) -> Result<Call, RpcError> {
    let call = Request::parse(line.as_bytes())?.call;
    match call.ok_or(RpcError::UnknownMethod)? {
        Call::GetTemperature(Err(violation)) | Call::GetTemperatures(Err(violation)) => {
            Err(violation.into())
        }
        Call::ReplayForwarding(None) => Err(RpcError::NoSuchRecord),
        Call::AcceptForwardingLoss(None) => Err(RpcError::NoSuchLoss),
        call => Ok(call),
    }
}

/// The entries of `get_temperatures` with a list.
fn listed(line: &str) -> Vec<Result<NodeName, InvalidNodeName>> {
    match call(line) {
        Ok(Call::GetTemperatures(Ok(Sweep {
            nodes: NodeSelection::Listed(nodes),
            ..
        }))) => nodes,
        other => panic!("no list of nodes: {other:?}"),
    }
}

/// The error for a text that is no node name.
fn violation(text: &str) -> RpcError {
    Violation::from(parse_node(text).unwrap_err()).into()
}

/// The class that Pulse puts an error in: its rules in its order, first match wins.
fn pulse_class(text: &str) -> &'static str {
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
fn node_errors_never_blame_proxy() {
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
            meant: None,
        },
        RpcError::Unlisted {
            node: node.clone(),
            reason: Unlisted::NotAllowlisted,
            meant: Some(Box::new(NodeName::parse("ssh-timeout").unwrap())),
        },
        RpcError::Pending { node: node.clone() },
        RpcError::AddressNotPermitted { node: node.clone() },
        RpcError::from(ServiceRefusal::RateLimited { retry_in: None }).for_node(node.as_written()),
        RpcError::from(ServiceRefusal::RecorderUnavailable).for_node("a;b"),
        RpcError::from(ServiceRefusal::OutOfDescriptors).for_node("pve1"),
        RpcError::from(ServiceRefusal::HostOutOfDescriptors).for_node("pve1"),
        RpcError::from(ServiceRefusal::OutOfMemory).for_node("pve1"),
        violation("a;b"),
        violation(""),
    ] {
        assert!(error.to_string().starts_with("node \""), "{error}");
        assert_eq!(pulse_class(&error.to_string()), "node", "{error}");
    }
    assert_eq!(
        pulse_class(&ServiceRefusal::RateLimited { retry_in: None }.to_string()),
        "transport"
    );
    assert_eq!(
        pulse_class(&RpcError::Unauthorized.to_string()),
        "authorisation"
    );
    assert_eq!(
        pulse_class(&Violation::AdminRequired.to_string()),
        "authorisation"
    );
    for refusal in [
        ServiceRefusal::RecorderUnavailable,
        ServiceRefusal::OutOfDescriptors,
        ServiceRefusal::HostOutOfDescriptors,
        ServiceRefusal::OutOfMemory,
    ] {
        assert_eq!(pulse_class(&refusal.to_string()), "proxy", "{refusal}");
    }
}

#[test]
fn unlisted_node_has_a_remedy() {
    let unlisted = |asked: &str, meant: Option<&str>| {
        let error = RpcError::Unlisted {
            node: NodeName::parse(asked).unwrap(),
            reason: Unlisted::NotAllowlisted,
            meant: meant.map(|name| Box::new(NodeName::parse(name).unwrap())),
        };
        error.to_string()
    };
    let text = unlisted("[2001:DB8::1]", None);
    // In the caller's spelling.
    let beginning = "node \"[2001:DB8::1]\" rejected by validator (node_not_allowlisted): ";
    assert!(text.starts_with(beginning), "{text}");
    assert!(text.contains("allowed_nodes"), "{text}");
    let text = unlisted("pve22", Some("pve2"));
    assert!(text.contains("did you mean \"pve2\"?"), "{text}");
}

#[test]
fn valid_requests_are_parsed() {
    assert_eq!(call(r#"{"method":"get_status"}"#), Ok(Call::GetStatus));
    assert_eq!(
        call(r#"{"method":"get_status","params":null,"other":1}"#),
        Ok(Call::GetStatus)
    );
    let pve1 = NodeName::parse("pve1").unwrap();
    assert_eq!(
        call(r#"{"method":"get_temperature","params":{"node":"pve1"}}"#),
        Ok(Call::GetTemperature(Ok(pve1.clone())))
    );
    assert_eq!(
        call(r#"{"method":"get_temperatures"}"#),
        Ok(Call::GetTemperatures(Ok(Sweep {
            nodes: NodeSelection::All,
            wait: None,
            retry: Retry::WhenDue
        })))
    );
    assert_eq!(
        call(r#"{"method":"get_temperatures","params":{"wait_ms":1500}}"#),
        Ok(Call::GetTemperatures(Ok(Sweep {
            nodes: NodeSelection::All,
            wait: Some(Duration::from_millis(1500)),
            retry: Retry::WhenDue
        })))
    );
    assert_eq!(
        call(r#"{"method":"register_nodes"}"#),
        Ok(Call::RegisterNodes)
    );
    let nodes = listed(r#"{"method":"get_temperatures","params":{"nodes":["pve1","-x"]}}"#);
    assert_eq!(nodes[0], Ok(pve1));
    assert!(nodes[1].is_err());
}

#[test]
fn retry_needs_admin() {
    for (retry, needed) in [
        ("true", Capability::Admin),
        ("false", Capability::Read),
        ("null", Capability::Read),
    ] {
        let line = format!(r#"{{"method":"get_temperatures","params":{{"retry":{retry}}}}}"#);
        assert_eq!(call(&line).unwrap().needs(), needed, "{line}");
    }
    let line = r#"{"method":"get_temperatures","params":{"retry":1}}"#;
    assert_eq!(call(line), Err(Violation::RetryNotABoolean.into()));
}

#[test]
fn call_has_the_method_of_its_name() {
    for method in Method::ALL {
        let line = format!(r#"{{"method":"{}"}}"#, method.as_str());
        let call = Request::parse(line.as_bytes()).unwrap().call;
        assert_eq!(call.map(|call| call.method()), Some(method));
    }
}

#[test]
fn duplicate_names_are_dropped() {
    let line = r#"{"method":"get_temperatures","params":{"nodes":
        ["PVE1","-x","pve1","::1","pve2","-x","[0:0::1]","Pve1","-X"]}}"#;
    let nodes = listed(line);
    let written = nodes.iter().map(|node| match node {
        Ok(name) => name.as_written(),
        Err(invalid) => &invalid.shown,
    });
    assert!(written.eq(["PVE1", "-x", "::1", "pve2", "-X"]));
}

#[test]
fn malformed_requests_have_texts() {
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
        (r#"{"method":"ensure_cluster_keys"}"#, "unknown method"),
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
            r#"{"method":"get_temperatures","params":{"wait_ms":-1}}"#,
            "'wait_ms' parameter must be a number of milliseconds",
        ),
        (
            r#"{"method":"get_temperatures","params":{"wait_ms":"2s"}}"#,
            "'wait_ms' parameter must be a number of milliseconds",
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
fn replay_starts_at_record_number() {
    let from = |number: u64| {
        let line = format!(r#"{{"method":"replay_forwarding","params":{{"from":{number}}}}}"#);
        call(&line)
    };
    let last = Ordinal::new(Ordinal::MAX).unwrap();
    assert_eq!(from(Ordinal::MAX), Ok(Call::ReplayForwarding(Some(last))));
    for number in [0, Ordinal::MAX + 1, u64::MAX] {
        assert_eq!(from(number), Err(RpcError::NoSuchRecord), "{number}");
    }
}

#[test]
fn size_limit_counts_newline() {
    let padded = |total: usize| {
        let head = r#"{"method":"get_status"}"#;
        format!("{head}{}", " ".repeat(total - 1 - head.len()))
    };
    assert_eq!(call(&padded(MAX_REQUEST_BYTES)), Ok(Call::GetStatus));
    assert_eq!(
        call(&padded(MAX_REQUEST_BYTES + 1)),
        Err(Violation::PayloadTooLarge.into())
    );
}

#[test]
fn correlation_id_is_uuid_or_none() {
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
fn response_has_data_or_error() {
    let line = response_line("i".into(), Ok(1), None);
    assert_eq!(
        line,
        b"{\"correlation_id\":\"i\",\"success\":true,\"data\":1}\n"
    );
    let line = response_line::<()>("i".into(), Err(&RpcError::Unauthorized), None);
    let text = b"{\"correlation_id\":\"i\",\"success\":false,\"error\":\"unauthorized\"}\n";
    assert_eq!(line, text);
}
