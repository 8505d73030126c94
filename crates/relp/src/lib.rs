//! Records on their way to a collector: RELP, and syslog over TLS.
//!
//! RELP (the Reliable Event Logging Protocol, as librelp 1.11 speaks it) has every
//! message acknowledged, so that a sender knows what to send again. Where a collector
//! has no RELP, messages go as RFC 5425 frames them, and nobody says what arrived.
//!
//! But for the driver everything is bytes in and bytes out: no socket, no clock, no task.
//! What a peer sends is bounded and judged before it is believed; a session that was lied to ends
//! with an error that says how, and whoever drives it connects again.
//!
//! | module | is about |
//! |---|---|
//! | [`frame`] | RELP's frames, read piece by piece |
//! | [`session`] | the sender: a window of messages and their acknowledgements |
//! | [`counted`] | the sender where nobody acknowledges |
//! | [`collector`] | the other side, for tests |
//! | [`message`] | RFC 5424 messages, RFC 5425 octet counting |
//! | [`certificate`] | from when and until when a certificate is good |
//! | [`identity`] | certificates, and whom we take for the collector |
//! | [`hybrid`] | a key exchange for after quantum computers |
//! | [`link`] | a session on a TLS connection: the thin driver |

#[cfg(feature = "driver")]
pub mod certificate;
pub mod collector;
pub mod counted;
pub mod frame;
#[cfg(feature = "driver")]
pub mod hybrid;
#[cfg(feature = "driver")]
pub mod identity;
#[cfg(feature = "driver")]
pub mod link;
pub mod message;
pub mod session;
#[cfg(feature = "driver")]
mod tcp;
