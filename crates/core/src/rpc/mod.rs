//! The Unix socket's protocol: one JSON object a line, in and out.
//!
//! Pulse sorts errors by their words, first match wins, and a wrong word turns
//! the whole proxy off for five minutes. So the words are made in [`RpcError`] and
//! nowhere else, and the tests hold them against Pulse's own rules: a failure that
//! concerns one node always starts with `node "<name>" `, and only the limiter
//! says `rate limit exceeded`.

mod error;

use crate::capability::Capability;
use crate::name::{NodeName, shown};
use crate::ordinal::Ordinal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashSet;

pub use error::{InvalidNodeName, RpcError, Unlisted, Violation};

/// The largest request accepted, in bytes, its newline included.
pub const MAX_REQUEST_BYTES: usize = 16_384;

/// A request line, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The caller's correlation id, if it is a UUID.
    pub correlation_id: Option<String>,
    /// Whether the connection stays open for another request (our extension).
    pub keep_alive: bool,
    /// The method; none when there is none of that name.
    pub method: Option<Method>,
    /// The method with its parameters, or what is wrong with these. It stands beside the
    /// method, because only a caller that may use the method is told about parameters.
    pub call: Result<Call, RpcError>,
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
    /// How the audit log gets to its collectors (our extension).
    GetForwarding,
    /// Has records sent to the collectors again (our extension).
    ReplayForwarding,
}

impl Method {
    /// Every method, for tables and tests.
    pub const ALL: [Self; 5] = [
        Self::GetStatus,
        Self::GetTemperature,
        Self::GetTemperatures,
        Self::GetForwarding,
        Self::ReplayForwarding,
    ];

    /// The method of this name on the wire.
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// The name on the wire, and in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GetStatus => "get_status",
            Self::GetTemperature => "get_temperature",
            Self::GetTemperatures => "get_temperatures",
            Self::GetForwarding => "get_forwarding",
            Self::ReplayForwarding => "replay_forwarding",
        }
    }

    /// What a caller must have to use it.
    #[must_use]
    pub fn needs(self) -> Capability {
        match self {
            Self::GetStatus | Self::GetTemperature | Self::GetTemperatures => Capability::Read,
            Self::GetForwarding | Self::ReplayForwarding => Capability::Admin,
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
    /// `get_temperatures`: of these nodes, each once, or of every allowed one. A name that
    /// is none keeps its place, so that its error does too.
    Temperatures(Option<Vec<Result<NodeName, InvalidNodeName>>>),
    /// `get_forwarding`.
    Forwarding,
    /// `replay_forwarding`, from the record with this number on.
    Replay(Ordinal),
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

impl Request {
    /// Parses one line, without its newline.
    ///
    /// # Errors
    /// [`Violation::EmptyRequest`], [`Violation::PayloadTooLarge`] or
    /// [`Violation::InvalidRequest`].
    pub fn parse(line: &[u8]) -> Result<Self, Violation> {
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
        let correlation_id = raw.correlation_id.as_str().filter(|id| is_uuid(id));
        let method = Method::from_name(&raw.method);
        Ok(Self {
            correlation_id: correlation_id.map(str::to_owned),
            keep_alive: raw.keep_alive,
            method,
            call: method.map_or(Err(RpcError::UnknownMethod), |method| {
                Call::of(method, &Parameters(parameters))
            }),
        })
    }
}

impl Call {
    fn of(method: Method, parameters: &Parameters) -> Result<Self, RpcError> {
        match method {
            Method::GetStatus => Ok(Self::Status),
            Method::GetTemperature => Ok(Self::Temperature(parameters.node()?)),
            Method::GetTemperatures => Ok(Self::Temperatures(parameters.nodes()?)),
            Method::GetForwarding => Ok(Self::Forwarding),
            Method::ReplayForwarding => parameters.from().map(Self::Replay),
        }
    }
}

/// A method's parameters by name; those that it does not know are ignored.
struct Parameters(Map<String, Value>);

impl Parameters {
    /// One of them; null is none.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn node(&self) -> Result<NodeName, Violation> {
        match self.get("node") {
            None => Err(Violation::MissingNode),
            Some(Value::String(text)) => Ok(parse_node(text)?),
            Some(_) => Err(Violation::NodeNotAString),
        }
    }

    fn from(&self) -> Result<Ordinal, RpcError> {
        let from = self.get("from").and_then(Value::as_u64);
        let from = from.filter(|from| *from > 0).and_then(Ordinal::new);
        from.ok_or(RpcError::NoSuchRecord)
    }

    fn nodes(&self) -> Result<Option<Vec<Result<NodeName, InvalidNodeName>>>, Violation> {
        let list = match self.get("nodes") {
            None => return Ok(None),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(Violation::NodesNotAList),
        };
        let names = list
            .iter()
            .map(|value| value.as_str().ok_or(Violation::NodesNotAList));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        // A name that is given twice, in whatever spelling, is read once and answered once:
        // twice would cost two tokens for one sample. The first spelling is answered.
        let mut seen = HashSet::new();
        let parsed = names.into_iter().map(|text| (text, parse_node(text)));
        let first = parsed.filter(|(text, node)| {
            let means = node.as_ref().map_or(*text, NodeName::canonical);
            seen.insert(means.to_owned())
        });
        Ok(Some(first.map(|(_, node)| node).collect()))
    }
}

fn parse_node(text: &str) -> Result<NodeName, InvalidNodeName> {
    NodeName::parse(text).map_err(|error| InvalidNodeName {
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
mod tests;
