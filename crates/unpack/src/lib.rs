//! Reading archives for installs: what is in them, and everything out of them into a folder that only takes new files.
//!
//! Every format writes through one loop (`policy`), which believes nothing that an archive says: names, kinds, doubles,
//! counts and sizes are bounded on what comes out. Untrusted bytes are meant to be read by a process with the least
//! rights: `child` is that process, `Unpacker` the side that starts it. Which archives a game has is decided by
//! `package`. What is installed when, and what becomes of staging afterwards, is decided elsewhere.

pub mod child;
pub mod error;
pub mod format;
pub mod limits;
pub mod parts;
pub mod place;
pub mod source;

mod bsdtar;
mod job;
mod names;
mod package;
mod policy;
mod protocol;
mod read;
mod runner;
mod sandbox;

pub use error::{UnpackError, Why};
pub use format::Format;
pub use job::{ArchiveFile, Expanded, Extracted, extract, list};
pub use limits::Limits;

pub use package::{Package, package};
pub use parts::{Payload, PayloadFile, group};
pub use place::{Only, Place, Sink, Staging};
pub use policy::{Control, Unattended};
pub use protocol::Granted;
pub use runner::{Cancel, Job, Progress, Unpacker, find_bsdtar, is_sayable};
pub use source::{Bytes, Source};
