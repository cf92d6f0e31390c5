//! Who is trusted with what: the secrets two devices pair by, the rules around them, and the one gate of every request.
//!
//! Rules over plain data. Proofs of knowing a secret, keys and streams are `bonfire-net`'s; what is stored is the caller's.

pub mod devices;
pub mod gate;
pub mod pairs;
pub mod roster;
pub mod scopes;
pub mod secret;
pub mod sessions;

pub use bonfire_proto::message_pair::DeviceRole;
pub use gate::{RequestKind, Standing, gate};
pub use roster::{Member, Proven, Roster};
pub use scopes::{Scope, Scopes};
pub use secret::{PairCode, PairToken, Secret, SecretError};
