//! The file list of a game and the chunk digests of its files, asked of sources and checked before they are believed.

use std::collections::BTreeMap;
use std::time::Duration;

use bonfire_engine::input::OpInput;
use bonfire_engine::offers::Target;
use bonfire_engine::{ErrorClass, Report};
use bonfire_net::Connection;
use bonfire_proto::limits::{MANIFEST_FILES_MAX, PAGES_MAX};
use bonfire_proto::message::{GetChunkHashes, GetGame, Request, Response};
use bonfire_proto::{Digest, GameId, Manifest, ManifestHash, PeerId, RelPath, chunk_count};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{Stop, Work, wants_digests};
use crate::errors;

/// Code of a source that holds another content than the one asked for.
const CHANGED: &str = "game_changed";
/// Digest lists asked for at one time.
const LISTS_AT_ONCE: usize = 8;
/// Wait before a source that failed is asked again over the same connection.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Sources that failed, each until it is worth another try: over another connection at once.
#[derive(Debug, Default)]
struct Failed(BTreeMap<PeerId, (usize, Instant)>);

impl Failed {
    /// Notes a failure. Returns whether it is the first over this connection.
    fn note(&mut self, peer: PeerId, connection: usize) -> bool {
        let before = self.0.insert(peer, (connection, Instant::now() + TRY_AGAIN_AFTER));
        before.is_none_or(|(old, _)| old != connection)
    }

    fn waits(&self, peer: PeerId, connection: &Connection) -> Option<Instant> {
        let (failed, until) = self.0.get(&peer)?;
        (*failed == connection.stable_id() && *until > Instant::now()).then_some(*until)
    }
}

/// The game's file list from the first source that has it as announced.
pub(super) async fn fetch(work: &Work, target: &Target) -> Result<Manifest, Stop> {
    let mut failed = Failed::default();
    loop {
        let (peer, connection) = next_source(work, &failed).await?;
        match work.or_cancelled(ask_list(&connection, target)).await? {
            Ok(manifest) => return Ok(manifest),
            Err(error) => {
                let first = failed.note(peer, connection.stable_id());
                // Nothing is here yet: rather than wait for a content that may never come back, it is asked for anew.
                if error.code == CHANGED && !others(work, &failed) {
                    return Err(Stop::Failed(error));
                }
                if first {
                    work.tell(OpInput::SourceDropped(peer, error)).await;
                }
            }
        }
    }
}

/// Whether there is a source that has not just failed.
fn others(work: &Work, failed: &Failed) -> bool {
    work.steer.sources.borrow().iter().any(|(p, c)| failed.waits(*p, c).is_none())
}

