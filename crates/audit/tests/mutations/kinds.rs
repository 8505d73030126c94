//! Random changes of a log, and the findings that fit them.

use crate::common::forger::{falsify, rechain, rechain_and_reseal, todays_key};
use crate::common::{Dice, Sample, is_seal, join, lines, one};
use pulse_audit::verify::Attack;

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    EditByte,
    EditLength,
    InsertForeign,
    InsertRubbish,
    Delete,
    Swap,
    Duplicate,
    TruncateAnywhere,
    Splice,
    ReplaceSegment,
    RestoreOlderCopy,
    Rechain,
    RechainAndDelete,
    ResealWithLaterKey,
}

impl Which {
    pub(crate) const ALL: [Self; 14] = [
        Self::EditByte,
        Self::EditLength,
        Self::InsertForeign,
        Self::InsertRubbish,
        Self::Delete,
        Self::Swap,
        Self::Duplicate,
        Self::TruncateAnywhere,
        Self::Splice,
        Self::ReplaceSegment,
        Self::RestoreOlderCopy,
        Self::Rechain,
        Self::RechainAndDelete,
        Self::ResealWithLaterKey,
    ];
}

/// A changed log. Each line knows its file, so that it can be verified as one file or as
/// segments.
pub(crate) struct Mutation {
    pub(crate) lines: Vec<(usize, Vec<u8>)>,
    /// The findings that fit.
    pub(crate) names: Vec<Attack>,
    /// The files' names.
    files: Vec<String>,
}

