//! The kinds of things that the table of keys is made of, and what is the same for each key.
//!
//! `table!` turns one declaration into a struct with a field for each key, into the rows that
//! describe the keys ([`Key`]), and into the code that reads a field, overrides it and keeps it
//! until a restart. A field and its row are one item of the source, so neither can be without
//! the other. Derived `Deserialize` needs a second list for that, which repeats every name.

use crate::nearest::nearest;
use std::ffi::OsString;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value of the file as TOML has it, with its place.
pub(super) type Raw<'a> = Spanned<DeValue<'a>>;

/// The variables of the environment, by name.
pub type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// One key of the configuration, which may be a section, a list or a table's entry.
#[derive(Debug)]
pub struct Key {
    /// The key as the file has it.
    pub name: &'static str,
    /// Plain text: the lines of a comment, each with a leading blank.
    pub description: &'static [&'static str],
    /// The values that it takes.
    pub shape: Shape,
    /// The value of a key that the file leaves out, as TOML. Without it the key is off, or,
    /// in an entry of a list, required.
    pub default: Option<&'static str>,
    /// Another value than the default, as TOML.
    pub example: Option<&'static str>,
    /// The moment when a change takes effect.
    pub change: Change,
    /// The variable of the environment that overrides the file.
    pub variable: Option<&'static str>,
}

/// The moment when a changed key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// At SIGHUP.
    Reload,
    /// At the next start.
    Restart,
    /// A section: each of its keys has its own.
    PerKey,
}

/// The values that a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A value by itself: a noun phrase with unit and range.
    Scalar(&'static str),
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// A list of such values.
    List(&'static Self),
    /// A table of these keys.
    Table(&'static [Key]),
    /// A value by itself, or a table of these keys.
    Entry(&'static str, &'static [Key]),
}

impl Key {
    /// The keys below this one: a section's, or those of a list's entries.
    #[must_use]
    pub fn keys(&self) -> &'static [Self] {
        let mut shape = self.shape;
        while let Shape::List(entry) = shape {
            shape = *entry;
        }
        match shape {
            Shape::Table(keys) | Shape::Entry(_, keys) => keys,
            Shape::Scalar(_) | Shape::Choice(_) | Shape::List(_) => &[],
        }
    }

    /// The place in the file of the keys with this name, if this is the file. A key that stands
    /// below the wrong `[section]` is a common mistake: TOML ends no section but with the next.
    pub(super) fn place_of(&self, name: &str) -> Option<String> {
        let has_key = |section: &&Self| section.keys().iter().any(|key| key.name == name);
        if has_key(&self) {
            return Some("at the top of the file, above the first [section]".to_owned());
        }
        let sections = self.keys().iter();
        let sections = sections.filter(|key| key.change == Change::PerKey && has_key(key));
        let names: Vec<_> = sections
            .map(|section| format!("[{}]", section.name))
            .collect();
        (!names.is_empty()).then(|| format!("below {}", names.join(" or ")))
    }

    /// The key as a dotted key of TOML, given its section's.
    #[must_use]
    pub fn path(&self, section: &str) -> String {
        if section.is_empty() {
            self.name.to_owned()
        } else {
            format!("{section}.{}", self.name)
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(text) => f.write_str(text),
            Self::Choice(words) => write!(f, "one of \"{}\"", words.join("\", \"")),
            Self::List(shape) => write!(f, "a list, each entry {shape}"),
            Self::Table(_) => f.write_str("a table"),
            Self::Entry(text, _) => write!(f, "{text}, or a table"),
        }
    }
}

/// A mistake in the file, and the bytes where it is.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn at<T>(place: &Spanned<T>, message: impl Into<String>) -> Self {
        Self {
            span: place.span(),
            message: message.into(),
        }
    }
}

/// A variable of the environment that is no value of its key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {reason}")]
pub struct VariableError {
    /// Its name.
    pub variable: &'static str,
    /// The mistake in its text.
    pub reason: String,
}

/// A type that a key's value is parsed into.
pub(super) trait Value: Clone + PartialEq + Sized {
    /// The values that it is parsed from.
    const SHAPE: Shape;

