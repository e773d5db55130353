use broker_core::{Disk, DiskError, FileId};
use proptest::prelude::*;

use super::SimDisk;
use super::tear::Tear;
use crate::dice::{Concern, Dice};

mod log;
mod model;

fn dice(seed: u64) -> Dice {
    Dice::new(seed, Concern::Disk)
}

fn write(disk: &mut SimDisk, path: &str, at: u64, bytes: &[u8]) -> FileId {
    let file = disk.open(path).unwrap();
    disk.write_at(file, at, &[bytes]).unwrap();
    file
}

fn read(disk: &mut SimDisk, path: &str) -> Option<Vec<u8>> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    if !disk.list(parent).unwrap().iter().any(|entry| entry == name) {
        return None;
    }
    let file = disk.open(path).unwrap();
    let mut bytes = vec![0; disk.len(file).unwrap() as usize];
    let count = disk.read_at(file, 0, &mut bytes).unwrap();
    assert_eq!(count, bytes.len());
    disk.close(file);
    Some(bytes)
}

/// A file that is there to stay, with these bytes.
fn settled(disk: &mut SimDisk, path: &str, bytes: &[u8]) -> FileId {
    let file = write(disk, path, 0, bytes);
    disk.sync(file).unwrap();
    disk.sync_dir(path.rsplit_once('/').map_or("", |(parent, _)| parent)).unwrap();
    file
}

fn cut_power(disk: &mut SimDisk, tear: Tear) -> bool {
    disk.lose_power_like(tear, &mut dice(1))
}

#[test]
fn the_end_of_a_process_loses_nothing() {
    let mut disk = SimDisk::new();
    write(&mut disk, "a", 2, b"xyz");
    disk.close_all();
    assert_eq!(read(&mut disk, "a").as_deref(), Some(&b"\0\0xyz"[..]));
    assert_eq!(disk.list("").unwrap(), ["a"]);
}

#[test]
fn a_power_loss_takes_what_was_not_flushed_and_leaves_what_was() {
    let mut disk = SimDisk::new();
    let file = settled(&mut disk, "a", b"flushed");
    disk.write_at(file, 0, &[b"FLUSHED, and more"]).unwrap();
    assert!(cut_power(&mut disk, Tear::nothing()));
    let left = read(&mut disk, "a").unwrap();
    // The length may be there without the bytes.
    assert_eq!(left[..7], *b"flushed");
    assert!(left[7..].iter().all(|byte| *byte == 0));
    assert!(!cut_power(&mut disk, Tear::nothing()), "nothing is left to lose");
}

#[test]
fn a_flush_makes_durable_what_was_written_before_it_began_and_not_what_came_after() {
    let mut disk = SimDisk::new();
    let file = settled(&mut disk, "a", b"");
    disk.write_at(file, 0, &[b"before"]).unwrap();
    let flush = disk.begin_flush(&[file]).unwrap();
    disk.write_at(file, 6, &[b"after!"]).unwrap();
    disk.end_flush(&flush).unwrap();
    let mut lucky = disk.clone();
    cut_power(&mut lucky, Tear::everything());
    assert_eq!(read(&mut lucky, "a").as_deref(), Some(&b"beforeafter!"[..]));
    cut_power(&mut disk, Tear::nothing());
    assert_eq!(read(&mut disk, "a").unwrap()[..6], *b"before");
    assert!(!read(&mut disk, "a").unwrap()[6..].contains(&b'a'));
}

#[test]
fn a_flush_that_a_power_loss_overtakes_means_nothing() {
    let mut disk = SimDisk::new();
    let file = settled(&mut disk, "a", b"old");
    disk.write_at(file, 0, &[b"new"]).unwrap();
    let flush = disk.begin_flush(&[file]).unwrap();
    cut_power(&mut disk, Tear::nothing());
    disk.end_flush(&flush).unwrap();
    assert_eq!(read(&mut disk, "a").as_deref(), Some(&b"old"[..]));
}

#[test]
fn a_new_file_is_gone_without_a_flush_of_its_directory_and_stays_with_one() {
    for listed in [false, true] {
        let mut disk = SimDisk::new();
        disk.create_dir("log").unwrap();
        disk.sync_dir("").unwrap();
        let file = write(&mut disk, "log/a", 0, b"bytes");
        disk.sync(file).unwrap();
        if listed {
            disk.sync_dir("log").unwrap();
        }
        cut_power(&mut disk, Tear::nothing());
        assert_eq!(read(&mut disk, "log/a"), listed.then(|| b"bytes".to_vec()));
        assert_eq!(disk.list("").unwrap(), ["log"]);
    }
}

