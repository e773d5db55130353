//! Journals as files: growth, death of the writer, a full disk.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mqproof_core::history::{
    BLOCK_EVENTS, BLOCK_SIZE, Completeness, Event, EventKind, JournalKind, JournalMeta, SEGMENT_SIZE,
    SealReason, Unsealed,
};
use mqproof_drivers::journal::{JournalFile, RecordError, open_history, open_journal, seal_dead};

const PER_SEGMENT: u64 = (SEGMENT_SIZE / BLOCK_SIZE * BLOCK_EVENTS) as u64;

fn meta() -> JournalMeta {
    JournalMeta {
        run_id: 7,
        kind: JournalKind::Producer,
        role: "writer".to_owned(),
        ..JournalMeta::default()
    }
}

fn event(index: u64) -> Event {
    Event { t_ns: index + 1, msg: index, a: 0, b: 0, kind: EventKind::SendInvoke, flags: 0, c: 0 }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("writer-0.0.journal")
}

#[test]
fn a_journal_of_several_segments_is_read_as_it_was_written_and_takes_no_more_space_than_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let count = 2 * PER_SEGMENT + 10;
    let mut file = JournalFile::create(dir.path(), &meta()).unwrap();
    (0..count).for_each(|index| file.record(&event(index)).unwrap());
    file.seal(SealReason::Clean).unwrap();
    assert!(matches!(file.record(&event(0)), Err(RecordError::Sealed(_))));

    let history = open_history(dir.path()).unwrap();
    let journal = &history.journals()[0];
    assert_eq!(journal.completeness(), Completeness::Sealed(SealReason::Clean));
    assert_eq!(journal.meta(), &meta());
    assert!(journal.events().eq((0..count).map(event)));
    assert_eq!(path(dir.path()).metadata().unwrap().len() as usize, 4096 + 2 * SEGMENT_SIZE + BLOCK_SIZE);
}

#[test]
fn a_name_is_used_once() {
    let dir = tempfile::tempdir().unwrap();
    let _first = JournalFile::create(dir.path(), &meta()).unwrap();
    assert!(JournalFile::create(dir.path(), &meta()).is_err());
}

/// Not a test of its own: the child of the next one runs it, records without end, and is killed.
#[test]
fn child_that_records_until_it_is_killed() {
    let Ok(dir) = std::env::var("MQPROOF_TEST_JOURNAL_DIR") else { return };
    let mut file = JournalFile::create(Path::new(&dir), &meta()).unwrap();
    for index in 0.. {
        file.record(&event(index)).unwrap();
        if index == PER_SEGMENT + 5_000 {
            std::fs::write(Path::new(&dir).join("far"), "").unwrap();
        }
    }
}

#[test]
fn a_writer_killed_at_any_moment_leaves_a_journal_that_can_be_read_and_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_records_until_it_is_killed"])
        .env("MQPROOF_TEST_JOURNAL_DIR", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !dir.path().join("far").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let open = open_journal(&path(dir.path())).unwrap();
    assert_eq!(open.completeness(), Completeness::Unsealed(Unsealed::NeverSealed));
    let count = open.len();
    assert!(count > PER_SEGMENT + 5_000);
    drop(open);

    seal_dead(&path(dir.path()), SealReason::Killed).unwrap();
    seal_dead(&path(dir.path()), SealReason::Killed).unwrap();
    let sealed = open_journal(&path(dir.path())).unwrap();
    assert_eq!(sealed.completeness(), Completeness::Sealed(SealReason::Killed));
    assert!(sealed.events().eq((0..count).map(event)));
}

#[test]
fn a_file_that_was_cut_or_changed_is_not_taken_for_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = JournalFile::create(dir.path(), &meta()).unwrap();
    (0..5_000).for_each(|index| file.record(&event(index)).unwrap());
    file.seal(SealReason::Clean).unwrap();
    let whole = std::fs::read(path(dir.path())).unwrap();

    std::fs::write(path(dir.path()), &whole[..whole.len() - BLOCK_SIZE]).unwrap();
    let journal = open_journal(&path(dir.path())).unwrap();
    let why = Unsealed::Truncated { sealed: 5_000, found: 2 * BLOCK_EVENTS as u64 };
    assert_eq!(journal.completeness(), Completeness::Unsealed(why));
    assert!(seal_dead(&path(dir.path()), SealReason::Killed).is_err());

    std::fs::write(path(dir.path()), "").unwrap();
    assert!(open_journal(&path(dir.path())).is_err());
}

#[test]
#[ignore = "mounts a small tmpfs, which needs root"]
fn a_full_disk_seals_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let run = |program: &str, args: &[&str]| {
        assert!(Command::new(program).args(args).arg(dir.path()).status().unwrap().success(), "{program}");
    };
    run("mount", &["-t", "tmpfs", "-o", "size=20m", "tmpfs"]);
    let mut file = JournalFile::create(dir.path(), &meta()).unwrap();
    let error = (0..).find_map(|index| file.record(&event(index)).err()).unwrap();
    let again = file.record(&event(0)).unwrap_err();
    let journal = open_journal(&path(dir.path())).unwrap();
    run("umount", &["-l"]);
    assert!(matches!((error, again), (RecordError::DiskFull(_), RecordError::DiskFull(_))));
    assert_eq!(journal.completeness(), Completeness::Sealed(SealReason::DiskFull));
    assert!(journal.events().eq((0..PER_SEGMENT).map(event)));
}
