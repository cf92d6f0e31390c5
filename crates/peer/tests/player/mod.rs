//! A seat as a device of a player: what a person does there about devices and saves.

use std::path::PathBuf;

use bonfire_engine::command::{Command, DevicesCommand, Placed, Reply, RootSpec, SaveRef, SavesCommand};
use bonfire_engine::saves_view::SlotView;
use bonfire_engine::{Report, Snapshot};
use bonfire_proto::PlayerId;
use bonfire_proto::message_pair::DeviceRole;

use crate::seat::{Seat, game};

pub mod raw;

pub async fn devices(seat: &Seat, command: DevicesCommand) -> Result<Reply, Report> {
    seat.handle.send(Command::Devices(command)).await
}

pub async fn saves(seat: &Seat, command: SavesCommand) -> Result<Reply, Report> {
    seat.handle.send(Command::Saves(command)).await
}

/// A player whose first device a seat is.
pub async fn make_player(seat: &Seat) -> PlayerId {
    let command = DevicesCommand::CreatePlayer { name: "Anna".to_owned() };
    let Reply::Player { player } = devices(seat, command).await.unwrap() else { panic!("no player") };
    player
}

/// A code that a seat shows.
pub async fn code(seat: &Seat) -> String {
    let command = DevicesCommand::ShowCode { player: None, join: false, role: DeviceRole::Personal };
    let Reply::PairCode { code, .. } = devices(seat, command).await.unwrap() else { panic!("no code") };
    code
}

/// Makes a seat another device of the player of `first`.
pub async fn pair(first: &Seat, second: &Seat) {
    second.when("a connection", |s| s.peers.iter().any(|p| p.connected)).await;
    let (code, before) = (code(first).await, first.view().players[0].devices.len());
    let pair = DevicesCommand::Pair { code, with: None, player: None, join: false, role: DeviceRole::Personal };
    let Reply::Paired { .. } = devices(second, pair).await.unwrap() else { panic!("not paired") };
    for seat in [first, second] {
        seat.when("one more device", |s| s.players.iter().any(|p| p.devices.len() == before + 1)).await;
    }
}

/// Says where the save of a game lies on a seat: beneath `saves` in its folder.
pub async fn add_save(seat: &Seat, id: &str) -> PathBuf {
    let folder = seat.dir.path().join("saves").join(id);
    let path = folder.display().to_string();
    let root = RootSpec { label: None, path, is_file: Some(false), include: Vec::new(), placed: Placed::default() };
    let roots = vec![root];
    let at = SaveRef { game: game(id), slot: None, player: None };
    let command = SavesCommand::Add { at, roots, ignore: Vec::new(), programs: Vec::new() };
    saves(seat, command).await.unwrap();
    folder
}

/// The only slot of a game.
pub fn slot<'a>(snapshot: &'a Snapshot, id: &str) -> Option<&'a SlotView> {
    let id = game(id);
    snapshot.players.iter().flat_map(|p| &p.slots).find(|slot| slot.game == id).map(|s| &**s)
}
