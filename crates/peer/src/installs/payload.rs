//! What an install is made of: the archives and the files of a payload, looked at.

use std::collections::BTreeMap;

use bonfire_disk::WalkedFile;
use bonfire_disk::install::Placing;
use bonfire_engine::Report;
use bonfire_proto::game::SENTINEL;
use bonfire_proto::{Digest, GameId, RelPath};
use bonfire_unpack::format::HEAD_LEN;
use bonfire_unpack::parts::PayloadFile;
use bonfire_unpack::{self as unpack, Package};

use super::errors;
use crate::download::{Stop, Work};
use crate::index::Index;
use crate::world::World;

/// What becomes of the files of a payload.
#[derive(Debug, Clone, Default)]
pub(super) struct Payload {
    /// To unpack, in order.
    pub(super) archives: Vec<unpack::Payload>,
    /// To place as they are.
    pub(super) placed: Vec<Placing>,
    /// What the archives are called, with what it takes to place one that turns out to be none.
    pub(super) files: BTreeMap<RelPath, Placing>,
    /// Of what comes out of the archives, only these files with the most bytes of each; all of them where none are named.
    pub(super) only: Option<BTreeMap<RelPath, u64>>,
}

impl Payload {
    pub(super) fn placed_bytes(&self) -> u64 {
        self.placed.iter().map(|file| file.stamp.size).sum()
    }
}

/// Looks at what is downloaded. A person's own files beside it are no part of it.
pub(super) async fn look(work: &Work) -> Result<Payload, Stop> {
    let (world, index, game) = (work.world.clone(), work.index.clone(), work.game.clone());
    Ok(work.world.blocking.run(move || read(&world, &index, &game)).await??)
}

fn read(world: &World, index: &Index, game: &GameId) -> Result<Payload, Report> {
    let disk = |e| crate::errors::disk(&e);
    let walked = world.folder.walk(game).map_err(disk)?;
    let downloaded = index.downloaded_version(game)?;
    let is_part = |file: &&WalkedFile| {
        file.path.as_str() != SENTINEL && downloaded.as_ref().is_none_or(|m| m.file(&file.path).is_some())
    };
    let known: BTreeMap<RelPath, (u64, i64, Digest)> = index
        .files(game)?
        .into_iter()
        .filter_map(|row| Some((row.path, (row.size, row.mtime_ns, row.blake3?))))
        .collect();
    let placing = |file: &WalkedFile| {
        let blake3 = known.get(&file.path).filter(|k| (k.0, k.1) == (file.size, file.mtime_ns)).map(|k| k.2);
        Placing { path: file.path.clone(), stamp: file.stamp(), blake3 }
    };
    let files: BTreeMap<RelPath, Placing> =
        walked.files.iter().filter(is_part).map(|file| (file.path.clone(), placing(file))).collect();
    let in_root = |path: &RelPath| path.parent().is_none();
    let heads = files
        .values()
        .filter(|file| in_root(&file.path))
        .map(|file| {
            let head = world.folder.head(game, &file.path, HEAD_LEN).map_err(disk)?;
            Ok(PayloadFile { name: file.path.to_string(), size: file.stamp.size, head })
        })
        .collect::<Result<Vec<_>, Report>>()?;
    let has_folders = files.keys().any(|path| !in_root(path));
    Ok(match unpack::package(&heads, has_folders).map_err(|e| errors::unpack(&e))? {
        Package::Plain => Payload { placed: files.values().cloned().collect(), ..Payload::default() },
        Package::Archives { archives, beside } => {
            let placed = files.values().filter(|f| beside.iter().any(|name| name == f.path.as_str())).cloned();
            Payload { archives, placed: placed.collect(), files, only: None }
        }
    })
}
