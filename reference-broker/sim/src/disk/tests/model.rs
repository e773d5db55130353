//! Random lives of a disk, against the list of what was done: after a power loss every byte is explained by some subset of what
//! was not flushed, and everything flushed is there.

use std::collections::BTreeMap;

use super::*;

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Write { name: usize, at: u64, bytes: Vec<u8> },
    Truncate { name: usize, length: u64 },
    Sync { name: usize },
    SyncDir,
    Rename { from: usize, to: usize },
    Remove { name: usize },
    Crash,
    PowerLoss { seed: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    prop_oneof![
        8 => (name.clone(), 0..40_u64, prop::collection::vec(1..=255_u8, 1..20))
            .prop_map(|(name, at, bytes)| Step::Write { name, at, bytes }),
        2 => (name.clone(), 0..40_u64).prop_map(|(name, length)| Step::Truncate { name, length }),
        3 => name.clone().prop_map(|name| Step::Sync { name }),
        2 => Just(Step::SyncDir),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename { from, to }),
        1 => name.prop_map(|name| Step::Remove { name }),
        1 => Just(Step::Crash),
        2 => any::<u64>().prop_map(|seed| Step::PowerLoss { seed }),
    ]
}

/// One file, whatever its name: its bytes if all went well, and what each byte and the length may be after a power loss.
#[derive(Clone, Default)]
struct Truth {
    bytes: Vec<u8>,
    /// Since the last flush: the values that stood at each place, and the lengths.
    values: BTreeMap<usize, Vec<u8>>,
    lengths: Vec<usize>,
    /// The shortest that it was cut to since.
    cut: Option<usize>,
    flushed: Vec<u8>,
}

impl Truth {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
        for (place, byte) in (at..).zip(bytes) {
            self.values.entry(place).or_default().push(*byte);
        }
        self.lengths.push(end);
    }

    fn truncate(&mut self, length: usize) {
        self.bytes.resize(length, 0);
        self.lengths.push(length);
        self.cut = Some(self.cut.map_or(length, |cut| cut.min(length)));
    }

    fn sync(&mut self) {
        self.settle(self.bytes.clone());
    }

    fn settle(&mut self, bytes: Vec<u8>) {
        self.values.clear();
        self.lengths.clear();
        self.cut = None;
        self.flushed.clone_from(&bytes);
        self.bytes = bytes;
    }

    /// Stale bytes are any that the file had at some time; zeros stand where nothing was written.
    fn explains(&self, found: &[u8]) -> Result<(), String> {
        if self.lengths.is_empty() && self.flushed != found {
            return Err(format!("flushed {:?}, found {found:?}", self.flushed));
        }
        if found.len() != self.flushed.len() && !self.lengths.contains(&found.len()) {
            return Err(format!("{} bytes: nobody asked for that length", found.len()));
        }
        let known = self.flushed.len().min(self.cut.unwrap_or(usize::MAX));
        for (place, byte) in found.iter().enumerate() {
            let flushed = self.flushed.get(place) == Some(byte);
            let written = self.values.get(&place).is_some_and(|values| values.contains(byte));
            if !flushed && !written && place < known {
                return Err(format!("byte {place} is {byte}"));
            }
        }
        Ok(())
    }
}

/// The disk, the files that have a name, and what the names may be after a power loss.
struct Model {
    disk: SimDisk,
    files: BTreeMap<usize, Truth>,
    names: BTreeMap<usize, usize>,
    /// Since the directory was flushed last: what each name may stand for.
    maybe: BTreeMap<usize, Vec<Option<usize>>>,
    made: usize,
}

impl Model {
    fn new() -> Self {
        let names = BTreeMap::new();
        Self { disk: SimDisk::new(), files: BTreeMap::new(), names, maybe: BTreeMap::new(), made: 0 }
    }

    fn point(&mut self, name: usize, file: Option<usize>) {
        let before = self.names.get(&name).copied();
        self.maybe.entry(name).or_insert_with(|| vec![before]).push(file);
        match file {
            Some(file) => self.names.insert(name, file),
            None => self.names.remove(&name),
        };
    }

    fn with(&mut self, name: usize, act: impl FnOnce(&mut SimDisk, FileId, &mut Truth)) {
        let file = self.disk.open(NAMES[name]).unwrap();
        let truth = if let Some(truth) = self.names.get(&name) {
            *truth
        } else {
            self.made += 1;
            self.point(name, Some(self.made));
            self.made
        };
        act(&mut self.disk, file, self.files.entry(truth).or_default());
        self.disk.close(file);
    }

    fn apply(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Write { name, at, bytes } => self.with(name, |disk, file, truth| {
                disk.write_at(file, at, &[&bytes]).unwrap();
                truth.write(at as usize, &bytes);
            }),
            Step::Truncate { name, length } => self.with(name, |disk, file, truth| {
                disk.truncate(file, length).unwrap();
                truth.truncate(length as usize);
            }),
            Step::Sync { name } => self.with(name, |disk, file, truth| {
                disk.sync(file).unwrap();
                truth.sync();
            }),
            Step::SyncDir => {
                self.disk.sync_dir("").unwrap();
                self.maybe.clear();
            }
            Step::Rename { from, to } => {
                let renamed = self.disk.rename(NAMES[from], NAMES[to]);
                assert_eq!(renamed.is_ok(), self.names.contains_key(&from));
                if let Some(file) = self.names.get(&from).copied().filter(|_| from != to) {
                    self.point(from, None);
                    self.point(to, Some(file));
                }
            }
            Step::Remove { name } => {
                let removed = self.disk.remove(NAMES[name]);
                assert_eq!(removed.is_ok(), self.names.contains_key(&name));
                if self.names.contains_key(&name) {
                    self.point(name, None);
                }
            }
            Step::Crash => self.disk.close_all(),
            Step::PowerLoss { seed } => return self.power_loss(seed),
        }
        self.compare()
    }

    fn compare(&mut self) -> Result<(), String> {
        for (name, path) in NAMES.iter().enumerate() {
            let expected = self.names.get(&name).map(|file| self.files[file].bytes.clone());
            let found = read(&mut self.disk, path);
            if found != expected {
                return Err(format!("`{path}`: {found:?} instead of {expected:?}"));
            }
        }
        Ok(())
    }

    fn power_loss(&mut self, seed: u64) -> Result<(), String> {
        self.disk.lose_power(&mut dice(seed));
        let mut taken = BTreeMap::new();
        for (name, path) in NAMES.iter().enumerate() {
            let found = read(&mut self.disk, path);
            let now = self.names.get(&name).copied();
            let choices = self.maybe.get(&name).cloned().unwrap_or_else(|| vec![now]);
            let Some(bytes) = found else {
                if !choices.contains(&None) {
                    return Err(format!("`{path}` is gone"));
                }
                continue;
            };
            let mut why = format!("`{path}` was never there");
            let fits = choices.into_iter().flatten().find(|file| match self.files[file].explains(&bytes) {
                Ok(()) => true,
                Err(error) => {
                    why = format!("`{path}`: {error}");
                    false
                }
            });
            taken.insert(name, (fits.ok_or(why)?, bytes));
        }
        // Which of several files of the same bytes it is cannot be told; a new one stands for it.
        (self.names, self.files, self.maybe) = Default::default();
        for (name, (_, bytes)) in taken {
            self.made += 1;
            self.names.insert(name, self.made);
            self.files.entry(self.made).or_default().settle(bytes);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_left_is_explained_by_what_was_done(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in steps {
            if let Err(error) = model.apply(step) {
                return Err(TestCaseError::fail(error));
            }
        }
    }
}
