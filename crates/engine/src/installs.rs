//! Rules of installs: what of the previous install is the player's, and what becomes of it in an update.
//!
//! Pure. What lies on the disk is read, and what is decided here carried out, by `bonfire-disk`; which transaction comes
//! when is `transfers`'.

mod carry;
mod commands;
mod mend;
mod playing;
mod start;

pub use carry::{Carried, Carry, Keep, Known, Origin, carry, origin};
pub(crate) use commands::installed;
pub use mend::{Fault, fault, set_aside};
pub(crate) use playing::Plays;
pub use start::{NoStart, PLATFORMS, StartCommand, legal};
