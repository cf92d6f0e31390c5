//! Installs: an unpacked game takes the place of nothing, or of the install before; and an install is taken away.
//!
//! Owns the transactions around `local/`, each recorded in the intent log, so that `recover` brings the old install back or
//! finishes the new one. What is unpacked into the staging folder, and by whom, is the caller's; whose a file is and where
//! it goes, `bonfire_engine::installs`'; which of the two installs a crash leaves, `bonfire_engine::recovery::installs`'.

mod begin;
mod carry;
mod error;
mod mend;
mod place;
mod record;
mod recover;
mod stamp;
mod swap;
mod tree;
mod uninstall;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bonfire_engine::installs::{Carried, Known};
use bonfire_proto::{GameId, RelPath};

use crate::error::DiskError;
use crate::fs::{Fs, FsPath};
use crate::games::{GamesFolder, Held, Inner};

pub use carry::Ready;
pub use error::InstallError;
pub use mend::{CheckedInstall, Finding, Mended};
pub use place::{Placing, is_program};
pub use record::{InstallRecord, InstalledFile};
pub use recover::InstallRecovery;
pub(crate) use recover::recover;
pub use stamp::ExactStamp;
pub use uninstall::{Leaving, Uninstalled};

/// An install or update that is recorded, with an empty folder to unpack into. Dropped, it is undone at the next start.
#[derive(Debug)]
pub struct Staging {
    inner: Arc<Inner>,
    /// Keeps every other transaction of this process off the game.
    _held: Held,
    game: GameId,
    is_update: bool,
    /// A sync of names failed: what is durable is not known.
    is_unsound: AtomicBool,
}

/// What an install or update did.
#[derive(Debug)]
pub struct Installed {
    /// Files of the new version.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files of the player that are in the new install.
    pub carried: Vec<Carried>,
    /// Why something of the install before is still there; it goes at the next start.
    pub left: Option<DiskError>,
}

impl GamesFolder {
    /// Where an install of a game is, and where it is while another takes its place or it is deleted.
    #[must_use]
    pub fn install_folders(&self, game: &GameId) -> [PathBuf; 2] {
        [tree::LOCAL, tree::BACKUP].map(|name| self.inner.shown(&FsPath::game(game).child(name)))
    }
}

impl Staging {
    /// Whether an install is there that this one takes the place of.
    #[must_use]
    pub fn is_update(&self) -> bool {
        self.is_update
    }

    /// The folder to unpack into, beneath the file system of the games folder.
    #[must_use]
    pub fn folder(&self) -> FsPath {
        FsPath::game(&self.game).child(tree::STAGING)
    }

    /// The same for somebody else.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.inner.shown(&self.folder())
    }

    /// The file system of the games folder.
    #[must_use]
    pub fn fs(&self) -> &Arc<dyn Fs> {
        &self.inner.fs
    }

    /// Puts what was unpacked in place. `unpacked` is what it has to be: every file durable by then, and in folders that
    /// are. `keep_going` is asked with the bytes read since it was last asked, until the first rename.
    ///
    /// # Errors
    /// `NotAsUnpacked`; `CannotCarry`; `Changed` when the install before changes meanwhile; `Cancelled`; the disk's. The
    /// install before is then in its place. `NotUndone` where a start has to see to that.
    pub fn commit(
        self,
        version: &str,
        unpacked: &BTreeMap<RelPath, Known>,
        keep_going: &dyn Fn(u64) -> bool,
    ) -> Result<Installed, InstallError> {
        match self.prepare(version, unpacked, keep_going) {
            Ok(ready) => self.put(ready, &|| true),
            Err(error) => Err(self.given_up(error)),
        }
    }

    /// Puts what is prepared in place. `is_free` is asked once the install before is set aside, at `install_folders`.
    ///
    /// # Errors
    /// `Changed` when the install before changes meanwhile; `InUse` when it is not free; the disk's. The install before is then
    /// in its place. `NotUndone` where a start brings it back, or finds the new one there.
    pub fn put(self, ready: Ready, is_free: &dyn Fn() -> bool) -> Result<Installed, InstallError> {
        match self.swap(&ready, is_free) {
            Ok(()) => {
                let left = self.clean_up().err();
                if let Some(error) = &left {
                    tracing::warn!(game = %self.game, %error, "something of an install before is left");
                }
                let Ready { files, bytes, carried, .. } = ready;
                Ok(Installed { files, bytes, carried, left })
            }
            Err(error) => Err(self.given_up(error)),
        }
    }

    fn given_up(&self, error: InstallError) -> InstallError {
        match self.undo() {
            Ok(()) => error,
            Err(left) => InstallError::NotUndone { cause: Box::new(error), left },
        }
    }

    /// Undoes it: what was unpacked goes, and the install before, if any, stays.
    ///
    /// # Errors
    /// The disk's; a start undoes the rest.
    pub fn abort(self) -> Result<(), InstallError> {
        Ok(self.undo()?)
    }
}
