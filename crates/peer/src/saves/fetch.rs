//! Fetching snapshots from other devices: their texts, then the objects that are missing, then the snapshot.
//!
//! Believes nothing: a text has to have the id that was asked for and be of the line, an object the hash that the snapshot
//! names. A source that lies or breaks is left and the next one asked. What was fetched is durable from time to time, so
//! whatever is dropped or killed goes on from there.

mod objects;

use std::collections::{BTreeMap, BTreeSet};

use bonfire_disk::saves::{Batch, Lease, SaveError};
use bonfire_engine::saves::join::Line;
use bonfire_engine::saves::lineage::Node;
use bonfire_engine::saves::work::SaveInput;
use bonfire_engine::{ErrorClass, Report};
use bonfire_net::Connection;
use bonfire_proto::limits::{SNAPSHOT_LEN_MAX, SNAPSHOTS_PER_REQUEST_MAX};
use bonfire_proto::message::{Request, Response};
use bonfire_proto::message_save::GetSnapshots;
use bonfire_proto::save::{SaveEntry, Snapshot, snapshot_id};
use bonfire_proto::{ErrorCode, ObjectRef, PeerId, SnapshotId};

use super::{Inner, Saves};
use crate::errors;

/// Room that a fetch leaves on the disk of the data folder: the database and the games beside it need some.
const ROOM_LEFT: u64 = 64 << 20;

/// Somebody who is asked.
#[derive(Debug, Clone)]
struct Source {
    connection: Connection,
    /// It broke off or lied: it is asked nothing more.
    is_lost: bool,
}

/// Why a source could not be used.
enum Fault {
    /// It broke off, was busy, or made no progress: it may have more later.
    Cut(Report),
    /// What it said is not so, or against the protocol.
    Lied(Report),
    /// It does not have what was asked for, or does not give it to us.
    Refused(Report),
}

impl Fault {
    fn of(error: &bonfire_net::NetError) -> Self {
        match error {
            bonfire_net::NetError::Frame { .. } => Self::Lied(errors::net(error)),
            _ => Self::Cut(errors::net(error)),
        }
    }

    fn of_answer(connection: &Connection, error: &bonfire_proto::message::ErrorMsg) -> Self {
        let report = errors::remote(connection.remote_addr(), error);
        match error.code {
            ErrorCode::Busy | ErrorCode::Internal => Self::Cut(report),
            _ => Self::Refused(report),
        }
    }

    fn protocol(connection: &Connection, why: &str) -> Self {
        let what = format!("{} answered wrongly for a save: {why}", connection.remote_addr());
        Self::Lied(Report::new(ErrorClass::Remote, "protocol", what))
    }
}

/// A fetch under way.
struct Fetch<'a> {
    saves: &'a Saves,
    line: Line,
    sources: Vec<Source>,
    /// A source broke off, or the disk did: asking again may bring more.
    is_cut: bool,
}

/// A snapshot whose text is here.
struct Text {
    id: SnapshotId,
    snapshot: Snapshot,
    bytes: Vec<u8>,
    is_stored: bool,
}

impl Saves {
    /// Fetches snapshots with all of their objects, as far as the sources have them. Dropped, it leaves a sound store.
    pub(super) async fn fetch(
        &self,
        line: Line,
        ids: BTreeSet<SnapshotId>,
        sources: Vec<(PeerId, Connection)>,
    ) -> SaveInput {
        let sources = sources.into_iter().map(|(_, connection)| Source { connection, is_lost: false }).collect();
        let mut fetch = Fetch { saves: self, line: line.clone(), sources, is_cut: false };
        let mut texts = fetch.texts(&ids).await;
        // What is newest is waited for most.
        texts.sort_by_key(|text| std::cmp::Reverse(text.snapshot.hlc));
        let mut brought = Vec::new();
        for text in texts {
            let node = Node::of(text.id, &text.snapshot);
            let is_whole = text.is_stored || fetch.whole(text).await;
            brought.push((node, is_whole));
        }
        SaveInput::Fetched { line, asked: ids, brought, is_cut: fetch.is_cut }
    }
}

