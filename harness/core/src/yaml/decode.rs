//! From a [`Node`] tree to typed values through serde, with the place of every error.
//!
//! serde stops at the first error. To report all of them, what is wrong is taken out of the tree and the rest is
//! read again; a complaint that only follows from a hole is not repeated.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::diagnostic::Diagnostics;
use super::nearest::{hint, list, nearest};
use super::node::{Entry, Node, Place, Step, Value};

/// One thing that does not fit, and where.
#[derive(Debug)]
struct Misfit {
    /// None until the nearest node above has filled it in.
    place: Option<Place>,
    /// The path to what must be taken out to go on.
    path: Vec<Step>,
    complaint: Complaint,
}

/// What does not fit.
#[derive(Debug)]
enum Complaint {
    UnknownKey {
        key: String,
        known: &'static [&'static str],
    },
    UnknownWord {
        noun: &'static str,
        word: String,
        known: &'static [&'static str],
    },
    MissingKey {
        key: &'static str,
    },
    /// A message, and what to do about it.
    Other {
        message: String,
        hint: String,
    },
    /// Follows from something that was reported before.
    Echo,
}

/// Reads a value. What is wrong with it goes to `out`, and then there is none; `home` says where an unknown key
/// belongs.
pub(crate) fn decode<T: DeserializeOwned>(
    root: &Node,
    home: fn(&str) -> Option<&'static str>,
    out: &mut Diagnostics,
) -> Option<T> {
    let mut rest = root.clone();
    let mut fits = true;
    loop {
        match T::deserialize(At(&rest)) {
            Ok(value) => return fits.then_some(value),
            Err(misfit) => {
                fits = false;
                misfit.report(home, out);
                if misfit.path.is_empty() {
                    return None;
                }
                rest.take_out(&misfit.path);
            }
        }
    }
}

impl Misfit {
    fn report(&self, home: fn(&str) -> Option<&'static str>, out: &mut Diagnostics) {
        let place = self.place.unwrap_or_default();
        match &self.complaint {
            Complaint::UnknownKey { key, known } => {
                let near = nearest(key, known.iter().copied()).map(|name| format!("did you mean `{name}`?"));
                let misplaced = || home(key).map(|home| format!("`{key}` belongs under `{home}`"));
                let hint = near.or_else(misplaced).unwrap_or_else(|| hint(key, known));
                out.push(place, format!("unknown key `{key}`"), hint);
            }
            Complaint::UnknownWord { noun, word, known } => {
                out.push(place, format!("unknown {noun} `{word}`"), hint(word, known));
            }
            Complaint::MissingKey { key } => {
                out.push(place, format!("missing key `{key}`"), format!("write `{key}: …` here"));
            }
            Complaint::Other { message, hint } => out.push(place, message, hint),
            Complaint::Echo => {}
        }
    }

    fn new(complaint: Complaint) -> Self {
        Self { place: None, path: Vec::new(), complaint }
    }

    fn at(mut self, node: &Node) -> Self {
        if self.place.is_none() {
            self.place = Some(node.first_place());
            if node.holed {
                self.complaint = Complaint::Echo;
            }
        }
        self
    }

    fn below(mut self, step: Step) -> Self {
        self.path.insert(0, step);
        self
    }

    /// A key that is missing from a whole map is shown at the map's own key.
    fn under(mut self, key_place: Place) -> Self {
        if self.path.is_empty() && matches!(self.complaint, Complaint::MissingKey { .. }) {
            self.place = Some(key_place);
        }
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.complaint)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    /// A message of two lines holds the complaint and the hint.
    fn custom<T: fmt::Display>(message: T) -> Self {
        let text = message.to_string();
        let (message, hint) = text.split_once('\n').unwrap_or((&text, ""));
        Self::new(Complaint::Other { message: message.to_owned(), hint: hint.to_owned() })
    }

    fn invalid_type(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match unexpected {
            de::Unexpected::Unit | de::Unexpected::Option => "nothing".to_owned(),
            de::Unexpected::Map => "a map".to_owned(),
            de::Unexpected::Seq => "a list".to_owned(),
            de::Unexpected::Str(text) => format!("the text `{text}`"),
            de::Unexpected::Signed(value) => format!("the number {value}"),
            de::Unexpected::Float(value) => format!("the number {value}"),
            de::Unexpected::Bool(value) => format!("`{value}`"),
            other => other.to_string(),
        };
        Self::custom(format!("{found} does not fit here\nwrite {}", plain(expected)))
    }

    fn invalid_value(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = unexpected.to_string().replace("integer ", "");
        Self::custom(format!("{found} is out of range\nwrite {}", plain(expected)))
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::custom(format!("a list of {length} does not fit here\nwrite {}", plain(expected)))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(Complaint::UnknownKey { key: field.to_owned(), known })
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::new(Complaint::UnknownWord { noun: "word", word: variant.to_owned(), known })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Complaint::MissingKey { key: field })
    }
}

