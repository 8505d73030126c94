//! The Unix socket's protocol: one JSON object a line, in and out.
//!
//! Pulse sorts errors by their words, first match wins, and a wrong word turns
//! the whole proxy off for five minutes. So the words are made here and nowhere
//! else, and the tests hold them against Pulse's own rules: a failure that
//! concerns one node always starts with `node "<name>" `, and only the limiter
//! says `rate limit exceeded`.

use crate::capability::Capability;
use crate::name::{NameError, NodeName, shown};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest request accepted, in bytes, its newline included.
pub const MAX_REQUEST_BYTES: usize = 16_384;

/// What a request line says, before its method is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The caller's correlation id, if it is a UUID.
    pub correlation_id: Option<String>,
    /// Whether the connection stays open for another request (our extension).
    pub keep_alive: bool,
    method: String,
    params: Option<Value>,
}

/// The methods, declared once: name, needed capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Version, public key and the caller's capabilities.
    GetStatus,
    /// One node's temperatures, as a string that contains JSON.
    GetTemperature,
    /// Many nodes' temperatures, each with its age or its error.
    GetTemperatures,
}

impl Method {
    /// Every method, for tables and tests.
    pub const ALL: [Self; 3] = [Self::GetStatus, Self::GetTemperature, Self::GetTemperatures];

    /// The name on the wire, and in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GetStatus => "get_status",
            Self::GetTemperature => "get_temperature",
            Self::GetTemperatures => "get_temperatures",
        }
    }

    /// What a caller must have to use it.
    #[must_use]
    pub fn needs(self) -> Capability {
        match self {
            Self::GetStatus | Self::GetTemperature | Self::GetTemperatures => Capability::Read,
        }
    }
}

/// A request, ready to be carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// `get_status`.
    Status,
    /// `get_temperature` of one node.
    Temperature(NodeName),
    /// `get_temperatures`: of these nodes, or of every allowed one. A name that
    /// is none keeps its place, so that its error does too.
    Temperatures(Option<Vec<Result<NodeName, RpcError>>>),
}

#[derive(Deserialize)]
struct RawRequest {
    #[serde(default)]
    correlation_id: Value,
    #[serde(default)]
    keep_alive: bool,
    method: String,
    #[serde(default)]
    params: Option<Value>,
}

impl Envelope {
    /// Parses one line, without its newline.
    ///
    /// # Errors
    /// [`RpcError::EmptyRequest`], [`RpcError::PayloadTooLarge`] or
    /// [`RpcError::InvalidRequest`].
    pub fn parse(line: &[u8]) -> Result<Self, RpcError> {
        if line.len() >= MAX_REQUEST_BYTES {
            return Err(RpcError::PayloadTooLarge);
        }
        if line.trim_ascii().is_empty() {
            return Err(RpcError::EmptyRequest);
        }
        let raw: RawRequest = serde_json::from_slice(line).map_err(|_| RpcError::InvalidRequest)?;
        if !matches!(raw.params, None | Some(Value::Null | Value::Object(_))) {
            return Err(RpcError::InvalidRequest);
        }
        let correlation_id = raw.correlation_id.as_str().filter(|id| is_uuid(id));
        Ok(Self {
            correlation_id: correlation_id.map(str::to_owned),
            keep_alive: raw.keep_alive,
            method: raw.method,
            params: raw.params,
        })
    }

    /// The method, if there is one of that name.
    ///
    /// # Errors
    /// [`RpcError::UnknownMethod`].
    pub fn method(&self) -> Result<Method, RpcError> {
        let known = Method::ALL.into_iter().find(|m| m.as_str() == self.method);
        known.ok_or(RpcError::UnknownMethod)
    }

    /// The method with its parameters, parsed.
    ///
    /// # Errors
    /// [`RpcError::UnknownMethod`], or what is wrong with a parameter.
    pub fn call(&self) -> Result<Call, RpcError> {
        match self.method()? {
            Method::GetStatus => Ok(Call::Status),
            Method::GetTemperature => self.node().map(Call::Temperature),
            Method::GetTemperatures => self.nodes().map(Call::Temperatures),
        }
    }

