//! What runs that were killed left on the disk.
//!
//! Their processes died with them; what the brokers stored stays until the next run or `mqproof heal` sweeps it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::RunDirectory;

/// Data of brokers whose run is over or dead.
#[derive(Clone, Debug)]
pub struct Leftover {
    /// The run.
    pub run: String,
    /// What is left.
    pub data: PathBuf,
}

impl Leftover {
    /// Removes it.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.data)
    }
}

/// Looks through the runs under `reports` for data of runs that died. A run that kept its data finished, and is left alone.
pub fn leftovers(reports: &Path) -> Vec<Leftover> {
    let mut found = Vec::new();
    for run in subdirectories(reports) {
        let Ok(record) = RunDirectory::open(&run).record() else { continue };
        let same_boot = record.boot_id == mqproof_drivers::clock::boot_id();
        let lives = same_boot && Path::new(&format!("/proc/{}", record.pid)).exists();
        if record.finished || lives {
            continue;
        }
        for cell in subdirectories(&run.join("cells")) {
            let data = crate::conduct::data_dir(&cell);
            if data.is_dir() {
                found.push(Leftover { run: record.id.clone(), data });
            }
        }
    }
    found
}

fn subdirectories(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut all: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    all.sort();
    all
}
