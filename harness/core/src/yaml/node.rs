//! A YAML document as a tree in which every key and every value knows where it stands.

/// Where something stands: which text, and which bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Place {
    /// 0 is the scenario file, n is the n-th override of the command line.
    pub source: usize,
    /// First byte.
    pub start: usize,
    /// Past the last byte.
    pub end: usize,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub value: Value,
    pub place: Place,
    /// Something below was wrong, was reported, and was taken out.
    pub holed: bool,
}

/// A YAML value. Scalars are typed as plain YAML types them; a quoted scalar is text.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub key_place: Place,
    pub node: Node,
}

/// One step down the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl Node {
    pub(crate) fn new(value: Value, place: Place) -> Self {
        Self { value, place, holed: false }
    }

    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// A scalar as it would be written.
    pub(crate) fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(value.to_string()),
            Value::Text(value) => Some(value.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    fn child(&self, step: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == step).map(|entry| &entry.node),
            Value::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        }
    }

    fn child_mut(&mut self, step: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Map(entries) => {
                entries.iter_mut().find(|entry| entry.key == step).map(|entry| &mut entry.node)
            }
            Value::List(items) => items.get_mut(step.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// The node at a path of keys and list indices.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| node.child(step))
    }

    /// The place of the value at a path, or of the nearest thing above it that the text has.
    pub(crate) fn place_of(&self, path: &[&str]) -> Place {
        let mut node = self;
        let mut place = self.first_place();
        for step in path {
            let Some(child) = node.child(step) else { break };
            place = match &node.value {
                Value::Map(_) if matches!(child.value, Value::Map(_) | Value::List(_)) => {
                    node.key_place(step).unwrap_or(child.place)
                }
                _ => child.place,
            };
            node = child;
        }
        place
    }

    /// Moves every place by so many bytes, when the text was a part of another.
    pub(crate) fn shift(&mut self, by: usize) {
        let move_place = |place: &mut Place| {
            place.start += by;
            place.end += by;
        };
        move_place(&mut self.place);
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.shift(by)),
            Value::Map(entries) => {
                for entry in entries {
                    move_place(&mut entry.key_place);
                    entry.node.shift(by);
                }
            }
            _ => {}
        }
    }

    /// The keys of a map.
    pub(crate) fn keys(&self) -> Vec<&str> {
        match &self.value {
            Value::Map(entries) => entries.iter().map(|entry| entry.key.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// The place of a key of this map.
    pub(crate) fn key_place(&self, key: &str) -> Option<Place> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| entry.key_place),
            _ => None,
        }
    }

    /// The first key of a map, or the place of anything else: what to underline when the whole is meant.
    pub(crate) fn first_place(&self) -> Place {
        match &self.value {
            Value::Map(entries) => entries.first().map_or(self.place, |entry| entry.key_place),
            _ => self.place,
        }
    }

    /// Sets the value at a path. What stands above it must exist, save for a top-level key.
    /// Err holds how many steps of the path exist.
    pub(crate) fn set(&mut self, path: &[&str], key_place: Place, new: Self) -> Result<(), usize> {
        let Some((last, above)) = path.split_last() else { return Err(0) };
        if above.len() == 1 && self.child(above[0]).is_none() {
            self.insert(above[0], key_place, Self::new(Value::Map(Vec::new()), key_place));
        }
        let mut node = self;
        for (depth, step) in above.iter().enumerate() {
            node = node.child_mut(step).ok_or(depth)?;
        }
        if let Some(old) = node.child_mut(last) {
            *old = new;
            return Ok(());
        }
        if node.insert(last, key_place, new) { Ok(()) } else { Err(above.len()) }
    }

    fn insert(&mut self, key: &str, key_place: Place, node: Self) -> bool {
        let Value::Map(entries) = &mut self.value else { return false };
        entries.push(Entry { key: key.to_owned(), key_place, node });
        true
    }

    /// Takes what stands at a path out, and marks what is above it.
    pub(crate) fn take_out(&mut self, path: &[Step]) {
        let Some((last, above)) = path.split_last() else { return };
        let mut node = self;
        for step in above {
            let child = match (step, &mut node.value) {
                (Step::Key(key), Value::Map(entries)) => {
                    entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.node)
                }
                (Step::Index(index), Value::List(items)) => items.get_mut(*index),
                _ => None,
            };
            let Some(child) = child else { return };
            node = child;
        }
        node.holed = true;
        match (last, &mut node.value) {
            (Step::Key(key), Value::Map(entries)) => entries.retain(|entry| entry.key != *key),
            (Step::Index(index), Value::List(items)) if *index < items.len() => {
                items.remove(*index);
            }
            _ => {}
        }
    }
}
