//! What is known of the live files of each save set, so that a file that did not change is not read again, also after a
//! restart.
//!
//! Owns the form in which a listing is stored: JSON, packed. A listing that is lost or damaged costs reading and nothing
//! else.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bonfire_disk::saves::{Listed, Listing};
use bonfire_engine::saves::work::SetKey;

use crate::blocking::Database;
use crate::errors::chain;

/// zstd's own default: a listing is mostly hashes, which no level packs.
const LEVEL: i32 = 3;
/// Longest listing that is unpacked: as many files as a save may have, with a kilobyte for each.
const LEN_MAX: u64 = 256 << 20;

/// Listings by save set.
#[derive(Debug)]
pub(super) struct Listings {
    database: Database,
    known: Mutex<BTreeMap<SetKey, Listing>>,
}

impl Listings {
    pub(super) fn new(database: Database) -> Self {
        Self { database, known: Mutex::default() }
    }

    /// What is known of a set. To be called where blocking is allowed.
    pub(super) fn get(&self, set: &SetKey) -> Listing {
        if let Some(known) = self.lock().get(set) {
            return known.clone();
        }
        let stored = self.database.with(|s| s.listing(set)).unwrap_or_else(|error| {
            tracing::warn!("what is known of a save's files cannot be read: {}", chain(&error));
            None
        });
        let listing = stored.and_then(|bytes| unpack(&bytes)).unwrap_or_default();
        self.lock().insert(set.clone(), listing.clone());
        listing
    }

    /// Notes what is known now. To be called where blocking is allowed.
    pub(super) fn put(&self, set: &SetKey, listing: Listing) {
        let is_known = self.lock().get(set) == Some(&listing);
        if is_known {
            return;
        }
        let packed = pack(&listing);
        self.lock().insert(set.clone(), listing);
        let Some(bytes) = packed else { return };
        if let Err(error) = self.database.with(|s| s.put_listing(set, Some(&bytes))) {
            tracing::warn!("what is known of a save's files cannot be stored: {}", chain(&error));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SetKey, Listing>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path stands in each entry already, so the keys are left out.
fn pack(listing: &Listing) -> Option<Vec<u8>> {
    let files: Vec<&Listed> = listing.values().collect();
    let packed = serde_json::to_vec(&files).map_err(std::io::Error::from);
    match packed.and_then(|json| zstd::bulk::compress(&json, LEVEL)) {
        Ok(packed) => Some(packed),
        Err(error) => {
            tracing::warn!("what is known of a save's files cannot be packed: {error}");
            None
        }
    }
}

fn unpack(bytes: &[u8]) -> Option<Listing> {
    use std::io::Read;
    let mut json = Vec::new();
    let read = zstd::stream::read::Decoder::new(bytes).and_then(|d| d.take(LEN_MAX).read_to_end(&mut json));
    let files = read.and_then(|_| serde_json::from_slice::<Vec<Listed>>(&json).map_err(Into::into));
    match files {
        Ok(files) => Some(files.into_iter().map(|f| (f.entry.path.clone(), f)).collect()),
        Err(error) => {
            tracing::warn!("what is known of a save's files is damaged, they are read again: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_listing_is_as_none() {
        assert!(unpack(b"no frame").is_none());
        assert_eq!(unpack(&pack(&Listing::new()).unwrap()), Some(Listing::new()));
    }
}
