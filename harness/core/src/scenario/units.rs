//! Quantities with their units: `1500ms`, `2000/s`, `256B`. A bare number is never a quantity.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use thiserror::Error;

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnitError {
    /// A number without a unit.
    #[error("`{text}` lacks a unit")]
    Missing {
        /// The text.
        text: String,
        /// What to write.
        units: &'static str,
    },
    /// A unit that is not known for this quantity.
    #[error("unknown unit `{unit}` in `{text}`")]
    Unknown {
        /// The text.
        text: String,
        /// Its unit.
        unit: String,
        /// What to write.
        units: &'static str,
    },
    /// No number in front of the unit.
    #[error("`{text}` does not start with a number")]
    NoNumber {
        /// The text.
        text: String,
        /// What to write.
        units: &'static str,
    },
    /// Not a whole number of the smallest unit, or too large.
    #[error("`{text}` is not a whole number of the smallest unit, or too large")]
    OutOfRange {
        /// The text.
        text: String,
        /// What to write.
        units: &'static str,
    },
}

impl UnitError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        let (Self::Missing { units, .. }
        | Self::Unknown { units, .. }
        | Self::NoNumber { units, .. }
        | Self::OutOfRange { units, .. }) = self;
        format!("write {units}")
    }
}

/// Splits `12.5ms` into number and unit and scales by the unit's factor.
fn scale(text: &str, units: &'static str, factors: &[(&str, f64)]) -> Result<f64, UnitError> {
    let own = || text.to_owned();
    let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| UnitError::NoNumber { text: own(), units })?;
    let unit = unit.trim();
    if unit.is_empty() {
        return Err(UnitError::Missing { text: own(), units });
    }
    let (_, factor) = factors.iter().find(|(name, _)| *name == unit).ok_or_else(|| UnitError::Unknown {
        text: own(),
        unit: unit.to_owned(),
        units,
    })?;
    Ok(number * factor)
}

fn whole(text: &str, units: &'static str, scaled: f64) -> Result<u64, UnitError> {
    // 2^53: beyond it not every whole number can be told from its neighbour.
    if scaled.fract() == 0.0 && scaled <= 9_007_199_254_740_992.0 {
        Ok(scaled as u64)
    } else {
        Err(UnitError::OutOfRange { text: text.to_owned(), units })
    }
}

/// A span of time, in whole milliseconds: `1500ms`, `4s`, `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Duration(pub u64);

/// How often something happens a second: `2000/s`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(pub f64);

/// A number of bytes: `256B`, `1KiB`, `4MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A share: `20%`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Default)]
pub struct Percent(pub f64);

impl Duration {
    const UNITS: &str = "a duration such as `1500ms`, `4s` or `2m`";

    /// A year: so that sums of times and their nanoseconds fit.
    pub const LONGEST: Self = Self(365 * 24 * 3_600_000);

    /// In milliseconds.
    pub fn ms(self) -> u64 {
        self.0
    }

    /// In nanoseconds.
    pub fn ns(self) -> u64 {
        self.0 * 1_000_000
    }
}

impl FromStr for Duration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let factors = [("ms", 1.0), ("s", 1_000.0), ("m", 60_000.0)];
        let ms = whole(text, Self::UNITS, scale(text, Self::UNITS, &factors)?)?;
        if ms > Self::LONGEST.0 {
            return Err(UnitError::OutOfRange { text: text.to_owned(), units: Self::UNITS });
        }
        Ok(Self(ms))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms > 0 && ms.is_multiple_of(60_000) => write!(f, "{}m", ms / 60_000),
            ms if ms.is_multiple_of(1_000) => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

impl Rate {
    const UNITS: &str = "a rate such as `2000/s`";
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        scale(text, Self::UNITS, &[("/s", 1.0)]).map(Self)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

impl Size {
    const UNITS: &str = "a size such as `256B`, `1KiB` or `4MB`";
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let factors = [
            ("B", 1.0),
            ("KB", 1e3),
            ("kB", 1e3),
            ("MB", 1e6),
            ("GB", 1e9),
            ("KiB", 1_024.0),
            ("MiB", 1_048_576.0),
            ("GiB", 1_073_741_824.0),
        ];
        whole(text, Self::UNITS, scale(text, Self::UNITS, &factors)?).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes > 0 && bytes.is_multiple_of(1 << 20) => write!(f, "{}MiB", bytes >> 20),
            bytes if bytes > 0 && bytes.is_multiple_of(1 << 10) => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{bytes}B"),
        }
    }
}

impl Percent {
    const UNITS: &str = "a share such as `20%`";

    /// As a number from 0 to 1.
    pub fn share(self) -> f64 {
        self.0 / 100.0
    }
}

impl FromStr for Percent {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let percent = scale(text, Self::UNITS, &[("%", 1.0)])?;
        if percent > 100.0 {
            return Err(UnitError::OutOfRange { text: text.to_owned(), units: Self::UNITS });
        }
        Ok(Self(percent))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// A quantity is text in YAML and in JSON.
macro_rules! quantity {
    ($name:ident, $pattern:literal, $what:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct TextVisitor;
                impl Visitor<'_> for TextVisitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($name::UNITS)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(|error: UnitError| E::custom(format!("{error}\n{}", error.hint())))
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                deserializer.deserialize_str(TextVisitor)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $what })
            }
        }
    };
}

quantity!(Duration, r"^[0-9]+(\.[0-9]+)?(ms|s|m)$", "A span of time: `1500ms`, `4s`, `2m`.");
quantity!(Rate, r"^[0-9]+(\.[0-9]+)?/s$", "How often a second: `2000/s`.");
quantity!(Percent, r"^[0-9]+(\.[0-9]+)?%$", "A share: `20%`.");
quantity!(
    Size,
    r"^[0-9]+(\.[0-9]+)?(B|kB|KB|MB|GB|KiB|MiB|GiB)$",
    "A number of bytes: `256B`, `1KiB`, `4MB`."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_their_units() {
        assert_eq!("1500ms".parse(), Ok(Duration(1_500)));
        assert_eq!("1.5s".parse(), Ok(Duration(1_500)));
        assert_eq!("2m".parse(), Ok(Duration(120_000)));
        assert_eq!("2000/s".parse(), Ok(Rate(2_000.0)));
        assert_eq!("12.5%".parse(), Ok(Percent(12.5)));
        assert_eq!("1KiB".parse(), Ok(Size(1_024)));
        assert_eq!("4MB".parse(), Ok(Size(4_000_000)));
    }

    #[test]
    fn a_quantity_without_a_known_unit_is_refused() {
        assert!(matches!("1500".parse::<Duration>(), Err(UnitError::Missing { .. })));
        assert!(matches!("3h".parse::<Duration>(), Err(UnitError::Unknown { .. })));
        assert!(matches!("fast".parse::<Rate>(), Err(UnitError::NoNumber { .. })));
        assert!(matches!("0.5ms".parse::<Duration>(), Err(UnitError::OutOfRange { .. })));
        assert!(matches!("1.5B".parse::<Size>(), Err(UnitError::OutOfRange { .. })));
        assert!(matches!("101%".parse::<Percent>(), Err(UnitError::OutOfRange { .. })));
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        for ms in [0, 1, 999, 1_000, 1_500, 60_000, 90_000] {
            assert_eq!(Duration(ms).to_string().parse(), Ok(Duration(ms)));
        }
        for bytes in [0, 64, 1_000, 1_024, 1 << 20] {
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
    }
}
