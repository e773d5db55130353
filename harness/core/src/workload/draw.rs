//! Random numbers that are a function of their place, not of what was drawn before.

/// What a number is drawn for, so that key and size of a message are independent.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(super) enum Purpose {
    Key = 1,
    Size = 2,
    Filler = 3,
    Abort = 4,
}

/// 64 uniform bits for message `seq` of a stream with this seed.
#[inline]
pub(super) fn draw(seed: u64, purpose: Purpose, seq: u32) -> u64 {
    mix(seed ^ mix(u64::from(seq) | (purpose as u64) << 32))
}

/// The seed of one producer's stream.
pub(super) fn stream_seed(seed: u64, producer: u16) -> u64 {
    mix(seed ^ mix(u64::from(producer) | 0xA5 << 56))
}

/// A number below `bound`, from 64 uniform bits (Lemire's multiply-shift; the bias is below bound / 2^64).
#[inline]
pub(super) fn below(bits: u64, bound: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

/// The finaliser of SplitMix64.
#[inline]
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

/// Fills bytes from a message's own stream.
#[inline]
pub(super) fn fill(seed: u64, seq: u32, bytes: &mut [u8]) {
    let mut state = draw(seed, Purpose::Filler, seq);
    for chunk in bytes.chunks_mut(8) {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        chunk.copy_from_slice(&(state ^ state >> 32).to_le_bytes()[..chunk.len()]);
    }
}
