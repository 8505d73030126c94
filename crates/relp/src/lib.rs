//! RELP and syslog over TLS, for a sender of log records.
//!
//! In RELP (the Reliable Event Logging Protocol, as librelp 1.11 implements it) the
//! collector acknowledges each message, so the sender knows what to send again. For
//! collectors without RELP there is syslog over TLS (RFC 5425), which has no
//! acknowledgements.
//!
//! The protocols are sans-IO: bytes in, bytes out, no socket, clock or task. Only
//! [`connection`] does I/O. What a peer sends is bounded in size and checked before it is
//! used; a session whose peer breaks the protocol ends with an error that says how, and
//! the caller connects again.
//!
//! | module | contents |
//! |---|---|
//! | [`frame`] | RELP frames, decoded incrementally |
//! | [`session`] | the RELP sender: a window of messages and their acknowledgements |
//! | `syslog_tls` | the sender of syslog over TLS |
//! | [`collector`] | the RELP receiver, for tests |
//! | [`message`] | RFC 5424 messages, RFC 5425 octet counting |
//! | [`certificate`] | the validity period of a certificate |
//! | [`identity`] | the client certificate, and verification of the collector's |
//! | [`hybrid`] | the post-quantum key exchange X25519MLKEM768 |
//! | [`connection`] | a session on a TLS connection: the driver |

#[cfg(feature = "driver")]
pub mod certificate;
pub mod collector;
#[cfg(feature = "driver")]
pub mod connection;
pub mod frame;
#[cfg(feature = "driver")]
pub mod hybrid;
#[cfg(feature = "driver")]
pub mod identity;
pub mod message;
pub mod session;
#[cfg(feature = "driver")]
mod syslog_tls;
#[cfg(feature = "driver")]
mod tcp;
