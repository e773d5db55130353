//! The directory of a run: `run.json`, `cells/`, and at the end the verdicts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Zoned;
use mqproof_core::verdict::Environment;
use serde::{Deserialize, Serialize};

/// `run.json`: what was started, written before anything runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run's id.
    pub id: String,
    /// Stands in the header of every message.
    pub number: u64,
    /// The seed.
    pub seed: u64,
    /// When it started, RFC 3339.
    pub started: String,
    /// The command line.
    pub command: Vec<String>,
    /// Version of mqproof.
    pub version: String,
    /// The process that runs it.
    pub pid: u32,
    /// The boot in which that process lives.
    pub boot_id: String,
    /// Where it runs.
    pub environment: Environment,
    /// Whether it came to its end.
    pub finished: bool,
}

/// The directory of a run.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Makes a new directory: `out`, which must be missing or empty, or one named after the time under `reports/`.
    pub fn create(out: Option<&Path>, now: &Zoned) -> io::Result<(Self, String)> {
        if let Some(out) = out {
            fs::create_dir_all(out)?;
            if fs::read_dir(out)?.next().is_some() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the directory is not empty"));
            }
            fs::create_dir(out.join("cells"))?;
            let id = out.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy().into_owned());
            return Ok((Self { path: out.to_owned() }, id));
        }
        let reports = Path::new("reports");
        fs::create_dir_all(reports)?;
        let stem = now.strftime("%Y%m%d-%H%M%S").to_string();
        for attempt in 0..100 {
            let id = if attempt == 0 { stem.clone() } else { format!("{stem}-{attempt}") };
            let path = reports.join(&id);
            match fs::create_dir(&path) {
                Ok(()) => {
                    fs::create_dir(path.join("cells"))?;
                    return Ok((Self { path }, id));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "a hundred runs started in this second"))
    }

    /// A run that exists.
    pub fn open(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of a cell.
    pub fn cell(&self, id: &str) -> PathBuf {
        self.path.join("cells").join(id)
    }

    /// Writes a file of the run, whole or not at all.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}.part"));
        fs::write(&temporary, text)?;
        fs::rename(temporary, self.path.join(name))
    }

    /// Writes `run.json`.
    pub fn write_record(&self, record: &RunRecord) -> io::Result<()> {
        self.write("run.json", &serde_json::to_string_pretty(record).expect("a record is plain data"))
    }

    /// Reads `run.json`.
    pub fn record(&self) -> io::Result<RunRecord> {
        Ok(serde_json::from_str(&fs::read_to_string(self.path.join("run.json"))?)?)
    }
}
