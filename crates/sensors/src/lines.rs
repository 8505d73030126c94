//! Lines from a byte stream that arrives in pieces.
//!
//! Each byte is searched for a newline once, however small the pieces are. The buffer has no limit
//! of its own: the reader decides how many bytes it appends without a newline.

/// Received bytes that were not yet taken as lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineBuffer {
    pending: Vec<u8>,
    /// The number of leading bytes that contain no newline.
    searched: usize,
}

impl LineBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The buffer, to append to. Its content must not be changed.
    pub fn pending(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// True if the buffer is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes the first complete line, without its newline.
    pub fn line(&mut self) -> Option<Vec<u8>> {
        let Some(at) = self
            .pending
            .iter()
            .skip(self.searched)
            .position(|byte| *byte == b'\n')
        else {
            self.searched = self.pending.len();
            return None;
        };
        let rest = self.pending.split_off(self.searched + at + 1);
        let mut line = std::mem::replace(&mut self.pending, rest);
        line.pop();
        self.searched = 0;
        Some(line)
    }

    /// Takes all bytes, including an incomplete line.
    pub fn rest(&mut self) -> Vec<u8> {
        self.searched = 0;
        std::mem::take(&mut self.pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_complete_lines_are_taken() {
        let mut buffer = LineBuffer::new();
        buffer.pending().extend_from_slice(b"on");
        assert_eq!(buffer.line(), None);
        buffer.pending().extend_from_slice(b"e\n\ntw");
        assert_eq!(buffer.line(), Some(b"one".to_vec()));
        assert_eq!(buffer.line(), Some(Vec::new()));
        assert_eq!((buffer.line(), buffer.len()), (None, 2));
        assert_eq!((buffer.rest(), buffer.is_empty()), (b"tw".to_vec(), true));
        buffer.pending().extend_from_slice(b"x\n");
        assert_eq!(buffer.line(), Some(b"x".to_vec()));
    }

    proptest! {
        #[test]
        fn pieces_do_not_change_lines(
            bytes in prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..60),
            cuts in prop::collection::vec(1..9usize, 1..9),
        ) {
            let (mut buffer, mut lines) = (LineBuffer::new(), Vec::new());
            let (mut left, mut cuts) = (bytes.as_slice(), cuts.iter().cycle());
            while !left.is_empty() {
                let (piece, rest) = left.split_at(left.len().min(*cuts.next().unwrap()));
                buffer.pending().extend_from_slice(piece);
                lines.extend(std::iter::from_fn(|| buffer.line()));
                left = rest;
            }
            lines.push(buffer.rest());
            let expected: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
            prop_assert_eq!(lines, expected);
        }
    }
}
