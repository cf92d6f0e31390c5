//! Who is trusted with what: the secrets two devices pair by, the rules around them, and the one gate of every request.
//!
//! Rules over plain data. Proofs of knowing a secret, keys and streams are `bonfire-net`'s; what is stored is the caller's.

pub mod secret;
pub mod sessions;

pub use secret::{PairCode, PairToken, Secret, SecretError};
