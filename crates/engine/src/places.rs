//! Where a game keeps its saves: a manifest of many games in, and for one game on one machine the roots of its save set
//! out, under labels that are the same on every machine.
//!
//! Pure: text and facts go in, declarations come out. What lies on the disk is asked through `Existing`. Nothing is
//! guessed: what cannot be placed is returned with its reason, and a person declares it by hand. Does not read files,
//! fetch manifests, or capture saves.

pub mod index;
pub mod manifest;
pub mod matching;

pub use index::{Index, Title};
pub use manifest::ManifestError;
pub use matching::{Match, TitleNames};
