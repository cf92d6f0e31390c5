//! Verifications of stored versions that are under way, and what they found until all of it was read.

use std::collections::BTreeSet;

use bonfire_proto::SnapshotId;

use super::SetKey;
use super::switch::not_here;
use crate::command::{Reply, SaveRef};
use crate::engine::Engine;
use crate::input::{CommandId, Effect};
use crate::report::Report;
use crate::saves::join::Line;
use crate::saves::work::{Checked, SaveJob, SaveWork};

/// A verification that is under way.
#[derive(Debug, Default)]
pub(super) struct Verifying {
    left: BTreeSet<Line>,
    versions: u64,
    bytes: u64,
    damaged: Vec<String>,
    unread: Vec<String>,
}

impl Engine {
    pub(super) fn verify_saves(
        &mut self,
        id: CommandId,
        at: Option<&SaveRef>,
        fx: &mut Vec<Effect>,
    ) -> Result<(), Report> {
        let lines = match at {
            None => self.desk.all_lines(),
            Some(SaveRef { game, slot: None, player }) => {
                let key = SetKey { player: self.players.resolve(*player)?, game: game.clone() };
                let set = self.desk.sets.get(&key).ok_or_else(|| not_here(&key))?;
                set.lines.keys().map(|slot| key.line(slot)).collect()
            }
            Some(at) => vec![self.known(at)?],
        };
        let mut verifying = Verifying::default();
        for line in lines {
            let Some(entry) = self.desk.get(&line) else { continue };
            let ids: Vec<SnapshotId> = entry.slot.whole().iter().copied().collect();
            if ids.is_empty() {
                continue;
            }
            self.check_pictures(&line, &ids, fx);
            verifying.left.insert(line.clone());
            fx.push(Effect::Save(Box::new(SaveJob { line, work: SaveWork::Verify { ids } })));
        }
        if verifying.left.is_empty() {
            let reply = Reply::Verified { versions: 0, bytes: 0, damaged: Vec::new(), unread: Vec::new() };
            fx.push(Effect::Reply(id, Ok(reply)));
        } else {
            self.desk.verifying.insert(id, verifying);
        }
        Ok(())
    }

    /// A line was verified: who asked for it is answered when it was the last.
    pub(super) fn verification(&mut self, line: &Line, checked: Checked, fx: &mut Vec<Effect>) {
        let Some(found) = self.desk.verifying.iter_mut().find(|(_, v)| v.left.contains(line)) else { return };
        let (command, verifying) = (*found.0, found.1);
        let Checked { versions, bytes, damaged, unread } = checked;
        let named = |what: &str| format!("{} {} {what}", line.game_id, line.slot);
        verifying.left.remove(line);
        verifying.versions += versions;
        verifying.bytes += bytes;
        verifying.damaged.extend(damaged.iter().map(|(id, why)| named(&format!("{id}: {why}"))));
        verifying.unread.extend(unread.iter().map(|what| named(what)));
        if verifying.left.is_empty()
            && let Some(Verifying { versions, bytes, damaged, unread, .. }) = self.desk.verifying.remove(&command)
        {
            fx.push(Effect::Reply(command, Ok(Reply::Verified { versions, bytes, damaged, unread })));
        }
    }
}
