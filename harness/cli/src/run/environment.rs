//! Where a run takes place.

use std::path::Path;

use mqproof_core::verdict::Environment;

/// Looks around.
pub fn environment(run_dir: &Path) -> Environment {
    let read = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let load = read("/proc/loadavg").and_then(|text| text.split(' ').next().and_then(|one| one.parse().ok()));
    let name = rustix::system::uname();
    Environment {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        load_average: load,
        kernel: format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy()),
        file_system: file_system(run_dir),
        client_library: mqproof_drivers::kafka::library(),
        git_commit: option_env!("MQPROOF_GIT_COMMIT").map(str::to_owned),
        binary_crc32c: binary_checksum(),
    }
}

/// The type of the file system that holds a directory, from the list of mounts: the longest mount point that is a prefix.
fn file_system(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (point, kind) = (words.nth(1)?, words.next()?);
            dir.starts_with(point).then(|| (point.len(), kind.to_owned()))
        })
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind)
}

fn binary_checksum() -> Option<String> {
    let bytes = std::fs::read(std::env::current_exe().ok()?).ok()?;
    Some(format!("{:08x}", crc32c::crc32c(&bytes)))
}
