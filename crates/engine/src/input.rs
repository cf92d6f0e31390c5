//! What the engine hears and what it wants done: the two vocabularies between it and the shell. Types only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bonfire_proto::message::{Control, Hello, LibraryDelta, Request, Response};
use bonfire_proto::message_pair::{PairDevice, PairInvite, PairPart, PairPlayer, PairRefusal, PairStart};
use bonfire_proto::{CloseCode, ContentHash, Digest, GameId, LibraryEpoch, ManifestHash, PeerId};

use crate::command::{AuditFilter, CatalogEntry, Command, ProbeOutcome, Reply};
use crate::event::{PeerEvent, VerifiedInstall};
use crate::installs::Carried;
use crate::library::LibraryChange;
use crate::offers::Target;
use crate::record::Record;
use crate::remote::Assembled;
use crate::report::Report;
use crate::saves::work::{Placement, SaveInput, SaveJob, SetKey};
use crate::sidecars::work::{SidecarInput, SidecarJob};
use crate::snapshot::Phase;
use crate::trust::roster::Proven;
use crate::trust::{DeviceRole, Secret};

/// Pairs a command with its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// One connection, as the shell numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// One attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// One operation. Counted from 1 since the peer started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// One pairing. Those that others begin and those that we begin are counted together, by the shell and by the engine in
/// numbers of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PairId {
    /// We typed a code.
    Ours(u64),
    /// Somebody else did.
    Theirs(u64),
}

/// Everything that the engine can hear.
#[derive(Debug)]
pub enum Input {
    /// A front end asks.
    Command(CommandId, Command),
    /// The listener is bound.
    Listening(SocketAddr),
    /// Discovery saw something. Hints, never proof.
    Discovery(Discovered),
    /// Something about a connection.
    Conn(ConnInput),
    /// The games folder was read.
    Scanned(Scanned),
    /// The watcher saw a change.
    Watched(Watched),
    /// The catalog file was read; `None` when there is none.
    CatalogLoaded(Result<Option<Vec<CatalogEntry>>, Report>),
    /// The catalog was made durable as asked, or was not.
    CatalogSaved(Result<(), Report>),
    /// A folder was looked at (and given a sentinel, when it had none) for the catalog.
    CatalogPrepared(CommandId, Result<PreparedEntry, Report>),
    /// Games were hashed, or were not; each was asked for by `Effect::Hash`.
    Hashed(Vec<(GameId, Hashed)>),
    /// Something about an operation.
    Op(OpId, OpInput),
    /// Something about saves.
    Save(SaveInput),
    /// Something about pictures of saves.
    Sidecar(SidecarInput),
    /// Something about a pairing.
    Pairing(PairId, PairInput),
    /// Peers answered a probe.
    Probed(CommandId, Vec<ProbeOutcome>),
    /// The time of `next_deadline` has come.
    Deadline,
}

/// What discovery saw.
#[derive(Debug, Clone)]
pub enum Discovered {
    /// A peer announces itself.
    Found {
        /// Who it claims to be.
        peer: PeerId,
        /// Its listener, best first.
        addrs: Vec<SocketAddr>,
        /// Protocol version.
        proto_ver: u32,
        /// Where it says that its library stands.
        library: (LibraryEpoch, u64),
    },
    /// A peer's announcement ended.
    Lost {
        /// Who.
        peer: PeerId,
    },
    /// Discovery does not work.
    Failed(Report),
    /// Discovery works again.
    Works,
}

/// Something about a connection.
#[derive(Debug)]
pub enum ConnInput {
    /// Hellos were exchanged (dialled) or the other side's was read (accepted).
    Arrived {
        /// The connection.
        conn: ConnId,
        /// Who the certificate proves it to be.
        proven: PeerId,
        /// The whole hash of the key that it proves.
        key_hash: Digest,
        /// The attempt, when we dialled.
        dial: Option<DialId>,
        /// What it says.
        hello: Hello,
        /// Where its packets come from.
        remote: SocketAddr,
    },
    /// A message on the control stream.
    Message(ConnId, Control),
    /// A sign of life other than a control message.
    Active(ConnId),
    /// What a library request brought.
    Library(ConnId, Result<LibraryAnswer, Report>),
    /// What an `Effect::Ask` brought.
    Answered(ConnId, Box<Request>, Result<Box<Response>, Report>),
    /// The connection is over.
    Closed(ConnId, String),
    /// An attempt failed.
    DialFailed(DialId, Report),
}

