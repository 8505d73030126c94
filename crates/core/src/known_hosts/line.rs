//! One line: marker, hosts, key type, key; and what can be wrong with it.

use super::pattern::HostPatterns;
use super::{MAX_BYTES, MAX_LINES, key};

const AUTHORITY_MARKER: &[u8] = b"@cert-authority";
const REVOKED_MARKER: &[u8] = b"@revoked";

/// A line that says something.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) role: Role,
    pub(super) hosts: HostPatterns,
    pub(super) key_type: String,
    pub(super) blob: Vec<u8>,
}

/// What a line's key is to its hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The host's own key.
    HostKey,
    /// The key that signs the host's certificates.
    Authority,
    /// Neither of them, ever.
    Revoked,
}

/// A line that was left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Problem {
    /// The line's number, from 1; 0 when it is the whole file.
    pub line: usize,
    /// What is wrong with it.
    pub reason: Reason,
    /// A revocation is lost with it: what it meant to forbid is not forbidden, so
    /// this one is worth an alarm.
    pub revocation: bool,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// Over [`MAX_BYTES`] or [`MAX_LINES`].
    #[error(
        "the file has more than {MAX_LINES} lines or {MAX_BYTES} bytes and was not read; split it"
    )]
    FileTooLarge,
    /// A word with `@` that is no marker, or two markers.
    #[error("a line has at most one marker, @cert-authority or @revoked")]
    BadMarker,
    /// Hosts that nothing can match.
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
    /// The key's bytes are no key.
    #[error("the key is cut short or damaged; copy the whole key again")]
    KeyMalformed,
    /// The key type in words is not the one inside the key.
    #[error("the key is not of the type that the line names")]
    KeyTypeMismatch,
    /// A certificate where a key belongs.
    #[error("this is a certificate; pin its authority's key with @cert-authority instead")]
    Certificate,
}

impl Line {
    /// Reads a line, with or without its end; comments and empty lines are `None`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Reason> {
        let mut fields = fields(bytes);
        let (role, hosts) = match fields.next() {
            None => return Ok(None),
            Some(field) if field.starts_with(b"#") => return Ok(None),
            Some(field) if field.starts_with(b"@") => (marked_role(field)?, fields.next()),
            hosts => (Role::HostKey, hosts),
        };
        let hosts = hosts.ok_or(Reason::MissingKey)?;
        if hosts.starts_with(b"@") {
            return Err(Reason::BadMarker);
        }
        let hosts = HostPatterns::parse(hosts)?;
        let key_type = fields.next().ok_or(Reason::MissingKey)?;
        let encoded = fields.next().ok_or(Reason::MissingKey)?;
        let (key_type, blob) = key::decode(key_type, encoded)?;
        Ok(Some(Self {
            role,
            hosts,
            key_type,
            blob,
        }))
    }
}

impl Problem {
    pub(super) fn new(line: usize, reason: Reason, bytes: &[u8]) -> Self {
        Self {
            line,
            reason,
            revocation: fields(bytes).next() == Some(REVOKED_MARKER),
        }
    }
}

/// The problem of a file that is too large to be read at all.
pub(super) fn over_limit(text: &[u8]) -> Option<Problem> {
    let lines = || text.split_inclusive(|byte| *byte == b'\n').count();
    let too_large = text.len() > MAX_BYTES || lines() > MAX_LINES;
    too_large.then_some(Problem {
        line: 0,
        reason: Reason::FileTooLarge,
        revocation: true,
    })
}

fn marked_role(marker: &[u8]) -> Result<Role, Reason> {
    match marker {
        AUTHORITY_MARKER => Ok(Role::Authority),
        REVOKED_MARKER => Ok(Role::Revoked),
        _ => Err(Reason::BadMarker),
    }
}

/// Words between blanks; a line's end (also that of another system) is one.
fn fields(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    bytes.split(is_blank).filter(|field| !field.is_empty())
}
