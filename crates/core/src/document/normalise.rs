//! The form of a document that Pulse understands.
//!
//! Pulse walks over the chips in no particular order, and the last package
//! temperature it meets wins: on a machine with two sockets its graph would jump
//! between them. So the chips of one kind of processor become one chip with one
//! package temperature, the hottest, and with the cores of all.
//!
//! Only temperatures stay. Pulse has no use for fans and voltages, and it takes
//! the value of any `*_input` for a temperature.

use super::model::{Chip, Document, Feature};
use super::processor::merge_processors;

/// Brings a document into the form for Pulse: temperatures only, each feature with
/// exactly one `*_input`, and one chip per kind of processor.
///
/// Doing it again changes nothing.
#[must_use]
pub fn normalise(document: Document) -> Document {
    let chips = document
        .chips
        .into_iter()
        .filter_map(temperatures_of_chip)
        .collect();
    Document {
        chips: merge_processors(chips),
        ..document
    }
}

fn temperatures_of_chip(chip: Chip) -> Option<Chip> {
    let features: Vec<_> = chip.features.into_iter().filter_map(temperature).collect();
    (!features.is_empty()).then_some(Chip { features, ..chip })
}

/// The feature with the values of its first temperature sensor; none without a
/// reading, since Pulse would take a limit for one.
fn temperature(mut feature: Feature) -> Option<Feature> {
    let is_reading = |(name, value): &&(String, f64)| {
        name.starts_with("temp") && name.ends_with("_input") && value.is_finite()
    };
    let input = feature.values.iter().find(is_reading)?.clone();
    let sensor = input.0.strip_suffix("input")?.to_owned();
    feature.values.retain(|(name, value)| {
        name.starts_with(&sensor) && !name.ends_with("_input") && value.is_finite()
    });
    feature.values.insert(0, input);
    Some(feature)
}
