//! One line: marker, hosts, key type, key; and the mistakes in it.

use super::key;
use super::pattern::HostPatterns;

const AUTHORITY_MARKER: &[u8] = b"@cert-authority";
const REVOKED_MARKER: &[u8] = b"@revoked";

/// A line with a key.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) role: Role,
    pub(super) hosts: HostPatterns,
    pub(super) key_type: String,
    pub(super) blob: Vec<u8>,
}

/// The meaning of a line's key for its hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The host's own key.
    HostKey,
    /// The key that signs the host's certificates.
    Authority,
    /// A key that must never be accepted as either.
    Revoked,
}

/// A line that is ignored because of a mistake in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {error}")]
pub struct BadLine {
    /// The line's number, from 1.
    pub line: usize,
    /// The mistake.
    pub error: LineError,
    /// The line has the marker `@revoked`. Ignoring it accepts a key that was to be refused,
    /// so this deserves an alarm.
    pub revocation: bool,
}

/// The mistake in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LineError {
    /// A word with `@` that is no marker, or two markers.
    #[error("a line has at most one marker, @cert-authority or @revoked")]
    BadMarker,
    /// Hosts that cannot match anything.
    #[error("the hosts are not a comma-separated list of names, addresses and patterns")]
    BadPattern,
    /// Not `|1|salt|hash`.
    #[error("the hashed host name is damaged; hash it again with ssh-keygen -H")]
    BadHash,
    /// The line ends before the key.
    #[error("the line ends before its key")]
    MissingKey,
    /// The key is not base64.
    #[error("the key is not valid base64; copy the whole key again")]
    KeyNotBase64,
    /// The decoded bytes are not a key.
    #[error("the key is truncated or damaged; copy the whole key again")]
    KeyMalformed,
    /// The line and the key name different key types.
    #[error("the key is not of the type that the line names")]
    KeyTypeMismatch,
    /// A certificate instead of a key.
    #[error("this is a certificate; pin its authority's key with @cert-authority instead")]
    Certificate,
}

impl Line {
    /// Parses a line, with or without its newline; `None` for comments and empty lines.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, LineError> {
        let mut fields = fields(bytes);
        let (role, hosts) = match fields.next() {
            None => return Ok(None),
            Some(field) if field.starts_with(b"#") => return Ok(None),
            Some(AUTHORITY_MARKER) => (Role::Authority, fields.next()),
            Some(REVOKED_MARKER) => (Role::Revoked, fields.next()),
            hosts => (Role::HostKey, hosts),
        };
        let hosts = hosts.ok_or(LineError::MissingKey)?;
        // An unknown marker, or a second one.
        if hosts.starts_with(b"@") {
            return Err(LineError::BadMarker);
        }
        let hosts = HostPatterns::parse(hosts)?;
        let key_type = fields.next().ok_or(LineError::MissingKey)?;
        // Whatever follows the key is a comment.
        let (key_type, blob) = key::decode(key_type, fields.next().ok_or(LineError::MissingKey)?)?;
        Ok(Some(Self {
            role,
            hosts,
            key_type,
            blob,
        }))
    }
}

impl BadLine {
    pub(super) fn new(line: usize, error: LineError, bytes: &[u8]) -> Self {
        Self {
            line,
            error,
            revocation: fields(bytes).next() == Some(REVOKED_MARKER),
        }
    }
}

/// Words between blanks. A carriage return is a blank, for files from other systems.
fn fields(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        .filter(|field| !field.is_empty())
}