impl Fetch<'_> {
    /// The texts of snapshots: those that are here, and what the sources say of the others.
    async fn texts(&mut self, ids: &BTreeSet<SnapshotId>) -> Vec<Text> {
        let (line, wanted) = (self.line.clone(), ids.clone());
        let here = self.saves.on_disk(move |own| {
            let texts = wanted.iter().map(|id| own.text(&line, id));
            texts.collect::<Result<Vec<Option<Text>>, Report>>()
        });
        let mut texts: BTreeMap<SnapshotId, Text> = match here.await.and_then(|r| r) {
            Ok(texts) => texts.into_iter().flatten().map(|t| (t.id, t)).collect(),
            Err(error) => {
                self.cut(&error);
                return Vec::new();
            }
        };
        let mut wanted: BTreeSet<SnapshotId> = ids.iter().filter(|id| !texts.contains_key(id)).copied().collect();
        for at in 0..self.sources.len() {
            if wanted.is_empty() {
                break;
            }
            let connection = self.sources[at].connection.clone();
            let all: Vec<SnapshotId> = wanted.iter().copied().collect();
            for some in all.chunks(SNAPSHOTS_PER_REQUEST_MAX) {
                let mut came = Vec::new();
                let asked = self.ask_texts(&connection, some, &mut came).await;
                for (id, bytes) in came {
                    // Whatever has this id is what everybody has under it, so no other source has a better one.
                    wanted.remove(&id);
                    match self.checked(id, bytes) {
                        Ok(text) => {
                            texts.insert(id, text);
                        }
                        Err(error) => tracing::warn!("a version that was told of is none: {error}"),
                    }
                }
                if let Err(fault) = asked {
                    self.fault(at, fault);
                    break;
                }
            }
        }
        texts.into_values().collect()
    }

    /// Asks one source for texts. What came before it broke off is kept.
    async fn ask_texts(
        &self,
        connection: &Connection,
        ids: &[SnapshotId],
        came: &mut Vec<(SnapshotId, Vec<u8>)>,
    ) -> Result<(), Fault> {
        let mut wanted: BTreeSet<SnapshotId> = ids.iter().copied().collect();
        let request = Request::GetSnapshots(GetSnapshots { player_id: self.line.player, ids: ids.to_vec() });
        let mut answer = connection.request(&request).await.map_err(|e| Fault::of(&e))?;
        loop {
            match answer.next().await.map_err(|e| Fault::of(&e))? {
                Some(Response::Snapshots(frame)) => {
                    if frame.has_more && frame.snapshots.is_empty() {
                        return Err(Fault::protocol(connection, "a page without versions"));
                    }
                    for text in frame.snapshots {
                        let id = snapshot_id(text.as_bytes());
                        if text.len() > SNAPSHOT_LEN_MAX || !wanted.remove(&id) {
                            return Err(Fault::protocol(connection, "a version that was not asked for"));
                        }
                        came.push((id, text.into_bytes()));
                    }
                    if !frame.has_more {
                        return Ok(());
                    }
                }
                Some(Response::Error(e)) => return Err(Fault::of_answer(connection, &e)),
                Some(_) => return Err(Fault::protocol(connection, "unexpected message")),
                None => return Err(Fault::protocol(connection, "ended early")),
            }
        }
    }

    /// A text that somebody sent, as a snapshot of this line.
    fn checked(&self, id: SnapshotId, bytes: Vec<u8>) -> Result<Text, Report> {
        let snapshot = Snapshot::from_bytes(&bytes).map_err(|e| errors::save(&e.into()))?;
        if Line::of(&snapshot) != self.line {
            let what = format!("version {} is not of {} {}", id.0.short(), self.line.game_id, self.line.slot);
            return Err(Report::new(ErrorClass::Remote, "bad_snapshot", what));
        }
        Ok(Text { id, snapshot, bytes, is_stored: false })
    }

    /// Fetches the objects of a snapshot and stores it. Returns whether all of it is here; if not, its text is kept.
    async fn whole(&mut self, text: Text) -> bool {
        let Text { id, snapshot, bytes, .. } = text;
        match self.objects(id, &snapshot, &bytes).await {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => self.cut(&error),
        }
        let player = self.line.player;
        let kept = self.saves.on_disk(move |own| own.note_text(player, &id, &bytes)).await.and_then(|r| r);
        if let Err(error) = kept {
            self.cut(&error);
        }
        false
    }

    async fn objects(&mut self, id: SnapshotId, snapshot: &Snapshot, bytes: &[u8]) -> Result<bool, Report> {
        // Keeps what is here already from a sweep until the snapshot needs it.
        let lease = self.saves.0.store.lease();
        let list: BTreeSet<ObjectRef> = snapshot.list.iter().copied().collect();
        if !self.bring(id, list, &lease).await? {
            return Ok(false);
        }
        let (own, of) = (snapshot.clone(), lease.clone());
        let content = self.saves.on_disk(move |inner| {
            let entries = inner.store.entries(&own)?;
            // The list was read, so that it is durable with the rest is all that is left to see to.
            drop(of);
            Ok::<_, SaveError>(entries.iter().flat_map(SaveEntry::objects).collect::<BTreeSet<ObjectRef>>())
        });
        let content = content.await?.map_err(|e| errors::save(&e))?;
        if !self.bring(id, content, &lease).await? {
            return Ok(false);
        }
        let bytes = bytes.to_vec();
        let put = self.saves.on_disk(move |own| own.store.put_snapshot(&bytes));
        put.await?.map_err(|e| errors::save(&e))?;
        drop(lease);
        Ok(true)
    }

    /// Brings objects here, durably, as far as the sources have them. Returns whether all are.
    async fn bring(&mut self, id: SnapshotId, objects: BTreeSet<ObjectRef>, lease: &Lease) -> Result<bool, Report> {
        if objects.is_empty() {
            return Ok(true);
        }
        let of = lease.clone();
        let missing = self.saves.on_disk(move |own| own.keep(objects, &of));
        let missing = missing.await?.map_err(|e| errors::save(&e))?;
        if missing.is_empty() {
            return Ok(true);
        }
        let bytes: u64 = missing.iter().map(|o| u64::from(o.len)).sum();
        self.check_room(bytes).await?;
        objects::bring(self, id, missing, lease).await
    }

    async fn check_room(&self, bytes: u64) -> Result<(), Report> {
        let free = self.saves.on_disk(|own| own.data.free_space()).await?;
        match free {
            Ok(free) if free < bytes.saturating_add(ROOM_LEFT) => {
                let what = format!("a version of {} needs {bytes} bytes, {free} are free", self.line.game_id);
                Err(Report::new(ErrorClass::Environment, "no_space", what).retryable())
            }
            Ok(_) => Ok(()),
            // The disk says so itself when it is full.
            Err(error) => {
                tracing::debug!("free space is not known: {error}");
                Ok(())
            }
        }
    }

    fn fault(&mut self, source: usize, fault: Fault) {
        match fault {
            Fault::Cut(error) => {
                self.sources[source].is_lost = true;
                self.cut(&error);
            }
            Fault::Lied(error) => {
                self.sources[source].is_lost = true;
                tracing::warn!("a source of a save of {} is left: {error}", self.line.game_id);
            }
            Fault::Refused(error) => tracing::debug!("a source has nothing for {}: {error}", self.line.game_id),
        }
    }

    fn cut(&mut self, error: &Report) {
        self.is_cut = true;
        tracing::info!("fetching a save of {} broke off: {error}", self.line.game_id);
    }
}

