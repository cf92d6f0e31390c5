//! Finds what a person means: a peer, a player, a device, a slot, a version, by name or by the beginning of its id. Pure;
//! what is ambiguous is refused with every candidate, never guessed.

use bonfire_engine::command::SaveRef;
use bonfire_engine::saves_view::{PlayerView, SlotView, VersionView};
use bonfire_engine::{ErrorClass, Report, Snapshot};
use bonfire_proto::{PeerId, PlayerId, SlotName, SnapshotId};

use crate::render::{brief, shown};

/// Digits of a version's id that a person has to type at least.
const VERSION_DIGITS_MIN: usize = 4;
/// Candidates that are listed when several fit.
const LISTED_MAX: usize = 8;

/// A peer, by id, by the beginning of its id, or by name.
///
/// # Errors
/// `no_such_peer`, `ambiguous_peer`.
pub(crate) fn peer(snapshot: &Snapshot, wanted: &str) -> Result<PeerId, Report> {
    if let Ok(id) = wanted.parse::<PeerId>() {
        return Ok(id);
    }
    let peers = snapshot.peers.iter().map(|p| (p.peer, simple(&p.peer), p.name.as_str())).collect();
    pick(wanted, "peer", peers, "see who is there with: bonfire peers")
}

/// A player of this device.
///
/// # Errors
/// `no_such_player`, `ambiguous_player`.
pub(crate) fn player(snapshot: &Snapshot, wanted: &str) -> Result<PlayerId, Report> {
    if let Ok(id) = wanted.parse::<PlayerId>() {
        return Ok(id);
    }
    let players =
        snapshot.players.iter().map(|p| (p.player, p.player.to_string().replace('-', ""), p.name.as_str())).collect();
    pick(wanted, "player", players, "see the players with: bonfire devices list")
}

/// A device of a player; of any player of this device where none is named.
///
/// # Errors
/// `no_such_device`, `ambiguous_device`.
pub(crate) fn device(snapshot: &Snapshot, of: Option<PlayerId>, wanted: &str) -> Result<PeerId, Report> {
    if let Ok(id) = wanted.parse::<PeerId>() {
        return Ok(id);
    }
    let players = snapshot.players.iter().filter(|p| of.is_none_or(|of| p.player == of));
    let mut devices: Vec<_> =
        players.flat_map(|p| &p.devices).map(|d| (d.device, simple(&d.device), d.name.as_str())).collect();
    devices.sort_unstable();
    devices.dedup_by_key(|(id, ..)| *id);
    pick(wanted, "device", devices, "see the devices with: bonfire devices list")
}

/// A version, by its id or the beginning of it.
///
/// # Errors
/// `no_such_version`, `ambiguous_version`; usage when it is too short or no id at all.
pub(crate) fn version(history: &[VersionView], wanted: &str) -> Result<SnapshotId, Report> {
    let plain = wanted.to_lowercase();
    if plain.len() < VERSION_DIGITS_MIN || !plain.bytes().all(|b| b.is_ascii_hexdigit()) {
        let message = format!(
            "{} is no version: give the first {VERSION_DIGITS_MIN} or more digits of its id",
            shown(&format!("{wanted:?}"))
        );
        return Err(Report::new(ErrorClass::NotFound, "no_such_version", message)
            .hint("see the versions with: bonfire saves history GAME"));
    }
    let fits: Vec<&VersionView> = history.iter().filter(|v| v.id.to_string().starts_with(&plain)).collect();
    match fits.as_slice() {
        [version] => Ok(version.id),
        [] => Err(Report::new(ErrorClass::NotFound, "no_such_version", format!("no version begins with {plain}"))
            .hint("see the versions with: bonfire saves history GAME")),
        several => {
            let ids: Vec<String> = several.iter().take(LISTED_MAX).map(|v| brief(&v.id)).collect();
            let message = format!("{plain} begins several versions: {}", ids.join(", "));
            Err(Report::new(ErrorClass::Refused, "ambiguous_version", message).hint("give more of the id"))
        }
    }
}

