//! The names in one directory: as processes see them, as they are on the platters, and the changes between.

use std::collections::{BTreeMap, BTreeSet};

use super::tear::{Fate, Tear};
use crate::dice::Dice;

/// A file or directory, whatever its name.
pub(super) type Inode = u64;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Change {
    Link { name: String, inode: Inode },
    Unlink { name: String },
    Rename { from: String, to: String },
}

/// What a power loss did to the names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Forgotten {
    /// Any change.
    pub(super) any: bool,
    pub(super) created: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    live: BTreeMap<String, Inode>,
    durable: BTreeMap<String, Inode>,
    pending: Vec<Change>,
}

impl Directory {
    pub(super) fn get(&self, name: &str) -> Option<Inode> {
        self.live.get(name).copied()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.live.keys()
    }

    pub(super) fn link(&mut self, name: &str, inode: Inode) {
        self.change(Change::Link { name: name.into(), inode });
    }

    pub(super) fn unlink(&mut self, name: &str) {
        self.change(Change::Unlink { name: name.into() });
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.change(Change::Rename { from: from.into(), to: to.into() });
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.live, &change);
        self.pending.push(change);
    }

    /// Every change so far is there to stay. Whether a name went.
    pub(super) fn flush(&mut self) -> bool {
        let dropped = self.pending.iter().any(|change| !matches!(change, Change::Link { .. }));
        self.pending.clear();
        if self.durable != self.live {
            self.durable.clone_from(&self.live);
        }
        dropped
    }

    /// The power fails. A journal keeps a change whole or not at all, and never one without those before it that touch the same
    /// names.
    pub(super) fn lose_power(&mut self, tear: Tear, dice: &mut Dice) -> Forgotten {
        let fates = tear.fates(self.pending.len(), dice);
        let mut forgotten = Forgotten::default();
        let mut broken = BTreeSet::new();
        for (change, fate) in std::mem::take(&mut self.pending).into_iter().zip(fates) {
            let (name, other) = match &change {
                Change::Link { name, .. } | Change::Unlink { name } => (name, None),
                Change::Rename { from, to } => (from, Some(to)),
            };
            let kept = fate == Fate::Kept
                && !broken.contains(name)
                && other.is_none_or(|other| !broken.contains(other));
            if kept {
                apply(&mut self.durable, &change);
                continue;
            }
            forgotten.any = true;
            forgotten.created |= matches!(change, Change::Link { .. });
            broken.insert(name.clone());
            broken.extend(other.cloned());
        }
        self.live.clone_from(&self.durable);
        forgotten
    }

    /// All that is, was or may again be named here.
    pub(super) fn inodes(&self) -> impl Iterator<Item = Inode> {
        let linked = self.pending.iter().filter_map(|change| match change {
            Change::Link { inode, .. } => Some(*inode),
            _ => None,
        });
        self.live.values().chain(self.durable.values()).copied().chain(linked)
    }
}

fn apply(names: &mut BTreeMap<String, Inode>, change: &Change) {
    match change {
        Change::Link { name, inode } => {
            names.insert(name.clone(), *inode);
        }
        Change::Unlink { name } => {
            names.remove(name);
        }
        Change::Rename { from, to } => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}
