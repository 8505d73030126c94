//! The strict reader: one pass of `serde_json` over a document of the expected shape.
//!
//! A map of `serde_json` silently keeps one of two equal keys, so the visitor passes every member
//! to the builder as it is read. Another shape is an error, and the tolerant reader starts over.

use super::builder::Builder;
use super::scalar::Scalar;
use super::shape::{ADAPTER, Member};
use super::state_entry::StateList;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Reads one document, or several in sequence.
///
/// # Errors
/// The text is not JSON, or not of the expected shape.
pub(super) fn read(bytes: &[u8]) -> Result<Builder, serde_json::Error> {
    let mut builder = Builder::default();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    // A forced command can run two programs, each of which prints a document.
    loop {
        builder.at(Level::Document).deserialize(&mut json)?;
        if json.end().is_ok() {
            return Ok(builder);
        }
    }
}

/// The level of the next value.
#[derive(Clone, Copy)]
enum Level {
    Document,
    Chips,
    Chip,
    Feature,
    Helper,
    Disks,
    Disk,
    State,
    StateEntries(StateList),
    StateEntry(StateList),
}

/// Reads one value of a level into the builder.
struct LevelReader<'b> {
    level: Level,
    builder: &'b mut Builder,
}

impl Builder {
    fn at(&mut self, level: Level) -> LevelReader<'_> {
        LevelReader {
            level,
            builder: self,
        }
    }
}

impl<'de> DeserializeSeed<'de> for LevelReader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for LevelReader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part of a sensor document")
    }

    /// `"sensors": null` and `"smart": null` are accepted as empty.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.level {
            Level::Chips | Level::Disks => Ok(()),
            _ => Err(E::custom("null where an object belongs")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let level = match self.level {
            Level::Disks => Level::Disk,
            Level::StateEntries(list) => Level::StateEntry(list),
            _ => return Err(A::Error::custom("an array where an object belongs")),
        };
        while elements
            .next_element_seed(self.builder.at(level))?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let mut members = Members {
            map,
            builder: self.builder,
        };
        match self.level {
            Level::Document => members.document(),
            Level::Chips => {
                while let Some(name) = members.key()? {
                    members.chips_member(&name)?;
                }
                Ok(())
            }
            Level::Chip => members.chip(),
            Level::Feature => members.scalars(Builder::value),
            Level::Helper => members.scalars(Builder::helper_field),
            Level::Disk => {
                members.builder.start_disk();
                members.scalars(Builder::disk_field)?;
                members.builder.end_disk();
                Ok(())
            }
            Level::State => members.state(),
            Level::StateEntry(list) => {
                members.builder.start_state_entry(list);
                members.scalars(Builder::state_field)?;
                members.builder.end_state_entry();
                Ok(())
            }
            Level::Disks | Level::StateEntries(_) => {
                Err(A::Error::custom("an object where an array belongs"))
            }
        }
    }
}

/// The members of an object, which are passed to the builder.
struct Members<'b, A> {
    map: A,
    builder: &'b mut Builder,
}

impl<'de, A: MapAccess<'de>> Members<'_, A> {
    fn document(&mut self) -> Result<(), A::Error> {
        let mut is_empty = true;
        while let Some(key) = self.key()? {
            is_empty = false;
            let member = Member::with_key(&key);
            self.builder.recognised |= matches!(member, Member::Sensors | Member::Smart);
            match member {
                Member::Sensors => self.descend(Level::Chips)?,
                Member::Smart => self.descend(Level::Disks)?,
                Member::Helper => self.descend(Level::Helper)?,
                Member::State => self.descend(Level::State)?,
                Member::Field => self.builder.document_field(&key, &self.map.next_value()?),
                Member::Foreign => drop(self.map.next_value::<IgnoredAny>()?),
                Member::Chip => self.chips_member(&key)?,
            }
        }
        // `sensors -j` prints `{}` if there are no sensors.
        self.builder.recognised |= is_empty;
        Ok(())
    }

    fn chips_member(&mut self, name: &str) -> Result<(), A::Error> {
        self.builder.start_chip(name);
        self.descend(Level::Chip)?;
        self.builder.end_chip();
        Ok(())
    }

    fn chip(&mut self) -> Result<(), A::Error> {
        while let Some(key) = self.key()? {
            if key == ADAPTER {
                self.adapter()?;
            } else {
                self.builder.start_feature(&key);
                self.descend(Level::Feature)?;
                self.builder.end_feature();
            }
        }
        Ok(())
    }

    fn adapter(&mut self) -> Result<(), A::Error> {
        match self.map.next_value()? {
            // A feature can have the label "Adapter".
            Scalar::Other => Err(A::Error::custom("an adapter that is no text")),
            adapter => {
                self.builder.adapter(&adapter);
                Ok(())
            }
        }
    }

    fn state(&mut self) -> Result<(), A::Error> {
        while let Some(key) = self.key()? {
            match StateList::with_key(&key) {
                Some(list) => self.descend(Level::StateEntries(list))?,
                None => drop(self.map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn scalars(&mut self, put: fn(&mut Builder, &str, &Scalar<'_>)) -> Result<(), A::Error> {
        while let Some(name) = self.key()? {
            put(self.builder, &name, &self.map.next_value()?);
        }
        Ok(())
    }

    fn descend(&mut self, level: Level) -> Result<(), A::Error> {
        self.map.next_value_seed(self.builder.at(level))
    }

    fn key(&mut self) -> Result<Option<Cow<'de, str>>, A::Error> {
        match self.map.next_key()? {
            Some(Scalar::Text(key)) => Ok(Some(key)),
            Some(_) => Err(A::Error::custom("a key that is no text")),
            None => Ok(None),
        }
    }
}
