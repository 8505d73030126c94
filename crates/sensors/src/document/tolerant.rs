//! The long way: documents that are not JSON, or not of the expected shape.
//!
//! Keeps track of where in a document it is, without recursion: a document is
//! never deeper than a chip's feature. Braces are believed as long as they make
//! sense, but a chip's name always starts a chip, so that whatever happened to
//! one chip ends where the next one begins.

use super::builder::Builder;
use super::noise::without_error_lines;
use super::scalar::Scalar;
use super::scanner::{Piece, Place, Scanner};
use super::shape::{ADAPTER, Member, is_chip_name};

/// Reads what can be read.
pub(super) fn read(bytes: &[u8]) -> Builder {
    let (bytes, error_lines) = without_error_lines(bytes);
    let mut scanner = Scanner::new(&bytes);
    let mut reader = Reader::default();
    while let Some(piece) = scanner.next() {
        reader.take(piece, scanner.place());
    }
    reader.builder.dropped.malformed += error_lines + scanner.place().malformed;
    reader.finish()
}

/// Where in a document the reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Level {
    /// Outside, or among the chips.
    #[default]
    Top,
    Chip,
    Feature,
    /// Among the disks.
    Disks,
    Disk,
    Helper,
}

#[derive(Default)]
struct Reader {
    builder: Builder,
    level: Level,
    /// How many braces deep the reader is in something of no use.
    foreign: usize,
    /// Braces that opened without a key inside of a chip: as many closing ones
    /// do not count.
    extra_braces: usize,
    /// How far the chip's name and its features' labels are indented, where they
    /// start a line: lm-sensors indents a closing brace as much as the line that
    /// it closes.
    chip_indent: Option<usize>,
    feature_indent: Option<usize>,
    /// Braces that are still open, as the text has them.
    depth: i64,
    /// The last piece opened a document, when this many pieces had made no sense.
    opened_at: Option<u64>,
}

impl Reader {
    fn take(&mut self, piece: Piece<'_>, place: Place) {
        let opened_at = self.opened_at.take();
        self.depth += depth_of(&piece);
        if self.foreign > 0 && self.skips(&piece, place.indent) {
            return;
        }
        match piece {
            Piece::Open => self.open(place.malformed),
            Piece::OpenMember(key) => self.open_member(&key, place.indent),
            Piece::OpenArray(key) => self.open_array(&key),
            Piece::Close => {
                self.builder.recognised |= opened_at == Some(place.malformed);
                self.close(place.indent);
            }
            Piece::CloseArray if matches!(self.level, Level::Disks | Level::Disk) => self.leave(),
            Piece::CloseArray => {}
            Piece::Value(key, value) => self.value(&key, &value),
        }
    }

    /// Whether the piece belongs to something of no use; what cannot be inside of
    /// it ends it.
    fn skips(&mut self, piece: &Piece<'_>, indent: Option<usize>) -> bool {
        let ends = match piece {
            Piece::OpenMember(key) => {
                is_chip_name(key) || Member::of(key) == Member::Helper || self.is_feature(indent)
            }
            Piece::OpenArray(key) => Member::of(key) == Member::Smart,
            _ => false,
        };
        self.foreign = match piece {
            _ if ends => 0,
            Piece::Open | Piece::OpenMember(_) => self.foreign + 1,
            Piece::Close => self.foreign - 1,
            _ => self.foreign,
        };
        !ends
    }

    /// Whether a line with this indentation starts a feature, by the last one's.
    fn is_feature(&self, indent: Option<usize>) -> bool {
        self.level == Level::Feature && indent.is_some() && indent <= self.feature_indent
    }

    fn finish(mut self) -> Builder {
        self.leave();
        if self.depth > 0 {
            // The output was cut off: what came after it is not known.
            self.builder.malformed();
        }
        self.builder
    }

