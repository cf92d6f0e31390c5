//! What workers share: the games folder, the state database, how to block, what time it is, what nobody can foresee.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bonfire_disk::GamesFolder;
use bonfire_engine::{ErrorClass, Report};

use crate::blocking::{Blocking, Database};

/// The wall clock, for showing times, and to tell a file that was written to since something was asked for.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds since 1970-01-01 UTC.
    fn unix_ms(&self) -> u64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_ms(&self) -> u64 {
        // A clock before 1970 is shown as 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }
}

/// What nobody can foresee.
pub trait Random: Send + Sync + std::fmt::Debug {
    /// Bytes that nobody was given before.
    ///
    /// # Errors
    /// When the system has none.
    fn bytes(&self) -> Result<[u8; 32], Report>;
}

/// The machine's randomness.
#[derive(Debug, Clone, Copy)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn bytes(&self) -> Result<[u8; 32], Report> {
        let random = ring::rand::generate::<[u8; 32]>(&ring::rand::SystemRandom::new());
        random.map(ring::rand::Random::expose).map_err(|_| {
            Report::new(ErrorClass::Environment, "no_randomness", "the system gives no random bytes").retryable()
        })
    }
}

/// Shared by all workers; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) folder: GamesFolder,
    pub(crate) database: Database,
    pub(crate) blocking: Blocking,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

impl World {
    pub(crate) fn new(
        folder: GamesFolder,
        database: Database,
        blocking: Blocking,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { folder, database, blocking, clock, random }
    }
}
