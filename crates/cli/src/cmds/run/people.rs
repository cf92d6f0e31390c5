//! What a running peer tells the person who started it: readable lines on stderr.

use bonfire_engine::EventRecord;
use bonfire_engine::command::{Command, NodeCommand};
use bonfire_engine::event::{PeerEvent, SlotOf};
use bonfire_peer::PeerHandle;
use bonfire_proto::PeerId;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use crate::lines::Line;
use crate::render::{Out, brief, count, size};

/// Tells what happens until the peer has stopped. `stdin` is there when its end stops the peer; its lines mean nothing.
pub(super) async fn tell(
    out: Out,
    peer: PeerHandle,
    mut events: broadcast::Receiver<EventRecord>,
    mut stdin: Option<mpsc::Receiver<Line>>,
    stop: CancellationToken,
) {
    let snapshot = peer.snapshot().borrow().clone();
    out.talk(&format!("{}: games in {}", snapshot.me.name, snapshot.me.games_dir));
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            () = stop.cancelled() => return,
            line = next_line(&mut stdin) => {
                if line.is_none() {
                    stdin = None;
                    if let Err(error) = peer.send(Command::Peer(NodeCommand::ShutDown)).await {
                        tracing::debug!(%error, "the peer had stopped before stdin closed");
                    }
                }
                continue;
            }
        };
        match event {
            Ok(record) => {
                if let Some(line) = line(&record.event, snapshot.me.peer) {
                    out.talk(&line);
                }
            }
            Err(RecvError::Lagged(missed)) => out.talk(&format!("{} not shown", count(missed, "event"))),
            Err(RecvError::Closed) => return,
        }
    }
}

