//! The builder of a document, for both readers: limits, unique names, counts.
//!
//! A reader reports what it finds, in order; the builder decides what is kept. What exceeds a limit
//! is dropped and counted, without an effect on other sensors. Values that mean nothing are kept:
//! the history of a node judges them.

use super::disk;
use super::limits::{MAX_CHIPS, MAX_DISKS, MAX_FEATURES, MAX_FEATURES_IN_ALL, level};
use super::model::{Chip, Disk, Document, Feature, HelperInfo};
use super::reader::Dropped;
use super::scalar::Scalar;
use super::sentinel::RANGE;
use super::shape::ADAPTER;
use super::state::{DropReason, DroppedValue, Omitted};
use super::state_entry::{StateEntry, StateList};
use super::text::{clean, clean_name, unique};
use super::timestamp::is_rfc3339;
use smol_str::SmolStr;

/// The maximum number of features that are kept until the document is complete and they can be
/// chosen among, which bounds the memory.
const MAX_FEATURES_READ: usize = 4 * MAX_FEATURES_IN_ALL;

/// The initial capacity for features, enough for most chips.
const USUAL_FEATURES: usize = 16;

/// The maximum number of values in a feature.
const MAX_VALUES: usize = 64;

/// An incomplete document.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) document: Document,
    pub(super) dropped: Dropped,
    /// The output contains a part that only a sensor document has.
    pub(super) recognised: bool,
    /// The error that the helper sent instead of a document.
    pub(super) refusal: Option<String>,
    /// The open chip, feature and disk; `None` also while one that exceeds a limit is skipped.
    chip: Option<Chip>,
    feature: Option<Feature>,
    disk: Option<Disk>,
    /// The temperature of the open disk that no `Disk` can have.
    disk_out_of_range: Option<f64>,
    state_entry: Option<StateEntry>,
    /// The number of features of all chips.
    features: usize,
    /// The name of the open chip if it exceeds the limit of chips.
    omitted_chip: Option<String>,
    /// The number of features of the open chip that exceed a limit.
    omitted_features: u64,
    /// The open chip has values outside of a feature, as no real chip has.
    chip_has_strays: bool,
}

impl Builder {
    /// Counts a part that could not be parsed.
    pub(super) fn malformed(&mut self) {
        self.dropped.malformed += 1;
    }

    pub(super) fn start_chip(&mut self, name: &str) {
        self.recognised = true;
        self.chip_has_strays = false;
        if self.document.chips.len() >= MAX_CHIPS {
            // `chip` stays `None`, which skips the features too.
            self.omitted_chip = Some(clean(name));
            return;
        }
        let taken = self.document.chips.iter().map(|chip| chip.name.as_str());
        self.chip = Some(Chip {
            name: unique(clean(name), taken),
            features: Vec::with_capacity(USUAL_FEATURES),
            ..Chip::default()
        });
    }

    pub(super) fn adapter(&mut self, adapter: &Scalar<'_>) {
        match (adapter, &mut self.chip) {
            (Scalar::Text(text), Some(chip)) => chip.adapter = Some(clean(text)),
            (Scalar::Text(_) | Scalar::Null, _) => {}
            _ => self.malformed(),
        }
    }

    /// A value of a chip outside of its features.
    pub(super) fn stray(&mut self) {
        self.chip_has_strays = true;
        self.malformed();
    }

    pub(super) fn end_chip(&mut self) {
        self.end_feature();
        let omitted_chip = self.omitted_chip.take();
        let sensors = std::mem::take(&mut self.omitted_features);
        if sensors > 0
            && let Some(chip) = omitted_chip.or_else(|| Some(self.chip.as_ref()?.name.clone()))
        {
            self.omit(Omitted { chip, sensors });
        }
        let Some(chip) = self.chip.take() else { return };
        // An object with values and without features is another program's, whose key was taken for
        // the name of a chip.
        if !(self.chip_has_strays && chip.features.is_empty()) {
            self.document.chips.push(chip);
        }
    }

    pub(super) fn start_feature(&mut self, label: &str) {
        let chip = self.chip.as_ref();
        let has_room =
            |chip: &&Chip| chip.features.len() < MAX_FEATURES && self.features < MAX_FEATURES_READ;
        let Some(chip) = chip.filter(has_room) else {
            self.omitted_features += 1;
            return;
        };
        self.features += 1;
        let labels = chip.features.iter().map(|feature| feature.label.as_str());
        self.feature = Some(Feature {
            label: unique(clean_name(label), labels.chain([ADAPTER])),
            ..Feature::default()
        });
    }

