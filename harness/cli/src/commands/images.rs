//! `mqproof images`: what is there, and local builds.

use clap::{Args, Subcommand};
use tokio::runtime::Runtime;

use crate::failure::Failure;
use crate::images::{self, Builder, IMAGES, ImageError};

/// What to do with images.
#[derive(Subcommand)]
pub enum ImagesCommand {
    /// List the images, where their names come from, and which of them are there
    List,
    /// Build local equivalents of the official images, for machines that reach no registry
    Build(BuildArgs),
}

/// Arguments of `mqproof images build`.
#[derive(Args)]
pub struct BuildArgs {
    /// Which, as in `mqproof images list`; all of them without a name
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Use nothing that an earlier build left
    #[arg(long)]
    fresh: bool,
}

/// Does what was asked.
pub fn run(command: &ImagesCommand) -> Result<u8, Failure> {
    let runtime = Runtime::new()?;
    match command {
        ImagesCommand::List => list(&runtime),
        ImagesCommand::Build(args) => build(&runtime, args),
    }
    .map_err(|error| match error {
        ImageError::UnknownName { .. } => Failure::input(error.to_string()),
        _ => Failure::environment(error.to_string()),
    })?;
    Ok(0)
}

fn list(runtime: &Runtime) -> Result<(), ImageError> {
    let docker = runtime.block_on(images::connect())?;
    let present = |reference: &str| runtime.block_on(images::present(&docker, reference));
    print!("{}", images::table(|variable| std::env::var(variable).ok(), present)?);
    println!("\nAnother image: name it in `MQPROOF_IMAGE_…`. A local build: `mqproof images build NAME`.");
    Ok(())
}

fn build(runtime: &Runtime, args: &BuildArgs) -> Result<(), ImageError> {
    let tags: Vec<&str> = match args.names.as_slice() {
        [] => IMAGES.iter().map(|image| image.local).collect(),
        names => {
            names.iter().map(|name| Ok(images::named(name)?.local)).collect::<Result<_, ImageError>>()?
        }
    };
    let say = |line: &str| eprintln!("{line}");
    runtime.block_on(async {
        let docker = images::connect().await?;
        let builder = Builder::new(docker, args.fresh, &say);
        tokio::select! {
            done = builder.build(&tags) => done,
            _ = tokio::signal::ctrl_c() => Err(ImageError::Interrupted),
        }
    })
}
