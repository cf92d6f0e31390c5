//! What to do at start with a game root that an interrupted transaction may have left: recorded intent and observed state in,
//! one action out.
//!
//! Pure and total. Reading the disk and carrying out the action is `bonfire-disk`'s. Every action is idempotent, so a
//! crash within one leads back to the same or a later row.

pub mod installs;

use serde::{Deserialize, Serialize};

/// What `.lanspread.json` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Intent {
    /// No transaction, or no such file.
    None,
    /// A download (or its cancel) is under way.
    Downloading,
    /// A first install is under way.
    Installing,
    /// An install is being replaced.
    Updating,
    /// An install is being removed.
    Uninstalling,
    /// The file is there and cannot be understood.
    Unreadable,
}

impl Intent {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 6] =
        [Self::None, Self::Downloading, Self::Installing, Self::Updating, Self::Uninstalling, Self::Unreadable];
}

/// What `.bonfire.part` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum JournalState {
    /// There is none.
    Absent,
    /// It is ours by its first bytes, but its header does not check out.
    Damaged,
    /// It is not ours, or of a version that is not known.
    Unknown,
    /// The header is there; nothing was done yet.
    Prepared,
    /// Files may have been changed.
    Active,
    /// Every byte is durable; the sentinel is being put in place.
    Committing,
    /// The download was cancelled; its files are being swept.
    Cancelled,
    /// The sweep is durable; only the records are left.
    Done,
}

impl JournalState {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 8] = [
        Self::Absent,
        Self::Damaged,
        Self::Unknown,
        Self::Prepared,
        Self::Active,
        Self::Committing,
        Self::Cancelled,
        Self::Done,
    ];
}

/// What `version.ini` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SentinelState {
    /// A regular file: the game is downloaded.
    Regular,
    /// Not there.
    Absent,
    /// A folder, a link, something else.
    NotRegular,
}

impl SentinelState {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 3] = [Self::Regular, Self::Absent, Self::NotRegular];
}

/// What to do with the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// No transaction of ours: only download scratch goes, if there is any.
    SweepScratch,
    /// Nothing of the transaction took effect, or all of it did: remove its records and scratch.
    DropRecords,
    /// The download goes on from its verified chunks. Nothing is changed until someone resumes or cancels it.
    Resume,
    /// Put the staged sentinel in place if it is sound, then remove the records; otherwise as `Resume`.
    FinishCommit,
    /// Remove the files that the journal owns, then the records.
    FinishCancel,
    /// As `FinishCancel`, with the list that the intent carries, since the journal is lost.
    SweepByIntent,
    /// Another transaction's root: touch nothing, report it.
    LeaveToInstaller,
    /// Something here is not understood: touch nothing, report it.
    TouchNothing,
}

/// The action for a game root.
#[must_use]
pub fn decide(intent: Intent, journal: JournalState, sentinel: SentinelState) -> Action {
    use Action as A;
    use JournalState as J;
    match (intent, journal, sentinel) {
        // What is not understood is not touched: a newer version, or a hand, may need it.
        (Intent::Unreadable, ..) | (_, J::Unknown, _) => A::TouchNothing,
        (Intent::Installing | Intent::Updating | Intent::Uninstalling, ..) => A::LeaveToInstaller,
        // The cancel is durable and its sweep is not known to be.
        (_, J::Cancelled, SentinelState::Regular | SentinelState::Absent) => A::FinishCancel,
        (_, J::Done, _) => A::DropRecords,
        // A download never begins over such a sentinel, so someone put it there meanwhile.
        (_, J::Prepared | J::Active | J::Committing | J::Cancelled, SentinelState::NotRegular) => A::TouchNothing,

        (Intent::None, J::Absent, _) => A::SweepScratch,
        // The header is made durable before its name exists, so no crash of ours leaves this.
        (Intent::None, J::Damaged, _) => A::TouchNothing,
        // The intent is written before anything is changed: the beginning was cut short.
        (Intent::None, J::Prepared, _) => A::DropRecords,
        // Files were changed, so the intent was there once; another program cleared it. The journal is proof enough.
        (Intent::None | Intent::Downloading, J::Active, _) => A::Resume,
        // The new sentinel is in place: the old one was gone, durably, before the journal said `Committing`.
        (_, J::Committing, SentinelState::Regular) => A::DropRecords,
        (_, J::Committing, SentinelState::Absent) => A::FinishCommit,

        (Intent::Downloading, J::Prepared, _) => A::Resume,
        // The sentinel goes before the first byte changes and comes back after the last: this version is whole.
        (Intent::Downloading, J::Absent | J::Damaged, SentinelState::Regular) => A::DropRecords,
        (Intent::Downloading, J::Absent | J::Damaged, SentinelState::Absent) => A::SweepByIntent,
        (Intent::Downloading, J::Absent | J::Damaged, SentinelState::NotRegular) => A::TouchNothing,
    }
}

#[cfg(test)]
mod tests;
