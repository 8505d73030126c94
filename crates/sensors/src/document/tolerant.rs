//! The tolerant reader, for documents that are not JSON or not of the expected shape.
//!
//! It is a state machine over tokens, without recursion: a document is never deeper than a chip's
//! feature. Braces count as long as they are consistent, but the name of a chip always starts a
//! chip, so damage to one chip ends at the next.

use super::builder::Builder;
use super::noise::without_error_lines;
use super::scalar::Scalar;
use super::scanner::{Position, Scanner, Token};
use super::shape::{ADAPTER, Member, is_chip_name};
use super::state_entry::StateList;

/// Reads the parts that can be parsed.
pub(super) fn read(bytes: &[u8]) -> Builder {
    let (bytes, error_lines) = without_error_lines(bytes);
    let mut scanner = Scanner::new(&bytes);
    let mut reader = TolerantReader::default();
    while let Some(token) = scanner.next() {
        reader.take(token, scanner.position());
    }
    reader.builder.dropped.malformed += error_lines + scanner.position().malformed;
    reader.leave();
    if reader.depth > 0 {
        // The output was cut off.
        reader.builder.malformed();
    }
    reader.builder
}

/// The level of the document that the reader is in.
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
    /// Among the lists of `sensor_state`.
    State,
    StateEntries(StateList),
    StateEntry(StateList),
}

#[derive(Default)]
struct TolerantReader {
    builder: Builder,
    level: Level,
    /// The depth of braces in a member that is skipped; 0 if none is.
    foreign: usize,
    /// The number of braces without a key that opened inside a chip; as many closing braces are
    /// ignored.
    extra_braces: usize,
    /// The indentation of the chip's name and of its features' labels, if they start a line.
    /// lm-sensors indents a closing brace like the line that opens the object.
    chip_indent: Option<usize>,
    feature_indent: Option<usize>,
    /// The balance of opening and closing braces in the text.
    depth: i64,
    /// The malformed count at the last token, if that opened a document.
    opened_at: Option<u64>,
}

impl TolerantReader {
    fn take(&mut self, token: Token<'_>, position: Position) {
        let opened_at = self.opened_at.take();
        // Counted in skipped members too: the balance at the end shows whether output was cut off.
        self.depth += match &token {
            Token::Open | Token::OpenMember(_) => 1,
            Token::Close => -1,
            Token::OpenArray(_) | Token::CloseArray | Token::Value(..) => 0,
        };
        if self.foreign > 0 && self.skips(&token, position.indent) {
            return;
        }
        match token {
            Token::Open => self.open(position.malformed),
            Token::OpenMember(key) => self.open_member(&key, position.indent),
            Token::OpenArray(key) if Member::with_key(&key) == Member::Smart => {
                self.builder.recognised = true;
                self.enter(Level::Disks);
            }
            Token::OpenArray(key) if self.is_in_state() => {
                match (self.level, StateList::with_key(&key)) {
                    (Level::State, Some(list)) => self.level = Level::StateEntries(list),
                    // The bracket that closes an unknown list is ignored.
                    _ => self.builder.malformed(),
                }
            }
            // An array of the top level belongs to another program.
            Token::OpenArray(key)
                if self.level != Level::Top || Member::with_key(&key) == Member::State =>
            {
                self.builder.malformed();
            }
            Token::Close => {
                // An empty object, as `sensors -j` prints it if there are no sensors: nothing was
                // skipped since it was opened.
                self.builder.recognised |= opened_at == Some(position.malformed);
                self.close(position.indent);
            }
            Token::CloseArray if matches!(self.level, Level::Disks | Level::Disk) => self.leave(),
            Token::CloseArray if self.is_in_state() => {
                self.builder.end_state_entry();
                self.level = Level::State;
            }
            Token::OpenArray(_) | Token::CloseArray => {}
            Token::Value(key, value) => self.value(&key, &value),
        }
    }

