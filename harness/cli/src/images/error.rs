//! Why there is no image.

use std::io;

/// No container engine answers.
#[derive(Debug, thiserror::Error)]
#[error(
    "no container engine answers: {why}\nhint: start one (Debian: `apt-get install docker.io`, then `dockerd`), or name one with `DOCKER_HOST`"
)]
pub struct NoEngine {
    /// What the engine's client said.
    pub why: String,
}

/// Why there is no image. All but [`ImageError::UnknownName`] are of the environment.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No container engine.
    #[error(transparent)]
    NoEngine(#[from] NoEngine),
    /// The container engine refused.
    #[error("the container engine: {what}: {why}")]
    Engine {
        /// What it was asked.
        what: String,
        /// What it answered.
        why: String,
    },
    /// Nobody knows an image of that name.
    #[error("unknown image `{name}`\nhint: known images are {known}")]
    UnknownName {
        /// As given.
        name: String,
        /// What there is.
        known: String,
    },
    /// An image is missing.
    #[error("the image `{image}` is not there\nhint: {hint}")]
    Missing {
        /// The reference.
        image: String,
        /// The ways to get it.
        hint: String,
    },
    /// The environment names an image that is missing.
    #[error(
        "the image `{image}`, which `{variable}` names, is not there\nhint: `docker pull {image}`, or unset `{variable}`"
    )]
    MissingOverride {
        /// The reference.
        image: String,
        /// The environment variable.
        variable: &'static str,
    },
    /// A program of the system is missing.
    #[error("`{name}` is not installed\nhint: Debian's package is `{package}`")]
    NoTool {
        /// The program.
        name: &'static str,
        /// The package that brings it.
        package: &'static str,
    },
    /// Only root can make a Debian.
    #[error("a base image of Debian is made by root only\nhint: run as root, or `docker pull {instead}`")]
    NeedsRoot {
        /// The official image that may take its place.
        instead: String,
    },
    /// A step of a build failed.
    #[error("{what} failed\n{output}")]
    Build {
        /// The step.
        what: String,
        /// The last lines that it printed.
        output: String,
    },
    /// Somebody pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// A file or process of ours could not be made.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl ImageError {
    /// A closure that wraps what the system said.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