    fn parameter(&self, name: &str) -> Option<&Value> {
        self.params
            .as_ref()?
            .get(name)
            .filter(|value| !value.is_null())
    }

    fn node(&self) -> Result<NodeName, RpcError> {
        match self.parameter("node") {
            None => Err(RpcError::MissingNode),
            Some(Value::String(text)) => parse_node(text),
            Some(_) => Err(RpcError::NodeNotAString),
        }
    }

    fn nodes(&self) -> Result<Option<Vec<Result<NodeName, RpcError>>>, RpcError> {
        let list = match self.parameter("nodes") {
            None => return Ok(None),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(RpcError::NodesNotAList),
        };
        let names = list
            .iter()
            .map(|value| value.as_str().ok_or(RpcError::NodesNotAList));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        Ok(Some(names.into_iter().map(parse_node).collect()))
    }
}

fn parse_node(text: &str) -> Result<NodeName, RpcError> {
    NodeName::parse(text).map_err(|error| RpcError::InvalidNodeName {
        shown: shown(text),
        error,
    })
}

/// Whether a text is a UUID in its usual form (RFC 9562, section 4).
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// A version 4 UUID from random bytes (RFC 9562, section 5.4).
#[must_use]
pub fn uuid_from_random(mut bytes: [u8; 16]) -> String {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Why the validator refused a node: the reasons of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// There is a list, and the node is not on it.
    NotAllowlisted,
    /// There is no list: nothing may be read.
    NoValidationSources,
    /// The node's address is not one that may be connected to.
    AddressNotPermitted,
    /// The name is no node name.
    InvalidNodeName,
}

impl Rejection {
    /// The reason as it stands in the error text and in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAllowlisted => "node_not_allowlisted",
            Self::NoValidationSources => "no_validation_sources",
            Self::AddressNotPermitted => "address_not_permitted",
            Self::InvalidNodeName => "invalid_node_name",
        }
    }
}

/// Every error a caller can be given. Its text is part of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// The caller has no capability at all.
    #[error("unauthorized")]
    Unauthorized,
    /// The limiter refused: no token, a penalty, too many connections.
    #[error("rate limit exceeded")]
    RateLimited,
    /// No method of that name.
    #[error("unknown method")]
    UnknownMethod,
    /// The method needs `admin`.
    #[error("method requires admin capability")]
    AdminRequired,
    /// The request was longer than [`MAX_REQUEST_BYTES`].
    #[error("payload too large")]
    PayloadTooLarge,
    /// The line had nothing but blanks.
    #[error("empty request")]
    EmptyRequest,
    /// The line was no request.
    #[error("invalid request format")]
    InvalidRequest,
    /// The line did not end within `read_timeout`.
    #[error("read timeout")]
    ReadTimeout,
    /// `node` was not given.
    #[error("missing 'node' parameter")]
    MissingNode,
    /// `node` was something else than a string.
    #[error("'node' parameter must be a string")]
    NodeNotAString,
    /// `nodes` was something else than a list of strings.
    #[error("'nodes' parameter must be a list of strings")]
    NodesNotAList,
    /// The name is no node name; `shown` is fit to be shown.
    #[error("node \"{shown}\" rejected by validator ({})", Rejection::InvalidNodeName.as_str())]
    InvalidNodeName {
        /// The name, cut and escaped.
        shown: String,
        /// The rule it breaks.
        error: NameError,
    },
    /// The node may not be read.
    #[error("node \"{node}\" rejected by validator ({})", reason.as_str())]
    Rejected {
        /// The node.
        node: NodeName,
        /// Why.
        reason: Rejection,
    },
    /// The limiter refused this one node of several.
    #[error("node \"{node}\" not read: rate limit exceeded")]
    NodeRateLimited {
        /// The node.
        node: NodeName,
    },
    /// The node could not be read.
    #[error("node \"{node}\" {failure}")]
    Failed {
        /// The node.
        node: NodeName,
        /// What went wrong, as a sentence with its remedy.
        failure: String,
    },
    /// The record could not be written, so nothing was done.
    #[error("audit log unavailable")]
    RecorderUnavailable,
}

