//! The targets of the fuzzers over their corpus and over seeded mutations, small enough for every run of the tests.

use std::fs;
use std::path::PathBuf;

use kafka_protocol::messages::ApiKey;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::node::{ListenerKind, Role};
use crate::wire::tests::samples;
use crate::wire::{Asked, Door, advertised, encode_request};

use super::{client_stream, damaged_log, damaged_node};

const CLIENTS: Door = Door { role: Role::Broker, listener: ListenerKind::Client };
/// What fields hold when somebody wants to do harm.
const EXTREMES: [&[u8]; 8] = [
    &[0],
    &[0xff],
    &[0x7f],
    &[0x80],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff; 8],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
];

fn corpus(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../fuzz/corpus", target].iter().collect()
}

fn each_of_corpus(target: &str, run: fn(&[u8])) {
    let mut count = 0;
    for entry in fs::read_dir(corpus(target)).unwrap() {
        #[expect(clippy::disallowed_methods, reason = "a test reads its corpus")]
        run(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 5, "`{target}` has no corpus");
}

/// Every request that clients may send, with its length in front.
fn requests() -> Vec<(ApiKey, i16, Vec<u8>)> {
    let offers = advertised(CLIENTS).iter().flat_map(|offer| {
        let min = if offer.api == ApiKey::Produce { 3 } else { offer.min };
        (min..=offer.max).map(|version| (offer.api, version))
    });
    offers
        .map(|(api, version)| {
            let asked = Asked { api, version, correlation: i32::from(api as i16) };
            let frame = encode_request(asked, "fuzz", &samples::request(api, version)).unwrap();
            (api, version, [&(frame.len() as u32).to_be_bytes()[..], &frame].concat())
        })
        .collect()
}

struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end.max(1) as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.0.next_u32() as u8).collect()
    }

    /// One change somewhere: a bit, an extreme value, a piece too much or too little.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        match self.below(6) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
            1 => {
                let extreme = EXTREMES[self.below(EXTREMES.len())];
                let end = (at + extreme.len()).min(bytes.len());
                bytes.splice(at..end, extreme.iter().copied());
            }
            2 => bytes.truncate(at),
            3 => {
                let piece = self.bytes(1 + at % 7);
                bytes.splice(at..at, piece);
            }
            4 => {
                let end = (at + 1 + self.below(8)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = (at + self.below(64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

/// Some requests after one another, damaged within their lengths and across them.
fn stream(dice: &mut Dice, requests: &[(ApiKey, i16, Vec<u8>)]) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..=dice.below(4) {
        let mut frame = requests[dice.below(requests.len())].2.clone();
        let damages = dice.below(4);
        if dice.below(4) > 0 {
            // The length fits what is left, so that what follows is a frame, too.
            let mut body = frame.split_off(4);
            (0..damages).for_each(|_| dice.mutate(&mut body));
            frame = [&(body.len() as u32).to_be_bytes()[..], &body].concat();
        } else {
            (0..damages).for_each(|_| dice.mutate(&mut frame));
        }
        stream.extend(frame);
    }
    stream
}

fn with_seeds(count: u64, run: impl Fn(&mut Dice)) {
    for seed in 0..count {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run(&mut Dice(ChaCha8Rng::seed_from_u64(seed)));
        }));
        assert!(result.is_ok(), "seed {seed}");
    }
}

#[test]
fn no_stream_of_a_client_harms_a_broker() {
    each_of_corpus("client_stream", client_stream);
    let requests = requests();
    with_seeds(700, |dice| client_stream(&stream(dice, &requests)));
}

#[test]
fn every_damaged_log_is_recovered_or_refused() {
    each_of_corpus("damaged_log", damaged_log);
    with_seeds(4_000, |dice| {
        let length = 1 + dice.below(24);
        damaged_log(&dice.bytes(length));
    });
}

#[test]
fn every_node_with_damaged_files_starts_or_says_why_not() {
    each_of_corpus("damaged_node", damaged_node);
    with_seeds(500, |dice| {
        let length = 1 + dice.below(24);
        damaged_node(&dice.bytes(length));
    });
}

/// Every API in its newest version, and a file for every kind of damage.
#[test]
#[ignore = "writes the corpus anew"]
fn the_corpus_is_written() {
    #[expect(clippy::disallowed_methods, reason = "a test writes its corpus")]
    let write = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(corpus(target)).unwrap();
        fs::write(corpus(target).join(name), bytes).unwrap();
    };
    let requests = requests();
    for (number, (api, version, frame)) in requests.iter().enumerate() {
        if requests.get(number + 1).is_none_or(|(next, ..)| next != api) {
            write("client_stream", &format!("{api:?}-{version}").to_lowercase(), frame);
        }
    }
    for kind in 0..8_u8 {
        for (target, sample) in [("damaged_log", kind % 2), ("damaged_node", kind % 2)] {
            let bytes = [sample, kind, 3 + kind, 0, 40, 3, 0xff, 0x7f, 0x80];
            write(target, &format!("kind-{kind}"), &bytes);
        }
    }
}
