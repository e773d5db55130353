//! Which image a product's nodes are started from: the one that the environment names, else the official one if it is
//! there, else the local build.

use super::engine::Present;
use super::error::ImageError;
use super::registry::{Image, find};

/// Where the name of an image comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An environment variable.
    Environment(&'static str),
    /// The product's makers.
    Official,
    /// `mqproof images build`.
    LocalBuild,
}

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRef {
    /// As the engine knows it.
    pub reference: String,
    /// Where the name comes from.
    pub origin: Origin,
    /// The product's version: what a local build says of itself, else what the registry expects.
    pub version: String,
    /// The image's content hash, `sha256:…`.
    pub id: String,
}

/// The image of a product's variant. `present` asks the engine for an image; nothing is pulled.
///
/// # Errors
/// [`ImageError::Missing`] names the ways to get one; [`ImageError::UnknownName`] for a variant that does not exist.
pub fn resolve(
    product: &str,
    variant: &str,
    present: impl Fn(&str) -> Result<Option<Present>, ImageError>,
) -> Result<ImageRef, ImageError> {
    let image = find(product, variant)?;
    choose(image, std::env::var(image.variable).ok(), present)
}

/// The references that an image may have, in the order in which they are tried; one from the environment is the only one.
pub fn candidates(image: &Image, named: Option<String>) -> Vec<(Origin, String)> {
    if let Some(reference) = named.filter(|name| !name.is_empty()) {
        return vec![(Origin::Environment(image.variable), reference)];
    }
    let official = image.official.map(|name| (Origin::Official, name.to_owned()));
    official.into_iter().chain([(Origin::LocalBuild, image.local.to_owned())]).collect()
}

fn choose(
    image: &Image,
    named: Option<String>,
    present: impl Fn(&str) -> Result<Option<Present>, ImageError>,
) -> Result<ImageRef, ImageError> {
    let candidates = candidates(image, named);
    for (origin, reference) in &candidates {
        if let Some(found) = present(reference)? {
            return Ok(ImageRef {
                reference: reference.clone(),
                origin: *origin,
                version: found.version.unwrap_or_else(|| image.version.to_owned()),
                id: found.id,
            });
        }
    }
    let (origin, reference) = &candidates[0];
    if let Origin::Environment(variable) = *origin {
        return Err(ImageError::MissingOverride { image: reference.clone(), variable });
    }
    let build = format!("`mqproof images build {}`", image.name);
    let hint = match image.official {
        Some(official) => format!("`docker pull {official}`, or where no registry answers {build}"),
        None => build,
    };
    Err(ImageError::Missing { image: reference.clone(), hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(version: Option<&str>) -> Present {
        Present { id: "sha256:1".into(), version: version.map(str::to_owned), bytes: 1 }
    }

    fn rabbit() -> &'static Image {
        find("rabbitmq", "4.0").expect("an image")
    }

    #[test]
    fn the_official_image_comes_before_the_local_build() {
        let image = choose(rabbit(), None, |_| Ok(Some(found(None)))).expect("an image");
        assert_eq!(image.reference, "rabbitmq:4.0-management");
        assert_eq!(image.origin, Origin::Official);
        assert_eq!(image.version, "4.0.5");
    }

    #[test]
    fn a_local_build_is_taken_where_the_official_image_is_not_there_and_says_its_version() {
        let only_ours = |name: &str| Ok((name == "mqproof/rabbitmq:4.0").then(|| found(Some("4.0.9"))));
        let image = choose(rabbit(), None, only_ours).expect("an image");
        assert_eq!((image.origin, image.version.as_str()), (Origin::LocalBuild, "4.0.9"));
    }

    #[test]
    fn an_image_that_the_environment_names_is_the_only_one_tried() {
        let named = Some("corp/rabbit:1".to_owned());
        let image = choose(rabbit(), named.clone(), |_| Ok(Some(found(None)))).expect("an image");
        assert_eq!(image.reference, "corp/rabbit:1");
        let all_but_it = |name: &str| Ok((name != "corp/rabbit:1").then(|| found(None)));
        let error = choose(rabbit(), named, all_but_it).expect_err("it is missing").to_string();
        assert!(error.contains("corp/rabbit:1") && error.contains("MQPROOF_IMAGE_RABBITMQ_4_0"), "{error}");
        let empty = choose(rabbit(), Some(String::new()), |_| Ok(Some(found(None)))).expect("an image");
        assert_eq!(empty.origin, Origin::Official);
    }

    #[test]
    fn a_missing_image_is_named_with_both_ways_to_get_it() {
        let error = choose(rabbit(), None, |_| Ok(None)).expect_err("it is missing").to_string();
        assert!(error.contains("docker pull rabbitmq:4.0-management"), "{error}");
        assert!(error.contains("mqproof images build rabbitmq@4.0"), "{error}");
        let mended = find("rocketmq", "fastjson2").expect("an image");
        let error = choose(mended, None, |_| Ok(None)).expect_err("it is missing").to_string();
        assert!(!error.contains("docker pull") && error.contains("build rocketmq@fastjson2"), "{error}");
    }
}
