//! Subordinate ids: the ranges of `/etc/subuid` and `/etc/subgid` (subuid(5), subgid(5)).
//!
//! A caller from an unprivileged container has an id that no account has. The ranges say
//! which account owns the id, so that all ids of one range count as one caller.

use std::collections::BTreeSet;

/// The most ranges kept.
const MAX_RANGES: usize = 10_000;

/// The most bytes read; a line that begins after them is left out.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The ranges of one file, in its order.
///
/// A look-up takes logarithmic time: it comes before a caller is identified, so an attacker
/// decides how often it happens. Scanning up to `MAX_RANGES` ranges for each connection
/// would cost more than accepting it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubordinateRanges {
    ranges: Vec<SubordinateRange>,
    /// The first id of each piece, in order, and the range that the piece belongs to.
    pieces: Vec<(u32, Option<usize>)>,
    /// All ranges, ordered by their first id.
    by_start: Vec<usize>,
    left_out: Option<LeftOut>,
}

/// Lines of a file that give no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The number of the first of them, from 1.
    pub first: usize,
    /// Their number, at least 1.
    pub count: usize,
}

/// Ids that an account may use in its user namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubordinateRange {
    /// The account: a login name, or a numeric user ID as text.
    pub owner: String,
    /// The first id; a container that maps the whole range maps it to 0.
    pub start: u32,
    /// The number of ids, at least 1. The range ends below `u32::MAX`.
    pub count: u32,
}

impl SubordinateRanges {
    /// Parses a file. A line that is not `owner:start:count` is left out, and so is an
    /// empty range or one that exceeds 32 bits: the kernel maps neither, and an id in no
    /// range has no capability by it.
    #[must_use]
    pub fn parse(text: impl AsRef<[u8]>) -> Self {
        let (mut read, mut ranges, mut left_out) = (0, Vec::new(), None::<LeftOut>);
        // As bytes: a line that is not UTF-8 is left out, and the others are read.
        for (number, line) in (1..).zip(text.as_ref().split_inclusive(|byte| *byte == b'\n')) {
            if read >= MAX_BYTES {
                break;
            }
            read += line.len();
            match SubordinateRange::parse(line) {
                Some(range) if ranges.len() < MAX_RANGES => ranges.push(range),
                None if is_blank_or_comment(line) => {}
                _ => {
                    let first = LeftOut {
                        first: number,
                        count: 0,
                    };
                    left_out.get_or_insert(first).count += 1;
                }
            }
        }
        let mut by_start: Vec<usize> = (0..ranges.len()).collect();
        // The sort is stable: ranges with the same start keep their order.
        by_start.sort_by_key(|index| ranges.get(*index).map(|range| range.start));
        Self {
            pieces: pieces(&ranges),
            by_start,
            ranges,
            left_out,
        }
    }

    /// The lines that give no range, apart from blank ones and comments; for the daemon's log.
    #[must_use]
    pub fn left_out(&self) -> Option<LeftOut> {
        self.left_out
    }

    /// The range that contains `id`. Of overlapping ranges, which two accounts can have,
    /// the first in the file is meant, so that an id always belongs to the same one.
    #[must_use]
    pub fn find(&self, id: u32) -> Option<&SubordinateRange> {
        let after = self.pieces.partition_point(|(start, _)| *start <= id);
        // The last piece that starts at `id` or below it.
        let (_, range) = self.pieces.get(after.checked_sub(1)?)?;
        self.ranges.get((*range)?)
    }

    /// The ranges whose first id is `id`, in the order of the file.
    pub(crate) fn starting_at(&self, id: u32) -> impl Iterator<Item = &SubordinateRange> {
        let range = |index: &usize| self.ranges.get(*index);
        let before = self
            .by_start
            .partition_point(|index| range(index).is_some_and(|range| range.start < id));
        self.by_start
            .iter()
            .skip(before)
            .filter_map(range)
            .take_while(move |range| range.start == id)
    }

    /// All ranges, in the order of the file.
    #[must_use]
    pub fn as_slice(&self) -> &[SubordinateRange] {
        &self.ranges
    }
}

fn is_blank_or_comment(line: &[u8]) -> bool {
    matches!(line.trim_ascii_start().first(), None | Some(b'#'))
}

/// The ids, cut wherever a range starts or ends: all ids between two cuts are in the same
/// ranges, and belong to the first of these in the file.
fn pieces(ranges: &[SubordinateRange]) -> Vec<(u32, Option<usize>)> {
    let cuts_of = |(index, range): (usize, &SubordinateRange)| {
        // The sum does not overflow: see `SubordinateRange::parse`.
        [(range.start, index), (range.start + range.count, index)]
    };
    let mut cuts: Vec<_> = ranges.iter().enumerate().flat_map(cuts_of).collect();
    cuts.sort_unstable();
    let mut open = BTreeSet::new();
    let mut pieces: Vec<(u32, Option<usize>)> = Vec::new();
    for (at, index) in cuts {
        // The first cut of a range is its start, the second its end.
        if !open.remove(&index) {
            open.insert(index);
        }
        // Cuts at the same id are one: the piece begins after the last of them.
        pieces.pop_if(|(start, _)| *start == at);
        pieces.push((at, open.first().copied()));
    }
    pieces
}

