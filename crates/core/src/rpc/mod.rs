//! The protocol of the callers' socket: one JSON object per line in each direction.
//!
//! Pulse classifies errors by substrings of their text, first match wins, and a wrong
//! text disables the whole proxy for five minutes. So [`RpcError`] alone makes these
//! texts, and tests check them against Pulse's rules: an error of one node starts with
//! `node "<name>" `, and only the limiter says `rate limit exceeded`.

mod error;

use crate::callers::capability::Capability;
use crate::nodes::name::{NodeName, shown};
use crate::ordinal::Ordinal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::time::Duration;

pub use error::{InvalidNodeName, RpcError, ServiceRefusal, Unlisted, Violation};

/// The largest request accepted, in bytes, its newline included.
pub const MAX_REQUEST_BYTES: usize = 16_384;

/// A request line, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The caller's correlation id, if it is a UUID.
    pub correlation_id: Option<String>,
    /// The connection stays open for another request (an extension of ours).
    pub keep_alive: bool,
    /// The method and its parameters; `None` for a method that does not exist.
    pub call: Option<Call>,
}

/// A method with its parameters.
///
/// An invalid parameter is part of the call and not an error of [`Request::parse`]: the
/// method's capability is checked first, and a caller that lacks it is told nothing
/// about parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// `get_status`.
    GetStatus,
    /// `get_temperature` of one node.
    GetTemperature(Result<NodeName, Violation>),
    /// `get_temperatures` of several nodes.
    GetTemperatures(Result<Sweep, Violation>),
    /// `register_nodes`.
    RegisterNodes,
    /// `get_health`.
    GetHealth,
    /// `get_forwarding`.
    GetForwarding,
    /// `replay_forwarding` from the record with this number on; `None` when `from` is
    /// not a number that a record can have.
    ReplayForwarding(Option<Ordinal>),
    /// `accept_forwarding_loss` of the records up to this one; `None` when `through` is not a
    /// number that a record can have.
    AcceptForwardingLoss(Option<Ordinal>),
    /// `accept_loss`.
    AcceptLoss,
}

/// A reading of several nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// The nodes.
    pub nodes: NodeSelection,
    /// The longest wait for the slowest of them, if the caller has named one.
    pub wait: Option<Duration>,
    /// The time of the next attempt on nodes that failed.
    pub retry: Retry,
}

/// The time of the next attempt on a node that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// At the end of its delay.
    #[default]
    WhenDue,
    /// Now, if the [`Penalties`](crate::nodes::backoff::Penalties) permit it.
    Now,
}

/// The nodes of `get_temperatures`.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeSelection {
    /// Every node of `allowed_nodes`.
    All,
    /// These nodes, each once. An invalid name keeps its position, because the reply has
    /// its error there.
    Listed(Vec<Result<NodeName, InvalidNodeName>>),
}

/// The methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Version, public key and the caller's capabilities.
    GetStatus,
    /// One node's temperatures, as a string that contains JSON.
    GetTemperature,
    /// Many nodes' temperatures, each with its age or its error.
    GetTemperatures,
    /// Every node, and the outcome of its last reading. Pulse's diagnostics ask for it.
    RegisterNodes,
    /// The state of the nodes and, for administrators, of the daemon (an extension of ours).
    GetHealth,
    /// The state of forwarding (an extension of ours).
    GetForwarding,
    /// Sends records to the collectors again (an extension of ours).
    ReplayForwarding,
    /// No longer shows records as lost (an extension of ours).
    AcceptForwardingLoss,
    /// Continues an audit log that stopped because another program changed its files (an
    /// extension of ours).
    AcceptLoss,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 9] = [
        Self::GetStatus,
        Self::GetTemperature,
        Self::GetTemperatures,
        Self::RegisterNodes,
        Self::GetHealth,
        Self::GetForwarding,
        Self::ReplayForwarding,
        Self::AcceptForwardingLoss,
        Self::AcceptLoss,
    ];

    /// The name on the wire, and in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GetStatus => "get_status",
            Self::GetTemperature => "get_temperature",
            Self::GetTemperatures => "get_temperatures",
            Self::RegisterNodes => "register_nodes",
            Self::GetHealth => "get_health",
            Self::GetForwarding => "get_forwarding",
            Self::ReplayForwarding => "replay_forwarding",
            Self::AcceptForwardingLoss => "accept_forwarding_loss",
            Self::AcceptLoss => "accept_loss",
        }
    }

    /// The capability that the method requires. [`Call::needs`] knows its parameters too.
    #[must_use]
    pub fn needs(self) -> Capability {
        match self {
            Self::GetStatus
            | Self::GetTemperature
            | Self::GetTemperatures
            | Self::RegisterNodes
            | Self::GetHealth => Capability::Read,
            Self::GetForwarding
            | Self::ReplayForwarding
            | Self::AcceptForwardingLoss
            | Self::AcceptLoss => Capability::Admin,
        }
    }
}

