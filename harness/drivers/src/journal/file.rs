//! One process's journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memmap2::MmapMut;
use mqproof_core::history::{
    Event, HEADER_SIZE, HeaderError, JournalMeta, Recorder, SEAL_OFFSET, SEGMENT_SIZE, SealReason,
    SegmentFull, encode_header,
};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::map::map_writable;
use crate::clock::monotonic_ns;

/// Why an event could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The disk is full. The journal has been sealed with this reason; what follows is not recorded.
    #[error("disk full at journal `{0}`")]
    DiskFull(PathBuf),
    /// The journal was sealed before.
    #[error("journal `{0}` is sealed already")]
    Sealed(PathBuf),
    /// The description of the process cannot be written.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Something else about the file.
    #[error("journal `{path}`: {source}")]
    Io {
        /// The journal or its side file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A journal that is being written. An event is in the page cache, and so survives the process, when
/// [`JournalFile::record`] returns. Memory stays flat: only the segment that is being written is mapped.
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    file: File,
    /// None once sealed.
    segment: Option<MmapMut>,
    /// Where in the file the segment begins.
    segment_at: u64,
    recorder: Recorder,
    side: Option<File>,
    side_length: u64,
    disk_full: bool,
}

impl JournalFile {
    /// Creates `<dir>/<role>-<number>.<incarnation>.journal`, which must not exist.
    pub fn create(dir: &Path, meta: &JournalMeta) -> Result<Self, RecordError> {
        let path = dir.join(format!("{}.journal", meta.name()));
        let io = |source| RecordError::Io { path: path.clone(), source };
        let header = encode_header(meta)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).map_err(io)?;
        let full_or = |source: io::Error| match Errno::from_io_error(&source) {
            Some(Errno::NOSPC) => RecordError::DiskFull(path.clone()),
            _ => io(source),
        };
        file.write_all_at(&header, 0).map_err(full_or)?;
        let segment_at = HEADER_SIZE as u64;
        let segment = next_segment(&file, segment_at).map_err(full_or)?;
        Ok(Self {
            file,
            segment: Some(segment),
            segment_at,
            recorder: Recorder::new(),
            side: None,
            side_length: 0,
            disk_full: false,
            path,
        })
    }

    /// How many events were recorded.
    pub fn events(&self) -> u64 {
        self.recorder.events()
    }

    /// Records an event. Acknowledge what it tells only afterwards.
    #[inline]
    pub fn record(&mut self, event: &Event) -> Result<(), RecordError> {
        let Some(segment) = &mut self.segment else {
            return Err(self.closed());
        };
        match self.recorder.record(segment, event) {
            Ok(()) => Ok(()),
            Err(SegmentFull) => self.record_in_next_segment(event),
        }
    }

    #[cold]
    fn record_in_next_segment(&mut self, event: &Event) -> Result<(), RecordError> {
        let next_at = self.segment_at + SEGMENT_SIZE as u64;
        match next_segment(&self.file, next_at) {
            Ok(segment) => {
                self.recorder.next_segment();
                self.segment_at = next_at;
                let segment = self.segment.insert(segment);
                self.recorder.record(segment, event).expect("a fresh segment has room");
                Ok(())
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOSPC) => {
                self.disk_full()?;
                Err(self.closed())
            }
            Err(error) => Err(self.io(error)),
        }
    }

    /// Keeps the bytes of a record that could not be read as a message in the side file, and says where they begin.
    pub fn keep_raw(&mut self, bytes: &[u8]) -> Result<u64, RecordError> {
        if self.side.is_none() {
            let path = self.path.with_extension("side");
            let side = File::create(&path).map_err(|source| RecordError::Io { path, source })?;
            self.side = Some(side);
        }
        let at = self.side_length;
        match self.side.as_mut().map_or(Ok(()), |side| side.write_all(bytes)) {
            Ok(()) => {
                self.side_length += bytes.len() as u64;
                Ok(at)
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOSPC) => {
                self.disk_full()?;
                Err(self.closed())
            }
            Err(error) => Err(self.io(error)),
        }
    }

    /// Closes the last block, writes the seal, and gives back the space that was reserved ahead.
    pub fn seal(&mut self, reason: SealReason) -> Result<(), RecordError> {
        let Some(mut segment) = self.segment.take() else {
            return Err(self.closed());
        };
        let seal = self.recorder.seal(&mut segment, reason, monotonic_ns());
        drop(segment);
        self.file.write_all_at(&seal.encode(), SEAL_OFFSET as u64).map_err(|error| self.io(error))?;
        let length = self.segment_at + self.recorder.used() as u64;
        self.file.set_len(length).map_err(|error| self.io(error))
    }

    fn disk_full(&mut self) -> Result<(), RecordError> {
        self.disk_full = true;
        // The header's page exists, so writing the seal needs no space.
        self.seal(SealReason::DiskFull)
    }

    fn closed(&self) -> RecordError {
        if self.disk_full {
            RecordError::DiskFull(self.path.clone())
        } else {
            RecordError::Sealed(self.path.clone())
        }
    }

    fn io(&self, source: io::Error) -> RecordError {
        RecordError::Io { path: self.path.clone(), source }
    }
}

/// Reserves a segment on disk, so that writing to the map cannot find the disk full, and maps it.
fn next_segment(file: &File, at: u64) -> io::Result<MmapMut> {
    match fallocate(file, FallocateFlags::empty(), at, SEGMENT_SIZE as u64) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            // A file system that cannot reserve: write zeros instead.
            let zeros = vec![0; 1 << 20];
            for part in 0..SEGMENT_SIZE / zeros.len() {
                file.write_all_at(&zeros, at + (part * zeros.len()) as u64)?;
            }
        }
        Err(error) => return Err(error.into()),
    }
    map_writable(file, at, SEGMENT_SIZE)
}
