//! One file for each command.

pub(crate) mod cancel;
pub(crate) mod catalog;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod games;
pub(crate) mod get;
pub(crate) mod man;
pub(crate) mod peers;
pub(crate) mod remove;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod verify;
