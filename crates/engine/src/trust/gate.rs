//! The one gate that every request passes: whether whoever sits at the other end may ask this, for this player.
//!
//! A table and nothing else. Where somebody stands is `roster`'s, whether what was asked for is there is `serving`'s.
//! What is not in the table is not allowed.

use bonfire_proto::message::{ErrorMsg, Request};
use bonfire_proto::{ErrorCode, PlayerId};

use super::scopes::{Scope, Scopes};

/// What an entry of the shared log, or a picture, is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entries {
    /// Save sets, slots, pins, notes, retention, resolutions.
    Saves,
    /// The player's own record and those of its devices.
    Devices,
}

/// What a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PictureOf {
    /// A game of the catalog.
    Game,
    /// A snapshot of a player's save.
    Save,
}

/// Everything that another peer may ask or tell, as far as permission goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestKind {
    /// To be told of changes of our library on the control stream.
    HearLibrary,
    /// Changes of our library.
    GetLibraryDelta,
    /// Our library.
    GetLibrarySnapshot,
    /// A game's file list.
    GetGame,
    /// A file's chunk digests.
    GetChunkHashes,
    /// Chunks of a game.
    GetChunks,
    /// What a member of a swarm can serve.
    Have,
    /// Whether the asker can be reached.
    ProbeBack,
    /// Device-owned state, one record.
    StateChange,
    /// Device-owned state, several.
    StateBatch,
    /// Device-owned state of all devices.
    StateRequest,
    /// An entry of the shared log, by what it is about.
    SharedChange(Entries),
    /// Entries of the shared log. One that holds both kinds is asked about twice.
    SharedChangeBatch(Entries),
    /// Entries since a mark. Of both kinds, since a sequence with holes could not be acknowledged.
    SharedChangeRequest,
    /// How far the asker has the shared log.
    AckSharedChanges,
    /// Snapshots by id, or what is missing.
    GetSnapshots,
    /// Objects of a save.
    GetObjects,
    /// Which pictures somebody has.
    AvailabilityDigest(PictureOf),
    /// Who has a picture.
    SidecarQuery(PictureOf),
    /// A picture.
    GetSidecar(PictureOf),
    /// To pair. Whether a code is shown is asked after this.
    PairStart,
}

impl RequestKind {
    /// Every kind.
    pub const ALL: [Self; 26] = [
        Self::HearLibrary,
        Self::GetLibraryDelta,
        Self::GetLibrarySnapshot,
        Self::GetGame,
        Self::GetChunkHashes,
        Self::GetChunks,
        Self::Have,
        Self::ProbeBack,
        Self::StateChange,
        Self::StateBatch,
        Self::StateRequest,
        Self::SharedChange(Entries::Saves),
        Self::SharedChange(Entries::Devices),
        Self::SharedChangeBatch(Entries::Saves),
        Self::SharedChangeBatch(Entries::Devices),
        Self::SharedChangeRequest,
        Self::AckSharedChanges,
        Self::GetSnapshots,
        Self::GetObjects,
        Self::AvailabilityDigest(PictureOf::Game),
        Self::AvailabilityDigest(PictureOf::Save),
        Self::SidecarQuery(PictureOf::Game),
        Self::SidecarQuery(PictureOf::Save),
        Self::GetSidecar(PictureOf::Game),
        Self::GetSidecar(PictureOf::Save),
        Self::PairStart,
    ];
}

impl From<&Request> for RequestKind {
    fn from(request: &Request) -> Self {
        match request {
            Request::GetLibraryDelta(_) => Self::GetLibraryDelta,
            Request::GetLibrarySnapshot(_) => Self::GetLibrarySnapshot,
            Request::GetGame(_) => Self::GetGame,
            Request::GetChunkHashes(_) => Self::GetChunkHashes,
            Request::GetChunks(_) => Self::GetChunks,
            Request::StateRequest(_) => Self::StateRequest,
            Request::SharedChangeRequest(_) => Self::SharedChangeRequest,
            Request::GetSnapshots(_) => Self::GetSnapshots,
            Request::GetObjects(_) => Self::GetObjects,
            Request::SidecarQuery(_) => Self::SidecarQuery(PictureOf::Save),
            Request::GetSidecar(_) => Self::GetSidecar(PictureOf::Save),
            Request::ProbeBack(_) => Self::ProbeBack,
        }
    }
}

