//! Libraries over the wire, and the engine's state as a snapshot.

use std::sync::Arc;

use bonfire_engine::Snapshot;
use bonfire_engine::engine::Engine;
use bonfire_engine::input::{ConnId, ConnInput, Input, LibraryAnswer};
use bonfire_engine::remote::Assembly;
use bonfire_engine::snapshot::NodeView;
use bonfire_engine::{ErrorClass, Report, UnixMillis};
use bonfire_net::Connection;
use bonfire_proto::message::{LibraryDeltaMsg, LibrarySnapshotMsg, Request, Response};
use tokio::sync::mpsc;

use crate::conns;
use crate::errors;
use crate::task::Event;

/// What a snapshot says of this peer that the engine does not know.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) games_dir: String,
    pub(crate) listen: std::net::SocketAddr,
    pub(crate) started_at: UnixMillis,
    pub(crate) mdns: bool,
}

/// The pages of the newest revision that somebody asked for, made once and not for each who asks.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    rev: u64,
    pages: Arc<Vec<Response>>,
}

/// The answer to a library request, frame by frame.
pub(crate) fn answer(engine: &Engine, kept: &mut Pages, request: &Request) -> Arc<Vec<Response>> {
    let me = engine.hello().peer_id;
    if let Request::GetLibraryDelta(r) = request
        && let Some(delta) = engine.library().delta_since(r.library_epoch, r.from_rev)
        // About 500 bytes a game; what does not fit one frame goes as pages of a snapshot.
        && (delta.added.len() + delta.updated.len() + delta.removed.len()) * 512 < bonfire_proto::limits::PAGE_LEN_MAX
    {
        return Arc::new(vec![Response::LibraryDelta(LibraryDeltaMsg { peer_id: me, delta })]);
    }
    let rev = engine.library().rev();
    if kept.rev == rev && !kept.pages.is_empty() {
        return kept.pages.clone();
    }
    let snapshots = engine.library().snapshot_pages();
    let pages = u32::try_from(snapshots.len()).unwrap_or(u32::MAX);
    let frame = |(page, snapshot)| Response::LibrarySnapshot(LibrarySnapshotMsg { peer_id: me, snapshot, page, pages });
    let frames = Arc::new((0u32..).zip(snapshots).map(frame).collect::<Vec<_>>());
    *kept = Pages { rev, pages: frames.clone() };
    frames
}

/// Asks a peer for its library and tells the engine what came.
pub(crate) async fn fetch(conn: ConnId, connection: Connection, request: Request, events: mpsc::Sender<Event>) {
    let answer = ask(&connection, &request).await;
    conns::send(&events, Event::Input(Input::Conn(ConnInput::Library(conn, answer)))).await;
}

async fn ask(connection: &Connection, request: &Request) -> Result<LibraryAnswer, Report> {
    let broken = |why: &str| {
        Report::new(
            ErrorClass::Remote,
            "protocol",
            format!("{} answered a library request wrongly: {why}", connection.remote_addr()),
        )
    };
    let mut answer = connection.request(request).await.map_err(|e| errors::net(&e))?;
    let mut assembly = Assembly::new(connection.peer_id());
    loop {
        match answer.next().await.map_err(|e| errors::net(&e))? {
            Some(Response::LibraryDelta(m)) if m.peer_id == connection.peer_id() => {
                return Ok(LibraryAnswer::Delta(m.delta));
            }
            Some(Response::LibrarySnapshot(m)) if m.peer_id == connection.peer_id() => {
                if let Some(whole) = assembly.page(m).map_err(broken)? {
                    return Ok(LibraryAnswer::Snapshot(whole));
                }
            }
            Some(Response::Error(e)) => return Err(errors::remote(connection.remote_addr(), &e)),
            Some(_) => return Err(broken("unexpected message")),
            None => return Err(broken("ended early")),
        }
    }
}

/// The engine's state as front ends see it, without progress and round-trip times.
pub(crate) fn snapshot(engine: &Engine, about: &About, now: bonfire_engine::Instant, seq: u64) -> Snapshot {
    let hello = engine.hello();
    let me = NodeView {
        peer: hello.peer_id,
        name: about.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        listen_addr: about.listen.to_string(),
        games_dir: about.games_dir.clone(),
        library_epoch: hello.library_epoch,
        library_rev: hello.library_rev,
        library_digest: hello.library_digest,
        started_at: about.started_at,
        mdns: about.mdns,
    };
    engine.snapshot(now, seq, me)
}
