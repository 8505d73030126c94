//! Every decision of `pulse-sensor-proxy`, as pure functions and state machines.
//!
//! Nothing here reads a clock, opens a file or a socket, or awaits: time is an
//! argument, bytes come in, decisions go out. The drivers in the other crates
//! only carry them out. That is what makes the limiter, the command parser and
//! the readers testable in microseconds, and fuzzable.
//!
//! | module | decides |
//! |---|---|
//! | [`name`] | which texts are node names, and which of them mean one node |
//! | [`address`] | which addresses no host can have |
//! | [`known_hosts`] | which host keys are trusted |
//! | [`hosts`] | where a node is |
//! | [`subid`] | whose containers an ID belongs to |
//! | [`capability`] | what a caller may do |
//! | [`peer`] | who a caller is |
//! | [`accept`] | how often a user may connect |
//! | [`connection_limits`] | how many connections a caller may hold open |
//! | [`limiter`] | how often a caller may ask |
//! | [`work`] | how many exchanges run at a time, and for whom |
//! | [`rpc`] | the socket's protocol and its words |
//! | [`authority`] | which names the metrics listener answers to |
//! | [`scrapers`] | which connection to it gives way |
//! | [`trust`] | which files may decide anything |
//! | [`event`] | what is put on record |
//! | [`summary`] | what is summed up on record |
//! | [`bucket`] | when there is a token |
//! | [`retention`] | which segment of the audit log may be removed |
//! | [`growth`] | when the audit log fills its disk |
//! | [`backoff`] | when to try a failed node again |
//! | [`causes`] | an error and what caused it, on one line |
//! | [`ordinal`] | how large a number may be that is counted on from |
//! | [`pin`] | which public key a collector has to have |
//! | [`config`] | what the operator's file says |

pub mod accept;
pub mod address;
pub mod authority;
pub mod backoff;
pub mod bucket;
pub mod capability;
pub mod causes;
pub mod config;
pub mod connection_limits;
pub mod event;
pub mod growth;
pub mod hosts;
pub mod known_hosts;
pub mod limiter;
pub mod name;
pub mod ordinal;
pub mod peer;
pub mod pin;
pub mod retention;
pub mod rpc;
pub mod scrapers;
pub mod subid;
pub mod summary;
pub mod trust;
pub mod work;
