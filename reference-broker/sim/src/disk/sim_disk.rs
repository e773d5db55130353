//! The disk of one node.

use std::collections::{BTreeMap, BTreeSet};

use broker_core::{Disk, DiskError, FileId};

use super::directory::{Directory, Inode};
use super::file::File;
use super::tear::Tear;
use crate::crash_point::Moment;
use crate::dice::Dice;
use crate::rarity::{Rarities, Rarity};

const ROOT: Inode = 0;

/// What is wrong with a disk at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct DiskFaults {
    /// The next flush fails, and what it was to make durable is thrown away.
    pub(crate) flush_fails: bool,
    /// Writes, new files and renames fail.
    pub(crate) writes_fail: bool,
    /// Reads fail.
    pub(crate) reads_fail: bool,
    /// All files together may hold so many bytes.
    pub(crate) capacity: Option<usize>,
    /// Flushes succeed and do nothing.
    pub(crate) lies: bool,
}

impl DiskFaults {
    /// Whether a call may fail. A lie is none that anybody notices.
    pub(crate) fn is_failing(self) -> bool {
        self.flush_fails || self.writes_fail || self.reads_fail || self.capacity.is_some()
    }
}

#[derive(Clone, Debug)]
enum Thing {
    File(File),
    Directory(Directory),
}

/// A flush on its way: the files, and up to which of their changes.
#[derive(Clone, Debug)]
pub(crate) struct Flush(Vec<(Inode, u64)>);

#[derive(Clone, Debug)]
pub(crate) struct SimDisk {
    things: BTreeMap<Inode, Thing>,
    open: BTreeMap<FileId, Inode>,
    last_id: u64,
    pub(crate) faults: DiskFaults,
    /// A flush has failed, and thrown away what it was for.
    pub(crate) dropped: bool,
    /// Writes, new and removed names, and flushes that the process waits for.
    pub(crate) changes: u64,
    /// The change at which its machine is to die.
    trap: Option<(u64, Moment)>,
    /// The trap has sprung: nothing is read or changed any more.
    sprung: bool,
    pub(crate) rarities: Rarities,
}

impl SimDisk {
    pub(crate) fn new() -> Self {
        Self {
            things: BTreeMap::from([(ROOT, Thing::Directory(Directory::default()))]),
            open: BTreeMap::new(),
            last_id: ROOT,
            faults: DiskFaults::default(),
            dropped: false,
            changes: 0,
            trap: None,
            sprung: false,
            rarities: Rarities::default(),
        }
    }

    /// Dies at the change of this number.
    pub(crate) fn set_trap(&mut self, change: u64, moment: Moment) {
        self.trap = Some((change, moment));
    }

    /// Whether the trap has sprung; it is gone then.
    pub(crate) fn take_sprung(&mut self) -> bool {
        std::mem::take(&mut self.sprung)
    }

    fn alive(&self) -> Result<(), DiskError> {
        let dead = || DiskError::Io { path: "a file".into(), error: "the machine is dead".into() };
        if self.sprung { Err(dead()) } else { Ok(()) }
    }

    /// Counts a change that is about to be made. True if it is to stop half way; an error if it is not to begin.
    fn change(&mut self) -> Result<bool, DiskError> {
        self.alive()?;
        let number = self.changes;
        self.changes += 1;
        let Some((_, moment)) = self.trap.take_if(|(change, _)| *change == number) else { return Ok(false) };
        self.sprung = true;
        if moment == Moment::Before {
            self.alive()?;
        }
        Ok(moment == Moment::Midway)
    }

    /// The end of a process: its files are closed, what it wrote is there.
    pub(crate) fn close_all(&mut self) {
        self.open.clear();
        self.sweep();
    }

    /// The power fails: of what was not flushed, some is there, some is not, some is there in part. Whether anything was lost.
    pub(crate) fn lose_power(&mut self, dice: &mut Dice) -> bool {
        let tear = Tear::draw(dice);
        self.lose_power_like(tear, dice)
    }

    pub(super) fn lose_power_like(&mut self, tear: Tear, dice: &mut Dice) -> bool {
        self.open.clear();
        let mut any = false;
        for thing in self.things.values_mut() {
            match thing {
                Thing::File(file) => {
                    let damage = file.lose_power(tear, dice);
                    any |= damage.lost;
                    self.rarities.add(Rarity::UnflushedLost, u64::from(damage.lost));
                    self.rarities.add(Rarity::WriteTorn, u64::from(damage.torn));
                }
                Thing::Directory(directory) => {
                    let forgotten = directory.lose_power(tear, dice);
                    any |= forgotten.any;
                    self.rarities.add(Rarity::NameForgotten, u64::from(forgotten.created));
                }
            }
        }
        self.sweep();
        any
    }

