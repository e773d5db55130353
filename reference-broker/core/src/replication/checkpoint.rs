//! The high watermarks, noted down so that a restarted broker does not begin from zero.
//!
//! A text file: a version, then a line `<topic id> <partition> <offset>` for each partition, then `end`. It is
//! replaced as a whole; an old one only makes consumers wait until followers have fetched again.

use std::collections::BTreeMap;
use std::fmt::Write;

use uuid::Uuid;

use crate::controller::{TopicId, TopicPartitionId};
use crate::disk::{Disk, DiskError};
use crate::ids::{Offset, PartitionId};

const PATH: &str = "high-watermarks";
const TEMPORARY: &str = "high-watermarks.tmp";
const VERSION: &str = "high-watermarks 1";

/// Reads the file; empty if it is missing or damaged.
pub fn read(disk: &mut dyn Disk) -> Result<BTreeMap<TopicPartitionId, Offset>, DiskError> {
    if !disk.list("")?.iter().any(|name| name == PATH) {
        return Ok(BTreeMap::new());
    }
    let file = disk.open(PATH)?;
    let mut bytes = vec![0; disk.len(file)? as usize];
    disk.read_at(file, 0, &mut bytes)?;
    disk.close(file);
    let parsed = std::str::from_utf8(&bytes).ok().and_then(parse);
    if parsed.is_none() {
        tracing::warn!("`{PATH}` is damaged; high watermarks begin at the start of each log");
    }
    Ok(parsed.unwrap_or_default())
}

/// Replaces the file.
pub fn write(
    high_watermarks: impl Iterator<Item = (TopicPartitionId, Offset)>,
    disk: &mut dyn Disk,
) -> Result<(), DiskError> {
    let mut text = format!("{VERSION}\n");
    for (id, offset) in high_watermarks {
        let _ = writeln!(text, "{} {} {offset}", id.topic, id.partition);
    }
    text.push_str("end\n");
    replace(PATH, TEMPORARY, text.as_bytes(), disk)
}

/// Puts a small file in place so that a crash leaves the old one or the new one.
pub fn replace(path: &str, temporary: &str, bytes: &[u8], disk: &mut dyn Disk) -> Result<(), DiskError> {
    let file = disk.open(temporary)?;
    disk.truncate(file, 0)?;
    disk.write_at(file, 0, &[bytes])?;
    disk.sync(file)?;
    disk.close(file);
    disk.rename(temporary, path)?;
    disk.sync_dir("")
}

fn parse(text: &str) -> Option<BTreeMap<TopicPartitionId, Offset>> {
    let body = text.strip_prefix(VERSION)?.strip_prefix('\n')?.strip_suffix("end\n")?;
    body.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<(TopicPartitionId, Offset)> {
    let mut words = line.split(' ');
    let topic = TopicId(Uuid::parse_str(words.next()?).ok()?);
    let partition = PartitionId(words.next()?.parse().ok()?);
    Some((TopicPartitionId { topic, partition }, Offset(words.next()?.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    #[test]
    fn what_is_written_is_read_again() {
        let mut disk = MemDisk::new();
        let id = |n| TopicPartitionId { topic: TopicId(Uuid::from_u128(7)), partition: PartitionId(n) };
        let marks = BTreeMap::from([(id(0), Offset(12)), (id(3), Offset(0))]);
        write(marks.iter().map(|(id, offset)| (*id, *offset)), &mut disk).expect("written");
        assert_eq!(read(&mut disk), Ok(marks));
    }

    #[test]
    fn a_torn_file_counts_as_missing() {
        assert_eq!(parse("high-watermarks 1\n00000000-0000-0000-0000-000000000007 0 1"), None);
    }
}
