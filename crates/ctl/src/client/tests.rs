use super::problem::without_socket;
use super::*;
use crate::error::{CommandError, ErrorCode};

#[test]
fn a_refusal_has_a_remedy() {
    for (error, code, part) in [
        ("unauthorized", ErrorCode::PermissionDenied, "allowed_peers"),
        (
            "method requires admin capability",
            ErrorCode::PermissionDenied,
            "\"admin\" in allowed_peers",
        ),
        (RATE_LIMITED, ErrorCode::TryAgain, "within seconds"),
        (
            "node \"pve1\" not read: out of file descriptors",
            ErrorCode::TryAgain,
            "LimitNOFILE=",
        ),
        (
            "node \"pve1\" not read: out of memory",
            ErrorCode::TryAgain,
            "log",
        ),
        (NOT_FORWARDING, ErrorCode::Config, "[forward]"),
    ] {
        let refused = DaemonError::Refused(Refusal {
            error: error.to_owned(),
            retry_in: None,
            detail: None,
            no_control: None,
        });
        let remedy = refused.remedy().unwrap();
        assert!(remedy.contains(part), "{remedy}");
        assert_eq!(refused.code(), code, "{error}");
    }
}

#[test]
fn missing_socket_names_the_daemon() {
    let gone = without_socket(Some(42));
    for part in ["Process 42 is", "pulse-sensor-proxy.socket`", "--socket"] {
        assert!(gone.contains(part), "{gone}");
    }
    let ended = without_socket(None);
    assert!(
        ended.contains("systemctl start pulse-sensor-proxy"),
        "{ended}"
    );
}

#[test]
fn root_learns_of_a_missing_control_socket() {
    let refused = |no_control: Option<&str>| {
        let refused = DaemonError::Refused(Refusal {
            error: "unauthorized".to_owned(),
            retry_in: None,
            detail: None,
            no_control: no_control.map(PathBuf::from),
        });
        refused.remedy().unwrap().into_owned()
    };
    assert!(refused(Some("/run/c.sock")).contains("/run/c.sock does not exist"));
    assert!(refused(None).contains("allowed_peers"));
}

#[test]
fn limiters_refusal_says_when() {
    let line = r#"{"success":false,"error":"rate limit exceeded","retry_in_ms":2001}"#;
    let refusal = Response::parse(line.as_bytes(), Path::new("s")).unwrap();
    let refused = DaemonError::Refused(refusal.outcome.unwrap_err());
    assert!(refused.remedy().unwrap().contains("possible in 3 s"));
}

#[test]
fn unavailable_log_has_its_cause() {
    let remedy = |detail: &str| {
        let line = format!(r#"{{"success":false,"error":"audit log unavailable"{detail}}}"#);
        let refusal = Response::parse(line.as_bytes(), Path::new("s")).unwrap();
        let refused = DaemonError::Refused(refusal.outcome.unwrap_err());
        refused.remedy().unwrap().into_owned()
    };
    let full = "cannot write the audit log: No space left on device: free space";
    assert_eq!(remedy(&format!(r#","detail":"{full}""#)), full);
    assert_eq!(remedy(""), "its log says why");
}

fn outcome(line: &str) -> Option<Result<String, String>> {
    let response = Response::parse(line.as_bytes(), Path::new("s"))?;
    let outcome = response.outcome.map(|data| data.get().to_owned());
    Some(outcome.map_err(|refusal| refusal.error))
}

#[test]
fn responses_are_data_or_errors() {
    let data = r#"{"correlation_id":"i","success":true,"data":{"b":1.0,"a":2}}"#;
    let data_text = r#"{"b":1.0,"a":2}"#.to_owned();
    assert_eq!(outcome(data), Some(Ok(data_text)));
    let error = "{\"success\":false,\"error\":\"no\"}\n";
    assert_eq!(outcome(error), Some(Err("no".into())));
    assert_eq!(outcome("{\"success\":true}"), Some(Ok("null".into())));
    for line in [
        "",
        "HTTP/1.1 400",
        "[]",
        "{}",
        "{\"success\":1}",
        "{\"success\":false,\"error\":1}",
    ] {
        assert_eq!(outcome(line), None, "{line}");
    }
}

/// As in a container that has the callers' directory alone.
#[test]
fn missing_directory_is_no_lost_socket() {
    let home = tempfile::tempdir().unwrap();
    let is_root = nix::unistd::geteuid().is_root();
    assert_eq!(
        is_administrator_of(&home.path().join("control.sock")),
        is_root
    );
    assert!(!is_administrator_of(&home.path().join("none/control.sock")));
}
