//! The rules of saves: what is older than what, what to do with a disk, what may be pruned, what a push may replace.
//!
//! Owns no state of a running peer: each file is a rule that stands alone, over the snapshots of one slot of one game of
//! one player. Ancestry decides, content is compared by hash, clocks order lists and nothing else. Refuses to read a disk,
//! to fetch, or to know which device is connected.

pub mod compare;
pub mod decide;
pub mod desk;
pub mod join;
pub mod lineage;
pub mod retention;
pub mod slot;
pub mod stale;
pub mod work;

pub use decide::{Action, Decision, Disk, Other, Row, Situation, decide};
pub use lineage::{Lineage, Node, Relation};

#[cfg(test)]
mod tests;
