//! `--on SYSTEM[=ADDRESS]`.

use std::fmt;
use std::str::FromStr;

use super::client_settings::ClientSettings;

/// A product, or the bundled broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// The bundled reference broker, as an embedded cluster of processes.
    Reference,
    /// The same broker in a deterministic simulator.
    Sim,
    /// Apache Kafka, or anything that speaks its protocol.
    Kafka,
    /// RabbitMQ.
    Rabbitmq,
    /// Apache RocketMQ.
    Rocketmq,
}

impl System {
    /// All systems, as listed by `mqproof systems`.
    pub const ALL: [Self; 5] = [Self::Reference, Self::Sim, Self::Kafka, Self::Rabbitmq, Self::Rocketmq];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Sim => "sim",
            Self::Kafka => "kafka",
            Self::Rabbitmq => "rabbitmq",
            Self::Rocketmq => "rocketmq",
        }
    }

    /// The name of the driver that speaks its protocol.
    pub fn driver(self) -> &'static str {
        match self {
            Self::Reference | Self::Sim | Self::Kafka => "kafka",
            Self::Rabbitmq => "rabbitmq",
            Self::Rocketmq => "rocketmq",
        }
    }

    /// Whether it is the broker that comes with mqproof, in which bugs can be planted.
    pub fn is_bundled(self) -> bool {
        matches!(self, Self::Reference | Self::Sim)
    }

    /// What `mqproof systems` says of it.
    pub fn about(self) -> &'static str {
        match self {
            Self::Reference => "the bundled broker: an embedded cluster of processes, nothing to install",
            Self::Sim => {
                "the bundled broker in simulation: virtual time, one seed, the same course each time"
            }
            Self::Kafka => "Apache Kafka",
            Self::Rabbitmq => "RabbitMQ",
            Self::Rocketmq => "Apache RocketMQ, in the making: its groups do not read everything yet",
        }
    }
}

/// Where scenarios run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The product.
    pub system: System,
    /// Somebody else's cluster; None: one that the run starts itself.
    pub address: Option<String>,
    /// A version or a set of settings of the product: `4.0`, `tuned`; joined with `+`.
    pub profile: Option<String>,
    /// How clients reach somebody else's cluster, from `--client`.
    pub client: ClientSettings,
}

/// A bad `--on`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No such system.
    #[error(
        "unknown system `{0}`\nhint: known systems are `reference`, `sim`, `kafka`, `rabbitmq` and `rocketmq`"
    )]
    Unknown(String),
    /// The system takes no address.
    #[error("`{0}` is started by mqproof itself and takes no address")]
    TakesNoAddress(String),
    /// Not `HOST:PORT`.
    #[error("`{0}` is not an address\nhint: write `HOST:PORT`, for several brokers joined with `+`")]
    BadAddress(String),
    /// The system has no profile of that name.
    #[error("`{system}` has no profile `{profile}`\nhint: {hint}")]
    UnknownProfile {
        /// The system.
        system: &'static str,
        /// As written.
        profile: String,
        /// What there is.
        hint: String,
    },
}

impl Target {
    /// Whether the run starts its nodes in containers.
    pub fn is_containers(&self) -> bool {
        !self.system.is_bundled() && self.address.is_none()
    }

    /// The parts of the profile.
    pub fn profile_parts(&self) -> Vec<&str> {
        self.profile.iter().flat_map(|profile| profile.split('+')).collect()
    }

    /// The name that its column and its cells have: `rabbitmq@4.0`.
    pub fn label(&self) -> String {
        match &self.profile {
            Some(profile) => format!("{}@{profile}", self.system.name()),
            None => self.system.name().to_owned(),
        }
    }
}