    /// True if the token belongs to a skipped member. A token that cannot occur inside one ends
    /// it.
    fn skips(&mut self, token: &Token<'_>, indent: Option<usize>) -> bool {
        let ends = match token {
            Token::OpenMember(key) => {
                is_chip_name(key)
                    || matches!(Member::with_key(key), Member::Helper | Member::State)
                    || self.is_feature(indent)
            }
            Token::OpenArray(key) => Member::with_key(key) == Member::Smart,
            _ => false,
        };
        self.foreign = match token {
            _ if ends => 0,
            Token::Open | Token::OpenMember(_) => self.foreign + 1,
            Token::Close => self.foreign - 1,
            _ => self.foreign,
        };
        !ends
    }

    /// True if a line with this indentation starts a feature, judging by the last feature.
    fn is_feature(&self, indent: Option<usize>) -> bool {
        self.level == Level::Feature && indent.is_some() && indent <= self.feature_indent
    }

    fn open(&mut self, malformed: u64) {
        match self.level {
            Level::Top => self.opened_at = Some(malformed),
            Level::Disks => self.enter_disk(),
            Level::Disk => {
                // The closing brace of the previous disk is missing.
                self.builder.malformed();
                self.builder.end_disk();
                self.enter_disk();
            }
            Level::StateEntries(list) => {
                self.builder.start_state_entry(list);
                self.level = Level::StateEntry(list);
            }
            Level::StateEntry(list) => {
                self.builder.malformed();
                self.builder.end_state_entry();
                self.builder.start_state_entry(list);
            }
            Level::Chip | Level::Feature | Level::Helper | Level::State => {
                self.builder.malformed();
                self.extra_braces += 1;
            }
        }
    }

    fn is_in_state(&self) -> bool {
        matches!(
            self.level,
            Level::State | Level::StateEntries(_) | Level::StateEntry(_)
        )
    }

    fn enter_disk(&mut self) {
        self.builder.start_disk();
        self.level = Level::Disk;
    }

    fn open_member(&mut self, key: &str, indent: Option<usize>) {
        match (self.level, Member::with_key(key)) {
            _ if is_chip_name(key) => self.enter_chip(key, indent),
            (_, Member::Helper) => self.enter(Level::Helper),
            (_, Member::State) => self.enter(Level::State),
            (Level::Top, Member::Sensors) => self.builder.recognised = true,
            (Level::Top, Member::Foreign) => self.foreign = 1,
            (Level::Top, _) => self.enter_chip(key, indent),
            (Level::Chip, _) => self.enter_feature(key, indent),
            (Level::Feature, _) if self.is_feature(indent) => {
                // The closing brace of the previous feature is missing.
                self.builder.malformed();
                self.builder.end_feature();
                self.enter_feature(key, indent);
            }
            // A feature, a disk and the helper have no members that are objects.
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

    /// Closes everything that is open, for a member of the top level.
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
        self.builder.end_state_entry();
        self.foreign = 0;
        self.extra_braces = 0;
        self.level = Level::Top;
    }

    fn close(&mut self, indent: Option<usize>) {
        let is_indented = self.feature_indent > self.chip_indent && self.chip_indent.is_some();
        match self.level {
            // The closing brace of a feature whose opening brace is missing.
            Level::Chip if is_indented && indent > self.chip_indent => {
                return self.builder.malformed();
            }
            // The closing brace of the chip; that of the feature is missing.
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
            Level::StateEntry(list) => {
                self.builder.end_state_entry();
                self.level = Level::StateEntries(list);
            }
            Level::StateEntries(_) => {
                // The closing bracket is missing.
                self.builder.malformed();
                self.leave();
            }
            _ => self.leave(),
        }
    }

    fn value(&mut self, key: &str, value: &Scalar<'_>) {
        match self.level {
            Level::Top if is_chip_name(key) || Member::with_key(key) == Member::State => {
                self.builder.malformed();
            }
            Level::Top => self.builder.document_field(key, value),
            Level::Chip if key == ADAPTER => self.builder.adapter(value),
            Level::Chip => self.builder.stray(),
            Level::Feature => self.builder.value(key, value),
            Level::Disk => self.builder.disk_field(key, value),
            Level::Helper => self.builder.helper_field(key, value),
            Level::StateEntry(_) => self.builder.state_field(key, value),
            Level::Disks | Level::State | Level::StateEntries(_) => self.builder.malformed(),
        }
    }
}
