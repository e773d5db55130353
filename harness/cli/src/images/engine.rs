//! The container engine, as far as images need it.

use std::time::Duration;

use bollard::Docker;

use super::error::{ImageError, NoEngine};

/// How long the engine may take to say which versions of its protocol it speaks.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The label of a local build that tells its product's version.
const VERSION_LABEL: &str = "mqproof.version";

/// An image that the engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Its content hash.
    pub id: String,
    /// The product's version, if the image says it.
    pub version: Option<String>,
    /// What it takes on the disk.
    pub bytes: u64,
}

/// Connects to the engine that `DOCKER_HOST` names, else to the local socket, in the newest version of the protocol that
/// both sides know.
pub async fn connect() -> Result<Docker, NoEngine> {
    let no_engine = |why: bollard::errors::Error| NoEngine { why: why.to_string() };
    let docker = Docker::connect_with_defaults().map_err(no_engine)?;
    tokio::time::timeout(ANSWER_WITHIN, docker.negotiate_version())
        .await
        .map_err(|_| NoEngine { why: "no answer".into() })?
        .map_err(no_engine)
}

/// What the engine knows of an image; None: it has none of that name.
pub async fn present(docker: &Docker, reference: &str) -> Result<Option<Present>, ImageError> {
    match docker.inspect_image(reference).await {
        Ok(image) => Ok(Some(Present {
            id: image.id.unwrap_or_default(),
            version: image.config.and_then(|config| config.labels?.remove(VERSION_LABEL)),
            bytes: image.size.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
        })),
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(why) => Err(ImageError::Engine { what: format!("image {reference}"), why: why.to_string() }),
    }
}
