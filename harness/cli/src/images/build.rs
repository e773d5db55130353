//! Makes local builds.

use std::collections::HashMap;
use std::fs::File;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::query_parameters as query;
use futures_util::StreamExt;

use super::context::{Archive, Context};
use super::engine::present;
use super::error::ImageError;
use super::recipe::{MAKE_DEBIAN, Recipe, Source, with_bases};
use super::tool::{DEBOOTSTRAP, JAVA, MAVEN, last, run_script};

/// The longest that one request of a build may wait for its answer: a mirror may be slow.
const STEP_WITHIN: Duration = Duration::from_mins(30);

/// Makes local builds, and says what it does.
pub struct Builder<'a> {
    docker: Docker,
    is_fresh: bool,
    say: &'a dyn Fn(&str),
}

impl<'a> Builder<'a> {
    /// With `is_fresh` nothing that an earlier build left is used again.
    pub fn new(docker: Docker, is_fresh: bool, say: &'a dyn Fn(&str)) -> Self {
        Self { docker: docker.with_timeout(STEP_WITHIN), is_fresh, say }
    }

    /// Makes the builds with these tags, after what they are on top of.
    pub async fn build(&self, tags: &[&str]) -> Result<(), ImageError> {
        let recipes = with_bases(tags);
        if recipes.iter().any(|recipe| matches!(recipe.source, Source::Dockerfile { jars: Some(_), .. })) {
            MAVEN.require()?;
            JAVA.require()?;
        }
        for recipe in recipes {
            let begun = Instant::now();
            let is_made = match &recipe.source {
                Source::Debian { suite, instead } => self.debian(recipe, suite, instead).await?,
                Source::Dockerfile { files, arguments, jars, .. } => {
                    self.dockerfile(recipe.tag, files, arguments, *jars).await?;
                    true
                }
            };
            let bytes = present(&self.docker, recipe.tag).await?.map_or(0, |image| image.bytes);
            let done = if is_made { "built in" } else { "there already," };
            (self.say)(&format!(
                "{}: {done} {} s, {} MB",
                recipe.tag,
                begun.elapsed().as_secs(),
                bytes / 1_000_000
            ));
        }
        Ok(())
    }

    /// A minimal Debian: one that is there, else the official one under our name, else one of our own making.
    async fn debian(&self, recipe: &Recipe, suite: &str, instead: &str) -> Result<bool, ImageError> {
        if !self.is_fresh && present(&self.docker, recipe.tag).await?.is_some() {
            return Ok(false);
        }
        if present(&self.docker, instead).await?.is_some() {
            (self.say)(&format!("{}: is `{instead}`", recipe.tag));
            let (repo, tag) = split(recipe.tag);
            let options = query::TagImageOptionsBuilder::new().repo(repo).tag(tag).build();
            self.docker.tag_image(instead, Some(options)).await.map_err(refused(recipe.tag))?;
            return Ok(true);
        }
        DEBOOTSTRAP.require()?;
        if !rustix::process::geteuid().is_root() {
            return Err(ImageError::NeedsRoot { instead: instead.to_owned() });
        }
        (self.say)(&format!("{}: debootstrap {suite}", recipe.tag));
        let made = tempfile::NamedTempFile::new().map_err(ImageError::io("cannot make a file for a base"))?;
        let out = File::create(made.path()).map_err(ImageError::io("cannot write a base"))?;
        run_script("make.sh", MAKE_DEBIAN, suite, out).await?;
        let (repo, tag) = split(recipe.tag);
        let options = query::CreateImageOptionsBuilder::new().from_src("-").repo(repo).tag(tag).build();
        let body = bollard::body_try_stream(Archive::open(made.path())?.parts());
        let mut answer = std::pin::pin!(self.docker.create_image(Some(options), Some(body), None));
        while let Some(part) = answer.next().await {
            part.map_err(refused(recipe.tag))?;
        }
        Ok(true)
    }

    async fn dockerfile(
        &self,
        tag: &str,
        files: &[(&str, &str)],
        arguments: &[(&str, &str)],
        jars: Option<&str>,
    ) -> Result<(), ImageError> {
        let context = Context::with(files)?;
        if let Some(profile) = jars {
            (self.say)(&format!("{tag}: jars from Maven Central"));
            context.add_jars(profile).await?;
        }
        // The host's network: without it a container may reach no mirror.
        let options = query::BuildImageOptionsBuilder::new()
            .t(tag)
            .networkmode("host")
            .buildargs(&arguments.iter().copied().collect::<HashMap<_, _>>())
            .nocache(self.is_fresh)
            .rm(true)
            .forcerm(true)
            .build();
        let body = bollard::body_try_stream(context.pack().await?.parts());
        let mut answer = std::pin::pin!(self.docker.build_image(options, None, Some(body)));
        let mut printed = Vec::new();
        while let Some(part) = answer.next().await {
            let info = part.map_err(|why| {
                printed.push(why.to_string());
                ImageError::Build { what: format!("the build of `{tag}`"), output: last(&printed) }
            })?;
            for line in info.stream.iter().flat_map(|text| text.lines()).filter(|line| !line.is_empty()) {
                if line.starts_with("Step ") {
                    (self.say)(&format!("{tag}: {}", shortened(line)));
                }
                printed.push(line.to_owned());
            }
        }
        Ok(())
    }
}

fn refused(tag: &str) -> impl FnOnce(bollard::errors::Error) -> ImageError {
    let what = format!("image {tag}");
    move |why| ImageError::Engine { what, why: why.to_string() }
}

fn split(tag: &str) -> (&str, &str) {
    tag.split_once(':').expect("a tag has a version")
}

/// Of a step that spans lines, its beginning.
fn shortened(line: &str) -> String {
    const COLUMNS: usize = 72;
    let mut text: String = line.chars().take(COLUMNS).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    text
}