impl RpcError {
    /// The label of this outcome in metrics and records.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::RateLimited | Self::NodeRateLimited { .. } => "rate_limited",
            Self::UnknownMethod => "unknown_method",
            Self::AdminRequired => "admin_required",
            Self::PayloadTooLarge => "payload_too_large",
            Self::EmptyRequest => "empty_request",
            Self::InvalidRequest => "invalid_request",
            Self::ReadTimeout => "read_timeout",
            Self::MissingNode | Self::NodeNotAString | Self::NodesNotAList => "invalid_parameter",
            Self::InvalidNodeName { .. } => Rejection::InvalidNodeName.as_str(),
            Self::Rejected { reason, .. } => reason.as_str(),
            Self::Failed { .. } => "failed",
            Self::RecorderUnavailable => "recorder_unavailable",
        }
    }

    /// Whether the caller is penalised: the request was malformed or forbidden.
    ///
    /// A name that is merely not on the list, or a method of another version,
    /// is an honest mistake of configuration and costs a token only: a penalty
    /// would silence the rest of a poller's nodes.
    #[must_use]
    pub fn is_penalised(&self) -> bool {
        matches!(
            self,
            Self::PayloadTooLarge
                | Self::EmptyRequest
                | Self::InvalidRequest
                | Self::MissingNode
                | Self::NodeNotAString
                | Self::NodesNotAList
                | Self::InvalidNodeName { .. }
                | Self::AdminRequired
        )
    }
}

/// What goes back over the socket.
#[derive(Debug, Serialize)]
pub struct Response<T> {
    /// The request's correlation id, or a fresh one.
    pub correlation_id: String,
    /// Whether `data` is there rather than `error`.
    pub success: bool,
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<T>,
    /// The error's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One response line, its newline included.
#[must_use]
pub fn response_line<T: Serialize>(id: String, outcome: Result<T, &RpcError>) -> Vec<u8> {
    let (data, error) = match outcome {
        Ok(data) => (Some(data), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let response = Response {
        correlation_id: id,
        success: error.is_none(),
        data,
        error,
    };
    // Maps with string keys cannot fail to serialise into memory.
    let mut line = serde_json::to_vec(&response).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Result<Call, RpcError> {
        Envelope::parse(line.as_bytes())?.call()
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
            RpcError::Rejected {
                node: node.clone(),
                reason: Rejection::NotAllowlisted,
            },
            RpcError::NodeRateLimited { node },
            parse_node("a;b").unwrap_err(),
            parse_node("").unwrap_err(),
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
            pulse_concludes(&RpcError::AdminRequired.to_string()),
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
        assert_eq!(call(&deep), Err(RpcError::InvalidRequest));
        assert_eq!(
            Envelope::parse(b"{\"method\":\"\xff\"}"),
            Err(RpcError::InvalidRequest)
        );
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
            Err(RpcError::PayloadTooLarge)
        );
    }

    #[test]
    fn a_correlation_id_is_kept_only_if_it_is_a_uuid() {
        let id = uuid_from_random([0xab; 16]);
        assert_eq!(id, "abababab-abab-4bab-abab-abababababab");
        let line = format!(r#"{{"correlation_id":"{id}","method":"x"}}"#);
        assert_eq!(
            Envelope::parse(line.as_bytes()).unwrap().correlation_id,
            Some(id)
        );
        for other in ["\"x\"", "7", "null", "{}"] {
            let line = format!(r#"{{"correlation_id":{other},"method":"x"}}"#);
            assert_eq!(
                Envelope::parse(line.as_bytes()).unwrap().correlation_id,
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
}
