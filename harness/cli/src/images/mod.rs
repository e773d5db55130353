//! Container images of the real products: which one a node is started from, and local builds of them.
//!
//! In:  a product and a variant. Out: the reference of an image that is there, or what to do about it.
//! Owns: the registry of names and, under `images/`, the files that local builds are made of.
//! Never: pulls an image; starts a container.

mod build;
mod context;
mod engine;
mod error;
mod recipe;
mod registry;
mod resolve;
mod table;
mod tool;

pub use build::Builder;
pub use engine::{Present, connect, present};
pub use error::{ImageError, NoEngine};
pub use registry::{IMAGES, named};
pub use resolve::{ImageRef, resolve};
pub use table::table;
