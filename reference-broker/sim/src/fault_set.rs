//! Faults of a run by their numbers, so that all but the few that matter can be left out.

use std::fmt;
use std::str::FromStr;

const WORDS: usize = 8;

/// Numbers of faults, counted from 0 in the order in which they strike. Only the first 512 of a run have one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FaultSet([u64; WORDS]);

impl FaultSet {
    /// How many faults can be told apart.
    pub const CAPACITY: u64 = WORDS as u64 * 64;

    /// Whether it holds a number.
    pub fn contains(&self, number: u64) -> bool {
        number < Self::CAPACITY && self.0[(number / 64) as usize] >> (number % 64) & 1 == 1
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        (0..Self::CAPACITY).filter(|number| self.contains(*number))
    }
}

impl FromIterator<u64> for FaultSet {
    /// Numbers that are too high are left out.
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut set = Self::default();
        for number in numbers.into_iter().filter(|number| *number < Self::CAPACITY) {
            set.0[(number / 64) as usize] |= 1 << (number % 64);
        }
        set
    }
}

/// As ranges: `0-3,7`.
impl fmt::Display for FaultSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for number in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                _ => ranges.push((number, number)),
            }
        }
        for (nth, (first, last)) in ranges.into_iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            if first == last {
                write!(out, "{comma}{first}")?;
            } else {
                write!(out, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for FaultSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let number = text.trim().parse().ok().filter(|number| *number < Self::CAPACITY);
            number.ok_or_else(|| format!("`{text}` is no number below {}", Self::CAPACITY))
        };
        let mut numbers = Vec::new();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            match part.split_once('-') {
                Some((first, last)) => numbers.extend(number(first)?..=number(last)?),
                None => numbers.push(number(part)?),
            }
        }
        Ok(numbers.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_written_in_ranges_and_read_back() {
        let set: FaultSet = [0, 1, 2, 3, 7, 63, 64, 511, 512].into_iter().collect();
        assert_eq!(set.to_string(), "0-3,7,63-64,511");
        assert_eq!(set.to_string().parse(), Ok(set));
        assert!(set.contains(64) && !set.contains(65) && !set.contains(512));
        assert_eq!("".parse(), Ok(FaultSet::default()));
    }

    #[test]
    fn what_is_no_number_is_named() {
        assert_eq!("3,x".parse::<FaultSet>(), Err("`x` is no number below 512".into()));
        assert_eq!("600".parse::<FaultSet>(), Err("`600` is no number below 512".into()));
    }
}
