//! The records of the log about itself: the log's id, its keys, and the seals.

use super::{Chain, LastRecord};
use crate::key::PublicKey;
use crate::line::RecordLine;
use crate::log_event::LogEventType;
use crate::tail::members;
use crate::verify::evidence::{BadSeal, Break, Cause, Evidence};
use crate::verify::report::{Attack, NoteKind};
use serde_json::Value;

impl Chain<'_> {
    pub(super) fn take_log_record(&mut self, line: &RecordLine<'_>, text: &[u8]) {
        let members = members(text).unwrap_or_default();
        match line.log_event() {
            Some(LogEventType::Open) if line.seq == 1 => self.learn_epoch(line.seq, &members),
            Some(LogEventType::Open) => {
                self.find_here(Attack::Spliced, line.seq, "another log begins here");
            }
            Some(LogEventType::Resumed) => self.take_resumed(line.seq, &members),
            Some(LogEventType::Sealed) => {
                self.compare_with_kept(line, text);
                self.take_seal(line, &members);
            }
            Some(LogEventType::Pruned) => self.take_pruned(line, &members),
            Some(LogEventType::Rotated) => self.last = LastRecord::Rotation,
            _ => (),
        }
    }

    /// A log must begin with the record that names the first key: without it, a forger could use
    /// any.
    pub(super) fn check_beginning(&mut self, line: &RecordLine<'_>) {
        if line.seq == 1 && line.log_event() != Some(LogEventType::Open) {
            self.find_here(
                Attack::WrongKey,
                line.seq,
                "the log does not begin with a key: it was rewritten",
            );
        }
    }

    fn take_resumed(&mut self, seq: u64, members: &Value) {
        let Some(current) = self.key.known() else {
            return self.learn_epoch(seq, members);
        };
        let log_id = members["log_id"].as_str();
        if self.log_id.is_none() {
            // A part that begins with a seal does not name the log until here.
            self.log_id = log_id.map(str::to_owned);
        }
        // It must name the current log, key and epoch (docs/audit-format.md, "To verify", 2).
        if log_id != self.log_id.as_deref()
            || key_of(members, "key") != Some(current.key)
            || members["epoch"].as_u64() != Some(current.epoch)
        {
            self.find_here(Attack::Spliced, seq, "it continues with another log or key");
        }
    }

    /// Learns the first key of a log, or of a part of one.
    fn learn_epoch(&mut self, seq: u64, members: &Value) {
        let (Some(number), Some(key)) = (members["epoch"].as_u64(), key_of(members, "key")) else {
            return self.find_here(Attack::Edited, seq, "it names no key");
        };
        self.check_after_gap(seq, number, key, members["log_id"].as_str());
        self.log_id = members["log_id"].as_str().map(str::to_owned);
        self.announce(number, key, seq);
        if seq == 1 && number != 0 {
            let detail = format!("the log begins in epoch {number}");
            return self.find_here(Attack::WrongKey, seq, detail);
        }
        match self.options.key {
            Some(pinned) if (number == 0 || seq == 1) && pinned != key => {
                let detail =
                    format!("the log begins with the key {key}: another log, or a rewritten one");
                self.find_here(Attack::WrongKey, seq, detail);
            }
            Some(_) if number == 0 => (),
            // The given key is that of epoch 0: a part that begins later cannot be compared with it.
            _ => {
                self.report.key = Some(key.to_string());
                self.note(
                    NoteKind::KeyFromLog,
                    seq,
                    format!("the key {key} was taken from the log itself"),
                );
            }
        }
    }

    fn take_seal(&mut self, line: &RecordLine<'_>, members: &Value) {
        let Some((signed, signature)) = line.signature else {
            return;
        };
        let claimed = key_of(members, "key");
        if self.key.known().is_none()
            && let (Some(number), Some(key)) = (members["epoch"].as_u64(), claimed)
        {
            self.check_after_gap(line.seq, number, key, None);
            self.announce(number, key, line.seq);
            self.report.key = Some(key.to_string());
            self.note(
                NoteKind::KeyFromLog,
                line.seq,
                "the key was taken from a seal itself",
            );
        }
        let next_number = self
            .key
            .known()
            .filter(|current| {
                claimed == Some(current.key)
                    && members["epoch"].as_u64() == Some(current.epoch)
                    && current.key.verifies(signed, signature)
            })
            .and_then(|current| current.epoch.checked_add(1));
        match (next_number, key_of(members, "next_key")) {
            (Some(number), Some(next)) => {
                self.announce(number, next, line.seq);
                self.report.seals += 1;
                self.report.sealed_through = line.seq;
                self.last = LastRecord::Seal;
                self.unsealed_since = None;
            }
            (_, next) => {
                let current = self.key.known().map(|current| current.key);
                let mut others = [claimed, next].into_iter().flatten();
                self.evidence = Some(Evidence::new(Break {
                    head: self.head,
                    log_id: self.log_id.clone(),
                    key: self.key.known(),
                    location: self.location.clone(),
                    cause: Cause::Seal(BadSeal {
                        from: self.report.sealed_through + 1,
                        seal: line.seq,
                        by_other_key: others
                            .any(|key| Some(key) != current && key.verifies(signed, signature)),
                        signed: signed.to_owned(),
                        signature: signature.to_owned(),
                    }),
                }));
            }
        }
    }
}

fn key_of(members: &Value, name: &str) -> Option<PublicKey> {
    members[name].as_str()?.parse().ok()
}
