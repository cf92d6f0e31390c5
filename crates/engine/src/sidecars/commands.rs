//! What a person asks for about pictures, and who waits for one.

use std::time::Duration;

use bonfire_proto::{PictureRef, SnapshotId};

use super::shelf::{Key, Named};
use super::work::{Sidecar, SidecarJob};
use crate::command::{PictureAct, Reply};
use crate::engine::Engine;
use crate::input::{CommandId, Effect};
use crate::replication::model::{self, Picture};
use crate::report::{ErrorClass, Report};
use crate::saves::join::Line;
use crate::time::Instant;

/// How long a person waits for a picture that is on another device: 4 MiB through a bad Wi-Fi.
const WAIT: Duration = Duration::from_secs(20);
/// How often a picture that was here and turns out to be damaged is fetched anew for one person.
const TIMES: u32 = 3;

/// Somebody who waits for a picture.
#[derive(Debug)]
pub(super) struct Waiting {
    key: Key,
    picture: PictureRef,
    pub(super) file: String,
    pub(super) until: Instant,
    /// Whether it is being written.
    pub(super) is_writing: bool,
    /// How often it was lost on the way.
    pub(super) times: u32,
}

impl Engine {
    /// Carries out a command about the picture of a version that is known.
    ///
    /// # Errors
    /// When the version has no picture; as the shared log says.
    pub(crate) fn picture_command(
        &mut self,
        command: CommandId,
        line: Line,
        snapshot: SnapshotId,
        act: PictureAct,
        fx: &mut Vec<Effect>,
    ) -> Result<(), Report> {
        let key = (line.player, snapshot);
        let known = self.sidecars.shelf.picture(&key);
        let picture = || {
            let text = format!("version {snapshot} has no picture");
            let hint = format!("attach one with: bonfire saves picture {} {} FILE", line.game_id, snapshot.0.short());
            known.ok_or_else(|| Report::new(ErrorClass::NotFound, "no_picture", text).hint(hint))
        };
        match act {
            PictureAct::Attach { file } => {
                fx.push(Effect::Sidecar(Box::new(SidecarJob::Attach { command, line, snapshot, file })));
            }
            PictureAct::HandOut { file } => {
                let picture = picture()?;
                let until = self.now + WAIT;
                if !self.sidecars.shelf.is_here(&key, &picture) {
                    self.sidecars.shelf.ask(key);
                    self.ask_who_has(line.player, picture.hash, fx);
                }
                let waiting = Waiting { key, picture, file, until, is_writing: false, times: 0 };
                self.sidecars.waiting.insert(command, waiting);
            }
            PictureAct::Remove => {
                let found = picture()?;
                let uuid = model::snapshot_record_id(snapshot);
                let records = self.players.all.get(&line.player).map(|p| p.replica.records());
                if records.is_some_and(|r| !r.knows::<Picture>(uuid)) {
                    // Other devices may have found it as this one did: they have to hear that it is gone.
                    self.name_picture(&line, snapshot, found, fx)?;
                }
                self.players.delete::<Picture>(line.player, uuid, self.wall, fx)?;
                self.picture_record(line.player, uuid);
                self.audit(&line, self.me, "unpictured", Some(snapshot), Vec::new(), "", fx);
                fx.push(Effect::Reply(command, Ok(Reply::Done)));
            }
        }
        Ok(())
    }

    /// Has the pictures of these versions that are here read and compared. Nobody waits for it.
    pub(crate) fn check_pictures(&self, line: &Line, ids: &[SnapshotId], fx: &mut Vec<Effect>) {
        let player = line.player;
        let here = ids.iter().filter_map(|id| {
            let picture = self.sidecars.shelf.picture(&(player, *id))?;
            let is_here = self.sidecars.shelf.is_here(&(player, *id), &picture);
            is_here.then_some(Sidecar { snapshot: *id, picture })
        });
        let sidecars: Vec<Sidecar> = here.collect();
        if !sidecars.is_empty() {
            fx.push(Effect::Sidecar(Box::new(SidecarJob::Check { player, sidecars })));
        }
    }

    /// Says to all devices of the player that this is the snapshot's picture.
    pub(super) fn name_picture(
        &mut self,
        line: &Line,
        snapshot: SnapshotId,
        picture: PictureRef,
        fx: &mut Vec<Effect>,
    ) -> Result<(), Report> {
        let uuid = model::snapshot_record_id(snapshot);
        let PictureRef { hash, len, format } = picture;
        let (game, slot) = (line.game_id.clone(), line.slot.clone());
        let record = Picture { game, slot, snapshot, hash, len, format, device: self.me };
        self.players.put(line.player, uuid, &record, self.wall, fx)?;
        self.sidecars.note((line.player, snapshot), line.clone());
        self.sidecars.shelf.record((line.player, snapshot), Some(Named { picture, is_own: true }), true);
        self.show_picture(&(line.player, snapshot));
        Ok(())
    }

    /// Writes out what is here, and tells those who wait in vain.
    pub(super) fn answer_waiting_for_pictures(&mut self, now: Instant, fx: &mut Vec<Effect>) {
        let mut over = Vec::new();
        for (command, waiting) in &mut self.sidecars.waiting {
            let Waiting { key, picture, .. } = *waiting;
            let shelf = &self.sidecars.shelf;
            if waiting.is_writing {
                continue;
            }
            let is_asked = self.sidecars.queries.iter().any(|(of, _, hash)| (*of, *hash) == (key.0, picture.hash));
            let is_current = shelf.picture(&key) == Some(picture);
            if is_current && shelf.is_here(&key, &picture) && waiting.times < TIMES {
                waiting.is_writing = true;
                let (player, file) = (key.0, waiting.file.clone());
                let sidecar = Sidecar { snapshot: key.1, picture };
                let job = SidecarJob::HandOut { command: *command, player, sidecar, file };
                fx.push(Effect::Sidecar(Box::new(job)));
            } else if !is_current || now >= waiting.until || !(is_asked || shelf.may_come(&key)) {
                over.push((*command, key.1));
            }
        }
        for (command, snapshot) in over {
            self.sidecars.waiting.remove(&command);
            let text = format!("the picture of version {snapshot} is on no connected device that gave it");
            let error = Report::new(ErrorClass::Remote, "not_fetched", text).retryable();
            let error = error.hint("it is fetched as soon as a device that has it is connected");
            fx.push(Effect::Reply(command, Err(error)));
        }
    }
}