impl SubordinateRange {
    fn parse(line: &[u8]) -> Option<Self> {
        let line = str::from_utf8(line).ok()?.trim_ascii();
        let mut fields = line.split(':');
        let (owner, start, count) = (fields.next()?, fields.next()?, fields.next()?);
        if fields.next().is_some() || owner.is_empty() || owner.starts_with('#') {
            return None;
        }
        let (start, count) = (decimal(start)?, decimal(count)?);
        // The end is exclusive, so no range contains u32::MAX, the kernel's invalid id.
        start.checked_add(count).filter(|end| *end > start)?;
        Some(Self {
            owner: owner.to_owned(),
            start,
            count,
        })
    }
}

/// Digits only: `parse` alone would accept a plus sign.
fn decimal(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owner(text: &str, id: u32) -> Option<String> {
        let ranges = SubordinateRanges::parse(text);
        ranges.find(id).map(|range| range.owner.clone())
    }

    #[test]
    fn range_ends_with_its_last_id() {
        let text = "root:100000:65536\n1000:165536:65536\n";
        assert_eq!(owner(text, 99_999), None);
        assert_eq!(owner(text, 100_000).as_deref(), Some("root"));
        assert_eq!(owner(text, 165_535).as_deref(), Some("root"));
        assert_eq!(owner(text, 165_536).as_deref(), Some("1000"));
        assert_eq!(owner(text, 231_071).as_deref(), Some("1000"));
        assert_eq!(owner(text, 231_072), None);
        assert_eq!(owner(text, 0), None);
    }

    #[test]
    fn first_of_overlapping_ranges_wins() {
        let text = "lxd:100000:65536\nroot:100000:65536\nroot:90000:20000\n";
        assert_eq!(owner(text, 100_000).as_deref(), Some("lxd"));
        assert_eq!(owner(text, 99_999).as_deref(), Some("root"));
    }

    #[test]
    fn overflowing_range_is_left_out() {
        for text in [
            "a:4294967295:1",
            "a:4294967290:6",
            "a:1:4294967295",
            "a:0:4294967296",
            "a:99999999999:1",
        ] {
            assert_eq!(SubordinateRanges::parse(text).as_slice(), [], "{text}");
        }
        assert_eq!(owner("a:4294967290:5", u32::MAX - 1).as_deref(), Some("a"));
        assert_eq!(owner("a:4294967290:5", u32::MAX), None);
        assert_eq!(owner("a:4294967290:5", 0), None);
    }

    #[test]
    fn bad_line_leaves_others_valid() {
        let text = b"\n#a:1:9\nb:1\nc:1:9:\n:1:9\nd:-1:9\ne:+1:9\nf:0x1:9\ng: 1:9\nh:1:\ni:1:0\n\
                     j:1:x\n\xff:1:9\n  k:5:1  \r\n";
        let ranges = SubordinateRanges::parse(text);
        let owners: Vec<_> = ranges.as_slice().iter().map(|range| &range.owner).collect();
        assert_eq!(owners, ["k"]);
        let bad = LeftOut {
            first: 3,
            count: 11,
        };
        assert_eq!(ranges.left_out(), Some(bad));
        let good = SubordinateRanges::parse("#a:1:9\n\nk:5:1\n");
        assert_eq!(good.left_out(), None);
    }

    #[test]
    fn huge_file_is_cut() {
        let text = "a:1:1\n".repeat(MAX_RANGES + 1);
        assert_eq!(SubordinateRanges::parse(&text).as_slice().len(), MAX_RANGES);
        let text = format!("{}\na:1:1\n", "#".repeat(MAX_BYTES));
        assert_eq!(SubordinateRanges::parse(&text).as_slice(), []);
    }

    /// Ids near both ends, where arithmetic could overflow.
    fn edge() -> impl Strategy<Value = u32> {
        prop_oneof![0..40_u32, u32::MAX - 40..=u32::MAX, any::<u32>()]
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes: Vec<u8>, id: u32) {
            let _ = SubordinateRanges::parse(bytes).find(id);
        }

        #[test]
        fn id_is_found_by_arithmetic(
            ranges in prop::collection::vec((edge(), edge()), 0..6),
            id in edge(),
        ) {
            let text: String = ranges.iter().map(|(s, c)| format!("o:{s}:{c}\n")).collect();
            let holds = |(s, c): (u64, u64)| u32::try_from(s + c).is_ok() && (s..s + c).contains(&u64::from(id));
            let expected = ranges.iter().map(|(s, c)| (u64::from(*s), u64::from(*c))).find(|r| holds(*r));
            let parsed = SubordinateRanges::parse(text);
            let found = parsed.find(id).map(|r| (u64::from(r.start), u64::from(r.count)));
            prop_assert_eq!(found, expected);
            let starting: Vec<_> = parsed.starting_at(id).collect();
            let all = parsed.as_slice().iter();
            prop_assert_eq!(starting, all.filter(|r| r.start == id).collect::<Vec<_>>());
        }
    }
}
