//! Standard output: a terminal, which can be redrawn and coloured, or a file or pipe, which
//! gets plain lines one after the other.

use super::escape::escape_json;
use super::line::{Line, Tone};
use crate::error::{CommandError, ErrorCode};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

/// The version of every JSON output. Members may be added to it; a change of a member's name,
/// type or meaning is a new version.
const JSON_VERSION: u32 = 1;

/// `--color`, for commands whose output has colours.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ColorOption {
    /// When to colour the output: auto, always or never
    ///
    /// "auto" colours on a terminal, unless NO_COLOR is set.
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t = When::Auto,
        hide_possible_values = true
    )]
    color: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Standard output cannot be written to.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the result")]
pub(crate) struct OutputError(#[from] io::Error);

impl CommandError for OutputError {
    fn code(&self) -> ErrorCode {
        ErrorCode::Output
    }
}

/// A result for programs.
#[derive(Serialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    result: T,
}

/// Standard output.
pub(crate) struct Screen {
    is_terminal: bool,
    is_coloured: bool,
    drawing: Option<Drawing>,
}

/// The lines that were drawn last and will be drawn over, by their widths.
#[derive(Default)]
struct Drawing(Vec<usize>);

/// A terminal's columns and rows.
#[derive(Clone, Copy)]
struct Size {
    columns: usize,
    rows: usize,
}

/// The size of a terminal that does not report it.
const DEFAULT_SIZE: Size = Size {
    columns: 80,
    rows: 24,
};

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

impl Screen {
    /// Standard output, coloured as the option says.
    pub(crate) fn new(option: ColorOption) -> Self {
        let mut screen = Self::plain();
        screen.is_coloured = match option.color {
            When::Auto => is_coloured_by_default(screen.is_terminal),
            When::Always => true,
            When::Never => false,
        };
        screen
    }

    /// Standard output without colours.
    pub(crate) fn plain() -> Self {
        Self {
            is_terminal: io::stdout().is_terminal(),
            is_coloured: false,
            drawing: None,
        }
    }

    /// True for a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// A terminal's columns; none for a file or pipe, which takes lines of any width.
    pub(crate) fn columns(&self) -> Option<usize> {
        self.is_terminal.then(|| size().columns)
    }

    /// Writes lines that stay.
    ///
    /// # Errors
    /// [`OutputError`], as for the other methods.
    pub(crate) fn print(&mut self, lines: &[Line]) -> Result<(), OutputError> {
        self.drawing = None;
        let text: String = lines
            .iter()
            .map(|line| line.render(self.is_coloured) + "\n")
            .collect();
        write(&text)
    }

    /// Writes one line of another format.
    pub(crate) fn print_text(&mut self, text: &str) -> Result<(), OutputError> {
        self.print(&[Line::plain(text)])
    }

    /// Writes an object as one line of JSON, with the version of its shape.
    pub(crate) fn print_json(&mut self, result: &impl Serialize) -> Result<(), OutputError> {
        self.print_text(&escape_json(&versioned_json(result)?))
    }

    /// Draws these lines over those drawn last; where nothing can be drawn over,
    /// they follow them, after an empty line.
    pub(crate) fn redraw(&mut self, lines: &[Line]) -> Result<(), OutputError> {
        if !self.is_terminal {
            let mut all = Vec::new();
            if self.drawing.is_some() {
                all.push(Line::default());
            }
            all.extend_from_slice(lines);
            self.print(&all)?;
            self.drawing = Some(Drawing::default());
            return Ok(());
        }
        // Asked each time: the window may have been resized since.
        let size = size();
        let lines = fit(lines, size);
        let text =
            self.drawing
                .take()
                .unwrap_or_default()
                .draw_over(&lines, size, self.is_coloured);
        // The widths as written: after a resize they say how many rows the terminal made of them.
        self.drawing = Some(Drawing(lines.iter().map(Line::width).collect()));
        write(&format!("{HIDE_CURSOR}{text}"))
    }

    /// True if so many lines fit in a terminal's window.
    pub(crate) fn has_room(&self, lines: usize) -> bool {
        lines <= room(size())
    }

    /// Writes lines that stay over those drawn last. They may be more than the window has rows.
    pub(crate) fn replace(&mut self, lines: &[Line]) -> Result<(), OutputError> {
        let Some(drawing) = self.drawing.take().filter(|_| self.is_terminal) else {
            return self.print(lines);
        };
        let text = drawing.draw_over(lines, size(), self.is_coloured);
        write(&format!("{text}{SHOW_CURSOR}"))
    }

