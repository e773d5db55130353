//! One pass of compaction over a log, in pieces.

use bytes::BytesMut;

use super::filter::Filter;
use super::offset_map::OffsetMap;
use super::swap;
use super::transactions::Tracker;
use crate::defects::Defect;
use crate::disk::{Disk, FileId};
use crate::ids::Offset;
use crate::log::index::Index;
use crate::log::segment::{Segment, remove_if_there};
use crate::log::transactions::AbortedIndex;
use crate::log::{LogError, PartitionLog};
use crate::record::{Batch, BatchError, BatchHeader, HEADER_BYTES};

/// How much is read in one piece.
const PIECE_BYTES: usize = 1 << 20;
/// How much memory the keys of one pass may take; what does not fit is for the next one.
const MAP_BYTES: usize = 64 << 20;

/// What a pass needs next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cleaning {
    /// There is nothing to do.
    Idle,
    /// The log has to be flushed first: only what is durable is compacted.
    NotDurable,
    /// To be called again, soon.
    Busy,
    /// These files are to be flushed; then [`PartitionLog::cleaned_flushed`], and on.
    Flush(Vec<FileId>),
    /// The pass is over.
    Done,
}

/// A pass in progress.
#[derive(Debug)]
pub(in crate::log) struct CleanPass {
    /// Of the log when it began: positions mean nothing in another one.
    shape: u64,
    /// What came since the last pass.
    from: Offset,
    until: Offset,
    filter: Filter,
    stage: Stage,
}

/// A place in the segments.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    segment: usize,
    position: u64,
}

#[derive(Debug)]
enum Stage {
    /// The keys are noted.
    Noting(Cursor),
    /// Segments `group` to `end` (exclusive) are written as one.
    Writing { group: usize, end: usize, cursor: Cursor, output: Output },
    /// The new segment is flushed.
    Flushing { group: usize, end: usize, output: Output, flushed: bool },
    /// The new segment counts, and takes the places of the old ones.
    Replacing { group: usize, end: usize, output: Output },
}

/// A segment that is being written.
#[derive(Debug)]
struct Output {
    base: Offset,
    /// Where the next segment begins.
    until: Offset,
    file: FileId,
    size: u64,
    index: Index,
    aborted: AbortedIndex,
}

impl PartitionLog {
    /// Begins a pass if enough has come since the last one; to be carried on by [`Self::clean_some`].
    pub fn begin_cleaning(
        &mut self,
        high_watermark: Offset,
        wall_ms: i64,
        disk: &mut dyn Disk,
    ) -> Result<Cleaning, LogError> {
        if self.fenced || !self.config.compacts || self.cleaning.is_some() || self.uncleanable {
            return Ok(Cleaning::Idle);
        }
        let from = self.cleaned.max(self.segments[0].base);
        let cleanable = self.cleanable(high_watermark, wall_ms);
        if cleanable <= from || !self.is_dirty(from, cleanable, wall_ms) {
            return Ok(Cleaning::Idle);
        }
        let until = cleanable.min(self.segments[self.segment_of(self.durable)].base);
        if until <= from {
            return Ok(Cleaning::NotDurable);
        }
        if !self.holes {
            self.holes = true;
            self.store_checkpoint(self.durable, disk)?;
        }
        let transactions = Tracker::new(self.aborted_in(from, until));
        let filter =
            Filter::new(wall_ms, self.config.delete_retention_ms, OffsetMap::new(MAP_BYTES), transactions);
        let stage = Stage::Noting(Cursor { segment: self.segment_of(from), position: 0 });
        self.cleaning = Some(CleanPass { shape: self.shape, from, until, filter, stage });
        Ok(Cleaning::Busy)
    }

    /// Whether a pass is in progress.
    pub fn is_cleaning(&self) -> bool {
        self.cleaning.is_some()
    }

    /// The new segment is durable.
    pub fn cleaned_flushed(&mut self) {
        if let Some(CleanPass { stage: Stage::Flushing { flushed, .. }, .. }) = &mut self.cleaning {
            *flushed = true;
        }
    }

    /// Does a piece of a pass. Segments are replaced only if no flush of them is on its way. After an error the log is not
    /// compacted any more.
    pub fn clean_some(&mut self, may_replace: bool, disk: &mut dyn Disk) -> Result<Cleaning, LogError> {
        let Some(mut pass) = self.cleaning.take() else { return Ok(Cleaning::Idle) };
        if pass.shape != self.shape || self.fenced {
            self.cleaning = Some(pass);
            self.stop_cleaning(disk)?;
            return Ok(Cleaning::Idle);
        }
        let done = match pass.stage {
            Stage::Noting(cursor) => self.note_some(&mut pass, cursor, disk),
            Stage::Writing { .. } => self.write_some(&mut pass, disk),
            Stage::Flushing { flushed: true, .. } => self.commit_group(&mut pass, disk),
            Stage::Flushing { flushed: false, .. } => Ok(Cleaning::Idle),
            Stage::Replacing { .. } if may_replace => self.replace_group(&mut pass, disk),
            Stage::Replacing { .. } => Ok(Cleaning::Busy),
        };
        match &done {
            Ok(Cleaning::Done) => {}
            Ok(_) => self.cleaning = Some(pass),
            Err(_) => self.uncleanable = true,
        }
        done
    }

