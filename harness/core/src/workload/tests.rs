use proptest::prelude::*;

use super::*;
use crate::plan::{Keys, Pace, Payload, ProducerPlan};

fn plan() -> ProducerPlan {
    ProducerPlan {
        role: "writer".to_owned(),
        instance: 1,
        instances: 2,
        topic: "orders".to_owned(),
        pace: Pace::Open { rate_per_s: 1_000.0 },
        total: None,
        from_ns: 500,
        until_ns: 2_000_000_000,
        keys: Keys::Zipf { count: 50, exponent: 1.0 },
        payload: Payload::Uniform { min: 64, max: 300 },
        in_flight: 5,
        idempotence: false,
        retries: 3,
        transactions: None,
        seed: 4711,
    }
}

#[test]
fn messages_are_a_pure_function_of_seed_producer_and_number() {
    let generator = Generator::new(&plan(), 1, 0, 9);
    let all: Vec<Message> = generator.clone().collect();
    assert_eq!(all.len(), 2_000);
    for message in &all {
        assert_eq!(message.key, generator.key_of(message.seq));
        assert_eq!(message.payload_len, generator.payload_len_of(message.seq));
        assert_eq!(message.intended_ns, generator.intended_ns_of(message.seq));
        assert_eq!(message.key.unwrap() % 2, 1, "instance 1 of 2 owns the odd keys");
    }
    let other: Vec<Message> = Generator::new(&plan(), 2, 0, 9).collect();
    assert_ne!(all, other);
}

#[test]
fn kseq_counts_the_messages_of_each_key() {
    let all: Vec<Message> = Generator::new(&plan(), 1, 0, 9).collect();
    for (at, message) in all.iter().enumerate() {
        let before = all[..at].iter().filter(|other| other.key == message.key).count();
        assert_eq!(message.kseq as usize, before);
    }
}

#[test]
fn the_first_messages_and_their_digest_never_change() {
    let first: Vec<_> = Generator::new(&plan(), 1, 0, 9).take(5).map(|m| (m.key, m.payload_len)).collect();
    insta::assert_compact_debug_snapshot!(first, @"[(Some(3), 114), (Some(3), 79), (Some(1), 271), (Some(15), 124), (Some(19), 195)]");
    insta::assert_compact_debug_snapshot!(digest(&[plan(), plan()]), @"2139618866");
}

#[test]
fn a_total_ends_an_open_and_a_closed_loop() {
    let closed = ProducerPlan { pace: Pace::Closed { outstanding: 4 }, total: Some(7), ..plan() };
    assert_eq!(Generator::new(&closed, 0, 0, 9).count(), 7);
    let open = ProducerPlan { total: Some(7), ..plan() };
    assert_eq!(Generator::new(&open, 0, 0, 9).count(), 7);
}

fn payload_of(seq: usize) -> (Message, Vec<u8>) {
    let generator = Generator::new(&plan(), 1, 3, 9);
    let message = generator.clone().nth(seq).unwrap();
    let mut payload = vec![0xAA; 17];
    generator.write_payload(&message, 123, &mut payload);
    (message, payload)
}

#[test]
fn a_payload_comes_back_with_its_identity() {
    let (message, payload) = payload_of(12);
    let key = message.key.unwrap().to_le_bytes();
    let PayloadCheck::Intact(header) = verify(&payload, Some(&key), 9) else { panic!("not intact") };
    assert_eq!((header.seq, header.session.producer, header.session.incarnation), (12, 1, 3));
    assert_eq!((header.key, header.kseq), (message.key.unwrap(), message.kseq));
    assert_eq!((header.intended_ns, payload.len()), (123, message.payload_len as usize));
}

#[test]
fn a_payload_with_another_key_or_of_another_run_is_told_apart() {
    let (message, payload) = payload_of(12);
    let key = message.key.unwrap().to_le_bytes();
    let id = Some(Generator::new(&plan(), 1, 3, 9).id(&message));
    assert_eq!(verify(&payload, Some(b"otherkey"), 9), PayloadCheck::Corrupt { reason: "key", id });
    assert_eq!(verify(&payload, None, 9), PayloadCheck::Corrupt { reason: "key", id });
    assert!(matches!(verify(&payload, Some(&key), 10), PayloadCheck::ForeignRun { run_id: 9, .. }));
    assert_eq!(verify(b"hello", None, 9), PayloadCheck::NotOurs);
    assert_eq!(verify(&[7; 100], None, 9), PayloadCheck::NotOurs);
}

proptest! {
    #[test]
    fn any_flipped_bit_or_cut_is_noticed(seq in 0_usize..50, place in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let (message, whole) = payload_of(seq);
        let key = message.key.unwrap().to_le_bytes();
        let mut flipped = whole.clone();
        flipped[place.index(whole.len())] ^= 1_u8 << bit;
        let check = verify(&flipped, Some(&key), 9);
        prop_assert!(matches!(check, PayloadCheck::Corrupt { .. }), "{check:?}");
        let cut = &whole[..place.index(whole.len())];
        prop_assert!(!matches!(verify(cut, Some(&key), 9), PayloadCheck::Intact(_)));
    }
}