pub(super) async fn next_line(stdin: &mut Option<mpsc::Receiver<Line>>) -> Option<Line> {
    match stdin {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}

/// The line for an event, if it is worth one.
fn line(event: &PeerEvent, me: PeerId) -> Option<String> {
    Some(match event {
        PeerEvent::PeerAppeared { name, addr, .. } => format!("{name} is here ({addr})"),
        PeerEvent::PeerMoved { peer, addr } => format!("peer {} is now at {addr}", peer.short()),
        PeerEvent::PeerLost { peer, reason } => format!("peer {} is gone: {reason}", peer.short()),
        PeerEvent::PeerRefused { addr, error } => format!("no connection with {addr}: {}", error.message),
        PeerEvent::LocalLibraryChanged { added, updated, removed, .. } => {
            let mut parts = Vec::new();
            for (what, games) in [("new", added), ("changed", updated), ("gone", removed)] {
                if !games.is_empty() {
                    let names: Vec<&str> = games.iter().take(5).map(bonfire_proto::GameId::as_str).collect();
                    let more = if games.len() > 5 { format!(" and {} more", games.len() - 5) } else { String::new() };
                    parts.push(format!("{what}: {}{more}", names.join(", ")));
                }
            }
            format!("library {}", parts.join("; "))
        }
        PeerEvent::DownloadFinished { game, version, fetched_bytes, .. } => {
            format!("{game} {version} is here: {} fetched", size(*fetched_bytes))
        }
        PeerEvent::DownloadPaused { game, error, .. } => format!("{game} stands still: {}", error.message),
        PeerEvent::DownloadFailed { game, error, .. } => format!("{game} was not downloaded: {}", error.message),
        PeerEvent::DownloadCancelled { game, removed_files, kept_files, .. } => {
            let kept = if kept_files.is_empty() {
                String::new()
            } else {
                format!("; {} not ours stay", count(kept_files.len() as u64, "file"))
            };
            format!("{game} cancelled: {} removed{kept}", count(*removed_files, "file"))
        }
        PeerEvent::SourceDropped { game, peer, error, .. } => {
            format!("{game}: gave up on peer {}: {}", peer.short(), error.message)
        }
        PeerEvent::GameRemoved { game, .. } => format!("{game} is removed"),
        PeerEvent::RemoveFailed { game, error, .. } => format!("{game} was not removed: {}", error.message),
        PeerEvent::VerifyFinished { game, bad_files, .. } if bad_files.is_empty() => format!("{game} is whole"),
        PeerEvent::VerifyFinished { game, bad_files, .. } => {
            format!("{game}: {} repaired", count(bad_files.len() as u64, "file"))
        }
        PeerEvent::VerifyFailed { game, error, .. } => format!("{game} could not be verified: {}", error.message),
        PeerEvent::InstallFinished { game, version, is_update, kept_files, .. } => {
            let kept = match kept_files.len() as u64 {
                0 => String::new(),
                n => format!("; {} of yours kept as NAME.kept", count(n, "file")),
            };
            format!("{game} {version} is {}{kept}", if *is_update { "updated" } else { "installed" })
        }
        PeerEvent::InstallFailed { game, is_update, error, .. } => {
            format!("{game} was not {}: {}", if *is_update { "updated" } else { "installed" }, error.message)
        }
        PeerEvent::InstallCancelled { game, .. } => format!("{game} cancelled; all is as it was"),
        PeerEvent::GameUninstalled { game, files, .. } => {
            format!("{game} is uninstalled: {} removed", count(*files, "file"))
        }
        PeerEvent::UninstallFailed { game, error, .. } => format!("{game} was not uninstalled: {}", error.message),
        PeerEvent::CatalogChanged { entries } => format!("catalog: {}", count(*entries, "game")),
        PeerEvent::ProblemFound { error, .. } if error.hint.is_empty() => format!("problem: {}", error.message),
        PeerEvent::ProblemFound { error, .. } => format!("problem: {} ({})", error.message, error.hint),
        PeerEvent::DevicePaired { name, .. } => format!("{name} is one of the player's devices now"),
        PeerEvent::DeviceRemoved { device, .. } if *device == me => {
            "this machine is no device of the player any more".to_owned()
        }
        PeerEvent::DeviceRemoved { device, .. } => format!("device {} is removed", device.short()),
        PeerEvent::PairingEnded { error } => format!("no pairing: {}", error.message),
        PeerEvent::Stopped => "stopped".to_owned(),
        PeerEvent::Started { listen_addr, .. } => format!("ready, listening on {listen_addr}"),
        PeerEvent::RemoteLibraryChanged { .. }
        | PeerEvent::ActiveOperationsChanged { .. }
        | PeerEvent::GameHashed { .. } => return None,
        event => return save_line(event),
    })
}

/// The line for what happened to a save.
fn save_line(event: &PeerEvent) -> Option<String> {
    Some(match event {
        PeerEvent::SaveVersionAdded { slot, snapshot, by_name, by, .. } => {
            let by = if by_name.is_empty() { by.short() } else { by_name.clone() };
            format!("{}: version {} from {by}", line_of(slot), brief(snapshot))
        }
        PeerEvent::SaveApplied { slot, snapshot, .. } => {
            format!("{}: version {} is on the disk", line_of(slot), brief(snapshot))
        }
        PeerEvent::SaveConflict { slot, sides } => format!(
            "{}: {} differ; nothing was replaced; see: bonfire saves conflicts",
            line_of(slot),
            count(sides.len() as u64, "version")
        ),
        PeerEvent::SaveConflictEnded { slot } => format!("{}: the conflict is over", line_of(slot)),
        PeerEvent::SaveHeld { slot, .. } => format!(
            "{}: the save is missing, empty or much smaller; nothing is told or deleted; answer with: \
             bonfire saves release {} --keep-disk or --restore",
            line_of(slot),
            slot.game
        ),
        PeerEvent::SaveEditSurvived { slot } => {
            format!("{}: deleted on one device and edited on another: the edit stays", line_of(slot))
        }
        PeerEvent::SaveDeferred { slot } => format!("{}: a newer version waits for the game to end", line_of(slot)),
        PeerEvent::SaveFailed { slot, error } if error.hint.is_empty() => {
            format!("{}: {}", line_of(slot), error.message)
        }
        PeerEvent::SaveFailed { slot, error } => format!("{}: {} ({})", line_of(slot), error.message, error.hint),
        PeerEvent::SavePruned { slot, versions } => {
            format!("{}: {} removed, as its retention says", line_of(slot), count(*versions, "old version"))
        }
        _ => return None,
    })
}

fn line_of(slot: &SlotOf) -> String {
    format!("save {} {}", slot.game, slot.slot)
}
