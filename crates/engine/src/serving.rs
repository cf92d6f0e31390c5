//! What may be served: the one gate that every request passes.
//!
//! Owns the rule, not the bytes: whether a path exists in a manifest and whether its hashes are known is found out by who
//! reads the folder. The view is an immutable snapshot that the engine replaces on every change.

use std::collections::BTreeMap;

use bonfire_proto::game::is_reserved;
use bonfire_proto::message::{ErrorMsg, Request};
use bonfire_proto::{ContentHash, ErrorCode, GameId, ManifestHash, RelPath};

/// A game that may be served, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servable {
    /// Its file list.
    pub manifest_hash: ManifestHash,
    /// Its content, once read.
    pub content_hash: Option<ContentHash>,
    /// Its version.
    pub version: String,
}

/// Whether a game may be served. A game without an entry in the view is as good as `Hidden`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serving {
    /// It may.
    Open(Servable),
    /// Not in the catalog: nobody is told that it is here.
    Hidden,
    /// An operation is active on it.
    Busy,
    /// In the catalog, but without the sentinel: not downloaded.
    NotDownloaded,
}

/// What this peer serves at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServingView {
    /// Every game that has something to be said about.
    pub games: BTreeMap<GameId, Serving>,
}

impl ServingView {
    /// Takes in what is served otherwise; `None` for a game that is there no more.
    pub fn apply(&mut self, changes: BTreeMap<GameId, Option<Serving>>) {
        for (game, serving) in changes {
            match serving {
                Some(serving) => self.games.insert(game, serving),
                None => self.games.remove(&game),
            };
        }
    }

    /// The game, if it may be served.
    ///
    /// # Errors
    /// The refusal to send: `not_found` when it is unknown or hidden, `busy`, or `not_ready`.
    pub fn servable(&self, game: &GameId) -> Result<&Servable, ErrorMsg> {
        match self.games.get(game) {
            Some(Serving::Open(servable)) => Ok(servable),
            Some(Serving::Busy) => Err(ErrorMsg::new(ErrorCode::Busy, format!("{game} is being worked on"))),
            Some(Serving::NotDownloaded) => {
                Err(ErrorMsg::new(ErrorCode::NotReady, format!("{game} is not downloaded")))
            }
            // One answer for both, so that it tells nothing about what is here.
            Some(Serving::Hidden) | None => Err(ErrorMsg::new(ErrorCode::NotFound, format!("no game {game}"))),
        }
    }
}

/// Whether a request may be answered from what this peer holds.
///
/// # Errors
/// The refusal to send.
pub fn may_serve(view: &ServingView, request: &Request) -> Result<(), ErrorMsg> {
    match request {
        // What is listed is chosen by who builds the library; a probe reads nothing.
        // What is a player's is held by the gate alone.
        Request::GetLibraryDelta(_)
        | Request::GetLibrarySnapshot(_)
        | Request::StateRequest(_)
        | Request::SharedChangeRequest(_)
        | Request::GetSnapshots(_)
        | Request::GetObjects(_)
        | Request::SidecarQuery(_)
        | Request::GetSidecar(_)
        | Request::ProbeBack(_) => Ok(()),
        Request::GetGame(r) => view.servable(&r.game_id).map(|_| ()),
        Request::GetChunkHashes(r) => may_read(view, &r.game_id, r.manifest_hash, &r.path),
        Request::GetChunks(r) => may_read(view, &r.game_id, r.manifest_hash, &r.path),
    }
}

fn may_read(view: &ServingView, game: &GameId, asked: ManifestHash, path: &RelPath) -> Result<(), ErrorMsg> {
    // First, so that the answer is the same whatever is here.
    if is_reserved(path) {
        return Err(ErrorMsg::new(ErrorCode::Forbidden, "this path is never served"));
    }
    let servable = view.servable(game)?;
    if servable.manifest_hash != asked {
        return Err(ErrorMsg::new(ErrorCode::Conflict, format!("the file list of {game} is another one")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
