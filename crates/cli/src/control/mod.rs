//! The channel between a running peer and the commands: JSON lines over a local socket or pipe
//! (`docs/formats/control.md`). Knows no command by name.

pub(crate) mod client;
pub(crate) mod protocol;
pub(crate) mod server;

pub(crate) use client::{Client, Pushed};
