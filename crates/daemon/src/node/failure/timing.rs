//! Connections that cannot be made, and deadlines that pass: the stage and the system's error decide
//! which part of the network or of the node an operator has to look at.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The stage of a reading. The text follows `did not answer in time: `.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stage {
    /// It has not begun.
    #[default]
    #[error("the reading has not begun, because others still run: ask again later")]
    Queued,
    /// A connection was asked for, and nothing came back.
    #[error(
        "no answer from {0}: a firewall drops the packets, the node is down, or no IPAddressAllow= of the unit has the address"
    )]
    Connecting(SocketAddr),
    /// There is a connection, and no login yet.
    #[error(
        "{0} accepts connections, but its SSH server does not complete the login: check that the port is sshd's, and the load of the node"
    )]
    LoggingIn(SocketAddr),
    /// The command runs.
    #[error(
        "logged in at {0}, but the sensor command does not finish: run it on the node as the same user, or raise request_timeout if it is slow"
    )]
    Reading(SocketAddr),
}

/// The stage of a node's reading; shared by its task, which sets it, and those who wait.
#[derive(Clone, Default)]
pub(crate) struct SharedStage(Arc<Mutex<Stage>>);

impl SharedStage {
    pub(crate) fn set(&self, stage: Stage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    pub(crate) fn get(&self) -> Stage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reason that connect(2) failed. The text follows `cannot be reached at <address>: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectError {
    /// ECONNREFUSED: a reset, or an ICMP message that the port is unreachable.
    #[error(
        "connection refused: nothing listens there, or a firewall rejects it: check that sshd runs (\"systemctl status ssh\") and that the port is right"
    )]
    Refused,
    /// EHOSTUNREACH: no answer to ARP or neighbour discovery, or an ICMP message.
    #[error(
        "no route to host: the node is down or not in this network, or a firewall rejects it, here (\"nft list ruleset\") or on the path"
    )]
    NoRouteToHost,
    /// ENETUNREACH.
    #[error(
        "network is unreachable: this host has no route to it: check \"ip route get {0}\", and for IPv6 that this host has an IPv6 address"
    )]
    NoRouteToNetwork(std::net::IpAddr),
    /// EADDRNOTAVAIL or EAFNOSUPPORT.
    #[error(
        "this host has no address of that family: enable IPv6 here, or give the node's IPv4 address in nodes.d or allowed_nodes"
    )]
    NoSourceAddress,
    /// EACCES: Landlock permits the SSH ports that were configured at the start.
    #[error(
        "permission denied: restart the daemon if this SSH port was configured after the start; else a security module or a \"prohibit\" route of this host refuses it"
    )]
    Denied,
    /// EPERM: no packet was sent.
    #[error(
        "operation not permitted: a packet filter or BPF program of this host refuses it: check \"nft list ruleset\" and the unit's drop-ins"
    )]
    NotPermitted,
    /// Any other error of the system.
    #[error("{0}")]
    Other(String),
}

impl ConnectError {
    /// The reason of an error of connect(2); `None` for ETIMEDOUT, which is no answer.
    pub(crate) fn of(error: &io::Error, address: SocketAddr) -> Option<Self> {
        use nix::errno::Errno;
        let Some(number) = error.raw_os_error() else {
            return Some(Self::Other(error.to_string()));
        };
        Some(match Errno::from_raw(number) {
            Errno::ETIMEDOUT => return None,
            Errno::ECONNREFUSED => Self::Refused,
            Errno::EHOSTUNREACH => Self::NoRouteToHost,
            Errno::ENETUNREACH => Self::NoRouteToNetwork(address.ip()),
            Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT => Self::NoSourceAddress,
            Errno::EACCES => Self::Denied,
            Errno::EPERM => Self::NotPermitted,
            _ => Self::Other(error.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn errors_are_told_apart() {
        let address = "[2001:db8::7]:22".parse().unwrap();
        for (number, words) in [
            (Errno::ECONNREFUSED, Some("sshd runs")),
            (Errno::EHOSTUNREACH, Some("nft list ruleset")),
            (Errno::ENETUNREACH, Some("ip route get 2001:db8::7")),
            (
                Errno::EAFNOSUPPORT,
                Some("IPv4 address in nodes.d or allowed_nodes"),
            ),
            (Errno::EACCES, Some("restart the daemon")),
            (Errno::EPERM, Some("packet filter")),
            (Errno::EINVAL, Some("Invalid argument")),
            (Errno::ETIMEDOUT, None),
        ] {
            let error = io::Error::from_raw_os_error(number as i32);
            let found = ConnectError::of(&error, address).map(|error| error.to_string());
            match words {
                Some(words) => assert!(found.is_some_and(|f| f.contains(words)), "{words}"),
                None => assert_eq!(found, None),
            }
        }
    }
}
