//! Who asks on one connection, and what it was given so far.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bonfire_engine::trust::roster::Proven;
use bonfire_net::Connection;
use bonfire_proto::GameId;
use tokio::sync::Semaphore;

use super::saves::Fetched;

/// A connection that is served.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) connection: Connection,
    pub(super) memory: Arc<Semaphore>,
    /// Of which reading of the folder it was given a list without hashes. Nothing on the wire tells two readings apart that
    /// find the same names and sizes, so chunks of another reading are refused.
    given: Arc<Mutex<BTreeMap<GameId, u64>>>,
    /// Who it is.
    pub(super) proven: Proven,
    pub(super) fetched: Fetched,
}

impl Asker {
    pub(super) fn new(connection: Connection, memory: Arc<Semaphore>) -> Self {
        let proven = Proven { peer: connection.peer_id(), key_hash: connection.key_hash().0 };
        Self { connection, memory, given: Arc::default(), proven, fetched: Arc::default() }
    }

    pub(super) fn note_given(&self, game: &GameId, generation: Option<u64>) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        match generation {
            Some(generation) => given.insert(game.clone(), generation),
            None => given.remove(game),
        };
    }

    pub(super) fn may_go_on(&self, game: &GameId, generation: u64, is_read: bool) -> bool {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_read {
            // A list may have come over an earlier connection.
            given.entry(game.clone()).or_insert(generation);
        }
        given.get(game).is_none_or(|at| *at == generation)
    }
}
