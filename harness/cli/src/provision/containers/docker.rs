//! The container engine, asked one question at a time.

use std::collections::HashMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerSummary, EndpointIpamConfig, EndpointSettings,
    HostConfig, Ipam, IpamConfig, Network, NetworkCreateRequest, NetworkingConfig,
    SystemInfoCgroupDriverEnum, Volume, VolumeCreateRequest,
};
use bollard::query_parameters as query;
use futures_util::StreamExt;
use tokio::runtime::Handle;

use super::product::NodeSpec;
use crate::images;
use crate::provision::ProvisionError;

/// How long the engine may take to answer, image builds apart.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The weight of a node where processors are short; a session of other processes, such as the harness and its clients
/// together, has 1024 (`docs/decisions/0012-nodes-before-clients.md`).
const NODE_CPU_SHARES: i64 = 2048;

/// A connection to the engine.
#[derive(Clone)]
pub struct Docker {
    api: bollard::Docker,
    runtime: Handle,
    /// The control group that nodes are put into; None: the engine's own.
    cgroup_parent: Option<String>,
}

/// A container that is to be made.
pub struct NewContainer<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its image.
    pub image: &'a str,
    /// What runs in it.
    pub spec: &'a NodeSpec,
    /// Where its configuration lies on the host, file by file.
    pub config: &'a Path,
    /// Its volume.
    pub volume: &'a str,
    /// Its network.
    pub network: &'a str,
    /// Its address there.
    pub ip: Ipv4Addr,
    /// What it is found by.
    pub labels: &'a HashMap<String, String>,
}

/// The name of a mounted file on the host: its path with the slashes replaced.
pub fn host_name_of(path: &str) -> String {
    path.trim_start_matches('/').replace('/', "_")
}

impl Docker {
    /// Connects to the engine that `DOCKER_HOST` names, else to the local socket, in the newest version of the protocol
    /// that both sides know.
    pub fn connect(runtime: &Handle) -> Result<Self, ProvisionError> {
        let api = runtime.block_on(images::connect())?;
        let mut engine = Self { api, runtime: runtime.clone(), cgroup_parent: None };
        let driver = engine.ask(|| "describe itself".into(), engine.api.info())?.cgroup_driver;
        // In the engine's own group the nodes together weigh as much as one session of processes beside it.
        engine.cgroup_parent = (driver == Some(SystemInfoCgroupDriverEnum::CGROUPFS)).then(|| "/".to_owned());
        Ok(engine)
    }

