//! The explanation of a record, in sentences.

use super::evidence::{Evidence, Reading};
use super::row::{Layout, time, tone};
use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use crate::ui::wrap::wrapped;
use pulse_audit::LogEventType;
use pulse_audit::show::Shown;
use pulse_core::event::EventType;

/// The width of the facts' titles.
const TITLE: usize = 14;

/// The lines of the explanation.
pub(super) fn lines(evidence: &Evidence, columns: Option<usize>) -> Vec<Line> {
    let teller = Teller { columns };
    let subject = &evidence.subject;
    let readings = evidence.readings();
    let title = format!("Record {}: {}", subject.seq, escape(subject.event()));
    let mut lines =
        vec![Line::new(Tone::Strong, title).and(Tone::Faint, format!("  {} UTC", time(subject)))];
    lines.extend(teller.text(Tone::Plain, &meaning(subject)));
    lines.push(Line::default());
    lines.extend(teller.who(subject));
    for reading in &readings {
        lines.push(Line::default());
        lines.extend(teller.reading(reading));
    }
    if readings.is_empty() {
        lines.extend(teller.other(subject));
    }
    if !evidence.near.is_empty() {
        let text = "What else this caller was refused within a minute:";
        lines.push(Line::default());
        lines.extend(teller.text(Tone::Plain, text));
        lines.extend(
            evidence
                .near
                .iter()
                .map(|record| Layout::of(columns).row(record)),
        );
    }
    lines.push(Line::default());
    lines.extend(teller.proof(evidence));
    lines
}

/// The meaning of a record of this kind, in a sentence.
fn meaning(record: &Shown) -> String {
    let node = record.text("node").unwrap_or("a node");
    let name = record.event();
    if let Some(event) = LogEventType::from_name(name.as_bytes()) {
        return log_meaning(event).to_owned();
    }
    let Some(event) = EventType::from_name(name) else {
        return "A later release wrote this record; this program does not know its meaning.".into();
    };
    match event {
        EventType::CommandStart => {
            format!("A caller may read node {node}; it was about to be asked.")
        }
        EventType::CommandFinish => format!("This is how a reading of node {node} ended."),
        EventType::ValidationFailed => {
            "A request was malformed, or asked for what may not be asked. It was refused.".into()
        }
        EventType::HostKeyMismatch => {
            format!("Node {node} showed a host key that is not the pinned one. It was not asked.")
        }
        EventType::EgressDenied => {
            format!("Node {node} has an address that may not be connected to. It was not asked.")
        }
        EventType::ForcedCommandMissing => format!(
            "On node {node} the daemon's key has no forced command, so whoever has the key has a \
             shell there. The decision says whether the node was read all the same (allowed)."
        ),
        EventType::ConnectionAccepted => "A caller with a capability was let in.".into(),
        EventType::ConnectionDenied => "A caller without a capability was refused.".into(),
        EventType::LimiterRejection if record.text("limiter") == Some("accepts") => {
            "A user connected more often than it is served. The connection was closed unread."
                .into()
        }
        EventType::LimiterRejection => "A caller asked more than its share and was refused.".into(),
        EventType::Confinement => {
            "The daemon confined itself; the reason names the layers that are in force, the error \
             those that are not."
                .into()
        }
        EventType::ForwardingLossAccepted => {
            "An administrator accepted that records are lost to a collector: they were removed from \
             the log before they were delivered. The reason has their numbers."
                .into()
        }
        EventType::ConfigReloaded => "The daemon read its configuration again.".into(),
        EventType::ProxyStart => "The daemon began to serve.".into(),
        EventType::ProxyStop => "The daemon stopped in order.".into(),
    }
}

fn log_meaning(event: LogEventType) -> &'static str {
    match event {
        LogEventType::Open => "The log begins here. Its key is the verification key.",
        LogEventType::Sealed => {
            "Everything before was sealed: signed with this epoch's key, which was then erased."
        }
        LogEventType::Rotated => "The segment ends here; the log continues in the next file.",
        LogEventType::Resumed => "The log continues here, after a start, a rotation or a failure.",
        LogEventType::Pruned => {
            "Retention removed a segment: the records from first_seq to last_seq. Their seals are \
             kept."
        }
        LogEventType::Dropped => {
            "Records that no request awaited came faster than the disk took them. The number of \
             missing records is in suppressed."
        }
        LogEventType::Recovered => {
            "A write was torn or failed. Torn bytes are kept in a file and named by their hash."
        }
        LogEventType::Disturbed => {
            "Another program changed a file of the log. The log stopped, and every request was \
             refused, until the file was as before or an operator accepted the loss."
        }
        LogEventType::LossAccepted => {
            "An operator accepted the loss of what another program changed. The log continues here."
        }
    }
}

struct Teller {
    columns: Option<usize>,
}

impl Teller {
    fn text(&self, tone: Tone, text: &str) -> Vec<Line> {
        wrapped(&escape(text), self.columns)
            .into_iter()
            .map(|part| Line::new(tone, part))
            .collect()
    }

    fn fact(&self, title: &str, tone: Tone, text: &str) -> Vec<Line> {
        let room = self.columns.map(|columns| columns.saturating_sub(TITLE));
        let mut title = title;
        wrapped(&escape(text), room)
            .into_iter()
            .map(|part| {
                // The first line has the title; the others continue below its text.
                let title = std::mem::take(&mut title);
                Line::new(Tone::Faint, format!("{title:TITLE$}")).and(tone, part)
            })
            .collect()
    }

