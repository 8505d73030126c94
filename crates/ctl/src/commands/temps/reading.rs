//! The data of `get_temperatures`, parsed.

use crate::client::milliseconds;
use pulse_sensors::document::{self, Document};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::time::Duration;

/// One node's part of the data.
#[derive(Debug, PartialEq)]
pub(super) struct NodeReading {
    /// The node, as the daemon shows it.
    pub(super) node: String,
    /// Its sample, or the text of its error.
    pub(super) outcome: Result<Sample, String>,
    /// True if the daemon is still reading it.
    pub(super) is_pending: bool,
    /// The time after which the limiter lets the caller read it.
    pub(super) retry_in: Option<Duration>,
}

/// A node's temperatures.
#[derive(Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) document: Document,
    /// Its age.
    pub(super) age: Duration,
}

type Members = BTreeMap<String, Box<RawValue>>;

/// The list of nodes, as the daemon sent it and parsed, in the daemon's order.
///
/// # Errors
/// What is not as the protocol says.
pub(super) fn parse(data: &RawValue) -> Result<(Box<RawValue>, Vec<NodeReading>), &'static str> {
    let mut data: Members = serde_json::from_str(data.get()).map_err(|_| "no object")?;
    let raw = data.remove("nodes").ok_or("\"nodes\" is missing")?;
    let nodes: Vec<Members> =
        serde_json::from_str(raw.get()).map_err(|_| "\"nodes\" is no list of objects")?;
    let mut readings = Vec::with_capacity(nodes.len());
    for members in &nodes {
        let node = text(members, "node").ok_or("a node without its name")?;
        let outcome = match members.get("temperature") {
            // A document that cannot be read is this node's error: the other nodes are shown.
            Some(document) => match document::read(document.get().as_bytes()) {
                Ok(reading) => {
                    let age = members.get("age_ms");
                    let age = age.and_then(|age| serde_json::from_str(age.get()).ok());
                    Ok(Sample {
                        document: reading.document,
                        age: Duration::from_millis(age.unwrap_or(0)),
                    })
                }
                Err(error) => Err(error.to_string()),
            },
            None => Err(text(members, "error").ok_or("a node without temperature or error")?),
        };
        let pending = members.get("pending");
        readings.push(NodeReading {
            node,
            retry_in: members.get("retry_in_ms").and_then(|ms| milliseconds(ms)),
            is_pending: outcome.is_err() && pending.is_some_and(|value| value.get() == "true"),
            outcome,
        });
    }
    Ok((raw, readings))
}

fn text(members: &Members, name: &str) -> Option<String> {
    serde_json::from_str(members.get(name)?.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<NodeReading>, &'static str> {
        let data = RawValue::from_string(text.to_owned()).unwrap();
        parse(&data).map(|(_, nodes)| nodes)
    }

    #[test]
    fn a_node_has_a_sample_or_an_error() {
        let text = r#"{"nodes":[
            {"node":"b","temperature":{"sensors":{"z-isa-0":{"t":{"temp1_input":41.5}}},"smart":[]},"age_ms":250},
            {"node":"a","error":"node \"a\" did not answer in time"},
            {"node":"c","pending":true,"error":"node \"c\" is still being read"},
            {"node":"d","error":"node \"d\" not read: rate limit exceeded","retry_in_ms":1500}]}"#;
        let nodes = parsed(text).unwrap();
        let sample = nodes[0].outcome.as_ref().unwrap();
        assert_eq!(sample.age, Duration::from_millis(250));
        assert_eq!(sample.document.chips[0].features[0].input(), Some(41.5));
        assert_eq!(
            nodes[1].outcome.as_ref().unwrap_err(),
            "node \"a\" did not answer in time"
        );
        let pending: Vec<bool> = nodes.iter().map(|node| node.is_pending).collect();
        assert_eq!(pending, [false, false, true, false]);
        assert_eq!(nodes[3].retry_in, Some(Duration::from_millis(1500)));
        assert_eq!(parsed("{\"nodes\":[]}"), Ok(vec![]));
    }

    #[test]
    fn data_of_another_shape_is_named() {
        for (text, problem) in [
            ("null", "no object"),
            ("{}", "\"nodes\" is missing"),
            ("{\"nodes\":{}}", "\"nodes\" is no list of objects"),
            ("{\"nodes\":[{}]}", "a node without its name"),
            (
                "{\"nodes\":[{\"node\":\"a\"}]}",
                "a node without temperature or error",
            ),
        ] {
            assert_eq!(parsed(text), Err(problem), "{text}");
        }
    }
}