/// serde's names of Rust types, in words.
fn plain(expected: &dyn de::Expected) -> String {
    let name = expected.to_string();
    match name.as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number".to_owned(),
        "f64" => "a number".to_owned(),
        "a string" => "text".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a tuple of size 2" => "a list of two, such as `[clients, all]`".to_owned(),
        _ if name.starts_with("struct ") => "a map".to_owned(),
        _ => name,
    }
}

/// What the words of an enum are, by serde's name of its type.
fn noun(type_name: &str) -> &'static str {
    match type_name {
        "Property" => "property",
        "Fault" => "fault",
        "Durability" => "durability class",
        "Target" => "target",
        "Word" => "assertion",
        "Keys" => "key distribution",
        "PayloadSize" => "payload size distribution",
        "FlushPolicy" => "flush policy",
        _ => "word",
    }
}

/// A deserializer over a node.
struct At<'a>(&'a Node);

impl<'de> Deserializer<'de> for At<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_str(value),
            Value::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Value::Map(entries) => visitor.visit_map(Entries { entries, next: 0 }),
        }
        .map_err(|misfit| misfit.at(self.0))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(At(self.0)),
        }
        .map_err(|misfit| misfit.at(self.0))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let node = self.0;
        visitor.visit_newtype_struct(self).map_err(|misfit| misfit.at(node))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let node = self.0;
        let (word, key_place, content) = match &node.value {
            Value::Text(word) => (word, node.place, None),
            Value::Map(entries) if entries.len() == 1 => {
                (&entries[0].key, entries[0].key_place, Some(&entries[0].node))
            }
            _ if node.holed => return Err(Misfit::new(Complaint::Echo).at(node)),
            _ => {
                let message = format!("{} is no {}", node.kind(), noun(name));
                let hint = format!("known are {}", list(known));
                return Err(<Misfit as de::Error>::custom(format!("{message}\n{hint}")).at(node));
            }
        };
        visitor.visit_enum(Variant { name, word, key_place, content }).map_err(|misfit| misfit.at(node))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'a> {
    items: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(At(item)).map(Some).map_err(|misfit| misfit.below(Step::Index(index)))
    }
}

struct Entries<'a> {
    entries: &'a [Entry],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        seed.deserialize(Key(entry)).map(Some).map_err(|mut misfit| {
            misfit.place = Some(entry.key_place);
            misfit.below(Step::Key(entry.key.clone()))
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let entry = &self.entries[self.next];
        self.next += 1;
        seed.deserialize(At(&entry.node))
            .map_err(|misfit| misfit.under(entry.key_place).below(Step::Key(entry.key.clone())))
    }
}

/// A key: a field, a free name, or a word of an enum.
struct Key<'a>(&'a Entry);

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_str(&self.0.key)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let Entry { key, key_place, .. } = self.0;
        visitor.visit_enum(Variant { name, word: key, key_place: *key_place, content: None })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A word of an enum, alone or as the only key of a map.
struct Variant<'a> {
    name: &'static str,
    word: &'a str,
    key_place: Place,
    content: Option<&'a Node>,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a> {
    type Error = Misfit;
    type Variant = Content<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<'a>), Misfit> {
        let word: StrDeserializer<'_, Misfit> = self.word.into_deserializer();
        let value = seed.deserialize(word).map_err(|mut misfit| {
            misfit.place = Some(self.key_place);
            if let Complaint::UnknownWord { noun: what, .. } = &mut misfit.complaint {
                *what = noun(self.name);
            }
            misfit
        })?;
        Ok((value, Content { word: self.word, key_place: self.key_place, node: self.content }))
    }
}

/// What stands under the word of an enum.
struct Content<'a> {
    word: &'a str,
    key_place: Place,
    node: Option<&'a Node>,
}

impl<'a> Content<'a> {
    fn node(&self) -> Result<&'a Node, Misfit> {
        self.node.ok_or_else(|| Misfit {
            place: Some(self.key_place),
            ..<Misfit as de::Error>::custom(format!("`{0}` needs a value\nwrite `{{{0}: …}}`", self.word))
        })
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        match self.node {
            None => Ok(()),
            Some(node) => Err(Misfit {
                place: Some(node.first_place()),
                ..<Misfit as de::Error>::custom(format!("`{0}` takes no value\nwrite `{0}`", self.word))
            }),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misfit> {
        let node = self.node()?;
        seed.deserialize(At(node))
            .map_err(|misfit| misfit.under(self.key_place).below(Step::Key(self.word.to_owned())))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Misfit> {
        let node = self.node()?;
        At(node).deserialize_any(visitor).map_err(|misfit| misfit.below(Step::Key(self.word.to_owned())))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let node = self.node()?;
        At(node).deserialize_any(visitor).map_err(|misfit| misfit.below(Step::Key(self.word.to_owned())))
    }
}
