//! Comparison of the end of the chain with the private keys of the state directory.

use super::{AnnouncedKey, Chain, CurrentKey, LastRecord};
use crate::key::PublicKey;
use crate::verify::report::{Attack, NoteKind, Proof, Witness};
use crate::verify::state::{HeldKey, StateKeys};

/// The relation of a private key to the log.
enum KeyRole {
    /// The key of the next seal, announced by the last one or by `log.open`.
    Current,
    /// The key of the last seal.
    Last(AnnouncedKey),
    /// The key of an earlier seal, which was erased after it.
    Erased(AnnouncedKey),
    /// The key of the next epoch, which no seal announces yet.
    Next,
    /// A key of another log, according to its file.
    Foreign,
    /// A key of this log that no record announces.
    Later,
}

impl Chain<'_> {
    /// Sets the current key, from record `seq` on.
    pub(super) fn announce(&mut self, epoch: u64, key: PublicKey, seq: u64) {
        let announced = AnnouncedKey { epoch, key, seq };
        self.key = CurrentKey::Known(announced);
        self.first_epoch.get_or_insert(epoch);
        let keys = self.options.state.iter().flat_map(StateKeys::held);
        for (held, seen) in keys.zip(&mut self.announced_keys) {
            if held.public == key {
                *seen = Some(announced);
            }
        }
    }

    /// Compares the end of the chain with the private keys.
    ///
    /// After a crash, or while the log is written, each of these states is possible:
    ///
    /// | state | keys in the directory | current epoch |
    /// |---|---|---|
    /// | no seal in progress | n | n |
    /// | the next key is stored, the seal is not on disk | n, n + 1 | n |
    /// | the seal is on disk, the old key is not erased | n − 1, n | n |
    ///
    /// So the key of the current epoch must be there; of others, the next one and the last one
    /// are permitted.
    pub(super) fn judge_state(&mut self) {
        let (Some(state), Some(current)) = (&self.options.state, self.key.known()) else {
            return;
        };
        let keys: Vec<(&HeldKey, KeyRole)> = state
            .held()
            .iter()
            .zip(self.announced_keys.clone())
            .map(|(held, announced)| (held, self.role(held, announced, current)))
            .collect();
        let fits = keys
            .iter()
            .any(|(_, role)| matches!(role, KeyRole::Current));
        // The directory was read before the log: if it has other keys now, seals were made in
        // between, and its keys were current when they were read.
        let is_behind = !fits && state.has_changed();
        let mut is_cut = false;
        for (held, role) in &keys {
            match role {
                KeyRole::Current => self.prove_by_key(current),
                KeyRole::Last(key) | KeyRole::Erased(key) if is_behind => self.prove_by_key(*key),
                KeyRole::Last(key) if fits => {
                    // If the daemon has erased it by now, there is nothing to tell.
                    if !state.has_changed() {
                        let text = format!(
                            "{}, the private key that sealed the records from here on, is not \
                             erased yet: the daemon does that when it starts",
                            held.file
                        );
                        self.note(NoteKind::KeyNotErased, key.seq + 1, text);
                    }
                }
                KeyRole::Last(key) | KeyRole::Erased(key) => {
                    let detail = format!(
                        "{} is the private key of epoch {}, which was erased: whoever restored it \
                         may have rewritten every record from here on",
                        held.file, key.epoch
                    );
                    self.find_here(Attack::KeyRestored, key.seq + 1, detail);
                }
                KeyRole::Next if fits => (),
                // Several later keys prove one cut.
                KeyRole::Next | KeyRole::Later if is_cut => (),
                KeyRole::Next | KeyRole::Later => {
                    is_cut = true;
                    self.find_cut(held, current);
                }
                KeyRole::Foreign if keys.len() == 1 => {
                    let detail = format!(
                        "{} is a private key of the log {}, and this is another: is it the right \
                         state directory?",
                        held.file, held.log_id
                    );
                    self.find_here(Attack::WrongState, current.seq, detail);
                }
                // Beside other keys it says nothing about this log (docs/audit-format.md).
                KeyRole::Foreign => (),
            }
        }
    }

    fn role(
        &self,
        held: &HeldKey,
        announced: Option<AnnouncedKey>,
        current: AnnouncedKey,
    ) -> KeyRole {
        let next = current.epoch.checked_add(1);
        match announced {
            Some(announced) if announced.epoch == current.epoch => KeyRole::Current,
            Some(announced) if announced.epoch.checked_add(1) == Some(current.epoch) => {
                KeyRole::Last(announced)
            }
            Some(announced) => KeyRole::Erased(announced),
            None if self.log_id.as_ref().is_some_and(|id| *id != held.log_id) => KeyRole::Foreign,
            None if next == Some(held.epoch) => KeyRole::Next,
            // A part of a log does not have the records that announced earlier keys.
            None if self.report.first_seq > 1 && Some(held.epoch) < self.first_epoch => {
                KeyRole::Erased(AnnouncedKey {
                    epoch: held.epoch,
                    key: held.public,
                    seq: self.report.first_seq - 1,
                })
            }
            None => KeyRole::Later,
        }
    }

    fn prove_by_key(&mut self, key: AnnouncedKey) {
        self.report.proofs.push(Proof {
            by: Witness::StateKey,
            through: key.seq,
        });
    }

    fn find_cut(&mut self, held: &HeldKey, current: AnnouncedKey) {
        let attack = if self.last == LastRecord::Seal {
            Attack::CutAtSeal
        } else {
            Attack::Truncated
        };
        let detail = format!(
            "the log ends at record {} in epoch {}, but {} is not the private key that its last \
             seal announced: seals were made after this record, and are missing",
            self.head.seq, current.epoch, held.file
        );
        self.find_here(attack, self.head.seq + 1, detail);
    }
}
