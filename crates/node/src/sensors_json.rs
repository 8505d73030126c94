//! Readings in the shape and formatting of `sensors -j`, for callers that ask for lm-sensors.
//!
//! Unlike the output of lm-sensors, it is always valid JSON: labels are escaped, and there is no
//! comma after the last member.

use crate::reader::within_limit;
use pulse_sensors::document::{Chip, Document, Feature};
use std::fmt::Write;

/// The chips of a document as `sensors -j` prints them, in at most
/// [`MAX_DOCUMENT_BYTES`](crate::MAX_DOCUMENT_BYTES).
#[must_use]
pub fn to_sensors_json(document: Document) -> String {
    within_limit(document, |document| {
        format!("{{\n{}\n}}\n", joined(document.chips.iter().map(chip)))
    })
}

fn joined(members: impl Iterator<Item = String>) -> String {
    members.collect::<Vec<_>>().join(",\n")
}

fn chip(chip: &Chip) -> String {
    let members = chip
        .adapter
        .iter()
        .map(|name| format!("      \"Adapter\": {}", quoted(name)))
        .chain(chip.features.iter().map(feature));
    format!("   {}:{{\n{}\n   }}", quoted(&chip.name), joined(members))
}

fn feature(feature: &Feature) -> String {
    // JSON has no notation for `nan` and `inf` (RFC 8259, section 6).
    let values = feature
        .values
        .iter()
        .filter(|(_, value)| value.is_finite())
        .map(|(name, value)| format!("         {}: {value:.3}", quoted(name)));
    format!(
        "      {}:{{\n{}\n      }}",
        quoted(&feature.label),
        joined(values)
    )
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // Writing to a String never fails.
            c if c.is_control() => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_matches_lm_sensors() {
        let values = vec![("temp1_input".into(), 41.85), ("temp1_crit".into(), 95.0)];
        let label = "Package \"0\"\u{7}".into();
        let document = Document {
            chips: vec![Chip {
                name: "coretemp-isa-0000".to_owned(),
                adapter: Some("ISA adapter".to_owned()),
                features: vec![Feature { label, values }],
            }],
            ..Document::default()
        };
        let expected = r#"{
   "coretemp-isa-0000":{
      "Adapter": "ISA adapter",
      "Package \"0\"\u0007":{
         "temp1_input": 41.850,
         "temp1_crit": 95.000
      }
   }
}
"#;
        assert_eq!(to_sensors_json(document), expected);
        assert_eq!(to_sensors_json(Document::default()), "{\n\n}\n");
    }
}
