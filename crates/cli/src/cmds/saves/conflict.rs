//! A conflict side by side: what is here, what others have, where they parted, and what differs. Pure.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_engine::saves::compare::Comparison;
use bonfire_engine::saves_view::{SlotView, VersionView};
use bonfire_proto::{GameId, PlayerId, SlotName, SnapshotId, SnapshotKind};
use serde::Serialize;

use super::compare::some_lines;
use super::show::{by, command_at, played, title, version_line};
use crate::render::{brief, count, size, table};
use crate::when::{age, utc};

/// Whose side it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Whose {
    /// What is on this device's disk.
    Mine,
    /// What another device has.
    Theirs,
}

/// One side.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    /// Whose it is.
    pub(crate) side: Whose,
    /// Which version; absent for what is on the disk and not in history yet.
    pub(crate) id: Option<SnapshotId>,
    /// What is known of it; absent while it is only named.
    pub(crate) version: Option<VersionView>,
    /// How many versions it is away from what all sides have in common; absent when they have nothing in common.
    pub(crate) versions_since: Option<u64>,
    /// Its files compared with those of the side that is here, when both are stored here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compared: Option<Comparison>,
}

/// A slot in which devices differ.
#[derive(Debug, Serialize)]
pub(crate) struct Conflict {
    player: PlayerId,
    game: GameId,
    slot: SlotName,
    pub(super) sides: Vec<Side>,
    /// The newest version that all sides were made from.
    common: Option<VersionView>,
    #[serde(skip)]
    title: String,
    #[serde(skip)]
    at: String,
}

impl Conflict {
    /// Of a slot and what is known of its versions, newest first.
    pub(crate) fn new(slot: &SlotView, history: &[VersionView]) -> Self {
        let known: BTreeMap<SnapshotId, &VersionView> = history.iter().map(|v| (v.id, v)).collect();
        let find = |id: SnapshotId| {
            let head = slot.heads.iter().find(|h| h.id == id).and_then(|h| h.version.as_ref());
            head.or_else(|| known.get(&id).copied())
        };
        let ancestors: Vec<BTreeSet<SnapshotId>> =
            slot.base.iter().chain(&slot.sides).map(|id| above(*id, &known)).collect();
        let is_common = |v: &&VersionView| slot.base.is_some() && ancestors.iter().all(|a| a.contains(&v.id));
        let common = history.iter().find(is_common);
        let before = common.map(|v| above(v.id, &known));
        let since = |id| before.as_ref().map(|before| above(id, &known).difference(before).count() as u64);
        let side = |side, id: Option<SnapshotId>| Side {
            side,
            id,
            version: id.and_then(find).cloned(),
            versions_since: id.and_then(since),
            compared: None,
        };
        let theirs = slot.sides.iter().map(|id| side(Whose::Theirs, Some(*id)));
        Self {
            player: slot.player,
            game: slot.game.clone(),
            slot: slot.slot.clone(),
            sides: std::iter::once(side(Whose::Mine, slot.base)).chain(theirs).collect(),
            common: common.cloned(),
            title: title(slot),
            at: command_at(slot),
        }
    }

    /// The lines for people.
    pub(crate) fn lines(&self, now: u64) -> Vec<String> {
        let mut lines = vec![format!("{}: {} differ", self.title, count(self.sides.len() as u64, "version"))];
        let header = ["SIDE", "VERSION", "BY", "WHEN (UTC)", "AGE", "PLAYED", "FILES", "SIZE", "SINCE THEY PARTED"];
        let rows = self.sides.iter().map(|side| row(side, now)).collect();
        lines.extend(table(&header, &[5, 6, 7], rows).lines().map(|line| format!("  {line}")));
        lines.extend(self.differences().into_iter().map(|line| format!("  {line}")));
        lines.push(match &self.common {
            Some(common) => format!("  before that all had {}", version_line(common, now)),
            None => "  they have no version in common".to_owned(),
        });
        let theirs = if self.sides.len() > 2 { "--use VERSION" } else { "--theirs | --use VERSION" };
        lines.push(format!("  settle it with: bonfire saves resolve {} --mine | --both | {theirs}", self.at));
        lines
    }

    /// What each other side has more or less than the one that is here.
    fn differences(&self) -> Vec<String> {
        let Some(Side { version: Some(mine), .. }) = self.sides.first() else { return Vec::new() };
        let mut lines = Vec::new();
        for side in self.sides.iter().skip(1) {
            lines.extend(side.version.as_ref().map(|v| format!("{} {}", brief(&v.id), difference(mine, v))));
            lines.extend(side.compared.iter().flat_map(some_lines).map(|line| format!("  {line}")));
        }
        lines
    }
}

fn row(side: &Side, now: u64) -> Vec<String> {
    let whose = match side.side {
        Whose::Mine => "mine, here",
        Whose::Theirs => "theirs",
    };
    let version = side.version.as_ref();
    let dash = || "-".to_owned();
    let id = side.id.as_ref().map_or_else(|| "not in history yet".to_owned(), brief);
    vec![
        whose.to_owned(),
        id,
        version.map_or_else(dash, by),
        version.map_or_else(dash, |v| utc(v.created_at)),
        version.map_or_else(dash, |v| age(now, v.created_at)),
        version.map_or_else(dash, played),
        version.map_or_else(dash, |v| v.files.to_string()),
        version.map_or_else(dash, |v| size(v.size)),
        side.versions_since.map_or_else(dash, |n| count(n, "version")),
    ]
}

