//! What the games here were downloaded as, and so which files of a game root are whose.
//!
//! The state database says it first; the note in the root itself (`bonfire_disk::DownloadNote`) where the database knows
//! nothing or speaks of another version. Which of two versions is wanted is not decided here.

use std::collections::BTreeMap;

use bonfire_disk::{DiskError, FileStamp, Sentinel, Walked, WalkedFile};
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::{ContentHash, GameId, Manifest, ManifestHash, RelPath};
use bonfire_store::FileRow;

use super::Index;
use crate::errors;
use crate::world::World;

/// Which files of a game root a download may touch.
#[derive(Debug, Default)]
pub(crate) struct Vouched {
    /// What a download of ours committed and nobody changed since: may be removed.
    pub(crate) ours: Vec<RelPath>,
    /// Other files beside a sentinel, or that were beside one: a new version may write over them at its own paths.
    pub(crate) replaceable: Vec<WalkedFile>,
    /// Bytes of every file that is there.
    pub(crate) sizes: BTreeMap<RelPath, u64>,
}

impl Index {
    pub(super) fn expected_or_none(&self, game: &GameId, version: &str) -> Option<(ManifestHash, ContentHash)> {
        match expected(&self.world, game, version) {
            Ok(expected) => expected,
            Err(error) => {
                tracing::warn!("what {game} was downloaded as cannot be read: {error}");
                None
            }
        }
    }

    /// Notes what a game is downloaded as, from its sentinel on: `verify` compares with it. To be called where blocking is
    /// allowed.
    pub(crate) fn note_expected(&self, manifest: &Manifest) -> Result<(), Report> {
        let game = &manifest.game_id;
        let text = serde_json::to_string(manifest).map_err(|e| {
            Report::new(ErrorClass::Bug, "bug", format!("the file list of {game} cannot be stored: {e}"))
        })?;
        let hashes = manifest
            .content_hash
            .map(|content| format!("{} {content} {}", manifest.manifest_hash, manifest.eti_version));
        let (list, hash) = (expected_key(game), expected_hash_key(game));
        let both = [(list.as_str(), Some(text.as_str())), (hash.as_str(), hashes.as_deref())];
        self.world.database.with(|s| s.set_settings(&both)).map_err(|e| errors::store(&e))
    }

    /// What a download may do to the files that lie in a game's root. To be called where blocking is allowed.
    pub(crate) fn vouched(&self, game: &GameId) -> Vouched {
        // Of a root that cannot be read nothing is vouched for; the download itself meets the obstacle and names it.
        let walked = match self.world.folder.walk(game) {
            Ok(walked) => walked,
            Err(DiskError::NotFound { .. }) => return Vouched::default(),
            Err(error) => {
                tracing::warn!("nothing of {game} is vouched for: {}", errors::chain(&error));
                return Vouched::default();
            }
        };
        let known = self.downloaded_as(game).and_then(|manifest| Ok((manifest, self.files(game)?)));
        let (manifest, rows) = known.unwrap_or_else(|error| {
            tracing::warn!("{error}");
            (None, Vec::new())
        });
        // The database may be a new one that has not read these files yet.
        let note = self.world.folder.download_note(game).unwrap_or_else(|error| {
            tracing::warn!("{}", errors::chain(&error));
            None
        });
        let rows: BTreeMap<RelPath, FileRow> = rows.into_iter().map(|r| (r.path.clone(), r)).collect();
        let is_as_committed = |file: &WalkedFile| {
            let committed = manifest.as_ref().and_then(|m| m.file(&file.path)).and_then(|f| f.blake3);
            let row = rows.get(&file.path);
            let is_known = committed.is_some()
                && row.is_some_and(|r| r.blake3 == committed && r.size == file.size && r.mtime_ns == file.mtime_ns);
            is_known || note.as_ref().is_some_and(|n| n.is_as_left(&file.path, &file.stamp()))
        };
        let sizes = walked.files.iter().map(|f| (f.path.clone(), f.size)).collect();
        let (ours, mut replaceable): (Vec<_>, Vec<_>) = walked.files.into_iter().partition(is_as_committed);
        if walked.sentinel != Sentinel::Regular {
            let before = self.replaceable_before(game);
            replaceable.retain(|f| before.get(&f.path) == Some(&f.stamp()));
        }
        Vouched { ours: ours.into_iter().map(|f| f.path).collect(), replaceable, sizes }
    }

    /// Notes which files lay beside the sentinel when a download set it aside. A cancelled update leaves them without one,
    /// and they are a version of the game all the same. To be called where blocking is allowed.
    pub(crate) fn note_replaceable(&self, game: &GameId, files: &[WalkedFile]) -> Result<(), Report> {
        let rows: Vec<_> = files.iter().map(|f| (&f.path, f.size, f.mtime_ns)).collect();
        let text = serde_json::to_string(&rows)
            .map_err(|e| Report::new(ErrorClass::Bug, "bug", format!("the files of {game} cannot be noted: {e}")))?;
        let text = (!rows.is_empty()).then_some(text);
        let key = replaceable_key(game);
        self.world.database.with(|s| s.set_setting(&key, text.as_deref())).map_err(|e| errors::store(&e))
    }

