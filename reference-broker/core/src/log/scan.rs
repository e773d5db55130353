//! Walks over the batches of a segment file, with or without reading their records.

use bytes::Bytes;

use crate::disk::{Disk, DiskError, FileId};
use crate::ids::{LeaderEpoch, Offset};
use crate::record::{Batch, BatchError, BatchHeader, HEADER_BYTES, Marker};

/// How much is read at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// The whole file will be walked.
    Far,
    /// The target is at most an index interval away.
    Near,
}

/// What the scanner found next.
#[derive(Debug)]
pub(super) enum Step {
    /// A batch, and what it says if it ends a transaction.
    Batch { position: u64, header: BatchHeader, marker: Option<Marker> },
    /// The end of the file.
    End,
    /// Something that is no batch, or not the one that belongs here.
    Bad { position: u64, error: BatchError },
}

/// Walks over batches in one file, each of which must follow the one before.
#[derive(Debug)]
pub(super) struct Scanner {
    file: FileId,
    position: u64,
    end: u64,
    expected: Offset,
    epoch: LeaderEpoch,
    holes: bool,
    verify: bool,
    chunk: usize,
    window: Vec<u8>,
    window_at: u64,
}

impl Scanner {
    /// A walk from `position`, where the batch at `expected` begins, up to `end` bytes. With `holes` offsets may be missing
    /// between batches.
    pub(super) fn new(
        file: FileId,
        position: u64,
        end: u64,
        expected: Offset,
        reach: Reach,
        holes: bool,
    ) -> Self {
        let chunk = match reach {
            Reach::Far => 1 << 20,
            Reach::Near => 8 << 10,
        };
        Self {
            file,
            position,
            end,
            expected,
            epoch: LeaderEpoch::NONE,
            holes,
            verify: false,
            chunk,
            window: Vec::new(),
            window_at: position,
        }
    }

    /// Also checks every checksum, and that epochs do not go back, from `epoch` on.
    pub(super) fn verify(mut self, epoch: LeaderEpoch) -> Self {
        self.verify = true;
        self.epoch = epoch;
        self
    }

    /// The offset that the next batch must have.
    pub(super) fn expected(&self) -> Offset {
        self.expected
    }

    pub(super) fn next(&mut self, disk: &mut dyn Disk) -> Result<Step, DiskError> {
        if self.position >= self.end {
            return Ok(Step::End);
        }
        let position = self.position;
        match self.batch(disk)? {
            Ok(header) => {
                let marker = self.marker(header, disk)?;
                self.position += header.size() as u64;
                self.expected = header.last_offset().next();
                self.epoch = header.leader_epoch;
                Ok(Step::Batch { position, header, marker })
            }
            Err(error) => Ok(Step::Bad { position, error }),
        }
    }

    fn batch(&mut self, disk: &mut dyn Disk) -> Result<Result<BatchHeader, BatchError>, DiskError> {
        let header = match BatchHeader::parse(self.view(HEADER_BYTES, disk)?) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error)),
        };
        let left = (self.end - self.position) as usize;
        if left < header.size() {
            return Ok(Err(BatchError::Torn { have: left, need: header.size() }));
        }
        let follows =
            header.base_offset == self.expected || (self.holes && header.base_offset > self.expected);
        if !follows || header.last_offset_delta < 0 {
            return Ok(Err(BatchError::Offset { expected: self.expected, found: header.base_offset }));
        }
        if !self.verify {
            return Ok(Ok(header));
        }
        if header.leader_epoch < self.epoch {
            return Ok(Err(BatchError::Epoch { before: self.epoch, found: header.leader_epoch }));
        }
        Ok(BatchHeader::validate(self.view(header.size(), disk)?))
    }

    fn marker(&mut self, header: BatchHeader, disk: &mut dyn Disk) -> Result<Option<Marker>, DiskError> {
        if !header.is_control() {
            return Ok(None);
        }
        let view = self.view(header.size(), disk)?;
        let bytes = Bytes::copy_from_slice(&view[..header.size().min(view.len())]);
        Ok(Marker::of(&Batch { header, bytes }))
    }

    /// At least `need` bytes from the current position, or fewer at the end.
    fn view(&mut self, need: usize, disk: &mut dyn Disk) -> Result<&[u8], DiskError> {
        let left = (self.end - self.position) as usize;
        let need = need.min(left);
        let at = (self.position - self.window_at) as usize;
        if at + need <= self.window.len() {
            return Ok(&self.window[at..]);
        }
        self.window.resize(need.max(self.chunk.min(left)), 0);
        self.window_at = self.position;
        let count = disk.read_at(self.file, self.position, &mut self.window)?;
        self.window.truncate(count);
        Ok(&self.window)
    }
}