    fn facts(&self, facts: &[(&str, Option<String>)]) -> Vec<Line> {
        facts
            .iter()
            .filter_map(|(title, text)| Some(self.fact(title, Tone::Plain, text.as_ref()?)))
            .flatten()
            .collect()
    }

    /// The caller and the request.
    fn who(&self, record: &Shown) -> Vec<Line> {
        let number = |name| record.number(name);
        let ids = number("peer_uid").map(|uid| {
            let id = |name, title: &str| {
                number(name).map_or_else(String::new, |id| format!(", {title} {id}"))
            };
            let (gid, pid) = (id("peer_gid", "group"), id("peer_pid", "process"));
            format!("user {uid}{gid}{pid}")
        });
        let asker = match (record.text("peer"), ids) {
            // The daemon's own readings have no caller, and this name in its place.
            (Some("poller"), _) => Some("the daemon itself, in the background".to_owned()),
            (Some(peer), Some(ids)) => Some(format!("{ids}; counts as {peer}")),
            (peer, ids) => ids.or(peer.map(str::to_owned)),
        };
        self.facts(&[
            ("caller", asker),
            ("in request", text(record, "correlation_id")),
        ])
    }

    /// A reading, from its start to the node's answer.
    fn reading(&self, reading: &Reading<'_>) -> Vec<Line> {
        // Either may be missing: a reading that goes on has no outcome.
        let either = reading.start.or(reading.outcome);
        let node = either.and_then(|record| text(record, "node"));
        let at = |record: &Shown| format!("record {}, {} UTC", record.seq, time(record));
        let mut lines = self.facts(&[("node", node), ("asked", reading.start.map(at))]);
        let Some(outcome) = reading.outcome else {
            let text =
                "no outcome is on record: it goes on still, or the daemon was ended meanwhile";
            lines.extend(self.fact("ended", Tone::Warm, text));
            return lines;
        };
        let decision = outcome.text("decision").unwrap_or("?");
        lines.extend(self.facts(&[("ended", Some(at(outcome)))]));
        let mut ending = decision.to_owned();
        if let Some(took) = outcome.members.get("duration_ms") {
            ending += &format!(" after {took} ms");
        }
        for why in ["reason", "error"]
            .iter()
            .filter_map(|name| outcome.text(name))
        {
            ending += &format!(": {why}");
        }
        lines.extend(self.fact("outcome", tone(decision), &ending));
        // The exchange with the node, as far as it came.
        let code = outcome.number("exit_code").map(|code| code.to_string());
        let bytes = outcome.number("stdout_bytes");
        lines.extend(self.facts(&[
            ("address", text(outcome, "address")),
            ("host key", text(outcome, "host_key")),
            ("ran", text(outcome, "command")),
            ("exit code", code),
            ("came back", bytes.map(|bytes| format!("{bytes} bytes"))),
            ("SHA-256 of it", text(outcome, "stdout_sha256")),
        ]));
        lines
    }

    /// A record that is no reading: its members that are not shown elsewhere.
    fn other(&self, record: &Shown) -> Vec<Line> {
        const SHOWN: [&str; 8] = [
            "seq",
            "ts",
            "event_type",
            "correlation_id",
            "peer",
            "peer_uid",
            "peer_gid",
            "peer_pid",
        ];
        const PROOF: [&str; 3] = ["prev_hash", "event_hash", "signature"];
        // Members that this program does not know are shown too: the log may be newer than it.
        let is_new =
            |name: &&String| !SHOWN.contains(&name.as_str()) && !PROOF.contains(&name.as_str());
        let facts = record.members.keys().filter(is_new).flat_map(|name| {
            let value = &record.members[name];
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            self.fact(&escape(name).replace('_', " "), Tone::Plain, &value)
        });
        facts.collect()
    }

    /// The proof that the record is unchanged, as far as there is one.
    fn proof(&self, evidence: &Evidence) -> Vec<Line> {
        let seq = evidence.subject.seq;
        if !evidence.subject.is_whole {
            let text = "This record was changed: its hash is wrong. `audit verify` says more.";
            return self.text(Tone::Bad, text);
        }
        if let Some(found) = evidence.chain.findings.first() {
            let text = format!(
                "The chain is broken at record {}: {}. `audit verify` says more.",
                found.record, found.detail
            );
            return self.text(Tone::Bad, &text);
        }
        match evidence.seal() {
            Some(seal) => {
                let range = if seal.seq == seq {
                    format!(
                        "This record is the seal of epoch {}, and its signature",
                        seal.epoch
                    )
                } else {
                    format!(
                        "Sealed by record {} in epoch {}: the chain from record {seq} to it is \
                         unbroken, and the signature",
                        seal.seq, seal.epoch
                    )
                };
                let text = format!(
                    "{range} is good by the key that the log names. `audit verify --key` verifies \
                     that this key descends from the log's first one."
                );
                self.text(Tone::Good, &text)
            }
            None => {
                let text = format!(
                    "Not sealed yet: the chain from record {seq} to {} is unbroken, but until a seal \
                     covers it, only the file's permissions protect it. A running daemon seals \
                     within a minute.",
                    evidence.chain.last_seq
                );
                self.text(Tone::Warm, &text)
            }
        }
    }
}

fn text(record: &Shown, name: &str) -> Option<String> {
    record.text(name).map(str::to_owned)
}