#[test]
fn a_directory_that_was_not_flushed_into_its_parent_takes_all_with_it() {
    let mut disk = SimDisk::new();
    disk.create_dir("log/deep").unwrap();
    settled(&mut disk, "log/deep/a", b"bytes");
    disk.sync_dir("log").unwrap();
    cut_power(&mut disk, Tear::nothing());
    assert_eq!(disk.list("").unwrap(), [""; 0]);
    assert_eq!(disk.open("log/deep/a"), Err(DiskError::NotFound("log/deep".into())));
}

#[test]
fn a_rename_is_lost_whole_and_the_target_has_its_old_bytes() {
    let mut disk = SimDisk::new();
    settled(&mut disk, "note", b"old");
    settled(&mut disk, "note.tmp", b"new");
    disk.rename("note.tmp", "note").unwrap();
    assert_eq!(read(&mut disk, "note").as_deref(), Some(&b"new"[..]));
    assert_eq!(read(&mut disk, "note.tmp"), None);
    let mut flushed = disk.clone();
    flushed.sync_dir("").unwrap();
    for (mut disk, bytes) in [(disk, &b"old"[..]), (flushed, &b"new"[..])] {
        cut_power(&mut disk, Tear::nothing());
        assert_eq!(read(&mut disk, "note").as_deref(), Some(bytes));
    }
}

#[test]
fn a_removed_file_comes_back_unless_its_directory_was_flushed() {
    for flushed in [false, true] {
        let mut disk = SimDisk::new();
        settled(&mut disk, "a", b"bytes");
        disk.remove("a").unwrap();
        assert_eq!(read(&mut disk, "a"), None);
        if flushed {
            disk.sync_dir("").unwrap();
        }
        cut_power(&mut disk, Tear::nothing());
        assert_eq!(read(&mut disk, "a"), (!flushed).then(|| b"bytes".to_vec()));
    }
}

#[test]
fn an_open_file_outlives_its_name_and_follows_it() {
    let mut disk = SimDisk::new();
    let old = write(&mut disk, "x", 0, b"old");
    let new = write(&mut disk, "x.tmp", 0, b"new");
    disk.rename("x.tmp", "x").unwrap();
    disk.sync_dir("").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(disk.read_at(old, 1, &mut buffer), Ok(2));
    assert_eq!(&buffer[..2], b"ld");
    disk.write_at(new, 3, &[b"er"]).unwrap();
    assert_eq!(read(&mut disk, "x").as_deref(), Some(&b"newer"[..]));
    disk.close(old);
    assert!(matches!(disk.len(old), Err(DiskError::Io { .. })));
}

#[test]
fn a_torn_write_is_there_sector_by_sector() {
    let mut shapes = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut disk = SimDisk::new();
        let file = settled(&mut disk, "a", &[1; 2048]);
        disk.write_at(file, 100, &[&[2; 1500]]).unwrap();
        disk.lose_power(&mut dice(seed));
        let left = read(&mut disk, "a").unwrap();
        assert_eq!((left.len(), left[99], left[1600]), (2048, 1, 1));
        let sectors = [100..512, 512..1024, 1024..1536, 1536..1600].map(|sector| {
            assert!(left[sector.clone()].iter().all(|byte| *byte == left[sector.start]), "half a sector");
            left[sector.start]
        });
        shapes.insert(sectors);
    }
    assert!(shapes.contains(&[1; 4]) && shapes.contains(&[2; 4]) && shapes.len() > 6, "{shapes:?}");
}

#[test]
fn a_file_can_be_longer_than_its_bytes_with_zeros_or_old_sectors_behind() {
    let (mut zeros, mut stale) = (0, 0);
    for seed in 0..300 {
        let mut disk = SimDisk::new();
        let file = settled(&mut disk, "a", &[1; 4000]);
        disk.write_at(file, 4000, &[&[2; 5000]]).unwrap();
        disk.lose_power(&mut dice(seed));
        let left = read(&mut disk, "a").unwrap();
        assert!(left[..4000].iter().all(|byte| *byte == 1));
        if left.len() > 4096 {
            assert_eq!(left.len(), 9000);
            assert!(
                !left[4000..4096].contains(&1),
                "what is behind the end of a file within its last sector is no file's"
            );
            zeros += u32::from(left[4000..].iter().all(|byte| *byte == 0));
            stale += u32::from(left[4096..].contains(&1));
        }
    }
    assert!(zeros > 10 && stale > 3, "{zeros} {stale}");
}