    /// Parses the value.
    fn read(raw: &Raw<'_>) -> Result<Self, Fault>;

    /// The value of a key that the file leaves out and that has no default, if it may be
    /// left out.
    fn absent() -> Option<Self> {
        None
    }

    /// Puts the variable of `key` in the place of the value. A section does so for its keys.
    fn override_from(
        &mut self,
        key: &Key,
        environment: &Environment<'_>,
    ) -> Result<(), VariableError> {
        let Some(variable) = key.variable else {
            return Ok(());
        };
        let Some(text) = environment(variable) else {
            return Ok(());
        };
        let refused = |reason| VariableError { variable, reason };
        let text = text.into_string();
        let text = text.map_err(|_| refused("not UTF-8 text".to_owned()))?;
        // Read as a string of the file is; it has no position there.
        *self = Self::read(&Spanned::new(0..0, DeValue::String(text.into())))
            .map_err(|fault| refused(fault.message))?;
        Ok(())
    }

    /// Puts the running value back if only a restart may change `key`, and adds the key to
    /// `kept`. A section does so for its keys.
    fn keep(&mut self, running: &Self, key: &Key, section: &str, kept: &mut Vec<String>) {
        if key.change == Change::Restart && self != running {
            kept.push(key.path(section));
            self.clone_from(running);
        }
    }
}

/// Declares tables of keys, in the order of the packaged file.
///
/// A key is written as its comment there, `name: Type = default, Change, example value, variable "NAME";`.
/// Default and example are TOML; no default means off, or required in an entry of a list.
macro_rules! table {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $line:literal])*
                $key:ident: $type:ty $(= $default:tt)?, $change:ident
                $(, example $example:tt)? $(, variable $variable:literal)?;
            )*
        }
    )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $(pub(super) $key: $type,)*
        }

        impl $name {
            pub(super) const KEYS: [Key; [$(stringify!($key)),*].len()] = [$(Key {
                name: stringify!($key),
                description: &[$($line),*],
                shape: <$type as Value>::SHAPE,
                default: table!(@optional $(stringify!($default))?),
                example: table!(@optional $(stringify!($example))?),
                change: Change::$change,
                variable: table!(@optional $($variable)?),
            }),*];
        }

        impl Value for $name {
            const SHAPE: Shape = Shape::Table(&Self::KEYS);

            fn read(raw: &Raw<'_>) -> Result<Self, Fault> {
                let table = schema::entries(raw)?;
                let [$($key),*] = &Self::KEYS;
                // Unknown keys are refused before required ones are missed, since a typing
                // mistake makes both, and after the values are read, since a later
                // `config_version` explains them.
                $(let $key = (schema::read_key::<$type>(table, $key)?, $key);)*
                schema::refuse_unknown(table, &Self::KEYS, &|name| FILE.place_of(name))?;
                Ok(Self { $($key: schema::or_default($key, raw)?),* })
            }

            fn override_from(
                &mut self,
                _: &Key,
                environment: &Environment<'_>,
            ) -> Result<(), VariableError> {
                let [$($key),*] = &Self::KEYS;
                $(self.$key.override_from($key, environment)?;)*
                Ok(())
            }

            fn keep(&mut self, running: &Self, key: &Key, section: &str, kept: &mut Vec<String>) {
                let path = key.path(section);
                let [$($key),*] = &Self::KEYS;
                $(self.$key.keep(&running.$key, $key, &path, kept);)*
            }
        }
    )* };
    (@optional) => { None };
    (@optional $value:expr) => { Some($value) };
}
pub(super) use table;

/// The entries of a table.
pub(super) fn entries<'a, 'i>(raw: &'a Raw<'i>) -> Result<&'a DeTable<'i>, Fault> {
    raw.get_ref()
        .as_table()
        .ok_or_else(|| other_type(raw, "a table"))
}

/// The value of `key` in the file, if it is there.
pub(super) fn read_key<T: Value>(table: &DeTable<'_>, key: &Key) -> Result<Option<T>, Fault> {
    table.get(key.name).map(T::read).transpose()
}

