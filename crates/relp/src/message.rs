//! Syslog messages (RFC 5424), and how they are told apart in a stream (RFC 5425).

/// `log audit` of RFC 5424, table 1.
pub const LOG_AUDIT: u8 = 13;
/// `system daemons` of the same.
pub const DAEMON: u8 = 3;

/// How bad it is (RFC 5424, table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Severity {
    /// Error conditions.
    Error = 3,
    /// Warning conditions.
    Warning = 4,
    /// Normal and worth a note.
    Notice = 5,
    /// Informational.
    Info = 6,
    /// For looking for faults.
    Debug = 7,
}

impl Severity {
    /// The one with this numerical code, if it is one of ours.
    #[must_use]
    pub fn of(code: u8) -> Option<Self> {
        let all = [
            Self::Error,
            Self::Warning,
            Self::Notice,
            Self::Info,
            Self::Debug,
        ];
        all.into_iter().find(|severity| *severity as u8 == code)
    }
}

/// Who speaks: what is the same in every message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    facility: u8,
    /// Host, program and process id.
    names: String,
}

impl Origin {
    /// Names are made fit for the header: what RFC 5424 does not permit there is left
    /// out, what is too long is cut off, and nothing at all becomes `-`.
    #[must_use]
    pub fn new(facility: u8, host: &str, program: &str, pid: u32) -> Self {
        Self {
            facility,
            names: format!("{} {} {pid}", printable(host, 255), printable(program, 48)),
        }
    }

    /// Appends a message: `text` as it is, after a header that says when (RFC 3339) and
    /// what kind it is. A message is one line; whoever has text with line feeds sends
    /// several.
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        severity: Severity,
        when: &str,
        kind: &str,
        text: &[u8],
    ) {
        let priority = u32::from(self.facility) * 8 + severity as u32;
        // Of a million records the header is the same, so little is made anew for each.
        out.extend_from_slice(format!("<{priority}>1 ").as_bytes());
        push_printable(out, when, 32);
        out.push(b' ');
        out.extend_from_slice(self.names.as_bytes());
        out.push(b' ');
        push_printable(out, kind, 32);
        out.extend_from_slice(b" - ");
        out.extend_from_slice(text);
    }
}

fn printable(text: &str, most: usize) -> String {
    let mut kept = Vec::new();
    push_printable(&mut kept, text, most);
    kept.into_iter().map(char::from).collect()
}

/// `PRINTUSASCII` of RFC 5424, or its nil value.
fn push_printable(out: &mut Vec<u8>, text: &str, most: usize) {
    let start = out.len();
    out.extend(text.bytes().filter(u8::is_ascii_graphic).take(most));
    if out.len() == start {
        out.push(b'-');
    }
}

/// Appends a message as RFC 5425 frames it: its length in octets comes first.
pub fn count_octets(out: &mut Vec<u8>, message: &[u8]) {
    out.extend_from_slice(format!("{} ", message.len()).as_bytes());
    out.extend_from_slice(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(origin: &Origin) -> String {
        let mut out = Vec::new();
        let when = "2026-11-21T10:00:03.123456Z";
        origin.write(&mut out, Severity::Info, when, "audit", b"{\"seq\":1}");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_stands_unchanged_behind_its_header() {
        let origin = Origin::new(LOG_AUDIT, "pve1", "pulse-sensor-proxy", 42);
        assert_eq!(
            message(&origin),
            "<110>1 2026-11-21T10:00:03.123456Z pve1 pulse-sensor-proxy 42 audit - {\"seq\":1}"
        );
    }

    #[test]
    fn names_cannot_break_out_of_the_header() {
        let origin = Origin::new(LOG_AUDIT, "a b\n<1>", "", 1);
        assert_eq!(message(&origin).split(' ').nth(2), Some("ab<1>"));
        assert_eq!(message(&origin).split(' ').nth(3), Some("-"));
        let long = Origin::new(LOG_AUDIT, &"x".repeat(1000), &"y".repeat(1000), 1);
        assert!(message(&long).len() < 400);
    }

    #[test]
    fn octets_are_counted_not_characters() {
        let mut out = Vec::new();
        count_octets(&mut out, "é".as_bytes());
        assert_eq!(out, "2 é".as_bytes());
    }
}
