//! What a room costs when nobody does anything.

use std::time::Duration;

use bonfire_tests::Room;
use bonfire_tests::games::Recipe;
use bonfire_tests::peer::Peer;

use crate::figures::cpu_of;

/// Packets a minute of a room of 8 idle peers.
pub(crate) fn room_of_eight() {
    let Some(room) = Room::alone("bench-idle") else { return };
    let minutes: u32 = std::env::var("BONFIRE_IDLE_MINUTES").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let mut peers: Vec<Peer> = Vec::new();
    for n in 0..8 {
        let mut peer = room.seat(&format!("p{n}"));
        peer.add_game(&Recipe::new(&format!("game-{n}"), 1));
        peer.start();
        peers.push(peer);
    }
    for one in &peers {
        for other in peers.iter().filter(|other| other.name != one.name) {
            one.sees_hashed(other, &format!("game-{}", &other.name[1..]));
        }
    }
    eprintln!("settling for a minute, then counting for {minutes}");
    std::thread::sleep(Duration::from_secs(60));
    let count = |peers: &[Peer]| -> (u64, u64, f64) {
        peers.iter().fold((0, 0, 0.0), |(packets, bytes, cpu), p| {
            (packets + p.link.packets().0, bytes + p.link.bytes().0, cpu + cpu_of(p.pid()))
        })
    };
    let before = count(&peers);
    std::thread::sleep(Duration::from_secs(60) * minutes);
    let after = count(&peers);
    let per_minute = |x: u64| x as f64 / f64::from(minutes);
    println!("\n### A room of 8 idle peers, over {minutes} minutes\n");
    println!("| what | the room | a peer |\n|---|---|---|");
    let (packets, bytes) = (per_minute(after.0 - before.0), per_minute(after.1 - before.1));
    println!("| packets sent a minute | {packets:.1} | {:.1} |", packets / 8.0);
    println!("| bytes sent a minute | {bytes:.0} | {:.0} |", bytes / 8.0);
    let cpu = (after.2 - before.2) / f64::from(minutes) * 1000.0;
    println!("| CPU milliseconds a minute | {cpu:.0} | {:.0} |", cpu / 8.0);
}
