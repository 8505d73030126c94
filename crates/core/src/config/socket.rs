//! The file of the callers' socket: which of the host's users may connect at all.
//!
//! Connecting takes the write permission of the socket's file (unix(7)), so the kernel
//! keeps everybody else away before the daemon hears of it.

use super::schema::{Fault, Raw, Shape, Value, integer, other_type, text};
use super::values::{from_text, group_name};
use crate::nodes::name::shown;
use std::fmt;
use toml::de::DeValue;

/// The permission to connect, for owner, group and others.
const WRITE: u32 = 0o222;
const GROUP: u32 = 0o020;
const OTHERS: u32 = 0o002;

/// The users who may connect to the callers' socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketAccess {
    /// The mode of its file.
    pub mode: SocketMode,
    /// The group of its file; `None` is the daemon's own.
    pub group: Option<SocketGroup>,
}

impl Default for SocketAccess {
    fn default() -> Self {
        super::Config::default().socket_access
    }
}

/// The mode of a socket's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketMode(u32);

impl SocketMode {
    /// The permission bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    fn parse(text: &str) -> Result<Self, String> {
        // `from_str_radix` alone accepts a sign.
        let is_octal = |byte: u8| (b'0'..=b'7').contains(&byte);
        let bits = u32::from_str_radix(text, 8)
            .ok()
            .filter(|_| matches!(text.len(), 3 | 4) && text.bytes().all(is_octal));
        let bits = bits.ok_or_else(|| {
            format!(
                "\"{}\" is no mode: write it in octal, like \"0660\"",
                shown(text)
            )
        })?;
        if bits & !0o666 != 0 {
            return Err(format!(
                "\"{text}\" has other permissions than read and write: a socket has no use for them"
            ));
        }
        if bits & 0o600 != 0o600 {
            return Err(format!("\"{text}\" keeps the daemon's own user out"));
        }
        Ok(Self(bits))
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// The group of a socket's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketGroup {
    /// By its number.
    Id(u32),
    /// By its name in `/etc/group`.
    Name(String),
}

impl fmt::Display for SocketGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The owner and mode of a socket's file, as stat(2) gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketFile {
    /// Its mode; what is no permission does not matter.
    pub mode: u32,
    /// Its group.
    pub gid: u32,
}

/// The permission that lets users connect whom the configuration excludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooWide {
    /// By its mode.
    #[error("its mode is {0:04o}")]
    Mode(u32),
    /// Its group may connect and is another one.
    #[error("its group is {0}")]
    Group(u32),
}

impl SocketAccess {
    /// True if the mode excludes the owner, the group or others.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.mode.0 & WRITE != WRITE
    }

    /// Compares a file with it; `gid` is the number of [`SocketAccess::group`].
    ///
    /// # Errors
    /// [`TooWide`] when the file lets others connect. One that lets fewer is the
    /// operator's business.
    pub fn check(&self, file: SocketFile, gid: Option<u32>) -> Result<(), TooWide> {
        // Bits that the file has and the configuration has not.
        if file.mode & WRITE & !self.mode.0 != 0 {
            return Err(TooWide::Mode(file.mode & 0o777));
        }
        if file.mode & GROUP != 0 && gid.is_some_and(|gid| gid != file.gid) {
            return Err(TooWide::Group(file.gid));
        }
        Ok(())
    }

    /// Checks that both keys make sense together.
    pub(super) fn check_group(&self) -> Result<(), String> {
        let Some(group) = &self.group else {
            return Ok(());
        };
        if self.mode.0 & OTHERS != 0 {
            return Err(format!(
                "socket_group keeps nobody away while socket_mode is \"{}\": set socket_mode = \"0660\"",
                self.mode
            ));
        }
        if self.mode.0 & GROUP == 0 {
            return Err(format!(
                "socket_mode = \"{}\" keeps group {group} out: set socket_mode = \"0660\"",
                self.mode
            ));
        }
        Ok(())
    }
}

from_text!(SocketMode, "a mode in octal", Self::parse);

/// A group as the file has it: its name, its number, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupText(pub(super) Option<SocketGroup>);

impl Value for GroupText {
    const SHAPE: Shape = Shape::Scalar("the name of a group, or its number");

    fn read(raw: &Raw<'_>) -> Result<Self, Fault> {
        let number = match raw.get_ref() {
            DeValue::String(text) if text.is_empty() => return Ok(Self(None)),
            DeValue::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok()
            }
            DeValue::String(text) => {
                return group_name(text)
                    .map(|name| Self(Some(SocketGroup::Name(name))))
                    .map_err(|message| Fault::at(raw, message));
            }
            DeValue::Integer(_) => integer(raw).and_then(|number| u32::try_from(number).ok()),
            _ => return Err(other_type(raw, Self::SHAPE)),
        };
        // `u32::MAX` is the kernel's "no group" (chown(2)).
        let number = number.filter(|number| *number != u32::MAX);
        let number = number.ok_or_else(|| Fault::at(raw, "this is no group id"))?;
        Ok(Self(Some(SocketGroup::Id(number))))
    }
}
