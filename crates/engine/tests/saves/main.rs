//! The rules of saves from outside: the decision table against an oracle, and devices that follow only these rules.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a test may stop at the first surprise"
)]

mod arranged;
mod cases;
mod history;
mod looks;
mod oracle;
mod planted;
mod properties;
mod table;
mod world;
