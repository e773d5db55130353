//! A full disk and damaged files, of a node that has no other to help it.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::node::{Node, flip, length};
use super::{CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR, TOPIC, alone};

/// A small file system; needs root, like the rest of a full test run.
pub(super) struct Mount(PathBuf);

impl Mount {
    pub(super) fn new(path: &Path, size: &str) -> Self {
        fs::create_dir_all(path).unwrap();
        let options = format!("size={size}");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).status();
        assert!(status.is_ok_and(|status| status.success()), "a tmpfs can be mounted (this test needs root)");
        Self(path.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_records_until_there_is_room() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let mount = Mount::new(&dir.path().join("disk"), "4m");
    let ballast = mount.0.join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let mut node = Node::start(&mount.0.join("node"), &["log.segment.bytes=500000"]);
    let mut client = node.connect();
    client.create(TOPIC);
    let value = |number: usize| format!("{number:.<40000}").into_bytes();
    let mut stored = Vec::new();
    let refused = loop {
        let (error, offset) = client.produce(&value(stored.len()));
        if error != 0 {
            break error;
        }
        assert_eq!(offset, stored.len() as i64);
        stored.push(value(stored.len()));
        assert!(stored.len() < 200, "the disk is never full");
    };
    assert_eq!(refused, KAFKA_STORAGE_ERROR);
    node.await_log(&["ERROR", "the disk is full", "no space left"]);
    // Longer than the time between two notes of the high watermarks.
    for _ in 0..6 {
        assert_eq!(client.produce(&value(stored.len())).0, KAFKA_STORAGE_ERROR);
        thread::sleep(Duration::from_secs(1));
    }
    assert!(node.runs(), "{}", node.said());
    assert_eq!(node.connect().read(0), (stored.clone(), 0));

    fs::remove_file(&ballast).unwrap();
    for _ in 0..5 {
        let offset = stored.len();
        stored.push(value(offset));
        assert_eq!(client.produce(&stored[offset]), (0, offset as i64));
    }
    assert_eq!(node.connect().read(0), (stored.clone(), 0));
    node.kill();
    node.restart();
    assert_eq!(node.connect().read(0), (stored, 0));
}

/// A node with some closed segments, stopped in an orderly way: all that it has is durable.
fn stopped(dir: &Path) -> (Node, Vec<Vec<u8>>) {
    let mut node = Node::start(&dir.join("node"), &["log.segment.bytes=3000"]);
    let mut client = node.connect();
    client.create(TOPIC);
    let values = client.fill(60);
    node.stop();
    assert!(node.segments().len() > 4);
    (node, values)
}

#[test]
fn a_damaged_batch_in_a_closed_segment_goes_to_nobody() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let (mut node, values) = stopped(dir.path());
    let closed = node.segments().remove(1);
    flip(&closed, length(&closed) / 2);
    node.restart();
    let mut client = node.connect();
    let (before, error) = client.read(0);
    let damaged = before.len();
    assert_eq!((&before[..], error), (&values[..damaged], CORRUPT_MESSAGE));
    assert!((10..40).contains(&damaged), "{damaged} records can be read");
    assert_eq!(
        client.read(damaged as i64 + 1),
        (values[damaged + 1..].to_vec(), 0),
        "what is behind it is there"
    );
    node.await_log(&["ERROR", "cannot read", "is damaged at byte", TOPIC]);
    assert_eq!(client.produce(b"more"), (0, 60));
    assert!(node.runs());
}

#[test]
fn a_partition_whose_durable_end_is_damaged_is_offline_and_nothing_is_cut() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let (mut node, values) = stopped(dir.path());
    let active = node.segments().pop().unwrap();
    let before = length(&active);
    flip(&active, before / 2);
    node.restart();
    node.await_log(&["ERROR", "is damaged at byte", "offline", TOPIC]);
    let mut client = node.connect();
    assert_eq!(client.fetch(0).0, KAFKA_STORAGE_ERROR);
    assert_eq!(client.produce(b"more").0, KAFKA_STORAGE_ERROR);
    client.create("another");
    assert_eq!(client.produce_to("another", b"works"), (0, 0));
    node.stop();
    assert_eq!(length(&active), before);
    // Whoever can mend it has everything again.
    flip(&active, before / 2);
    node.restart();
    assert_eq!(node.connect().read(0), (values, 0));
}

#[test]
fn a_torn_tail_is_cut_and_said() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let mut node = Node::start(&dir.path().join("node"), &[]);
    let mut client = node.connect();
    client.create(TOPIC);
    let values = client.fill(20);
    node.kill();
    let active = node.segments().pop().unwrap();
    OpenOptions::new().write(true).open(&active).unwrap().set_len(length(&active) - 10).unwrap();
    node.restart();
    node.await_log(&["WARN", "the log is cut at a bad batch"]);
    let mut client = node.connect();
    assert_eq!(client.read(0), (values[..19].to_vec(), 0));
    assert_eq!(client.produce(b"next"), (0, 19));
}