/// Whose things a request is about; `None` when it is about games only.
#[must_use]
pub const fn player_of(request: &Request) -> Option<PlayerId> {
    match request {
        Request::StateRequest(r) => Some(r.player_id),
        Request::SharedChangeRequest(r) => Some(r.player_id),
        Request::GetSnapshots(r) => Some(r.player_id),
        Request::GetObjects(r) => Some(r.player_id),
        Request::SidecarQuery(r) => Some(r.player_id),
        Request::GetSidecar(r) => Some(r.player_id),
        Request::GetLibraryDelta(_)
        | Request::GetLibrarySnapshot(_)
        | Request::GetGame(_)
        | Request::GetChunkHashes(_)
        | Request::GetChunks(_)
        | Request::ProbeBack(_) => None,
    }
}

/// Where the other end of a connection stands, towards one player or (for games) at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nobody we know, and nothing is offered to guests.
    Stranger,
    /// Nobody we know, and guests may read what is offered.
    Guest,
    /// A device of the player, with what it may do.
    Device(Scopes),
    /// It was a device of the player.
    Removed,
}

/// Whether a request is allowed. `player` is whose things it is about, `None` when it is about games only; `standing` is
/// towards that player.
///
/// # Errors
/// The refusal to send: `bad_request` when the player is missing, else `forbidden`. It is the same whether or not there is
/// such a player, and whether or not what was asked for is here.
pub fn gate(request: RequestKind, player: Option<PlayerId>, standing: Standing) -> Result<(), ErrorMsg> {
    let allowed = match need(request) {
        Need::Nothing => true,
        Need::Presence => matches!(standing, Standing::Guest | Standing::Device(_)),
        Need::Games => scopes_of(standing).has(Scope::GamesRead),
        Need::Player(scopes) => {
            if player.is_none() {
                return Err(ErrorMsg::new(ErrorCode::BadRequest, "whose it is was not said"));
            }
            matches!(standing, Standing::Device(has) if has.has_all(scopes))
        }
    };
    if allowed { Ok(()) } else { Err(ErrorMsg::new(ErrorCode::Forbidden, "this is not offered to you")) }
}

/// What somebody may do where it stands.
#[must_use]
pub const fn scopes_of(standing: Standing) -> Scopes {
    match standing {
        Standing::Stranger | Standing::Removed => Scopes::NONE,
        Standing::Guest => Scopes::of(&[Scope::GamesRead]),
        Standing::Device(scopes) => scopes,
    }
}

/// What a request takes.
enum Need {
    /// Anybody may.
    Nothing,
    /// Whoever may see that we are here.
    Presence,
    /// To read games, which concerns no player.
    Games,
    /// To be a device of the player, with all of these.
    Player(Scopes),
}

const fn need(request: RequestKind) -> Need {
    use RequestKind as R;
    match request {
        // A removed device, too: pairing is what a person does to have it back.
        R::PairStart => Need::Nothing,
        R::ProbeBack => Need::Presence,
        R::HearLibrary
        | R::GetLibraryDelta
        | R::GetLibrarySnapshot
        | R::GetGame
        | R::GetChunkHashes
        | R::GetChunks
        | R::Have
        | R::AvailabilityDigest(PictureOf::Game)
        | R::SidecarQuery(PictureOf::Game)
        | R::GetSidecar(PictureOf::Game) => Need::Games,
        R::StateRequest
        | R::GetSnapshots
        | R::GetObjects
        | R::AvailabilityDigest(PictureOf::Save)
        | R::SidecarQuery(PictureOf::Save)
        | R::GetSidecar(PictureOf::Save) => Need::Player(Scopes::of(&[Scope::SavesRead])),
        // State is where a device's heads are told, which others fetch and join.
        R::StateChange | R::StateBatch | R::SharedChange(Entries::Saves) | R::SharedChangeBatch(Entries::Saves) => {
            Need::Player(Scopes::of(&[Scope::SavesWrite]))
        }
        R::SharedChange(Entries::Devices) | R::SharedChangeBatch(Entries::Devices) => {
            Need::Player(Scopes::of(&[Scope::DevicesWrite]))
        }
        R::SharedChangeRequest | R::AckSharedChanges => {
            Need::Player(Scopes::of(&[Scope::SavesRead, Scope::DevicesRead]))
        }
    }
}

#[cfg(test)]
mod tests;