    /// Gives a pass up; nothing of it counts, also after a crash.
    pub(in crate::log) fn stop_cleaning(&mut self, disk: &mut dyn Disk) -> Result<(), LogError> {
        let Some(pass) = self.cleaning.take() else { return Ok(()) };
        let (Stage::Writing { output, .. }
        | Stage::Flushing { output, .. }
        | Stage::Replacing { output, .. }) = pass.stage
        else {
            return Ok(());
        };
        disk.close(output.file);
        let (cleaned, swap) = (
            swap::cleaned(&self.directory, output.base),
            swap::swap(&self.directory, output.base, output.until),
        );
        remove_if_there(&cleaned, disk)
            .and_then(|()| remove_if_there(&swap, disk))
            .and_then(|()| disk.sync_dir(&self.directory))
            .inspect_err(|_| self.fenced = true)?;
        Ok(())
    }

    /// The end of what may be compacted: closed segments all of whose transactions are decided, and whose records are old enough.
    /// It is never past the last stable offset, and so not past the high watermark (KAFKA-13194).
    fn cleanable(&self, high_watermark: Offset, wall_ms: i64) -> Offset {
        let stable = if self.config.defects.has(Defect::CleanPastHighWatermark) {
            self.end
        } else {
            self.last_stable_offset(high_watermark)
        };
        let youngest = wall_ms.saturating_sub(self.config.min_compaction_lag_ms);
        let young = |segment: &Segment| {
            self.config.min_compaction_lag_ms > 0 && segment.index.max_timestamp() > youngest
        };
        let closed = self.segments.windows(2).map(|pair| (&pair[0], pair[1].base));
        closed
            .take_while(|(segment, end)| *end <= stable && (*end <= self.cleaned || !young(segment)))
            .map(|(_, end)| end)
            .last()
            .unwrap_or(self.segments[0].base)
    }

    fn is_dirty(&self, from: Offset, until: Offset, wall_ms: i64) -> bool {
        let (mut clean, mut dirty, mut overdue) = (0, 0, false);
        for pair in self.segments.windows(2).filter(|pair| pair[0].base < until) {
            if pair[1].base <= from {
                clean += pair[0].size;
            } else {
                dirty += pair[0].size;
                let age = wall_ms.saturating_sub(pair[0].index.max_timestamp());
                overdue |= age > self.config.max_compaction_lag_ms;
            }
        }
        dirty > 0
            && (overdue || dirty as f64 > self.config.min_cleanable_dirty_ratio * (clean + dirty) as f64)
    }

    fn note_some(
        &mut self,
        pass: &mut CleanPass,
        mut cursor: Cursor,
        disk: &mut dyn Disk,
    ) -> Result<Cleaning, LogError> {
        for batch in self.piece(&mut cursor, disk)? {
            if batch.header.last_offset() < pass.from {
                continue;
            }
            pass.filter.note(&batch, pass.from).map_err(|error| self.damaged(&batch, error))?;
            if pass.filter.map.is_full() {
                pass.until = batch.header.last_offset().next();
                break;
            }
        }
        if self.segments[cursor.segment].base < pass.until && !pass.filter.map.is_full() {
            pass.stage = Stage::Noting(cursor);
            return Ok(Cleaning::Busy);
        }
        let transactions = Tracker::new(self.aborted_in(self.segments[0].base, pass.until));
        pass.filter.begin(transactions, &self.producers);
        pass.stage = self.begin_group(0, pass.until, disk)?;
        Ok(Cleaning::Busy)
    }

    /// As many segments as make up one, at least this one.
    fn begin_group(&self, group: usize, until: Offset, disk: &mut dyn Disk) -> Result<Stage, LogError> {
        let base = self.segments[group].base;
        let mut size = self.segments[group].size;
        let mut end = group + 1;
        while end + 1 < self.segments.len() && self.segments[end].base < until {
            size += self.segments[end].size;
            let span = self.segments[end + 1].base.0 - base.0;
            if size > self.config.segment_bytes || span > i64::from(i32::MAX) {
                break;
            }
            end += 1;
        }
        let file = disk.open(&swap::cleaned(&self.directory, base))?;
        disk.truncate(file, 0)?;
        let until = self.segments[end].base;
        let output =
            Output { base, until, file, size: 0, index: Index::new(base), aborted: AbortedIndex::default() };
        Ok(Stage::Writing { group, end, cursor: Cursor { segment: group, position: 0 }, output })
    }