    /// What [`Self::note_replaceable`] noted, by path. Without it, files are a stranger's and stay.
    fn replaceable_before(&self, game: &GameId) -> BTreeMap<RelPath, FileStamp> {
        let text = self.world.database.with(|s| s.setting(&replaceable_key(game))).unwrap_or_else(|error| {
            tracing::warn!("what lay in {game} before cannot be read: {}", errors::chain(&error));
            None
        });
        let rows: Vec<(RelPath, u64, i64)> = text.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default();
        rows.into_iter().map(|(path, size, mtime_ns)| (path, FileStamp { size, mtime_ns })).collect()
    }

    /// Whether all of these files were left by a download that was cancelled, of a version that lay here before: nobody may
    /// take them for a whole game. To be called where blocking is allowed.
    pub(crate) fn are_leftovers(&self, game: &GameId, files: &[WalkedFile]) -> bool {
        let before = self.replaceable_before(game);
        files.iter().all(|f| before.get(&f.path) == Some(&f.stamp()))
    }

    /// Forgets what lay beside the sentinel before, once there is another.
    pub(super) fn forget_replaceable(&self, game: &GameId) -> Result<(), Report> {
        self.world.database.with(|s| s.set_setting(&replaceable_key(game), None)).map_err(|e| errors::store(&e))
    }

    /// Forgets what a game was downloaded as, once its files were removed on purpose. A game that merely is not there any
    /// more keeps the note: its disk may come back, and without the note a person's own files beside it would count as the
    /// game's and be shared. To be called where blocking is allowed.
    pub(crate) fn forget_download(&self, game: &GameId) -> Result<(), Report> {
        let keys = [expected_key(game), expected_hash_key(game), replaceable_key(game)];
        let none = keys.each_ref().map(|key| (key.as_str(), None));
        self.world.database.with(|s| s.set_settings(&none)).map_err(|e| errors::store(&e))
    }

    /// What a game was downloaded as, when it was downloaded by Bonfire. What only the note in its root tells is noted in
    /// the database, too. To be called where blocking is allowed.
    ///
    /// # Errors
    /// Also when there is a note that cannot be understood and nothing else tells of the version that is here: nobody may
    /// take a person's files for the game's then.
    pub(crate) fn downloaded_as(&self, game: &GameId) -> Result<Option<Manifest>, Report> {
        let stored = self.stored_list(game)?;
        let here = self.world.folder.read_version(game).map_err(|e| errors::disk(&e))?;
        let is_here = |version: &str| here.as_ref().is_none_or(|v| v == version);
        if stored.as_ref().is_some_and(|m| is_here(&m.eti_version)) {
            return Ok(stored);
        }
        match self.world.folder.download_note(game) {
            Ok(Some(note)) if is_here(&note.version) => {
                let manifest = note.manifest(game);
                self.note_expected(&manifest)?;
                tracing::info!("the note in its folder tells what {game} was downloaded as");
                Ok(Some(manifest))
            }
            Ok(_) => Ok(stored),
            // Without a sentinel there is no version that it could be about.
            Err(DiskError::UnknownFormat { .. }) if here.is_none() => Ok(stored),
            Err(error) => Err(unreadable_note(game, &error)),
        }
    }

    fn stored_list(&self, game: &GameId) -> Result<Option<Manifest>, Report> {
        let text = self.world.database.with(|s| s.setting(&expected_key(game))).map_err(|e| errors::store(&e))?;
        let Some(text) = text else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|e| {
            Report::new(
                ErrorClass::Corruption,
                "state_database",
                format!("the stored file list of {game} cannot be read: {e}"),
            )
        })
    }

    /// What the version that is here was downloaded as: `None` for one that was put here by hand. To be called where
    /// blocking is allowed.
    pub(crate) fn downloaded_version(&self, game: &GameId) -> Result<Option<Manifest>, Report> {
        let Some(manifest) = self.downloaded_as(game)? else { return Ok(None) };
        // Whoever asks meets the obstacle that the walk met, and names it.
        let Ok(walked) = self.world.folder.walk(game) else { return Ok(None) };
        Ok(Some(manifest).filter(|m| is_version(m, &walked)))
    }
}

pub(super) fn is_version(manifest: &Manifest, walked: &Walked) -> bool {
    walked.sentinel == Sentinel::Regular && manifest.eti_version == walked.eti_version
}

/// What a game was downloaded as, when this version of it was: one that somebody put there by hand is not held against
/// what a download left before.
pub(super) fn expected(
    world: &World,
    game: &GameId,
    version: &str,
) -> Result<Option<(ManifestHash, ContentHash)>, Report> {
    let text = world.database.with(|s| s.setting(&expected_hash_key(game))).map_err(|e| errors::store(&e))?;
    Ok(text.and_then(|t| {
        let mut fields = t.splitn(3, ' ');
        let (manifest, content) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (fields.next() == Some(version)).then_some((manifest, content))
    }))
}

fn replaceable_key(game: &GameId) -> String {
    format!("replaceable/{game}")
}

fn expected_key(game: &GameId) -> String {
    format!("expected/{game}")
}

fn expected_hash_key(game: &GameId) -> String {
    format!("expected_hash/{game}")
}

fn unreadable_note(game: &GameId, error: &DiskError) -> Report {
    let report = errors::disk(error);
    match error {
        DiskError::UnknownFormat { .. } => report.hint(format!(
            "nobody can tell your own files in the folder of {game} from the game's: get the game again, or take yours out \
             and delete that note, and all that is left there counts as the game"
        )),
        _ => report,
    }
}