/// What a library request brought.
#[derive(Debug)]
pub enum LibraryAnswer {
    /// Changes.
    Delta(LibraryDelta),
    /// The whole library.
    Snapshot(Assembled),
}

/// What a look at the games folder found.
#[derive(Debug)]
pub struct Scanned {
    /// The game that was read; `None` for all of them.
    pub scope: Option<GameId>,
    /// Facts of each game read; `None` for one that is not there. With scope `None`, games not named are gone.
    pub games: Result<BTreeMap<GameId, Option<GameFacts>>, Report>,
    /// Games whose files were listed anew because their folder is not as it was: what is stored of them is out of date
    /// even when their facts are the same.
    pub walked: BTreeSet<GameId>,
    /// What is wrong with the folder itself: names that are no game ids, names that collide.
    pub problems: Vec<String>,
}

/// What the folder of one game says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameFacts {
    /// Version that the sentinel states.
    pub version: String,
    /// Bytes.
    pub size: u64,
    /// Files.
    pub files: u64,
    /// Whether the sentinel is a regular file.
    pub downloaded: bool,
    /// Whether `local/` is a directory.
    pub installed: bool,
    /// Version of what is installed, where it is known: another one than `version`, once that was downloaded anew.
    pub installed_version: Option<String>,
    /// Hash of the file list.
    pub manifest_hash: ManifestHash,
    /// Hash of the content, when every file's hash is known.
    pub content_hash: Option<ContentHash>,
    /// What it was downloaded as, when Bonfire downloaded it: what `verify` compares with.
    pub expected: Option<(ManifestHash, ContentHash)>,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

/// What the watcher saw.
#[derive(Debug, Clone)]
pub enum Watched {
    /// Something in a game's folder.
    Game(GameId),
    /// The catalog.
    Catalog,
    /// Anything: look at everything.
    Everything,
    /// Watching does not work; the periodic scan remains.
    Failed(Report),
}

/// A folder ready for the catalog.
#[derive(Debug, Clone)]
pub struct PreparedEntry {
    /// Version that the sentinel states.
    pub version: String,
    /// Whether the sentinel was written.
    pub sentinel_written: bool,
}

/// What came of hashing a game.
#[derive(Debug)]
pub enum Hashed {
    /// Every file was read.
    Done {
        /// List that was hashed.
        manifest_hash: ManifestHash,
        /// Its content.
        content_hash: ContentHash,
    },
    /// A file changed while it was read; the game has to be read again.
    Changed,
    /// Told to stop.
    Stopped,
    /// Could not be read.
    Failed(Report),
}

/// Something about an operation.
#[derive(Debug)]
pub enum OpInput {
    /// It entered a phase.
    Phase(Phase),
    /// It gave up a source.
    SourceDropped(PeerId, Report),
    /// It has no usable source and waits for `SetSources`.
    Starved(Report),
    /// Every byte is here and durable: it waits for `Effect::Commit` or `Effect::Cancel`, whichever comes.
    Ready,
    /// It is over.
    Finished(OpOutcome),
}

/// What an install put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallReport {
    /// The version.
    pub version: String,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files of the player that are in it, by where they lay and where they are.
    pub carried: Vec<Carried>,
}