/// A source that has not just failed, waiting for one if need be.
async fn next_source(work: &Work, failed: &Failed) -> Result<(PeerId, Connection), Stop> {
    let mut sources = work.steer.sources.clone();
    let mut told = false;
    loop {
        let now = sources.borrow_and_update().clone();
        let mut again = None;
        for (peer, connection) in now {
            match failed.waits(peer, &connection) {
                None => return Ok((peer, connection)),
                Some(at) => again = Some(again.map_or(at, |a: Instant| a.min(at))),
            }
        }
        if !told {
            told = true;
            work.tell(OpInput::Starved(super::transfer::starved(&work.game))).await;
        }
        let tried_again = async {
            match again {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let changed = async {
            tokio::select! {
                biased;
                changed = sources.changed() => changed.is_ok(),
                () = tried_again => true,
            }
        };
        if !work.or_cancelled(changed).await? {
            return Err(Stop::Failed(super::unsteered()));
        }
    }
}

async fn ask_list(connection: &Connection, target: &Target) -> Result<Manifest, Report> {
    let broken = |why: String| {
        Report::new(
            ErrorClass::Remote,
            "bad_file_list",
            format!("the file list of {} from {} cannot be used: {why}", target.game, connection.remote_addr()),
        )
    };
    let request = Request::GetGame(GetGame { game_id: target.game.clone(), known_manifest_hash: None });
    let mut answer = connection.request(&request).await.map_err(|e| errors::net(&e))?;
    let mut whole: Option<Manifest> = None;
    for expected in 0..PAGES_MAX {
        let m = match answer.next().await.map_err(|e| errors::net(&e))? {
            Some(Response::Manifest(m)) => m,
            Some(Response::Error(e)) => return Err(errors::remote(connection.remote_addr(), &e)),
            Some(_) => return Err(broken("unexpected message".to_owned())),
            None => return Err(broken("it ended early".to_owned())),
        };
        if m.page != expected {
            return Err(broken(format!("page {} where {expected} was due", m.page)));
        }
        let last = m.page + 1 == m.pages;
        let page = m.manifest;
        let list = whole.get_or_insert_with(|| Manifest {
            game_id: page.game_id.clone(),
            eti_version: page.eti_version.clone(),
            manifest_hash: page.manifest_hash,
            content_hash: page.content_hash,
            files: Vec::new(),
        });
        if page.game_id != target.game
            || page.manifest_hash != list.manifest_hash
            || page.content_hash != list.content_hash
        {
            return Err(broken("its pages differ".to_owned()));
        }
        list.files.extend(page.files);
        if list.files.len() > MANIFEST_FILES_MAX {
            return Err(broken(format!("over {MANIFEST_FILES_MAX} files")));
        }
        if last {
            break;
        }
    }
    let list = whole.ok_or_else(|| broken("it has no pages".to_owned()))?;
    list.check().map_err(|e| broken(e.to_string()))?;
    if list.manifest_hash != target.manifest_hash
        || (target.content_hash.is_some() && list.content_hash != target.content_hash)
    {
        return Err(changed(&target.game, connection));
    }
    Ok(list)
}

/// Asks the source of a list without hashes once more before the sentinel: if it has read its files meanwhile, what came
/// has to be that. One that still has not is taken at its word, as it refuses chunks of another reading than the list's.
pub(super) async fn confirm(work: &Work, target: &Target) -> Result<(), Stop> {
    let Some(content) = work.begun()?.content_if_unannounced() else { return Ok(()) };
    let Some((_, connection)) = work.steer.sources.borrow().first().cloned() else { return Ok(()) };
    let target = Target { content_hash: None, ..target.clone() };
    match work.or_cancelled(ask_list(&connection, &target)).await? {
        Ok(list) if list.content_hash.is_some_and(|c| c != content) => {
            Err(Stop::Anew(changed(&work.game, &connection)))
        }
        Err(error) if error.code == CHANGED => Err(Stop::Anew(error)),
        Ok(_) => Ok(()),
        // It left, and with it whoever could tell.
        Err(error) => {
            tracing::debug!("{}: nobody confirmed the content: {error}", work.game);
            Ok(())
        }
    }
}

/// Asks for the chunk digests of every file that has several chunks and whose own hash is known.
pub(super) async fn digests(work: &mut Work) -> Result<(), Stop> {
    let files = u32::try_from(work.begun()?.manifest().files.len()).unwrap_or(u32::MAX);
    let download = work.begun()?;
    let mut wanted: Vec<u32> = (0..files).rev().filter(|f| wants_digests(download, *f)).collect();
    let manifest_hash = download.manifest().manifest_hash;
    let mut failed = Failed::default();
    let mut asked = JoinSet::new();
    while !wanted.is_empty() || !asked.is_empty() {
        while asked.len() < LISTS_AT_ONCE {
            let Some(file) = wanted.pop() else { break };
            let (peer, connection) = next_source(work, &failed).await?;
            let entry = &work.begun()?.manifest().files[file as usize];
            let (path, count) = (entry.path.clone(), chunk_count(entry.size));
            let game = work.game.clone();
            asked.spawn(async move {
                let request = Request::GetChunkHashes(GetChunkHashes { game_id: game, manifest_hash, path });
                (file, (peer, connection.stable_id()), ask_digests(&connection, &request, count).await)
            });
        }
        let Some(done) = work.or_cancelled(asked.join_next()).await? else { break };
        let (file, (peer, connection), list) = done.map_err(|e| crate::task::bug(&e.to_string()))?;
        let taken = match list {
            // Checked against the file's own hash before it is believed.
            Ok(list) => work.begun_mut()?.set_hashes(file, list).map_err(|e| errors::disk(&e)),
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            wanted.push(file);
            if failed.note(peer, connection) {
                work.tell(OpInput::SourceDropped(peer, error)).await;
            }
        }
    }
    Ok(())
}

async fn ask_digests(connection: &Connection, request: &Request, count: u32) -> Result<Vec<Digest>, Report> {
    let broken = |why: &str| {
        Report::new(
            ErrorClass::Remote,
            "bad_digests",
            format!("chunk digests from {} cannot be used: {why}", connection.remote_addr()),
        )
    };
    let mut answer = connection.request(request).await.map_err(|e| errors::net(&e))?;
    let mut list = Vec::new();
    for expected in 0..PAGES_MAX {
        match answer.next().await.map_err(|e| errors::net(&e))? {
            Some(Response::ChunkHashes(page)) if page.page == expected => {
                let last = page.page + 1 == page.pages;
                list.extend(page.hashes);
                if list.len() > count as usize {
                    return Err(broken("more than the file has chunks"));
                }
                if last {
                    return Ok(list);
                }
            }
            Some(Response::ChunkHashes(_)) => return Err(broken("pages out of order")),
            Some(Response::Error(e)) => return Err(errors::remote(connection.remote_addr(), &e)),
            Some(_) => return Err(broken("unexpected message")),
            None => return Err(broken("they ended early")),
        }
    }
    Err(broken("too many pages"))
}

/// The report of a source that does not hold any more what it announced.
pub(super) fn changed(game: &GameId, connection: &Connection) -> Report {
    let text = format!("{game} changed on {} since it was announced", connection.remote_addr());
    let hint = format!("ask again in a moment: `bonfire get {game}`");
    Report::new(ErrorClass::Remote, CHANGED, text).hint(hint).retryable()
}

/// What identifies a file in a chunk request.
#[derive(Debug, Clone)]
pub(super) struct FileKey {
    pub(super) manifest_hash: ManifestHash,
    pub(super) path: RelPath,
    pub(super) size: u64,
}
