//! The rows of the table as people read them. `decide` says which one applies.

use serde::{Deserialize, Serialize};

use super::{Action, Decision};

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// 1
    Current,
    /// 2
    Behind,
    /// 3
    Ahead,
    /// 4
    SameContent,
    /// 5
    Diverged,
    /// 6
    Dirty,
    /// 7
    DirtyBehind,
    /// 8
    DirtyAhead,
    /// 9
    NewDevice,
    /// 10
    FirstSave,
    /// 11
    Unclaimed,
    /// 12
    Shrunk,
    /// 13
    DeletedButEdited,
    /// 14
    Deleted,
    /// 15
    NotReadable,
    /// 16
    Playing,
    /// 17
    Untracked,
    /// 18
    ManyHeads,
}

impl Row {
    /// Every row, in the order of the table.
    pub const ALL: [Self; 18] = [
        Self::Current,
        Self::Behind,
        Self::Ahead,
        Self::SameContent,
        Self::Diverged,
        Self::Dirty,
        Self::DirtyBehind,
        Self::DirtyAhead,
        Self::NewDevice,
        Self::FirstSave,
        Self::Unclaimed,
        Self::Shrunk,
        Self::DeletedButEdited,
        Self::Deleted,
        Self::NotReadable,
        Self::Playing,
        Self::Untracked,
        Self::ManyHeads,
    ];

    /// Its number, from 1 to 18.
    #[must_use]
    pub fn number(self) -> usize {
        Self::ALL.iter().position(|r| *r == self).map_or(0, |at| at + 1)
    }

    /// What the disk is, against the base.
    #[must_use]
    pub fn disk(self) -> &'static str {
        self.texts()[0]
    }

    /// What the heads of others are, against ours.
    #[must_use]
    pub fn heads(self) -> &'static str {
        self.texts()[1]
    }

    /// What is done, in one line.
    #[must_use]
    pub fn text(self) -> &'static str {
        self.texts()[2]
    }

    /// The whole table in Markdown, for the page that documents it.
    #[must_use]
    pub fn markdown() -> String {
        let line = |r: &Self| format!("| {} | {} | {} | {} |\n", r.number(), r.disk(), r.heads(), r.text());
        let rows: String = Self::ALL.iter().map(line).collect();
        format!("| # | disk vs base | other head vs our head | action |\n|---|---|---|---|\n{rows}")
    }

    pub(super) fn says(self, action: Action) -> Decision {
        Decision { row: self, action }
    }

    fn texts(self) -> [&'static str; 3] {
        match self {
            Self::Current => ["clean", "equal, or none", "nothing"],
            Self::Behind => [
                "clean",
                "ours is an ancestor",
                "fast-forward: look again immediately before the rename; equal content is adopted, nothing written",
            ],
            Self::Ahead => ["clean", "theirs is an ancestor", "nothing; offer ours"],
            Self::SameContent => {
                ["clean", "diverged, same content", "join, the same on every device; write nothing, ask nothing"]
            }
            Self::Diverged => [
                "clean",
                "diverged, other content",
                "conflict: live files and head stay, theirs is written beside, shown on every device",
            ],
            Self::Dirty => ["dirty", "equal, or none", "snapshot, announce"],
            Self::DirtyBehind => {
                ["dirty", "ours is an ancestor, or diverged", "snapshot first, then row 4, 5, 13 or 18"]
            }
            Self::DirtyAhead => {
                ["dirty", "theirs is an ancestor, or not known yet", "snapshot, announce; apply nothing"]
            }
            Self::NewDevice => ["absent, no base", "any", "apply; nothing is deleted anywhere"],
            Self::FirstSave => ["present, no base", "none", "snapshot, announce"],
            Self::Unclaimed => [
                "present, no base",
                "some",
                "equal content: adopt; else snapshot without parents, then row 4, 5, 13 or 18: never newest wins",
            ],
            Self::Shrunk => [
                "missing, empty, or under half of base's size, not deleted through us",
                "any",
                "hold and ask: announce nothing, delete nothing",
            ],
            Self::DeletedButEdited => [
                "deleted through us, or either side a tombstone",
                "edited",
                "the tombstone is joined with the edit, which survives; the player is told",
            ],
            Self::Deleted => ["deleted through us", "unchanged", "tombstone; history kept"],
            Self::NotReadable => [
                "unreadable, or changed within the settle time; or clean and a head is not known yet",
                "any",
                "wait, fetch and retry; an error is never an empty result",
            ],
            Self::Playing => ["any, and the game runs", "newer, or the save is gone", "defer until it exits"],
            Self::Untracked => ["untracked here", "any", "record, touch nothing"],
            Self::ManyHeads => {
                ["clean, or absent without base", "several heads", "all equal: join; else stay and show every side"]
            }
        }
    }
}
