//! `--on SYSTEM[=ADDRESS]`.

use std::str::FromStr;

/// A product, or the bundled broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// The bundled reference broker, as an embedded cluster of processes.
    Reference,
    /// Anything that speaks the Kafka protocol, at an address.
    Kafka,
}

impl System {
    /// All systems, as listed by `mqproof systems`.
    pub const ALL: [Self; 2] = [Self::Reference, Self::Kafka];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Kafka => "kafka",
        }
    }

    /// What `mqproof systems` says of it.
    pub fn about(self) -> &'static str {
        match self {
            Self::Reference => "the bundled broker: an embedded cluster of processes, nothing to install",
            Self::Kafka => {
                "a cluster that is already there, as `kafka=HOST:PORT`; no fault that needs its nodes"
            }
        }
    }
}

/// Where scenarios run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The product.
    pub system: System,
    /// Somebody else's cluster.
    pub address: Option<String>,
}

/// A bad `--on`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No such system.
    #[error("unknown system `{0}`\nhint: known systems are `reference` and `kafka=HOST:PORT`")]
    Unknown(String),
    /// The system needs an address.
    #[error("`{0}` needs the address of a cluster that is already there\nhint: write `--on {0}=HOST:PORT`")]
    NeedsAddress(String),
    /// The system takes no address.
    #[error("`{0}` is started by mqproof itself and takes no address")]
    TakesNoAddress(String),
    /// Not `HOST:PORT`.
    #[error("`{0}` is not an address\nhint: write `HOST:PORT`, for several brokers joined with `+`")]
    BadAddress(String),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (name, address) =
            text.split_once('=').map_or((text, None), |(name, address)| (name, Some(address)));
        let system = System::ALL
            .into_iter()
            .find(|system| system.name() == name)
            .ok_or_else(|| TargetError::Unknown(name.to_owned()))?;
        match (system, address) {
            (System::Reference, None) => Ok(Self { system, address: None }),
            (System::Reference, Some(_)) => Err(TargetError::TakesNoAddress(name.to_owned())),
            (System::Kafka, None) => Err(TargetError::NeedsAddress(name.to_owned())),
            (System::Kafka, Some(address)) => {
                for one in address.split('+') {
                    let port =
                        one.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
                    if port.and_then(|port| port.parse::<u16>().ok()).is_none() {
                        return Err(TargetError::BadAddress(one.to_owned()));
                    }
                }
                Ok(Self { system, address: Some(address.replace('+', ",")) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_system_and_for_some_an_address() {
        assert_eq!("reference".parse(), Ok(Target { system: System::Reference, address: None }));
        assert_eq!(
            "kafka=a:1+b:2".parse(),
            Ok(Target { system: System::Kafka, address: Some("a:1,b:2".into()) })
        );
    }

    #[test]
    fn a_bad_target_says_what_is_wrong() {
        let error = |text: &str| text.parse::<Target>().unwrap_err();
        assert_eq!(error("kafak"), TargetError::Unknown("kafak".into()));
        assert_eq!(error("kafka"), TargetError::NeedsAddress("kafka".into()));
        assert_eq!(error("kafka=here"), TargetError::BadAddress("here".into()));
        assert_eq!(error("kafka=:1"), TargetError::BadAddress(":1".into()));
        assert_eq!(error("reference=a:1"), TargetError::TakesNoAddress("reference".into()));
    }
}