/// The slot that the peer takes this for: the named one; else the one whose files are here, else `main`.
pub(crate) fn slot<'a>(snapshot: &'a Snapshot, at: &SaveRef) -> Option<&'a SlotView> {
    let slots = || {
        let players = snapshot.players.iter().filter(|p| at.player.is_none_or(|player| p.player == player));
        players.flat_map(|p: &PlayerView| &p.slots).map(|s| &**s).filter(|s| s.game == at.game)
    };
    match &at.slot {
        Some(name) => slots().find(|s| s.slot == *name),
        None => slots().find(|s| s.is_here).or_else(|| slots().find(|s| s.slot == SlotName::main())),
    }
}

fn simple(id: &PeerId) -> String {
    id.as_uuid().simple().to_string()
}

/// The one of these that has this name, else the one whose id begins so.
fn pick<T: Copy>(wanted: &str, what: &str, items: Vec<(T, String, &str)>, see: &str) -> Result<T, Report> {
    let plain = wanted.replace('-', "").to_lowercase();
    let is_named = items.iter().any(|(_, _, name)| *name == wanted);
    let fits = |(_, id, name): &&(T, String, &str)| {
        if is_named { *name == wanted } else { !plain.is_empty() && id.starts_with(&plain) }
    };
    let found: Vec<_> = items.iter().filter(fits).collect();
    match found.as_slice() {
        [one] => Ok(one.0),
        [] => {
            Err(Report::new(ErrorClass::NotFound, &format!("no_such_{what}"), format!("no {what} {}", shown(wanted)))
                .hint(see))
        }
        several => {
            let ids: Vec<String> = several
                .iter()
                .take(LISTED_MAX)
                .map(|(_, id, name)| format!("{} ({})", &id[..8], shown(name)))
                .collect();
            let message = format!("{} means several {what}s: {}", shown(wanted), ids.join(", "));
            Err(Report::new(ErrorClass::Refused, &format!("ambiguous_{what}"), message).hint("give more of the id"))
        }
    }
}

#[cfg(test)]
mod tests {
    use bonfire_engine::ErrorClass;

    use super::{pick, version};
    use crate::cmds::saves::made_up;

    #[test]
    fn a_version_may_be_shortened_as_long_as_it_is_the_only_one() {
        let history = [made_up::version("3f9a01"), made_up::version("3f9a02"), made_up::version("77c0")];
        assert_eq!(version(&history, "77c0").unwrap(), history[2].id);
        assert_eq!(version(&history, "3F9A02").unwrap(), history[1].id);
        assert_eq!(version(&history, &history[0].id.to_string()).unwrap(), history[0].id);
        let refused = version(&history, "3f9a").unwrap_err();
        assert_eq!((refused.code.as_str(), refused.class), ("ambiguous_version", ErrorClass::Refused));
        assert!(refused.message.contains("3f9a01000000, 3f9a02000000"), "{}", refused.message);
    }

    #[test]
    fn what_is_no_version_is_not_found() {
        let history = [made_up::version("3f9a01")];
        for wrong in ["", "3f9", "3f9b", "latest", "../..", "3f9a01\u{1b}[31m"] {
            let error = version(&history, wrong).unwrap_err();
            assert_eq!(error.class, ErrorClass::NotFound, "{wrong}");
            assert!(!error.message.contains('\u{1b}'));
        }
    }

    #[test]
    fn a_name_counts_before_the_beginning_of_an_id() {
        let items = || {
            vec![
                (1, "cafe0000".to_owned(), "deck"),
                (2, "dec00000".to_owned(), "tower"),
                (3, "dec11111".to_owned(), "dec1"),
            ]
        };
        assert_eq!(pick("deck", "device", items(), "").unwrap(), 1);
        assert_eq!(pick("dec1", "device", items(), "").unwrap(), 3);
        assert_eq!(pick("dec0", "device", items(), "").unwrap(), 2);
        assert_eq!(pick("dec", "device", items(), "").unwrap_err().code, "ambiguous_device");
        assert_eq!(pick("", "device", items(), "").unwrap_err().code, "no_such_device");
    }
}