    /// The next redraw starts below what was drawn so far.
    pub(crate) fn keep(&mut self) -> Result<(), OutputError> {
        if self.drawing.take().is_none() || !self.is_terminal {
            return Ok(());
        }
        // The carriage return and the clearing remove the "^C" of a Ctrl-C.
        write(&format!("\r{CLEAR_LINE}{SHOW_CURSOR}"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The command has ended: nothing can report an error any more.
        let _ = self.keep();
    }
}

/// An object as one line of JSON, with the version of its shape.
///
/// # Errors
/// [`OutputError`] when it has no representation in JSON.
pub(crate) fn versioned_json(result: &impl Serialize) -> Result<String, OutputError> {
    let versioned = Versioned {
        version: JSON_VERSION,
        result,
    };
    Ok(serde_json::to_string(&versioned).map_err(io::Error::from)?)
}

/// True when output is coloured that the command line says nothing about
/// (<https://no-color.org>).
pub(crate) fn is_coloured_by_default(is_terminal: bool) -> bool {
    is_terminal && permits_colours(std::env::var_os("NO_COLOR"), std::env::var_os("TERM"))
}

fn permits_colours(no_color: Option<OsString>, term: Option<OsString>) -> bool {
    // An empty NO_COLOR counts as unset, by its definition.
    no_color.is_none_or(|value| value.is_empty()) && term.is_none_or(|name| name != "dumb")
}

/// The columns of stderr; none when it is no terminal.
pub(crate) fn stderr_columns() -> Option<usize> {
    let stderr = io::stderr();
    stderr.is_terminal().then(|| size_of(stderr).columns)
}

fn size() -> Size {
    size_of(io::stdout())
}

fn size_of(terminal: impl AsFd) -> Size {
    terminal_size::terminal_size_of(terminal)
        .map(|(columns, rows)| Size {
            columns: usize::from(columns.0),
            rows: usize::from(rows.0),
        })
        // Serial consoles report 0 by 0.
        .filter(|size| size.columns > 0 && size.rows > 0)
        .unwrap_or(DEFAULT_SIZE)
}

/// The lines that a drawing can have. One that wraps, or more lines than rows, would scroll: the
/// cursor cannot go back to what left the window.
fn room(size: Size) -> usize {
    size.rows.saturating_sub(1).max(1)
}

/// The lines that fit: one row each, and the cursor below them.
fn fit(lines: &[Line], size: Size) -> Vec<Line> {
    let room = room(size);
    let cut = |line: &Line| line.cut(size.columns);
    if lines.len() <= room {
        return lines.iter().map(cut).collect();
    }
    let kept = room - 1;
    let note = format!(
        "… {} more lines: make the window higher",
        lines.len() - kept
    );
    let kept = lines[..kept].iter().map(cut);
    kept.chain([Line::new(Tone::Faint, note).cut(size.columns)])
        .collect()
}

impl Drawing {
    /// The control sequences that draw lines over this drawing, which the terminal has
    /// wrapped if it became narrower since.
    fn draw_over(&self, lines: &[Line], size: Size, coloured: bool) -> String {
        let rows: usize = self
            .0
            .iter()
            .map(|width| width.div_ceil(size.columns).max(1))
            .sum();
        let up = match rows {
            0 => String::new(),
            rows => format!("\r\x1b[{rows}A"),
        };
        let lines: String = lines
            .iter()
            // Each line is cleared behind its text: clearing the window first would flicker.
            .map(|line| format!("{}{CLEAR_LINE}\n", line.render(coloured)))
            .collect();
        format!("{up}{lines}{CLEAR_BELOW}")
    }
}

fn write(text: &str) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    // Flushed here: at the end of the process, an error would be lost.
    Ok(stdout.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Size = Size {
        columns: 10,
        rows: 4,
    };

    #[test]
    fn the_environment_can_refuse_colours() {
        let set = |value: &str| Some(OsString::from(value));
        assert!(permits_colours(None, set("xterm")));
        assert!(permits_colours(set(""), None));
        assert!(!permits_colours(set("1"), set("xterm")));
        assert!(!permits_colours(None, set("dumb")));
    }

    #[test]
    fn the_option_decides_about_colours() {
        let coloured = |color| Screen::new(ColorOption { color }).is_coloured;
        assert!(coloured(When::Always) && !coloured(When::Never));
        assert!(!is_coloured_by_default(false));
    }

    #[test]
    fn lines_that_do_not_fit_are_counted() {
        let lines: Vec<Line> = ["0123456789abc", "b", "c", "d", "e"]
            .map(Line::plain)
            .into();
        let shown: Vec<String> = fit(&lines, SMALL).iter().map(|l| l.render(false)).collect();
        assert_eq!(shown, ["0123456789", "b", "… 3 more l"]);
        assert_eq!(fit(&lines[..3], SMALL).len(), 3);
    }

    #[test]
    fn a_drawing_covers_the_last_one() {
        let lines = [Line::plain("x")];
        let first = Drawing::default().draw_over(&lines, SMALL, false);
        assert_eq!(first, "x\x1b[K\n\x1b[J");
        // The window became narrower: the second line takes three rows now.
        let next = Drawing(vec![0, 21, 10]).draw_over(&lines, SMALL, false);
        assert_eq!(next, "\r\x1b[5Ax\x1b[K\n\x1b[J");
    }
}
