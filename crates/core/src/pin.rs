//! Pins of collectors: hashes of their public keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::str::FromStr;

/// The prefix in curl's notation (`--pinnedpubkey`).
const PREFIX: &str = "sha256//";

/// The SHA-256 hash of a public key (`SubjectPublicKeyInfo`, RFC 7469).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin(pub [u8; 32]);

/// The text is not a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pin is SHA-256 of a public key: \"sha256//\" and 44 characters of base64, or 64 \
     hexadecimal digits"
)]
pub struct PinError;

impl FromStr for Pin {
    type Err = PinError;

    /// Parses one pin in either notation, with nothing around it.
    fn from_str(text: &str) -> Result<Self, PinError> {
        let digest = match text.strip_prefix(PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).ok(),
            None => hexadecimal(text),
        };
        let digest = digest.and_then(|bytes| bytes.try_into().ok());
        digest.map(Self).ok_or(PinError)
    }
}

impl fmt::Display for Pin {
    /// Writes curl's notation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD.encode(self.0))
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|character| u8::try_from(character.to_digit(16)?).ok())
        .collect::<Option<_>>()?;
    // An odd digit at the end is no byte.
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The well-known hash of the empty text.
    const HEXADECIMAL: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const BASE64: &str = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    #[test]
    fn both_notations_are_one_pin() {
        let pin: Pin = HEXADECIMAL.parse().unwrap();
        assert_eq!(pin.0[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert_eq!(HEXADECIMAL.to_uppercase().parse(), Ok(pin));
        assert_eq!(BASE64.parse(), Ok(pin));
        assert_eq!(pin.to_string(), BASE64);
    }

    #[test]
    fn other_texts_are_no_pins() {
        let texts = [
            String::new(),
            PREFIX.to_owned(),
            HEXADECIMAL[1..].to_owned(),
            format!("{HEXADECIMAL}0"),
            format!(" {HEXADECIMAL}"),
            format!("{HEXADECIMAL}\n"),
            HEXADECIMAL.replace('c', "g"),
            HEXADECIMAL.replacen("e3", "é", 1),
            HEXADECIMAL.replacen("e3", "+3", 1),
            format!("{PREFIX}{HEXADECIMAL}"),
            BASE64.trim_end_matches('=').to_owned(),
            BASE64.replace('+', "-").replace('/', "_"),
            BASE64.replacen("FU=", "FV=", 1),
            BASE64.replace("sha256", "SHA256"),
            BASE64.replace("sha256", "sha1"),
            format!("{BASE64};{BASE64}"),
            format!("{PREFIX}AAAA"),
        ];
        for text in texts {
            assert_eq!(text.parse::<Pin>(), Err(PinError), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn pins_parse_as_displayed(bytes: [u8; 32]) {
            let pin = Pin(bytes);
            prop_assert_eq!(pin.to_string().parse(), Ok(pin));
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(digits.parse(), Ok(pin));
        }

        #[test]
        fn no_text_causes_a_panic(text: String, number in 0_usize..70) {
            let _ = text.parse::<Pin>();
            let cut: String = BASE64.chars().take(number).chain(text.chars()).collect();
            let _ = cut.parse::<Pin>();
        }
    }
}