/// How an operation ended.
#[derive(Debug)]
pub enum OpOutcome {
    /// The game is complete, verified and marked.
    Downloaded {
        /// Version that is here.
        version: String,
        /// Bytes over the network.
        fetched: u64,
        /// Bytes verified on the disk.
        reused: u64,
    },
    /// Cancelled and swept.
    Swept {
        /// Files removed.
        removed: u64,
        /// Files left because nobody can prove that they are ours.
        kept: Vec<String>,
    },
    /// Downloaded files were removed.
    Removed,
    /// Read, compared and, where needed, repaired.
    Verified {
        /// Bytes read.
        checked: u64,
        /// Files that did not match.
        bad: Vec<String>,
        /// Bytes fetched anew.
        repaired: u64,
        /// Its install, where it is installed.
        install: Option<VerifiedInstall>,
    },
    /// The game is installed.
    Installed(InstallReport),
    /// The install is gone.
    Uninstalled {
        /// Files that went.
        files: u64,
    },
    /// Cancelled; what was there before is there as it was.
    Undone,
    /// It failed.
    Failed {
        /// Why.
        error: Report,
        /// Whether verified chunks were kept, so that another `get` goes on from there.
        resumable: bool,
    },
}

/// A download found on the disk at start, or left there by a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumable {
    /// What it leads to.
    pub target: Target,
}

/// Everything that the engine can want.
#[derive(Debug)]
pub enum Effect {
    /// Make durable before any later effect of the batch runs. If that fails the peer stops.
    Persist(Persist),
    /// Connect to one of these addresses, say hello, read the answer.
    Dial {
        /// The attempt.
        dial: DialId,
        /// Addresses, best first.
        addrs: Vec<SocketAddr>,
        /// Who must answer; anyone when unknown.
        expect: Option<PeerId>,
        /// What to say.
        hello: Hello,
    },
    /// Answer an accepted connection's hello; its control stream is live from here on.
    Accept(ConnId, Hello),
    /// Send on the control stream.
    Send(ConnId, Control),
    /// End a connection.
    Close(ConnId, CloseCode),
    /// Make these durable, in one transaction, before any later effect of the batch runs. If that fails the peer stops.
    Record(Vec<Record>),
    /// Ask a question of one frame; the answer is `ConnInput::Answered`.
    Ask(ConnId, Box<Request>),
    /// Do something with a save.
    Save(Box<SaveJob>),
    /// Do something with a picture of a save.
    Sidecar(Box<SidecarJob>),
    /// Read the audit log; the answer is `SaveInput::Answered`.
    Audit(CommandId, AuditFilter),
    /// Watch the folders of a save set, instead of those watched before; none stops it.
    WatchSave(SetKey, Placement),
    /// Type a code on this connection.
    Pair(PairId, Box<PairCall>),
    /// Answer `PairInput`.
    PairAnswer(PairId, Box<PairAnswer>),
    /// Ask for a library; the answer is `ConnInput::Library`.
    FetchLibrary(ConnId, Request),
    /// Announce where the library stands.
    Announce,
    /// Read one game's folder, or all.
    Scan(Option<GameId>),
    /// Read the catalog file.
    LoadCatalog,
    /// Make the catalog durable; the answer is `CatalogSaved`.
    SaveCatalog(Vec<CatalogEntry>),
    /// Look at a folder for the catalog, write its sentinel with this version when it has none.
    PrepareEntry {
        /// Whom to answer.
        command: CommandId,
        /// The folder.
        game: GameId,
        /// Version wanted.
        version: Option<String>,
    },
    /// Hash these games in the background, in this order. Each ends by `Input::Hashed`, several at once where they are
    /// small.
    Hash(Vec<GameId>),
    /// Hold background hashing (true) or let it go on.
    HoldHashing(bool),
    /// Start an operation.
    Start(OpId, OpPlan),
    /// Tell a running operation which sources there are.
    SetSources(OpId, Vec<(PeerId, ConnId)>),
    /// Stop an operation at once; it sweeps and then reports.
    Cancel(OpId),
    /// Let an operation that is `Ready` put the game in place. From here on no `Cancel` follows.
    Commit(OpId),
    /// Ask these peers to dial back, and dial them.
    Probe(CommandId, Vec<ProbeTarget>),
    /// Answer a command.
    Reply(CommandId, Result<Reply, Report>),
    /// Tell every listener.
    Emit(PeerEvent),
    /// Say goodbye and stop.
    Stop,
}

