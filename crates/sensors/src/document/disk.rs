//! The members of a disk, as different wrappers write them.
//!
//! Pulse parses strictly: with a temperature of 41.0 instead of 41 it drops the whole document.
//! So each member is converted to the form that Pulse expects, or left out.

use super::model::Disk;
use super::reader::Dropped;
use super::scalar::Scalar;
use super::sentinel::RANGE;
use super::text::clean;
use super::timestamp::is_rfc3339;

/// The hexadecimal digits of a world wide name.
const WWN_DIGITS: usize = 16;

/// The prefix of an NVMe namespace's identifier, as udev and Proxmox write it.
const NAMESPACE_PREFIX: &str = "eui.";

/// Sets the member of this name. A value that cannot be used is counted in `dropped`.
pub(super) fn set(disk: &mut Disk, name: &str, value: &Scalar<'_>, dropped: &mut Dropped) {
    let member = match name {
        "device" => &mut disk.device,
        "serial" => &mut disk.serial,
        "model" => &mut disk.model,
        "type" => &mut disk.kind,
        _ => return set_other(disk, name, value, dropped),
    };
    match value {
        // Trimmed again: the cut can leave a blank at the end.
        Scalar::Text(text) => clean(text.trim()).trim_end().clone_into(member),
        Scalar::Null => {}
        _ => dropped.malformed += 1,
    }
}

fn set_other(disk: &mut Disk, name: &str, value: &Scalar<'_>, dropped: &mut Dropped) {
    match (name, value) {
        ("temperature", _) => disk.temperature = temperature(value, dropped),
        ("wwn", Scalar::Text(text)) => disk.wwn = wwn(text).unwrap_or_default(),
        ("standbySkipped", Scalar::Bool(skipped)) => disk.standby_skipped = *skipped,
        ("lastUpdated", Scalar::Text(text)) if is_rfc3339(text) => {
            disk.last_updated = Some(clean(text));
        }
        (_, Scalar::Null) => {}
        ("wwn" | "standbySkipped" | "lastUpdated", _) => dropped.malformed += 1,
        _ => {}
    }
}

/// The complete disk. Wrappers write 0 °C for a disk in standby, which is no reading.
pub(super) fn finish(mut disk: Disk) -> Disk {
    if disk.standby_skipped && disk.temperature == Some(0) {
        disk.temperature = None;
    }
    disk
}

/// Whole degrees Celsius. A number in quotes is accepted and counted as malformed.
fn temperature(value: &Scalar<'_>, dropped: &mut Dropped) -> Option<i32> {
    if !matches!(value, Scalar::Number(_) | Scalar::Null) {
        dropped.malformed += 1;
    }
    let degrees = value.number()?;
    if !RANGE.contains(&degrees) {
        dropped.implausible += 1;
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a plausible temperature fits into an i32"
    )]
    Some(degrees.round() as i32)
}

/// `0x` and 16 lower-case hexadecimal digits, from any notation of a 64-bit world wide name; or
/// `eui.` and 16 or 32 digits, the identifier of an NVMe namespace. Proxmox lists both so, and
/// Pulse compares the whole text.
///
/// `None` for a name of another length: it counts as unknown and not as malformed.
fn wwn(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let is_hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(digits) = lower.strip_prefix(NAMESPACE_PREFIX) {
        let is_id = matches!(digits.len(), 16 | 32) && is_hex(digits);
        return is_id.then_some(lower);
    }
    // Prefixes of udev, the SCSI name formats, and hexadecimal notation, in the order in which
    // they occur together (`wwn-0x`).
    let bare = ["wwn-", "naa.", "0x"]
        .iter()
        .fold(lower.as_str(), |rest, prefix| {
            rest.strip_prefix(prefix).unwrap_or(rest)
        });
    let digits: String = bare
        .chars()
        .filter(|c| !matches!(c, ' ' | ':' | '-'))
        .collect();
    (digits.len() == WWN_DIGITS && is_hex(&digits)).then(|| format!("0x{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with one member set, and the counts.
    fn with(name: &str, value: &Scalar<'_>) -> (Disk, Dropped) {
        let (mut disk, mut dropped) = (Disk::default(), Dropped::default());
        set(&mut disk, name, value, &mut dropped);
        (finish(disk), dropped)
    }

    #[test]
    fn temperature_is_whole_or_unknown() {
        let cases = [
            (Scalar::Number(41.0), Some(41), 0, 0),
            (Scalar::Number(41.5), Some(42), 0, 0),
            (Scalar::Number(-0.4), Some(0), 0, 0),
            (Scalar::Null, None, 0, 0),
            (Scalar::Text("41".into()), Some(41), 0, 1),
            (Scalar::Text("-".into()), None, 0, 1),
            (Scalar::Bool(true), None, 0, 1),
            (Scalar::Number(-128.0), None, 1, 0),
            (Scalar::Number(65261.85), None, 1, 0),
            (Scalar::Number(f64::NAN), None, 1, 0),
        ];
        for (value, expected, implausible, malformed) in cases {
            let (disk, dropped) = with("temperature", &value);
            assert_eq!(disk.temperature, expected, "{value:?}");
            assert_eq!(
                dropped,
                Dropped {
                    implausible,
                    malformed
                },
                "{value:?}"
            );
        }
    }

    #[test]
    fn zero_in_standby_is_no_reading() {
        let asleep = Disk {
            standby_skipped: true,
            temperature: Some(0),
            ..Disk::default()
        };
        assert_eq!(finish(asleep).temperature, None);
        let cold = Disk {
            temperature: Some(0),
            ..Disk::default()
        };
        assert_eq!(finish(cold).temperature, Some(0));
    }

    #[test]
    fn wwn_notations_are_unified() {
        for text in [
            "5000c500a1b2c3d4",
            "0x5000C500A1B2C3D4",
            "naa.5000c500a1b2c3d4",
            "wwn-0x5000c500a1b2c3d4",
            "5 000c50 0a1b2c3d4",
            " 50:00:c5:00:a1:b2:c3:d4 ",
        ] {
            assert_eq!(wwn(text).as_deref(), Some("0x5000c500a1b2c3d4"), "{text}");
        }
        for text in [
            "",
            "0x",
            "0x5000c500a1b2c3d",
            "x000c500a1b2c3d4",
            "eui.0025385b71b0a8f",
            "eui.0025385b-71b0a8f3",
            "nvme.8086-50484c4a-494e54454c-00000001",
        ] {
            assert_eq!(wwn(text), None, "{text}");
        }
        for text in [
            "eui.0025385b71b0a8f3",
            "eui.00000000000000000025385b71b0a8f3",
        ] {
            assert_eq!(wwn(&text.to_uppercase()).as_deref(), Some(text));
        }
    }

    #[test]
    fn invalid_timestamp_is_dropped() {
        let (disk, dropped) = with("lastUpdated", &Scalar::Text("yesterday".into()));
        assert_eq!((disk.last_updated, dropped.malformed), (None, 1));
    }
}
