//! The end of an SSH connection, as the library tells it to the handler.
//!
//! The library's other errors do not have the cause: requests over a connection that has ended
//! fail with "send error", and a login is answered as if the node had refused it without naming
//! a method. Only the handler learns whether the node said so.

use super::failure::{NodeFailure, harmless};
use russh::Disconnect;
use russh::client::{DisconnectReason, RemoteDisconnectInfo};
use std::sync::{Arc, Mutex, PoisonError};

/// The cause of a connection's end.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// The node does not let this client log in.
    Refused,
    /// Anything else.
    Broken(NodeFailure),
}

impl Ending {
    fn of(reason: DisconnectReason<russh::Error>) -> Self {
        match reason {
            // The node's answer to the login names no method, or none that the library knows.
            DisconnectReason::Error(russh::Error::NoAuthMethod) => Self::Refused,
            DisconnectReason::Error(error) => Self::Broken(error.into()),
            DisconnectReason::ReceivedDisconnect(message) if is_refusal(&message) => Self::Refused,
            DisconnectReason::ReceivedDisconnect(message) => {
                let text = format!("it disconnected, \"{}\"", harmless(&message.message));
                Self::Broken(NodeFailure::Ssh(text))
            }
        }
    }
}

/// True if the node refuses the login by a message of RFC 4253, section 11.1, instead of
/// answering the request.
fn is_refusal(message: &RemoteDisconnectInfo) -> bool {
    match message.reason_code {
        Disconnect::HostNotAllowedToConnect
        | Disconnect::NoMoreAuthMethodsAvailable
        | Disconnect::IllegalUserName => true,
        // OpenSSH's sshd has one code for all messages. It says this where MaxAuthTries permits
        // one attempt.
        Disconnect::ProtocolError => message
            .message
            .starts_with("Too many authentication failures"),
        _ => false,
    }
}

/// The ending of a connection; shared by the handler and the connection.
#[derive(Clone, Default)]
pub(super) struct SharedEnding(Arc<Mutex<Option<Ending>>>);

impl SharedEnding {
    pub(super) fn set(&self, reason: DisconnectReason<russh::Error>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Ending::of(reason));
    }

    /// `None` while the connection is open.
    pub(super) fn get(&self) -> Option<Ending> {
        let ending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ending.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disconnected(reason_code: Disconnect, message: &str) -> Ending {
        Ending::of(DisconnectReason::ReceivedDisconnect(RemoteDisconnectInfo {
            reason_code,
            message: message.to_owned(),
            lang_tag: String::new(),
        }))
    }

    #[test]
    fn only_spoken_refusals_count() {
        let too_many = "Too many authentication failures";
        for refusal in [
            Ending::of(DisconnectReason::Error(russh::Error::NoAuthMethod)),
            disconnected(Disconnect::ProtocolError, too_many),
            disconnected(Disconnect::NoMoreAuthMethodsAvailable, ""),
        ] {
            assert!(matches!(refusal, Ending::Refused), "{refusal:?}");
        }
        for broken in [
            Ending::of(DisconnectReason::Error(russh::Error::Disconnect)),
            disconnected(Disconnect::ByApplication, too_many),
            disconnected(Disconnect::ProtocolError, "Packet corrupt"),
        ] {
            assert!(matches!(broken, Ending::Broken(_)), "{broken:?}");
        }
    }

    #[test]
    fn nodes_text_is_escaped() {
        let ending = disconnected(Disconnect::ByApplication, "bye\n\u{1b}[2J");
        let Ending::Broken(failure) = ending else {
            panic!("{ending:?}");
        };
        let text = failure.to_string();
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}
