//! Where disk, SQL and hashing run: on threads in a real peer, in place in a simulation, where a thread would make the
//! order of things unrepeatable.

use std::pin::Pin;
use std::sync::Arc;

use bonfire_engine::{ErrorClass, Report};
use bonfire_store::Store;

/// How to run what blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// On tokio's blocking threads.
    Threads,
    /// On the calling task, after letting others run once.
    Inline,
}

impl Blocking {
    /// Runs `work` and waits for it.
    ///
    /// # Errors
    /// Class `Bug` when the work panicked.
    pub async fn run<T, F>(self, work: F) -> Result<T, Report>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.spawn(work).await
    }

    /// Starts `work` at once (on threads) or when awaited (in place). On threads it runs to its end even when the
    /// future is dropped.
    pub fn spawn<T, F>(self, work: F) -> Pin<Box<dyn Future<Output = Result<T, Report>> + Send>>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        match self {
            Self::Threads => {
                let task = tokio::task::spawn_blocking(work);
                Box::pin(async move {
                    task.await
                        .map_err(|e| Report::new(ErrorClass::Bug, "worker_panicked", format!("a worker failed: {e}")))
                })
            }
            Self::Inline => Box::pin(async move {
                tokio::task::yield_now().await;
                Ok(work())
            }),
        }
    }
}

/// The state database, shared by workers. One at a time: SQLite has one writer, and reads here are short.
#[derive(Debug, Clone)]
pub(crate) struct Database(Arc<std::sync::Mutex<Store>>);

impl Database {
    pub(crate) fn new(store: Store) -> Self {
        Self(Arc::new(std::sync::Mutex::new(store)))
    }

    /// Runs `work` on the store. To be called where blocking is allowed.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Store) -> T) -> T {
        // A panic inside a transaction rolled it back, so the store behind a poisoned lock is sound.
        let mut store = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        work(&mut store)
    }
}
