//! The host field of a line: a list of patterns, or one hashed name.

use super::line::LineError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The most bytes of a pattern; OpenSSH's own limit.
pub(super) const MAX_PATTERN_BYTES: usize = 1023;

/// The prefix of a hashed name; the 1 stands for HMAC-SHA1.
const HASH_PREFIX: &[u8] = b"|1|";
const HASH_DELIMITER: u8 = b'|';
const SHA1_BYTES: usize = 20;

/// The hosts of a line.
#[derive(Clone, Debug)]
pub(super) enum HostPatterns {
    List(Vec<Pattern>),
    Hashed {
        salt: [u8; SHA1_BYTES],
        hash: [u8; SHA1_BYTES],
    },
}

/// One pattern of a list, in lower case.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: Box<str>,
    negated: bool,
}

/// The result of matching a line with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    /// A negated pattern matched, which overrides every other pattern of the line.
    Excluded,
}

impl HostPatterns {
    pub(super) fn parse(field: &[u8]) -> Result<Self, LineError> {
        if field.first() == Some(&HASH_DELIMITER) {
            return parse_hashed(field).ok_or(LineError::BadHash);
        }
        let mut patterns = Vec::new();
        for item in field.split(|byte| *byte == b',') {
            patterns.extend(Pattern::parse(item)?);
        }
        if patterns.is_empty() {
            return Err(LineError::BadPattern);
        }
        Ok(Self::List(patterns))
    }

    /// `host` is in lower case.
    pub(super) fn matches(&self, host: &str) -> Match {
        match self {
            Self::List(patterns) => {
                let mut outcome = Match::No;
                for pattern in patterns {
                    if !wildcard_matches(&pattern.text, host) {
                        continue;
                    }
                    if pattern.negated {
                        return Match::Excluded;
                    }
                    outcome = Match::Yes;
                }
                outcome
            }
            // A comparison in constant time is not needed, but is what the library has: the hash
            // hides names from whoever steals the file and authenticates nobody. HMAC accepts
            // keys of any length, so the error does not happen.
            Self::Hashed { salt, hash }
                if Hmac::<Sha1>::new_from_slice(salt)
                    .is_ok_and(|hmac| hmac.chain_update(host).verify_slice(hash).is_ok()) =>
            {
                Match::Yes
            }
            Self::Hashed { .. } => Match::No,
        }
    }

    /// The names, if the field has no hash, wildcard or negation.
    pub(super) fn plain_names(&self) -> Option<Vec<&str>> {
        let Self::List(patterns) = self else {
            return None;
        };
        let mut names = patterns
            .iter()
            .map(|pattern| {
                let is_plain = !pattern.negated && !pattern.text.contains(['*', '?']);
                is_plain.then_some(&*pattern.text)
            })
            .collect::<Option<Vec<_>>>()?;
        // A name that the line has twice is one entry of the index.
        names.sort_unstable();
        names.dedup();
        Some(names)
    }
}

impl Pattern {
    /// Parses an item of a list; `None` between two adjacent commas.
    fn parse(item: &[u8]) -> Result<Option<Self>, LineError> {
        let (negated, text) = match item.strip_prefix(b"!") {
            Some(text) => (true, text),
            None => (false, item),
        };
        if text.is_empty() {
            return Ok(None);
        }
        let printable = text.iter().all(u8::is_ascii_graphic);
        if !printable || text.len() > MAX_PATTERN_BYTES || text.contains(&HASH_DELIMITER) {
            return Err(LineError::BadPattern);
        }
        let text = str::from_utf8(text).map_err(|_| LineError::BadPattern)?;
        Ok(Some(Self {
            text: text.to_ascii_lowercase().into(),
            negated,
        }))
    }
}

/// Matches `*` (any bytes) and `?` (any one byte) against the whole text.
///
/// After a mismatch only the last `*` is extended by a byte: earlier ones have the shortest
/// match, and a longer one cannot help. So the cost is at most the product of both lengths.
/// Trying every split instead takes exponential time for a pattern with many stars.
pub(super) fn wildcard_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while let Some(&next) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                last_star = Some((p, t));
            }
            Some(&byte) if byte == b'?' || byte == next => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after_star, taken)) = last_star else {
                    return false;
                };
                last_star = Some((after_star, taken + 1));
                (p, t) = (after_star, taken + 1);
            }
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

fn parse_hashed(field: &[u8]) -> Option<HostPatterns> {
    let mut parts = field
        .strip_prefix(HASH_PREFIX)?
        .split(|byte| *byte == HASH_DELIMITER);
    let (salt, hash) = (parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let decode = |part| STANDARD.decode(part).ok()?.try_into().ok();
    Some(HostPatterns::Hashed {
        salt: decode(salt)?,
        hash: decode(hash)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, in exponential time.
    fn defined(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => defined(rest, text),
            (Some((b'*', rest)), Some((_, tail))) => defined(rest, text) || defined(pattern, tail),
            (Some((b'?', rest)), Some((_, tail))) => defined(rest, tail),
            (Some((p, rest)), Some((t, tail))) => p == t && defined(rest, tail),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn wildcards_match_by_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let expected = defined(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(wildcard_matches(&pattern, &text), expected);
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(MAX_PATTERN_BYTES / 2) + "b";
        // A matcher that tries every split would not end.
        assert!(!wildcard_matches(&pattern, &"a".repeat(64)));
        assert!(!wildcard_matches(&pattern, &"a".repeat(10_000)));
        assert!(wildcard_matches(&"*a".repeat(64), &"a".repeat(64)));
        assert!(wildcard_matches(&"*".repeat(1000), &"a".repeat(64)));
    }
}
