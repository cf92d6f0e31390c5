//! The program as a person and a script meet it: the built binary, its exit codes, its lines.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod harness;

mod catalog;
mod demo;
mod doctor;
mod installs;
#[cfg(unix)]
mod interrupt;
mod manifest;
mod pages;
#[cfg(unix)]
mod play;
mod running;
mod transfers;
mod usage;