impl Inner {
    /// The text of a snapshot of a line that is stored or known here.
    fn text(&self, line: &Line, id: &SnapshotId) -> Result<Option<Text>, Report> {
        let (bytes, is_stored) = match self.store.snapshot_bytes(id) {
            Ok(bytes) => (bytes, true),
            Err(SaveError::NoSnapshot(_) | SaveError::Damaged { .. }) => {
                let known = self.world.database.with(|s| s.snapshot_text(line.player, *id));
                match known.map_err(|e| errors::store(&e))? {
                    Some(text) => (text.into_bytes(), false),
                    None => return Ok(None),
                }
            }
            Err(error) => return Err(errors::save(&error)),
        };
        let snapshot = Snapshot::from_bytes(&bytes).map_err(|e| errors::save(&e.into()))?;
        Ok((Line::of(&snapshot) == *line).then_some(Text { id: *id, snapshot, bytes, is_stored }))
    }

    /// Holds objects and says which are not here.
    fn keep(&self, objects: BTreeSet<ObjectRef>, lease: &Lease) -> Result<Vec<ObjectRef>, SaveError> {
        let mut batch = self.store.batch(lease);
        let mut missing = Vec::new();
        for object in objects {
            if !batch.keep(&object)? {
                missing.push(object);
            }
        }
        batch.commit()?;
        Ok(missing)
    }

    /// Stores objects that somebody sent, durably. Each was checked against its hash by then, and is once more.
    fn store_objects(&self, objects: &[(ObjectRef, bytes::Bytes)], lease: &Lease) -> Result<(), SaveError> {
        let mut batch: Batch = self.store.batch(lease);
        for (object, bytes) in objects {
            batch.put_expected(object, bytes)?;
        }
        batch.commit()
    }
}
