//! The end of a run: everything is mended, and the room has to come to rest, agree, hand out every game, and be quiet.

use std::sync::Arc;
use std::time::Duration;

use bonfire_engine::command::TransferCommand;
use bonfire_engine::snapshot::{OperationKind, Phase};
use bonfire_engine::{ErrorClass, Snapshot};
use bonfire_proto::game::library_digest;
use bonfire_proto::{Availability, GameSummary};
use tokio::time::{Instant, sleep};

use super::scenario::Run;
use crate::sim_net::Faults;

/// Virtual time in which a mended room comes to rest.
const REST_WITHIN: Duration = Duration::from_secs(900);
/// Virtual time over which a room at rest is listened to.
const QUIET: Duration = Duration::from_secs(60);
/// Datagrams that a pair of idle peers may exchange in that time: pings, their answers, acknowledgements, and some room
/// for path probes.
const QUIET_DATAGRAMS: u64 = 40;
impl Run {
    /// Everything works again, and every machine is on.
    pub(super) async fn mend(&mut self) {
        self.room.see().note("MEND");
        self.room.net.heal_all();
        self.room.net.set_faults(Faults::none());
        let full: Vec<usize> = self.full_until.keys().copied().collect();
        for seat in full {
            self.make_room(seat);
        }
        // Who has just gone off has said goodbye, and the room has heard it, before the machine is on again.
        sleep(Duration::from_millis(300)).await;
        let off: Vec<usize> = self.back_at.keys().copied().collect();
        for seat in off {
            self.switch_on(seat).await;
        }
        for seat in 0..self.room.setting.seats {
            self.rescan(seat, Vec::new()).await;
        }
    }

    /// Waits until the room has come to rest and looks at every disk.
    pub(super) async fn rest(&mut self, when: &str) {
        let until = Instant::now() + REST_WITHIN;
        // What was asked last has begun by then.
        sleep(Duration::from_secs(1)).await;
        while let Some(why) = self.unrest() {
            if Instant::now() >= until {
                let what = format!("{when}: no rest within {} s: {why}", REST_WITHIN.as_secs());
                return self.room.see().violation(&what);
            }
            sleep(Duration::from_secs(1)).await;
        }
        self.room.see().note(&format!("AT REST {when}"));
        for seat in 0..self.room.setting.seats {
            if let Some(snapshot) = self.room.snapshot(seat) {
                let mut see = self.room.see();
                see.check_disk(seat);
                see.check_at_rest(seat, &snapshot);
                let lost = see.lost_ops(seat, &snapshot);
                if !lost.is_empty() {
                    see.violation(&format!("{when}: operations {lost:?} of seat {seat} ended without an outcome"));
                }
            }
        }
    }

    /// Why the room is not at rest.
    fn unrest(&self) -> Option<String> {
        let all: Option<Vec<Arc<Snapshot>>> =
            (0..self.room.setting.seats).map(|seat| self.room.snapshot(seat)).collect();
        let Some(all) = all else { return Some("a machine is off".to_owned()) };
        for (seat, mine) in all.iter().enumerate() {
            for op in &mine.operations {
                let others = all.iter().filter(|o| o.me.peer != mine.me.peer);
                let offered = others
                    .flat_map(|o| &o.games)
                    .any(|g| g.id == op.game && g.version == op.version && g.availability == Availability::Ready);
                // The content that a repair waits for may be nobody's any more, which its version does not tell.
                let waits = op.phase == Phase::Waiting;
                let lost = op.kind == OperationKind::Verify || !offered || self.flipped;
                if !(waits && lost) {
                    return Some(format!("seat {seat}: {:?} of {} is {:?}", op.kind, op.game, op.phase));
                }
            }
            // A game that could not be read stays unread until it changes, and the peer says so.
            let unreadable = mine.problems.iter().any(|p| p.class == ErrorClass::Environment);
            if let Some(g) = mine.games.iter().find(|g| g.downloaded && g.content_hash.is_none() && !unreadable) {
                return Some(format!("seat {seat}: {} was not hashed", g.id));
            }
            for theirs in all.iter().filter(|o| o.me.peer != mine.me.peer) {
                let name = &theirs.me.name;
                let Some(seen) = mine.peers.iter().find(|p| p.peer == theirs.me.peer && p.connected) else {
                    return Some(format!("seat {seat} is not connected with {name}"));
                };
                let games: Vec<GameSummary> = seen
                    .games
                    .iter()
                    .map(|g| GameSummary {
                        id: g.id.clone(),
                        name: g.name.clone(),
                        eti_version: g.version.clone(),
                        size: g.size,
                        downloaded: g.downloaded,
                        installed: g.installed,
                        manifest_hash: g.manifest_hash,
                        content_hash: g.content_hash,
                        availability: g.availability,
                    })
                    .collect();
                if (seen.library_rev, library_digest(&games)) != (theirs.me.library_rev, theirs.me.library_digest) {
                    return Some(format!(
                        "seat {seat} knows revision {} of {name}, which is at {}",
                        seen.library_rev, theirs.me.library_rev
                    ));
                }
            }
        }
        None
    }

    /// In a healthy room every download works.
    pub(super) async fn everyone_gets_everything(&mut self) {
        for seat in 0..self.room.setting.seats {
            for game in self.games.clone() {
                self.transfer(seat, TransferCommand::Get { game, from: None }).await;
            }
        }
    }

    /// A room at rest says next to nothing.
    pub(super) async fn listen(&mut self) {
        if !self.room.see().violations().is_empty() {
            return;
        }
        // What waits beside a peer whose bytes went bad asks it again now and then: no silence is to be had there.
        let waits = |seat| self.room.snapshot(seat).is_some_and(|s| !s.operations.is_empty());
        if self.flipped && (0..self.room.setting.seats).any(waits) {
            return;
        }
        let before = self.room.net.counts().sent;
        sleep(QUIET).await;
        let said = self.room.net.counts().sent - before;
        let seats = self.room.setting.seats as u64;
        let allowed = QUIET_DATAGRAMS * seats * (seats - 1) / 2;
        if said > allowed {
            self.room.see().violation(&format!("{said} datagrams in {} idle seconds", QUIET.as_secs()));
        }
    }
}