/// `has 1 file more and is 120 B larger than what is here`.
fn difference(mine: &VersionView, theirs: &VersionView) -> String {
    match (mine.kind == SnapshotKind::Tombstone, theirs.kind == SnapshotKind::Tombstone) {
        (false, true) => return "deletes the save".to_owned(),
        (true, false) => return "keeps the save, which is deleted here".to_owned(),
        _ => {}
    }
    let files = match theirs.files.cmp(&mine.files) {
        std::cmp::Ordering::Equal => "as many files".to_owned(),
        std::cmp::Ordering::Greater => format!("{} more", count(theirs.files - mine.files, "file")),
        std::cmp::Ordering::Less => format!("{} fewer", count(mine.files - theirs.files, "file")),
    };
    let bytes = match theirs.size.cmp(&mine.size) {
        std::cmp::Ordering::Equal => "as many bytes".to_owned(),
        std::cmp::Ordering::Greater => format!("{} more", size(theirs.size - mine.size)),
        std::cmp::Ordering::Less => format!("{} less", size(mine.size - theirs.size)),
    };
    format!("has {files} and {bytes} than what is here").replace("bytes than", "bytes as")
}

/// A version and all that it was made from, as far as history knows.
fn above(id: SnapshotId, known: &BTreeMap<SnapshotId, &VersionView>) -> BTreeSet<SnapshotId> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![id];
    while let Some(id) = waiting.pop() {
        if seen.insert(id)
            && let Some(version) = known.get(&id)
        {
            waiting.extend(&version.parents);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use bonfire_engine::saves::slot::Standing;
    use bonfire_engine::saves_view::VersionView;
    use bonfire_proto::SnapshotKind;

    use super::{Conflict, difference};
    use crate::cmds::saves::made_up::{NOW, id, slot, version};

    fn child(start: &str, parent: &str) -> VersionView {
        VersionView { parents: vec![id(parent)], ..version(start) }
    }

    #[test]
    fn both_sides_are_shown_with_where_they_parted_and_what_differs() {
        let mine = VersionView { is_base: true, is_head: true, ..child("cc", "bb") };
        let theirs = VersionView {
            is_head: true,
            device_name: "deck".to_owned(),
            files: 4,
            size: 1024,
            played_ms: 7_530_000,
            created_at: NOW - 3_600_000,
            ..child("dd", "aa")
        };
        let history = [mine.clone(), theirs.clone(), child("bb", "aa"), version("aa")];
        let conflict = Conflict::new(&slot(Standing::Conflict, &[mine, theirs]), &history);
        assert_eq!(
            conflict.lines(NOW),
            [
                "quake main: 2 versions differ",
                "  SIDE        VERSION       BY     WHEN (UTC)           AGE           PLAYED  FILES     SIZE  SINCE THEY PARTED",
                "  mine, here  cc0000000000  tower  2025-12-31 23:59:00  1 min ago          -      3  2.0 KiB  2 versions",
                "  theirs      dd0000000000  deck   2025-12-31 23:00:00  1 h ago    2 h 5 min      4  1.0 KiB  1 version",
                "  dd0000000000 has 1 file more and 1.0 KiB less than what is here",
                "  before that all had version aa0000000000 of 1 min ago from tower, 3 files, 2.0 KiB",
                "  settle it with: bonfire saves resolve quake --mine | --both | --theirs | --use VERSION",
            ]
        );
    }

    #[test]
    fn what_is_not_in_history_yet_is_a_side_too() {
        let theirs = VersionView { is_head: true, ..version("dd") };
        let conflict =
            Conflict::new(&slot(Standing::Conflict, std::slice::from_ref(&theirs)), std::slice::from_ref(&theirs));
        let lines = conflict.lines(NOW);
        assert!(lines[2].contains("mine, here  not in history yet  -"), "{lines:#?}");
        assert!(lines[4].contains("no version in common"), "{lines:#?}");
    }

    #[test]
    fn among_several_sides_theirs_is_not_offered() {
        let mine = VersionView { is_base: true, is_head: true, ..version("aa") };
        let heads = [mine, version("bb"), version("cc")];
        let lines = Conflict::new(&slot(Standing::Conflict, &heads), &heads).lines(NOW);
        assert_eq!(lines[0], "quake main: 3 versions differ");
        assert!(lines.last().unwrap().ends_with("--mine | --both | --use VERSION"), "{lines:#?}");
    }

    #[test]
    fn a_history_that_loops_or_lacks_parents_ends() {
        let mine = VersionView { is_base: true, ..child("aa", "bb") };
        let heads = [mine, child("bb", "aa"), child("cc", "ff")];
        assert!(!Conflict::new(&slot(Standing::Conflict, &heads), &heads).lines(NOW).is_empty());
    }

    #[test]
    fn a_deletion_is_called_one() {
        let gone = VersionView { kind: SnapshotKind::Tombstone, files: 0, size: 0, ..version("aa") };
        assert_eq!(difference(&version("bb"), &gone), "deletes the save");
        assert_eq!(difference(&gone, &version("bb")), "keeps the save, which is deleted here");
        let same = difference(&version("bb"), &version("cc"));
        assert_eq!(same, "has as many files and as many bytes as what is here");
    }
}
