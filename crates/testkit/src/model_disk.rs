//! A disk in memory that keeps apart what is durable and what a crash may lose, and an explorer of its crash states.
//!
//! The model is stricter than any file system in use: every step that was not synced may be lost or kept on its own, in
//! any combination, and written bytes may be torn or turn to garbage. What is durable: the content of a file after its
//! `sync`, the names of a folder after `sync_dir` of that folder. A rename is one step.

mod content;
mod explore;
mod fs;
pub mod installs;
mod sabotage;
pub mod saves;
mod scenario;
mod state;

pub use content::Content;
pub use explore::{Effort, Report, explore};
pub use fs::{Failure, ModelFs};
pub use sabotage::{Bug, Sabotage};
pub use scenario::{Ack, SCENARIOS, Scenario, Stage};
pub use state::{Disk, Image, Node};
