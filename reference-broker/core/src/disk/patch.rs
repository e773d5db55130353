//! Damage to the files of a disk in memory, read from bytes: what a fuzzer mutates.
//!
//! In:  any bytes, as a list of operations. Out: files that are cut, filled, swapped, gone, or replaced.
//! Never: fails; what makes no sense is taken modulo what does.

use super::{Disk, MemDisk};

/// Applies all the damage that the bytes describe. One operation is a kind, a file, a position and what the kind needs.
pub fn damage(disk: &mut MemDisk, bytes: &[u8]) {
    let mut input = Input(bytes);
    while input.operation(disk).is_some() {}
    disk.close_all();
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<usize> {
        Some(usize::from(u16::from_be_bytes([self.byte()?, self.byte()?])))
    }

    /// As many bytes as the next one says, or as are left.
    fn piece(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.byte()?).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(piece)
    }

    fn path(&mut self, disk: &MemDisk) -> Option<String> {
        let number = usize::from(self.byte()?);
        let paths: Vec<&str> = disk.paths().collect();
        paths.get(number % paths.len().max(1)).map(|path| (*path).to_owned())
    }

    /// `None` when nothing is left to do.
    fn operation(&mut self, disk: &mut MemDisk) -> Option<()> {
        let kind = self.byte()?;
        let path = self.path(disk)?;
        let length = disk.contents(&path)?.len();
        let at = self.number()?;
        match kind % 8 {
            0 if at < length => disk.contents_mut(&path)?[at] = self.byte()?,
            1 => {
                let bit = self.byte()?;
                *disk.contents_mut(&path)?.get_mut(at % length.max(1))? ^= 1 << (bit % 8);
            }
            2 => disk.contents_mut(&path)?.truncate(at % (length + 1)),
            3 => {
                let piece = self.piece()?;
                let at = at % (length + 1);
                disk.contents_mut(&path)?.splice(at..at, piece.iter().copied());
            }
            4 => *disk.contents_mut(&path)? = self.piece()?.to_vec(),
            5 => {
                // A sector in the wrong place, of the same file or another one.
                let other = self.path(disk)?;
                let source = disk.contents(&other)?;
                let from = self.number()? % (source.len() + 1);
                let piece = source[from..].iter().copied().take(512).collect::<Vec<u8>>();
                let target = disk.contents_mut(&path)?;
                let at = at % (target.len() + 1);
                let end = (at + piece.len()).min(target.len());
                target.splice(at..end, piece);
            }
            6 => disk.remove(&path).ok()?,
            7 => {
                let other = self.path(disk)?;
                disk.rename(&path, &other).ok()?;
            }
            _ => {}
        }
        Some(())
    }
}
