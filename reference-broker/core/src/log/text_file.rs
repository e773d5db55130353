//! Small text files that are replaced as a whole: written aside, flushed, renamed (KAFKA-16541, KAFKA-9892).
//!
//! A line at the top holds the checksum of the rest, so that a damaged file is taken for a missing one. The name is durable
//! once the directory is flushed, which is the caller's to do.

use super::index::read_whole;
use crate::disk::{Disk, DiskError};

pub(super) fn store(path: &str, body: &str, disk: &mut dyn Disk) -> Result<(), DiskError> {
    let head = format!("crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
    let aside = format!("{path}.tmp");
    let file = disk.open(&aside)?;
    let done = disk
        .truncate(file, 0)
        .and_then(|()| disk.write_at(file, 0, &[head.as_bytes(), body.as_bytes()]))
        .and_then(|()| disk.sync(file));
    disk.close(file);
    done?;
    disk.rename(&aside, path)
}

/// What was stored, unless it is missing or damaged.
pub(super) fn load(path: &str, disk: &mut dyn Disk) -> Result<Option<String>, DiskError> {
    let bytes = read_whole(path, disk)?;
    Ok(std::str::from_utf8(&bytes).ok().and_then(unseal).map(String::from))
}

fn unseal(text: &str) -> Option<&str> {
    let (head, body) = text.split_once('\n')?;
    let checksum = u32::from_str_radix(head.strip_prefix("crc32c ")?, 16).ok()?;
    (crc32c::crc32c(body.as_bytes()) == checksum).then_some(body)
}

/// The lines of a body: a word and numbers behind it.
pub(super) fn lines(body: &str) -> impl Iterator<Item = Option<(&str, Vec<i64>)>> {
    body.lines().map(|line| {
        let (word, numbers) = line.split_once(' ')?;
        Some((word, numbers.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?))
    })
}