    /// A bit of some file turns over on the platters. False if there is none to turn.
    #[cfg(test)]
    pub(super) fn rot(&mut self, dice: &mut Dice) -> bool {
        let mut files: Vec<&mut File> = self.things.values_mut().filter_map(Thing::file).collect();
        files.retain(|file| file.len() > 0);
        let index = dice.between(0, (files.len() as u64).max(1) - 1) as usize;
        files.get_mut(index).is_some_and(|file| file.rot(dice))
    }

    /// A flush of these files begins. What is written from now on is none of its business.
    pub(crate) fn begin_flush(&self, files: &[FileId]) -> Result<Flush, DiskError> {
        let mut marks = Vec::new();
        for id in files {
            let inode = self.inode(*id)?;
            if let Some(Thing::File(file)) = self.things.get(&inode) {
                marks.push((inode, file.mark()));
            }
        }
        Ok(Flush(marks))
    }

    /// The flush has come to its end, one way or the other.
    pub(crate) fn end_flush(&mut self, flush: &Flush) -> Result<(), DiskError> {
        if self.faults.lies {
            return Ok(());
        }
        let fails = std::mem::take(&mut self.faults.flush_fails);
        for (inode, mark) in &flush.0 {
            match self.things.get_mut(inode).and_then(Thing::file) {
                Some(file) if fails => file.forget(*mark),
                Some(file) => file.flush(*mark),
                None => {}
            }
        }
        if fails {
            self.dropped = true;
            self.rarities.sometimes(Rarity::FlushFailed);
            return Err(DiskError::Io { path: "a log".into(), error: "flush failed".into() });
        }
        Ok(())
    }

    // --- names ---

    fn directory(&mut self, path: &str) -> Result<(Inode, &mut Directory), DiskError> {
        let inode = self.find(path).ok_or_else(|| DiskError::NotFound(path.into()))?;
        match self.things.get_mut(&inode) {
            Some(Thing::Directory(directory)) => Ok((inode, directory)),
            _ => Err(DiskError::NotFound(path.into())),
        }
    }

    fn find(&self, path: &str) -> Option<Inode> {
        path.split('/').filter(|part| !part.is_empty()).try_fold(ROOT, |inode, part| {
            match self.things.get(&inode)? {
                Thing::Directory(directory) => directory.get(part),
                Thing::File(_) => None,
            }
        })
    }

    fn create(&mut self, parent: &str, name: &str, thing: Thing) -> Result<Inode, DiskError> {
        let inode = self.last_id + 1;
        self.directory(parent)?.1.link(name, inode);
        self.last_id = inode;
        self.things.insert(inode, thing);
        Ok(inode)
    }

    /// What nobody can reach any more, neither now nor after a power loss, is gone.
    fn sweep(&mut self) {
        let mut reached: BTreeSet<Inode> = self.open.values().copied().collect();
        let mut ahead = vec![ROOT];
        while let Some(inode) = ahead.pop() {
            if reached.insert(inode)
                && let Some(Thing::Directory(directory)) = self.things.get(&inode)
            {
                ahead.extend(directory.inodes());
            }
        }
        self.things.retain(|inode, _| reached.contains(inode));
    }

    // --- files ---

    fn inode(&self, file: FileId) -> Result<Inode, DiskError> {
        let inode = self.open.get(&file).copied();
        inode.ok_or_else(|| DiskError::Io { path: format!("file {}", file.0), error: "not open".into() })
    }

    fn file(&mut self, id: FileId) -> Result<&mut File, DiskError> {
        let inode = self.inode(id)?;
        let file = self.things.get_mut(&inode).and_then(Thing::file);
        file.ok_or_else(|| DiskError::Io { path: format!("file {}", id.0), error: "is no file".into() })
    }

    /// Counts a change that is made as a whole or not at all.
    fn writable(&mut self, what: &str) -> Result<(), DiskError> {
        if self.change()? {
            self.alive()?;
        }
        self.working(what)
    }

    fn working(&mut self, what: &str) -> Result<(), DiskError> {
        if self.faults.writes_fail {
            self.rarities.sometimes(Rarity::WriteFailed);
            return Err(DiskError::Io { path: what.into(), error: "write failed".into() });
        }
        Ok(())
    }

    fn readable(&mut self) -> Result<(), DiskError> {
        self.alive()?;
        if self.faults.reads_fail {
            self.rarities.sometimes(Rarity::ReadFailed);
            return Err(DiskError::Io { path: "a file".into(), error: "read failed".into() });
        }
        Ok(())
    }

    /// How many bytes all files hold.
    pub(crate) fn used(&mut self) -> usize {
        self.things.values_mut().filter_map(Thing::file).map(|file| file.len()).sum()
    }

