//! The types of events, and their names.

/// The `event_type` of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// The daemon serves.
    ProxyStart,
    /// The daemon ends.
    ProxyStop,
    /// The daemon has confined itself, as far as the kernel could.
    Confinement,
    /// The configuration was read again.
    ConfigReloaded,
    /// A caller was let in.
    ConnectionAccepted,
    /// A caller without any capability was turned away.
    ConnectionDenied,
    /// The limiter refused a caller.
    LimiterRejection,
    /// A node is about to be asked.
    CommandStart,
    /// The outcome of a request to a node.
    CommandFinish,
    /// A request was malformed, forbidden, or for a node that is not listed.
    ValidationFailed,
    /// A node showed a host key that is not accepted.
    HostKeyMismatch,
    /// A node's address is not one that may be connected to.
    EgressDenied,
    /// An operator has accepted that records are lost to a collector.
    ForwardingLossAccepted,
    /// On a node, the daemon's key has no forced command.
    ForcedCommandMissing,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 14] = [
        Self::ProxyStart,
        Self::ProxyStop,
        Self::Confinement,
        Self::ConfigReloaded,
        Self::ConnectionAccepted,
        Self::ConnectionDenied,
        Self::LimiterRejection,
        Self::CommandStart,
        Self::CommandFinish,
        Self::ValidationFailed,
        Self::HostKeyMismatch,
        Self::EgressDenied,
        Self::ForwardingLossAccepted,
        Self::ForcedCommandMissing,
    ];

    /// The type with this name on record.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }

    /// The name on record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProxyStart => "proxy.start",
            Self::ProxyStop => "proxy.stop",
            Self::Confinement => "confinement",
            Self::ConfigReloaded => "config.reloaded",
            Self::ConnectionAccepted => "connection.accepted",
            Self::ConnectionDenied => "connection.denied",
            Self::LimiterRejection => "limiter.rejection",
            Self::CommandStart => "command.start",
            Self::CommandFinish => "command.finish",
            Self::ValidationFailed => "command.validation_failed",
            Self::HostKeyMismatch => "hostkey.mismatch",
            Self::EgressDenied => "egress.denied",
            Self::ForwardingLossAccepted => "forwarding.loss_accepted",
            Self::ForcedCommandMissing => "forced_command.missing",
        }
    }
}
