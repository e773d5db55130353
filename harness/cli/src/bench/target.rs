//! What is named on the command line: clusters, and where their processes are found.

use std::path::PathBuf;
use std::str::FromStr;

/// A cluster to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BenchTarget {
    /// One that is started for it.
    Started {
        /// Its name in the table.
        name: String,
        /// `reference`, as processes on this machine, or `kafka`, in containers.
        product: &'static str,
    },
    /// One that is already there.
    External {
        /// Its name in the table.
        name: String,
        /// `host:port,…`.
        address: String,
    },
}

/// What can be started.
const PRODUCTS: [&str; 2] = ["reference", "kafka"];

/// What is wrong with a target or with what names its processes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Not `NAME=HOST:PORT`, nor anything that can be started.
    #[error(
        "`{0}` is no cluster\nhint: write `HOST:PORT` or `NAME=HOST:PORT` (several brokers joined with `+`), or `reference`, `kafka`, `NAME=reference` or `NAME=kafka` to have one started"
    )]
    Cluster(String),
    /// Not `NAME=…`.
    #[error("`{0}` is not of the form `NAME={1}`")]
    Source(String, &'static str),
}

impl BenchTarget {
    /// Its name in the table.
    pub fn name(&self) -> &str {
        match self {
            Self::Started { name, .. } | Self::External { name, .. } => name,
        }
    }
}

impl FromStr for BenchTarget {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let bad = || BadTarget::Cluster(text.to_owned());
        // One without a name is called what it is.
        let (name, addresses) = text.split_once('=').unwrap_or((text, text));
        if let Some(product) = PRODUCTS.into_iter().find(|product| *product == addresses)
            && !name.is_empty()
        {
            return Ok(Self::Started { name: name.to_owned(), product });
        }
        let is_address = |one: &str| {
            one.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if name.is_empty() || !addresses.split('+').all(is_address) {
            return Err(bad());
        }
        Ok(Self::External { name: name.to_owned(), address: addresses.replace('+', ",") })
    }
}

/// Where the processes of a cluster that is already there are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessSource {
    /// By their ids.
    Pids(Vec<u32>),
    /// Those in a control group, which names them in `cgroup.procs`.
    Cgroup(PathBuf),
}

impl ProcessSource {
    /// `NAME=PID[,PID…]`.
    pub fn of_pids(text: &str) -> Result<(String, Self), BadTarget> {
        let bad = || BadTarget::Source(text.to_owned(), "PID[,PID…]");
        let (name, pids) = text.split_once('=').ok_or_else(bad)?;
        let pids = pids.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| bad())?;
        Ok((name.to_owned(), Self::Pids(pids)))
    }

    /// `NAME=PATH`.
    pub fn of_cgroup(text: &str) -> Result<(String, Self), BadTarget> {
        let bad = || BadTarget::Source(text.to_owned(), "PATH");
        let (name, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(bad)?;
        Ok((name.to_owned(), Self::Cgroup(PathBuf::from(path))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_with_addresses_or_a_cluster_to_start() {
        let started = |name: &str, product| Ok(BenchTarget::Started { name: name.into(), product });
        assert_eq!("reference".parse(), started("reference", "reference"));
        assert_eq!("kafka".parse(), started("kafka", "kafka"));
        assert_eq!("new=reference".parse(), started("new", "reference"));
        let external = BenchTarget::External { name: "mine".into(), address: "a:1,b:2".into() };
        assert_eq!("mine=a:1+b:2".parse(), Ok(external));
        let unnamed = BenchTarget::External { name: "a:1".into(), address: "a:1".into() };
        assert_eq!("a:1".parse(), Ok(unnamed));
        for bad in ["kafak", "mine=here", "=a:1", "=kafka", "mine=a:1+b", "mine=:1", "mine=a:99999"] {
            assert_eq!(bad.parse::<BenchTarget>(), Err(BadTarget::Cluster(bad.into())));
        }
    }

    #[test]
    fn processes_are_named_by_ids_or_by_their_group() {
        assert_eq!(
            ProcessSource::of_pids("mine=12,13"),
            Ok(("mine".into(), ProcessSource::Pids(vec![12, 13])))
        );
        assert_eq!(
            ProcessSource::of_cgroup("mine=/sys/fs/cgroup/x"),
            Ok(("mine".into(), ProcessSource::Cgroup("/sys/fs/cgroup/x".into())))
        );
        assert!(ProcessSource::of_pids("12").is_err());
        assert!(ProcessSource::of_pids("mine=12,x").is_err());
        assert!(ProcessSource::of_cgroup("mine=").is_err());
    }
}
