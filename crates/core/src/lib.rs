//! The decisions of `pulse-sensor-proxy`, as pure functions and state machines.
//!
//! Nothing here reads a clock, opens a file or a socket, or awaits: time is an argument,
//! bytes come in, decisions go out, and drivers in the other crates carry them out. So
//! limiter, queue and parsers are tested with simulated time, and fuzzed.
//!
//! | module | decisions |
//! |---|---|
//! | [`callers::peer`] | identity and capabilities of a caller |
//! | [`callers::container`] | names of containers |
//! | [`callers::capability`] | sets of capabilities |
//! | [`callers::subid`] | subordinate ids of containers |
//! | [`callers::accept`] | connections that are answered, and excess ones that are closed unread |
//! | [`callers::connection_limits`] | connections that a caller holds open |
//! | [`callers::limiter`] | requests of a caller, and penalties |
//! | [`callers::bucket`] | token buckets |
//! | [`nodes::name`] | valid node names, and which are equal |
//! | [`nodes::address`] | addresses that no host can have |
//! | [`nodes::hosts`] | addresses of nodes, from `/etc/hosts` |
//! | [`nodes::lookup`] | the listed node that a caller means |
//! | [`nodes::known_hosts`] | trusted host keys and certificates |
//! | [`nodes::backoff`] | the delay after a failure |
//! | [`work`] | exchanges that run at a time, and for which caller |
//! | [`rpc`] | requests, responses and error texts of the callers' socket |
//! | [`config`] | the configuration file |
//! | [`descriptors`] | file descriptors that are left for callers |
//! | [`event`] | events that are recorded |
//! | [`summary`] | events that are summed up in one record |
//! | [`audit_log::retention`] | segments of the audit log that are removed |
//! | [`audit_log::growth`] | the time until the disk of the audit log is full |
//! | [`metrics::host_header`] | names that the metrics listener answers to |
//! | [`metrics::scrapers`] | connections to the metrics listener that are closed |
//! | [`trust`] | owners and modes of trusted files |
//! | [`pin`] | pins of collectors' public keys |
//! | [`nearest`] | the known word that a wrong one was meant to be |
//! | [`causes`] | an error with its causes, in one line |
//! | [`ordinal`] | numbers of records and messages |
//! | [`state_format`] | formats of state files |

pub mod audit_log;
pub mod callers;
pub mod causes;
pub mod config;
pub mod descriptors;
pub mod event;
pub mod metrics;
pub mod nearest;
pub mod nodes;
pub mod ordinal;
pub mod pin;
pub mod rpc;
pub mod state_format;
pub mod summary;
pub mod trust;
pub mod work;
