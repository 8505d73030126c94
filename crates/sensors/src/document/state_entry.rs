//! The members of an entry of `sensor_state`, for both readers.
//!
//! An entry without one of its members, or with one of another shape, is left out and counted as
//! malformed. Unknown members are ignored, so that a newer helper can add some.

use super::limits::MAX_STATE_ENTRIES;
use super::scalar::Scalar;
use super::state::{Answering, ChipState, DropReason, DroppedValue, Omitted, SensorState};
use super::text::{clean, clean_name};
use smol_str::SmolStr;

/// The highest whole number that every reader of JSON keeps exactly (RFC 8259, section 6).
const MAX_WHOLE: f64 = 9_007_199_254_740_991.0;

/// A list of `sensor_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StateList {
    Chips,
    Dropped,
    Omitted,
}

impl StateList {
    /// The list with this key.
    pub(super) fn with_key(key: &str) -> Option<Self> {
        match key {
            "chips" => Some(Self::Chips),
            "dropped" => Some(Self::Dropped),
            "omitted" => Some(Self::Omitted),
            _ => None,
        }
    }
}

/// An incomplete entry.
pub(super) struct StateEntry {
    list: StateList,
    chip: Option<String>,
    answering: Option<Answering>,
    age_ms: Option<u64>,
    sensor: Option<SmolStr>,
    value: Option<f64>,
    reason: Option<DropReason>,
    sensors: Option<u64>,
    is_malformed: bool,
}

impl StateEntry {
    pub(super) fn of(list: StateList) -> Self {
        Self {
            list,
            chip: None,
            answering: None,
            age_ms: None,
            sensor: None,
            value: None,
            reason: None,
            sensors: None,
            is_malformed: false,
        }
    }

    /// Sets the member of this name.
    pub(super) fn set(&mut self, name: &str, value: &Scalar<'_>) {
        // Null is the same as a member that is absent.
        if *value == Scalar::Null {
            return;
        }
        let text = match value {
            Scalar::Text(text) => Some(text.as_ref()),
            _ => None,
        };
        let is_set = match (self.list, name) {
            (_, "chip") => set(&mut self.chip, text.map(clean)),
            (StateList::Chips, "state") => {
                set(&mut self.answering, text.and_then(Answering::from_name))
            }
            (StateList::Chips, "age_ms") => set(&mut self.age_ms, whole(value)),
            (StateList::Dropped, "sensor") => set(&mut self.sensor, text.map(clean_name)),
            (StateList::Dropped, "value") => set(&mut self.value, finite(value)),
            (StateList::Dropped, "reason") => {
                set(&mut self.reason, text.and_then(DropReason::from_name))
            }
            (StateList::Omitted, "sensors") => set(&mut self.sensors, whole(value)),
            _ => true,
        };
        self.is_malformed |= !is_set;
    }

    /// Adds the entry to its list. False if it is malformed or exceeds the limit.
    pub(super) fn finish(self, state: &mut SensorState) -> bool {
        let length = match self.list {
            StateList::Chips => state.chips.len(),
            StateList::Dropped => state.dropped.len(),
            // Entries of one chip are added up.
            StateList::Omitted => 0,
        };
        !self.is_malformed && length < MAX_STATE_ENTRIES && self.add(state).is_some()
    }

    fn add(self, state: &mut SensorState) -> Option<()> {
        let chip = self.chip?;
        match self.list {
            StateList::Chips => state.chips.push(ChipState {
                chip,
                answering: self.answering?,
                age_ms: self.age_ms,
            }),
            StateList::Dropped => state.dropped.push(DroppedValue {
                chip,
                sensor: self.sensor?,
                value: self.value?,
                reason: self.reason?,
            }),
            StateList::Omitted => {
                let omitted = Omitted {
                    chip,
                    sensors: self.sensors?,
                };
                return state.omit(omitted).then_some(());
            }
        }
        Some(())
    }
}

/// Sets a member; false if there is no value, or if it was set before.
fn set<T>(member: &mut Option<T>, value: Option<T>) -> bool {
    let is_first = member.is_none();
    if is_first {
        *member = value;
    }
    is_first && member.is_some()
}

fn finite(value: &Scalar<'_>) -> Option<f64> {
    match value {
        Scalar::Number(number) if number.is_finite() => Some(*number),
        _ => None,
    }
}

fn whole(value: &Scalar<'_>) -> Option<u64> {
    let number = finite(value)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in the range of whole numbers that f64 has"
    )]
    ((0.0..=MAX_WHOLE).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The state after one entry.
    fn after(list: StateList, members: &[(&str, Scalar<'_>)]) -> Option<SensorState> {
        let mut entry = StateEntry::of(list);
        for (name, value) in members {
            entry.set(name, value);
        }
        let mut state = SensorState::default();
        entry.finish(&mut state).then_some(state)
    }

    fn text(text: &str) -> Scalar<'_> {
        Scalar::Text(text.into())
    }

    #[test]
    fn complete_entries_are_kept() {
        let chip = ("chip", text("x-isa-0\u{7}"));
        let state = after(
            StateList::Chips,
            &[
                chip.clone(),
                ("state", text("slow")),
                ("age_ms", Scalar::Number(4200.0)),
                ("since", Scalar::Other),
            ],
        );
        let expected = ChipState {
            chip: "x-isa-0\u{fffd}".to_owned(),
            answering: Answering::Slow,
            age_ms: Some(4200),
        };
        assert_eq!(state.unwrap().chips, [expected]);
        let pending = [
            chip.clone(),
            ("state", text("pending")),
            ("age_ms", Scalar::Null),
        ];
        assert!(after(StateList::Chips, &pending).is_some());
        let omitted = [chip, ("sensors", Scalar::Number(MAX_WHOLE))];
        assert!(after(StateList::Omitted, &omitted).is_some());
    }

    #[test]
    fn malformed_entries_are_left_out() {
        let chip = ("chip", text("x-isa-0"));
        let state = ("state", text("stale"));
        for members in [
            vec![],
            vec![chip.clone()],
            vec![state.clone()],
            vec![chip.clone(), chip.clone(), state.clone()],
            vec![("chip", Scalar::Number(1.0)), state.clone()],
            vec![chip.clone(), ("state", text("Stale"))],
            vec![
                chip.clone(),
                state.clone(),
                ("age_ms", Scalar::Number(-1.0)),
            ],
            vec![chip.clone(), state.clone(), ("age_ms", Scalar::Number(0.5))],
            vec![chip.clone(), state, ("age_ms", Scalar::Number(1e300))],
        ] {
            assert_eq!(after(StateList::Chips, &members), None, "{members:?}");
        }
        let value = Scalar::Number(f64::NAN);
        let dropped = [
            chip,
            ("sensor", text("a")),
            ("value", value),
            ("reason", text("not_set")),
        ];
        assert_eq!(after(StateList::Dropped, &dropped), None);
    }
}
