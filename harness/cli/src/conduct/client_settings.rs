//! `--client [SYSTEM:]KEY=VALUE`: how clients reach somebody else's cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::target::{System, Target};

/// Parts of the names of settings whose values nobody may see.
const SECRET: [&str; 7] = ["password", "secret", "cookie", "token", "pem", "jaas", "oauthbearer.config"];
/// What stands in their place.
const MASK: &str = "********";

/// One setting of the client library, in its own names.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSetting {
    system: Option<System>,
    key: String,
    value: String,
}

/// A bad `--client`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientSettingError {
    /// No key.
    #[error("a client setting is written `KEY=VALUE` or `SYSTEM:KEY=VALUE`")]
    NotASetting,
    /// There is nobody to give it to.
    #[error(
        "`--client {key}` is for a cluster that is already there, and `--on` names none{}\nhint: write `--on NAME=HOST:PORT`",
        .system.map(|system| format!(" of `{}`", system.name())).unwrap_or_default()
    )]
    NoCluster {
        /// The setting.
        key: String,
        /// Whose.
        system: Option<System>,
    },
    /// Settings are in the names of one product's library.
    #[error(
        "`--client {key}` does not say for which of the systems it is\nhint: write the system before it, `--client {first}:{key}=…`"
    )]
    Ambiguous {
        /// The setting.
        key: String,
        /// One of the systems.
        first: &'static str,
    },
}

impl FromStr for ClientSetting {
    type Err = ClientSettingError;

    fn from_str(text: &str) -> Result<Self, ClientSettingError> {
        let (name, value) = text.split_once('=').ok_or(ClientSettingError::NotASetting)?;
        let prefixed = System::ALL
            .into_iter()
            .find_map(|system| Some((system, name.strip_prefix(system.name())?.strip_prefix(':')?)));
        let (system, key) = prefixed.map_or((None, name), |(system, key)| (Some(system), key));
        if key.is_empty() {
            return Err(ClientSettingError::NotASetting);
        }
        Ok(Self { system, key: key.to_owned(), value: value.to_owned() })
    }
}

impl fmt::Debug for ClientSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if is_secret(&self.key) { MASK } else { &self.value };
        write!(f, "{}={value}", self.key)
    }
}

/// Gives each setting to the clusters that it is for.
pub fn hand_out(settings: &[ClientSetting], targets: &mut [Target]) -> Result<(), ClientSettingError> {
    for setting in settings {
        let is_for = |target: &Target| {
            target.address.is_some() && setting.system.is_none_or(|system| system == target.system)
        };
        let mut systems: Vec<System> =
            targets.iter().filter(|target| is_for(target)).map(|target| target.system).collect();
        systems.dedup();
        match systems[..] {
            [] => {
                let (key, system) = (setting.key.clone(), setting.system);
                return Err(ClientSettingError::NoCluster { key, system });
            }
            [_] => {}
            [first, ..] => {
                let key = setting.key.clone();
                return Err(ClientSettingError::Ambiguous { key, first: first.name() });
            }
        }
        for target in targets.iter_mut().filter(|target| is_for(target)) {
            target.client.0.insert(setting.key.clone(), setting.value.clone());
        }
    }
    Ok(())
}

/// Settings of a target's clients, in the names of the client library.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientSettings(pub BTreeMap<String, String>);

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(key, value)| (key, if is_secret(key) { MASK } else { value });
        f.debug_map()
            .entries(self.0.iter().map(|(key, value)| shown((key.as_str(), value.as_str()))))
            .finish()
    }
}

/// Whether nobody may see the value of a setting.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET.iter().any(|part| key.contains(part))
}

/// A command line as it may be written down: without the values of secret settings.
pub fn without_secrets(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut follows = false;
    arguments
        .map(|argument| {
            let is_setting = std::mem::replace(&mut follows, argument == "--client");
            match (is_setting, argument.strip_prefix("--client=")) {
                (true, _) => masked(&argument),
                (false, Some(setting)) => format!("--client={}", masked(setting)),
                (false, None) => argument,
            }
        })
        .collect()
}

/// The setting, without its value if that is a secret.
pub fn masked(setting: &str) -> String {
    match setting.split_once('=') {
        Some((key, _)) if is_secret(key) => format!("{key}={MASK}"),
        _ => setting.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(texts: &[&str]) -> Vec<Target> {
        texts.iter().map(|text| text.parse().expect("a target")).collect()
    }

    fn give(settings: &[&str], to: &[&str]) -> Result<Vec<Target>, String> {
        let settings: Vec<ClientSetting> =
            settings.iter().map(|text| text.parse().expect("a setting")).collect();
        let mut targets = targets(to);
        hand_out(&settings, &mut targets).map_err(|error| error.to_string())?;
        Ok(targets)
    }

    #[test]
    fn a_setting_is_for_the_only_cluster_that_is_already_there() {
        let got = give(&["sasl.username=a=b"], &["reference", "kafka=a:1", "rabbitmq"]).expect("handed out");
        assert_eq!(got[1].client.0["sasl.username"], "a=b");
        assert!(got[0].client.0.is_empty() && got[2].client.0.is_empty());
    }

    #[test]
    fn among_several_clusters_a_prefix_says_whose_it_is() {
        let both = ["kafka=a:1", "rabbitmq=b:1"];
        let got = give(&["kafka:sasl.mechanism=PLAIN", "rabbitmq:user=x"], &both).expect("handed out");
        assert_eq!(got[0].client.0["sasl.mechanism"], "PLAIN");
        assert_eq!(got[1].client.0, BTreeMap::from([("user".to_owned(), "x".to_owned())]));
        let error = give(&["user=x"], &both).expect_err("ambiguous");
        assert!(error.contains("--client kafka:user=…"), "{error}");
        let error = give(&["rocketmq:key=x"], &both).expect_err("not there");
        assert!(error.contains("`--on` names none of `rocketmq`"), "{error}");
    }

    #[test]
    fn a_cluster_that_is_started_by_the_run_takes_no_settings() {
        let error = give(&["sasl.username=a"], &["kafka"]).expect_err("no cluster");
        assert!(error.contains("`--on` names none\n"), "{error}");
        assert_eq!("sasl.username".parse::<ClientSetting>(), Err(ClientSettingError::NotASetting));
        assert_eq!("kafka:=x".parse::<ClientSetting>(), Err(ClientSettingError::NotASetting));
    }

    #[test]
    fn secrets_are_never_written_down() {
        let line = [
            "mqproof",
            "run",
            "--client",
            "kafka:sasl.password=hunter2",
            "--client=ssl.key.PASSWORD=hunter2",
            "--client",
            "sasl.username=me",
            "--set",
            "durability=quorum",
        ];
        let kept = without_secrets(line.iter().map(|word| (*word).to_owned()));
        assert_eq!(
            kept[2..8],
            [
                "--client",
                "kafka:sasl.password=********",
                "--client=ssl.key.PASSWORD=********",
                "--client",
                "sasl.username=me",
                "--set"
            ]
        );
        let setting: ClientSetting = "client.secret=hunter2".parse().expect("a setting");
        let targets = give(&["sasl.password=hunter2"], &["kafka=a:1"]).expect("handed out");
        let shown = format!("{setting:?} {targets:?}");
        assert!(!shown.contains("hunter2") && shown.contains("sasl.password"), "{shown}");
    }
}
