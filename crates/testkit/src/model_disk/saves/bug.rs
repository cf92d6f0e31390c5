//! The bugs that are planted, each of a kind that code for saves has had, and where each is likely to show.

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Objects get their names before their bytes are durable.
    ObjectsNotSynced,
    /// The names of objects are not made durable.
    ShardFoldersNotSynced,
    /// The folders that hold the names are not.
    ShardNamesNotSynced,
    /// A snapshot is durable before its objects are.
    SnapshotBeforeObjects,
    /// Objects are written under their names.
    ObjectsInPlace,
    /// A snapshot gets its name before its bytes are durable.
    SnapshotNotSynced,
    /// The name of a snapshot, or its removal, is not made durable.
    SnapshotFolderNotSynced,
    /// A snapshot is written under its name.
    SnapshotInPlace,
    /// Staged files are not made durable.
    StagedNotSynced,
    /// There is no journal.
    NoJournal,
    /// The journal's bytes are not made durable.
    JournalNotSynced,
    /// The journal's name, or its removal, is not made durable.
    JournalFolderNotSynced,
    /// The journal is gone before the last file is in place.
    JournalClearedEarly,
    /// The live folders are not made durable before the journal goes.
    LiveFoldersNotSynced,
    /// Live files are written in place.
    LiveInPlace,
    /// Live files are not looked at again before they are replaced.
    AppliedWithoutLooking,
    /// A sweep does not look at what was put since it marked.
    SweptWithoutSecondLook,
    /// Scratch of a killed process is not swept.
    ScratchNotSwept,
    /// A folder that cannot be listed counts as empty.
    ListErrorSwallowed,
    /// A sync that failed is taken as done.
    FailedSyncIgnored,
    /// A copy of the other side gets its name before its bytes are durable.
    CopyNotSynced,
    /// The name of a copy, or its removal, is not made durable.
    CopyNameNotSynced,
    /// The record of a copy, or its removal, is not made durable.
    CopyRecordNotSynced,
    /// The record of a copy goes before the copy does.
    CopyRecordRemovedFirst,
    /// A copy goes before what the player chose is a snapshot.
    CopyRemovedBeforeChoice,
    /// Objects are removed before the removal of their snapshot is durable.
    ObjectsBeforeRemoval,
    /// A sweep does not see all snapshots.
    SweptWithPartOfTheList,
    /// What was captured or imported is not held until it is a snapshot.
    LeaseDroppedEarly,
    /// Objects that nothing needs are taken for removed and are not.
    ObjectsNeverRemoved,
    /// An archive gets its name before its bytes are durable.
    ExportNotSynced,
    /// An archive is written under its name.
    ExportInPlace,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 31] = [
        Self::ObjectsNotSynced,
        Self::ShardFoldersNotSynced,
        Self::ShardNamesNotSynced,
        Self::SnapshotBeforeObjects,
        Self::ObjectsInPlace,
        Self::SnapshotNotSynced,
        Self::SnapshotFolderNotSynced,
        Self::SnapshotInPlace,
        Self::StagedNotSynced,
        Self::NoJournal,
        Self::JournalNotSynced,
        Self::JournalFolderNotSynced,
        Self::JournalClearedEarly,
        Self::LiveFoldersNotSynced,
        Self::LiveInPlace,
        Self::AppliedWithoutLooking,
        Self::SweptWithoutSecondLook,
        Self::ScratchNotSwept,
        Self::ListErrorSwallowed,
        Self::FailedSyncIgnored,
        Self::CopyNotSynced,
        Self::CopyNameNotSynced,
        Self::CopyRecordNotSynced,
        Self::CopyRecordRemovedFirst,
        Self::CopyRemovedBeforeChoice,
        Self::ObjectsBeforeRemoval,
        Self::SweptWithPartOfTheList,
        Self::LeaseDroppedEarly,
        Self::ObjectsNeverRemoved,
        Self::ExportNotSynced,
        Self::ExportInPlace,
    ];

    /// The scenario in which it is likely to show first, to save time: all are tried when it does not.
    #[must_use]
    pub fn shows_in(self) -> &'static str {
        match self {
            Self::StagedNotSynced
            | Self::NoJournal
            | Self::JournalNotSynced
            | Self::JournalClearedEarly
            | Self::LiveFoldersNotSynced
            | Self::LiveInPlace => "apply",
            Self::JournalFolderNotSynced => "apply_then_play",
            Self::AppliedWithoutLooking => "apply_while_playing",
            Self::SweptWithoutSecondLook => "prune_while_putting",
            Self::CopyNotSynced | Self::CopyNameNotSynced => "copy",
            Self::CopyRecordNotSynced | Self::CopyRecordRemovedFirst | Self::CopyRemovedBeforeChoice => "resolve_mine",
            Self::ObjectsBeforeRemoval | Self::SweptWithPartOfTheList | Self::ObjectsNeverRemoved => "prune_twice",
            Self::LeaseDroppedEarly => "import_while_pruning",
            Self::ExportNotSynced | Self::ExportInPlace => "export",
            _ => "put",
        }
    }

    /// Whether it shows only when the disk reports errors.
    #[must_use]
    pub fn needs_errors(self) -> bool {
        matches!(self, Self::ListErrorSwallowed | Self::FailedSyncIgnored)
    }
}
