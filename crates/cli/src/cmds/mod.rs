//! One file for each command.

pub(crate) mod asker;
pub(crate) mod cancel;
pub(crate) mod catalog;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod devices;
pub(crate) mod doctor;
mod find;
pub(crate) mod games;
pub(crate) mod get;
pub(crate) mod man;
pub(crate) mod peers;
pub(crate) mod play;
pub(crate) mod remove;
pub(crate) mod run;
pub(crate) mod saves;
pub(crate) mod status;
pub(crate) mod verify;
