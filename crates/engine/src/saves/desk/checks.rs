//! Whether what is asked can be meant: the line, the version, the places and names.

use std::collections::BTreeMap;

use bonfire_proto::{PlayerId, SlotName, SnapshotId};

use super::SetKey;
use super::commands::{not_found, refused};
use super::switch::not_here;
use crate::command::{RootSpec, SaveRef};
use crate::engine::Engine;
use crate::report::Report;
use crate::saves::join::Line;
use crate::saves::work::Root;

/// Most roots of a save set.
const ROOTS_MAX: usize = 64;
/// Longest path and pattern, in bytes.
const PATH_MAX: usize = 4096;

impl Engine {
    /// The line that is meant, known here or not.
    pub(super) fn known_or_new(&self, at: &SaveRef) -> Result<Line, Report> {
        let player: PlayerId = self.players.resolve(at.player)?;
        let key = SetKey { player, game: at.game.clone() };
        let active = || self.desk.active(&key).map(|l| l.slot);
        Ok(key.line(&at.slot.clone().or_else(active).unwrap_or_else(SlotName::main)))
    }

    /// The line that is meant, which has to be known.
    pub(super) fn known(&self, at: &SaveRef) -> Result<Line, Report> {
        let line = self.known_or_new(at)?;
        if self.desk.get(&line).is_some() {
            return Ok(line);
        }
        let has_set = self.desk.sets.contains_key(&SetKey::of(&line));
        if has_set {
            return Err(not_found("no_slot", &format!("{} has no slot {}", line.game_id, line.slot))
                .hint(format!("see them with: bonfire saves summary {}", line.game_id)));
        }
        Err(not_here(&SetKey::of(&line)))
    }

    /// The line that is meant, whose files have to be on this disk.
    pub(super) fn placed(&self, at: &SaveRef) -> Result<Line, Report> {
        let line = self.known_or_new(at)?;
        let key = SetKey::of(&line);
        match self.desk.active(&key) {
            Some(active) if active == line => Ok(line),
            Some(active) => {
                let text = format!("slot {} of {} is not on this disk; {} is", line.slot, line.game_id, active.slot);
                Err(refused("other_slot", &text)
                    .hint(format!("bonfire saves switch {} --slot {}", line.game_id, line.slot)))
            }
            None => Err(not_here(&key)),
        }
    }

    /// The same, of a slot that this device takes part in.
    pub(super) fn tracked(&self, at: &SaveRef) -> Result<Line, Report> {
        let line = self.placed(at)?;
        if !self.players.takes_part(line.player) {
            let text = "this device takes no part in the player's saves";
            return Err(refused("takes_no_part", text).hint("see: bonfire devices list"));
        }
        if self.desk.get(&line).is_some_and(|e| e.is_untracked) {
            return Err(refused("untracked", "this device leaves the slot alone; track it first"));
        }
        Ok(line)
    }

    pub(super) fn check_version(&self, line: &Line, snapshot: SnapshotId) -> Result<(), Report> {
        let is_known = self.desk.get(line).is_some_and(|e| e.slot.lineage().get(&snapshot).is_some());
        if is_known { Ok(()) } else { Err(not_found("unknown_snapshot", &format!("no version {snapshot} here"))) }
    }

    pub(super) fn check_stored(&self, line: &Line, snapshot: SnapshotId) -> Result<(), Report> {
        if self.desk.get(line).is_some_and(|e| e.slot.whole().contains(&snapshot)) {
            return Ok(());
        }
        Err(not_found("not_stored", &format!("version {snapshot} is not stored here")))
    }
}

/// The roots of a save set as they are meant: each with a label, those of the other devices where none is given.
pub(super) fn check_roots(roots: Vec<RootSpec>, known: &[String]) -> Result<Vec<Root>, Report> {
    if roots.is_empty() || roots.len() > ROOTS_MAX {
        return Err(refused("bad_roots", &format!("a save set has 1 to {ROOTS_MAX} paths")));
    }
    let unnamed = roots.iter().filter(|r| r.label.is_none()).count();
    if unnamed > 1 && !known.is_empty() && known.len() != roots.len() {
        let text = format!("on other devices this save set has the parts {}", known.join(", "));
        return Err(refused("which_parts", &text).hint("name them: LABEL=PATH"));
    }
    let mut used: BTreeMap<String, ()> = BTreeMap::new();
    let mut out = Vec::new();
    for (n, root) in roots.into_iter().enumerate() {
        let default =
            || known.get(n).cloned().unwrap_or_else(|| if n == 0 { "save".into() } else { format!("save{}", n + 1) });
        let label = root.label.unwrap_or_else(default);
        let is_legal = (1..=32).contains(&label.len()) && is_name(&label);
        if !is_legal {
            return Err(refused("bad_label", "the name of a part is 1 to 32 bytes that every system can store"));
        }
        if used.insert(label.clone(), ()).is_some() {
            return Err(refused("bad_label", &format!("the part {label} is there twice")));
        }
        if root.path.is_empty() || root.path.len() > PATH_MAX {
            return Err(refused("bad_path", "a path has 1 to 4096 bytes"));
        }
        let is_file = root.is_file.unwrap_or(false);
        out.push(Root { label, path: root.path, is_file, include: root.include, placed: root.placed });
    }
    Ok(out)
}

pub(super) fn is_name(text: &str) -> bool {
    bonfire_proto::RelPath::new(text).is_ok_and(|p| p.parts().count() == 1)
}
