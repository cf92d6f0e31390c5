//! `players.json` in the data folder: which players this device holds, so that whom it trusts survives the loss of the
//! database.
//!
//! Written after the database when a player comes, before it when one goes: a player that left must not come back.

use std::collections::BTreeMap;
use std::sync::Arc;

use bonfire_disk::fs::{Fs, FsPath};
use bonfire_engine::record::{KnownPlayer, Record};
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::PlayerId;

const NAME: &str = "players.json";
/// Longest file read: far more players and devices than a device takes.
const LEN_MAX: u64 = 64 << 20;

/// The players as the file has them.
#[derive(Debug)]
pub(crate) struct PlayersFile {
    data: Arc<dyn Fs>,
    players: BTreeMap<PlayerId, KnownPlayer>,
}

impl PlayersFile {
    /// Reads the file; without one there are no players. To be called where blocking is allowed.
    ///
    /// # Errors
    /// When it cannot be read. What is there stays until a player comes or goes.
    pub(crate) fn read(data: &Arc<dyn Fs>) -> Result<Vec<KnownPlayer>, Report> {
        let failed = |why: String| {
            Report::new(ErrorClass::Environment, "players_file", format!("{NAME} in the data folder: {why}"))
        };
        let bytes = bonfire_disk::read_small(&**data, &at(), LEN_MAX).map_err(|e| failed(e.to_string()))?;
        let Some(bytes) = bytes else { return Ok(Vec::new()) };
        serde_json::from_slice(&bytes).map_err(|e| failed(format!("it is damaged: {e}")))
    }

    /// The file, which is to hold these players. It is written when it does not. To be called where blocking is allowed.
    pub(crate) fn holding(
        data: Arc<dyn Fs>,
        players: impl IntoIterator<Item = KnownPlayer>,
        in_file: &[KnownPlayer],
    ) -> Result<Self, Report> {
        let players: BTreeMap<PlayerId, KnownPlayer> = players.into_iter().map(|p| (p.player, p)).collect();
        let file = Self { data, players };
        if !file.players.values().eq(in_file) {
            file.write()?;
        }
        Ok(file)
    }

    /// To be called before `records` are made durable. To be called where blocking is allowed.
    pub(crate) fn before(&mut self, records: &[Record]) -> Result<(), Report> {
        let had = self.players.len();
        for record in records {
            if let Record::PlayerGone(player) = record {
                self.players.remove(player);
            }
        }
        if self.players.len() < had { self.write() } else { Ok(()) }
    }

    /// To be called after `records` were made durable. To be called where blocking is allowed.
    pub(crate) fn after(&mut self, records: &[Record]) -> Result<(), Report> {
        let mut is_new = false;
        for record in records {
            match record {
                Record::Player(known) => {
                    is_new |= self.players.insert(known.player, known.clone()).as_ref() != Some(known);
                }
                Record::PlayerGone(player) => is_new |= self.players.remove(player).is_some(),
                _ => {}
            }
        }
        if is_new { self.write() } else { Ok(()) }
    }

    fn write(&self) -> Result<(), Report> {
        let failed = |why: String| {
            Report::new(ErrorClass::Environment, "players_file", format!("{NAME} cannot be written: {why}"))
                .hint("see that the data folder can be written and its disk has room")
        };
        let players: Vec<&KnownPlayer> = self.players.values().collect();
        let bytes = serde_json::to_vec_pretty(&players).map_err(|e| failed(e.to_string()))?;
        let scratch = FsPath::root().child(&format!("{NAME}.tmp"));
        bonfire_disk::replace(&*self.data, &scratch, &at(), &bytes).map_err(|e| failed(e.to_string()))
    }
}

fn at() -> FsPath {
    FsPath::root().child(NAME)
}

#[cfg(test)]
mod tests {
    use bonfire_proto::message_pair::DeviceRole;

    use super::*;

    fn player(n: u8) -> KnownPlayer {
        let player = PlayerId(uuid::Uuid::from_bytes([n; 16]));
        KnownPlayer { player, name: format!("player {n}"), role: DeviceRole::Personal, vouched: Vec::new() }
    }

    #[test]
    fn players_come_after_the_database_and_go_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = bonfire_disk::fs::real(dir.path()).unwrap();
        assert_eq!(PlayersFile::read(&data).unwrap(), []);
        let mut file = PlayersFile::holding(data.clone(), [player(1)], &[]).unwrap();
        assert_eq!(PlayersFile::read(&data).unwrap(), [player(1)]);
        let both = [Record::Player(player(2)), Record::PlayerGone(player(1).player)];
        file.before(&both).unwrap();
        assert_eq!(PlayersFile::read(&data).unwrap(), []);
        file.after(&both).unwrap();
        assert_eq!(PlayersFile::read(&data).unwrap(), [player(2)]);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_no_absence() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), "[{").unwrap();
        let data = bonfire_disk::fs::real(dir.path()).unwrap();
        assert_eq!(PlayersFile::read(&data).unwrap_err().code, "players_file");
    }
}
