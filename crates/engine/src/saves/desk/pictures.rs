//! What pictures of versions have to know of history, and nothing else: how a version stands here, and of which line it is.

use bonfire_proto::SnapshotId;

use super::Desk;
use crate::saves::join::Line;
use crate::sidecars::shelf::Stand;

impl Desk {
    /// How a snapshot of a line stands here.
    pub(crate) fn stand_of(&self, line: &Line, id: SnapshotId) -> Stand {
        let Some(slot) = self.get(line).map(|entry| &entry.slot) else { return Stand::Unknown };
        match slot.lineage().get(&id) {
            None => Stand::Unknown,
            Some(node) if slot.whole().contains(&id) => Stand::Whole(node.hlc),
            Some(_) if slot.has_let_go(&id) => Stand::LetGo,
            Some(_) => Stand::Known,
        }
    }

    /// The line that a snapshot is of.
    pub(crate) fn line_of(&self, id: SnapshotId) -> Option<Line> {
        let knows = |entry: &super::Entry| entry.slot.lineage().get(&id).is_some();
        let mut of = self.sets.iter();
        of.find_map(|(key, set)| set.lines.iter().find(|(_, e)| knows(e)).map(|(slot, _)| key.line(slot)))
    }

    /// Has the view of a line made anew.
    pub(crate) fn show_again(&mut self, line: &Line) {
        if self.get(line).is_some() {
            self.touched.insert(line.clone());
        }
    }
}
