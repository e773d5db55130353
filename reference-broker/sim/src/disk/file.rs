//! The bytes of one file: as processes see them, as they are on the platters, and the changes between.

use std::collections::VecDeque;

use super::tear::{Fate, Tear};
use crate::dice::Dice;

/// A kernel begins to write by itself when so many bytes of a file wait.
const DIRTY_BYTES_MAX: usize = 64 << 20;

/// One change that was not flushed yet.
#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Box<[u8]> },
    Resize { length: usize },
}

/// What a power loss did to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Damage {
    /// Some change is not there as it was made.
    pub(super) lost: bool,
    /// A change is there in part.
    pub(super) torn: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// As processes see it.
    live: Vec<u8>,
    durable: Vec<u8>,
    /// From the durable image to the live one, in order.
    pending: VecDeque<Change>,
    pending_bytes: usize,
    /// How many changes there were ever.
    changes: u64,
    /// Since the last power loss it may end in the middle of something.
    pub(super) torn: bool,
}

impl File {
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.live
    }

    pub(super) fn write(&mut self, at: usize, parts: &[&[u8]]) {
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            bytes.extend_from_slice(part);
        }
        put(&mut self.live, at, &bytes);
        self.pending_bytes += bytes.len();
        self.change(Change::Write { at, bytes: bytes.into() });
        while self.pending_bytes > DIRTY_BYTES_MAX {
            self.write_back();
        }
    }

    pub(super) fn resize(&mut self, length: usize) {
        self.live.resize(length, 0);
        self.change(Change::Resize { length });
    }

    fn change(&mut self, change: Change) {
        self.changes += 1;
        self.pending.push_back(change);
    }

    /// Up to here a flush that begins now has to come.
    pub(super) fn mark(&self) -> u64 {
        self.changes
    }

    /// All changes before the mark reach the platters.
    pub(super) fn flush(&mut self, mark: u64) {
        while self.first_pending() < mark && !self.pending.is_empty() {
            self.write_back();
        }
    }

    fn first_pending(&self) -> u64 {
        self.changes - self.pending.len() as u64
    }

    /// The oldest change reaches the platters.
    fn write_back(&mut self) {
        match self.pending.pop_front() {
            Some(Change::Write { at, bytes }) => {
                self.pending_bytes -= bytes.len();
                put(&mut self.durable, at, &bytes);
            }
            Some(Change::Resize { length }) => self.durable.resize(length, 0),
            None => {}
        }
    }

    /// A flush of all changes before the mark has failed, and the kernel has thrown them away, so that no later flush can make
    /// them durable.
    pub(super) fn forget(&mut self, mark: u64) {
        let dropped = mark.saturating_sub(self.first_pending()).min(self.pending.len() as u64);
        for change in self.pending.drain(..dropped as usize) {
            if let Change::Write { bytes, .. } = change {
                self.pending_bytes -= bytes.len();
            }
        }
        self.live.clone_from(&self.durable);
        for change in &self.pending {
            match change {
                Change::Write { at, bytes } => put(&mut self.live, *at, bytes),
                Change::Resize { length } => self.live.resize(*length, 0),
            }
        }
    }

    /// The power fails.
    pub(super) fn lose_power(&mut self, tear: Tear, dice: &mut Dice) -> Damage {
        let mut damage = Damage::default();
        let fates = tear.fates(self.pending.len(), dice);
        self.pending_bytes = 0;
        for (change, fate) in std::mem::take(&mut self.pending).into_iter().zip(fates) {
            damage.lost |= fate != Fate::Kept;
            match (change, fate) {
                (Change::Write { at, bytes }, Fate::Kept) => put(&mut self.durable, at, &bytes),
                (Change::Resize { length }, Fate::Kept) => self.durable.resize(length, 0),
                (Change::Resize { .. }, _) => {}
                (Change::Write { at, bytes }, fate) => {
                    // The length is no part of the bytes: it may be there without them, and they without it.
                    if dice.percent(if fate == Fate::Torn { 70 } else { 25 }) {
                        self.grow(at + bytes.len(), tear);
                        damage.torn = true;
                    }
                    if fate == Fate::Torn {
                        damage.torn = true;
                        self.tear(at, &bytes, tear.sector, dice);
                    }
                }
            }
        }
        self.live.clone_from(&self.durable);
        self.torn |= damage.torn;
        damage
    }

    /// The length is there, the bytes are not.
    fn grow(&mut self, length: usize, tear: Tear) {
        let end = self.durable.len();
        if end < length {
            self.durable.resize(length, 0);
            if tear.stale {
                // What processes wrote to the start of the file before, as blocks of a removed file would show: whole ones, for the
                // block that the file ended in is zero behind its end.
                let whole = end.next_multiple_of(tear.sector).min(length);
                let old = self.live.chunks(tear.sector).cycle();
                for (sector, old) in self.durable[whole..].chunks_mut(tear.sector).zip(old) {
                    let within = sector.len().min(old.len());
                    sector[..within].copy_from_slice(&old[..within]);
                }
            }
        }
    }

    /// Some sectors of a write, as far as the file goes.
    fn tear(&mut self, at: usize, bytes: &[u8], sector: usize, dice: &mut Dice) {
        let mut from = 0;
        while from < bytes.len() {
            let to = ((at + from) / sector * sector + sector - at).min(bytes.len());
            if dice.percent(50)
                && let Some(place) = self.durable.get_mut(at + from..)
            {
                let within = place.len().min(to - from);
                place[..within].copy_from_slice(&bytes[from..from + within]);
            }
            from = to;
        }
    }

    /// One bit of what is on the platters turns over, if anything is.
    #[cfg(test)]
    pub(super) fn rot(&mut self, dice: &mut Dice) -> bool {
        if self.durable.is_empty() || !self.pending.is_empty() {
            return false;
        }
        let at = dice.between(0, self.durable.len() as u64 - 1) as usize;
        self.durable[at] ^= 1 << dice.between(0, 7);
        self.live[at] = self.durable[at];
        true
    }
}

fn put(image: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if image.len() < at {
        image.resize(at, 0);
    }
    let overlap = (image.len() - at).min(bytes.len());
    image[at..at + overlap].copy_from_slice(&bytes[..overlap]);
    image.extend_from_slice(&bytes[overlap..]);
}
