//! YAML text to a [`Node`] tree. The only module that knows the YAML library.
//!
//! Never: types or validates anything; a duplicate key and bad syntax are all it complains about.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::diagnostic::Diagnostics;
use super::node::{Entry, Node, Place, Value};

/// Reads one document. Duplicate keys are reported, and the tree keeps the first of each; None if it is no YAML.
pub(crate) fn read(source: usize, text: &str, out: &mut Diagnostics) -> Option<Node> {
    let options = serde_saphyr::options! {
        // Duplicates reach the visitor below, which knows the places of both.
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => Some(settle(source, raw, out)),
        Err(error) => {
            let place =
                error.location().map_or(Place { source, ..Place::default() }, |at| point(source, text, &at));
            out.push(place, message_of(&error), "not YAML from here on");
            None
        }
    }
}

/// The library's sentence without the position, which the diagnostic shows itself.
fn message_of(error: &serde_saphyr::Error) -> String {
    let full = error.without_snippet().to_string();
    let line = full.lines().next().unwrap_or_default();
    let sentence = line.find(" at line ").map_or(line, |at| &line[..at]);
    let sentence = sentence
        .split_once(": ")
        .map_or(sentence, |(head, tail)| if head.starts_with("error") { tail } else { sentence });
    sentence.trim_end_matches('.').to_owned()
}

fn place(source: usize, location: &Location) -> Place {
    let span = location.span();
    let start = span.byte_offset().unwrap_or_default() as usize;
    Place { source, start, end: start + span.byte_len().unwrap_or_default() as usize }
}

/// The place of a syntax error, which has a line and a column but no bytes.
fn point(source: usize, text: &str, location: &Location) -> Place {
    let line = location.line().saturating_sub(1) as usize;
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = &text[before.min(text.len())..];
    let column = location.column().saturating_sub(1) as usize;
    let start = before + rest.char_indices().nth(column).map_or(rest.trim_end().len(), |(at, _)| at);
    Place { source, start, end: start + 1 }
}

/// The shape in which the library hands a document over.
enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn settle(source: usize, raw: Spanned<Raw>, out: &mut Diagnostics) -> Node {
    let at = place(source, &raw.referenced);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Bool(value),
        Raw::Int(value) => Value::Int(value),
        Raw::Float(value) => Value::Float(value),
        Raw::Text(value) => Value::Text(value),
        Raw::List(items) => Value::List(items.into_iter().map(|item| settle(source, item, out)).collect()),
        Raw::Map(entries) => {
            let mut kept: Vec<Entry> = Vec::new();
            for (key, value) in entries {
                let key_place = place(source, &key.referenced);
                let node = settle(source, value, out);
                if kept.iter().any(|entry| entry.key == key.value) {
                    out.push(key_place, format!("duplicate key `{}`", key.value), "it stands above already");
                } else {
                    kept.push(Entry { key: key.value, key_place, node });
                }
            }
            Value::Map(kept)
        }
    };
    Node::new(value, at)
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(i64::try_from(value).map_or(Raw::Float(value as f64), Raw::Int))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