    /// How many more bytes fit, if that is limited at all.
    fn room(&mut self) -> Option<usize> {
        let capacity = self.faults.capacity?;
        Some(capacity.saturating_sub(self.used()))
    }
}

impl Thing {
    fn file(&mut self) -> Option<&mut File> {
        match self {
            Self::File(file) => Some(file),
            Self::Directory(_) => None,
        }
    }
}

/// The directory of a path, and the name in it.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl Disk for SimDisk {
    fn open(&mut self, path: &str) -> Result<FileId, DiskError> {
        self.alive()?;
        let (parent, name) = split(path);
        let inode = if let Some(inode) = self.directory(parent)?.1.get(name) {
            inode
        } else {
            self.writable(path)?;
            self.create(parent, name, Thing::File(File::default()))?
        };
        self.last_id += 1;
        self.open.insert(FileId(self.last_id), inode);
        Ok(FileId(self.last_id))
    }

    fn close(&mut self, file: FileId) {
        self.open.remove(&file);
    }

    fn len(&mut self, file: FileId) -> Result<u64, DiskError> {
        Ok(self.file(file)?.len() as u64)
    }

    fn write_at(&mut self, file: FileId, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let halved = self.change()?;
        self.working("a file")?;
        let at = position as usize;
        if halved {
            let bytes = parts.concat();
            self.file(file)?.write(at, &[&bytes[..bytes.len() / 2]]);
            return self.alive();
        }
        if let Some(room) = self.room() {
            let bytes = parts.concat();
            let file = self.file(file)?;
            let fits = (file.len() + room).saturating_sub(at);
            if fits < bytes.len() {
                // As much as fits is written, and only then there is an error.
                if fits > 0 {
                    file.write(at, &[&bytes[..fits]]);
                }
                self.rarities.sometimes(Rarity::DiskFull);
                return Err(DiskError::Full("a file".into()));
            }
        }
        self.file(file)?.write(at, parts);
        Ok(())
    }

    fn read_at(&mut self, file: FileId, position: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.readable()?;
        let bytes = self.file(file)?.bytes();
        let from = (position as usize).min(bytes.len());
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn truncate(&mut self, file: FileId, length: u64) -> Result<(), DiskError> {
        self.writable("a file")?;
        let file = self.file(file)?;
        // A file that is emptied is written anew; one that is cut keeps what was whole.
        let cut = file.torn && length > 0 && (length as usize) < file.len();
        if cut {
            file.torn = false;
        }
        file.resize(length as usize);
        self.rarities.add(Rarity::TornTailCut, u64::from(cut));
        Ok(())
    }

    fn sync(&mut self, file: FileId) -> Result<(), DiskError> {
        if self.change()? {
            self.alive()?;
        }
        let flush = self.begin_flush(&[file])?;
        self.end_flush(&flush)
    }

    fn sync_dir(&mut self, path: &str) -> Result<(), DiskError> {
        if self.faults.lies {
            return self.alive();
        }
        self.writable(path)?;
        if self.directory(path)?.1.flush() {
            self.sweep();
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.writable(from)?;
        let ((parent, old), (other, new)) = (split(from), split(to));
        if parent != other {
            return Err(DiskError::Io { path: from.into(), error: "renamed into another directory".into() });
        }
        let (_, directory) = self.directory(parent)?;
        directory.get(old).ok_or_else(|| DiskError::NotFound(from.into()))?;
        directory.rename(old, new);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), DiskError> {
        self.writable(path)?;
        let (parent, name) = split(path);
        let (_, directory) = self.directory(parent)?;
        directory.get(name).ok_or_else(|| DiskError::NotFound(path.into()))?;
        directory.unlink(name);
        Ok(())
    }

    fn create_dir(&mut self, path: &str) -> Result<(), DiskError> {
        let mut end = 0;
        for part in path.split('/') {
            let parent = &path[..end.max(1) - 1];
            end += part.len();
            if self.find(&path[..end]).is_none() {
                self.writable(path)?;
                self.create(parent, part, Thing::Directory(Directory::default()))?;
            }
            end += 1;
        }
        Ok(())
    }

    fn remove_dir(&mut self, path: &str) -> Result<(), DiskError> {
        self.writable(path)?;
        let Ok((_, directory)) = self.directory(path) else { return Ok(()) };
        let names: Vec<String> = directory.names().cloned().collect();
        for name in names {
            let inside = format!("{path}/{name}");
            if self.directory(&inside).is_ok() {
                self.remove_dir(&inside)?;
            } else {
                self.remove(&inside)?;
            }
        }
        let (parent, name) = split(path);
        self.directory(parent)?.1.unlink(name);
        Ok(())
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, DiskError> {
        self.readable()?;
        match self.directory(path) {
            Ok((_, directory)) => Ok(directory.names().cloned().collect()),
            Err(_) => Ok(Vec::new()),
        }
    }
}
