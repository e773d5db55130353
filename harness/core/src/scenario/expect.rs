//! What is asserted of a property, as written.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::units::Duration;

/// What is asserted of a property: `never`, `allowed`, `demonstrated`, or bounds on a metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Expect {
    /// Without a number.
    Word(Word),
    /// Bounds on a metric.
    Bounds(Bounds),
}

/// An assertion without a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// Seen although the durability class promises otherwise: violated.
    Never,
    /// Counted and reported only.
    Allowed,
    /// Must be seen at least once, else the check was not exercised.
    Demonstrated,
}

/// Bounds on a metric, both inclusive; at least one of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// At least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Quantity>,
    /// At most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Quantity>,
}

/// A bound in the unit of its metric: a duration for times, a number for counts and rates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Quantity {
    /// Of `rto`, `ack_latency`, `end_to_end_latency`, `drain`.
    Time(Duration),
    /// Of `rpo` (records) and `throughput` (messages a second).
    Number(f64),
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExpectVisitor;
        impl<'de> Visitor<'de> for ExpectVisitor {
            type Value = Expect;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`never`, `allowed`, `demonstrated` or bounds such as `{max: 5s}`")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Expect, E> {
                let word = de::value::StrDeserializer::new(word);
                serde::Deserialize::deserialize(word).map(Expect::Word)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expect, A::Error> {
                let map = de::value::MapAccessDeserializer::new(map);
                serde::Deserialize::deserialize(map).map(Expect::Bounds)
            }
        }
        deserializer.deserialize_any(ExpectVisitor)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct QuantityVisitor;
        impl Visitor<'_> for QuantityVisitor {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as `5s`, or a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                text.parse()
                    .map(Quantity::Time)
                    .map_err(|error: super::UnitError| E::custom(format!("{error}\n{}", error.hint())))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity::Number(number as f64))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Quantity, E> {
                Ok(Quantity::Number(number))
            }
        }
        deserializer.deserialize_any(QuantityVisitor)
    }
}

impl Quantity {
    /// The number in the metric's own unit: milliseconds for times.
    pub fn value(self) -> f64 {
        match self {
            Self::Time(time) => time.ms() as f64,
            Self::Number(number) => number,
        }
    }
}
