//! Answers what other devices ask of a player's saves: texts of snapshots, and objects.
//!
//! Only of the player that the asker was let in for, and asked again for every object: trust that ends, ends at once. An
//! object is given only as a part of a snapshot of that player which is stored here whole.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bonfire_disk::saves::{SaveError, SaveStore};
use bonfire_engine::trust::gate::RequestKind;
use bonfire_engine::trust::gate::{gate, player_of};
use bonfire_net::{NetError, Reply};
use bonfire_proto::limits::PAGE_LEN_MAX;
use bonfire_proto::message::{Chunk, ErrorMsg, Request, Response};
use bonfire_proto::message_save::{GetObjects, GetSnapshots, SnapshotsMsg};
use bonfire_proto::save::{SaveEntry, Snapshot};
use bonfire_proto::{ErrorCode, ObjectRef, PlayerId, SnapshotId};
use bytes::Bytes;

use super::{Asker, Server, refuse};
use crate::errors::chain;

/// What a snapshot is made of, of the one that an asker fetches at the moment.
pub(super) type Fetched = Arc<Mutex<Option<(PlayerId, SnapshotId, Arc<BTreeSet<ObjectRef>>)>>>;

impl Server {
    /// Whether the asker may ask this at this moment.
    pub(super) fn may_ask(&self, asker: &Asker, request: &Request) -> Result<(), ErrorMsg> {
        let player = player_of(request);
        let standing = self.roster.borrow().standing(asker.proven, player);
        gate(RequestKind::from(request), player, standing)
    }

    pub(super) async fn snapshots(&self, r: &GetSnapshots, reply: &mut Reply) -> Result<(), NetError> {
        let mut page = Vec::new();
        let mut bytes = 0;
        for id in &r.ids {
            let (own, player, id) = (self.clone(), r.player_id, *id);
            let text = match self.world.blocking.run(move || own.text(player, &id)).await {
                Ok(Ok(Some(text))) => text,
                Ok(Ok(None)) => continue,
                Ok(Err(error)) | Err(error) => {
                    tracing::warn!("a version cannot be served: {error}");
                    continue;
                }
            };
            // In a frame every quote of it takes two bytes.
            let cost = 2 * text.len();
            if !page.is_empty() && bytes + cost > PAGE_LEN_MAX {
                let snapshots = std::mem::take(&mut page);
                reply.send(&Response::Snapshots(SnapshotsMsg { snapshots, has_more: true })).await?;
                bytes = 0;
            }
            bytes += cost;
            page.push(text);
        }
        reply.send(&Response::Snapshots(SnapshotsMsg { snapshots: page, has_more: false })).await
    }

    /// The text of a snapshot of a player, stored or only known.
    fn text(&self, player: PlayerId, id: &SnapshotId) -> Result<Option<String>, bonfire_engine::Report> {
        let stored = match self.saves.store().snapshot_bytes(id) {
            Ok(bytes) => String::from_utf8(bytes).ok(),
            Err(SaveError::NoSnapshot(_)) => None,
            Err(error) => return Err(crate::errors::save(&error)),
        };
        let text = match stored {
            Some(text) => Some(text),
            None => self.world.database.with(|s| s.snapshot_text(player, *id)).map_err(|e| crate::errors::store(&e))?,
        };
        Ok(text.filter(|t| Snapshot::from_bytes(t.as_bytes()).is_ok_and(|s| s.player == player)))
    }

    pub(super) async fn objects(
        &self,
        asker: &Asker,
        request: &Request,
        r: &GetObjects,
        reply: &mut Reply,
    ) -> Result<(), NetError> {
        let Some(listed) = self.objects_of(asker, r).await else {
            return refuse(reply, ErrorMsg::new(ErrorCode::NotFound, "no such version here")).await;
        };
        for (index, object) in (0u32..).zip(&r.objects) {
            if !listed.contains(object) {
                continue;
            }
            let leave = self.leave(asker).await;
            if let Err(refusal) = self.may_ask(asker, request) {
                return refuse(reply, refusal).await;
            }
            let (store, wanted) = (self.saves.store().clone(), *object);
            let bytes = match self.world.blocking.run(move || store.read_object(&wanted)).await {
                Ok(Ok(bytes)) => Bytes::from(bytes),
                Ok(Err(error)) => {
                    tracing::warn!("a piece of a save cannot be served: {}", chain(&error));
                    continue;
                }
                Err(error) => return refuse(reply, ErrorMsg::new(ErrorCode::Internal, error.message)).await,
            };
            reply.send(&Response::Chunk(Chunk { index, len: object.len, hash: object.hash })).await?;
            reply.send_bytes(bytes).await?;
            drop(leave);
        }
        Ok(())
    }

    /// What the snapshot is made of, when it is stored here and the player's.
    async fn objects_of(&self, asker: &Asker, r: &GetObjects) -> Option<Arc<BTreeSet<ObjectRef>>> {
        let (player, id) = (r.player_id, r.snapshot_id);
        if let Some((of, known, objects)) = &*asker.fetched.lock().unwrap_or_else(PoisonError::into_inner)
            && (*of, *known) == (player, id)
        {
            return Some(objects.clone());
        }
        let store = self.saves.store().clone();
        let read = self.world.blocking.run(move || needed(&store, player, &id)).await;
        match read {
            Ok(Ok(objects)) => {
                let objects = Arc::new(objects?);
                let kept = Some((player, id, objects.clone()));
                *asker.fetched.lock().unwrap_or_else(PoisonError::into_inner) = kept;
                Some(objects)
            }
            Ok(Err(error)) => {
                tracing::warn!("version {} cannot be served: {}", id.0.short(), chain(&error));
                None
            }
            Err(error) => {
                tracing::error!("a version cannot be served: {error}");
                None
            }
        }
    }
}

/// The objects of a snapshot of a player; `None` when it is not here or somebody else's, which nobody is to tell apart.
fn needed(store: &SaveStore, player: PlayerId, id: &SnapshotId) -> Result<Option<BTreeSet<ObjectRef>>, SaveError> {
    let snapshot = match store.snapshot(id) {
        Ok(snapshot) if snapshot.player == player => snapshot,
        Ok(_) | Err(SaveError::NoSnapshot(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let entries = store.entries(&snapshot)?;
    Ok(Some(snapshot.list.iter().copied().chain(entries.iter().flat_map(SaveEntry::objects)).collect()))
}