/// A peer to probe.
#[derive(Debug, Clone)]
pub struct ProbeTarget {
    /// Who.
    pub peer: PeerId,
    /// Name for people.
    pub name: String,
    /// The connection to ask over.
    pub conn: ConnId,
    /// Its listener.
    pub addr: SocketAddr,
}

/// What to make durable.
#[derive(Debug, Clone)]
pub struct Persist {
    /// The new revision, when the library changed.
    pub change: Option<LibraryChange>,
    /// Games whose index entry, as the scan left it, goes into the same transaction.
    pub index: Vec<GameId>,
    /// Games whose index entry goes.
    pub gone: Vec<GameId>,
}

/// What an operation is to do.
#[derive(Debug, Clone)]
pub enum OpPlan {
    /// Fetch a game, or go on fetching it.
    Download {
        /// What to fetch.
        target: Target,
        /// Whom to fetch from.
        sources: Vec<(PeerId, ConnId)>,
        /// Whether a journal of this download is on the disk.
        resume: bool,
    },
    /// Sweep a download that is on the disk and not running.
    Discard {
        /// The game.
        game: GameId,
    },
    /// Remove downloaded files.
    Remove {
        /// The game.
        game: GameId,
    },
    /// Read, compare, repair from these sources.
    Verify {
        /// The game.
        game: GameId,
        /// Who holds the same content.
        sources: Vec<(PeerId, ConnId)>,
        /// Also put back installed files that somebody wrote to.
        restore: bool,
        /// Processes of the game that were named.
        players: Vec<u32>,
    },
    /// Unpack and put in place, or in the place of the install before.
    Install {
        /// The game.
        game: GameId,
        /// The version that `version.ini` states.
        version: String,
        /// Processes of the game that were named.
        players: Vec<u32>,
    },
    /// Take the install away.
    Uninstall {
        /// The game.
        game: GameId,
        /// Also when files of the player go with it.
        force: bool,
        /// Since when what is written there may be in no snapshot, where there is a save set whose safety was waited for.
        saved_at: Option<crate::time::UnixMillis>,
        /// Processes of the game that were named.
        players: Vec<u32>,
    },
}

impl OpPlan {
    /// The game that it is about.
    #[must_use]
    pub fn game(&self) -> &GameId {
        match self {
            Self::Download { target, .. } => &target.game,
            Self::Discard { game } | Self::Remove { game } => game,
            Self::Verify { game, .. } | Self::Install { game, .. } | Self::Uninstall { game, .. } => game,
        }
    }
}

/// What the shell says of a pairing. Each but the last two waits for `Effect::PairAnswer`.
#[derive(Debug)]
pub enum PairInput {
    /// The other side typed a code.
    Began(Proven, PairStart),
    /// Both have proven the code.
    Proven(Proven),
    /// The other side took our invitation.
    Accepted(Proven, PairDevice),
    /// We are invited.
    Invited(Proven, PairInvite),
    /// All is said: the other side has recorded that we joined, or was told that we have.
    Done(Proven),
    /// It came to nothing.
    Failed {
        /// Why, as it is told.
        error: Report,
        /// What the other side said, if it did.
        refused: Option<PairRefusal>,
    },
}

/// What the engine answers.
#[derive(Debug)]
pub enum PairAnswer {
    /// Answer with this secret.
    Show {
        /// What the other side has to know.
        secret: Secret,
        /// What this device does.
        part: PairPart,
    },
    /// Invite the other side.
    Invite {
        /// To which player.
        player: PairPlayer,
        /// As what.
        role: DeviceRole,
        /// This device.
        ours: PairDevice,
    },
    /// Wait for the invitation.
    AwaitInvitation,
    /// Take the invitation.
    Accept {
        /// This device.
        ours: PairDevice,
    },
    /// It is recorded here: say so.
    Confirm,
    /// Break it off.
    Refuse(PairRefusal),
}

/// A code to type.
#[derive(Debug)]
pub struct PairCall {
    /// Over which connection.
    pub conn: ConnId,
    /// The code, or a token.
    pub secret: Secret,
    /// What this device does.
    pub part: PairPart,
}
