//! The command line of `saves` and `play`.

use std::path::PathBuf;

use bonfire_proto::{GameId, SlotName};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

/// Which line of whose saves.
#[derive(Debug, Clone, Args)]
pub(crate) struct Which {
    /// The game
    pub(crate) game: GameId,

    /// The slot [default: the one whose files lie on this machine]
    #[arg(long, value_name = "SLOT")]
    pub(crate) slot: Option<SlotName>,

    /// The player, by name or id [default: the only one of this machine]
    #[arg(long, value_name = "PLAYER")]
    pub(crate) player: Option<String>,
}

/// Saves: where they lie, their history, and what devices do not agree on.
#[derive(Debug, Subcommand)]
pub(crate) enum SavesCmd {
    /// List the saves of this machine's players
    List {
        /// Only this game
        #[arg(long)]
        game: Option<GameId>,
    },

    /// Say where a game's save lies on this machine; without PATH it is found by the catalog or a manifest
    #[command(after_help = "Examples:\n  bonfire saves add quake ~/.quake/saves\n  \
        bonfire saves add quake save=~/.quake/saves config=~/.quake/config.cfg --ignore '*.log'\n\n\
        A path may be a folder or one file. What stands before an equals sign is the part's label, the same on every \
        device; without labels they are save, save2 .. in order. A path with an equals sign in it is written with ./ or \
        / in front. Without PATH, where the save lies is found by the catalog, by an imported manifest or by what the game brings \
        itself, shown, and asked about.")]
    Add(SavesAddArgs),

    /// Show where saves of the games here lie, by the catalog or a manifest, without adding any
    Find {
        /// Only this game [default: every game that is here]
        game: Option<GameId>,
        #[command(flatten)]
        found: FoundArgs,
    },

    /// Read a manifest that says where games keep their saves, in the format of Ludusavi
    #[command(group(ArgGroup::new("what").required(true).args(["from", "remove"])))]
    ImportManifest {
        /// The file, or an address that begins with http:// or https://
        #[arg(value_name = "FILE|URL")]
        from: Option<String>,
        /// Forget the manifest that was imported
        #[arg(long)]
        remove: bool,
    },

    /// Forget where a save lies here; its files and its history stay
    Forget(Which),

    /// Show a game's slots: how many versions, and the newest of each
    Summary {
        /// The game
        game: GameId,
        /// The player, by name or id [default: the only one of this machine]
        #[arg(long, value_name = "PLAYER")]
        player: Option<String>,
    },

    /// List the versions of a slot
    History(HistoryArgs),

