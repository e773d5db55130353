//! Zigzag variable-length integers, as inside records.

/// Appends a number.
pub(crate) fn put(buffer: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        buffer.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    buffer.push(rest as u8);
}

/// Takes a number off the front; `None` if the bytes end early or it is longer than 64 bits.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<i64> {
    let mut raw = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        raw |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((raw >> 1) as i64 ^ -((raw & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_of_all_lengths_survive() {
        for value in [0, -1, 1, 63, 64, -64, -65, 8191, 8192, i64::from(i32::MAX), i64::MIN, i64::MAX] {
            let mut buffer = Vec::new();
            super::put(&mut buffer, value);
            let mut bytes = buffer.as_slice();
            assert_eq!(super::take(&mut bytes), Some(value));
            assert!(bytes.is_empty());
        }
        assert_eq!(super::take(&mut [0xff; 10].as_slice()), None);
        assert_eq!(super::take(&mut [0x80].as_slice()), None);
    }
}
