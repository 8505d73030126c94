//! The known word that a wrong one was probably meant to be.

/// The longest word that is compared, in bytes.
const MAX_BYTES: usize = 64;

/// The one known word that `word` is a typing mistake of: a third of it may differ. `None` also
/// if several are equally near, since any of them would be a guess.
///
/// The work is bounded by the number of known words: each comparison takes at most
/// `MAX_BYTES` squared steps, and ends as soon as the words differ too much.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_BYTES {
        return None;
    }
    let mut nearest: Option<(usize, &str)> = None;
    let mut is_tie = false;
    for known in known.into_iter().filter(|known| known.len() <= MAX_BYTES) {
        let most = (known.len() / 3).max(1);
        let Some(distance) = distance(word, known, most) else {
            continue;
        };
        match nearest {
            Some((least, _)) if distance > least => {}
            Some((least, _)) if distance == least => is_tie = true,
            _ => {
                nearest = Some((distance, known));
                is_tie = false;
            }
        }
    }
    nearest.filter(|_| !is_tie).map(|(_, known)| known)
}

/// Levenshtein's distance, in bytes: how many to insert, remove or replace; `None` if more than
/// `most`.
fn distance(from: &str, to: &str, most: usize) -> Option<usize> {
    // Each byte that one word has more is an insertion.
    if from.len().abs_diff(to.len()) > most {
        return None;
    }
    // The row of the table for the letters of `from` so far; `above` is the one before it.
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (count, letter) in (1..).zip(from.bytes()) {
        let mut left = count;
        let mut row = vec![left];
        for (other, corners) in to.bytes().zip(above.windows(2)) {
            let &[diagonal, top] = corners else { break };
            // The cheapest of three: keep or replace the letter, insert one, remove one.
            left = (diagonal + usize::from(letter != other)).min(left.min(top) + 1);
            row.push(left);
        }
        // The least number of a row never decreases from one row to the next.
        if row.iter().all(|edits| *edits > most) {
            return None;
        }
        above = row;
    }
    above.last().copied().filter(|edits| *edits <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("adress", "address", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(from, to, 3), Some(expected), "{from}, {to}");
            let less = expected.checked_sub(1);
            assert_eq!(less.and_then(|less| distance(from, to, less)), None);
        }
    }

    #[test]
    fn far_words_suggest_nothing() {
        let known = ["socket", "log"];
        let nearest = |word: &str| nearest(word, known);
        assert_eq!(nearest("sokcet"), Some("socket"));
        assert_eq!(nearest("lag"), Some("log"));
        for far in ["", "x", "http", "tickets", &"socket".repeat(20)] {
            assert_eq!(nearest(far), None, "{far}");
        }
    }

    #[test]
    fn ties_suggest_nothing() {
        assert_eq!(nearest("pve4", ["pve1", "pve2"]), None);
        assert_eq!(nearest("pve", ["pve1", "node7"]), Some("pve1"));
        assert_eq!(nearest("pvee1", ["pve2", "pve1", "pve3"]), Some("pve1"));
    }
}
