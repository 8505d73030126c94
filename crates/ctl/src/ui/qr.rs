//! A key for a camera: a QR code of half blocks, two rows of modules in a line.

use super::line::{Line, Tone};
use qrcodegen::{QrCode, QrCodeEcc};

/// The margin that ISO/IEC 18004 asks for, in modules.
const MARGIN: i32 = 4;

/// The code's lines; none when the text is too long for a code.
pub(crate) fn code(text: &str) -> Vec<Line> {
    // The lowest level of correction makes the smallest code.
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Low) else {
        return Vec::new();
    };
    let places = || -MARGIN..code.size() + MARGIN;
    // Modules outside the code are light, the last line's lower half among them. Light ones are
    // drawn: most terminals are dark, and the others get colours.
    let block = |x, y| match (code.get_module(x, y), code.get_module(x, y + 1)) {
        (false, false) => '█',
        (false, true) => '▀',
        (true, false) => '▄',
        (true, true) => ' ',
    };
    places()
        .step_by(2)
        .map(|y| {
            Line::new(
                Tone::Code,
                places().map(|x| block(x, y)).collect::<String>(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "y8CApBxe6+bajCBxpkZ2aeoG5rSXzRhtHzAXv+dc1L4=";

    /// What a camera sees: whether each module is dark.
    fn seen(lines: &[Line]) -> Vec<Vec<bool>> {
        let line = |line: &Line| {
            let text = line.cut(usize::MAX).render(true);
            let text = text.trim_start_matches("\u{1b}[97;40m");
            let halves = |c| match c {
                '█' => (false, false),
                '▀' => (false, true),
                '▄' => (true, false),
                _ => (true, true),
            };
            let blocks = text.trim_end_matches("\u{1b}[0m").chars().map(halves);
            let (upper, lower): (Vec<_>, Vec<_>) = blocks.unzip();
            [upper, lower]
        };
        lines.iter().flat_map(line).collect()
    }

    #[test]
    fn every_module_is_in_its_place() {
        let seen = seen(&code(KEY));
        let code = QrCode::encode_text(KEY, QrCodeEcc::Low).unwrap();
        let size = code.size();
        for y in -MARGIN..size + MARGIN {
            for x in -MARGIN..size + MARGIN {
                let row = &seen[usize::try_from(y + MARGIN).unwrap()];
                let drawn = row[usize::try_from(x + MARGIN).unwrap()];
                assert_eq!(drawn, code.get_module(x, y), "{x} {y}");
            }
        }
    }

    #[test]
    fn a_key_fits_a_small_terminal() {
        let lines = code(KEY);
        assert!(lines.len() <= 20 && lines.iter().all(|line| line.width() <= 40));
        assert!(code(&"x".repeat(5000)).is_empty());
    }
}