    fn write_some(&mut self, pass: &mut CleanPass, disk: &mut dyn Disk) -> Result<Cleaning, LogError> {
        let Stage::Writing { group, end, cursor, output } = &mut pass.stage else {
            return Ok(Cleaning::Idle);
        };
        let mut bytes = BytesMut::new();
        for batch in self.piece(cursor, disk)? {
            let kept = pass.filter.keep(&batch, &mut output.aborted);
            let Some(kept) = kept.map_err(|error| self.damaged(&batch, error))? else { continue };
            let header = BatchHeader::parse(&kept).map_err(|error| self.damaged(&batch, error))?;
            let position = output.size + bytes.len() as u64;
            output.index.add(&header, position, self.config.index_interval_bytes);
            bytes.extend_from_slice(&kept);
        }
        disk.write_at(output.file, output.size, &[&bytes])?;
        output.size += bytes.len() as u64;
        if cursor.segment < *end {
            return Ok(Cleaning::Busy);
        }
        let (group, end, file) = (*group, *end, output.file);
        let output = std::mem::replace(output, Output::nowhere());
        pass.stage = Stage::Flushing { group, end, output, flushed: false };
        Ok(Cleaning::Flush(vec![file]))
    }

    /// From now on the new segment counts, also after a crash.
    fn commit_group(&mut self, pass: &mut CleanPass, disk: &mut dyn Disk) -> Result<Cleaning, LogError> {
        let Stage::Flushing { group, end, output, .. } = &mut pass.stage else { return Ok(Cleaning::Idle) };
        swap::commit(&self.directory, output.base, output.until, disk).inspect_err(|_| self.fenced = true)?;
        let (group, end, output) = (*group, *end, std::mem::replace(output, Output::nowhere()));
        pass.stage = Stage::Replacing { group, end, output };
        Ok(Cleaning::Busy)
    }

    /// The new segment takes the places of the old ones; then comes the next group.
    fn replace_group(&mut self, pass: &mut CleanPass, disk: &mut dyn Disk) -> Result<Cleaning, LogError> {
        let Stage::Replacing { group, end, output } = &mut pass.stage else { return Ok(Cleaning::Idle) };
        let (group, end) = (*group, *end);
        let Output { base, until, file, size, index, aborted } = std::mem::replace(output, Output::nowhere());
        let segment = Segment::taken_over(&self.directory, base, file, size, index, aborted);
        let swapped = swap::replace(&self.directory, base, until, disk)
            .and_then(|()| segment.store_index_files(until, disk));
        // Readers were answered from the old ones until now.
        for old in self.segments.splice(group..end, [segment]) {
            disk.close(old.file);
        }
        swapped.inspect_err(|_| self.fenced = true)?;
        self.tail.forget_below(until);
        self.shape += 1;
        pass.shape = self.shape;
        if self.segments[group + 1].base < pass.until && group + 2 < self.segments.len() {
            pass.stage = self.begin_group(group + 1, pass.until, disk)?;
            return Ok(Cleaning::Busy);
        }
        self.cleaned = pass.until;
        self.events.compactions += 1;
        self.store_checkpoint(self.durable, disk)?;
        Ok(Cleaning::Done)
    }

    /// The next batches, and the cursor behind them: at the next segment, if this one is read.
    fn piece(&self, cursor: &mut Cursor, disk: &mut dyn Disk) -> Result<Vec<Batch>, LogError> {
        let segment = &self.segments[cursor.segment];
        let mut found = Vec::new();
        let mut limit = PIECE_BYTES;
        while found.is_empty() && cursor.position < segment.size {
            let left = (segment.size - cursor.position) as usize;
            let mut bytes = crate::log::read::read_range(segment, cursor.position, limit.min(left), disk)?;
            while let Ok(header) = BatchHeader::parse(&bytes) {
                if header.size() > bytes.len() {
                    limit = header.size();
                    break;
                }
                cursor.position += header.size() as u64;
                found.push(Batch { header, bytes: bytes.split_to(header.size()) });
            }
            let unreadable = bytes.len() >= HEADER_BYTES.min(left) && BatchHeader::parse(&bytes).is_err();
            if found.is_empty() && (unreadable || limit > left) {
                let error = BatchError::Torn { have: bytes.len(), need: limit };
                return Err(LogError::Damaged { path: segment.path(), position: cursor.position, error });
            }
        }
        if cursor.position >= segment.size {
            *cursor = Cursor { segment: cursor.segment + 1, position: 0 };
        }
        Ok(found)
    }

    fn damaged(&self, batch: &Batch, error: BatchError) -> LogError {
        let segment = &self.segments[self.segment_of(batch.header.base_offset)];
        LogError::Damaged { path: segment.path(), position: 0, error }
    }
}

impl CleanPass {
    /// The file that is being written.
    pub(in crate::log) fn file(&self) -> Option<FileId> {
        match &self.stage {
            Stage::Writing { output, .. }
            | Stage::Flushing { output, .. }
            | Stage::Replacing { output, .. } => Some(output.file),
            Stage::Noting(_) => None,
        }
    }
}

impl Output {
    fn nowhere() -> Self {
        let (base, file) = (Offset(0), FileId(u64::MAX));
        Self { base, until: base, file, size: 0, index: Index::new(base), aborted: AbortedIndex::default() }
    }
}
