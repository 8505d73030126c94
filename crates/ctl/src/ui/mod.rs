//! Output for people: text, colours and widths. Knows no command.
//!
//! | module | subject |
//! |---|---|
//! | `line` | a line whose parts have tones |
//! | `screen` | standard output: plain, coloured or redrawn, and as JSON |
//! | `width`, `wrap` | columns that text takes on a terminal, text broken into lines |
//! | `excerpt`, `qr`, `progress` | a line with a caret, a QR code, a progress bar |
//! | `escape` | control characters of others made visible |
//! | `age` | durations |
//! | `report` | errors on stderr |

pub(crate) mod age;
pub(crate) mod escape;
pub(crate) mod excerpt;
pub(crate) mod line;
pub(crate) mod progress;
pub(crate) mod qr;
pub(crate) mod report;
pub(crate) mod screen;
pub(crate) mod width;
pub(crate) mod wrap;
