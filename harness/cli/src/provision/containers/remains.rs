//! What runs that were killed left with the container engine and in the kernel's tables.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;

use tokio::runtime::Handle;

use super::docker::Docker;
use super::{labels, links, network};
use crate::provision::ProvisionError;

/// One thing that a dead run left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remain {
    /// A container, running or not.
    Container(String),
    /// A volume.
    Volume(String),
    /// A network.
    Network(String),
    /// A route that made a network's subnet unreachable by any other way.
    Route(String),
    /// Redirections of connections to proxies of this run.
    Redirects(String),
}

impl fmt::Display for Remain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(name) => write!(f, "container {name}"),
            Self::Volume(name) => write!(f, "volume {name}"),
            Self::Network(name) => write!(f, "network {name}"),
            Self::Route(subnet) => write!(f, "route of {subnet}"),
            Self::Redirects(owner) => write!(f, "redirections of {owner}"),
        }
    }
}

/// Everything that runs whose harness is dead left, containers first.
pub fn remains(runtime: &Handle) -> Result<Vec<Remain>, ProvisionError> {
    let docker = Docker::connect(runtime)?;
    let mut found = BTreeSet::new();
    let mut live_subnets = BTreeSet::new();
    let mut dead_owners = BTreeSet::new();
    let mut sort = |labels: Option<HashMap<String, String>>, remain: Option<Remain>| {
        let (Some(labels), Some(remain)) = (labels, remain) else { return };
        if is_alive(&labels) {
            live_subnets.extend(labels.get(labels::SUBNET).cloned());
        } else {
            dead_owners.extend(labels.get(labels::RUN).map(|run| format!("mqproof-{run}")));
            found.insert(remain);
        }
    };
    for one in docker.containers(labels::RUN)? {
        let name = one.names.and_then(|names| Some(names.first()?.trim_start_matches('/').to_owned()));
        sort(one.labels, name.map(Remain::Container));
    }
    for one in docker.volumes(labels::RUN)? {
        sort(Some(one.labels), Some(Remain::Volume(one.name)));
    }
    for one in docker.networks(labels::RUN)? {
        sort(one.labels, one.name.map(Remain::Network));
    }
    found.extend(network::routes().into_iter().filter(|one| !live_subnets.contains(one)).map(Remain::Route));
    found.extend(
        links::redirect_owners().into_iter().filter(|one| dead_owners.contains(one)).map(Remain::Redirects),
    );
    Ok(found.into_iter().collect())
}

/// Removes one of them.
pub fn remove(remain: &Remain, runtime: &Handle) -> Result<(), ProvisionError> {
    match remain {
        Remain::Container(name) => Docker::connect(runtime)?.remove(name),
        Remain::Volume(name) => Docker::connect(runtime)?.remove_volume(name),
        Remain::Network(name) => Docker::connect(runtime)?.remove_network(name),
        Remain::Route(subnet) => {
            network::release(subnet);
            Ok(())
        }
        Remain::Redirects(owner) => {
            links::remove_redirects(owner);
            Ok(())
        }
    }
}

/// Whether the harness that made it still runs.
fn is_alive(made_by: &HashMap<String, String>) -> bool {
    let same_boot = made_by.get(labels::BOOT).is_some_and(|boot| *boot == mqproof_drivers::clock::boot_id());
    let pid = made_by.get(labels::PID).map_or("", String::as_str);
    same_boot && !pid.is_empty() && Path::new("/proc").join(pid).exists()
}