/// The value, or the default of `key`, which is missing in `raw`.
pub(super) fn or_default<T: Value>(
    (value, key): (Option<T>, &Key),
    raw: &Raw<'_>,
) -> Result<T, Fault> {
    match (value, key.default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => {
            // Like a value of the file, so that no default evades its checks.
            T::read(&DeValue::parse(default).map_err(|error| Fault::at(raw, error.message()))?)
        }
        (None, None) => {
            T::absent().ok_or_else(|| Fault::at(raw, format!("missing field `{}`", key.name)))
        }
    }
}

/// Refuses the first entry that is none of `keys`. Names its place, where `place_of` knows a key of
/// that name elsewhere, or the nearest key here.
pub(super) fn refuse_unknown(
    table: &DeTable<'_>,
    keys: &[Key],
    place_of: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Fault> {
    let unknown = table
        .keys()
        .filter(|name| keys.iter().all(|key| key.name != name.get_ref()));
    // The first in the file, whatever order the table has.
    let Some(name) = unknown.min_by_key(|name| name.span().start) else {
        return Ok(());
    };
    let known: Vec<_> = keys.iter().map(|key| key.name).collect();
    let remedy = match (
        place_of(name.get_ref()),
        nearest(name.get_ref(), known.iter().copied()),
    ) {
        (Some(place), _) => format!("it belongs {place}"),
        (None, Some(nearest)) => format!("did you mean `{nearest}`?"),
        (None, None) => format!("expected one of `{}`", known.join("`, `")),
    };
    // The name may be as long as the file.
    let message = format!("unknown field `{:.64}`, {remedy}", name.get_ref());
    Err(Fault::at(name, message))
}

/// A value of another type than `expected`, a noun phrase.
pub(super) fn other_type(raw: &Raw<'_>, expected: impl fmt::Display) -> Fault {
    let found = raw.get_ref().type_str();
    Fault::at(raw, format!("expected {expected}, found {found}"))
}

/// The text of a value that is written as a string.
pub(super) fn text<'a, T: Value>(raw: &'a Raw<'_>) -> Result<&'a str, Fault> {
    raw.get_ref()
        .as_str()
        .ok_or_else(|| other_type(raw, format_args!("a string with {}", T::SHAPE)))
}

/// An integer of TOML, within 64 bits as TOML demands.
pub(super) fn integer(raw: &Raw<'_>) -> Option<i64> {
    let integer = raw.get_ref().as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A number of `range`, which the shape of `T` names.
pub(super) fn number<T: Value, N: TryFrom<i64> + PartialOrd>(
    raw: &Raw<'_>,
    range: RangeInclusive<N>,
) -> Result<N, Fault> {
    if !raw.get_ref().is_integer() {
        return Err(other_type(raw, T::SHAPE));
    }
    integer(raw)
        .and_then(|number| N::try_from(number).ok())
        .filter(|number| range.contains(number))
        .ok_or_else(|| Fault::at(raw, format!("expected {}", T::SHAPE)))
}

impl Value for bool {
    const SHAPE: Shape = Shape::Scalar("true or false");

    fn read(raw: &Raw<'_>) -> Result<Self, Fault> {
        raw.get_ref()
            .as_bool()
            .ok_or_else(|| other_type(raw, Self::SHAPE))
    }
}

impl Value for u32 {
    const SHAPE: Shape = Shape::Scalar("a number from 0 to 4294967295");

    fn read(raw: &Raw<'_>) -> Result<Self, Fault> {
        number::<Self, _>(raw, 0..=Self::MAX)
    }
}

impl<T: Value> Value for Option<T> {
    const SHAPE: Shape = T::SHAPE;

    fn read(raw: &Raw<'_>) -> Result<Self, Fault> {
        T::read(raw).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Value> Value for Vec<T> {
    const SHAPE: Shape = Shape::List(&T::SHAPE);

    fn read(raw: &Raw<'_>) -> Result<Self, Fault> {
        let list = raw.get_ref().as_array();
        let list = list.ok_or_else(|| other_type(raw, Self::SHAPE))?;
        list.iter().map(T::read).collect()
    }
}

impl<T: Value> Value for Spanned<T> {
    const SHAPE: Shape = T::SHAPE;

    fn read(raw: &Raw<'_>) -> Result<Self, Fault> {
        T::read(raw).map(|value| Self::new(raw.span(), value))
    }
}