#[derive(Deserialize)]
struct RawRequest {
    // Of any type: a request works without it, so a wrong one is no reason to refuse.
    #[serde(default)]
    correlation_id: Value,
    #[serde(default)]
    keep_alive: bool,
    method: String,
    #[serde(default)]
    params: Option<Value>,
}

impl Request {
    /// The one node that the request names, as it may be shown.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        match self.call.as_ref()? {
            Call::GetTemperature(Ok(node)) => Some(node.as_written()),
            Call::GetTemperature(Err(Violation::InvalidNodeName(invalid))) => Some(&invalid.shown),
            _ => None,
        }
    }

    /// Parses one line, without its newline.
    ///
    /// # Errors
    /// [`Violation::EmptyRequest`], [`Violation::PayloadTooLarge`] or
    /// [`Violation::InvalidRequest`].
    pub fn parse(line: &[u8]) -> Result<Self, Violation> {
        // The newline, which the limit includes, is already removed.
        if line.len() >= MAX_REQUEST_BYTES {
            return Err(Violation::PayloadTooLarge);
        }
        if line.trim_ascii().is_empty() {
            return Err(Violation::EmptyRequest);
        }
        let raw: RawRequest =
            serde_json::from_slice(line).map_err(|_| Violation::InvalidRequest)?;
        let parameters = match raw.params {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(parameters)) => parameters,
            Some(_) => return Err(Violation::InvalidRequest),
        };
        // It goes into records, so any other text is replaced by an id of ours, as if absent.
        let correlation_id = raw.correlation_id.as_str().filter(|id| is_uuid(id));
        Ok(Self {
            correlation_id: correlation_id.map(str::to_owned),
            keep_alive: raw.keep_alive,
            call: Call::with_parameters(&raw.method, &Parameters(parameters)),
        })
    }
}

impl Call {
    fn with_parameters(method: &str, parameters: &Parameters) -> Option<Self> {
        let method = Method::ALL
            .into_iter()
            .find(|known| known.as_str() == method)?;
        Some(match method {
            Method::GetStatus => Self::GetStatus,
            Method::GetTemperature => Self::GetTemperature(parameters.node()),
            Method::GetTemperatures => Self::GetTemperatures(parameters.sweep()),
            Method::RegisterNodes => Self::RegisterNodes,
            Method::GetHealth => Self::GetHealth,
            Method::GetForwarding => Self::GetForwarding,
            Method::ReplayForwarding => Self::ReplayForwarding(parameters.record("from")),
            Method::AcceptForwardingLoss => {
                Self::AcceptForwardingLoss(parameters.record("through"))
            }
            Method::AcceptLoss => Self::AcceptLoss,
        })
    }

    /// The capability that the call requires: its method's, or more because of a parameter.
    #[must_use]
    pub fn needs(&self) -> Capability {
        match self {
            Self::GetTemperatures(Ok(Sweep {
                retry: Retry::Now, ..
            })) => Capability::Admin,
            _ => self.method().needs(),
        }
    }