    /// Look at the disk now and make a version of what is new
    #[command(
        after_help = "Bonfire does this by itself; push is for being sure. It is refused when other devices have \
        versions that this one does not know: compare them with `bonfire saves conflicts`, then resolve. --overwrite puts \
        what is here over the versions that you name, all of which stay in history."
    )]
    Push {
        #[command(flatten)]
        which: Which,
        /// Put it over these versions, which have to be all the newest ones
        #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
        overwrite: Option<Vec<String>>,
    },

    /// Bring the disk to the newest version, and wait until it is there
    Pull {
        #[command(flatten)]
        which: Which,
        /// Count it as current when it is fetched, before it is on the disk
        #[arg(long)]
        optimistic: bool,
    },

    /// Look again whether the disk is the newest version, and say so to the other devices
    Confirm(Which),

    /// Show the saves on which devices differ, side by side
    Conflicts {
        /// Only this game
        #[arg(long)]
        game: Option<GameId>,
    },

    /// Settle a conflict; every side stays in history
    Resolve(ResolveArgs),

    /// Go back to an earlier version, as a new one on top
    Rollback {
        #[command(flatten)]
        which: Which,
        /// The version: the beginning of its id, as `bonfire saves history` shows it
        id: String,
    },

    /// Delete a save on every device; its history stays, so that it can be rolled back
    Delete(Which),

    /// Answer a save that is held because it is missing, empty or much smaller than before
    #[command(group(ArgGroup::new("answer").required(true).args(["keep_disk", "restore"])))]
    Release {
        #[command(flatten)]
        which: Which,
        /// What is on the disk is meant: it becomes the newest version
        #[arg(long)]
        keep_disk: bool,
        /// Put back what history has
        #[arg(long)]
        restore: bool,
    },

    /// Have another slot on this machine's disk; a new slot begins with what is there
    Switch {
        /// The game
        game: GameId,
        /// The slot
        #[arg(long, value_name = "SLOT")]
        slot: SlotName,
        /// The player, by name or id [default: the only one of this machine]
        #[arg(long, value_name = "PLAYER")]
        player: Option<String>,
    },

    /// Keep a version whatever the retention says
    Pin {
        #[command(flatten)]
        which: Which,
        /// The version: the beginning of its id
        id: String,
        /// No longer
        #[arg(long)]
        off: bool,
    },

    /// Write something about a version
    Note {
        #[command(flatten)]
        which: Which,
        /// The version: the beginning of its id
        id: String,
        /// The text, at most 512 bytes; an empty one takes the note away
        text: String,
    },

    /// Attach a picture to a version, write it out, or take it away
    Picture(PictureArgs),

    /// Say how many versions of a slot are kept
    Retention {
        #[command(flatten)]
        which: Which,
        /// How many besides those that are pinned or needed
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        keep: u32,
        /// Remove none by itself
        #[arg(long)]
        no_autocleanup: bool,
    },

    /// Give a slot a name for people, on every device
    RenameSlot {
        #[command(flatten)]
        which: Which,
        /// The name, at most 128 bytes; an empty one gives it its plain name back
        name: String,
    },

    /// Take part in a slot on this machine again
    Track(Which),

    /// Leave a slot alone on this machine; what changes elsewhere is still recorded
    Untrack(Which),

    /// Show which files differ between two versions
    Compare {
        #[command(flatten)]
        which: Which,
        /// The first version: the beginning of its id, as `bonfire saves history` shows it
        from: String,
        /// The second version [default: the newest]
        to: Option<String>,
    },

    /// Write a version as a zip archive
    Export {
        #[command(flatten)]
        which: Which,
        /// The version: the beginning of its id [default: the newest]
        id: Option<String>,
        /// Folder for the archive
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        to: PathBuf,
    },

    /// Make a version of what is in a zip archive
    Import {
        #[command(flatten)]
        which: Which,
        /// The archive
        file: PathBuf,
        /// The part of the save that its files belong to [default: as `export` wrote it]
        #[arg(long)]
        label: Option<String>,
    },

    /// Read stored versions again and compare them with their hashes
    Verify {
        /// Only this game
        game: Option<GameId>,
        /// Only this slot
        #[arg(long, value_name = "SLOT", requires = "game")]
        slot: Option<SlotName>,
        /// The player, by name or id
        #[arg(long, value_name = "PLAYER", requires = "game")]
        player: Option<String>,
    },

    /// Show who did what to which save, newest first
    Audit(AuditArgs),
}

/// Arguments of `saves add`.
#[derive(Debug, Args)]
pub(crate) struct SavesAddArgs {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Folders or files, each as PATH or LABEL=PATH [default: where the catalog or a manifest says]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) found: FoundArgs,

    /// Add what is found without asking
    #[arg(long, conflicts_with = "paths")]
    pub(crate) yes: bool,

    /// Files that are no part of it, on any device; may be given several times
    #[arg(long, value_name = "PATTERN")]
    pub(crate) ignore: Vec<String>,

    /// Only these files of the folders; may be given several times
    #[arg(long, value_name = "PATTERN", requires = "paths")]
    pub(crate) include: Vec<String>,

    /// Name of a program that is the game, to see that it runs; may be given several times
    #[arg(long = "program", value_name = "NAME")]
    pub(crate) programs: Vec<String>,

    /// Each path is one file, also when it is not there yet
    #[arg(long, requires = "paths")]
    pub(crate) file: bool,
}

