//! The host field of a line: a list of patterns, or one hashed name.

use super::line::Reason;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The longest pattern of a list, in bytes; OpenSSH's own limit.
pub(super) const MAX_PATTERN_BYTES: usize = 1023;

/// What `ssh-keygen -H` puts before salt and hash; the 1 means HMAC-SHA1.
const HASH_PREFIX: &[u8] = b"|1|";
const HASH_DELIMITER: u8 = b'|';
const SHA1_BYTES: usize = 20;

/// Which hosts a line is for.
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

/// Whether a line is for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    /// A negated pattern matched: not for this host, whatever else is listed.
    Excluded,
}

impl HostPatterns {
    pub(super) fn parse(field: &[u8]) -> Result<Self, Reason> {
        if field.first() == Some(&HASH_DELIMITER) {
            return parse_hashed(field).ok_or(Reason::BadHash);
        }
        let mut patterns = Vec::new();
        for item in field.split(|byte| *byte == b',') {
            patterns.extend(Pattern::parse(item)?);
        }
        if patterns.is_empty() {
            return Err(Reason::BadPattern);
        }
        Ok(Self::List(patterns))
    }

    /// `host` is in lower case.
    pub(super) fn matches(&self, host: &str) -> Match {
        match self {
            Self::List(patterns) => matches_list(patterns, host),
            Self::Hashed { salt, hash } if matches_hash(salt, hash, host) => Match::Yes,
            Self::Hashed { .. } => Match::No,
        }
    }

    /// The names, when there is nothing but names: no hash, wildcard or negation.
    pub(super) fn plain_names(&self) -> Option<Vec<&str>> {
        let Self::List(patterns) = self else {
            return None;
        };
        let mut names = patterns
            .iter()
            .map(Pattern::plain)
            .collect::<Option<Vec<_>>>()?;
        names.sort_unstable();
        names.dedup();
        Some(names)
    }
}

impl Pattern {
    /// An item of a list, or nothing where two commas meet.
    fn parse(item: &[u8]) -> Result<Option<Self>, Reason> {
        let (negated, text) = match item.strip_prefix(b"!") {
            Some(text) => (true, text),
            None => (false, item),
        };
        if text.is_empty() {
            return Ok(None);
        }
        let printable = text.iter().all(u8::is_ascii_graphic);
        if !printable || text.len() > MAX_PATTERN_BYTES || text.contains(&HASH_DELIMITER) {
            return Err(Reason::BadPattern);
        }
        let text = str::from_utf8(text).map_err(|_| Reason::BadPattern)?;
        Ok(Some(Self {
            text: text.to_ascii_lowercase().into(),
            negated,
        }))
    }

    fn plain(&self) -> Option<&str> {
        let is_plain = !self.negated && !self.text.contains(['*', '?']);
        is_plain.then_some(&*self.text)
    }
}

fn matches_list(patterns: &[Pattern], host: &str) -> Match {
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

/// Matches `*` (any run) and `?` (any one byte) against the whole text.
///
/// After a mismatch only the last `*` takes one byte more: what the earlier ones
/// took was the shortest that fits, and more would not help. So the cost is at
/// most pattern times text, however many stars an author piles up.
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

/// The comparison need not take constant time, and only does because the library
/// does: the hash hides names from a thief of the file, it authenticates nobody,
/// and both sides of it are ours.
fn matches_hash(salt: &[u8], hash: &[u8], host: &str) -> bool {
    // HMAC takes a key of any length; were it ever to refuse, nothing matches.
    Hmac::<Sha1>::new_from_slice(salt)
        .is_ok_and(|hmac| hmac.chain_update(host).verify_slice(hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, exponential and obvious.
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
        fn wildcards_mean_what_their_definition_says(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let expected = defined(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(wildcard_matches(&pattern, &text), expected);
        }
    }

    #[test]
    fn a_pile_of_stars_does_not_stop_the_daemon() {
        let pattern = "*a".repeat(MAX_PATTERN_BYTES / 2) + "b";
        // A matcher that tries every split would not live to see the end.
        assert!(!wildcard_matches(&pattern, &"a".repeat(64)));
        assert!(!wildcard_matches(&pattern, &"a".repeat(10_000)));
        assert!(wildcard_matches(&"*a".repeat(64), &"a".repeat(64)));
        assert!(wildcard_matches(&"*".repeat(1000), &"a".repeat(64)));
    }
}