    /// The method alone.
    #[must_use]
    pub fn method(&self) -> Method {
        match self {
            Self::GetStatus => Method::GetStatus,
            Self::GetTemperature(_) => Method::GetTemperature,
            Self::GetTemperatures(_) => Method::GetTemperatures,
            Self::RegisterNodes => Method::RegisterNodes,
            Self::GetHealth => Method::GetHealth,
            Self::GetForwarding => Method::GetForwarding,
            Self::ReplayForwarding(_) => Method::ReplayForwarding,
            Self::AcceptForwardingLoss(_) => Method::AcceptForwardingLoss,
            Self::AcceptLoss => Method::AcceptLoss,
        }
    }
}

/// A request's parameters by name; unknown ones are ignored.
struct Parameters(Map<String, Value>);

impl Parameters {
    /// One of them; null is the same as absent.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// The number of a record; records are numbered from 1.
    fn record(&self, name: &str) -> Option<Ordinal> {
        let number = self.get(name).and_then(Value::as_u64)?;
        Ordinal::new(number).filter(|number| number.get() > 0)
    }

    fn node(&self) -> Result<NodeName, Violation> {
        match self.get("node") {
            None => Err(Violation::MissingNode),
            Some(Value::String(text)) => Ok(parse_node(text)?),
            Some(_) => Err(Violation::NodeNotAString),
        }
    }

    fn sweep(&self) -> Result<Sweep, Violation> {
        let milliseconds = |value: &Value| value.as_u64().ok_or(Violation::WaitNotANumber);
        Ok(Sweep {
            nodes: self.nodes()?,
            retry: match self.get("retry") {
                None | Some(Value::Bool(false)) => Retry::WhenDue,
                Some(Value::Bool(true)) => Retry::Now,
                Some(_) => return Err(Violation::RetryNotABoolean),
            },
            wait: self
                .get("wait_ms")
                .map(|value| milliseconds(value).map(Duration::from_millis))
                .transpose()?,
        })
    }

    fn nodes(&self) -> Result<NodeSelection, Violation> {
        let list = match self.get("nodes") {
            None => return Ok(NodeSelection::All),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(Violation::NodesNotAList),
        };
        let names: Result<Vec<&str>, _> = list
            .iter()
            .map(|value| value.as_str().ok_or(Violation::NodesNotAList))
            .collect();
        // A node that is listed twice, in whatever spelling, is read once and has one entry
        // in the reply, under its first spelling: a second entry would cost a second token
        // for the same sample.
        let mut seen = HashSet::new();
        let first = names?
            .into_iter()
            .map(|text| (text, parse_node(text)))
            .filter(|(text, node)| {
                // An invalid name is its own key, so that it has one error.
                seen.insert(node.as_ref().map_or(*text, NodeName::canonical).to_owned())
            });
        Ok(NodeSelection::Listed(first.map(|(_, node)| node).collect()))
    }
}

fn parse_node(text: &str) -> Result<NodeName, InvalidNodeName> {
    NodeName::parse(text).map_err(|error| InvalidNodeName {
        shown: shown(text),
        error,
    })
}

/// True for a UUID in its usual form (RFC 9562, section 4).
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
    // The version, 4, and the variant: sections 4.2 and 4.1.
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

/// Whole milliseconds, rounded up: a caller that waits so long is not refused again.
#[must_use]
pub fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[derive(Serialize)]
struct Response<T> {
    correlation_id: String,
    success: bool,
    #[serde(flatten)]
    outcome: Outcome<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_in_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<T> {
    Data(T),
    Error(String),
}

/// One response line, its newline included: `data` on success, else `error`, with `detail` for
/// people. The error's own text is fixed by the protocol, so it has no room for a cause or a time.
#[must_use]
pub fn response_line<T: Serialize>(
    correlation_id: String,
    outcome: Result<T, &RpcError>,
    detail: Option<String>,
) -> Vec<u8> {
    let response = Response {
        correlation_id,
        success: outcome.is_ok(),
        retry_in_ms: outcome
            .as_ref()
            .err()
            .and_then(|error| error.retry_in())
            .map(whole_ms),
        detail,
        outcome: match outcome {
            Ok(data) => Outcome::Data(data),
            Err(error) => Outcome::Error(error.to_string()),
        },
    };
    // Maps with string keys cannot fail to serialise into memory.
    let mut line = serde_json::to_vec(&response).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