    fn open(&mut self, malformed: u64) {
        match self.level {
            Level::Top => self.opened_at = Some(malformed),
            Level::Disks => self.enter_disk(),
            Level::Disk => {
                self.builder.malformed();
                self.builder.end_disk();
                self.enter_disk();
            }
            Level::Chip | Level::Feature | Level::Helper => {
                self.builder.malformed();
                self.extra_braces += 1;
            }
        }
    }

    fn enter_disk(&mut self) {
        self.builder.start_disk();
        self.level = Level::Disk;
    }

    fn open_member(&mut self, key: &str, indent: Option<usize>) {
        match (self.level, Member::of(key)) {
            _ if is_chip_name(key) => self.enter_chip(key, indent),
            (_, Member::Helper) => self.enter(Level::Helper),
            (Level::Top, Member::Sensors) => self.builder.recognised = true,
            (Level::Top, Member::Foreign) => self.foreign = 1,
            (Level::Top, _) => self.enter_chip(key, indent),
            (Level::Chip, _) => self.enter_feature(key, indent),
            (Level::Feature, _) if self.is_feature(indent) => {
                self.builder.malformed();
                self.builder.end_feature();
                self.enter_feature(key, indent);
            }
            _ => {
                self.builder.malformed();
                self.foreign = 1;
            }
        }
    }

    fn enter_chip(&mut self, name: &str, indent: Option<usize>) {
        self.enter(Level::Chip);
        self.chip_indent = indent;
        self.feature_indent = None;
        self.builder.start_chip(name);
    }

    fn enter_feature(&mut self, label: &str, indent: Option<usize>) {
        self.feature_indent = indent;
        self.builder.start_feature(label);
        self.level = Level::Feature;
    }

    /// Leaves whatever is open for something that only stands at the top.
    fn enter(&mut self, level: Level) {
        if self.level != Level::Top {
            self.builder.malformed();
        }
        self.leave();
        self.level = level;
    }

    fn leave(&mut self) {
        self.builder.end_chip();
        self.builder.end_disk();
        self.foreign = 0;
        self.extra_braces = 0;
        self.level = Level::Top;
    }

    fn open_array(&mut self, key: &str) {
        if Member::of(key) == Member::Smart {
            self.builder.recognised = true;
            self.enter(Level::Disks);
        } else if self.level != Level::Top {
            self.builder.malformed();
        }
    }

    fn close(&mut self, indent: Option<usize>) {
        let is_indented = self.feature_indent > self.chip_indent && self.chip_indent.is_some();
        match self.level {
            // The brace of a feature whose opening was lost.
            Level::Chip if is_indented && indent > self.chip_indent => {
                return self.builder.malformed();
            }
            // The brace of the chip; the feature's own was lost.
            Level::Feature if is_indented && indent == self.chip_indent => {
                self.builder.malformed();
                return self.leave();
            }
            _ => {}
        }
        if self.extra_braces > 0 {
            self.extra_braces -= 1;
            return;
        }
        match self.level {
            Level::Feature => {
                self.builder.end_feature();
                self.level = Level::Chip;
            }
            Level::Disk => {
                self.builder.end_disk();
                self.level = Level::Disks;
            }
            _ => self.leave(),
        }
    }

    fn value(&mut self, key: &str, value: &Scalar<'_>) {
        match self.level {
            Level::Top if is_chip_name(key) => self.builder.malformed(),
            Level::Top => self.builder.document_field(key, value),
            Level::Chip if key == ADAPTER => self.builder.adapter(value),
            Level::Chip => self.builder.stray(),
            Level::Feature => self.builder.value(key, value),
            Level::Disk => self.builder.disk_field(key, value),
            Level::Helper => self.builder.helper_field(key, value),
            Level::Disks => self.builder.malformed(),
        }
    }
}

/// By how much a piece changes the depth.
fn depth_of(piece: &Piece<'_>) -> i64 {
    match piece {
        Piece::Open | Piece::OpenMember(_) => 1,
        Piece::Close => -1,
        Piece::OpenArray(_) | Piece::CloseArray | Piece::Value(..) => 0,
    }
}
