//! The labels of metrics. All are bounded.

use prometheus_client::encoding::EncodeLabelSet;
use pulse_core::nodes::name::NodeName;
use pulse_sensors::document::Answering;

/// `method` and `result` of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RpcLabels {
    pub(super) method: &'static str,
    pub(super) result: &'static str,
}

/// `version` of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BuildLabel {
    pub(super) version: &'static str,
}

/// `method` of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct MethodLabel {
    pub(super) method: &'static str,
}

/// `node` and `result` of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ExchangeLabels {
    pub(super) node: String,
    pub(super) result: &'static str,
}

/// `node`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct NodeLabel {
    pub(super) node: String,
}

/// `reason` of a refusal and the `peer` that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RefusalLabels {
    pub(super) reason: &'static str,
    pub(super) peer: String,
}

/// `file`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FileLabel {
    pub(super) file: &'static str,
}

/// `reason`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    pub(super) reason: &'static str,
}

/// `node` and the `state` of its chips.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StateLabels {
    pub(super) node: String,
    pub(super) state: &'static str,
}

impl StateLabels {
    pub(super) fn of(node: &NodeName, answering: Answering) -> Self {
        Self {
            node: node.to_string(),
            state: answering.as_str(),
        }
    }
}