    /// A value of the feature. A number in quotes is accepted and counted as malformed.
    pub(super) fn value(&mut self, name: &str, value: &Scalar<'_>) {
        if matches!(value, Scalar::Text(_)) {
            self.malformed();
        }
        match value.number() {
            // `nan` and `inf` parse as numbers.
            Some(number) if number.is_finite() => self.number(clean_name(name), number),
            Some(_) => self.dropped.implausible += 1,
            // Null is a value that the node does not know; a text was counted above.
            None if matches!(value, Scalar::Null | Scalar::Text(_)) => {}
            None => self.malformed(),
        }
    }

    fn number(&mut self, name: SmolStr, number: f64) {
        let Some(feature) = &mut self.feature else {
            return;
        };
        // The first of two equal keys counts, whichever reader is at work.
        if feature.values.len() >= MAX_VALUES
            || feature.values.iter().any(|(known, _)| *known == name)
        {
            return self.malformed();
        }
        feature.values.push((name, number));
    }

    pub(super) fn end_feature(&mut self) {
        if let (Some(feature), Some(chip)) = (self.feature.take(), &mut self.chip) {
            chip.features.push(feature);
        }
    }

    pub(super) fn start_disk(&mut self) {
        self.recognised = true;
        self.disk = Some(Disk::default());
    }

    pub(super) fn disk_field(&mut self, name: &str, value: &Scalar<'_>) {
        let Some(disk) = &mut self.disk else { return };
        disk::set(disk, name, value, &mut self.dropped);
        if name == "temperature" {
            self.disk_out_of_range = value
                .number()
                .filter(|value| value.is_finite() && !RANGE.contains(value));
        }
    }

    /// Keeps the disk if it has a device.
    pub(super) fn end_disk(&mut self) {
        let out_of_range = self.disk_out_of_range.take();
        let Some(disk) = self.disk.take() else { return };
        if disk.device.is_empty() {
            return self.malformed();
        }
        if self.document.disks.len() >= MAX_DISKS {
            return self.omit(Omitted {
                chip: disk.device,
                sensors: 1,
            });
        }
        if let Some(value) = out_of_range {
            self.document.state.add_dropped(DroppedValue {
                chip: disk.device.clone(),
                sensor: SmolStr::new_static("temperature"),
                value,
                reason: DropReason::OutOfRange,
            });
        }
        self.document.disks.push(disk::finish(disk));
    }

    pub(super) fn start_state_entry(&mut self, list: StateList) {
        self.state_entry = Some(StateEntry::of(list));
    }

    pub(super) fn state_field(&mut self, name: &str, value: &Scalar<'_>) {
        if let Some(entry) = &mut self.state_entry {
            entry.set(name, value);
        }
    }

    pub(super) fn end_state_entry(&mut self) {
        if let Some(entry) = self.state_entry.take()
            && !entry.finish(&mut self.document.state)
        {
            self.malformed();
        }
    }

    /// Adds sensors that were left out. If their list is full, they count as malformed.
    fn omit(&mut self, omitted: Omitted) {
        if !self.document.state.omit(omitted) {
            self.malformed();
        }
    }

    /// The complete document, with the limit of all features applied.
    pub(super) fn finish(mut self) -> Self {
        for omitted in level(&mut self.document.chips, MAX_FEATURES_IN_ALL) {
            self.omit(omitted);
        }
        self
    }

    /// A member of the document itself, beside the sensors and the disks.
    pub(super) fn document_field(&mut self, name: &str, value: &Scalar<'_>) {
        let Scalar::Text(text) = value else { return };
        match name {
            "error" => self.refusal = Some(clean(text)),
            "collected_at" if is_rfc3339(text) => self.document.collected_at = Some(clean(text)),
            "collected_at" => self.malformed(),
            _ => {}
        }
    }

    pub(super) fn helper_field(&mut self, name: &str, value: &Scalar<'_>) {
        if let ("version", Scalar::Text(text)) = (name, value) {
            self.document.helper = Some(HelperInfo {
                version: clean(text),
            });
        }
    }
}