/// How the saves of a game are found.
#[derive(Debug, Default, Args)]
pub(crate) struct FoundArgs {
    /// The game's title in the manifest, where several could be meant
    #[arg(long, value_name = "TITLE")]
    pub(crate) title: Option<String>,

    /// The prefix of Wine or Proton that the game runs in
    #[arg(long, value_name = "FOLDER")]
    pub(crate) prefix: Option<PathBuf>,

    /// Settings too, not saves alone
    #[arg(long)]
    pub(crate) with_config: bool,

    /// Believe the .ludusavi.yaml that the game brings in its folder
    #[arg(long)]
    pub(crate) own_manifest: bool,
}

/// By what a history is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderBy {
    /// Newest first
    Time,
    /// Largest first
    Size,
    /// By the device's name, then newest first
    Device,
}

/// Arguments of `saves history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) which: Which,

    /// What comes first
    #[arg(long, value_enum, default_value = "time")]
    pub(crate) order_by: OrderBy,

    /// Most versions to list
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

/// Arguments of `saves picture`.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("act").required(true).args(["file", "to", "remove"])),
    after_help = "A picture is a PNG, JPEG or WebP file of at most 4 MiB, told by its content. It takes the place of the one \
    that the version has. The player's other devices fetch small ones (512 KiB) by themselves, larger ones when they are asked \
    for."
)]
pub(crate) struct PictureArgs {
    #[command(flatten)]
    pub(crate) which: Which,

    /// The version: the beginning of its id, as `bonfire saves history` shows it
    pub(crate) id: String,

    /// The picture to attach
    pub(crate) file: Option<PathBuf>,

    /// Write the version's picture into this file; what is not here is fetched from another device
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,

    /// Take the picture away, on every device
    #[arg(long)]
    pub(crate) remove: bool,
}

/// Arguments of `saves resolve`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("how").required(true).args(["mine", "theirs", "both", "use_id"])))]
pub(crate) struct ResolveArgs {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Take what is on this machine's disk
    #[arg(long)]
    pub(crate) mine: bool,

    /// Take the other side, where there is one
    #[arg(long)]
    pub(crate) theirs: bool,

    /// Keep what is on this disk, and each other side in a slot of its own
    #[arg(long)]
    pub(crate) both: bool,

    /// Take this version: the beginning of its id
    #[arg(long = "use", value_name = "ID")]
    pub(crate) use_id: Option<String>,
}

/// Arguments of `saves audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Only this game
    #[arg(long)]
    pub(crate) game: Option<GameId>,

    /// Only this slot
    #[arg(long, value_name = "SLOT")]
    pub(crate) slot: Option<SlotName>,

    /// Only this player, by name or id
    #[arg(long, value_name = "PLAYER")]
    pub(crate) player: Option<String>,

    /// Only this action: saved, applied, conflict, resolved, rolled_back ..
    #[arg(long)]
    pub(crate) action: Option<String>,

    /// Not before: a span (30m, 12h, 7d) or a day (2026-01-31, in UTC)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,

    /// Most entries
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
}

/// Arguments of `play`.
#[derive(Debug, Args)]
pub(crate) struct PlayArgs {
    #[command(flatten)]
    pub(crate) which: Which,

    /// How long to wait for the newest save before the game starts, and for others to have the new one after it
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(crate) wait: u64,

    /// Start the game also with a conflict or a held save, without asking
    #[arg(long)]
    pub(crate) anyway: bool,

    /// Start no game without a running peer
    #[arg(long, conflicts_with = "anyway")]
    pub(crate) strict: bool,

    /// The game's program and its arguments [default: as the catalog, or a script of the game's package, says]
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<std::ffi::OsString>,
}
