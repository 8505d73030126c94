//! The form of a document that Pulse understands.
//!
//! Pulse walks over the chips in no particular order, and the last package
//! temperature it meets wins: on a machine with two sockets its graph would jump
//! between them. So the chips of one kind of processor become one chip with one
//! package temperature, the hottest, and with the cores of all; and the chips of
//! the board say nothing about a processor that speaks for itself.
//!
//! Only temperatures stay. Pulse has no use for fans and voltages, and it takes
//! the value of any `*_input` for a temperature.

use super::board::silence_boards;
use super::builder::MAX_FEATURES;
use super::model::{Chip, Document, Feature};
use super::processor::merge_processors;
use smol_str::SmolStr;

/// Brings a document into the form for Pulse: temperatures only, each feature with
/// exactly one `*_input`, one chip per kind of processor, and at most 512 features
/// in a chip.
///
/// Names of chips and labels do not depend on the temperatures. Doing it again
/// changes nothing.
#[must_use]
pub fn normalise(document: Document) -> Document {
    let mut chips = document.chips;
    let features = chips.iter_mut().flat_map(|chip| &mut chip.features);
    features.for_each(keep_temperature);
    let mut chips = merge_processors(chips);
    silence_boards(&mut chips);
    chips.retain_mut(keep_readings);
    Document { chips, ..document }
}

/// Leaves the values of the feature's first temperature sensor, its reading
/// first; none without a reading, since Pulse would take a limit for one.
fn keep_temperature(feature: &mut Feature) {
    let Some(place) = feature.values.iter().position(is_reading) else {
        return feature.values.clear();
    };
    let input = feature.values.remove(place);
    let sensor = input.0.strip_suffix("input").unwrap_or_default();
    feature.values.retain(|(name, value)| {
        name.starts_with(sensor) && !name.ends_with("_input") && value.is_finite()
    });
    feature.values.insert(0, input);
}

fn is_reading((name, value): &(SmolStr, f64)) -> bool {
    name.starts_with("temp") && name.ends_with("_input") && value.is_finite()
}

/// Drops the features that had only their label to give; says whether any is left.
fn keep_readings(chip: &mut Chip) -> bool {
    chip.features.retain(|feature| feature.input().is_some());
    chip.features.truncate(MAX_FEATURES);
    !chip.features.is_empty()
}
