//! Devices of one player over loopback: they pair by a code, and a save that is made on one appears on the other.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test may stop at the first surprise")]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod seat;

use std::path::{Path, PathBuf};

use bonfire_engine::Report;
use bonfire_engine::Snapshot;
use bonfire_engine::command::{Command, DevicesCommand, Reply, RootSpec, SaveRef, SavesCommand};
use bonfire_engine::saves::slot::Standing;
use bonfire_engine::saves_view::SlotView;
use bonfire_proto::PlayerId;
use bonfire_proto::message_pair::DeviceRole;

use seat::{Seat, game, payload};

fn doom() -> SaveRef {
    SaveRef { game: game("doom"), slot: None, player: None }
}

trait Device {
    async fn devices(&self, command: DevicesCommand) -> Result<Reply, Report>;
    async fn saves(&self, command: SavesCommand) -> Result<Reply, Report>;
    async fn add_save(&self) -> PathBuf;
}

impl Device for Seat {
    async fn devices(&self, command: DevicesCommand) -> Result<Reply, Report> {
        self.handle.send(Command::Devices(command)).await
    }

    async fn saves(&self, command: SavesCommand) -> Result<Reply, Report> {
        self.handle.send(Command::Saves(command)).await
    }

    async fn add_save(&self) -> PathBuf {
        let folder = self.dir.path().join("saves/doom");
        let path = folder.display().to_string();
        let roots = vec![RootSpec { label: None, path, is_file: Some(false), include: Vec::new() }];
        let command = SavesCommand::Add { at: doom(), roots, ignore: Vec::new(), programs: Vec::new() };
        self.saves(command).await.unwrap();
        folder
    }
}

/// A player on `first`, and `second` as another device of it.
pub async fn pair(first: &Seat, second: &Seat) -> PlayerId {
    let command = DevicesCommand::CreatePlayer { name: "Anna".to_owned() };
    let Reply::Player { player } = first.devices(command).await.unwrap() else { panic!("no player") };
    let command = DevicesCommand::ShowCode { player: None, join: false, role: DeviceRole::Personal };
    let Reply::PairCode { code, .. } = first.devices(command).await.unwrap() else { panic!("no code") };
    second.when("a connection", |s| s.peers.iter().any(|p| p.connected)).await;
    let pair = DevicesCommand::Pair { code, with: None, player: None, join: false, role: DeviceRole::Personal };
    let Reply::Paired { player: same, .. } = second.devices(pair).await.unwrap() else { panic!("not paired") };
    assert_eq!(same, player);
    for seat in [first, second] {
        seat.when("both devices", |s| s.players.iter().any(|p| p.devices.len() == 2)).await;
    }
    player
}

fn slot(s: &Snapshot) -> Option<&SlotView> {
    s.players.iter().flat_map(|p| &p.slots).find(|slot| slot.game == game("doom")).map(|s| &**s)
}

async fn current(seat: &Seat, folder: &Path, held: u64) {
    let is_current = |s: &Snapshot| slot(s).is_some_and(|s| s.standing == Standing::Current && s.held_by == held);
    seat.when(&format!("the save in {}", folder.display()), is_current).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_made_on_one_device_appears_on_the_other() {
    let first = Seat::new("first", vec![]).await;
    let second = Seat::new("second", vec![first.addr()]).await;
    pair(&first, &second).await;
    let folder = first.dir.path().join("saves/doom");
    std::fs::create_dir_all(folder.join("deep")).unwrap();
    std::fs::write(folder.join("one.sav"), b"here I am").unwrap();
    std::fs::write(folder.join("deep/two.sav"), vec![7; 3 << 20]).unwrap();
    first.add_save().await;
    let there = second.add_save().await;
    current(&second, &there, 2).await;
    assert_eq!(payload(&there), payload(&folder));
    // And back: what changes there is seen without being asked for.
    std::fs::write(there.join("one.sav"), b"there I go").unwrap();
    second.when("a newer version", |s| slot(s).is_some_and(|s| s.known == 2 && s.held_by == 2)).await;
    current(&first, &folder, 2).await;
    assert_eq!(std::fs::read(folder.join("one.sav")).unwrap(), b"there I go");
    first.stop().await;
    second.stop().await;
}
