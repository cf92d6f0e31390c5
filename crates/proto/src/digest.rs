//! Hashing of structured values: every field is length-prefixed, so no two different lists hash alike by moving a
//! boundary ("ab","c" against "a","bc").

use sha2::{Digest as _, Sha256};

use crate::ids::Digest;

/// SHA-256 over length-prefixed fields.
#[derive(Debug, Clone, Default)]
pub struct FieldHasher(Sha256);

impl FieldHasher {
    /// An empty hasher.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one field: its length as 8 bytes, big-endian, then its bytes.
    pub fn field(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a number as a field of 8 bytes, big-endian.
    pub fn number(&mut self, n: u64) -> &mut Self {
        self.field(&n.to_be_bytes())
    }

    /// Adds an optional field: a field of one byte (0 or 1), then the value if there is one.
    pub fn option(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            None => self.field(&[0]),
            Some(b) => self.field(&[1]).field(b),
        }
    }

    /// The digest.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}
