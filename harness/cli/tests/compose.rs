//! `docker-compose.yml`: what each profile starts, and from which images.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde::Deserialize;
use support::root;

#[derive(Deserialize)]
struct ComposeFile {
    services: BTreeMap<String, Service>,
}

/// What is looked at; the rest is for the engine.
#[derive(Deserialize)]
struct Service {
    image: String,
    profiles: Vec<String>,
    mem_limit: Option<String>,
    healthcheck: Option<HealthCheck>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
    /// The network of another service in place of one's own.
    network_mode: Option<String>,
}

#[derive(Deserialize)]
struct HealthCheck {
    test: Vec<String>,
    interval: String,
}

/// Profile, the variable that names another image, and the nodes.
const PROFILES: [(&str, &str, usize); 6] = [
    ("kafka", "MQPROOF_IMAGE_KAFKA", 1),
    ("kafka-3", "MQPROOF_IMAGE_KAFKA", 3),
    ("rabbitmq", "MQPROOF_IMAGE_RABBITMQ", 1),
    ("rabbitmq-3", "MQPROOF_IMAGE_RABBITMQ", 3),
    ("rocketmq", "MQPROOF_IMAGE_ROCKETMQ", 1),
    ("rocketmq-3", "MQPROOF_IMAGE_ROCKETMQ", 3),
];

fn compose_file() -> ComposeFile {
    let text = fs::read_to_string(root().join("docker-compose.yml")).expect("it is there");
    serde_saphyr::from_str(&text).expect("it is a compose file")
}

impl ComposeFile {
    fn of<'a>(&'a self, profile: &'a str) -> impl Iterator<Item = (&'a str, &'a Service)> {
        self.services
            .iter()
            .filter(move |(_, service)| service.profiles == [profile])
            .map(|(name, service)| (name.as_str(), service))
    }
}

/// A node's name is that of its profile, with its number where there are several; a network alone is no node.
fn is_node(name: &str, profile: &str) -> bool {
    let rest = name.strip_prefix(profile).expect("services are named after their profile");
    rest.is_empty() || rest.strip_prefix('-').is_some_and(|number| number.parse::<u8>().is_ok())
}

#[test]
fn every_profile_has_its_nodes_and_no_service_is_without_one() {
    let file = compose_file();
    for (profile, _, nodes) in PROFILES {
        let found = file.of(profile).filter(|(name, _)| is_node(name, profile)).count();
        assert_eq!(found, nodes, "{profile}");
    }
    let known: BTreeSet<&str> = PROFILES.iter().map(|(profile, ..)| *profile).collect();
    for (name, service) in &file.services {
        assert!(service.profiles.iter().all(|profile| known.contains(profile.as_str())), "{name}");
        assert_eq!(service.profiles.len(), 1, "{name} is started by one profile");
    }
}

#[test]
fn every_service_has_a_health_check_and_a_limit_of_its_memory() {
    for (name, service) in compose_file().services {
        let check = service.healthcheck.unwrap_or_else(|| panic!("{name} has no health check"));
        assert_eq!(check.test.first().map(String::as_str), Some("CMD"), "{name}");
        assert!(check.test.len() > 1 && check.interval.ends_with('s'), "{name}");
        let limit = service.mem_limit.unwrap_or_else(|| panic!("{name} may take all memory"));
        let (number, unit) = limit.split_at(limit.len() - 1);
        let mib = number.parse::<u32>().expect("a number") * if unit == "g" { 1024 } else { 1 };
        assert!((32..=1024).contains(&mib) && ["m", "g"].contains(&unit), "{name}: {limit}");
    }
}

#[test]
fn a_profile_has_one_image_that_a_variable_overrides() {
    let file = compose_file();
    for (profile, variable, _) in PROFILES {
        let images: BTreeSet<&str> = file.of(profile).map(|(_, service)| service.image.as_str()).collect();
        assert_eq!(images.len(), 1, "{profile}: {images:?}");
        let image = images.first().expect("one");
        let inner = image.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let (name, _) = inner.and_then(|inner| inner.split_once(":-")).expect("`${NAME:-IMAGE}`");
        assert_eq!(name, variable, "{profile}");
    }
}

#[test]
fn clients_find_every_node_at_a_port_of_this_machine_alone() {
    let file = compose_file();
    for (profile, _, nodes) in PROFILES {
        let mut ports = Vec::new();
        for (name, service) in file.of(profile) {
            ports.extend(service.ports.iter().map(|port| {
                port.strip_prefix("127.0.0.1:").unwrap_or_else(|| panic!("{name}: {port} is open to all"))
            }));
            if let Some(network) = &service.network_mode {
                let holder = network.strip_prefix("service:").expect("another service's");
                assert!(file.of(profile).any(|(name, _)| name == holder), "{name}: {holder}");
            }
        }
        assert!(ports.len() >= nodes, "{profile}: {ports:?}");
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len(), "{profile}: {ports:?}");
    }
}

#[test]
fn mounted_files_are_there() {
    for (name, service) in compose_file().services {
        for volume in service.volumes {
            let file = volume.split(':').next().expect("a path");
            assert!(root().join(file).is_file(), "{name}: {file}");
        }
    }
}
