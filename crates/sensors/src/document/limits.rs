//! The limits of a document, for the helper that fills one and for the daemon that reads it.

use super::model::Chip;
use super::state::Omitted;

/// The maximum number of chips in a document.
pub const MAX_CHIPS: usize = 1_024;

/// The maximum number of features in a chip.
pub const MAX_FEATURES: usize = 1_024;

/// The maximum number of features in a document.
pub const MAX_FEATURES_IN_ALL: usize = 4_096;

/// The maximum number of disks in a document.
pub const MAX_DISKS: usize = 1_024;

/// The maximum number of entries in each list of a [`SensorState`](super::SensorState).
pub const MAX_STATE_ENTRIES: usize = 1_024;

/// The age in milliseconds from which a value is not a temperature of now.
pub const MAX_AGE_MS: u64 = 60_000;

/// Cuts the longest chips at their tail, all to one length, so that at most `max` features are
/// left. Chips that are shorter stay whole.
///
/// The longest chips are those of processors, whose tail is cores, so packages (the first channel),
/// disks and boards are kept. The result does not depend on the order of the chips.
pub fn level(chips: &mut [Chip], max: usize) -> Vec<Omitted> {
    let mut lengths: Vec<usize> = chips.iter().map(|chip| chip.features.len()).collect();
    if lengths.iter().sum::<usize>() <= max {
        return Vec::new();
    }
    lengths.sort_unstable();
    // From the shortest chip: each that is below an equal share of the rest leaves more to those
    // that follow.
    let (mut room, mut share) = (max, 0);
    for (index, length) in lengths.iter().enumerate() {
        share = room / (lengths.len() - index);
        if *length > share {
            break;
        }
        room -= length;
    }
    chips
        .iter_mut()
        .filter_map(|chip| cut(chip, share))
        .collect()
}

/// Cuts a chip at its tail; `None` if it is not longer than `length`.
pub(super) fn cut(chip: &mut Chip, length: usize) -> Option<Omitted> {
    let sensors = chip.features.len().saturating_sub(length);
    chip.features.truncate(length);
    (sensors > 0).then(|| Omitted {
        chip: chip.name.clone(),
        sensors: sensors as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Feature;

    fn chips(lengths: &[usize]) -> Vec<Chip> {
        let chip = |(index, length): (usize, &usize)| Chip {
            name: format!("x-isa-{index:x}"),
            adapter: None,
            features: vec![Feature::default(); *length],
        };
        lengths.iter().enumerate().map(chip).collect()
    }

    fn levelled(lengths: &[usize], max: usize) -> Vec<usize> {
        let mut chips = chips(lengths);
        level(&mut chips, max);
        chips.iter().map(|chip| chip.features.len()).collect()
    }

    #[test]
    fn longest_chips_are_cut() {
        assert_eq!(levelled(&[3, 3], 6), [3, 3]);
        assert_eq!(levelled(&[9, 1, 2, 8], 10), [3, 1, 2, 3]);
        assert_eq!(levelled(&[1_000, 5, 4_000], 4_096), [1_000, 5, 3_091]);
        assert_eq!(levelled(&[5, 5], 1), [0, 0]);
        assert_eq!(levelled(&[], 0), [0; 0]);
    }
}
