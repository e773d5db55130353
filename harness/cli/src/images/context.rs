//! What a build is made of, as one archive.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use futures_util::Stream;
use tempfile::TempDir;

use super::error::ImageError;
use super::tool::{MAVEN, TAR};

/// How much of an archive goes to the engine at once.
const PART_BYTES: usize = 1 << 16;
/// Pinned, so that another Maven copies the same.
const COPY_DEPENDENCIES: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies";

/// A directory that goes away with this value.
pub struct Context {
    dir: TempDir,
}

impl Context {
    /// A directory with these files.
    pub fn with(files: &[(&str, &str)]) -> Result<Self, ImageError> {
        let dir = tempfile::Builder::new()
            .prefix("mqproof-image-")
            .tempdir()
            .map_err(ImageError::io("cannot make a directory for a build"))?;
        for (name, text) in files {
            let file = dir.path().join("context").join(name);
            write(&file, text).map_err(ImageError::io(format!("cannot write `{}`", file.display())))?;
        }
        Ok(Self { dir })
    }

    /// Adds the jars of a profile of its `pom.xml` as `libs`.
    pub async fn add_jars(&self, profile: &str) -> Result<(), ImageError> {
        let context = self.dir.path().join("context");
        let pom = context.join("pom.xml");
        let libs = format!("-DoutputDirectory={}", context.join("libs").display());
        MAVEN
            .run(&[
                "--batch-mode",
                "--no-transfer-progress",
                "--file",
                &pom.to_string_lossy(),
                "--activate-profiles",
                profile,
                COPY_DEPENDENCIES,
                "-DincludeScope=runtime",
                &libs,
            ])
            .await
    }

    /// All of it, as an archive.
    pub async fn pack(&self) -> Result<Archive, ImageError> {
        let (context, archive) = (self.dir.path().join("context"), self.dir.path().join("context.tar"));
        TAR.run(&["-C", &context.to_string_lossy(), "-cf", &archive.to_string_lossy(), "."]).await?;
        Archive::open(&archive)
    }
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(file, text)
}

/// A file that the engine is sent part by part.
pub struct Archive {
    file: File,
}

impl Archive {
    /// The file of that name.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let file = File::open(path).map_err(ImageError::io(format!("cannot read `{}`", path.display())))?;
        Ok(Self { file })
    }

    /// Its parts.
    pub fn parts(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        futures_util::stream::iter(self)
    }
}

impl Iterator for Archive {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut part = vec![0; PART_BYTES];
        match self.file.read(&mut part) {
            Ok(0) => None,
            Ok(length) => {
                part.truncate(length);
                Some(Ok(part.into()))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_archive_holds_all_files_and_its_directory_goes_away() {
        let long = "x".repeat(3 * PART_BYTES);
        let context =
            Context::with(&[("Dockerfile", "FROM scratch"), ("bin/run", &long)]).expect("a context");
        let dir = context.dir.path().to_owned();
        let archive = context.pack().await.expect("an archive");
        let parts: Vec<Bytes> = archive.map(|part| part.expect("a part")).collect();
        assert!(parts.len() > 3);
        let text = String::from_utf8_lossy(&parts.concat()).into_owned();
        assert!(text.contains("./Dockerfile") && text.contains("FROM scratch") && text.contains("./bin/run"));
        drop(context);
        assert!(!dir.exists());
    }
}
