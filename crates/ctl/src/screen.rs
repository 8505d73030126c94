//! Where results go: a terminal, which can be drawn over and coloured, or
//! anything else, which gets plain lines one after the other.

use crate::arguments::When;
use crate::line::{Line, Tone};
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

/// Standard output.
pub(crate) struct Screen {
    is_terminal: bool,
    coloured: bool,
    drawing: Option<Drawing>,
}

/// What was drawn last and will be drawn over: the width of each line.
#[derive(Default)]
struct Drawing(Vec<usize>);

/// A terminal's columns and rows.
#[derive(Clone, Copy)]
struct Size {
    columns: usize,
    rows: usize,
}

/// For a terminal that does not say how large it is.
const USUAL_SIZE: Size = Size {
    columns: 80,
    rows: 24,
};

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

impl Screen {
    /// Standard output, coloured when that is wanted.
    pub(crate) fn on_stdout(when: When) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let variable = |name| std::env::var_os(name);
        Self {
            is_terminal,
            coloured: colours(when, is_terminal, variable("NO_COLOR"), variable("TERM")),
            drawing: None,
        }
    }

    /// Whether somebody looks at it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// How many characters fit a line; any number when it is no terminal.
    pub(crate) fn columns(&self) -> Option<usize> {
        self.is_terminal.then(|| size().columns)
    }

    /// Writes lines that stay.
    pub(crate) fn print(&mut self, lines: &[Line]) -> io::Result<()> {
        self.drawing = None;
        let text: String = lines
            .iter()
            .map(|line| line.render(self.coloured) + "\n")
            .collect();
        write(&text)
    }

    /// Writes one line of a format of its own, such as JSON.
    pub(crate) fn print_text(&mut self, text: &str) -> io::Result<()> {
        self.print(&[Line::plain(text)])
    }

    /// Draws these lines over those drawn last; where nothing can be drawn over,
    /// they follow them, after an empty line.
    pub(crate) fn redraw(&mut self, lines: &[Line]) -> io::Result<()> {
        if !self.is_terminal {
            let again = self.drawing.is_some();
            let gap = again.then(Line::default);
            let lines: Vec<Line> = gap.into_iter().chain(lines.iter().cloned()).collect();
            self.print(&lines)?;
            self.drawing = Some(Drawing::default());
            return Ok(());
        }
        let size = size();
        let lines = fit(lines, size);
        let last = self.drawing.take().unwrap_or_default();
        let text = last.draw_over(&lines, size, self.coloured);
        self.drawing = Some(Drawing(lines.iter().map(Line::width).collect()));
        write(&format!("{HIDE_CURSOR}{text}"))
    }

    /// The next redraw starts below what was drawn so far.
    pub(crate) fn keep(&mut self) -> io::Result<()> {
        let drawn = self.drawing.take().is_some();
        // The carriage return and the clearing remove the "^C" of a Ctrl-C.
        let text = format!("\r{CLEAR_LINE}{SHOW_CURSOR}");
        if self.is_terminal && drawn {
            write(&text)
        } else {
            Ok(())
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.keep();
    }
}

/// Whether to colour (<https://no-color.org>: what is asked for on the command
/// line is stronger than the variable).
fn colours(
    when: When,
    is_terminal: bool,
    no_color: Option<OsString>,
    term: Option<OsString>,
) -> bool {
    let refused = no_color.is_some_and(|value| !value.is_empty());
    let unable = term.is_some_and(|name| name == "dumb");
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => is_terminal && !refused && !unable,
    }
}

fn size() -> Size {
    let found = terminal_size::terminal_size_of(io::stdout());
    let found = found.map(|(columns, rows)| Size {
        columns: usize::from(columns.0),
        rows: usize::from(rows.0),
    });
    found
        .filter(|size| size.columns > 0 && size.rows > 0)
        .unwrap_or(USUAL_SIZE)
}

/// The lines that fit: one row each, and the cursor below them.
fn fit(lines: &[Line], size: Size) -> Vec<Line> {
    let room = size.rows.saturating_sub(1).max(1);
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
    kept.chain([Line::of(Tone::Faint, note).cut(size.columns)])
        .collect()
}

impl Drawing {
    /// The orders that draw lines over this drawing, which the terminal has
    /// wrapped if it became narrower meanwhile.
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
            .map(|line| format!("{}{CLEAR_LINE}\n", line.render(coloured)))
            .collect();
        format!("{up}{lines}{CLEAR_BELOW}")
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Size = Size {
        columns: 10,
        rows: 4,
    };

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let set = |value: &str| Some(OsString::from(value));
        assert!(colours(When::Auto, true, None, set("xterm")));
        assert!(colours(When::Auto, true, set(""), None));
        assert!(!colours(When::Auto, true, set("1"), set("xterm")));
        assert!(!colours(When::Auto, true, None, set("dumb")));
        assert!(!colours(When::Auto, false, None, set("xterm")));
        assert!(!colours(When::Never, true, None, None));
        assert!(colours(When::Always, false, set("1"), None));
    }

    #[test]
    fn what_does_not_fit_the_window_is_counted() {
        let lines: Vec<Line> = ["0123456789abc", "b", "c", "d", "e"]
            .map(Line::plain)
            .into();
        let shown: Vec<String> = fit(&lines, SMALL).iter().map(|l| l.render(false)).collect();
        assert_eq!(shown, ["0123456789", "b", "… 3 more l"]);
        assert_eq!(fit(&lines[..3], SMALL).len(), 3);
    }

    #[test]
    fn drawing_starts_where_the_last_drawing_did() {
        let lines = [Line::plain("x")];
        let first = Drawing::default().draw_over(&lines, SMALL, false);
        assert_eq!(first, "x\x1b[K\n\x1b[J");
        // The window became narrower: the second line takes three rows now.
        let next = Drawing(vec![0, 21, 10]).draw_over(&lines, SMALL, false);
        assert_eq!(next, "\r\x1b[5Ax\x1b[K\n\x1b[J");
    }
}
