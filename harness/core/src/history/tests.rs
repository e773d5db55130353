use proptest::prelude::*;

use super::*;

fn event(index: u64) -> Event {
    let kind = EventKind::from_number((index % 16) as u8 + 1).expect("kinds 1 to 16 exist");
    Event { t_ns: index * 1_000 + 1, msg: index, a: !index, b: index as u32, kind, flags: 3, c: index as u16 }
}

fn meta() -> JournalMeta {
    JournalMeta { run_id: 42, role: "writer".to_owned(), number: 3, ..JournalMeta::default() }
}

fn sealed(count: u64) -> Vec<u8> {
    let mut bytes = unsealed(count);
    let length = seal_journal(&mut bytes, SealReason::Clean, 7).expect("the journal is whole");
    bytes.truncate(length);
    bytes
}

fn unsealed(count: u64) -> Vec<u8> {
    let mut bytes = encode_header(&meta()).expect("the description is short").into_vec();
    let mut segment = vec![0; SEGMENT_SIZE];
    let mut recorder = Recorder::new();
    (0..count).for_each(|index| recorder.record(&mut segment, &event(index)).expect("it fits"));
    bytes.extend_from_slice(&segment[..recorder.used()]);
    bytes
}

#[test]
fn what_was_recorded_is_read_again_across_blocks_and_segments() {
    let per_segment = (SEGMENT_SIZE / BLOCK_SIZE * BLOCK_EVENTS) as u64;
    for count in [0, 1, 2_046, 2_047, 2_048, 5_000, per_segment, per_segment + 1] {
        let events: Vec<Event> = (0..count).map(event).collect();
        let journal = Journal::from_events(&meta(), &events, Some(SealReason::Clean));
        assert_eq!(journal.completeness(), Completeness::Sealed(SealReason::Clean), "{count}");
        assert_eq!(journal.len(), count);
        assert_eq!(journal.events().len(), count as usize);
        assert!(journal.events().eq(events), "{count}");
        assert_eq!(journal.meta(), &meta());
    }
}

#[test]
fn a_journal_that_nobody_sealed_says_so_and_its_events_are_readable() {
    let journal = Journal::read(unsealed(3_000)).unwrap();
    assert_eq!(journal.completeness(), Completeness::Unsealed(Unsealed::NeverSealed));
    assert!(journal.events().eq((0..3_000).map(event)));
}

#[test]
fn an_event_whose_kind_was_not_stored_did_not_happen() {
    let mut bytes = unsealed(10);
    let at = HEADER_SIZE + 10 * Event::SIZE;
    bytes[at..at + 16].fill(0xEE);
    let length = seal_journal(&mut bytes, SealReason::Killed, 9).unwrap();
    bytes.truncate(length);
    let journal = Journal::read(bytes).unwrap();
    assert_eq!(journal.completeness(), Completeness::Sealed(SealReason::Killed));
    assert!(journal.events().eq((0..10).map(event)));
}

#[test]
fn a_kill_between_the_last_event_of_a_block_and_its_trailer_loses_nothing() {
    let mut bytes = unsealed(2_047);
    let count_at = HEADER_SIZE + BLOCK_SIZE - Event::SIZE + 8;
    bytes[count_at..count_at + 4].fill(0);
    assert_eq!(Journal::read(bytes.clone()).unwrap().len(), 2_047);
    seal_journal(&mut bytes, SealReason::Killed, 9).unwrap();
    let journal = Journal::read(bytes).unwrap();
    assert_eq!(journal.completeness(), Completeness::Sealed(SealReason::Killed));
    assert!(journal.events().eq((0..2_047).map(event)));
}

#[test]
fn a_journal_that_ended_with_a_full_disk_is_sealed_but_not_complete() {
    let journal = Journal::from_events(&meta(), &[event(0)], Some(SealReason::DiskFull));
    assert!(!journal.completeness().is_complete());
}

#[test]
fn a_missing_block_in_the_middle_is_damage() {
    let mut bytes = sealed(5_000);
    bytes.drain(HEADER_SIZE + BLOCK_SIZE..HEADER_SIZE + 2 * BLOCK_SIZE);
    let journal = Journal::read(bytes).unwrap();
    assert_eq!(journal.completeness(), Completeness::Unsealed(Unsealed::BlockDamaged(1)));
    assert!(journal.events().eq((0..2_047).map(event)));
}

#[test]
fn another_version_is_refused_with_a_hint() {
    let mut bytes = sealed(1);
    bytes[8] = 9;
    let error = Journal::read(bytes).unwrap_err().to_string();
    assert_eq!(error, "journal version `9` is not supported (hint: this mqproof reads version `1`)");
}

/// A damaged journal may be refused or read as unsealed; if it claims to be whole, it must hold exactly what was
/// recorded. Events of one that is unsealed in a closed block must not be made up either.
fn never_silently_wrong(bytes: Vec<u8>, count: u64) -> Result<(), TestCaseError> {
    let Ok(journal) = Journal::read(bytes) else { return Ok(()) };
    match journal.completeness() {
        Completeness::Sealed(_) => prop_assert!(journal.events().eq((0..count).map(event))),
        Completeness::Unsealed(_) => prop_assert!(journal.len() <= count),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_flipped_bit_never_changes_a_sealed_journal_silently(count in 0_u64..4_500, place in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut bytes = sealed(count);
        let at = place.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        never_silently_wrong(bytes, count)?;
    }

    #[test]
    fn a_truncated_journal_is_never_taken_for_whole(count in 1_u64..4_500, place in any::<prop::sample::Index>()) {
        let mut bytes = sealed(count);
        bytes.truncate(place.index(bytes.len()));
        if let Ok(journal) = Journal::read(bytes) {
            prop_assert!(!journal.completeness().is_complete());
        }
    }

    #[test]
    fn flipped_bits_in_header_seal_and_trailers_are_noticed(count in 2_048_u64..4_500, at in 0..60_usize, bit in 0_u8..8) {
        let whole = sealed(count);
        let places = [at, SEAL_OFFSET + at, HEADER_SIZE + BLOCK_SIZE - 32 + at % 32, whole.len() - 32 + at % 32];
        for place in places {
            let mut bytes = whole.clone();
            bytes[place] ^= 1_u8 << bit;
            if let Ok(journal) = Journal::read(bytes) {
                prop_assert!(!journal.completeness().is_complete(), "byte {place}");
            }
        }
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..9_000), with_header in any::<bool>()) {
        let mut whole = if with_header { encode_header(&meta()).unwrap().into_vec() } else { Vec::new() };
        whole.extend(bytes);
        if let Ok(journal) = Journal::read(whole) {
            prop_assert!(!journal.completeness().is_complete());
        }
    }
}
