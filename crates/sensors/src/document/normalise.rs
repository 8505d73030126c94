//! Normalisation of a document for Pulse.
//!
//! Pulse iterates over the chips in random order and keeps the last package temperature that it
//! finds: on a machine with two sockets its graph would alternate between them. So the chips of
//! one kind of processor are merged into one, with the highest package temperature and the cores
//! of all, and a board's readings of a processor that has its own chip are removed.
//!
//! Only temperatures are kept: Pulse takes the value of any `*_input` for a temperature, including
//! that of a fan or a voltage.

use super::age::remove_aged;
use super::board::remove_board_readings;
use super::limits::{MAX_FEATURES, MAX_FEATURES_IN_ALL, cut, level};
use super::model::{Chip, Document, Feature};
use super::processor::merge_processors;
use super::substitute::add_processor;
use smol_str::SmolStr;

/// Normalises a document for Pulse: temperatures only, each feature with exactly one `*_input`,
/// one chip for each kind of processor, nothing that is older than a minute. What exceeds a limit of
/// documents afterwards is cut, and said in `state`.
///
/// The names of chips and labels do not depend on the temperatures. The function is idempotent.
#[must_use]
pub fn normalise(mut document: Document) -> Document {
    remove_aged(&mut document);
    let Document {
        mut chips,
        mut state,
        ..
    } = document;
    chips
        .iter_mut()
        .flat_map(|chip| &mut chip.features)
        .for_each(keep_temperature);
    chips.iter_mut().for_each(label_gpu);
    // Features without a reading are removed last, because merging numbers them too.
    let mut chips = merge_processors(chips, &mut state);
    add_processor(&mut chips, &mut state);
    remove_board_readings(&mut chips);
    chips.retain_mut(|chip| {
        chip.features.retain(|feature| feature.input().is_some());
        if let Some(omitted) = cut(chip, MAX_FEATURES) {
            state.omit(omitted);
        }
        !chip.features.is_empty()
    });
    for omitted in level(&mut chips, MAX_FEATURES_IN_ALL) {
        state.omit(omitted);
    }
    Document {
        chips,
        state,
        ..document
    }
}

/// nouveau's only temperature has no label, and Pulse takes one of that driver whose label has
/// `gpu` or `core`.
fn label_gpu(chip: &mut Chip) {
    if chip.driver() == "nouveau"
        && let Some(only) = chip.features.iter_mut().find(|f| f.label == "temp1")
    {
        only.label = SmolStr::new_static("GPU core");
    }
}

/// Keeps the values of the feature's first temperature sensor, the reading first. Without a
/// reading it keeps nothing: Pulse would take a limit for the temperature.
fn keep_temperature(feature: &mut Feature) {
    let is_reading = |(name, value): &(SmolStr, f64)| {
        name.starts_with("temp") && name.ends_with("_input") && value.is_finite()
    };
    let Some(index) = feature.values.iter().position(is_reading) else {
        return feature.values.clear();
    };
    let input = feature.values.remove(index);
    // Values of another sensor in the same feature (`temp2_max`) are dropped with its reading.
    let sensor = input.0.strip_suffix("input").unwrap_or_default();
    feature.values.retain(|(name, value)| {
        name.starts_with(sensor) && !name.ends_with("_input") && value.is_finite()
    });
    feature.values.insert(0, input);
}