    fn ask<T>(
        &self,
        what: impl FnOnce() -> String,
        question: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, ProvisionError> {
        let answer = self.runtime.block_on(async { tokio::time::timeout(ANSWER_WITHIN, question).await });
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(why)) => Err(ProvisionError::Engine { what: what(), why: why.to_string() }),
            Err(_) => Err(ProvisionError::Engine { what: what(), why: "no answer".into() }),
        }
    }

    /// What the engine knows of an image; None: it is not there.
    pub fn image(&self, reference: &str) -> Result<Option<images::Present>, images::ImageError> {
        self.runtime.block_on(images::present(&self.api, reference))
    }

    /// Makes a bridge network.
    pub fn create_network(
        &self,
        name: &str,
        subnet: &str,
        gateway: Ipv4Addr,
        labels: &HashMap<String, String>,
    ) -> Result<(), ProvisionError> {
        let range = IpamConfig {
            subnet: Some(subnet.to_owned()),
            gateway: Some(gateway.to_string()),
            ..IpamConfig::default()
        };
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".into()),
            ipam: Some(Ipam { config: Some(vec![range]), ..Ipam::default() }),
            labels: Some(labels.clone()),
            ..NetworkCreateRequest::default()
        };
        self.ask(|| format!("create network {name}"), self.api.create_network(request)).map(|_| ())
    }

    /// Makes a volume.
    pub fn create_volume(&self, name: &str, labels: &HashMap<String, String>) -> Result<(), ProvisionError> {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(labels.clone()),
            ..VolumeCreateRequest::default()
        };
        self.ask(|| format!("create volume {name}"), self.api.create_volume(request)).map(|_| ())
    }

    /// Makes a container, which does not run yet.
    pub fn create(&self, new: &NewContainer<'_>) -> Result<(), ProvisionError> {
        let mut binds: Vec<String> = new
            .spec
            .files
            .iter()
            .map(|file| format!("{}:{}:ro", new.config.join(host_name_of(&file.path)).display(), file.path))
            .collect();
        binds.push(format!("{}:{}", new.volume, new.spec.data));
        let (program, arguments) = new.spec.command.split_first().expect("a command has a program");
        let endpoint = EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: Some(new.ip.to_string()),
                ..EndpointIpamConfig::default()
            }),
            aliases: Some(vec![new.spec.host_name.clone()]),
            ..EndpointSettings::default()
        };
        let body = ContainerCreateBody {
            hostname: Some(new.spec.host_name.clone()),
            user: new.spec.user.clone(),
            env: Some(new.spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            entrypoint: Some(vec![program.clone()]),
            cmd: Some(arguments.to_vec()),
            image: Some(new.image.to_owned()),
            labels: Some(new.labels.clone()),
            host_config: Some(HostConfig {
                binds: Some(binds),
                memory: Some(new.spec.memory_bytes as i64),
                cpu_shares: Some(NODE_CPU_SHARES),
                cgroup_parent: self.cgroup_parent.clone(),
                network_mode: Some(new.network.to_owned()),
                ..HostConfig::default()
            }),
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(new.network.to_owned(), endpoint)])),
            }),
            ..ContainerCreateBody::default()
        };
        let options = query::CreateContainerOptionsBuilder::new().name(new.name).build();
        self.ask(|| format!("create container {}", new.name), self.api.create_container(Some(options), body))
            .map(|_| ())
    }

    /// Starts a container that does not run.
    pub fn start(&self, name: &str) -> Result<(), ProvisionError> {
        self.ask(|| format!("start {name}"), self.api.start_container(name, None))
    }

    /// Sends a signal to its first process.
    pub fn signal(&self, name: &str, signal: &str) -> Result<(), ProvisionError> {
        let options = query::KillContainerOptionsBuilder::new().signal(signal).build();
        self.ask(|| format!("{signal} to {name}"), self.api.kill_container(name, Some(options)))
    }

    /// Freezes all its processes.
    pub fn pause(&self, name: &str) -> Result<(), ProvisionError> {
        self.ask(|| format!("pause {name}"), self.api.pause_container(name))
    }

    /// Lets them go on.
    pub fn unpause(&self, name: &str) -> Result<(), ProvisionError> {
        self.ask(|| format!("unpause {name}"), self.api.unpause_container(name))
    }

    /// What the engine knows of it.
    pub fn inspect(&self, name: &str) -> Result<ContainerInspectResponse, ProvisionError> {
        self.ask(|| format!("inspect {name}"), self.api.inspect_container(name, None))
    }

    /// The last lines that it printed; all of them without a number.
    pub fn log(&self, name: &str, lines: Option<u32>) -> Vec<u8> {
        let tail = lines.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let options = query::LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&tail).build();
        let read = async {
            let mut text = Vec::new();
            let mut stream = std::pin::pin!(self.api.logs(name, Some(options)));
            while let Some(Ok(part)) = stream.next().await {
                text.extend_from_slice(match &part {
                    LogOutput::StdOut { message }
                    | LogOutput::StdErr { message }
                    | LogOutput::StdIn { message }
                    | LogOutput::Console { message } => message,
                });
            }
            text
        };
        self.runtime.block_on(async { tokio::time::timeout(ANSWER_WITHIN, read).await }).unwrap_or_default()
    }

    /// Ends and removes a container, whatever state it is in.
    pub fn remove(&self, name: &str) -> Result<(), ProvisionError> {
        // A frozen one cannot be killed.
        let _ = self.unpause(name);
        let options = query::RemoveContainerOptionsBuilder::new().force(true).build();
        self.ask(|| format!("remove {name}"), self.api.remove_container(name, Some(options)))
    }

    /// Removes a network.
    pub fn remove_network(&self, name: &str) -> Result<(), ProvisionError> {
        self.ask(|| format!("remove network {name}"), self.api.remove_network(name))
    }

    /// Where a volume lies on the engine's machine.
    pub fn volume_path(&self, name: &str) -> Result<PathBuf, ProvisionError> {
        self.ask(|| format!("inspect volume {name}"), self.api.inspect_volume(name))
            .map(|volume| PathBuf::from(volume.mountpoint))
    }

    /// Removes a volume.
    pub fn remove_volume(&self, name: &str) -> Result<(), ProvisionError> {
        self.ask(
            || format!("remove volume {name}"),
            self.api.remove_volume(name, None::<query::RemoveVolumeOptions>),
        )
    }

    /// All containers with a label, running or not.
    pub fn containers(&self, label: &str) -> Result<Vec<ContainerSummary>, ProvisionError> {
        let options = query::ListContainersOptionsBuilder::new().all(true).filters(&by(label)).build();
        self.ask(|| "list containers".into(), self.api.list_containers(Some(options)))
    }

    /// All networks with a label.
    pub fn networks(&self, label: &str) -> Result<Vec<Network>, ProvisionError> {
        let options = query::ListNetworksOptionsBuilder::new().filters(&by(label)).build();
        self.ask(|| "list networks".into(), self.api.list_networks(Some(options)))
    }

    /// All volumes with a label.
    pub fn volumes(&self, label: &str) -> Result<Vec<Volume>, ProvisionError> {
        let options = query::ListVolumesOptionsBuilder::new().filters(&by(label)).build();
        let list = self.ask(|| "list volumes".into(), self.api.list_volumes(Some(options)))?;
        Ok(list.volumes.unwrap_or_default())
    }
}

fn by(label: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![label.to_owned()])])
}
