//! Where a game keeps its saves: a manifest of many games in, and for one game on one machine the roots of its save set
//! out, under labels that are the same on every machine.
//!
//! Pure: text and facts go in, declarations come out. What lies on the disk is asked through `Existing`. Nothing is
//! guessed: what cannot be placed is returned with its reason, and a person declares it by hand. Does not read files,
//! fetch manifests, or capture saves.

pub mod facts;
pub mod index;
pub mod labels;
pub mod lookup;
pub mod manifest;
pub mod mapping;
pub mod matching;
pub mod pattern;
pub mod placeholders;
pub mod prefix;
pub mod roots;
pub mod rule_path;

pub use facts::{Environment, Existing, GameFacts, Listing, Places};
pub use index::{Index, Source, Title};
pub use manifest::ManifestError;
pub use mapping::{Choice, place};
pub use matching::{Match, TitleNames};
pub use roots::{Root, SaveRoots, Shape, Skipped, Spelled, Spellings};
