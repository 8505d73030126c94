//! An error and what caused it, on one line.
//!
//! An error's own text says what was being done; what went wrong is its
//! [source](Error::source). So a cause is printed once, by whoever prints the error: with
//! [`Causes`].

use std::error::Error;
use std::fmt;

/// Displays an error and its sources, the outermost first, as in
/// `cannot write the audit log: No space left on device (os error 28)`.
#[derive(Clone, Copy, Debug)]
pub struct Causes<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write {file}")]
    struct Outer {
        file: &'static str,
        source: Inner,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the disk failed")]
    struct Inner(#[source] io::Error);

    #[test]
    fn each_cause_is_printed_once() {
        let error = Outer {
            file: "a",
            source: Inner(io::Error::other("sector 7")),
        };
        let text = Causes(&error).to_string();
        assert_eq!(text, "cannot write a: the disk failed: sector 7");
        assert_eq!(Causes(&io::Error::other("x")).to_string(), "x");
    }
}