impl Mutation {
    fn of(files: &[(String, Vec<u8>)]) -> Self {
        let of_file = |(file, (_, content)): (usize, &(String, Vec<u8>))| {
            let lines = lines(content).into_iter();
            lines.map(move |line| (file, line)).collect::<Vec<_>>()
        };
        Self {
            lines: files.iter().enumerate().flat_map(of_file).collect(),
            names: Vec::new(),
            files: files.iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// The input of the verifier.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let names = self.files.iter();
        let mut files: Vec<_> = names.map(|name| (name.clone(), Vec::new())).collect();
        for (file, line) in &self.lines {
            files[*file].1.extend_from_slice(line);
        }
        files
    }

    fn is_first_of_file(&self, at: usize) -> bool {
        at > 0
            && self
                .lines
                .get(at)
                .is_some_and(|(file, _)| *file != self.lines[at - 1].0)
    }

    fn plain(&self) -> Vec<Vec<u8>> {
        self.lines.iter().map(|(_, line)| line.clone()).collect()
    }

    /// The same lines in the same files, with other contents.
    fn rewrite(&mut self, lines: Vec<Vec<u8>>) {
        for ((_, old), new) in self.lines.iter_mut().zip(lines) {
            *old = new;
        }
    }

    /// Findings of a missing end: at a seal, it may be an older copy.
    fn cut_back(self) -> Self {
        if self
            .lines
            .last()
            .is_some_and(|(_, line)| is_seal(line) && line.ends_with(b"\n"))
        {
            self.named(&[Attack::RolledBack])
        } else {
            self.named(&[Attack::Truncated])
        }
    }

    fn named(mut self, names: &[Attack]) -> Self {
        self.names = names.to_vec();
        self
    }
}

pub(crate) fn mutate(dice: &mut Dice, which: Which, ours: &Sample, theirs: &Sample) -> Mutation {
    // A collector has one file; a directory has segments.
    let one = one(join(&ours.files));
    let is_one = which != Which::ReplaceSegment && dice.below(2) == 0;
    let mutation = Mutation::of(if is_one { &one } else { &ours.files });
    let foreign = lines(&join(&theirs.files));
    match which {
        Which::EditByte => edit_byte(dice, mutation),
        Which::EditLength => edit_length(dice, mutation),
        Which::InsertForeign => {
            let line = foreign[dice.below(foreign.len())].clone();
            insert(dice, mutation, line)
        }
        Which::InsertRubbish => insert(dice, mutation, b"{\"seq\":1}\n".to_vec()),
        Which::Delete => delete(dice, mutation),
        Which::Swap => swap(dice, mutation),
        Which::Duplicate => duplicate(dice, mutation),
        Which::TruncateAnywhere => truncate(dice, mutation),
        Which::Splice => splice(dice, mutation, &foreign),
        Which::ReplaceSegment => replace_segment(dice, mutation, theirs),
        Which::RestoreOlderCopy => restore(dice, mutation),
        Which::Rechain => forge(dice, mutation, |lines, at| {
            falsify(&mut lines[at]);
            rechain(lines, at)
        })
        .named(&[Attack::Rewritten]),
        Which::RechainAndDelete => {
            let at = record(dice, &mutation);
            let mut mutation = mutation;
            mutation.lines.remove(at);
            let lines = rechain(&mutation.plain(), at);
            mutation.rewrite(lines);
            mutation.named(&[Attack::Rewritten])
        }
        Which::ResealWithLaterKey => forge(dice, mutation, |lines, at| {
            falsify(&mut lines[at]);
            rechain_and_reseal(lines, at, &todays_key(ours))
        })
        .named(&[Attack::Resealed]),
    }
}

/// A line that is neither the first nor a seal.
fn record(dice: &mut Dice, mutation: &Mutation) -> usize {
    loop {
        let at = 1 + dice.below(mutation.lines.len() - 1);
        if !is_seal(&mutation.lines[at].1) {
            return at;
        }
    }
}

fn forge(
    dice: &mut Dice,
    mut mutation: Mutation,
    forger: impl FnOnce(&mut Vec<Vec<u8>>, usize) -> Vec<Vec<u8>>,
) -> Mutation {
    let at = record(dice, &mutation);
    let forged = forger(&mut mutation.plain(), at);
    mutation.rewrite(forged);
    mutation
}

fn edit_byte(dice: &mut Dice, mut mutation: Mutation) -> Mutation {
    let at = dice.below(mutation.lines.len());
    let ends_file = mutation.is_first_of_file(at + 1) || at + 1 == mutation.lines.len();
    let line = &mut mutation.lines[at].1;
    let place = dice.below(line.len());
    line[place] ^= u8::try_from(1 + dice.below(255)).unwrap();
    let ends_line = place + 1 == line.len();
    if ends_file && ends_line {
        mutation.named(&[Attack::Truncated])
    } else {
        mutation.named(&[Attack::Edited])
    }
}

/// Inserts or removes bytes, except at the newline.
fn edit_length(dice: &mut Dice, mut mutation: Mutation) -> Mutation {
    let at = dice.below(mutation.lines.len());
    let line = &mut mutation.lines[at].1;
    let from = dice.below(line.len() - 1);
    let to = (from + 1 + dice.below(40)).min(line.len() - 1);
    let new: Vec<u8> = match dice.below(2) {
        0 => Vec::new(),
        _ => [&line[from..to], &line[from..to], b"x"].concat(),
    };
    line.splice(from..to, new);
    mutation.named(&[Attack::Edited])
}

fn insert(dice: &mut Dice, mut mutation: Mutation, line: Vec<u8>) -> Mutation {
    let at = dice.below(mutation.lines.len());
    let file = mutation.lines[at].0;
    let begins_log = at == 0 && line.starts_with(b"{\"seq\":1,");
    mutation.lines.insert(at, (file, line));
    if begins_log {
        // Another log's beginning, after which ours does not follow.
        mutation.named(&[Attack::WrongKey])
    } else {
        mutation.named(&[Attack::Inserted])
    }
}

fn delete(dice: &mut Dice, mut mutation: Mutation) -> Mutation {
    let count = mutation.lines.len();
    let at = dice.below(count);
    let end = (at + 1 + dice.below(3)).min(count);
    // Only the end of a segment was cut off.
    let cuts_file = mutation.is_first_of_file(end) && !mutation.is_first_of_file(at);
    mutation.lines.drain(at..end);
    match end == count {
        true => mutation.cut_back(),
        false if cuts_file => mutation.named(&[Attack::Truncated]),
        false => mutation.named(&[Attack::Deleted]),
    }
}

fn swap(dice: &mut Dice, mut mutation: Mutation) -> Mutation {
    let count = mutation.lines.len();
    let (at, other) = (dice.below(count), dice.below(count));
    let other = if at == other { (at + 1) % count } else { other };
    let (first, second) = (at.min(other), at.max(other));
    let line = mutation.lines[first].1.clone();
    mutation.lines[first].1 = std::mem::replace(&mut mutation.lines[second].1, line);
    mutation.named(&[Attack::Reordered])
}

fn duplicate(dice: &mut Dice, mut mutation: Mutation) -> Mutation {
    let count = mutation.lines.len();
    let at = dice.below(count);
    let to = at + 1 + dice.below(count - at);
    let file = mutation.lines[to - 1].0;
    let line = mutation.lines[at].1.clone();
    mutation.lines.insert(to, (file, line));
    mutation.named(&[Attack::Duplicated])
}

/// Cuts at any byte.
fn truncate(dice: &mut Dice, mut mutation: Mutation) -> Mutation {
    let at = dice.below(mutation.lines.len());
    mutation.lines.truncate(at + 1);
    let line = &mut mutation.lines[at].1;
    let keep = dice.below(line.len());
    line.truncate(keep);
    if keep == 0 {
        mutation.lines.pop();
    }
    mutation.cut_back()
}

fn splice(dice: &mut Dice, mut mutation: Mutation, foreign: &[Vec<u8>]) -> Mutation {
    let at = 1 + dice.below(mutation.lines.len() - 1);
    let from = dice.below(foreign.len() - 1);
    let file = mutation.lines[at].0;
    let begins_file = mutation.is_first_of_file(at);
    mutation.lines.truncate(at);
    let rest = foreign[from..].iter().map(|line| (file, line.clone()));
    mutation.lines.extend(rest);
    if begins_file {
        mutation.named(&[Attack::SegmentSwapped, Attack::Deleted])
    } else {
        // If nothing after a gap names its log, it is only a gap.
        mutation.named(&[Attack::Spliced, Attack::Deleted])
    }
}

/// Replaces a segment by one of another log, or by another one of the same log.
fn replace_segment(dice: &mut Dice, mut mutation: Mutation, theirs: &Sample) -> Mutation {
    let count = mutation.files.len();
    let place = dice.below(count);
    let is_theirs = dice.below(2) == 0;
    let new: Vec<Vec<u8>> = if is_theirs {
        lines(&theirs.files[place].1)
    } else {
        let other = (place + 1 + dice.below(count - 1)) % count;
        let of_other = |(file, line): &(usize, Vec<u8>)| (*file == other).then(|| line.clone());
        mutation.lines.iter().filter_map(of_other).collect()
    };
    let start = mutation.lines.iter().position(|(file, _)| *file == place);
    mutation.lines.retain(|(file, _)| *file != place);
    let start = start.unwrap();
    let new = new.into_iter().map(|line| (place, line));
    mutation.lines.splice(start..start, new);
    if place == 0 && is_theirs {
        // Another log's beginning.
        mutation.named(&[Attack::WrongKey])
    } else {
        mutation.named(&[Attack::SegmentSwapped])
    }
}

/// The lines up to a seal.
fn restore(dice: &mut Dice, mut mutation: Mutation) -> Mutation {
    let seals: Vec<usize> = (0..mutation.lines.len() - 1)
        .filter(|at| is_seal(&mutation.lines[*at].1))
        .collect();
    mutation.lines.truncate(seals[dice.below(seals.len())] + 1);
    mutation.named(&[Attack::RolledBack])
}
