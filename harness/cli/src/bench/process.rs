//! What processes used: processor time and memory, as the kernel says.

use std::fs;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

use super::target::ProcessSource;

impl ProcessSource {
    /// Their ids now.
    pub fn pids(&self) -> Vec<u32> {
        match self {
            Self::Pids(pids) => pids.clone(),
            Self::Cgroup(path) => {
                let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
                text.lines().filter_map(|line| line.parse().ok()).collect()
            }
        }
    }

    /// Seconds of processor time that all of them together used since they began; None where one of them cannot be looked at.
    pub fn cpu_s(&self) -> Option<f64> {
        self.sum(cpu_s)
    }

    /// Bytes of memory that all of them together have resident.
    pub fn resident_bytes(&self) -> Option<f64> {
        self.sum(resident_bytes)
    }

    fn sum(&self, one: fn(u32) -> Option<f64>) -> Option<f64> {
        let pids = self.pids();
        if pids.is_empty() {
            return None;
        }
        pids.into_iter().map(one).sum()
    }
}

/// Seconds of processor time of this process.
pub fn own_cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn cpu_s(pid: u32) -> Option<f64> {
    let ticks = ticks_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    Some(ticks as f64 / clock_ticks_per_second() as f64)
}

/// User and system time of a line of `/proc/PID/stat`: fields 14 and 15. The second field is the command in parentheses,
/// which may hold anything.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(") ")?;
    let mut fields = after.split(' ').skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
}

fn resident_bytes(pid: u32) -> Option<f64> {
    resident_of(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// The line `VmRSS:    1234 kB`.
fn resident_of(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_blanks_and_parentheses() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 9 9 20 0 1 0 5 6 7";
        assert_eq!(ticks_of(stat), Some(300));
        assert_eq!(ticks_of("7 (a) S 1"), None);
    }

    #[test]
    fn resident_memory_is_told_in_kib() {
        assert_eq!(resident_of("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n"), Some(2_097_152.0));
        assert_eq!(resident_of("Name:\tkthread\n"), None);
    }

    #[test]
    fn one_process_that_is_gone_makes_the_sum_unknown_rather_than_smaller() {
        let own = std::process::id();
        assert!(ProcessSource::Pids(vec![own]).resident_bytes().expect("it runs") > 100_000.0);
        assert!(ProcessSource::Pids(vec![own]).cpu_s().is_some());
        assert_eq!(ProcessSource::Pids(vec![own, u32::MAX]).cpu_s(), None);
        assert_eq!(ProcessSource::Pids(Vec::new()).cpu_s(), None);
        assert_eq!(ProcessSource::Cgroup("/no/such/group".into()).resident_bytes(), None);
    }
}
