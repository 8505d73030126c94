//! A collector's public key, as operators write it down.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::str::FromStr;

/// As curl has it (`--pinnedpubkey`).
const PREFIX: &str = "sha256//";

/// SHA-256 of a public key (its `SubjectPublicKeyInfo`, RFC 7469).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin(pub [u8; 32]);

/// A text is no pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pin is SHA-256 of a public key: \"sha256//\" and 44 characters of base64, or 64 \
     hexadecimal digits"
)]
pub struct PinError;

impl FromStr for Pin {
    type Err = PinError;

    /// Reads either form; nothing around it, and one pin only.
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
    /// In curl's form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD.encode(self.0))
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(digit).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    let (pairs, _) = digits.as_chunks::<2>();
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn digit(character: char) -> Option<u8> {
    character
        .to_digit(16)
        .and_then(|digit| digit.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of the empty text, as everybody knows it.
    const HEXADECIMAL: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const BASE64: &str = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    #[test]
    fn both_forms_are_one_pin_and_it_is_shown_as_curl_has_it() {
        let pin: Pin = HEXADECIMAL.parse().unwrap();
        assert_eq!(pin.0[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert_eq!(HEXADECIMAL.to_uppercase().parse(), Ok(pin));
        assert_eq!(BASE64.parse(), Ok(pin));
        assert_eq!(pin.to_string(), BASE64);
    }

    #[test]
    fn what_is_nearly_a_pin_is_none() {
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
        fn every_pin_is_read_as_it_is_shown(bytes: [u8; 32]) {
            let pin = Pin(bytes);
            prop_assert_eq!(pin.to_string().parse(), Ok(pin));
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(digits.parse(), Ok(pin));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String, number in 0_usize..70) {
            let _ = text.parse::<Pin>();
            let cut: String = BASE64.chars().take(number).chain(text.chars()).collect();
            let _ = cut.parse::<Pin>();
        }
    }
}
