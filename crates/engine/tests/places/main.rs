//! Places of saves through their public API: a made-up manifest, machines that exist as lists of names only.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a test may stop at the first surprise"
)]

mod disk;
mod manifest;
mod mapping;

mod matching;
mod mutated;
mod patterns;
mod prefix;
mod rules;

/// A manifest of our own, with every placeholder and tag.
const SAMPLE: &str = include_str!("sample.yaml");

fn sample() -> bonfire_engine::places::Index {
    bonfire_engine::places::manifest::parse(SAMPLE).unwrap()
}