impl fmt::Display for Target {
    /// As typed after `--on`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.system.name())?;
        if let Some(address) = &self.address {
            write!(f, "={}", address.replace(',', "+"))?;
        }
        self.profile.iter().try_for_each(|profile| write!(f, "@{profile}"))
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (text, profile) =
            text.rsplit_once('@').map_or((text, None), |(text, profile)| (text, Some(profile)));
        let (name, address) =
            text.split_once('=').map_or((text, None), |(name, address)| (name, Some(address)));
        let system = System::ALL
            .into_iter()
            .find(|system| system.name() == name)
            .ok_or_else(|| TargetError::Unknown(name.to_owned()))?;
        if let Some(profile) = profile {
            system.check_profile(profile)?;
        }
        match (system, address) {
            (system, Some(_)) if system.is_bundled() => {
                return Err(TargetError::TakesNoAddress(name.to_owned()));
            }
            (_, Some(address)) => address.split('+').try_for_each(check_address)?,
            (_, None) => {}
        }
        Ok(Self {
            system,
            address: address.map(|address| address.replace('+', ",")),
            profile: profile.map(str::to_owned),
            client: ClientSettings::default(),
        })
    }
}

fn check_address(address: &str) -> Result<(), TargetError> {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    match port.and_then(|port| port.parse::<u16>().ok()) {
        Some(_) => Ok(()),
        None => Err(TargetError::BadAddress(address.to_owned())),
    }
}

impl System {
    /// The names that may stand behind `@`.
    pub fn profiles(self) -> &'static [&'static str] {
        match self {
            Self::Reference | Self::Sim => &[],
            Self::Kafka => &["tuned"],
            Self::Rabbitmq => &["4.0", "3.10", "tuned"],
            Self::Rocketmq => &["fastjson2", "classic", "tuned"],
        }
    }

    fn check_profile(self, profile: &str) -> Result<(), TargetError> {
        match profile.split('+').find(|part| !self.profiles().contains(part)) {
            None => Ok(()),
            Some(part) => Err(TargetError::UnknownProfile {
                system: self.name(),
                profile: part.to_owned(),
                hint: match self.profiles() {
                    [] => "it has none".to_owned(),
                    some => format!("it has `{}`; several are joined with `+`", some.join("`, `")),
                },
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(system: System, address: Option<&str>, profile: Option<&str>) -> Target {
        Target {
            system,
            address: address.map(str::to_owned),
            profile: profile.map(str::to_owned),
            client: ClientSettings::default(),
        }
    }

    #[test]
    fn a_target_is_a_system_and_for_some_an_address_or_a_profile() {
        assert_eq!("reference".parse(), Ok(target(System::Reference, None, None)));
        assert_eq!("sim".parse(), Ok(target(System::Sim, None, None)));
        assert_eq!("kafka=a:1+b:2".parse(), Ok(target(System::Kafka, Some("a:1,b:2"), None)));
        assert_eq!("rabbitmq@4.0+tuned".parse(), Ok(target(System::Rabbitmq, None, Some("4.0+tuned"))));
        assert_eq!(
            "rocketmq=a:9876@tuned".parse(),
            Ok(target(System::Rocketmq, Some("a:9876"), Some("tuned")))
        );
    }

    #[test]
    fn a_target_is_shown_as_it_is_typed() {
        for text in ["reference", "kafka=a:1+b:2", "rabbitmq@4.0+tuned", "rocketmq=a:9876@tuned"] {
            assert_eq!(text.parse::<Target>().expect("a target").to_string(), text);
        }
    }

    #[test]
    fn a_bad_target_says_what_is_wrong() {
        let error = |text: &str| text.parse::<Target>().unwrap_err();
        assert_eq!(error("kafak"), TargetError::Unknown("kafak".into()));
        assert_eq!(error("kafka=here"), TargetError::BadAddress("here".into()));
        assert_eq!(error("kafka=:1"), TargetError::BadAddress(":1".into()));
        assert_eq!(error("reference=a:1"), TargetError::TakesNoAddress("reference".into()));
        assert_eq!(error("sim=a:1"), TargetError::TakesNoAddress("sim".into()));
        assert!(error("kafka@9.9").to_string().contains("it has `tuned`"));
    }
}