#[test]
fn a_failed_flush_drops_what_it_was_for_and_the_next_one_does_not_bring_it_back() {
    let mut disk = SimDisk::new();
    let file = settled(&mut disk, "a", b"old");
    disk.write_at(file, 0, &[b"NEW"]).unwrap();
    let flush = disk.begin_flush(&[file]).unwrap();
    disk.write_at(file, 3, &[b"+"]).unwrap();
    disk.faults.flush_fails = true;
    assert!(matches!(disk.end_flush(&flush), Err(DiskError::Io { .. })));
    assert_eq!(read(&mut disk, "a").as_deref(), Some(&b"old+"[..]));
    assert_eq!(disk.sync(file), Ok(()), "only one fails");
    cut_power(&mut disk, Tear::nothing());
    assert_eq!(read(&mut disk, "a").as_deref(), Some(&b"old+"[..]));
}

#[test]
fn a_disk_that_lies_keeps_nothing() {
    let mut disk = SimDisk::new();
    settled(&mut disk, "a", b"honest");
    disk.faults.lies = true;
    settled(&mut disk, "a", b"HONEST");
    settled(&mut disk, "b", b"new");
    cut_power(&mut disk, Tear::nothing());
    assert_eq!(read(&mut disk, "a").as_deref(), Some(&b"honest"[..]));
    assert_eq!(read(&mut disk, "b"), None);
}

#[test]
fn a_full_disk_takes_what_fits_and_still_overwrites() {
    let mut disk = SimDisk::new();
    let file = write(&mut disk, "a", 0, b"12345");
    disk.faults.capacity = Some(8);
    assert_eq!(disk.write_at(file, 5, &[b"67", b"89"]), Err(DiskError::Full("a file".into())));
    assert_eq!(read(&mut disk, "a").as_deref(), Some(&b"12345678"[..]));
    assert_eq!(disk.write_at(file, 0, &[b"abc"]), Ok(()));
    disk.truncate(file, 2).unwrap();
    assert_eq!(disk.write_at(file, 2, &[b"defghi"]), Ok(()));
    disk.faults.capacity = None;
    assert_eq!(disk.write_at(file, 8, &[b"jkl"]), Ok(()));
}

#[test]
fn failing_writes_change_nothing_and_failing_reads_give_nothing() {
    let mut disk = SimDisk::new();
    let file = settled(&mut disk, "a", b"bytes");
    disk.faults.writes_fail = true;
    assert!(disk.write_at(file, 0, &[b"BYTES"]).is_err());
    assert!(disk.truncate(file, 0).is_err());
    assert!(disk.open("new").is_err());
    assert!(disk.rename("a", "b").is_err() && disk.remove("a").is_err() && disk.create_dir("d").is_err());
    disk.faults.writes_fail = false;
    assert_eq!(read(&mut disk, "a").as_deref(), Some(&b"bytes"[..]));
    disk.faults.reads_fail = true;
    assert!(disk.read_at(file, 0, &mut [0; 4]).is_err());
    assert!(disk.list("").is_err());
}

#[test]
fn a_bit_rots_where_it_was_durable_and_stays_rotten() {
    let mut disk = SimDisk::new();
    assert!(!disk.rot(&mut dice(1)), "nothing is there");
    settled(&mut disk, "a", b"bytes");
    assert!(disk.rot(&mut dice(1)));
    let rotten = read(&mut disk, "a").unwrap();
    let turned: u32 = rotten.iter().zip(b"bytes").map(|(now, was)| (now ^ was).count_ones()).sum();
    assert_eq!((turned, rotten.len()), (1, 5));
    cut_power(&mut disk, Tear::nothing());
    assert_eq!(read(&mut disk, "a"), Some(rotten));
}

#[test]
fn a_power_loss_is_the_same_again_under_the_same_seed() {
    let left = |seed| {
        let mut disk = SimDisk::new();
        let file = settled(&mut disk, "a", b"");
        for at in 0..50 {
            disk.write_at(file, at * 100, &[&[at as u8; 100]]).unwrap();
        }
        disk.lose_power(&mut dice(seed));
        read(&mut disk, "a").unwrap()
    };
    assert_eq!(left(3), left(3));
    assert!((0..20).any(|seed| left(seed) != left(3)));
}

#[test]
fn what_nobody_can_reach_is_freed() {
    let mut disk = SimDisk::new();
    settled(&mut disk, "a", &[1; 1000]);
    disk.create_dir("log").unwrap();
    settled(&mut disk, "log/b", &[1; 1000]);
    disk.remove("a").unwrap();
    disk.remove_dir("log").unwrap();
    disk.sync_dir("").unwrap();
    assert_eq!(disk.used(), 2000, "still open");
    disk.close_all();
    assert_eq!(disk.used(), 0);
}
